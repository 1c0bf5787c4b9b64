//! Budgets, and what was spent of them, on both engines.

use std::sync::Arc;

use gatehouse_domain::budget::{Budget, Holder, Mode, Period, Raise, RaiseState, Raised, WhenAway};
use gatehouse_domain::exchange::{Cost, Exchange, PriceBasis, Principal};
use gatehouse_domain::id::{BudgetId, RaiseId, TeamId};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::zone::Zone;
use gatehouse_store::ledger::Alike;
use gatehouse_store::raise::RaiseFilter;
use gatehouse_store::{Page, StoreError};

use crate::engines::{NOW, World, act, node, on_both, unique};
use crate::ledger::{Books, exchange};

on_both!(
    budgets_are_kept_changed_and_removed,
    what_was_spent_is_the_ledgers_for_holder_model_provider_and_period,
    a_sum_says_up_to_where_it_reaches,
    a_raise_is_asked_for_once_decided_once_and_counts_when_approved,
);

/// The run that [`World::bring`] brings in for.
const RUN: u64 = 1;

fn budget(holder: Holder, period: Period) -> Budget {
    Budget {
        id: BudgetId::new(NOW, u128::from(unique())),
        holder,
        models: ModelScope::all(),
        provider: None,
        period,
        zone: Zone::UTC,
        limit: Nanos(5_000),
        raised: vec![],
        grace: 0,
        mode: Mode::Hard,
        thresholds: vec![50, 90],
        when_away: WhenAway::Closed,
        created_at: NOW,
    }
}

async fn budgets_are_kept_changed_and_removed(w: World) {
    let team = w.team("Core").await;
    let models = ModelScope::only(&["claude-opus-*"]).unwrap();
    let narrow =
        Budget { models, provider: Some("main".into()), ..budget(Holder::Team(team.id), Period::Week) };
    let narrow = Budget { zone: "Asia/Kolkata".parse().unwrap(), grace: 20, ..narrow };
    let wide =
        Budget { mode: Mode::Shadow, thresholds: vec![], ..budget(Holder::Organization, Period::Total) };
    let before = w.store.policy_version(w.org).await.unwrap();
    for budget in [&narrow, &wide] {
        w.store.create_budget(w.org, budget, &act("budget.add")).await.unwrap();
    }
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), before + 2);
    assert_eq!(w.store.all_budgets(w.org).await.unwrap().len(), 2);
    let row = w.store.budget(w.org, narrow.id).await.unwrap();
    assert_eq!((&row.budget, row.holder_name.as_deref()), (&narrow, Some("Core")));
    let row = w.store.budget(w.org, wide.id).await.unwrap();
    assert_eq!((&row.budget, row.holder_name), (&wide, None));
    for (holder, id) in [(narrow.holder, narrow.id), (wide.holder, wide.id)] {
        let listed = w.store.budgets(w.org, Some(holder), &Page::first(10)).await.unwrap();
        assert_eq!(listed.items.iter().map(|row| row.budget.id).collect::<Vec<_>>(), [id]);
    }
    let page = w.store.budgets(w.org, None, &Page::first(1)).await.unwrap();
    let next = w.store.budgets(w.org, None, &Page::after(page.next.unwrap(), 1)).await.unwrap();
    assert_eq!((page.items[0].budget.id, next.items[0].budget.id, next.next), (narrow.id, wide.id, None));

    let changed =
        Budget { limit: Nanos(7), mode: Mode::Hard, thresholds: vec![10], grace: 5, ..wide.clone() };
    w.store.set_budget(w.org, &changed, &act("budget.set")).await.unwrap();
    assert_eq!(w.store.budget(w.org, wide.id).await.unwrap().budget, changed);
    let kept = w.store.remove_team(w.org, team.id, &act("team.remove")).await;
    assert!(matches!(kept, Err(StoreError::Refused { .. })), "{kept:?}");
    w.store.remove_budget(w.org, narrow.id, &act("budget.remove")).await.unwrap();
    w.store.remove_team(w.org, team.id, &act("team.remove")).await.unwrap();
    for gone in [
        w.store.remove_budget(w.org, narrow.id, &act("budget.remove")).await,
        w.store.set_budget(w.org, &narrow, &act("budget.set")).await,
        w.store.create_budget(w.org, &narrow, &act("budget.add")).await,
        w.store
            .create_budget(
                w.org,
                &budget(Holder::Team(TeamId::from_bits(9)), Period::Day),
                &act("budget.add"),
            )
            .await,
    ] {
        assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    }
}

/// Exchanges of two people round the starts of all periods.
fn spending([ada, bob]: [Principal; 2]) -> Vec<Exchange> {
    let costing = |nanos: i64, at: UnixMillis, principal: Principal, model: &str, provider: &str| Exchange {
        principal: Some(principal),
        model: Some(model.to_owned()),
        provider: Some(provider.to_owned()),
        cost: Cost { nanos: Nanos(nanos), basis: PriceBasis::Table },
        ..exchange(at.0 - NOW.0)
    };
    let (day, week, month) = (NOW.day(), NOW.week(), NOW.month());
    vec![
        costing(1, NOW, ada, "claude-opus-5-5", "main"),
        costing(2, day, ada, "claude-haiku-5-5", "main"),
        costing(4, day.plus_millis(-1), ada, "claude-opus-5-5", "main"),
        costing(8, week, bob, "claude-opus-5-5", "cloud"),
        costing(16, week.plus_millis(-1), bob, "claude-opus-5-5", "main"),
        costing(32, month, ada, "claude-haiku-5-5", "cloud"),
        costing(64, month.plus_millis(-1), bob, "claude-haiku-5-5", "main"),
        costing(128, day.plus_millis(86_400_000), ada, "claude-opus-5-5", "main"),
    ]
}

/// What a budget counts of them, reckoned one by one.
fn counted(batch: &[Exchange], budget: &Budget) -> i64 {
    let counts = |e: &&Exchange| {
        let p = e.principal.unwrap();
        let mine = match budget.holder {
            Holder::Organization => true,
            Holder::Team(id) => p.team == Some(id),
            Holder::Project(id) => p.project == Some(id),
            Holder::User(id) => p.user == id,
            Holder::Key(id) => p.key() == Some(id),
        };
        mine && budget.models.allows(e.model.as_deref().unwrap())
            && budget.provider.as_ref().is_none_or(|only| e.provider.as_ref() == Some(only))
            && budget.start(e.started_at) == budget.start(NOW)
    };
    batch.iter().filter(counts).map(|e| e.cost.nanos.0).sum()
}

async fn what_was_spent_is_the_ledgers_for_holder_model_provider_and_period(w: World) {
    let (ada, bob) = (w.somebody("ada@example.com").await, w.somebody("bob@example.com").await);
    let batch = spending([ada, bob]);
    w.bring(node(), &batch, 8).await;
    let holders = [
        Holder::Organization,
        Holder::User(ada.user),
        Holder::User(bob.user),
        Holder::Key(ada.key().unwrap()),
        Holder::Team(ada.team.unwrap_or(TeamId::from_bits(9))),
    ];
    let mut all = Vec::new();
    for holder in holders {
        for period in Period::ALL {
            for pattern in [&[][..], &["claude-opus-*"], &["claude-haiku-5-5"], &["claude-*"]] {
                for provider in [None, Some("cloud".to_owned())] {
                    let models = ModelScope::only(pattern).unwrap();
                    let budget = Budget { models, provider, ..budget(holder, period) };
                    let spent = w.store.spent_of(w.org, &budget, NOW, node(), RUN).await.unwrap();
                    assert_eq!((spent.nanos.0, spent.through), (counted(&batch, &budget), 8), "{budget:?}");
                    all.push(Arc::new(budget));
                }
            }
        }
    }
    // The same where many are asked of together, and a few by themselves.
    let groups = Alike::group(all.clone(), NOW);
    let sizes: Vec<usize> = groups.iter().map(|alike| alike.budgets().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), all.len());
    assert!(sizes.contains(&8) && sizes.contains(&1), "{sizes:?}");
    for alike in &groups {
        let spent = w.store.spent_of_alike(w.org, alike, NOW, node(), RUN).await.unwrap();
        assert_eq!(spent.len(), alike.budgets().len());
        for (budget, spent) in alike.budgets().iter().zip(spent) {
            assert_eq!((spent.nanos.0, spent.through), (counted(&batch, budget), 8), "{budget:?}");
        }
    }
}

async fn a_sum_says_up_to_where_it_reaches(w: World) {
    let all = budget(Holder::Organization, Period::Total);
    let books = Books::open(&w);
    books.flush().await;
    assert_eq!(books.ledger.spent_of(&all, NOW).await.unwrap().nanos, Nanos(0), "nothing was spent");
    let mut last = 0;
    for at in 0..600 {
        last = books.journal.close(&exchange(at)).0;
    }
    books.flush().await;
    let spent = books.ledger.spent_of(&all, NOW).await.unwrap();
    assert_eq!(spent.nanos, Nanos(600_000));
    assert!(spent.through >= last, "{spent:?} of {last}");
    let folder = books.close().await;
    // The next run of the same journal goes on from there.
    let books = Books::open_in(&w, folder);
    books.flush().await;
    let last = books.journal.close(&exchange(1000)).0;
    let before = books.ledger.spent_of(&all, NOW).await.unwrap();
    assert!(before.through < last || before.nanos == Nanos(601_000), "{before:?} of {last}");
    books.flush().await;
    let spent = books.ledger.spent_of(&all, NOW).await.unwrap();
    assert!(spent.through >= last && spent.nanos == Nanos(601_000), "{spent:?} of {last}");
    books.close().await;
}

async fn a_raise_is_asked_for_once_decided_once_and_counts_when_approved(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let mine = budget(Holder::User(ada.user), Period::Month);
    w.store.create_budget(w.org, &mine, &act("budget.add")).await.unwrap();
    let asked = Raise {
        id: RaiseId::new(NOW, u128::from(unique())),
        budget: mine.id,
        user: ada.user,
        amount: Nanos(500),
        reason: "a large migration".to_owned(),
        until: None,
        state: RaiseState::Asked,
        created_at: NOW,
        decided_at: None,
        decided_by: None,
    };
    let before = w.store.policy_version(w.org).await.unwrap();
    w.store.ask_raise(w.org, &asked, &act("budget.raise")).await.unwrap();
    let again = Raise { id: RaiseId::new(NOW, u128::from(unique())), ..asked.clone() };
    let twice = w.store.ask_raise(w.org, &again, &act("budget.raise")).await;
    assert!(matches!(twice, Err(StoreError::Refused { .. })), "{twice:?}");
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), before, "a request changes nothing");
    assert_eq!(w.store.budget(w.org, mine.id).await.unwrap().budget, mine);

    let until = NOW.plus_millis(1000);
    let approved = Raise {
        state: RaiseState::Approved,
        amount: Nanos(300),
        until: Some(until),
        decided_at: Some(NOW),
        decided_by: Some("finance".to_owned()),
        ..asked.clone()
    };
    w.store.decide_raise(w.org, &approved, &act("budget.approve")).await.unwrap();
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), before + 1);
    let late = Raise { state: RaiseState::Denied, ..approved.clone() };
    let late = w.store.decide_raise(w.org, &late, &act("budget.deny")).await;
    assert!(matches!(late, Err(StoreError::Refused { .. })), "{late:?}");
    assert_eq!(w.store.raise(w.org, asked.id).await.unwrap().raise, approved);
    let raised = w.store.all_budgets(w.org).await.unwrap().remove(0);
    assert_eq!(raised.raised, [Raised { amount: Nanos(300), until }]);
    assert_eq!((raised.limit_at(NOW), raised.limit_at(until)), (Nanos(5_300), Nanos(5_000)));

    // After the decision one may ask again; both are listed, and go with their budget.
    w.store.ask_raise(w.org, &again, &act("budget.raise")).await.unwrap();
    let list = async |state| {
        let filter = RaiseFilter { state, user: Some(ada.user), budget: Some(mine.id) };
        w.store.raises(w.org, &filter, &Page::first(10)).await.unwrap().items.len()
    };
    assert_eq!((list(None).await, list(Some(RaiseState::Asked)).await), (2, 1));
    w.store.remove_budget(w.org, mine.id, &act("budget.remove")).await.unwrap();
    assert_eq!(list(None).await, 0);
}
