//! The provider's own reports of usage and cost, fetched from its Admin API and kept as files: what `gatehouse reconcile` reads.
//!
//! Each time the current month and the one before are fetched whole, and take the place of what was there: a month's file
//! is what the provider says of it now, however often it is fetched, or not at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatehouse_domain::proxy::Host;
use gatehouse_domain::report::Month;
use gatehouse_domain::time::UnixMillis;
use gatehouse_egress::tls::Trust;
use http::{HeaderName, HeaderValue};
use metrics::gauge;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::live::Live;
use crate::config::ProviderReport;
use crate::fetch::{Post, get};
use crate::{clock, secret};

/// Where the files are, in the data directory.
const FOLDER: &str = "provider-reports";
/// How often it is seen whether something is to be fetched.
const LOOK: Duration = Duration::from_secs(1);
/// After how long it is tried again when it failed.
const AGAIN: Duration = Duration::from_mins(10);
/// Most pages of one report.
const MAX_PAGES: usize = 200;
/// Most bytes of one page.
const MAX_PAGE: usize = 8 * 1024 * 1024;
/// Most bytes of one report.
const MAX_REPORT: usize = 64 * 1024 * 1024;
/// The version of the API that is asked.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// What is fetched: the name in the file's name, and the query without its span.
const KINDS: [(&str, &str); 2] = [
    ("cost", "/v1/organizations/cost_report?bucket_width=1d&limit=31&group_by%5B%5D=description"),
    (
        "usage",
        "/v1/organizations/usage_report/messages?bucket_width=1d&limit=31&group_by%5B%5D=model\
         &group_by%5B%5D=service_tier&group_by%5B%5D=workspace_id",
    ),
];

/// When one was fetched last, as which configuration, and whether that went well.
struct Last {
    configured: ProviderReport,
    next: Instant,
    failing: bool,
}

/// Fetches what is due, again and again.
pub(super) async fn job(live: Arc<Live>) {
    let mut last: HashMap<String, Last> = HashMap::new();
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let config = live.config.load_full();
        last.retain(|name, _| config.provider_reports.iter().any(|one| one.name == *name));
        for one in &config.provider_reports {
            let before = last.get(&one.name).filter(|before| before.configured == *one);
            if before.is_some_and(|before| before.next > Instant::now()) {
                continue;
            }
            let was_failing = before.is_some_and(|before| before.failing);
            let done = fetch(&live, one).await;
            match &done {
                Ok(()) => {
                    tracing::info!(report = one.name, "the provider's reports were fetched");
                    let seconds = clock::now().0 / 1000;
                    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
                    gauge!("gatehouse_provider_report_timestamp_seconds", "report" => one.name.clone())
                        .set(seconds as f64);
                }
                Err(why) if !was_failing => {
                    tracing::warn!(
                        report = one.name,
                        why,
                        "the provider's reports were not fetched; what was there stays"
                    );
                }
                Err(_) => {}
            }
            let failing = done.is_err();
            gauge!("gatehouse_provider_report_failing", "report" => one.name.clone()).set(if failing {
                1.0
            } else {
                0.0
            });
            let next = Instant::now() + if failing { AGAIN } else { one.every };
            last.insert(one.name.clone(), Last { configured: one.clone(), next, failing });
        }
    }
}

/// Fetches the reports of this month and the one before.
async fn fetch(live: &Arc<Live>, one: &ProviderReport) -> Result<(), String> {
    let (live, configured) = (Arc::clone(live), one.clone());
    let folder = live.data_dir().join(FOLDER);
    // Files are read, and commands run.
    let ready = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || {
            std::fs::create_dir_all(&folder)
                .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
            prepare(&live, &configured)
        }
    });
    let to = ready.await.map_err(|error| error.to_string())??;
    let this = Month::of(clock::now());
    let before = Month::of(this.start().plus_millis(-1));
    for month in [before, this] {
        for (kind, query) in KINDS {
            let pages = pages(&to, query, month).await.map_err(|why| format!("{kind} of {month}: {why}"))?;
            keep(&folder, &one.name, kind, month, pages).await?;
        }
    }
    Ok(())
}

/// What a configured report is asked by. Reads files and runs commands.
pub(super) fn prepare(live: &Live, one: &ProviderReport) -> Result<Post, String> {
    let key =
        secret::resolve(&one.admin_key, &live.environment).map_err(|error| format!("admin_key: {error}"))?;
    let key = key.ok_or("admin_key: it cannot be sealed in the store")?;
    let mut key =
        HeaderValue::from_bytes(key.expose()).map_err(|_| "admin_key: it cannot be sent in a header")?;
    key.set_sensitive(true);
    let uri: http::Uri = one.base_url.parse().map_err(|error| format!("base_url: {error}"))?;
    let host = Host::parse(uri.host().unwrap_or_default()).map_err(|error| format!("base_url: {error}"))?;
    let way = live.way();
    let tls = Trust::new(&way.special).with(&host, one.ca_file.as_deref())?;
    let headers = vec![
        (HeaderName::from_static("x-api-key"), key),
        (HeaderName::from_static("anthropic-version"), VERSION),
    ];
    Ok(Post { endpoint: one.base_url.clone(), headers, tls, egress: live.egress.clone() })
}

/// All pages of a report of a month, as a JSON array.
async fn pages(to: &Post, query: &str, month: Month) -> Result<Vec<u8>, String> {
    let span = format!("&starting_at={}&ending_at={}", day(month.start()), day(month.end()));
    let (mut out, mut page) = (vec![b'['], None::<String>);
    for _ in 0..MAX_PAGES {
        let next = page.as_ref().map_or_else(String::new, |page| format!("&page={}", encoded(page)));
        let body = one_page(to, &format!("{query}{span}{next}")).await?;
        let told: Value =
            serde_json::from_slice(&body).map_err(|error| format!("it answers no JSON: {error}"))?;
        if !told["data"].is_array() {
            return Err("it answers no report".to_owned());
        }
        if out.len() + body.len() > MAX_REPORT {
            return Err(format!("it has more than {} MiB", MAX_REPORT >> 20));
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&body);
        if told["has_more"] != true {
            out.push(b']');
            return Ok(out);
        }
        page = told["next_page"].as_str().map(str::to_owned);
        if page.is_none() {
            return Err("it has more, and does not say where".to_owned());
        }
    }
    Err(format!("it has more than {MAX_PAGES} pages"))
}

/// Gets one page.
pub(super) async fn one_page(to: &Post, target: &str) -> Result<Bytes, String> {
    let (status, body) = get(to, target, MAX_PAGE).await?;
    match status {
        200 => Ok(body),
        401 | 403 => Err(format!("the admin key is not accepted (status {status})")),
        status => Err(format!("it answers {status}")),
    }
}

/// The beginning of a day, as the API wants it.
fn day(at: UnixMillis) -> String {
    format!("{}T00:00:00Z", at.to_string().get(..10).unwrap_or_default())
}

/// A text within a query.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            out + &char::from(byte).to_string()
        }
        _ => format!("{out}%{byte:02X}"),
    })
}

/// Puts a month's report in place of the one before: whole or not at all.
async fn keep(folder: &Path, name: &str, kind: &str, month: Month, report: Vec<u8>) -> Result<(), String> {
    let path: PathBuf = folder.join(format!("{name}-{kind}-{month}.json"));
    let written = tokio::task::spawn_blocking(move || {
        secret::write_private(&path, &report)
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
    });
    written.await.map_err(|error| error.to_string())?
}
