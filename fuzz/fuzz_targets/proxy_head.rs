//! The head of a request to the forward proxy: what is read is whole, and its destination is read again as it is shown.

#![no_main]

use gatehouse_domain::proxy::Destination;
use gatehouse_proxy::body::Body;
use gatehouse_proxy::head::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((head, length))) = parse(bytes) else { return };
    assert!(bytes[..length].ends_with(b"\r\n\r\n"));
    assert_eq!(Destination::parse(&head.destination.to_string(), None), Ok(head.destination.clone()));
    assert_eq!(parse(&bytes[..length]), Ok(Some((head.clone(), length))), "what follows does not matter");
    assert_eq!(parse(&bytes[..length - 1]), Ok(None), "nothing is decided before the head is whole");
    if let Ok(mut body) = Body::of(&head) {
        let mut rest = &bytes[length..];
        while !rest.is_empty() && !body.is_done() {
            let Some(taken) = body.feed(&rest[..rest.len().min(7)]) else { return };
            rest = &rest[taken..];
        }
    }
});
