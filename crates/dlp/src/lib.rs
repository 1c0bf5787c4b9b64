//! Data protection: text in, findings out.
//!
//! A [`Scanner`] looks for what the [catalogue](all) has: secrets of published, fixed forms and a few numbers of persons that
//! carry a check digit. It says which detector found something and where, and never repeats what it found.
//!
//! How: one pass over the text finds keywords (the fixed part of each form, `ghp_` for one); a regular expression then looks
//! at the bytes around each, and a check at what that found: a checksum where the form has one, else whether it is random enough
//! and no placeholder. Numbers have no keyword and are looked for by their digits.

mod detector;
mod catalogue;
mod check;
mod number;
mod selection;
mod scanner;

pub use detector::{Detector, Kind, all, find};
pub use scanner::{Finding, Scanner};
pub use selection::{Selection, UnknownDetector};
