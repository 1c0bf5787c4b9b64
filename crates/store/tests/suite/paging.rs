//! Lists of 10,000 rows, page by page, on both engines.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::engines::{World, act, on_both};
use gatehouse_domain::audit::EXCHANGES;
use gatehouse_store::audit::{AuditFilter, AuditKind};
use gatehouse_store::key::KeyFilter;
use gatehouse_store::user::UserFilter;
use gatehouse_store::{Listed, Page, StoreError};

on_both!(ten_thousand_of_each_are_listed_once, a_list_that_grows_skips_and_repeats_nothing);

const ROWS: usize = 10_000;

/// Makes 10,000 users, each with a key and in one of ten teams, without 20,000 transactions.
async fn fill(w: &World) {
    let org = w.org;
    let n = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) ";
    let digits = "SUBSTR(CAST(100000 + i AS TEXT), 2)";
    let ulid = format!("'000000000000000000000' || {digits}");
    let team = "'team_0000000000000000000000000' || CAST(i % 10 AS TEXT)";
    let hash = if w.config.url == "sqlite" { "ZEROBLOB(32)" } else { "DECODE(REPEAT('00', 32), 'hex')" };
    w.behind_its_back(&format!(
        "INSERT INTO teams (org_id, id, name, folded, created_at)
           {n} SELECT '{org}', {team}, 'T' || CAST(i AS TEXT), 't' || CAST(i AS TEXT), 0 FROM n WHERE i < 10;
         INSERT INTO users (org_id, id, email, search, state, created_at)
           {n} SELECT '{org}', 'usr_' || {ulid}, 'u' || {digits} || '@example.com',
           'u' || {digits} || '@example.com', 'active', 0 FROM n;
         INSERT INTO memberships (org_id, user_id, team_id) {n} SELECT '{org}', 'usr_' || {ulid}, {team} FROM n;
         INSERT INTO keys (org_id, id, public_id, hash, user_id, state, created_at)
           {n} SELECT '{org}', 'key_' || {ulid}, 'pub' || {digits}, {hash}, 'usr_' || {ulid}, 'active', 0 FROM n;"
    ))
    .await;
}

/// All pages of a list; fails when a page takes a second.
async fn all<T>(limit: u32, list: impl AsyncFn(Page) -> Result<Listed<T>, StoreError>) -> Vec<T> {
    let mut found = Vec::new();
    let mut page = Page::first(limit);
    loop {
        let begun = Instant::now();
        let listed = list(page).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "a page took {:?}", begun.elapsed());
        assert!(listed.items.len() <= usize::try_from(limit).unwrap());
        found.extend(listed.items);
        match listed.next {
            Some(next) => page = Page::after(next, limit),
            None => return found,
        }
    }
}

async fn ten_thousand_of_each_are_listed_once(w: World) {
    fill(&w).await;
    let users = all(1000, async |page| w.store.users(w.org, &UserFilter::default(), &page).await).await;
    assert_eq!(users.len(), ROWS);
    assert!(users.is_sorted_by_key(|user| user.email.clone()));
    assert!(users.iter().all(|user| user.teams.len() == 1));
    let found = UserFilter { text: Some("U0012".to_owned()), ..UserFilter::default() };
    assert_eq!(all(3, async |page| w.store.users(w.org, &found, &page).await).await.len(), 10);
    let team = w.store.team_by_name(w.org, &users[7].teams[0].parse().unwrap()).await.unwrap();
    assert_eq!(team.members, 1000);
    let members = UserFilter { team: Some(team.id), ..UserFilter::default() };
    assert_eq!(all(999, async |page| w.store.users(w.org, &members, &page).await).await.len(), 1000);
    let keys = all(777, async |page| w.store.keys(w.org, &KeyFilter::default(), &page).await).await;
    assert_eq!(keys.iter().map(|key| key.id).collect::<HashSet<_>>().len(), ROWS);
    assert!(keys.is_sorted_by(|a, b| a.id > b.id));
    let of_one = KeyFilter { user: Some(users[5000].id), ..KeyFilter::default() };
    assert_eq!(all(10, async |page| w.store.keys(w.org, &of_one, &page).await).await.len(), 1);
    assert_eq!(w.store.load_snapshot(w.org).await.unwrap().len(), ROWS);
    let mut tx = w.store.begin().await.unwrap();
    let acts: Vec<_> = (0..ROWS).map(|n| act(if n % 10 == 0 { "key.create" } else { EXCHANGES })).collect();
    gatehouse_store::audit::append(&mut tx, w.org, &acts).await.unwrap();
    tx.commit().await.unwrap();
    let entries = async |kind, limit| {
        let filter = AuditFilter { kind, ..AuditFilter::default() };
        all(limit, async |page| w.store.audit_entries(w.org, &filter, &page).await).await.len()
    };
    // One more than appended: the organization's own entry.
    assert_eq!(entries(AuditKind::All, 1000).await, ROWS + 1);
    assert_eq!(entries(AuditKind::Acts, 100).await, ROWS / 10 + 1);
    assert_eq!(entries(AuditKind::Exchanges, 1000).await, ROWS - ROWS / 10);
}

async fn a_list_that_grows_skips_and_repeats_nothing(w: World) {
    for n in 0..20 {
        w.user(&format!("user{n:02}@example.com"), &[]).await;
    }
    let users = all(7, async |page| {
        let listed = w.store.users(w.org, &UserFilter::default(), &page).await;
        w.user(&format!("a{}@example.com", crate::engines::unique()), &[]).await;
        listed
    })
    .await;
    let old: Vec<_> = users.iter().filter(|user| user.email.starts_with("user")).collect();
    assert_eq!((old.len(), users.len()), (20, 20));
}
