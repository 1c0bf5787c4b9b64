//! Sign-in by OpenID Connect (Core 1.0, Discovery 1.0): the code flow with PKCE, at any number of issuers.
//!
//! [`Client`] is one configured [`Source`] with what is known of its issuer. [`Client::start`] gives the address to send
//! the browser to and a [`Pending`] sign-in to keep; [`Client::finish`] takes both the pending sign-in and the browser's
//! return, and ends in a [`SignIn`]. A pending sign-in is bound to its source, its issuer and the browser that began it,
//! so that neither another issuer's answer (RFC 9700 section 4.4, RFC 9207) nor another person's browser can finish it.

pub use address::{BadAddress, IssuerUrl, Loopback};
pub use authorize::{Pending, RANDOM_LEN, Started};
pub use callback::{Callback, CallbackError};
pub use choice::{BadSources, Choice, Sources};
pub use client::{Client, SignIn, SignInError, SignedIn, StillSignedIn};
pub use discovery::{DiscoveryError, Issuer, Metadata};
pub use pending::{PendingTable, TableFull};
pub use source::{BadSource, ClientAuth, EmailTrust, Prompt, Source, SourceConfig, SourceId, UserInfoUse};
pub use token::TokenError;
pub use userinfo::UserInfoError;

mod client;
mod address;
mod source;
mod choice;
mod discovery;
mod authorize;
mod pending;
mod callback;
mod token;
mod userinfo;
#[cfg(test)]
mod tests;
