//! The last cent (P2).

use std::sync::atomic::{AtomicUsize, Ordering};

use gatehouse_testkit::wait;

use super::cluster;
use crate::budgets::{cost, held, worst};
use crate::world::{ask, echo};

#[test]
fn two_hundred_calls_on_three_nodes_race_for_the_last_cent() {
    let Some(c) = cluster(3, "", held(1, 50)) else { return };
    let body = ask(false);
    let fit: i64 = 7;
    let limit = fit * worst(&body) + worst(&body) - 1;
    let id = c.budget(limit, &["--user", "dev@example.com", "--period", "total"]);
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for call in 0..200 {
            let (c, body, passed, refused) = (&c, &body, &passed, &refused);
            scope.spawn(move || {
                let reply = c.nodes[call % 3].post(&c.key, body);
                match reply.status {
                    200 => passed.fetch_add(1, Ordering::Relaxed),
                    429 if reply.header("retry-after").is_none() => refused.fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other}: {}", reply.text()),
                };
            });
        }
        wait::until("all to be let in or refused", || {
            (refused.load(Ordering::Relaxed) == 200 - usize::try_from(fit).unwrap()).then_some(())
        });
        // Nobody was refused for want of an answer.
        let all = c.exchanges();
        assert_eq!(all.iter().filter(|e| e["reason"] == "budget").count(), 193, "{all:#?}");
        for _ in 0..fit {
            c.provider.release();
        }
    });
    assert_eq!(passed.load(Ordering::Relaxed), usize::try_from(fit).unwrap());
    let spent = fit * cost(1, 50);
    assert_eq!(c.ledger(), spent);
    for node in 0..3 {
        wait::until("all nodes to know it", || (c.standing(node, &id) == (spent, 0)).then_some(()));
    }
    // What was reserved and not spent is there again, wherever it was: one after the other, on every node in turn, until the
    // next would not fit. Nobody is refused before.
    c.provider.now(echo(1, 50));
    let mut more = 0;
    while c.nodes[usize::try_from(more).unwrap() % 3].post(&c.key, &body).status == 200 {
        more += 1;
    }
    assert_eq!(more, (limit - worst(&body) - spent) / cost(1, 50) + 1);
    assert_eq!(c.ledger(), spent + more * cost(1, 50));
}

#[test]
fn a_budget_made_while_others_spend_counts_what_all_nodes_have_spent() {
    let Some(c) = cluster(3, "", echo(1, 50)) else { return };
    let body = ask(false);
    for call in 0..9 {
        assert_eq!(c.nodes[call % 3].post(&c.key, &body).status, 200);
    }
    let id = c.budget(9 * cost(1, 50) + worst(&body), &["--user", "dev@example.com"]);
    assert_eq!(c.standing(1, &id), (9 * cost(1, 50), 0));
    assert_eq!(c.nodes[2].post(&c.key, &body).status, 200);
    let refused = c.nodes[1].post(&c.key, &body);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("budget is used up"), "{}", refused.text());
    // A limit that is raised on one node counts on all of them.
    c.nodes[0].json(&["budget", "set", &id, "--limit", "1"]);
    c.in_force();
    for node in &c.nodes {
        assert_eq!(node.post(&c.key, &body).status, 200);
    }
}
