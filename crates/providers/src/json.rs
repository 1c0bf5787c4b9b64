//! JSON as it comes: checked and looked into while it streams by, never turned into a tree (promise P3).

pub use request::{RequestError, RequestFacts, RequestScan};
pub use scan::{Document, MAX_CAPTURES, MAX_DEPTH, Member, Problem, Raw, Root, ScanError, Scanner, Wanted};

mod capture;
mod request;
mod scan;
mod text;
