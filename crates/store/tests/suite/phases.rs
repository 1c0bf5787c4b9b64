//! Rollouts, surveys and feedback, on both engines: steps are done once, whole, and by one controller at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatehouse_domain::feedback::Answer;
use gatehouse_domain::id::{FeedbackId, ProfileId, RolloutId, SurveyId, UserId};
use gatehouse_domain::rollout::{Progress, State};
use gatehouse_domain::settings::{Member, Target};
use gatehouse_store::feedback::{Survey, Wanted};
use gatehouse_store::rollout::{
    Approval, AssignmentState, Happened, Lease, NewAssignment, NewRollout, News, Rollout, Share, Step,
};
use gatehouse_store::settings::Profile;
use gatehouse_store::{Page, StoreError};
use serde_json::json;

use crate::engines::{NOW, World, act, on_both, unique};
use crate::settings::by;

on_both!(
    a_step_gives_it_to_people_and_takes_it_back,
    a_step_is_done_once_or_not_at_all,
    of_many_controllers_one_acts_at_a_time,
    who_lost_the_lease_does_nothing,
    an_overlay_and_a_name_belong_to_one_rollout,
    one_person_agrees_once_and_not_to_their_own,
    a_survey_is_answered_once_and_in_time,
    the_last_word_of_a_person_counts,
);

fn new(name: &str, overlay: ProfileId) -> NewRollout {
    NewRollout {
        id: RolloutId::new(NOW, u128::from(unique())),
        name: name.to_owned(),
        definition: "{}".to_owned(),
        progress: Progress::new(NOW),
        overlays: vec![(overlay, 1)],
        next_at: NOW,
    }
}

fn assigned(user: UserId) -> NewAssignment {
    NewAssignment { user, credential: "key", from: None }
}

#[expect(clippy::unnecessary_wraps, reason = "it is given where there may be none")]
fn happened() -> Option<Happened> {
    Some(Happened { kind: "deployed", text: String::new(), node: "here".to_owned() })
}

impl World {
    async fn begun(&self, name: &str) -> (Rollout, Profile) {
        let overlay = self.profile(name, Target::Rollout, json!({"model": "haiku"})).await;
        self.publish(&overlay, 1).await;
        self.store.create_rollout(self.org, &new(name, overlay.id), &by("ada")).await.unwrap();
        (self.store.rollout(self.org, name).await.unwrap(), overlay)
    }

    async fn step(&self, rollout: &Rollout, state: State, step: &Step) -> Result<bool, StoreError> {
        let progress = Progress { state, ..rollout.progress.clone() };
        self.store.step_rollout(self.org, rollout, &progress, step, None, &act("rollout.step")).await
    }

    async fn named(&self, overlay: &Profile) -> Vec<UserId> {
        let found = self.store.settings_audience(self.org, overlay.id).await.unwrap();
        let members = found.map(|assigned| assigned.members.into_keys().collect::<Vec<_>>());
        members
            .unwrap_or_default()
            .into_iter()
            .filter_map(|member| match member {
                Member::User(id) => Some(id),
                Member::Team(_) => None,
            })
            .collect()
    }

    async fn states(&self, rollout: &Rollout) -> Vec<(UserId, AssignmentState)> {
        let all = self.store.rollout_assignments(self.org, rollout.id).await.unwrap();
        all.into_iter().map(|one| (one.user, one.state)).collect()
    }
}

async fn a_step_gives_it_to_people_and_takes_it_back(w: World) {
    let (ada, bob) = (w.user("ada@example.com", &[]).await.id, w.user("bob@example.com", &[]).await.id);
    let (rollout, overlay) = w.begun("one").await;
    let overlays = vec![(overlay.id, 1)];
    let version = w.store.policy_version(w.org).await.unwrap();
    let assign = vec![assigned(bob), assigned(ada)];
    let give = Step {
        overlays: overlays.clone(),
        assign,
        next_at: Some(NOW),
        happened: happened(),
        ..Step::default()
    };
    assert!(w.step(&rollout, State::Soaking, &give).await.unwrap());
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version + 1);
    assert_eq!(w.named(&overlay).await, [ada, bob]);
    assert_eq!(
        w.states(&rollout).await,
        [(bob, AssignmentState::Assigned), (ada, AssignmentState::Assigned)]
    );

    let rollout = w.store.rollout(w.org, "one").await.unwrap();
    assert_eq!((rollout.revision, rollout.progress.state), (1, State::Soaking));
    let news = News { user: bob, to: None, confirmed: true, active: false, restored: false };
    let share = Some(Share::Everybody);
    let seen =
        Step { overlays: overlays.clone(), news: vec![news], share, next_at: Some(NOW), ..Step::default() };
    assert!(w.step(&rollout, State::Succeeded, &seen).await.unwrap());
    assert_eq!(w.states(&rollout).await[0], (bob, AssignmentState::Confirmed));
    let audience = w.store.settings_audience(w.org, overlay.id).await.unwrap().unwrap();
    assert_eq!(audience.audience.percent.get(), 100);

    let rollout = w.store.rollout(w.org, "one").await.unwrap();
    let share = Some(Share::Named);
    let back =
        Step { overlays: overlays.clone(), undo: vec![bob], share, happened: happened(), ..Step::default() };
    assert!(w.step(&rollout, State::RollingBack, &back).await.unwrap());
    assert_eq!(w.named(&overlay).await, [ada]);
    let rollout = w.store.rollout(w.org, "one").await.unwrap();
    let restored = News { user: bob, to: None, confirmed: false, active: true, restored: true };
    let step = Step { news: vec![restored], ..Step::default() };
    assert!(w.step(&rollout, State::RollingBack, &step).await.unwrap());
    assert_eq!(
        w.states(&rollout).await,
        [(bob, AssignmentState::Restored), (ada, AssignmentState::Assigned)]
    );
    let events = w.store.rollout_events(w.org, rollout.id, &Page::first(10)).await.unwrap().items;
    let steps: Vec<u64> = events.iter().map(|event| event.revision).collect();
    assert_eq!(steps, [0, 1, 3], "a look that found nothing new is no event");
    let unsent = w.store.unsent_notifications(w.org, &Page::first(10)).await.unwrap();
    assert_eq!(unsent.items, []);
}

async fn a_step_is_done_once_or_not_at_all(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let (rollout, overlay) = w.begun("one").await;
    let overlays = vec![(overlay.id, 1)];
    let ghost = Step {
        overlays: overlays.clone(),
        assign: vec![assigned(ada), assigned(UserId::from_bits(1))],
        ..Step::default()
    };
    assert!(matches!(w.step(&rollout, State::Soaking, &ghost).await, Err(StoreError::Refused { .. })));
    assert_eq!(
        (w.named(&overlay).await, w.states(&rollout).await),
        (vec![], vec![]),
        "nothing of it was done"
    );
    let done = Arc::new(AtomicU32::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (w, rollout, overlays, done) = (w.clone(), rollout.clone(), overlays.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            let give =
                Step { overlays, assign: vec![assigned(ada)], happened: happened(), ..Step::default() };
            done.fetch_add(
                u32::from(w.step(&rollout, State::Soaking, &give).await.unwrap()),
                Ordering::Relaxed,
            );
        });
    }
    tasks.join_all().await;
    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert_eq!(w.store.rollout(w.org, "one").await.unwrap().revision, 1);
}

async fn of_many_controllers_one_acts_at_a_time(w: World) {
    let (_, overlay) = w.begun("one").await;
    let overlays = vec![(overlay.id, 1)];
    let (inside, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut controllers = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (w, overlays) = (w.clone(), overlays.clone());
        let (inside, done) = (Arc::clone(&inside), Arc::clone(&done));
        controllers.spawn(async move {
            let holder = format!("controller {n}");
            while done.load(Ordering::Relaxed) < 60 {
                let until = NOW.plus_millis(60_000);
                if !w.store.take_lease(w.org, "rollout", &holder, NOW, until).await.unwrap() {
                    tokio::task::yield_now().await;
                    continue;
                }
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two act at once");
                let rollout = w.store.rollout(w.org, "one").await.unwrap();
                let step = Step {
                    overlays: overlays.clone(),
                    happened: Some(Happened { kind: "step", text: holder.clone(), node: holder.clone() }),
                    next_at: Some(NOW),
                    ..Step::default()
                };
                let lease = Some(Lease { name: "rollout", holder: &holder });
                let progress = rollout.progress.clone();
                let act = act("rollout.step");
                let moved = w.store.step_rollout(w.org, &rollout, &progress, &step, lease, &act).await;
                assert!(moved.unwrap(), "who has the lease is disturbed by nobody");
                done.fetch_add(1, Ordering::Relaxed);
                inside.fetch_sub(1, Ordering::SeqCst);
                w.store.give_lease_back(w.org, "rollout", &holder).await.unwrap();
            }
        });
    }
    controllers.join_all().await;
    let rollout = w.store.rollout(w.org, "one").await.unwrap();
    assert_eq!(rollout.revision, u64::from(done.load(Ordering::Relaxed)));
}

async fn who_lost_the_lease_does_nothing(w: World) {
    let (rollout, overlay) = w.begun("one").await;
    let until = NOW.plus_millis(1000);
    assert!(w.store.take_lease(w.org, "rollout", "slow", NOW, until).await.unwrap());
    assert!(w.store.take_lease(w.org, "rollout", "quick", until, until.plus_millis(1000)).await.unwrap());
    let step = Step { overlays: vec![(overlay.id, 1)], happened: happened(), ..Step::default() };
    for (holder, may) in [("slow", false), ("quick", true)] {
        let lease = Some(Lease { name: "rollout", holder });
        let progress = Progress { state: State::Paused, ..rollout.progress.clone() };
        let moved =
            w.store.step_rollout(w.org, &rollout, &progress, &step, lease, &act("rollout.step")).await;
        assert_eq!(moved.unwrap(), may, "{holder}");
        assert_eq!(w.store.rollout(w.org, "one").await.unwrap().revision, u64::from(may));
    }
}

async fn an_overlay_and_a_name_belong_to_one_rollout(w: World) {
    let (rollout, overlay) = w.begun("one").await;
    let again = w.store.create_rollout(w.org, &new("one", overlay.id), &by("ada")).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let other = w.store.create_rollout(w.org, &new("two", overlay.id), &by("ada")).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
    let end = Step { overlays: vec![(overlay.id, 1)], happened: happened(), ..Step::default() };
    assert!(w.step(&rollout, State::RolledBack, &end).await.unwrap());
    w.store.create_rollout(w.org, &new("one", overlay.id), &by("ada")).await.unwrap();
    assert_eq!(w.store.rollouts(w.org, &Page::first(10)).await.unwrap().items.len(), 2);
    let old = w.store.rollout(w.org, &rollout.id.to_string()).await.unwrap();
    let back = w.step(&old, State::RollingBack, &end).await;
    assert!(matches!(back, Err(StoreError::Conflict { .. })), "another has its name now: {back:?}");
}

async fn one_person_agrees_once_and_not_to_their_own(w: World) {
    let (rollout, _) = w.begun("one").await;
    let agree = async |who: &str, rollout: &Rollout| {
        let barred = [rollout.author.clone(), "writer".to_owned()];
        let approval = Approval { phase: 0, comment: "fine", barred: &barred };
        let progress = rollout.progress.clone();
        let becomes = |_: u32| Ok((progress, Step { happened: happened(), ..Step::default() }));
        w.store.approve_rollout(w.org, rollout, &approval, becomes, &by(who)).await
    };
    for who in ["ada", "writer"] {
        let told = agree(who, &rollout).await.unwrap_err().to_string();
        assert!(told.contains("somebody else must look at it"), "{told}");
    }
    assert!(agree("bob", &rollout).await.unwrap());
    let next = w.store.rollout(w.org, "one").await.unwrap();
    assert!(agree("bob", &next).await.unwrap_err().to_string().contains("already"));
    assert!(!agree("eve", &rollout).await.unwrap(), "it was read before another step");
    let agreed = w.store.rollout_approvals(w.org, rollout.id).await.unwrap();
    assert_eq!(agreed.iter().map(|one| one.by.as_str()).collect::<Vec<_>>(), ["bob"]);
}

fn survey(user: UserId) -> Survey {
    Survey {
        id: SurveyId::new(NOW, u128::from(unique())),
        user,
        rollout: None,
        phase: Some("pilot".to_owned()),
        created_at: NOW,
        expires_at: NOW.plus_millis(1),
        answered_at: None,
    }
}

async fn a_survey_is_answered_once_and_in_time(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let (good, late) = (survey(ada), Survey { expires_at: NOW, ..survey(ada) });
    w.store.create_surveys(w.org, &[good.clone(), late.clone()], &[], &act("feedback.send")).await.unwrap();
    let answer = Answer::new(4, Some(9), Some("fine"), false).unwrap();
    let say = async |id| {
        let new = FeedbackId::new(NOW, u128::from(unique()));
        w.store.answer_survey(w.org, id, new, &answer, &act("feedback.answer")).await.unwrap()
    };
    assert_eq!((say(good.id).await, say(good.id).await, say(late.id).await), (true, false, false));
    assert!(!say(SurveyId::from_bits(7)).await);
    let found = w.store.survey(w.org, good.id).await.unwrap().unwrap();
    assert_eq!((found.answered_at, found.user), (Some(NOW), ada));
    let said = w.store.feedback(w.org, &Wanted::default()).await.unwrap();
    assert_eq!((said.len(), &said[0].answer, said[0].phase.as_deref()), (1, &answer, Some("pilot")));
}

async fn the_last_word_of_a_person_counts(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    for score in [1, 5] {
        let answer = Answer::new(score, None, None, true).unwrap();
        let new = FeedbackId::new(NOW, u128::from(unique()));
        w.store.add_feedback(w.org, new, ada, &answer, (None, None), &act("feedback.add")).await.unwrap();
    }
    let said = w.store.feedback(w.org, &Wanted { since: Some(NOW), ..Wanted::default() }).await.unwrap();
    assert_eq!((said.len(), said[0].answer.score.get()), (1, 5));
    let none = w.store.feedback(w.org, &Wanted { until: Some(NOW), ..Wanted::default() }).await.unwrap();
    assert_eq!(none, []);
}
