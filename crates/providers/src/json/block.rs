//! 64 bytes of a string at a time, as masks: one bit for each byte, the lowest for the first.
//!
//! Strings in requests are full of escapes. Going from one to the next costs a mispredicted branch each, which is more
//! than looking at all bytes; so which bytes are escaped is computed for the whole block (the way of doing it is that of
//! "Parsing Gigabytes of JSON per Second", Langdale and Lemire, The VLDB Journal 28, 2019).

use wide::u8x16;

/// Bytes that are looked at in one go.
pub(super) const BLOCK: usize = 64;

/// What stands where in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// Bytes below 0x20.
    pub(super) controls: u64,
    /// Bytes that usually follow a backslash: a quote, a backslash, `n`, `t`.
    pub(super) usual: u64,
}

/// Whether the byte behind the last block is escaped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Escapes {
    open: u64,
}

impl Escapes {
    /// Whether the last block ended in the middle of an escape.
    pub(super) const fn is_open(self) -> bool {
        self.open != 0
    }

    /// The bytes of the next block that stand behind a backslash that is not escaped itself.
    #[inline]
    pub(super) const fn next(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        if backslashes == 0 {
            let escaped = self.open;
            self.open = 0;
            return escaped;
        }
        // Only a backslash that is not escaped can begin a run of them. Subtracting the beginnings from the places behind
        // them, with all odd places set, lets the borrow run through each run and so tells its odd members from its even.
        let begins = backslashes & !self.open;
        let runs = ((begins << 1) | ODD).wrapping_sub(begins) ^ ODD;
        let escaped = runs ^ (backslashes | self.open);
        self.open = (runs & backslashes) >> 63;
        escaped
    }
}

/// Looks at a block.
#[inline]
pub(super) fn look(block: &[u8; BLOCK]) -> Masks {
    let (lanes, _) = block.as_chunks::<16>();
    let mut masks = Masks::default();
    for (lane, shift) in lanes.iter().zip([0, 16, 32, 48]) {
        let bytes = u8x16::from(*lane);
        let quotes = bytes.simd_eq(b'"');
        let backslashes = bytes.simd_eq(b'\\');
        let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        let usual = quotes | backslashes | bytes.simd_eq(b'n') | bytes.simd_eq(b't');
        masks.quotes |= u64::from(quotes.to_bitmask()) << shift;
        masks.backslashes |= u64::from(backslashes.to_bitmask()) << shift;
        masks.controls |= u64::from(controls.to_bitmask()) << shift;
        masks.usual |= u64::from(usual.to_bitmask()) << shift;
    }
    masks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Looks at a block byte by byte.
    fn plainly(block: &[u8; BLOCK]) -> Masks {
        let mask = |is: fn(u8) -> bool| {
            block.iter().rev().fold(0_u64, |mask, byte| (mask << 1) | u64::from(is(*byte)))
        };
        Masks {
            quotes: mask(|b| b == b'"'),
            backslashes: mask(|b| b == b'\\'),
            controls: mask(|b| b < 0x20),
            usual: mask(|b| matches!(b, b'"' | b'\\' | b'n' | b't')),
        }
    }

    fn some_block() -> impl Strategy<Value = Vec<[u8; BLOCK]>> {
        let byte = prop_oneof![proptest::sample::select(&b"\\\\\\\"nt\x00\x1f\x20u\xff"[..]), any::<u8>()];
        proptest::collection::vec(proptest::array::uniform(byte), 1..4)
    }

    proptest! {
        #[test]
        fn both_ways_of_looking_see_the_same(blocks in some_block()) {
            for block in &blocks {
                prop_assert_eq!(look(block), plainly(block));
            }
        }

        #[test]
        fn escapes_are_those_that_one_finds_byte_by_byte(blocks in some_block()) {
            let (mut escapes, mut escaped) = (Escapes::default(), false);
            for block in &blocks {
                let found = escapes.next(look(block).backslashes);
                for (n, byte) in block.iter().enumerate() {
                    prop_assert_eq!(found >> n & 1 == 1, escaped, "at {}", n);
                    escaped = !escaped && *byte == b'\\';
                }
                prop_assert_eq!(escapes.is_open(), escaped);
            }
        }
    }
}
