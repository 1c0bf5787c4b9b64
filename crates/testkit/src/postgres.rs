//! Databases of one's own on the PostgreSQL server that `scripts/test` starts.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub mod server;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The URL of a fresh, empty database; `None` when no server was given (`GATEHOUSE_TEST_POSTGRES`), which is said aloud.
///
/// # Panics
/// When the server is given but does not work.
#[expect(clippy::disallowed_methods, reason = "the test server's address comes from the environment")]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
pub fn fresh() -> Option<String> {
    let Ok(server) = std::env::var("GATEHOUSE_TEST_POSTGRES") else {
        eprintln!("NOT TESTED on PostgreSQL: GATEHOUSE_TEST_POSTGRES is not set (scripts/test sets it)");
        return None;
    };
    let name = format!("it_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let created = Command::new("psql")
        .args([
            "--quiet",
            "--no-psqlrc",
            "--dbname",
            &server,
            "--command",
            &format!("CREATE DATABASE {name}"),
        ])
        .output()
        .expect("psql runs");
    assert!(created.status.success(), "creating {name}: {}", String::from_utf8_lossy(&created.stderr));
    let (base, _) = server.rsplit_once('/').expect("the server's URL ends in /database");
    Some(format!("{base}/{name}"))
}
