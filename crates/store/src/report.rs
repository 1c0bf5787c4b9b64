//! What reports are made of: sums by several sides at once, from the hourly rollups, and locked statements of months.
//!
//! No report reads single exchanges.

mod sums;
mod statement;
mod terms;
mod unused;

pub use statement::Statement;
pub use sums::{Ask, Bucket, MAX_ROWS, Side, Sums};
pub use unused::{Unused, UnusedKind};
