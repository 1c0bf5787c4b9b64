//! Sums by several sides, locked statements, allocation rules, exchange rates and what nobody uses, on both engines.

use crate::engines::{NOW, World, act, node, on_both};
use crate::ledger::exchange;
use gatehouse_domain::exchange::{Cost, Exchange, PriceBasis, Principal};
use gatehouse_domain::id::TeamId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::allocate::{Allocation, Method, Source};
use gatehouse_domain::report::exchange_rate::ExchangeRate;
use gatehouse_domain::report::statement::{Kind, Line, digest, total};
use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};
use gatehouse_store::StoreError;
use gatehouse_store::report::{Ask, Bucket, Side, Statement, Sums, UnusedKind};

on_both!(
    sums_are_told_apart_by_any_sides,
    sums_are_limited_to_what_is_asked_for,
    a_closed_month_stays_and_what_comes_later_is_found,
    months_are_closed_once_and_in_order,
    absurd_amounts_can_be_closed,
    terms_are_kept,
    what_nobody_uses_is_found,
);

fn costing(who: Principal, at: i64, nanos: i64) -> Exchange {
    let cost = Cost { nanos: Nanos(nanos), basis: PriceBasis::Table };
    Exchange { principal: Some(who), cost, ..exchange(at) }
}

fn month() -> Month {
    Month::of(NOW)
}

fn whole(by: &[Side]) -> Ask {
    Ask::span(month().start(), month().end(), by.to_vec())
}

impl World {
    async fn sums(&self, ask: &Ask) -> Vec<Sums> {
        self.store.report_sums(self.org, ask).await.unwrap()
    }

    async fn close(&self, month: Month, kinds: &[(Kind, Month)]) -> Result<Vec<Line>, StoreError> {
        let mut lines = Vec::new();
        for (kind, used) in kinds {
            let beyond = (*kind == Kind::Adjustment).then_some(used.start());
            let ask = Ask { beyond, ..Ask::span(used.start(), used.end(), Side::ALL.to_vec()) };
            lines.extend(self.sums(&ask).await.into_iter().map(|sums| Line {
                kind: *kind,
                rule: String::new(),
                month: used.to_string(),
                whose: sums.whose,
                figures: sums.figures,
            }));
        }
        let statement = Statement {
            month,
            closed_at: NOW,
            closed_by: "test".to_owned(),
            digest: digest(self.org, month, &lines),
            lines: lines.len() as u64,
            total: total(&lines),
        };
        self.store.close_month(self.org, &statement, &lines, &act("month.close")).await?;
        assert_eq!(self.store.statement(self.org, month).await.unwrap(), Some(statement));
        Ok(lines)
    }
}

async fn sums_are_told_apart_by_any_sides(w: World) {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    let haiku = Exchange { model: Some("claude-haiku-5-5".to_owned()), ..costing(ada, 1, 30) };
    let next_day = costing(bob, DAY_MS, 500);
    w.bring(node(), &[costing(ada, 0, 1000), haiku, next_day, exchange(2)], 4).await;
    let shown = |sums: Vec<Sums>| {
        let row = |s: Sums| {
            (s.at.0, s.whose.team, s.whose.user, s.whose.model, s.figures.requests, s.figures.cost.0)
        };
        sums.into_iter().map(row).collect::<Vec<_>>()
    };
    let row = |at: i64, team: &str, user: &str, model: &str, requests, cost| {
        (at, team.to_owned(), user.to_owned(), model.to_owned(), requests, cost)
    };
    assert_eq!(shown(w.sums(&whole(&[])).await), [row(0, "", "", "", 4, 2530)]);
    let by_user = shown(w.sums(&whole(&[Side::User])).await);
    assert_eq!(
        by_user,
        [
            row(0, "", "", "", 1, 1000),
            row(0, "", "ada@example.com", "", 2, 1030),
            row(0, "", "bob@example.com", "", 1, 500)
        ]
    );
    let both = shown(w.sums(&whole(&[Side::Team, Side::Model])).await);
    assert!(both.contains(&row(0, "Team of ada@example.com", "", "claude-haiku-5-5", 1, 30)), "{both:?}");
    assert_eq!(both.iter().map(|row| row.5).sum::<i64>(), 2530);
    let days = shown(w.sums(&Ask { bucket: Bucket::Day, ..whole(&[]) }).await);
    let day = NOW.day().0;
    assert_eq!(days, [row(day, "", "", "", 3, 2030), row(day + DAY_MS, "", "", "", 1, 500)]);
    let hours = shown(w.sums(&Ask { bucket: Bucket::Hour, ..whole(&[Side::User]) }).await);
    assert_eq!((hours.len(), hours[0].0), (3, NOW.hour().0));
    let figures = w.sums(&whole(&[])).await[0].figures;
    assert_eq!((figures.tokens.input, figures.tokens.cache_write_1h, figures.web_searches), (4, 12, 4));
    // Whole days come from the daily sums, anything else from the hourly ones: they are the same.
    let hourly = Ask { until: month().end().plus_millis(-1), ..whole(&Side::ALL) };
    assert_eq!(w.sums(&hourly).await, w.sums(&whole(&Side::ALL)).await);
    let nothing = Ask::span(UnixMillis(0), UnixMillis(HOUR_MS), Vec::new());
    assert_eq!(w.sums(&nothing).await, []);
}

async fn sums_are_limited_to_what_is_asked_for(w: World) {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    w.bring(node(), &[costing(ada, 0, 10), costing(bob, 0, 200), exchange(3)], 3).await;
    let only = |side, values: &[String]| Ask { only: vec![(side, values.to_vec())], ..whole(&[]) };
    let cost = async |ask: &Ask| w.sums(ask).await.first().map_or(0, |sums| sums.figures.cost.0);
    assert_eq!(cost(&only(Side::User, &[ada.user.to_string()])).await, 10);
    assert_eq!(cost(&only(Side::User, &[ada.user.to_string(), bob.user.to_string()])).await, 210);
    assert_eq!(cost(&only(Side::Key, &[bob.key().unwrap().to_string()])).await, 200);
    assert_eq!(cost(&only(Side::Model, &["' OR 1 = 1 --".to_owned()])).await, 0);
    assert_eq!(cost(&only(Side::Team, &[])).await, 1210);
    let mut two = only(Side::User, &[ada.user.to_string()]);
    two.only.push((Side::Team, vec![bob.team.unwrap().to_string()]));
    assert_eq!(cost(&two).await, 0);
}

async fn a_closed_month_stays_and_what_comes_later_is_found(w: World) {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    w.bring(node(), &[costing(ada, 0, 1000), costing(bob, 1, 7)], 2).await;
    let first = w.close(month(), &[(Kind::Usage, month())]).await.unwrap();
    assert_eq!((first.len(), total(&first)), (2, Nanos(1007)));
    assert_eq!(w.store.statement_lines(w.org, month()).await.unwrap(), first);
    // Late: more of what was there, and somebody who was not.
    let cleo = w.somebody("cleo@example.com").await;
    w.bring(node(), &[costing(ada, 5, 11), costing(cleo, 6, 300), costing(ada, 40 * DAY_MS, 2)], 5).await;
    assert_eq!(w.store.statement_lines(w.org, month()).await.unwrap(), first);
    let next = month().next();
    let second = w.close(next, &[(Kind::Usage, next), (Kind::Adjustment, month())]).await.unwrap();
    let shown: Vec<_> = second
        .iter()
        .map(|l| (l.kind, l.month.as_str(), l.whose.user.as_str(), l.figures.requests, l.figures.cost.0))
        .collect();
    let (this, that) = (month().to_string(), next.to_string());
    let mut expected = vec![
        (Kind::Usage, that.as_str(), "ada@example.com", 1, 2),
        (Kind::Adjustment, this.as_str(), "ada@example.com", 1, 11),
        (Kind::Adjustment, this.as_str(), "cleo@example.com", 1, 300),
    ];
    // Within a month lines are in the order of their teams' identifiers.
    expected[1..]
        .sort_by_key(|line| second.iter().position(|l| (l.kind, l.whose.user.as_str()) == (line.0, line.2)));
    assert_eq!(shown, expected);
    // What was adjusted once is not adjusted again.
    let third = w.close(next.next(), &[(Kind::Adjustment, month()), (Kind::Adjustment, next)]).await.unwrap();
    assert_eq!(third, []);
    assert_eq!(w.store.statements(w.org).await.unwrap().len(), 3);
    let every = Ask::span(UnixMillis(0), NOW.plus_millis(400 * DAY_MS), Vec::new());
    assert_eq!(w.sums(&every).await[0].figures.cost.0, total(&first).0 + total(&second).0);
    // Who changes the database behind the program's back is found out.
    w.behind_its_back(
        "UPDATE statement_lines SET cost_nanos = cost_nanos - 1 WHERE user_name = 'bob@example.com'",
    )
    .await;
    let altered = w.store.statement_lines(w.org, month()).await.unwrap();
    assert_ne!(digest(w.org, month(), &altered), digest(w.org, month(), &first));
}

async fn months_are_closed_once_and_in_order(w: World) {
    let later = month().next();
    w.close(later, &[]).await.unwrap();
    for refused in [later, month(), later.next().next()] {
        let told = w.close(refused, &[]).await.unwrap_err();
        assert!(matches!(told, StoreError::Refused { .. }), "{refused}: {told:?}");
        assert_eq!(w.store.statement(w.org, refused).await.unwrap().is_some(), refused == later);
    }
    w.close(later.next(), &[]).await.unwrap();
}

async fn absurd_amounts_can_be_closed(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let rich = |at| {
        let mut e = costing(ada, at, i64::MAX);
        e.usage.tokens.input = u64::MAX;
        e
    };
    w.bring(node(), &[rich(0), rich(HOUR_MS)], 2).await;
    let lines = w.close(month(), &[(Kind::Usage, month())]).await.unwrap();
    assert_eq!(total(&lines), Nanos(i64::MAX));
    assert_eq!(w.store.statement_lines(w.org, month()).await.unwrap(), lines);
}

async fn terms_are_kept(w: World) {
    let rule = |name: &str, source, method| Allocation { name: name.to_owned(), source, method };
    let shares = Method::Fixed(vec![(TeamId::from_bits(7), 3), (TeamId::from_bits(9), u64::from(u32::MAX))]);
    let rest = rule("rest", Source::Unassigned, Method::Proportional);
    for new in [
        &rest,
        &rule("a", Source::Amount(Nanos(5)), Method::Even),
        &rule("a", Source::Amount(Nanos(6)), shares.clone()),
    ] {
        w.store.set_allocation(w.org, new, &act("allocation.set")).await.unwrap();
    }
    let kept = w.store.allocations(w.org).await.unwrap();
    assert_eq!(kept, [rule("a", Source::Amount(Nanos(6)), shares), rest.clone()]);
    let twice = rule("more", Source::Unassigned, Method::Even);
    let told = w.store.set_allocation(w.org, &twice, &act("allocation.set")).await;
    assert!(matches!(told, Err(StoreError::Refused { .. })), "{told:?}");
    w.store.set_allocation(w.org, &rest, &act("allocation.set")).await.unwrap();
    w.store.remove_allocation(w.org, "a", &act("allocation.remove")).await.unwrap();
    let gone = w.store.remove_allocation(w.org, "a", &act("allocation.remove")).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    let rate = |day: i64, per_dollar| ExchangeRate {
        currency: "EUR".parse().unwrap(),
        from: UnixMillis(day * DAY_MS),
        per_dollar,
    };
    for new in [rate(10, 900_000_000), rate(20, 1), rate(20, 950_000_000)] {
        w.store.set_exchange_rate(w.org, &new, &act("exchange_rate.set")).await.unwrap();
    }
    assert_eq!(w.store.exchange_rates(w.org).await.unwrap(), [rate(20, 950_000_000), rate(10, 900_000_000)]);
    for (before, expected) in [(10, None), (11, Some(10)), (20, Some(10)), (21, Some(20)), (99, Some(20))] {
        let found =
            w.store.exchange_rate(w.org, "EUR".parse().unwrap(), UnixMillis(before * DAY_MS)).await.unwrap();
        assert_eq!(found.map(|rate| rate.from.0 / DAY_MS), expected, "before day {before}");
    }
    assert_eq!(w.store.exchange_rate(w.org, "CNY".parse().unwrap(), NOW).await.unwrap(), None);
}

async fn what_nobody_uses_is_found(w: World) {
    let ada = w.somebody("ada@example.com").await;
    w.somebody("bob@example.com").await;
    w.bring(node(), &[costing(ada, 10 * DAY_MS, 5)], 1).await;
    let names = async |kind, since: i64| {
        let found = w.store.unused(w.org, kind, NOW.plus_millis(since)).await.unwrap();
        found.into_iter().map(|unused| unused.holder).collect::<Vec<_>>()
    };
    for kind in [UnusedKind::Seat, UnusedKind::Key] {
        assert_eq!(names(kind, DAY_MS).await, ["bob@example.com"], "{kind:?}");
        assert_eq!(names(kind, 11 * DAY_MS).await, ["ada@example.com", "bob@example.com"], "{kind:?}");
        assert_eq!(names(kind, -DAY_MS).await, [""; 0], "nobody was there before: {kind:?}");
    }
}
