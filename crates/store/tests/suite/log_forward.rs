//! The log in pieces: whatever their size, everything comes once and in order; and places that are moved on once.

use crate::engines::{NOW, World, act, node, on_both};
use crate::ledger::exchange;
use gatehouse_domain::exchange::Exchange;
use gatehouse_store::log_forward::{Cursor, Exchanges};

on_both!(
    pieces_of_any_size_make_up_the_whole_log,
    exchanges_can_be_left_out,
    a_place_is_moved_on_by_one_only,
);

/// Two batches of exchanges between acts.
async fn written(w: &World) -> Vec<Exchange> {
    let batch: Vec<Exchange> = (0..25).map(|at| exchange(at * 1000)).collect();
    w.store.record(w.org, &act("a.one")).await.unwrap();
    w.bring(node(), &batch[..20], 20).await;
    w.store.record(w.org, &act("a.two")).await.unwrap();
    w.bring(node(), &batch[20..], 25).await;
    batch
}

async fn pieces_of_any_size_make_up_the_whole_log(w: World) {
    let batch = written(&w).await;
    let (whole, end) =
        w.store.log_lines(w.org, Cursor::default(), Exchanges::Included, 10_000).await.unwrap();
    let seqs = w.store.audit_head(w.org).await.unwrap().seq;
    assert_eq!(end, Cursor { seq: seqs, lines: 0 });
    assert_eq!(whole.len() as u64, seqs + 25);
    for one in &batch {
        let id = one.id.to_string();
        let line = whole
            .iter()
            .filter(|line| line.json.starts_with(&format!("{{\"id\":\"{id}\"")))
            .collect::<Vec<_>>();
        assert_eq!(line.len(), 1, "{id}");
        assert!(line[0].json.contains(&one.request_id), "{}", line[0].json);
    }
    for most in [1, 2, 3, 7, 20, 21, 22] {
        let (mut all, mut at) = (Vec::new(), Cursor::default());
        loop {
            let (lines, next) = w.store.log_lines(w.org, at, Exchanges::Included, most).await.unwrap();
            assert!(lines.len() <= most, "{most}");
            if next == at {
                assert!(lines.is_empty());
                break;
            }
            all.extend(lines);
            at = next;
        }
        assert_eq!(all, whole, "in pieces of {most}");
        assert_eq!(at, end);
    }
}

async fn exchanges_can_be_left_out(w: World) {
    written(&w).await;
    let (lines, end) = w.store.log_lines(w.org, Cursor::default(), Exchanges::LeftOut, 10_000).await.unwrap();
    assert_eq!(lines.len() as u64, end.seq);
    assert!(lines.iter().all(|line| line.json.contains("\"type\":\"audit\"")));
}

async fn a_place_is_moved_on_by_one_only(w: World) {
    let (start, then) = (Cursor::default(), Cursor { seq: 3, lines: 2 });
    w.store.begin_log_forward(w.org, "siem", start, NOW).await.unwrap();
    w.store.begin_log_forward(w.org, "siem", then, NOW).await.unwrap();
    w.store.fail_log_forward(w.org, "siem", "away", NOW).await.unwrap();
    let later = NOW.plus_millis(1);
    w.store.fail_log_forward(w.org, "siem", "still away", later).await.unwrap();
    let failing = w.store.log_forwards(w.org).await.unwrap().remove(0);
    assert_eq!(
        (failing.cursor, failing.failing_since, failing.failure.as_deref()),
        (start, Some(NOW), Some("still away"))
    );
    assert!(w.store.move_log_forward(w.org, "siem", (start, then), 5, later).await.unwrap());
    assert!(!w.store.move_log_forward(w.org, "siem", (start, then), 5, later).await.unwrap());
    let moved = w.store.log_forwards(w.org).await.unwrap().remove(0);
    assert_eq!((moved.cursor, moved.delivered, moved.failing_since, moved.moved_at), (then, 5, None, later));
}
