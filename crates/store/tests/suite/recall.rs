//! With which provider a session was, as the ledger has it.

use crate::engines::{World, node, on_both};
use crate::ledger::exchange;
use gatehouse_domain::exchange::{Exchange, Principal};

on_both!(a_sessions_provider_is_the_one_that_answered_last);

async fn a_sessions_provider_is_the_one_that_answered_last(w: World) {
    let (mine, other) = (w.somebody("recall-a@example.com").await, w.somebody("recall-b@example.com").await);
    let with = |principal: Principal, at: i64, provider: &str, session: &str, status: u16| Exchange {
        principal: Some(principal),
        provider: Some(provider.to_owned()),
        session: Some(session.to_owned()),
        status,
        ..exchange(at)
    };
    let all = [
        with(mine, 0, "main", "s", 200),
        with(mine, 1, "b", "s", 200),
        with(mine, 2, "main", "s", 529),
        with(mine, 3, "main", "t", 200),
        with(other, 4, "c", "s", 200),
    ];
    assert_eq!(w.bring(node(), &all, 1).await, all.len());
    for (principal, session, expected) in
        [(mine, "s", Some("b")), (mine, "t", Some("main")), (other, "s", Some("c")), (other, "t", None)]
    {
        let found = w.store.session_provider(w.org, principal.user, session).await.unwrap();
        assert_eq!(found.as_deref(), expected, "{session}");
    }
}
