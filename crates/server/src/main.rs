//! The gatehouse binary: command line, configuration, wiring, shutdown.

mod cli;
mod config;
mod environment;
mod clock;
mod secret;
mod log;
mod metric;
mod price;
mod fetch;
mod notify;
mod export;
mod wire;
mod demo;

/// Smaller and faster than the system's allocator under many small, short-lived allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
