//! The catalogue: one file a family. Forms are what issuers publish of their own tokens, so that leaked ones can be found.

use crate::check::Check;
use crate::detector::{Detector, How, Kind, Pattern};

pub(crate) mod key;
pub(crate) mod cloud;
pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod personal;

/// A secret that begins with one of its keywords and takes at most so many bytes.
const fn begins(
    id: &'static str,
    what: &'static str,
    keywords: &'static [&'static str],
    (form, after): (&'static str, usize),
    check: Check,
) -> Detector {
    within(id, what, keywords, (form, 0, after), check)
}

/// A secret with its keyword within.
const fn within(
    id: &'static str,
    what: &'static str,
    keywords: &'static [&'static str],
    (form, before, after): (&'static str, usize, usize),
    check: Check,
) -> Detector {
    let how = How::Pattern(Pattern { keywords, before, after, form, check });
    Detector { id, kind: Kind::Secret, what, how }
}
