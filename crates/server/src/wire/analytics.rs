//! The provider's client analytics, fetched from its Admin API: what people did whose clients go to the provider themselves.
//!
//! Each time the last days are fetched whole, since the provider's figures arrive late and change; a day takes the place of
//! what was there, or stays what it was. One node at a time does it for all: its lease lasts until it is due again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::analytics::read::Reading;
use gatehouse_control::app::App;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use metrics::gauge;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::live::Live;
use super::provider_report::{encoded, one_page, prepare};
use crate::clock;
use crate::config::ProviderReport;
use crate::fetch::Post;

/// How often it is seen whether something is to be fetched.
const LOOK: Duration = Duration::from_secs(1);
/// After how long it is tried again when it failed, or another node has it.
const AGAIN: Duration = Duration::from_mins(10);
/// For how long a node has it before it is known whether it succeeds.
const LEASE_MS: i64 = 30 * 60_000;
/// Records of a page: as many as the provider gives.
const PAGE: usize = 1000;
/// Most pages of one day; as many records as are read at once.
const MAX_PAGES: usize = gatehouse_control::analytics::read::MAX_RECORDS / PAGE;

/// When one was fetched last, as which configuration, and whether that went well.
struct Last {
    configured: ProviderReport,
    next: Instant,
    failing: bool,
}

/// How an attempt ended.
enum Done {
    /// It was fetched.
    Fetched,
    /// Another node does it.
    Elsewhere,
}

/// Fetches what is due, again and again.
pub(super) async fn job(live: Arc<Live>, app: App) {
    let mut last: HashMap<String, Last> = HashMap::new();
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let config = live.config.load_full();
        let wanted = || config.provider_reports.iter().filter(|one| one.analytics_days > 0);
        last.retain(|name, _| wanted().any(|one| one.name == *name));
        for one in wanted() {
            let before = last.get(&one.name).filter(|before| before.configured == *one);
            if before.is_some_and(|before| before.next > Instant::now()) {
                continue;
            }
            let was_failing = before.is_some_and(|before| before.failing);
            let done = turn(&live, &app, one).await;
            told(&one.name, &done, was_failing);
            let wait = if matches!(done, Ok(Done::Fetched)) { one.every } else { AGAIN };
            let entry = Last { configured: one.clone(), next: Instant::now() + wait, failing: done.is_err() };
            last.insert(one.name.clone(), entry);
        }
    }
}

fn told(name: &str, done: &Result<Done, String>, was_failing: bool) {
    match done {
        Ok(Done::Fetched) => {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
            let seconds = (clock::now().0 / 1000) as f64;
            gauge!("gatehouse_client_analytics_timestamp_seconds", "report" => name.to_owned()).set(seconds);
        }
        Err(why) if !was_failing => {
            tracing::warn!(
                report = name,
                why,
                "the provider's client analytics were not fetched; what was there stays"
            );
        }
        Ok(Done::Elsewhere) | Err(_) => {}
    }
    let failing = if done.is_err() { 1.0 } else { 0.0 };
    gauge!("gatehouse_client_analytics_failing", "report" => name.to_owned()).set(failing);
}

/// Fetches one, unless another node does.
async fn turn(live: &Arc<Live>, app: &App, one: &ProviderReport) -> Result<Done, String> {
    let (lease, holder, now) = (format!("analytics:{}", one.name), app.node.to_string(), clock::now());
    let every = i64::try_from(one.every.as_millis()).unwrap_or(i64::MAX / 2);
    let take = async |until| {
        let taken = app.store.take_lease(app.org, &lease, &holder, clock::now(), until).await;
        taken.map_err(|error| error.to_string())
    };
    if !take(now.plus_millis(LEASE_MS)).await? {
        return Ok(Done::Elsewhere);
    }
    match fetch(live, app, one).await {
        Ok(()) => {
            // It is due again a little before the lease ends, so that it stays here.
            take(clock::now().plus_millis(every.saturating_add(60_000))).await?;
            Ok(Done::Fetched)
        }
        Err(why) => {
            // Another node may have a better way to the provider.
            let back = app.store.give_lease_back(app.org, &lease, &holder).await;
            back.map_err(|error| format!("{why}; {error}"))?;
            Err(why)
        }
    }
}

/// Fetches the last days, today's included.
async fn fetch(live: &Arc<Live>, app: &App, one: &ProviderReport) -> Result<(), String> {
    let (of, configured) = (Arc::clone(live), one.clone());
    // Files are read, and commands run.
    let ready = tokio::task::spawn_blocking(move || prepare(&of, &configured));
    let to = ready.await.map_err(|error| error.to_string())??;
    let today = clock::now().day();
    let (mut records, mut strangers) = (0, 0);
    for back in (0..i64::from(one.analytics_days)).rev() {
        let day = today.plus_millis(-back * DAY_MS);
        let shown = date(day);
        let reading = pages(&to, day).await.map_err(|why| format!("client analytics of {shown}: {why}"))?;
        let kept = gatehouse_control::analytics::keep(app, &one.name, day, reading).await;
        let kept = kept.map_err(|error| format!("client analytics of {shown}: {error}"))?;
        records += kept.records;
        strangers = kept.taken.strangers.max(strangers);
    }
    let days = one.analytics_days;
    tracing::info!(
        report = one.name,
        days,
        records,
        unmatched = strangers,
        "the provider's client analytics were fetched"
    );
    Ok(())
}

/// All pages of a day.
async fn pages(to: &Post, day: UnixMillis) -> Result<Reading, String> {
    let query = format!("/v1/organizations/usage_report/claude_code?starting_at={}&limit={PAGE}", date(day));
    let (mut reading, mut page) = (Reading::default(), None::<String>);
    let mut seen = HashSet::new();
    for _ in 0..MAX_PAGES {
        let next = page.as_ref().map_or_else(String::new, |page| format!("&page={}", encoded(page)));
        let body = one_page(to, &format!("{query}{next}")).await?;
        let told: Value =
            serde_json::from_slice(&body).map_err(|error| format!("it answers no JSON: {error}"))?;
        reading.page(&told, clock::now()).map_err(|error| error.to_string())?;
        if told["has_more"] != true {
            return match reading.days().into_iter().find(|of| *of != day) {
                Some(other) => Err(format!("it answers with records of {}", date(other))),
                None => Ok(reading),
            };
        }
        let Some(next) = told["next_page"].as_str() else {
            return Err("it has more, and does not say where".to_owned());
        };
        if !seen.insert(next.to_owned()) {
            return Err("its pages go round in a circle".to_owned());
        }
        page = Some(next.to_owned());
    }
    Err(format!("it has more than {MAX_PAGES} pages"))
}

fn date(day: UnixMillis) -> String {
    day.to_string().chars().take(10).collect()
}
