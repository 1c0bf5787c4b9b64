//! Records that are older than they are kept: deleted in the order of the log, which stays verifiable, on both engines.

use gatehouse_domain::audit::{DELETION, Wrong};
use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::time::DAY_MS;
use gatehouse_store::retention::{Deleted, Due};

use crate::audit::check;
use crate::engines::{NOW, World, act, node, on_both};
use crate::ledger::exchange;

on_both!(old_records_go_and_the_log_stays_sound, what_nobody_announced_is_not_deleted);

async fn old_records_go_and_the_log_stays_sound(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let of = |days: i64, count: i64| -> Vec<Exchange> {
        let one = |n| Exchange { principal: Some(ada), ..exchange(n - days * DAY_MS) };
        (0..count).map(one).collect()
    };
    // Two batches of more than one transaction's records, one that is kept, one older that came late.
    let (old, older, kept, late) = (of(50, 700), of(45, 90), of(10, 30), of(60, 5));
    for (n, batch) in (0..).zip([&old, &older, &kept, &late]) {
        w.bring(node(), batch, n).await;
    }
    let before = NOW.plus_millis(-40 * DAY_MS);
    let total = w.total().await;
    let due = w.store.exchanges_due(w.org, before, u64::MAX).await.unwrap();
    assert_eq!((due.exchanges, due.more), (790, false), "up to the first that is kept");
    let part = w.store.exchanges_due(w.org, before, 700).await.unwrap();
    assert_eq!((part.exchanges, part.more), (700, true));

    let announced = act(DELETION).with("through", due.through);
    w.store.announce_deletion(w.org, &due, &announced).await.unwrap();
    assert_eq!(w.store.exchanges_due(w.org, before, u64::MAX).await.unwrap(), Due::default());
    // After each step, wherever a node may stop, the log is sound.
    let (mut gone, mut steps) = (0, 0);
    loop {
        let report = check(&w).await;
        assert_eq!((report.fault, report.deleted, report.exchanges), (None, gone, 825 - gone));
        let deleted = w.store.delete_announced(w.org).await.unwrap();
        gone += deleted.records;
        steps += 1;
        if !deleted.more {
            break;
        }
    }
    assert_eq!((gone, steps), (790, 2));
    assert_eq!(w.store.delete_announced(w.org).await.unwrap(), Deleted::default());
    let report = check(&w).await;
    assert_eq!((report.fault, report.deleted, report.exchanges), (None, 790, 35));
    assert_eq!(w.total().await, total, "sums stay");

    // A record that should be there is missed, as before.
    w.behind_its_back(&format!("DELETE FROM exchanges WHERE id = '{}'", kept[3].id)).await;
    let fault = check(&w).await.fault.unwrap();
    assert_eq!(fault.wrong, Wrong::Exchange { n: 4, id: Some(kept[3].id) });
}

/// Who writes into the database, but not into the log, deletes nothing unnoticed.
async fn what_nobody_announced_is_not_deleted(w: World) {
    let batch: Vec<Exchange> = (0..10).map(exchange).collect();
    w.bring(node(), &batch, 0).await;
    let seq = w.store.audit_head(w.org).await.unwrap().seq;
    w.behind_its_back(&format!(
        "INSERT INTO deletions (org_id, done_seq, through_seq) SELECT id, 0, {seq} FROM orgs; \
         DELETE FROM exchanges WHERE id = '{}'",
        batch[4].id
    ))
    .await;
    let fault = check(&w).await.fault.unwrap();
    assert_eq!((fault.seq, fault.wrong), (Some(seq), Wrong::Exchange { n: 5, id: None }));
}
