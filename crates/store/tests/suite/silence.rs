//! A PostgreSQL connection that goes silent in the middle of a transaction, as when a network is cut: nothing answers, and
//! nothing says that nobody will.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::engines::{World, act, with_postgres_on};
use crate::ledger::{Books, exchange};
use gatehouse_store::{Store, StoreConfig, StoreError};

/// What the client says when the first connection goes silent: the transaction holds locks by then.
const LAST_WORDS: &[u8] = b"UPDATE audit_heads";

#[test]
fn a_connection_that_goes_silent_in_a_transaction_holds_nobody_for_long() {
    // One thread, so that the clock can be stopped.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    with_postgres_on(&runtime, async |config| {
        let w = World::build(config.clone()).await;
        let cut = Arc::new(AtomicBool::new(false));
        let through = proxy(&config, Arc::clone(&cut)).await;
        let w = World { store: Store::open(&through).await.unwrap(), ..w };
        let books = Books::open(&w);
        cut.store(true, Ordering::SeqCst);
        (0..5).for_each(|at| _ = books.journal.close(&exchange(at)));
        while cut.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // From here on nothing happens but that time passes, so it may pass quickly.
        tokio::time::pause();
        for _ in 0..300 {
            if !books.ledger.lag().failing {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        assert!(books.ledger.lag().failing, "it still waits after five minutes");
        tokio::time::resume();
        // The other end of the silent connection holds locks until the server ends it.
        books.ledger.flush(Duration::from_secs(40)).await.unwrap();
        w.counts(5).await;
        w.store.record(w.org, &act("x")).await.unwrap();
        books.close().await;
        // Nor does one that is silent at the end. The words are said anew on a connection that has not said them yet.
        cut.store(true, Ordering::SeqCst);
        let other = Store::open(&through).await.unwrap();
        let w = World { store: other, ..w };
        let (store, org) = (w.store.clone(), w.org);
        let hanging = tokio::spawn(async move { store.record(org, &act("x")).await });
        while cut.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::pause();
        tokio::time::timeout(Duration::from_secs(6), w.store.close()).await.unwrap();
        let told = hanging.await.unwrap().unwrap_err();
        assert!(matches!(told, StoreError::Unavailable(_)), "{told:?}");
        tokio::time::resume();
    });
}

/// Stands between the store and the server. Once `cut` is set, the next connection that says the last words is silent
/// from then on, in both directions and without being closed, and `cut` is taken back.
async fn proxy(config: &StoreConfig, cut: Arc<AtomicBool>) -> StoreConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (before, database) = config.url.rsplit_once('/').unwrap();
    let (scheme_and_user, server) = before.rsplit_once('@').unwrap();
    let (server, here) = (server.to_owned(), listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(
                client,
                TcpStream::connect(server.clone()).await.unwrap(),
                Arc::clone(&cut),
            ));
        }
    });
    StoreConfig { url: format!("{scheme_and_user}@{here}/{database}"), ..config.clone() }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, cut: Arc<AtomicBool>) {
    let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let said = &from_client[..read.unwrap_or(0)];
                let last = said.windows(LAST_WORDS.len()).any(|words| words == LAST_WORDS);
                if last && cut.swap(false, Ordering::SeqCst) {
                    return std::future::pending().await;
                }
                if said.is_empty() || server.write_all(said).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let said = &from_server[..read.unwrap_or(0)];
                if said.is_empty() || client.write_all(said).await.is_err() {
                    return;
                }
            }
        }
    }
}
