//! What can be wrong with a text.

use super::scan::MAX_DEPTH;

/// A text that is not JSON (RFC 8259 in UTF-8), or more deeply nested than [`MAX_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {at}: {problem}")]
pub struct ScanError {
    /// Where, in bytes from the start of the text.
    pub at: u64,
    /// What.
    pub problem: Problem,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else had to stand here.
    #[error("expected {expected}, found {}", Shown(*found))]
    Unexpected {
        /// What had to stand here.
        expected: &'static str,
        /// The byte that does.
        found: u8,
    },
    /// A control character within a string.
    #[error("the control character {} in a string must be escaped", Shown(*.0))]
    Control(u8),
    /// A backslash before something that cannot be escaped.
    #[error("a backslash before {} means nothing", Shown(*.0))]
    Escape(u8),
    /// Bytes that are not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// Too many brackets are open.
    #[error("nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The members looked for are repeated too often.
    #[error("the same members are repeated too often")]
    TooManyMembers,
    /// The text ends before its value does.
    #[error("the text ends too early")]
    Truncated,
}

/// A byte for people.
struct Shown(u8);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            b'`' => f.write_str("a backtick"),
            visible @ b'!'..=b'~' => write!(f, "`{}`", char::from(visible)),
            other => write!(f, "byte 0x{other:02x}"),
        }
    }
}
