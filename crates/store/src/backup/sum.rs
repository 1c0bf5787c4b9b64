//! The sum of a table's rows.

use sha2::{Digest as _, Sha256};

/// The sum of the SHA-256 of each row's line, modulo 2²⁵⁶, and the number of rows. Rows may come in any order. It finds
/// what went wrong on the way; it proves nothing against somebody who makes rows up for it, which the SHA-256 of the whole
/// file is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    lanes: [u64; 4],
    pub(super) rows: u64,
}

impl Sum {
    /// Adds a row, given as its line without the end.
    pub(super) fn add(&mut self, line: &[u8]) {
        let hash = Sha256::digest(line);
        let mut carry = 0;
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.chunks_exact(8)) {
            let part = bytes.iter().rev().fold(0_u64, |part, byte| part << 8 | u64::from(*byte));
            let wide = u128::from(*lane) + u128::from(part) + carry;
            carry = wide >> 64;
            *lane = u64::try_from(wide & u128::from(u64::MAX)).unwrap_or_default();
        }
        self.rows += 1;
    }

    /// 64 hexadecimal digits.
    pub(super) fn text(&self) -> String {
        let [a, b, c, d] = self.lanes;
        format!("{d:016x}{c:016x}{b:016x}{a:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&str]) -> Sum {
        let mut sum = Sum::default();
        for row in rows {
            sum.add(row.as_bytes());
        }
        sum
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        assert_eq!(of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        for other in
            [&["a", "b"][..], &["a", "b", "b"], &["a", "b", "d"], &["a", "b", "c", "c"], &["ab", "", "c"]]
        {
            assert_ne!(of(&["a", "b", "c"]), of(other), "{other:?}");
        }
        assert_eq!(of(&[]).text(), "0".repeat(64));
        // SHA-256 of nothing, its bytes from the last to the first.
        assert_eq!(of(&[""]).text(), "55b852781b9995a44c939b64e441ae2724b96f99c8f4fb9a141cfc9842c4b0e3");
    }
}
