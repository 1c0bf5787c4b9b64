//! JSON as it comes: checked and looked into while it streams by, never turned into a tree (promise P3).

pub use problem::{Problem, ScanError};
pub use request::{RequestError, RequestFacts, RequestScan};
pub use scan::{Document, MAX_CAPTURES, MAX_DEPTH, Member, Raw, Root, Scanner, Wanted};
pub use splice::{Edits, with_model};
pub use texts::{Part, Place, Text, texts};

mod request;
mod scan;
mod problem;
mod atom;
mod block;
mod escape;
mod capture;
mod text;
mod splice;
mod texts;
