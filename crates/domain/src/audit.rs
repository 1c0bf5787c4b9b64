//! Audit entries and the hash chain over them (promise P5).
