//! Limits on rates, and what nodes tell of themselves, on both engines.

use gatehouse_domain::budget::Holder;
use gatehouse_domain::id::{LimitId, TeamId};
use gatehouse_domain::limit::{Limit, Measure};
use gatehouse_domain::model::ModelScope;
use gatehouse_store::node::Tells;
use gatehouse_store::{Page, StoreError};

use crate::engines::{NOW, World, act, node, on_both, unique};

on_both!(limits_are_kept_and_removed, nodes_tell_of_themselves_until_they_stop,);

fn limit(holder: Holder, measure: Measure) -> Limit {
    Limit {
        id: LimitId::new(NOW, u128::from(unique())),
        holder,
        models: ModelScope::all(),
        measure,
        amount: 60,
        created_at: NOW,
    }
}

async fn limits_are_kept_and_removed(w: World) {
    let team = w.team("Core").await;
    let models = ModelScope::only(&["claude-opus-*"]).unwrap();
    let narrow = Limit { models, ..limit(Holder::Team(team.id), Measure::OutputTokens) };
    let wide = limit(Holder::Organization, Measure::Concurrency);
    let before = w.store.policy_version(w.org).await.unwrap();
    for limit in [&narrow, &wide] {
        w.store.create_limit(w.org, limit, &act("limit.add")).await.unwrap();
    }
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), before + 2, "nodes take it over");
    let row = w.store.limit(w.org, narrow.id).await.unwrap();
    assert_eq!((&row.limit, row.holder_name.as_deref()), (&narrow, Some("Core")));
    for limit in [&narrow, &wide] {
        let listed = w.store.limits(w.org, Some(limit.holder), &Page::first(10)).await.unwrap();
        assert_eq!(listed.items.iter().map(|row| &row.limit).collect::<Vec<_>>(), [limit]);
    }
    assert_eq!(w.store.all_limits(w.org).await.unwrap().len(), 2);
    w.store.remove_limit(w.org, wide.id, &act("limit.remove")).await.unwrap();
    assert_eq!(w.store.all_limits(w.org).await.unwrap(), [narrow]);
    let gone = w.store.remove_limit(w.org, wide.id, &act("limit.remove")).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    let nobody = limit(Holder::Team(TeamId::from_bits(1)), Measure::Requests);
    let refused = w.store.create_limit(w.org, &nobody, &act("limit.add")).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}

async fn nodes_tell_of_themselves_until_they_stop(w: World) {
    w.store.register_node(node(), "1", "k", NOW).await.unwrap();
    let tells = Tells { ready: true, counters: "reached".to_owned(), policy_version: 7 };
    w.store.touch_node(node(), "k", &tells, NOW.plus_millis(1)).await.unwrap();
    let told = w.store.nodes(NOW).await.unwrap();
    assert_eq!((&told[0].tells, told[0].stopped_at), (&tells, None));
    w.store.note_stopped(node(), NOW.plus_millis(2)).await.unwrap();
    let told = w.store.nodes(NOW).await.unwrap();
    assert_eq!((told[0].tells.ready, told[0].stopped_at), (false, Some(NOW.plus_millis(2))));
    w.store.register_node(node(), "2", "k", NOW.plus_millis(3)).await.unwrap();
    assert_eq!(w.store.nodes(NOW).await.unwrap()[0].stopped_at, None, "it runs again");
}
