//! The LLM data path: accept, identify, authorize, route, translate, forward, meter, record.
//!
//! [`start`] runs it on worker threads of its own. Each worker is one current-thread runtime with its own upstream
//! connections, so nothing on the way of a request is locked or handed between threads, but for the ledger's entry.
//! It never sees the database: it reads an immutable [`Snapshot`](gatehouse_domain::policy::Snapshot) of keys, swapped
//! whole, and writes to a [`ledger::Ledger`].

pub mod ledger;
pub mod counters;
pub mod limits;
pub mod settings;
pub mod portal;
pub mod health;
pub mod routes;
pub mod learn;
pub mod quota;
pub mod witness;
pub mod protection;
mod serve;
mod connection;
mod framing;
mod worker;
mod handle;
mod probe;
mod reception;
mod refused;
mod open;
mod identify;
mod inspect;
mod admit;
mod models;
mod protect;
mod recall;
mod route;
pub mod explain;
mod send;
mod single;
mod failover;
mod hedge;
mod queue;
mod cloud;
mod ingress;
mod upstream;
mod flow;
mod guest;
mod passed;
mod held;
mod gather;
mod relay;
mod reply;
mod refusal;
mod observe;

pub use guest::{Guest, Guests, NoSeat};
pub use serve::{Gateway, Parts, start};
