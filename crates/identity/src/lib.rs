//! Keys and secrets: the master key, what is derived from it, and sealed secrets; and who people are: a directory
//! (LDAP, Active Directory) or local accounts with a password and a second factor.
//!
//! One 32-byte master key stands outside the database. Everything else that must stay secret hangs on it: each use
//! gets a key of its own by HKDF-SHA256 (RFC 5869), and what has to be kept is sealed with XChaCha20-Poly1305 under a
//! key derived from it. Nothing here touches a disk, a wall clock or a source of randomness; bytes and times come in as
//! arguments. Only [`ldap`] speaks to other machines.

pub mod secret;
pub mod master;
pub mod seal;
pub mod keyring;
pub mod roots;
pub mod ldap;
pub mod password;
pub mod totp;
