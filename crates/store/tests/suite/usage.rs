//! The questions asked of the ledger: lists of exchanges and sums of usage, on both engines.

use crate::engines::{NOW, World, node, on_both};
use crate::ledger::{Books, exchange};
use gatehouse_domain::exchange::{Cost, Ended, Exchange, Kind, PriceBasis, Principal};
use gatehouse_domain::id::{ExchangeId, ProjectId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::{Amount, Measure, Point, Report};
use gatehouse_domain::time::{HOUR_MS, UnixMillis};
use gatehouse_domain::usage::Usage;
use gatehouse_store::ledger::{By, ExchangeFilter, MAX_SUMS, Order, TRIED};
use gatehouse_store::report::{Ask, Bucket, Side};
use gatehouse_store::telemetry::ClientBy;
use gatehouse_store::{Page, StoreError};

on_both!(
    exchanges_are_listed_in_pages_both_ways,
    exchanges_are_found_by_every_condition,
    exchanges_come_back_as_they_were,
    usage_is_summed_by_every_side,
    days_and_hours_give_the_same_sums,
    absurd_numbers_and_texts_come_in,
    sums_beyond_the_range_stop_at_its_end,
    more_sums_than_an_answer_may_have_are_refused,
    a_page_without_an_index_looks_at_a_bounded_part,
);

async fn exchanges_are_listed_in_pages_both_ways(w: World) {
    let batch: Vec<Exchange> = (0..95).map(|at| exchange(at * 1000)).collect();
    w.bring(node(), &batch, 95).await;
    let mut expected: Vec<ExchangeId> = batch.iter().map(|e| e.id).collect();
    for order in [Order::Oldest, Order::Newest] {
        let mut found = Vec::new();
        let mut page = Page::first(10);
        loop {
            let listed = w.store.exchanges(w.org, &ExchangeFilter::default(), order, &page).await.unwrap();
            found.extend(listed.items.iter().map(|row| row.exchange.id));
            let Some(next) = listed.next else { break };
            page = Page::after(next, 10);
        }
        assert_eq!(found, expected);
        expected.reverse();
    }
    let bad = Page::after("x".to_owned(), 10);
    let refused = w.store.exchanges(w.org, &ExchangeFilter::default(), Order::Newest, &bad).await;
    assert!(matches!(refused, Err(StoreError::Invalid { field: "after", .. })), "{refused:?}");
}

async fn exchanges_are_found_by_every_condition(w: World) {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    let a = Exchange { principal: Some(ada), ..exchange(0) };
    let b = Exchange {
        principal: Some(bob),
        model: Some("claude-haiku-5-5".to_owned()),
        ended: Ended::UpstreamError,
        status: 529,
        ..exchange(10_000)
    };
    w.bring(node(), &[a.clone(), b.clone()], 2).await;
    let all = ExchangeFilter::default;
    let cases = [
        (all(), vec![a.id, b.id]),
        (ExchangeFilter { since: Some(NOW.plus_millis(1)), ..all() }, vec![b.id]),
        (ExchangeFilter { since: Some(b.started_at), ..all() }, vec![b.id]),
        (ExchangeFilter { until: Some(b.started_at), ..all() }, vec![a.id]),
        (ExchangeFilter { user: Some(ada.user), ..all() }, vec![a.id]),
        (ExchangeFilter { key: bob.key(), ..all() }, vec![b.id]),
        (ExchangeFilter { team: bob.team, ..all() }, vec![b.id]),
        (ExchangeFilter { model: Some("claude-haiku-5-5".to_owned()), ..all() }, vec![b.id]),
        (ExchangeFilter { ended: Some(Ended::Completed), ..all() }, vec![a.id]),
        (ExchangeFilter { status: Some(529), ..all() }, vec![b.id]),
        (ExchangeFilter { user: Some(ada.user), status: Some(529), ..all() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(w.listed(&filter).await, expected, "{filter:?}");
    }
}

async fn exchanges_come_back_as_they_were(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let full = Exchange { principal: Some(ada), reason: Some("overloaded".to_owned()), ..exchange(5) };
    let bare = Exchange {
        provider: None,
        model: None,
        served_model: None,
        first_byte_ms: None,
        peer: None,
        session: None,
        client: None,
        usage: Usage::default(),
        cost: Cost::default(),
        ended: Ended::Refused,
        kind: Kind::Other,
        ..exchange(6)
    };
    w.bring(node(), &[full.clone(), bare.clone()], 2).await;
    let page = Page::first(10);
    let found = w.store.exchanges(w.org, &ExchangeFilter::default(), Order::Oldest, &page).await.unwrap();
    assert_eq!(found.items[0].exchange, full);
    assert_eq!(found.items[0].email.as_deref(), Some("ada@example.com"));
    assert_eq!(found.items[0].team.as_deref(), Some("Team of ada@example.com"));
    assert_eq!((&found.items[1].exchange, &found.items[1].email), (&bare, &None));
}

/// Name or id, requests, nano-dollars.
type Row<'a> = (&'a str, u64, i64);

async fn usage_is_summed_by_every_side(w: World) {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    let project = ProjectId::from_bits(9);
    w.bring(node(), &of_two_users(ada, Principal { project: Some(project), ..bob }), 4).await;
    let total = w.total().await;
    assert_eq!((total.requests, total.errors, total.refusals, total.estimated), (4, 1, 1, 1));
    assert_eq!((total.input_tokens, total.cache_write_5m_tokens, total.cache_write_1h_tokens), (4, 8, 12));
    assert_eq!((total.cache_read_tokens, total.output_tokens, total.web_searches), (16, 20, 4));
    assert_eq!(
        (total.cost, total.duration_ms, total.first_byte_ms, total.first_bytes),
        (Nanos(2010), 400, 60, 3)
    );
    let (hour, day) = (NOW.hour().0, NOW.day().0);
    let cases: [(By, &[Row]); 8] = [
        (By::User, &[("ada@example.com", 2, 2000), ("bob@example.com", 2, 10)]),
        (By::Team, &[("Team of ada@example.com", 2, 2000), ("Team of bob@example.com", 2, 10)]),
        (By::Model, &[("claude-opus-5-5", 3, 2000), ("claude-haiku-5-5", 1, 10)]),
        (By::Provider, &[("main", 3, 2000), ("other", 1, 10)]),
        (By::Project, &[("", 3, 2000), (&project.to_string(), 1, 10)]),
        (By::Key, &[(&ada.key().unwrap().to_string(), 2, 2000), (&bob.key().unwrap().to_string(), 2, 10)]),
        (By::Day, &[(&day.to_string(), 2, 2000), (&(day + 24 * HOUR_MS).to_string(), 2, 10)]),
        (
            By::Hour,
            &[
                (&hour.to_string(), 2, 2000),
                (&(hour + 25 * HOUR_MS).to_string(), 1, 10),
                (&(hour + 26 * HOUR_MS).to_string(), 1, 0),
            ],
        ),
    ];
    for (by, expected) in cases {
        let rows = w.store.usage(w.org, Scope::Organization, by, None, None).await.unwrap();
        let by_name = matches!(by, By::User | By::Team | By::Model | By::Provider);
        let found: Vec<Row<'_>> = rows
            .iter()
            .map(|row| {
                (if by_name { row.name.as_deref().unwrap_or("") } else { &row.id }, row.requests, row.cost.0)
            })
            .collect();
        assert_eq!(found, expected, "{by:?}");
    }
    let later = w
        .store
        .usage(w.org, Scope::Organization, By::Total, Some(NOW.plus_millis(HOUR_MS)), None)
        .await
        .unwrap();
    assert_eq!(later[0].requests, 2);
    let before = w.store.usage(w.org, Scope::Organization, By::User, None, Some(NOW.hour())).await.unwrap();
    assert_eq!(before, []);
}

/// Whatever hour a span begins and ends with, and whoever asks: days and hours together are what single exchanges add up to.
async fn days_and_hours_give_the_same_sums(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let day = NOW.day();
    let offsets = [0, 1, 23, 24, 30, 47, 48, 71, 95];
    let batch: Vec<Exchange> = (0_u32..)
        .zip(offsets)
        .map(|(n, hours)| {
            let from = day.plus_millis(hours * HOUR_MS + 1).0 - NOW.0;
            let cost = Cost { nanos: Nanos(1 << n), basis: PriceBasis::Table };
            Exchange { principal: Some(ada), cost, ..exchange(from) }
        })
        .collect();
    w.bring(node(), &batch, 9).await;
    let points = batch.iter().map(|e| Point {
        measure: Measure::Cost,
        model: "m".to_owned(),
        at: e.started_at,
        amount: Amount::More(e.cost.nanos.0),
    });
    let said = Report {
        user: ada.user,
        team: ada.team,
        digest: [1; 32],
        came: NOW,
        points: points.collect(),
        events: Vec::new(),
    };
    w.store.keep_reports(w.org, &[said]).await.unwrap();
    let hours = [0, 1, 24, 25, 48, 71, 96];
    for (since, until) in hours.iter().flat_map(|since| hours.iter().map(move |until| (*since, *until))) {
        let (since, until) = (day.plus_millis(since * HOUR_MS), day.plus_millis(until * HOUR_MS));
        let within = |e: &&Exchange| e.started_at >= since && e.started_at < until;
        let expected: i64 = batch.iter().filter(within).map(|e| e.cost.nanos.0).sum();
        let at = format!("{since} to {until}");
        for by in [By::Total, By::User, By::Day, By::Hour] {
            let sums =
                w.store.usage(w.org, Scope::Team(ada.team.unwrap()), by, Some(since), Some(until)).await;
            assert_eq!(sums.unwrap().iter().map(|sum| sum.cost.0).sum::<i64>(), expected, "{by:?} {at}");
        }
        for bucket in [Bucket::Whole, Bucket::Day, Bucket::Hour] {
            let ask = Ask { bucket, ..Ask::span(since, until, vec![Side::User]) };
            let sums = w.store.report_sums(w.org, &ask).await.unwrap();
            assert_eq!(sums.iter().map(|sum| sum.figures.cost.0).sum::<i64>(), expected, "{bucket:?} {at}");
        }
        for by in [ClientBy::Total, ClientBy::Day, ClientBy::Hour] {
            let sums = w.store.client_usage(w.org, Scope::User(ada.user), by, Some(since), Some(until)).await;
            let sum: i64 = sums.unwrap().iter().map(|row| row.sums.of(Measure::Cost)).sum();
            assert_eq!(sum, expected, "{by:?} {at}");
        }
        let later: i64 = batch.iter().filter(|e| e.started_at >= since).map(|e| e.cost.nanos.0).sum();
        assert_eq!(w.store.spent(w.org, ada.user, since).await.unwrap(), Nanos(later), "{at}");
    }
    // Within the hour that `until` lies in, all of it counts.
    let until = Some(day.plus_millis(24 * HOUR_MS + 1));
    let sums = w.store.usage(w.org, Scope::Organization, By::Total, None, until).await.unwrap();
    assert_eq!(sums[0].cost, Nanos(0b1111));
}

/// Four exchanges of two users, on two days and at two providers.
fn of_two_users(ada: Principal, bob: Principal) -> [Exchange; 4] {
    let cheap = Cost { nanos: Nanos(10), basis: PriceBasis::Contract };
    [
        Exchange { principal: Some(ada), ..exchange(0) },
        Exchange { principal: Some(ada), estimated: true, ended: Ended::ClientGone, ..exchange(1) },
        Exchange {
            principal: Some(bob),
            model: Some("claude-haiku-5-5".to_owned()),
            provider: Some("other".to_owned()),
            cost: cheap,
            first_byte_ms: None,
            ..exchange(25 * HOUR_MS)
        },
        Exchange {
            principal: Some(Principal { project: None, ..bob }),
            ended: Ended::Refused,
            cost: Cost::default(),
            ..exchange(26 * HOUR_MS)
        },
    ]
}

async fn absurd_numbers_and_texts_come_in(w: World) {
    let absurd = || {
        let mut e = exchange(0);
        e.cost.nanos = Nanos(i64::MAX);
        e.bytes_in = u64::MAX;
        e.bytes_out = u64::MAX;
        e.usage.tokens.input = u64::MAX;
        e.model = Some("zero \0 quote ' and \u{1f409}".to_owned());
        e.request_id = "\0".repeat(50);
        e
    };
    let books = Books::open(&w);
    for _ in 0..3 {
        books.journal.close(&absurd());
    }
    books.journal.close(&exchange(1));
    books.flush().await;
    assert_eq!(w.listed(&ExchangeFilter::default()).await.len(), 4);
    let rows = w.store.usage(w.org, Scope::Organization, By::Model, None, None).await.unwrap();
    assert_eq!((rows[0].cost, rows[0].requests), (Nanos(i64::MAX), 3), "a sum stops at the end of its range");
    books.close().await;
}

async fn sums_beyond_the_range_stop_at_its_end(w: World) {
    let rich = |at| {
        let mut e = exchange(at);
        e.cost.nanos = Nanos(i64::MAX);
        e.usage.tokens.input = u64::MAX;
        e
    };
    w.bring(node(), &[rich(0), rich(HOUR_MS), exchange(2)], 3).await;
    for (by, rows) in [(By::Hour, 2), (By::Day, 1), (By::Model, 1), (By::Key, 1), (By::Total, 1)] {
        let sums = w.store.usage(w.org, Scope::Organization, by, None, None).await.unwrap();
        assert_eq!(sums.len(), rows, "{by:?}");
        assert_eq!((sums[0].cost, sums[0].input_tokens), (Nanos(i64::MAX), i64::MAX as u64), "{by:?}");
    }
    assert_eq!(w.total().await.output_tokens, 15);
}

async fn more_sums_than_an_answer_may_have_are_refused(w: World) {
    w.behind_its_back(&format!(
        "INSERT INTO rollups WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {MAX_SUMS}) \
         SELECT '{}', CAST(i AS BIGINT) * 3600000, '', '', '', '', '', '', '', '', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0 \
         FROM n; INSERT INTO daily_rollups SELECT org_id, hour - hour % 86400000, '', '', '', '', '', '', '', '', COUNT(*), 0, 0, \
         0, 0, 0, 0, 0, 0, 0, COUNT(*), 0, 0, 0 FROM rollups GROUP BY org_id, hour - hour % 86400000",
        w.org
    ))
    .await;
    let told = w.store.usage(w.org, Scope::Organization, By::Hour, None, None).await.unwrap_err();
    assert!(matches!(told, StoreError::Invalid { field: "since", .. }), "{told:?}");
    let all_but_one = w
        .store
        .usage(w.org, Scope::Organization, By::Hour, Some(UnixMillis(2 * HOUR_MS)), None)
        .await
        .unwrap();
    assert_eq!(all_but_one.len(), MAX_SUMS as usize);
    assert_eq!(w.total().await.requests, u64::from(MAX_SUMS) + 1);
}

/// A condition without an index is tried on so many exchanges for a page and no more; going on finds everything.
async fn a_page_without_an_index_looks_at_a_bounded_part(w: World) {
    let rare = |at| Exchange { model: Some("rare".to_owned()), status: 529, ..exchange(at) };
    let batch = [rare(0), exchange(1), rare(2_000_000)];
    w.bring(node(), &batch, 3).await;
    // Many like the second one, between the first and the last.
    let prefix = batch[1].id.to_string();
    let (before, common) = (&prefix[..prefix.len() - 8], batch[1].id);
    w.behind_its_back(&format!(
        "CREATE TABLE many AS SELECT * FROM exchanges WHERE id = '{common}'; \
         INSERT INTO exchanges WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {TRIED}) \
         SELECT org_id, '{before}' || SUBSTR(CAST(10000000 + i AS TEXT), 1, 8), user_id, key_id, team_id, project_id, \
         model, status, ended, REPLACE(record, '{common}', '{before}' || SUBSTR(CAST(10000000 + i AS TEXT), 1, 8)) \
         FROM many, n"
    ))
    .await;
    let filter = ExchangeFilter { status: Some(529), ..ExchangeFilter::default() };
    for (order, expected) in
        [(Order::Newest, [batch[2].id, batch[0].id]), (Order::Oldest, [batch[0].id, batch[2].id])]
    {
        let (mut page, mut found, mut pages) = (Page::first(10), Vec::new(), 0);
        loop {
            let listed = w.store.exchanges(w.org, &filter, order, &page).await.unwrap();
            found.extend(listed.items.iter().map(|row| row.exchange.id));
            pages += 1;
            let Some(next) = listed.next else { break };
            page = Page::after(next, 10);
        }
        assert_eq!((found.as_slice(), pages), (expected.as_slice(), 2), "{order:?}");
    }
}
