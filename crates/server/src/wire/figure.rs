//! Figures for `/metrics` that are looked at when somebody asks for them.

use std::sync::atomic::Ordering;

use gatehouse_domain::quota::Measure;
use gatehouse_gateway::quota::View;
use metrics::{counter, gauge};

use super::ledger::Books;
use super::live::Live;
use crate::clock;

/// Sets them.
pub(super) fn set(live: &Live, books: &Books) {
    let (lag, journal, policy) = (books.lag(), books.journal(), live.policy.load());
    gauge!("gatehouse_ledger_lag_entries").set(real(lag.entries));
    gauge!("gatehouse_ledger_lag_bytes").set(real(lag.bytes));
    gauge!("gatehouse_ledger_lag_seconds").set(real(lag.seconds));
    gauge!("gatehouse_ledger_failing").set(f64::from(u8::from(lag.failing)));
    gauge!("gatehouse_journal_refusing").set(f64::from(u8::from(journal.refusing.is_some())));
    gauge!("gatehouse_journal_unsaved_bytes").set(real(journal.unsaved_bytes as u64));
    gauge!("gatehouse_journal_room_bytes").set(real(u64::try_from(journal.room_bytes).unwrap_or(0)));
    gauge!("gatehouse_journal_open_exchanges").set(real(journal.open as u64));
    counter!("gatehouse_journal_shed_total").absolute(journal.shed);
    counter!("gatehouse_journal_flushes_total").absolute(journal.commits);
    let settings = live.settings.load();
    for provider in &settings.providers {
        let usable = provider.standing(&settings.routing.failover).is_usable();
        let name = provider.name.to_string();
        let learned = real(provider.learned.len() as u64);
        gauge!("gatehouse_provider_learned", "provider" => name.clone()).set(learned);
        quota(&name, &provider.quota.view());
        gauge!("gatehouse_provider_usable", "provider" => name).set(f64::from(u8::from(usable)));
    }
    super::egress::figures(live);
    for (route, used) in live.routes.cache_use(clock::now()) {
        let share = |thousandths: u32| f64::from(thousandths) / 1000.0;
        // What is not known is not told: a 0 would be a regression.
        if let Some(recent) = used.recent {
            gauge!("gatehouse_cache_read_ratio", "route" => route.clone()).set(share(recent));
        }
        if let Some(usual) = used.usual {
            gauge!("gatehouse_cache_read_usual_ratio", "route" => route.clone()).set(share(usual));
        }
        gauge!("gatehouse_cache_read_alarm", "route" => route).set(f64::from(u8::from(used.alarm)));
    }
    gauge!("gatehouse_policy_age_seconds").set(live.fresh.age().as_secs_f64());
    gauge!("gatehouse_policy_version").set(real(policy.version()));
    gauge!("gatehouse_policy_keys").set(real(policy.len() as u64));
    gauge!("gatehouse_policy_sessions").set(real(policy.sessions() as u64));
    if let Some(told) = live.telemetry() {
        for (what, count) in [
            ("counted", &told.counted),
            ("repeated", &told.repeated),
            ("malformed", &told.malformed),
            ("too_many", &told.too_many),
            ("no_room", &told.no_room),
        ] {
            counter!("gatehouse_telemetry_requests_total", "outcome" => what)
                .absolute(count.load(Ordering::Relaxed));
        }
        counter!("gatehouse_telemetry_left_out_total").absolute(told.left_out.load(Ordering::Relaxed));
    }
}

/// Of each measure the model with the least left, so that there are few figures.
fn quota(provider: &str, view: &View) {
    gauge!("gatehouse_queue_waiting", "provider" => provider.to_owned()).set(real(view.waiting));
    for measure in Measure::ALL {
        let all = view.models.iter().flat_map(|model| &model.limits).filter(|(of, _)| *of == measure);
        let Some((_, told)) =
            all.min_by_key(|(_, told)| told.remaining.saturating_mul(1000) / told.limit.max(1))
        else {
            continue;
        };
        let labels = [("provider", provider.to_owned()), ("measure", measure.as_str().to_owned())];
        gauge!("gatehouse_provider_limit", &labels).set(real(told.limit));
        gauge!("gatehouse_provider_remaining", &labels).set(real(told.remaining));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure beyond 2^53 need not be exact")]
fn real(count: u64) -> f64 {
    count as f64
}
