//! What stands behind a backslash.

use super::problem::Problem;
use super::scan::{Bad, State, unexpected};

/// A byte in a string that is no plain character and no quote: an escape, or a mistake.
pub(super) fn special_byte(part: &[u8], at: usize) -> Result<(usize, State), Bad> {
    match (part[at], part.get(at + 1)) {
        (b'\\', Some(b'u')) if is_hex(part.get(at + 2..at + 6)) => Ok((at + 6, State::Text)),
        (b'\\', Some(&escaped)) => Ok((at + 2, escape(at + 1, escaped)?)),
        (b'\\', None) => Ok((at + 1, State::Escape)),
        (control, _) => Err((at, Problem::Control(control))),
    }
}

/// Whether an escape that stands here behind its backslash is whole and good.
pub(super) fn is_escape(part: &[u8], at: usize) -> bool {
    match part[at] {
        b'r' | b'/' | b'b' | b'f' => true,
        b'u' => is_hex(part.get(at + 1..at + 5)),
        _ => false,
    }
}

fn is_hex(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

pub(super) fn escape(at: usize, byte: u8) -> Result<State, Bad> {
    match byte {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(State::Text),
        b'u' => Ok(State::Hex(4)),
        _ => Err((at, Problem::Escape(byte))),
    }
}

pub(super) fn hex(at: usize, byte: u8, left: u8) -> Result<State, Bad> {
    match (byte.is_ascii_hexdigit(), left) {
        (true, 1) => Ok(State::Text),
        (true, _) => Ok(State::Hex(left - 1)),
        (false, _) => Err(unexpected(at, "a hexadecimal digit", byte)),
    }
}
