use proptest::prelude::*;
use serde_json::json;

use super::*;

fn plan() -> Definition {
    let check = json!([{"metric": "error_rate", "at_most": 0.05}]);
    let phase = |id: &str, approvals: u32| json!({"id": id, "cohort": {"percent": 10}, "soak": "1h", "approvals": approvals, "check": check});
    Definition::read(&json!({
        "name": "x", "settings": [{"profile": "x", "version": 1}], "interval": "10m", "max_wait": "1d",
        "phase": [phase("pilot", 2), phase("limited_rollout", 0), phase("full_rollout", 0)],
    }))
    .unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "as it is handed on")]
fn look(decision: Decision) -> Result<Look, String> {
    let feedback = Summary::default();
    Ok(Look { judged: vec![], decision, feedback, metrics: Value::Null, users: 3 })
}

const NOW: UnixMillis = UnixMillis(0);

fn at(minutes: i64) -> UnixMillis {
    UnixMillis(minutes * 60_000)
}

#[test]
fn a_sound_rollout_goes_through_all_phases() {
    let (plan, mut p) = (plan(), Progress::new(NOW));
    assert_eq!(p.due(&plan, NOW), Due::Deploy);
    p.deployed(2, 1, NOW);
    assert_eq!((p.state, p.due(&plan, NOW)), (State::Deploying, Due::Deploy));
    p.deployed(3, 0, NOW);
    assert_eq!((p.state, p.next_at(&plan, NOW)), (State::Soaking, Some(at(10))));
    assert_eq!(
        (p.due(&plan, at(59)), p.due(&plan, at(60))),
        (Due::Look { end: false }, Due::Look { end: true })
    );
    p.looked(&plan, look(Decision::Pass), false, at(10));
    assert_eq!(p.state, State::Soaking, "nothing passes before its time");
    p.looked(&plan, look(Decision::Pass), true, at(60));
    assert_eq!(p.state, State::AwaitingApproval);
    p.approved(&plan, 1, at(61)).unwrap();
    assert_eq!(p.state, State::AwaitingApproval);
    p.approved(&plan, 2, at(62)).unwrap();
    assert_eq!((p.state, p.phase), (State::Deploying, 1));
    for phase in [1, 2] {
        p.deployed(5, 0, at(100 * phase));
        p.looked(&plan, look(Decision::Pass), true, at(100 * phase + 60));
    }
    assert_eq!((p.state, p.due(&plan, at(999))), (State::Succeeded, Due::Wait(None)));
    assert!(p.phases.iter().all(|phase| phase.success == Some(true)));
    p.roll_back("never mind", at(1000)).unwrap();
    assert_eq!(p.due(&plan, at(1000)), Due::Undo);
}

#[test]
fn three_failures_in_a_row_take_it_back() {
    let (plan, mut p) = (plan(), Progress::new(NOW));
    p.deployed(3, 0, NOW);
    let fail = || look(Decision::Fail(OnFail::Rollback));
    for found in [fail(), fail(), look(Decision::Insufficient), fail(), fail()] {
        p.looked(&plan, found, false, at(1));
        assert_eq!(p.state, State::Soaking);
    }
    p.looked(&plan, fail(), false, at(2));
    assert_eq!((p.state, p.phases[0].success), (State::RollingBack, Some(false)));
    p.undid(1);
    assert_eq!(p.due(&plan, at(2)), Due::Undo);
    p.undid(0);
    assert_eq!(p.due(&plan, at(2)), Due::Verify);
    p.verified(0, 2, at(3));
    assert_eq!((p.state, p.due(&plan, at(4))), (State::RolledBack, Due::Verify));
    p.verified(0, 0, at(5));
    assert_eq!((p.due(&plan, at(6)), p.roll_back("", at(6))), (Due::Wait(None), Err(Refused::Undone)));
}

#[test]
fn wanting_evidence_never_passes_and_asks_a_person_in_the_end() {
    let (plan, mut p) = (plan(), Progress::new(NOW));
    p.deployed(3, 0, NOW);
    for minutes in [60, 70, 60 + 24 * 60 - 1] {
        p.looked(&plan, look(Decision::Insufficient), true, at(minutes));
        assert_eq!(p.state, State::Evaluating);
    }
    p.looked(&plan, look(Decision::Insufficient), true, at(60 + 24 * 60));
    assert_eq!((p.state, p.insufficient), (State::AwaitingApproval, true));
    for _ in 0..4 {
        p.looked(&plan, Err("away".to_owned()), true, at(9999));
        assert_eq!(p.state, State::AwaitingApproval);
    }
    p.looked(&plan, Err("away".to_owned()), true, at(9999));
    assert_eq!(p.state, State::Paused);
    assert!(p.reason.as_deref().unwrap().contains("away"));
    p.resume(at(10_000)).unwrap();
    assert_eq!(p.state, State::Evaluating, "it is judged anew");
}

#[test]
fn what_cannot_be_done() {
    let (plan, mut p) = (plan(), Progress::new(NOW));
    assert_eq!(p.resume(NOW), Err(Refused::NotPaused(State::AwaitingStart)));
    assert_eq!(p.approved(&plan, 9, NOW), Err(Refused::NotWaiting(State::AwaitingStart)));
    p.pause("wait", NOW).unwrap();
    assert_eq!(p.pause("wait", NOW), Err(Refused::Paused));
    p.looked(&plan, look(Decision::Fail(OnFail::Rollback)), false, NOW);
    assert_eq!(p.state, State::Paused, "what is paused goes nowhere by itself");
    p.resume(NOW).unwrap();
    p.abort("enough", NOW).unwrap();
    assert_eq!(
        (p.pause("", NOW), p.abort("", NOW)),
        (Err(Refused::Over(State::Aborted)), Err(Refused::Over(State::Aborted)))
    );
    let text = serde_json::to_string(&p).unwrap();
    assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), p);
}

proptest! {
    /// Whatever happens in whatever order: a later phase has begun only when those before it have succeeded, and what is
    /// on its way back goes forward no more.
    #[test]
    fn no_order_of_events_skips_a_gate(events in prop::collection::vec((0_u8..12, 0_i64..200), 0..120)) {
        let (plan, mut p, mut now) = (plan(), Progress::new(NOW), NOW);
        for (event, minutes) in events {
            now = now.plus_millis(minutes * 60_000);
            let (before, due) = (p.state, p.due(&plan, now));
            match (event, due) {
                (0..=3, Due::Deploy) => p.deployed(1, usize::from(event), now),
                (0, Due::Look { end }) => p.looked(&plan, look(Decision::Insufficient), end, now),
                (1, Due::Look { end }) => p.looked(&plan, look(Decision::Fail(OnFail::Rollback)), end, now),
                (2, Due::Look { end }) => p.looked(&plan, Err(String::new()), end, now),
                (3..=6, Due::Look { end }) => p.looked(&plan, look(Decision::Pass), end, now),
                (_, Due::Undo) => p.undid(usize::from(event % 2)),
                (_, Due::Verify) => p.verified(u64::from(event % 2), 0, now),
                (7, _) => drop(p.pause("", now)),
                (8, _) => drop(p.resume(now)),
                (9, _) => drop(p.approved(&plan, 2, now)),
                (10, _) if minutes == 0 => drop(p.abort("", now)),
                (11, _) if minutes == 0 => drop(p.roll_back("", now)),
                _ => {}
            }
            prop_assert!(p.phases.iter().take(p.phase).all(|phase| phase.success == Some(true)));
            if before == State::RollingBack {
                prop_assert!(matches!(p.state, State::RollingBack | State::RolledBack | State::RollbackIncomplete));
            }
        }
    }
}
