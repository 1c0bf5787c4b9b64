//! The forward proxy's rules and tunnels, on both engines.

use gatehouse_domain::exchange::Credential;
use gatehouse_domain::id::TunnelId;
use gatehouse_domain::key::KeyKind;
use gatehouse_domain::proxy::{Action, Close, End, Holder, Rule, Tunnel, Verdict, Via};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::proxy::RuleRow;
use gatehouse_store::tunnel::{Spool, TunnelFilter};
use gatehouse_store::{Page, StoreError};

use crate::engines::{NOW, World, act, new_key, node, on_both, secret, unique};

on_both!(
    rules_are_kept_in_their_order_with_whom_they_concern,
    tunnels_are_written_once_and_what_has_ended_stays,
    what_is_spooled_survives_and_is_brought_in_once,
);

fn row(name: &str, holder: Holder) -> RuleRow {
    let rule = Rule {
        name: name.into(),
        holder,
        action: Action::Allow,
        hosts: vec!["preset:core".parse().unwrap(), "*.corp.example".parse().unwrap()],
        ports: vec![443, 8443],
        plain: true,
        internal: vec!["10.0.0.0/8".parse().unwrap()],
        window: Some("mon-fri 07:00-19:00".parse().unwrap()),
    };
    RuleRow { rule, holder_name: None, created_at: NOW }
}

async fn rules_are_kept_in_their_order_with_whom_they_concern(w: World) {
    let (team, user) = (w.team("Core").await, w.user("dev@example.com", &[]).await);
    let rows = [
        row("all", Holder::Organization),
        RuleRow { holder_name: Some("Core".into()), ..row("team", Holder::Team(team.id)) },
        RuleRow { holder_name: Some("dev@example.com".into()), ..row("one", Holder::User(user.id)) },
    ];
    let before = w.store.policy_version(w.org).await.unwrap();
    assert_eq!(w.store.proxy_access(w.org).await.unwrap().0.rules, []);
    for (row, front) in [(&rows[0], None), (&rows[1], Some("all")), (&rows[2], Some("all"))] {
        w.store.add_proxy_rule(w.org, row, front, &act("proxy_rule.add")).await.unwrap();
    }
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), before + 3);
    let listed = w.store.proxy_rules(w.org).await.unwrap();
    assert_eq!(listed, [rows[1].clone(), rows[2].clone(), rows[0].clone()]);
    let (policy, people) = w.store.proxy_access(w.org).await.unwrap();
    assert_eq!((policy.rules.len(), people.len()), (3, 1));
    assert_eq!((people[0].email.as_str(), people[0].user), ("dev@example.com", user.id));

    let again = w.store.add_proxy_rule(w.org, &rows[0], None, &act("proxy_rule.add")).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let nowhere = w
        .store
        .add_proxy_rule(w.org, &row("x", Holder::Organization), Some("none"), &act("proxy_rule.add"))
        .await;
    assert!(matches!(nowhere, Err(StoreError::NotFound { .. })), "{nowhere:?}");
    w.store.remove_proxy_rule(w.org, "one", &act("proxy_rule.remove")).await.unwrap();
    let gone = w.store.remove_proxy_rule(w.org, "one", &act("proxy_rule.remove")).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

fn tunnel(w: &World, at: UnixMillis) -> Tunnel {
    Tunnel {
        id: TunnelId::new(at, u128::from(unique())),
        org: w.org,
        node: node(),
        user: None,
        via: Some(Via::Certificate),
        client: [10, 0, 0, 7].into(),
        form: "connect".into(),
        host: "api.example".into(),
        port: 443,
        pinned: None,
        rule: "all".into(),
        verdict: Verdict::Allow,
        started_at: at,
        resolve_ms: Some(3),
        connect_ms: None,
        inspected: None,
        end: None,
    }
}

fn ended(tunnel: &Tunnel, why: Close) -> Tunnel {
    let end = Some(End { at: tunnel.started_at.plus_millis(50), up: 10, down: 20, why });
    Tunnel { end, inspected: Some(3), pinned: Some([192, 0, 2, 1].into()), ..tunnel.clone() }
}

async fn tunnels_are_written_once_and_what_has_ended_stays(w: World) {
    let user = w.user("dev@example.com", &[]).await;
    let first = Tunnel { user: Some(user.id), ..tunnel(&w, NOW) };
    let second = Tunnel { verdict: Verdict::Deny, ..tunnel(&w, NOW.plus_millis(1)) };
    w.store.write_tunnels(w.org, &[first.clone(), second.clone()]).await.unwrap();
    w.store.write_tunnels(w.org, &[ended(&first, Close::Done)]).await.unwrap();
    // An older record that comes again changes nothing.
    w.store.write_tunnels(w.org, std::slice::from_ref(&first)).await.unwrap();
    let all = |filter: TunnelFilter| {
        let store = w.store.clone();
        let org = w.org;
        async move { store.tunnels(org, &filter, &Page::first(10)).await.unwrap().items }
    };
    let rows = all(TunnelFilter::default()).await;
    assert_eq!(
        rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(),
        [second.id.to_string(), first.id.to_string()]
    );
    let row = &rows[1];
    assert_eq!(
        (row.ended.as_deref(), row.bytes_up, row.pinned.as_deref()),
        (Some("done"), Some(10), Some("192.0.2.1"))
    );
    assert_eq!((row.inspected().unwrap(), rows[0].inspected().unwrap()), (Some(3), None));
    assert_eq!((row.email.as_deref(), row.via.as_deref()), (Some("dev@example.com"), Some("certificate")));
    for (filter, count) in [
        (TunnelFilter { user: Some(user.id), ..TunnelFilter::default() }, 1),
        (TunnelFilter { verdict: Some("deny".into()), ..TunnelFilter::default() }, 1),
        (TunnelFilter { since: Some(NOW.plus_millis(1)), ..TunnelFilter::default() }, 1),
        (TunnelFilter { host: Some("other.example".into()), ..TunnelFilter::default() }, 0),
    ] {
        assert_eq!(all(filter.clone()).await.len(), count, "{filter:?}");
    }
    assert_eq!(w.store.interrupt_tunnels(w.org, node(), NOW.plus_millis(99)).await.unwrap(), 1);
    assert_eq!(all(TunnelFilter::default()).await[0].ended.as_deref(), Some("interrupted"));
    assert_eq!(w.store.forget_tunnels(w.org, NOW.plus_millis(1)).await.unwrap(), 1);
    assert_eq!(all(TunnelFilter::default()).await.len(), 1);
}

async fn what_is_spooled_survives_and_is_brought_in_once(w: World) {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let user = w.user("dev@example.com", &[]).await;
    let new = new_key(user.id, &secret(KeyKind::Virtual));
    let key = w.store.create_key(w.org, &new, &act("key.create")).await.unwrap().id;
    let via = Some(Via::Credential(Credential::Key(key)));
    let tunnels: Vec<Tunnel> =
        (0..700).map(|n| Tunnel { via, user: Some(user.id), ..tunnel(&w, NOW.plus_millis(n)) }).collect();
    for tunnel in &tunnels {
        spool.write(tunnel).unwrap();
    }
    // The process dies, and its last line was cut off.
    drop(spool);
    let newer = dir.path().join("newer.jsonl");
    let mut bytes = std::fs::read(&newer).unwrap();
    bytes.extend(b"{\"id\":\"tun_");
    std::fs::write(&newer, bytes).unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.waiting(), 700);
    assert_eq!(spool.bring(&w.store, w.org).await.unwrap(), 700);
    for tunnel in &tunnels[..3] {
        spool.write(&ended(tunnel, Close::Idle)).unwrap();
    }
    assert_eq!(spool.bring(&w.store, w.org).await.unwrap(), 3);
    assert_eq!(spool.bring(&w.store, w.org).await.unwrap(), 0);
    let left: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(left, 0, "what the database has is not kept");
    let page = w.store.tunnels(w.org, &TunnelFilter::default(), &Page::first(1000)).await.unwrap();
    assert_eq!(page.items.len(), 700);
    assert_eq!(page.items.iter().filter(|row| row.ended.as_deref() == Some("idle")).count(), 3);
    assert!(w.store.key(w.org, key).await.unwrap().last_used_at.is_some(), "the key's use is noted");
}
