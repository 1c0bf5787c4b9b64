//! How our listeners take connections, before anything is read of a request.
//!
//! A proxy in front may say by the PROXY protocol for whom it connects ([`preamble`]); TLS ends here ([`tls`]), and a client may
//! have to show a certificate ([`certificate`]). An [`Entrance`] holds what is in force for one listener and is replaced whole;
//! connections that are open keep what they were taken in with.
//!
//! What reads bytes from outside ([`preamble`], [`certificate`]) opens no socket and is fuzzed.

pub mod preamble;
pub mod certificate;
pub mod tls;
mod stream;
mod entrance;

pub use entrance::{Arrived, Certified, Entrance, Person, Rules, Turned, announced, greeted, shown};
pub use stream::Stream;
