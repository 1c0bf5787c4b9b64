//! The ledger in the database: finished exchanges, their hourly sums, and the task that brings them in from the journal.
//!
//! Each entry comes in exactly once: a node's place in its journal is written in the transaction that brings the entries
//! in, and an identifier that is there already is left alone and counted nowhere.

mod place;
mod bring;
mod rollup;
mod exchanges;
mod recall;
mod record;
mod usage;
mod people;
mod spent;
mod alike;
mod writer;

pub use alike::Alike;
pub(crate) use bring::plain;
pub use bring::{Brought, bring_in};
pub use exchanges::{ExchangeFilter, ExchangeRow, Order, TRIED};
pub use place::Place;
pub use record::RECORDS;
pub use spent::Spent;
pub use usage::{By, MAX_SUMS, UsageRow};
pub use writer::{Flushed, Lag, Ledger, NotFlushed};
