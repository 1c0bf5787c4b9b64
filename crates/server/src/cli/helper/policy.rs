//! `client policy`: the settings of who is signed in, as a coding client takes them from its `policyHelper`.
//!
//! It prints `{"managedSettings": …}`, which takes the place of all that the machine's own managed settings say, or `{}`
//! where nothing is published for the person: then the machine's own hold. A client that gets neither does not start.

use std::time::Duration;

use gatehouse_domain::settings::{Checksum, ClientVersion, Document};
use gatehouse_domain::time::UnixMillis;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::output::complain;
use super::cache::{Cache, Found, Kind};
use super::gateway::{Away, Gateway, Word};
use super::session::{self, NoToken};

/// How long another process may keep a policy from being kept. The coding client waits for it meanwhile.
const MOMENT: Duration = Duration::from_millis(500);

/// A policy that was had from the gateway.
pub(super) struct Policy {
    /// The settings, with their checksum; none if nothing was published.
    pub(super) settings: Option<(Document, Checksum)>,
    /// When the gateway last said that this is the policy.
    pub(super) confirmed_at: UnixMillis,
}

/// What is to be printed. `client` is the version of the coding client that asks, where it names itself.
pub(super) fn run(
    cache: &Cache,
    gateway: &Gateway,
    max_age: i64,
    client: Option<&str>,
    now: UnixMillis,
) -> Result<String, Failure> {
    let kept = known(cache, gateway)?;
    let checksum = kept.as_ref().and_then(|kept| kept.settings.as_ref()).map(|(_, sum)| *sum);
    let policy = match ask(cache, gateway, checksum, &agent(client), now) {
        Ok(Word::Settings(document, sum)) => Policy { settings: Some((document, sum)), confirmed_at: now },
        Ok(Word::Nothing) => Policy { settings: None, confirmed_at: now },
        Ok(Word::Same) => Policy { settings: kept.and_then(|kept| kept.settings), confirmed_at: now },
        Ok(Word::Refused) => return Err(NoToken::Over.failure(gateway.url())),
        Err(NoToken::Away(Away(why))) => return without(kept, max_age, &why, gateway, now),
        Err(why) => return Err(why.failure(gateway.url())),
    };
    if let Err(failure) = keep(cache, gateway, &policy) {
        complain(&format!("gatehouse: the policy is printed, and not kept: {failure}"));
    }
    Ok(policy.printed())
}

/// Asks the gateway; once more with another token when it refuses the first.
fn ask(
    cache: &Cache,
    gateway: &Gateway,
    known: Option<Checksum>,
    agent: &str,
    now: UnixMillis,
) -> Result<Word, NoToken> {
    let machine = cache.machine();
    let session = session::fresh(cache, gateway, now)?;
    match gateway.settings(&session.access, known, machine, agent).map_err(NoToken::Away)? {
        Word::Refused => {
            let session = session::renewed(&session, cache, gateway, now)?;
            gateway.settings(&session.access, known, machine, agent).map_err(NoToken::Away)
        }
        word @ (Word::Nothing | Word::Same | Word::Settings(..)) => Ok(word),
    }
}

/// What is printed while the gateway is away.
fn without(
    kept: Option<Policy>,
    max_age: i64,
    why: &str,
    gateway: &Gateway,
    now: UnixMillis,
) -> Result<String, Failure> {
    let url = gateway.url().as_str();
    let Some(kept) = kept else {
        return Err(Failure::Unreachable(format!("{url} {why}, and there is no copy of its policy")));
    };
    let since = kept.confirmed_at;
    // A copy from the future tells of a clock that was set back: it counts as new.
    if now.0.saturating_sub(since.0) >= max_age {
        return Err(Failure::Unreachable(format!(
            "{url} {why}, and its policy was last confirmed at {since}, which is longer ago than --max-age allows"
        )));
    }
    complain(&format!("gatehouse: {url} {why}; this is its policy as of {since}"));
    Ok(kept.printed())
}

/// The policy that is kept. One that was altered is none, and said so.
fn known(cache: &Cache, gateway: &Gateway) -> Result<Option<Policy>, Failure> {
    let altered = || {
        complain(&format!(
            "gatehouse: the policy kept for {} was altered or comes from elsewhere, and is not used",
            gateway.url().as_str()
        ));
    };
    match cache.read(gateway.url(), Kind::Policy)? {
        Found::Nothing => Ok(None),
        Found::Altered => {
            altered();
            Ok(None)
        }
        Found::Content(content) => {
            let policy = Policy::of(&content);
            if policy.is_none() {
                altered();
            }
            Ok(policy)
        }
    }
}

fn keep(cache: &Cache, gateway: &Gateway, policy: &Policy) -> Result<(), Failure> {
    let Some(locked) = cache.try_lock(gateway.url(), MOMENT)? else {
        return Err(Failure::Unreachable("another process is busy with the session".to_owned()));
    };
    // Who has signed out meanwhile leaves no policy behind.
    if matches!(cache.read(gateway.url(), Kind::Session)?, Found::Nothing) {
        return Ok(());
    }
    locked.write(Kind::Policy, policy.content().as_bytes())
}

/// How a request names itself: as the coding client, whose helper it is, where that has said its version.
fn agent(client: Option<&str>) -> String {
    let own = concat!("gatehouse/", env!("CARGO_PKG_VERSION"));
    match client.and_then(|text| ClientVersion::parse(text).ok()) {
        Some(version) => format!("claude-code/{version} ({own})"),
        None => own.to_owned(),
    }
}

impl Policy {
    /// As the coding client takes it.
    fn printed(&self) -> String {
        match &self.settings {
            Some((document, _)) => json!({"managedSettings": document.as_map()}).to_string(),
            None => "{}".to_owned(),
        }
    }

    fn content(&self) -> String {
        let settings = self.settings.as_ref().map(|(document, _)| document.as_map());
        let checksum = self.settings.as_ref().map(|(_, sum)| sum.to_string());
        json!({"settings": settings, "checksum": checksum, "confirmed_at": self.confirmed_at.0}).to_string()
    }

    /// The policy in a content; nothing if its settings are not those of its checksum.
    pub(super) fn of(content: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(content).ok()?;
        let confirmed_at = UnixMillis(value["confirmed_at"].as_i64()?);
        let settings = value["settings"].take();
        let settings = if settings.is_null() {
            None
        } else {
            let sum = Checksum::parse(value["checksum"].as_str()?).ok()?;
            let document = Document::from_value(settings).ok()?;
            Some((document, sum)).filter(|(document, sum)| Checksum::of(document) == *sum)
        };
        (settings.is_some() || value["checksum"].is_null()).then_some(Self { settings, confirmed_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(settings: Option<Value>) -> Policy {
        let document = settings.map(|settings| Document::from_value(settings).unwrap());
        let settings = document.map(|document| {
            let sum = Checksum::of(&document);
            (document, sum)
        });
        Policy { settings, confirmed_at: UnixMillis(5) }
    }

    #[test]
    fn a_policy_is_read_as_it_is_kept() {
        for settings in [None, Some(json!({})), Some(json!({"z": 1, "a": {"é": [1, 2.5]}}))] {
            let kept = policy(settings.clone());
            let read = Policy::of(kept.content().as_bytes()).unwrap();
            assert_eq!(
                (read.settings, read.confirmed_at),
                (kept.settings, kept.confirmed_at),
                "{settings:?}"
            );
        }
    }

    #[test]
    fn settings_that_are_not_those_of_their_checksum_are_no_policy() {
        let kept = policy(Some(json!({"model": "opus"}))).content();
        assert!(Policy::of(kept.replace("opus", "haiku").as_bytes()).is_none());
        for content in [
            "",
            "{}",
            r#"{"settings":{},"confirmed_at":1}"#,
            r#"{"settings":null,"checksum":"x","confirmed_at":1}"#,
        ] {
            assert!(Policy::of(content.as_bytes()).is_none(), "{content}");
        }
    }

    #[test]
    fn nothing_published_is_told_apart_from_empty_settings() {
        assert_eq!(policy(None).printed(), "{}");
        assert_eq!(policy(Some(json!({}))).printed(), r#"{"managedSettings":{}}"#);
    }

    #[test]
    fn only_a_version_names_the_coding_client() {
        assert!(agent(Some("2.1.330")).starts_with("claude-code/2.1.330 (gatehouse/"));
        for client in [None, Some(""), Some("2.1.330\r\nx: y"), Some("x")] {
            assert!(agent(client).starts_with("gatehouse/"), "{client:?}");
        }
    }
}
