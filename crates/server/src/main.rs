//! The gatehouse binary.
mod config;
fn main() {}
