//! What the provider says of people's use, on both engines: kept once, found by whose it is, and counted beside others' word.

use std::collections::HashMap;

use gatehouse_domain::analytics::{Actor, Record, Subject};
use gatehouse_domain::exchange::{Ended, Exchange};
use gatehouse_domain::id::UserId;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::{Amount, Measure, Point, Report, Sums};
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::analytics::{AnalyticsBy, Import, Taken, Word};

use crate::engines::{NOW, World, act, node, on_both, unique};
use crate::ledger::exchange;

on_both!(
    a_day_that_comes_again_takes_the_place_of_what_was_there,
    an_actor_is_the_user_of_that_address_also_later,
    sums_are_asked_for_by_every_side_and_scope,
    of_a_person_and_day_one_word_counts,
    the_last_day_is_looked_for_further_back_than_sums,
    the_greatest_amounts_do_not_break_sums,
);

fn record(actor: &Actor, back: i64, model: &str, amounts: &[(Measure, i64)]) -> Record {
    let mut sums = Sums::default();
    for (measure, amount) in amounts {
        sums.add(*measure, *amount);
    }
    let of = Subject {
        day: NOW.plus_millis(-back * DAY_MS).day(),
        organization: "org-1".to_owned(),
        actor: actor.clone(),
        customer: "api".to_owned(),
        terminal: "vscode".to_owned(),
        model: model.to_owned(),
    };
    Record { of, sums }
}

fn person(address: &str) -> Actor {
    Actor::Person(address.to_owned())
}

impl World {
    async fn tell(&self, source: Option<&str>, days: &[i64], figures: &[Record]) -> Taken {
        let days: Vec<UnixMillis> = days.iter().map(|back| NOW.plus_millis(-back * DAY_MS).day()).collect();
        let import = Import { days: &days, source, figures };
        let act = act("analytics.import");
        self.store.keep_analytics(self.org, &import, source.is_none().then_some(&act)).await.unwrap()
    }

    async fn told(&self, scope: Scope, by: AnalyticsBy, measure: Measure) -> Vec<(String, i64)> {
        let rows = self.store.analytics(self.org, scope, by, None, None).await.unwrap();
        rows.into_iter().map(|row| (row.name.unwrap_or(row.id), row.sums.of(measure))).collect()
    }

    async fn sessions(&self) -> i64 {
        let rows = self.told(Scope::Organization, AnalyticsBy::Total, Measure::Sessions).await;
        rows.first().map_or(0, |row| row.1)
    }
}

async fn a_day_that_comes_again_takes_the_place_of_what_was_there(w: World) {
    let ada = person("ada@example.com");
    let day = |back, sessions| record(&ada, back, "", &[(Measure::Sessions, sessions)]);
    w.tell(Some("main"), &[0], &[day(0, 3)]).await;
    w.tell(Some("main"), &[1], &[day(1, 10)]).await;
    w.tell(Some("main"), &[0], &[day(0, 5)]).await;
    assert_eq!(w.sessions().await, 15, "today anew, yesterday as it was");
    // By hand, the same organization's day: it is the same day.
    w.tell(None, &[0], &[day(0, 7)]).await;
    assert_eq!(w.sessions().await, 17);
    // Another organization's day stands beside it, whoever brings it.
    let mut other = day(0, 100);
    "org-2".clone_into(&mut other.of.organization);
    w.tell(None, &[0], &[other.clone()]).await;
    assert_eq!(w.sessions().await, 117);
    w.tell(None, &[0], &[day(0, 7)]).await;
    assert_eq!(w.sessions().await, 117);
    // A report that tells of nobody any more takes back what it told, and nothing else.
    w.tell(Some("main"), &[1], &[]).await;
    assert_eq!(w.sessions().await, 107);
}

async fn an_actor_is_the_user_of_that_address_also_later(w: World) {
    let ada = w.user("Ada@Example.com", &[]).await;
    let figures = [
        record(&person("ada@example.com"), 0, "", &[(Measure::Sessions, 1)]),
        record(&person("bob@example.com"), 0, "", &[(Measure::Sessions, 2)]),
        record(&Actor::Key("bob@example.com".to_owned()), 0, "", &[(Measure::Sessions, 4)]),
    ];
    let taken = w.tell(Some("main"), &[0], &figures).await;
    let named = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    assert_eq!((taken.people, taken.strangers), (1, 2));
    assert_eq!(taken.named, [named("bob@example.com", "key"), named("bob@example.com", "person")]);
    let of = async |user| {
        let rows = w.told(Scope::User(user), AnalyticsBy::Total, Measure::Sessions).await;
        rows.first().map_or(0, |row| row.1)
    };
    assert_eq!(of(ada.id).await, 1);
    // Whoever joins later is known with the next import, of whatever day; a key is nobody.
    let bob = w.user("bob@example.com", &[]).await;
    assert_eq!(of(bob.id).await, 0);
    w.tell(Some("main"), &[3], &[]).await;
    assert_eq!((of(bob.id).await, of(ada.id).await), (2, 1));
}

async fn sums_are_asked_for_by_every_side_and_scope(w: World) {
    let team = w.team("Core").await;
    let ada = w.user("ada@example.com", &[team.id]).await;
    let mut figures = vec![
        record(&person("ada@example.com"), 1, "", &[(Measure::Sessions, 1)]),
        record(&person("ada@example.com"), 1, "claude-opus-5-5", &[(Measure::Cost, 70)]),
        record(&person("ada@example.com"), 0, "claude-opus-5-5", &[(Measure::Cost, 5)]),
        record(&person("eve@example.org"), 0, "claude-haiku-5-5", &[(Measure::Cost, 9)]),
        record(&Actor::Key("ci".to_owned()), 0, "claude-haiku-5-5", &[(Measure::Cost, 200)]),
    ];
    "tmux".clone_into(&mut figures[3].of.terminal);
    w.tell(Some("main"), &[0, 1], &figures).await;
    let by = async |by| w.told(Scope::Organization, by, Measure::Cost).await;
    let row = |name: &str, cost: i64| (name.to_owned(), cost);
    assert_eq!(
        by(AnalyticsBy::User).await,
        [row("ci", 200), row("ada@example.com", 75), row("eve@example.org", 9)]
    );
    assert_eq!(
        by(AnalyticsBy::Model).await,
        [row("claude-haiku-5-5", 209), row("claude-opus-5-5", 75), row("", 0)]
    );
    assert_eq!(by(AnalyticsBy::Terminal).await, [row("vscode", 275), row("tmux", 9)]);
    let days = [NOW.plus_millis(-DAY_MS).day().0, NOW.day().0].map(|day| day.to_string());
    assert_eq!(by(AnalyticsBy::Day).await, [row(&days[0], 70), row(&days[1], 214)]);
    for scope in [Scope::User(ada.id), Scope::Team(team.id)] {
        assert_eq!(w.told(scope, AnalyticsBy::User, Measure::Cost).await, [row("ada@example.com", 75)]);
    }
    let since =
        |since, until| w.store.analytics(w.org, Scope::Organization, AnalyticsBy::Total, since, until);
    let cost = |rows: Vec<gatehouse_store::telemetry::ClientUsageRow>| rows[0].sums.of(Measure::Cost);
    assert_eq!(cost(since(Some(NOW), None).await.unwrap()), 214, "the whole day that it is in");
    assert_eq!(cost(since(None, Some(NOW.day())).await.unwrap()), 70);
}

/// Ada has an exchange today, and one that was refused yesterday; Bob telemetry of today; Cyd neither. Analytics tell of all of them on
/// both days.
async fn three_people(w: &World) -> [UserId; 3] {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    let cyd = w.user("cyd@example.com", &[]).await;
    let today = Exchange { principal: Some(ada), ..exchange(0) };
    let refused = Exchange {
        principal: Some(ada),
        ended: Ended::Refused,
        status: 403,
        provider: None,
        ..exchange(-DAY_MS)
    };
    w.bring(node(), &[today, refused], 2).await;
    let point = |at| Point { measure: Measure::Sessions, model: String::new(), at, amount: Amount::More(2) };
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&unique().to_le_bytes());
    let report = Report {
        user: bob.user,
        team: None,
        digest,
        came: NOW,
        points: vec![point(NOW)],
        events: Vec::new(),
    };
    w.store.keep_reports(w.org, &[report]).await.unwrap();
    let figures: Vec<Record> = ["ada@example.com", "bob@example.com", "cyd@example.com"]
        .into_iter()
        .flat_map(|who| [0, 1].map(|back| (who, back)))
        .map(|(who, back)| {
            record(&person(who), back, "", &[(Measure::Sessions, 10 + back), (Measure::Cost, 1)])
        })
        .collect();
    w.tell(Some("main"), &[0, 1], &figures).await;
    [ada.user, bob.user, cyd.id]
}

async fn of_a_person_and_day_one_word_counts(w: World) {
    let [ada, bob, cyd] = three_people(&w).await;
    let of = async |word| {
        let since = NOW.plus_millis(-DAY_MS);
        let mut rows: Vec<_> = w
            .store
            .stand_ins(w.org, word, since, NOW.plus_millis(1))
            .await
            .unwrap()
            .into_iter()
            .map(|one| (one.user, one.days, one.sums.of(Measure::Sessions)))
            .collect();
        rows.sort();
        rows
    };
    let sorted = |mut rows: Vec<_>| {
        rows.sort();
        rows
    };
    assert_eq!(of(Word::Telemetry).await, [(bob, 1, 2)]);
    assert_eq!(of(Word::Analytics).await, sorted(vec![(ada, 1, 11), (bob, 1, 11), (cyd, 2, 21)]));
    assert_eq!(
        of(Word::AnalyticsBesideExchanges).await,
        sorted(vec![(ada, 2, 21), (bob, 1, 11), (cyd, 2, 21)])
    );
}

async fn the_last_day_is_looked_for_further_back_than_sums(w: World) {
    let [ada, bob, cyd] = three_people(&w).await;
    let (day, end) = (NOW.day(), NOW.plus_millis(1));
    let from = async |first| w.store.stand_ins_from(w.org, Word::Analytics, first, NOW, end).await.unwrap();
    let before = Some(day.plus_millis(-DAY_MS));
    let told = from(NOW.plus_millis(-DAY_MS)).await;
    let last: HashMap<_, _> = told.iter().map(|one| (one.user, (one.days, one.last))).collect();
    assert_eq!(last, HashMap::from([(ada, (0, before)), (bob, (0, before)), (cyd, (1, Some(day)))]));
    assert!(told.iter().filter(|one| one.user != cyd).all(|one| one.sums == Sums::default()));
    let told = from(NOW).await;
    assert_eq!(told.iter().map(|one| (one.user, one.last)).collect::<Vec<_>>(), [(cyd, Some(day))]);
}

async fn the_greatest_amounts_do_not_break_sums(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let huge = |n: i64| record(&person("ada@example.com"), 0, &format!("m{n}"), &[(Measure::Cost, i64::MAX)]);
    let mut figures: Vec<Record> = (0..100).map(huge).collect();
    for figure in &mut figures {
        figure.sums.0[Measure::Cost as usize] = i64::MAX;
    }
    w.tell(None, &[0], &figures).await;
    let of = w.told(Scope::User(ada.id), AnalyticsBy::User, Measure::Cost).await;
    assert_eq!(of, [("ada@example.com".to_owned(), i64::MAX)]);
    let told = w.store.stand_ins(w.org, Word::Analytics, NOW, NOW.plus_millis(1)).await.unwrap();
    assert_eq!((told[0].days, told[0].sums.of(Measure::Cost)), (1, i64::MAX));
}
