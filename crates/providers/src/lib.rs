//! Messages API to and from model providers: bytes to bytes, opens no socket.

pub mod json;
pub mod anthropic;
