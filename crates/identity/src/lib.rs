//! Master key, key derivation, sealed secrets: protocols and cryptography, no SQL.
