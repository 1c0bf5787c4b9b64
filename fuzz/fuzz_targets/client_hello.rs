//! The greeting of a TLS client, a certificate, an answer of a name server: whatever comes, it is read or refused, and a
//! greeting is the same however much of it has come.

#![no_main]

use gatehouse_listener::certificate;
use gatehouse_proxy::dns;
use gatehouse_proxy::hello::{Hello, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    if let Hello::Found(name) = &whole {
        assert!(name.as_deref().is_none_or(|name| name.bytes().all(|byte| byte.is_ascii_graphic())));
        let cut = &bytes[..bytes.len() / 2];
        assert!(
            [Hello::More, whole.clone()].contains(&read(cut)),
            "a part says something else than the whole"
        );
    }
    if let Some(email) = certificate::email(bytes) {
        assert!(email.contains('@'));
    }
    if let Some(id) = bytes.first_chunk() {
        let _ = dns::reply(bytes, u16::from_be_bytes(*id), "a.example", dns::Kind::A);
        let _ = dns::reply(bytes, u16::from_be_bytes(*id), "a.example", dns::Kind::Aaaa);
    }
});
