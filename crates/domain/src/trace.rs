//! Traces: which one an exchange belongs to, its spans' identifiers, and whether it is told at all.
//!
//! Identifiers follow from the exchange's own, so that the data path and who tells of it later agree without a word.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::id::ExchangeId;

/// A million: shares are in millionths.
pub const WHOLE: u32 = 1_000_000;

/// A span as others name it: the W3C's `traceparent` (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl Context {
    /// Reads a `traceparent`. `None` for what is none: then a new trace begins, as the specification wants it.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version = hexadecimal(parts.next()?, 2)?;
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        // Later versions may add something at the end; version 255 is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let span = u64::try_from(hexadecimal(span, 16)?).ok()?;
        let (trace, flags) = (hexadecimal(trace, 32)?, hexadecimal(flags, 2)?);
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// Exactly so many hexadecimal digits, in lower case.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then_some(())?;
    u128::from_str_radix(text, 16).ok()
}

/// The span of an exchange: in its caller's trace if that named one, else in one of its own, whose identifier is the exchange's.
///
/// A caller that is known decides whether the trace is recorded, as it does for its own spans; else `share` does, in millionths.
pub fn of_exchange(id: ExchangeId, caller: Option<Context>, is_known: bool, share: u32) -> Context {
    let trace = caller.map_or(id.bits(), |caller| caller.trace).max(1);
    let sampled = match caller {
        Some(caller) if is_known => caller.sampled,
        Some(_) | None => is_in(trace, share),
    };
    Context { trace, span: span(id, 0), sampled }
}

/// The span of the `n`th attempt of an exchange at a provider, from 0 on.
pub fn of_attempt(id: ExchangeId, n: usize) -> u64 {
    span(id, u64::try_from(n).unwrap_or(u64::MAX).saturating_add(1))
}

fn span(id: ExchangeId, n: u64) -> u64 {
    let mut digest = Sha256::new();
    digest.update(b"span");
    digest.update(id.bits().to_be_bytes());
    digest.update(n.to_be_bytes());
    let first = digest.finalize().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
    first.max(1)
}

/// Whether a trace is in a share, in millionths. By its last 56 bits, which are random, so that every program that goes by the
/// same share decides alike, and a larger share keeps all that a smaller one does
/// (<https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>).
fn is_in(trace: u128, share: u32) -> bool {
    let random = trace & ((1 << 56) - 1);
    let left_out = u128::from(WHOLE.saturating_sub(share)) << 56;
    random * u128::from(WHOLE) >= left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ExchangeId = ExchangeId::from_bits(0x0190_0000_0000_1234_5678_9abc_def0_1234);

    #[test]
    fn a_header_is_read_as_the_specification_says() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = Context::parse(given).unwrap();
        assert_eq!((read.trace >> 96, read.span, read.sampled), (0x4bf9_2f35, 0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(read.to_string(), given);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-else";
        assert!(!Context::parse(later).unwrap().sampled);
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        ] {
            assert_eq!(Context::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_is_known_decides_and_who_is_not_does_not() {
        let caller = Context { trace: 7, span: 8, sampled: true };
        let shut = Context { sampled: false, ..caller };
        assert!(of_exchange(ID, Some(caller), true, 0).sampled);
        assert!(!of_exchange(ID, Some(shut), true, WHOLE).sampled);
        assert!(!of_exchange(ID, Some(caller), false, 0).sampled, "a stranger makes nobody tell");
        assert_eq!(of_exchange(ID, Some(caller), false, 0).trace, 7);
        let own = of_exchange(ID, None, true, WHOLE);
        assert_eq!((own.trace, own.sampled), (ID.bits(), true));
        assert!(!of_exchange(ID, None, true, 0).sampled);
    }

    #[test]
    fn spans_of_an_exchange_are_different_ones() {
        let own = of_exchange(ID, None, true, WHOLE).span;
        let all = [own, of_attempt(ID, 0), of_attempt(ID, 1), of_attempt(ExchangeId::from_bits(1), 0)];
        for (at, one) in all.iter().enumerate() {
            assert!(*one != 0 && !all[..at].contains(one), "{all:?}");
        }
    }

    #[test]
    fn a_larger_share_keeps_what_a_smaller_one_does() {
        // Multiples of an odd number lie evenly.
        let traces = (0..10_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 100);
        let (mut tenth, mut half) = (0, 0);
        for trace in traces {
            let is_in_tenth = is_in(trace, WHOLE / 10);
            assert!(!is_in_tenth || is_in(trace, WHOLE / 2));
            tenth += u32::from(is_in_tenth);
            half += u32::from(is_in(trace, WHOLE / 2));
        }
        assert!((900..1100).contains(&tenth) && (4800..5200).contains(&half), "{tenth} {half}");
    }
}
