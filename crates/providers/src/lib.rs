//! Messages API to and from model providers: bytes to bytes, opens no socket.

pub mod json;
pub mod anthropic;
pub mod cloud;
pub mod fault;
pub mod unknown;
pub mod eventstream;
pub mod sigv4;
pub mod credential;
