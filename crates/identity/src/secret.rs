//! A secret text or byte string in memory.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes that must not be seen: a provider's key, a password. Wiped when dropped; no `Debug`, no `Display`, no serde;
/// [`Secret::expose`] is the one way in, so that every use can be found by searching for it.
///
/// ```compile_fail
/// let secret = gatehouse_identity::secret::Secret::new(b"canary".to_vec());
/// println!("{secret:?}");
/// ```
///
/// ```compile_fail
/// let secret = gatehouse_identity::secret::Secret::new(b"canary".to_vec());
/// println!("{secret}");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be used at once and not kept.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, or `None` when the bytes are no UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether both hold the same bytes; the time taken tells only about their lengths.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_its_bytes_only_when_asked() {
        let secret = Secret::new(b"sk-canary".to_vec());
        assert_eq!(secret.expose_text(), Some("sk-canary"));
        assert!(secret.same_as(&Secret::new(b"sk-canary".to_vec())));
        assert!(!secret.same_as(&Secret::new(b"sk-canarx".to_vec())));
        assert!(!secret.is_empty() && secret.len() == 9);
        assert_eq!(Secret::new(vec![0xff]).expose_text(), None);
    }
}
