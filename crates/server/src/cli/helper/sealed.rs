//! A file that is sealed: what it is and which gateway it belongs to stand in the clear, and are proved with the content.
//!
//! `gatehouse client 1`, the kind and the gateway's address, a line each; then a 24-byte nonce and the XChaCha20-Poly1305
//! ciphertext. The three lines are its associated data.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const VERSION: &str = "gatehouse client 1";
const NONCE: usize = 24;

/// Seals a content. `nonce` must be fresh random bytes.
pub(super) fn seal(key: &[u8; 32], kind: &str, gateway: &str, nonce: [u8; NONCE], content: &[u8]) -> Vec<u8> {
    let head = head(kind, gateway);
    let payload = Payload { msg: content, aad: head.as_bytes() };
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), payload);
    let sealed = sealed.expect("a content of a few megabytes is short enough to be sealed");
    [head.as_bytes(), &nonce, &sealed].concat()
}

/// Opens a file; nothing when anything in it was altered, or when it was sealed for something else.
pub(super) fn open(key: &[u8; 32], kind: &str, gateway: &str, file: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let head = head(kind, gateway);
    let (nonce, sealed) = file.strip_prefix(head.as_bytes())?.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: head.as_bytes() };
    cipher(key).decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).ok()
}

/// The gateway that a file of this kind says it belongs to. Nothing proves it before the file is opened.
pub(super) fn gateway_of<'a>(kind: &str, file: &'a [u8]) -> Option<&'a str> {
    let rest = file.strip_prefix(format!("{VERSION}\n{kind}\n").as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// An address has no line end in it.
fn head(kind: &str, gateway: &str) -> String {
    format!("{VERSION}\n{kind}\n{gateway}\n")
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new_from_slice(key).expect("the key has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_file_in_its_place_opens() {
        let (key, url) = ([1; 32], "https://gw.example.com");
        let file = seal(&key, "session", url, [2; 24], b"content");
        assert_eq!(open(&key, "session", url, &file).unwrap().as_slice(), b"content");
        assert_eq!(gateway_of("session", &file), Some(url));
        assert!(open(&[3; 32], "session", url, &file).is_none(), "another key");
        assert!(open(&key, "policy", url, &file).is_none(), "another kind");
        assert!(open(&key, "session", "https://other.example.com", &file).is_none(), "another gateway");
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(open(&key, "session", url, &altered).is_none(), "byte {at}");
            assert!(open(&key, "session", url, &file[..at]).is_none(), "cut at {at}");
        }
    }
}
