//! The PROXY protocol: no bytes make the reader panic, read on for ever, or read what is behind the preamble.

#![no_main]

use gatehouse_listener::preamble::{Preamble, Step, announce, step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut read = 0;
    loop {
        match step(&bytes[..read]) {
            Err(_) => return,
            Ok(Step::Done(said)) => {
                // It was not done before its last byte.
                assert!(!matches!(step(&bytes[..read - 1]), Ok(Step::Done(_))));
                if let Preamble::For(client) = said {
                    let again = announce(client, client);
                    assert_eq!(step(&again), Ok(Step::Done(said)));
                }
                return;
            }
            Ok(Step::Read(most)) => {
                assert!(most > 0 && read + most <= 2048, "{most} bytes after {read}");
                if read == bytes.len() {
                    return;
                }
                read += most.min(bytes.len() - read);
            }
        }
    }
});
