//! Connections to PostgreSQL: what they are told, and how it shows that one leads nowhere any more, or to the wrong server.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::Instant;

use crate::dialect::{WAIT, in_time};

/// How long a connection that comes back to the pool may take for a sign of life. One whose caller has given up
/// waiting may be in the middle of a statement, or the network may have forgotten it.
const BACK: Duration = Duration::from_secs(5);
/// How long an idle connection may take for a sign of life before it is used: so short that within [`WAIT`] there is time for
/// a new one.
const IDLE: Duration = Duration::from_secs(2);
/// How long it is waited before another connection is tried when one has led to a standby.
const STANDBY: Duration = Duration::from_secs(1);
/// What a connection is told. Statements may take 60 s and wait 10 s for a lock, so that nothing waits
/// forever. A session whose client has gone without a word (a machine that died, a network that was cut) is ended
/// within half a minute: until then it holds its locks, and the end of the audit chain may be among them. A report's sums are
/// made in memory, not on disk, where the server allows itself less for that than a month of a thousand people takes. At last
/// it is asked whether it is a standby.
const SESSION: &str = "SET statement_timeout = 60000; SET lock_timeout = 10000; \
    SET idle_in_transaction_session_timeout = 15000; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
    SET tcp_keepalives_count = 3; SET tcp_user_timeout = 20000; \
    SELECT pg_is_in_recovery(), CASE WHEN pg_size_bytes(current_setting('work_mem')) < 33554432 \
    THEN set_config('work_mem', '32MB', FALSE) END";

/// Reads the address of a database.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name("gatehouse").disable_statement_logging())
}

/// Connects.
///
/// # Errors
/// It cannot be reached within [`WAIT`], does not let us in, or is a standby.
pub(crate) async fn open(options: PgConnectOptions, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    let silence = Arc::new(Silence::default());
    PgPoolOptions::new()
        .max_connections(max_connections.max(1))
        .acquire_timeout(WAIT)
        .idle_timeout(Duration::from_mins(1))
        .after_connect(|db, _| Box::pin(begin(db)))
        // The pool asks by itself as well, but would wait without end: on the way out for as long as the caller waits at
        // most, and on the way in for ever, so that the connection's place would be lost to it.
        .test_before_acquire(false)
        .before_acquire(move |db, about| {
            let silence = Arc::clone(&silence);
            Box::pin(async move { Ok(silence.leaves(db, about.idle_for).await) })
        })
        .after_release(|db, _| Box::pin(async move { in_time(BACK, db.ping()).await.map(|()| true) }))
        .connect_with(options)
        .await
}

/// Tells a new connection what holds for it. A standby is refused: what it knows may be old, keys revoked since among it, and it
/// takes no changes. An address that follows the primary leads there soon.
async fn begin(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let standby: bool = sqlx::raw_sql(SESSION).fetch_one(db).await?.try_get(0)?;
    if standby {
        tokio::time::sleep(STANDBY).await;
        return Err(sqlx::Error::Configuration(
            "the server is a standby, which takes no changes; `store.url` must lead to the primary".into(),
        ));
    }
    Ok(())
}

/// When an idle connection was last found silent. All that have not been used since are taken for silent too: a machine that
/// died, or an address that has moved, has taken them all, and whoever needs one would have to find that out once more.
#[derive(Default)]
struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// Whether an idle connection can be used. One that cannot is closed, and a new one is made.
    async fn leaves(&self, db: &mut PgConnection, idle_for: Duration) -> bool {
        if self.covers(idle_for) {
            return false;
        }
        match in_time(IDLE, db.ping()).await {
            Ok(()) => true,
            Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                tracing::warn!(
                    "the database does not answer on a connection that was idle; all idle ones are given up"
                );
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                false
            }
            // Its other end is closed, as after a restart.
            Err(_) => false,
        }
    }

    /// Whether a connection that has been idle for so long was last heard of before the silence.
    fn covers(&self, idle_for: Duration) -> bool {
        let found = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|at| at.elapsed() < idle_for)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::copy_bidirectional;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Stands before a server. Of the connections through it, those before this number hear nothing any more.
    async fn wire(far: String, silent: Arc<AtomicUsize>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, made) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&made);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (number, silent) = (count.fetch_add(1, Ordering::SeqCst), Arc::clone(&silent));
                let mut server = TcpStream::connect(&far).await.unwrap();
                tokio::spawn(async move {
                    let cut = async {
                        while number >= silent.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = cut => std::future::pending().await,
                    }
                });
            }
        });
        (near, made)
    }

    /// Each idle connection to a machine that had died was found out by itself: five seconds for each, and nobody was served
    /// meanwhile.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test server's address comes from the environment")]
    async fn idle_connections_that_have_gone_silent_are_given_up_together() {
        let Ok(url) = std::env::var("GATEHOUSE_TEST_POSTGRES") else {
            eprintln!("NOT TESTED on PostgreSQL: GATEHOUSE_TEST_POSTGRES is not set (scripts/test sets it)");
            return;
        };
        let at = options(&url).unwrap();
        let silent = Arc::new(AtomicUsize::new(0));
        let (near, made) = wire(format!("{}:{}", at.get_host(), at.get_port()), Arc::clone(&silent)).await;
        let (host, port) = near.split_once(':').unwrap();
        let pool = open(at.clone().host(host).port(port.parse().unwrap()), 4).await.unwrap();
        let mut used = Vec::new();
        for _ in 0..4 {
            used.push(pool.acquire().await.unwrap());
        }
        used.clear();
        while pool.num_idle() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        silent.store(made.load(Ordering::SeqCst), Ordering::SeqCst);
        // This one finds out.
        drop(pool.acquire().await);
        for _ in 0..4 {
            let mut db = pool.acquire().await.unwrap();
            sqlx::raw_sql("SELECT 1").execute(&mut *db).await.unwrap();
            used.push(db);
        }
    }
}
