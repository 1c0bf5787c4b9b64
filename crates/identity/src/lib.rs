//! Keys and secrets, and the protocols by which people come in: the master key, what is derived from it, sealed
//! secrets; and SCIM, by which a directory provisions users and groups.
//!
//! One 32-byte master key stands outside the database. Everything else that must stay secret hangs on it: each use
//! gets a key of its own by HKDF-SHA256 (RFC 5869), and what has to be kept is sealed with XChaCha20-Poly1305 under a
//! key derived from it. Nothing here touches a disk, a clock or a source of randomness; bytes come in as arguments.

pub mod secret;
pub mod master;
pub mod seal;
pub mod keyring;
pub mod roots;
pub mod scim;
