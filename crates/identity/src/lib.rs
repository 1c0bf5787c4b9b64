//! Who somebody is: sign-in by OpenID Connect, a directory (LDAP, Active Directory) or a local account; SCIM by which
//! directories provision users and groups; the tokens of CI jobs, the device grant, rotating sessions. And what must
//! stay secret: the master key, what is derived from it, and sealed secrets.
//!
//! One 32-byte master key stands outside the database. Everything else that must stay secret hangs on it: each use
//! gets a key of its own by HKDF-SHA256 (RFC 5869), and what has to be kept is sealed with XChaCha20-Poly1305 under a
//! key derived from it. Nothing here touches a disk, a wall clock or a source of randomness; bytes and times come in as
//! arguments. Other machines are reached through [`fetch::Fetch`], and by [`ldap`] itself.

pub mod secret;
pub mod master;
pub mod seal;
pub mod keyring;
pub mod escrow;
pub mod keyset;
pub mod roots;
pub mod scim;
pub mod fetch;
mod fresh;
#[cfg(test)]
mod fake;
pub mod jwt;
pub mod jwks;
pub mod oidc;
pub mod device;
pub mod refresh;
pub mod form;
pub mod ci;
pub mod ldap;
pub mod password;
pub mod totp;
pub mod webauthn;
