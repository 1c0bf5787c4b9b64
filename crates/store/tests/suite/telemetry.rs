//! What clients say of their own use, and the deployment mode, on both engines.

use gatehouse_domain::id::{ClientEventId, ModeChangeId, UserId};
use gatehouse_domain::mode::Mode;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::{Amount, Event, EventName, MAX_AMOUNT, Measure, Point, Report, Running};
use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};
use gatehouse_store::Page;
use gatehouse_store::ledger::TRIED;
use gatehouse_store::telemetry::{ClientBy, EventFilter, Kept, REMEMBERED_MS};

use crate::engines::{NOW, World, act, on_both, unique};

on_both!(
    a_report_counts_once_however_often_it_comes,
    running_sums_count_what_is_new,
    sums_are_asked_for_by_every_side,
    events_are_listed_and_cleared,
    a_page_of_rare_events_looks_at_a_bounded_part,
    absurd_claims_do_not_break_sums,
    the_newest_change_of_the_mode_decides,
);

const ADA: UserId = UserId::from_bits(0xada);

fn digest(n: u64) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    digest
}

fn report(points: Vec<Point>) -> Report {
    Report { user: ADA, team: None, digest: digest(unique()), came: NOW, points, events: Vec::new() }
}

fn cost(amount: Amount) -> Point {
    Point { measure: Measure::Cost, model: "claude-opus-5-5".to_owned(), at: NOW, amount }
}

fn event(at: UnixMillis, name: EventName) -> Event {
    Event {
        id: ClientEventId::new(at, u128::from(unique())),
        at,
        name,
        model: String::new(),
        session: "s".to_owned(),
        attributes: "{\"a\":1}".to_owned(),
        adds: vec![(Measure::Prompts, 1)],
    }
}

async fn sum(w: &World, measure: Measure) -> i64 {
    let rows = w.store.client_usage(w.org, Scope::Organization, ClientBy::Total, None, None).await.unwrap();
    rows.first().map_or(0, |row| row.sums.of(measure))
}

/// Reports come in any order, in any company, any number of times: each counts once.
async fn a_report_counts_once_however_often_it_comes(w: World) {
    let reports: Vec<Report> = (1..=20).map(|n| report(vec![cost(Amount::More(1 << n))])).collect();
    let all: i64 = (1..=20).map(|n| 1_i64 << n).sum();
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance % below as u64).unwrap()
    };
    let mut counted = 0;
    for _ in 0..25 {
        let batch: Vec<Report> = (0..=next(6)).map(|_| reports[next(reports.len())].clone()).collect();
        let kept = w.store.keep_reports(w.org, &batch).await.unwrap();
        counted += kept.iter().filter(|kept| **kept == Kept::Counted(0)).count();
    }
    counted += w
        .store
        .keep_reports(w.org, &reports)
        .await
        .unwrap()
        .iter()
        .filter(|k| **k == Kept::Counted(0))
        .count();
    assert_eq!((counted, sum(&w, Measure::Cost).await), (reports.len(), all));
    let rows =
        w.store.usage(w.org, Scope::Organization, gatehouse_store::ledger::By::Total, None, None).await;
    assert!(rows.unwrap().is_empty(), "claims are no part of the ledger's sums");
}

async fn running_sums_count_what_is_new(w: World) {
    let point = |stream: u8, nanos: i64, total: i64| {
        cost(Amount::Since(Running { stream: [stream; 32], nanos, total }))
    };
    for (points, expected) in [
        (vec![point(1, 10, 100)], 100),
        (vec![point(1, 20, 150), point(2, 5, 7)], 157),
        // Late, and once more.
        (vec![point(1, 15, 120), point(1, 20, 150)], 157),
        // Begun anew.
        (vec![point(1, 30, 40)], 197),
        (vec![point(1, 31, 41), point(1, 32, 42), point(1, 32, 42)], 199),
    ] {
        w.store.keep_reports(w.org, &[report(points)]).await.unwrap();
        assert_eq!(sum(&w, Measure::Cost).await, expected);
    }
    let mut other = report(vec![point(1, 32, 42)]);
    other.user = UserId::from_bits(0xb0b);
    w.store.keep_reports(w.org, &[other]).await.unwrap();
    assert_eq!(sum(&w, Measure::Cost).await, 199 + 42, "another person's stream is another one");
}

async fn sums_are_asked_for_by_every_side(w: World) {
    let team = w.team("Core").await;
    let at = |hours: i64| UnixMillis(NOW.0 + hours * HOUR_MS);
    let mut mine = report(vec![cost(Amount::More(5)), Point { at: at(30), ..cost(Amount::More(7)) }]);
    mine.team = Some(team.id);
    mine.points.push(Point {
        measure: Measure::Sessions,
        model: String::new(),
        at: NOW,
        amount: Amount::More(1),
    });
    let mut other = report(vec![cost(Amount::More(11))]);
    other.user = UserId::from_bits(0xb0b);
    w.store.keep_reports(w.org, &[mine, other]).await.unwrap();
    for (by, expected) in [
        (ClientBy::User, vec![12, 11]),
        (ClientBy::Team, vec![12, 11]),
        (ClientBy::Model, vec![23, 0]),
        (ClientBy::Day, vec![16, 7]),
        (ClientBy::Hour, vec![16, 7]),
        (ClientBy::Total, vec![23]),
    ] {
        let rows = w.store.client_usage(w.org, Scope::Organization, by, None, None).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.sums.of(Measure::Cost)).collect::<Vec<_>>(), expected, "{by:?}");
    }
    for (scope, expected) in [(Scope::Team(team.id), 12), (Scope::User(UserId::from_bits(0xb0b)), 11)] {
        let rows = w.store.client_usage(w.org, scope, ClientBy::Total, None, None).await.unwrap();
        assert_eq!(rows[0].sums.of(Measure::Cost), expected);
    }
    let late =
        w.store.client_usage(w.org, Scope::Organization, ClientBy::Total, Some(at(24)), Some(at(48))).await;
    assert_eq!(late.unwrap()[0].sums.of(Measure::Cost), 7);
}

async fn events_are_listed_and_cleared(w: World) {
    let at = |days: i64| UnixMillis(NOW.0 - days * DAY_MS);
    let mut one = report(Vec::new());
    one.events = (0..40).map(|day| event(at(day), EventName::UserPrompt)).collect();
    one.events.push(event(at(1), EventName::FeedbackSurvey));
    w.store.keep_reports(w.org, &[one.clone()]).await.unwrap();
    let all =
        async |filter: EventFilter| w.store.client_events(w.org, &filter, &Page::first(100)).await.unwrap();
    assert_eq!(all(EventFilter::default()).await.items.len(), 41);
    let named = EventFilter { name: Some(EventName::FeedbackSurvey), ..EventFilter::default() };
    assert_eq!(all(named).await.items.len(), 1);
    let recent = EventFilter { since: Some(at(3)), user: Some(ADA), ..EventFilter::default() };
    assert_eq!(all(recent).await.items.len(), 5);
    w.store.clear_reports(w.org, 10 * DAY_MS, NOW).await.unwrap();
    assert_eq!(all(EventFilter::default()).await.items.len(), 12);
    assert_eq!(sum(&w, Measure::Prompts).await, 41, "sums stay");
    assert_eq!(w.store.keep_reports(w.org, &[one.clone()]).await.unwrap(), [Kept::Again]);
    w.store.clear_reports(w.org, DAY_MS, UnixMillis(NOW.0 + REMEMBERED_MS + 1)).await.unwrap();
    one.events.clear();
    assert_eq!(
        w.store.keep_reports(w.org, &[one]).await.unwrap(),
        [Kept::Counted(0)],
        "forgotten after two days"
    );
}

/// A name is tried on so many events for a page and no more; going on finds everything.
async fn a_page_of_rare_events_looks_at_a_bounded_part(w: World) {
    let mut one = report(Vec::new());
    let at = |ms: i64| UnixMillis(NOW.0 + ms);
    one.events = vec![
        event(at(0), EventName::FeedbackSurvey),
        event(at(1), EventName::UserPrompt),
        event(at(2_000_000), EventName::FeedbackSurvey),
    ];
    w.store.keep_reports(w.org, &[one.clone()]).await.unwrap();
    // Many like the second one, between the first and the last.
    let prefix = one.events[1].id.to_string();
    let before = &prefix[..prefix.len() - 8];
    w.behind_its_back(&format!(
        "INSERT INTO client_events WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {TRIED}) \
         SELECT org_id, '{before}' || SUBSTR(CAST(10000000 + i AS TEXT), 1, 8), user_id, team_id, name, model, session, \
         attributes FROM client_events, n WHERE id = '{prefix}'"
    ))
    .await;
    let filter = EventFilter { name: Some(EventName::FeedbackSurvey), ..EventFilter::default() };
    let (mut page, mut found, mut pages) = (Page::first(10), Vec::new(), 0);
    loop {
        let listed = w.store.client_events(w.org, &filter, &page).await.unwrap();
        found.extend(listed.items.iter().map(|row| row.id));
        pages += 1;
        let Some(next) = listed.next else { break };
        page = Page::after(next, 10);
    }
    assert_eq!((found, pages), (vec![one.events[2].id, one.events[0].id], 2));
}

async fn absurd_claims_do_not_break_sums(w: World) {
    for _ in 0..3 {
        let points = vec![cost(Amount::More(i64::MAX)); 5000];
        w.store.keep_reports(w.org, &[report(points)]).await.unwrap();
    }
    let mut odd = report(vec![cost(Amount::More(-5))]);
    "a\0b".clone_into(&mut odd.points[0].model);
    odd.user = UserId::from_bits(7);
    w.store.keep_reports(w.org, &[odd]).await.unwrap();
    assert_eq!(sum(&w, Measure::Cost).await, MAX_AMOUNT.saturating_mul(15_000));
}

async fn the_newest_change_of_the_mode_decides(w: World) {
    let team = w.team("Core").await;
    assert!(w.store.modes(w.org).await.unwrap().is_empty());
    let mut at = NOW.0;
    for (of, mode) in [
        (None, Some(Mode::Direct)),
        (Some(team.id), Some(Mode::Hybrid)),
        (None, Some(Mode::Proxy)),
        (Some(team.id), None),
    ] {
        at += 1;
        let id = ModeChangeId::new(UnixMillis(at), 0);
        w.store.set_mode(w.org, id, of, mode, &act("mode.set")).await.unwrap();
    }
    let modes = w.store.modes(w.org).await.unwrap();
    let told: Vec<_> = modes.iter().map(|change| (change.team, change.mode)).collect();
    assert_eq!(told, [(None, Some(Mode::Proxy)), (Some(team.id), None)]);
    let history = w.store.mode_changes(w.org, &Page::first(3)).await.unwrap();
    assert_eq!(history.items[2].mode, Some(Mode::Hybrid));
    assert_eq!(history.items[2].team_name.as_deref(), Some("Core"));
    assert!(history.next.is_some());
    let nobody = gatehouse_domain::id::TeamId::from_bits(5);
    let id = ModeChangeId::new(UnixMillis(at + 1), 0);
    assert!(w.store.set_mode(w.org, id, Some(nobody), Some(Mode::Proxy), &act("mode.set")).await.is_err());
}
