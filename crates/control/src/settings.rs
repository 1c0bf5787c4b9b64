//! Settings that the organization gives to its people's clients.
//!
//! [`profile`] writes them, [`review`] takes them to clients, [`compare`] tells what a version changes and for whom, and
//! [`look`] what all of them amount to for one person. [`overlay`] says who gets an overlay and when, [`schedule`] publishes
//! later, [`schema`] makes keys known that this release does not know. [`Delivery`] is what the data path reads: it answers a client from
//! memory and takes in what clients report.

pub use check::Rules;
pub use delivery::{Answer, Delivery, NotServed};
pub use snapshot::{Served, Snapshot};

pub mod check;
pub mod profile;
pub mod review;
pub mod schedule;
pub mod overlay;
pub mod schema;
pub mod compare;
pub mod look;
pub mod receipt;
mod machine;
pub mod artifact;
pub mod export;
pub mod snapshot;
pub mod delivery;
