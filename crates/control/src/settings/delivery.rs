//! What the data path asks: a user's settings, answered from memory, and where it tells what clients report.
//!
//! Neither touches the database. A job of the server calls [`Delivery::refresh`] when the policy has changed and
//! [`Delivery::flush`] every few seconds.
//!
//! `GET /managed/settings` is one call: [`Delivery::fetch`] with the user that the bearer names, and the headers
//! `If-None-Match` and `User-Agent`. Its [`Answer`] says what to send: 404, 304 with [`Served::etag`], or 200 with
//! [`Served::body`] and `ETag`. A request with `x-claude-code-managed-settings-checksum` is one call of
//! [`Delivery::hear`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::settings::merge::BadLayers;
use gatehouse_domain::settings::{Catalogue, Checksum, ClientVersion, Machine, Receipt, ReceiptState};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::MAX_BATCH;
use gatehouse_store::{Store, StoreError};

use super::machine::Machines;
use super::schema;
use super::snapshot::{Served, Snapshot};

/// Users whose receipts are held in memory. Beyond that, news of others are not kept until there is room again: those who
/// were written down make room.
pub const MAX_HELD: usize = 50_000;
/// Most receipts that one flush writes; the rest waits for the next.
const MAX_FLUSH: usize = 20 * MAX_BATCH;

/// Settings for clients, and news from them. Cheap to ask; shared between threads.
#[derive(Debug)]
pub struct Delivery {
    builtin: Catalogue,
    taught: ArcSwap<Taught>,
    snapshot: ArcSwapOption<Snapshot>,
    held: Mutex<HashMap<UserId, Held>>,
    machines: Machines,
}

/// The catalogue, and up to which schema it was taught.
#[derive(Debug)]
struct Taught {
    schema: u32,
    catalogue: Arc<Catalogue>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    receipt: Receipt,
    /// When the client was last seen, as far as it was written down.
    written: Option<UnixMillis>,
    is_new: bool,
}

/// Why a client cannot be told its settings. To be answered with a failure: "nothing" would clear the policy that it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// This node has not read yet what is published.
    #[error("this node has not read yet what is published")]
    NotRead,
    /// The user's layers cannot be put together.
    #[error(transparent)]
    Layers(#[from] BadLayers),
}

/// What a client that asks for its settings is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// There are none for this user: 404.
    Nothing,
    /// It has them already: 304.
    Same(Arc<Served>),
    /// These: 200.
    Settings(Arc<Served>),
}

impl Delivery {
    /// Begins without knowing what is published.
    pub fn new(catalogue: Catalogue) -> Self {
        let taught = Taught { schema: 0, catalogue: Arc::new(catalogue.clone()) };
        Self {
            builtin: catalogue,
            taught: ArcSwap::from_pointee(taught),
            snapshot: ArcSwapOption::empty(),
            held: Mutex::default(),
            machines: Machines::default(),
        }
    }

    /// The catalogue of the client's keys, with what imported schemas say of others.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.taught.load().catalogue)
    }

    /// The catalogue of this release alone.
    pub const fn builtin(&self) -> &Catalogue {
        &self.builtin
    }

    /// Takes over the schemas that are in force now. If one cannot be read, the catalogue stays as it is.
    ///
    /// # Errors
    /// A schema was changed in the database; the database.
    pub async fn learn(&self, store: &Store, org: OrgId) -> Result<(), StoreError> {
        let newest = store.settings_schema_number(org).await?;
        if newest == self.taught.load().schema {
            return Ok(());
        }
        let schemas = store.settings_schemas_in_force(org).await?;
        let catalogue = Arc::new(schema::taught(&self.builtin, &schemas)?);
        self.taught.store(Arc::new(Taught { schema: newest, catalogue }));
        Ok(())
    }

    /// What is published, as this node knows it; `None` until it was read for the first time.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Takes over what is published now. If it cannot be read, clients go on getting what they got.
    ///
    /// # Errors
    /// A content or a schema was changed in the database; the database.
    pub async fn refresh(&self, store: &Store, org: OrgId) -> Result<(), StoreError> {
        // Schemas only add keys, and new keys merge as unknown ones do: what is served need not wait for them.
        let learned = self.learn(store, org).await;
        self.snapshot.store(Some(Arc::new(Snapshot::load(store, org, self.catalogue()).await?)));
        learned
    }

    /// Answers a client that asks for its settings, and notes what it says it has and what it is given.
    ///
    /// `if_none_match` and `user_agent` are the headers as they came.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn fetch(
        &self,
        user: UserId,
        if_none_match: Option<&str>,
        user_agent: Option<&str>,
        now: UnixMillis,
    ) -> Result<Answer, NotServed> {
        let served = self.snapshot().ok_or(NotServed::NotRead)?.served(user, now)?;
        let has = if_none_match.and_then(reported);
        let client = user_agent.and_then(client_of);
        let Some(served) = served else {
            self.note(user, |receipt| receipt.report(has, client, now));
            return Ok(Answer::Nothing);
        };
        let is_same = has == Some(served.checksum) || if_none_match.is_some_and(|text| text.trim() == "*");
        self.note(user, |receipt| {
            receipt.report(has, client, now);
            if !is_same {
                receipt.offer(served.checksum, now);
            }
        });
        Ok(if is_same { Answer::Same(served) } else { Answer::Settings(served) })
    }

    /// Notes on which machine a user was given an answer of [`Self::fetch`]; the other arguments are those of the call.
    pub fn on_machine(
        &self,
        user: UserId,
        machine: Machine,
        answer: &Answer,
        if_none_match: Option<&str>,
        user_agent: Option<&str>,
        now: UnixMillis,
    ) {
        self.machines.note(user, machine, |receipt| {
            receipt.report(if_none_match.and_then(reported), user_agent.and_then(client_of), now);
            if let Answer::Settings(served) = answer {
                receipt.offer(served.checksum, now);
            }
        });
    }

    /// Notes which settings a client says it has. A text that is no checksum is not noted. Cheap enough for every request.
    pub fn hear(&self, user: UserId, checksum: &str, user_agent: Option<&str>, now: UnixMillis) {
        if let Some(has) = reported(checksum) {
            self.note(user, |receipt| receipt.report(Some(has), user_agent.and_then(client_of), now));
        }
    }

    /// Notes which settings a client says it has, and tells how far the user's have come. `None` if no published profile
    /// concerns the user, or if `checksum` is none.
    pub fn report(
        &self,
        user: UserId,
        checksum: &str,
        user_agent: Option<&str>,
        now: UnixMillis,
    ) -> Option<ReceiptState> {
        let has = reported(checksum)?;
        let client = user_agent.and_then(client_of);
        let receipt = self.note(user, |receipt| receipt.report(Some(has), client, now));
        let served = self.snapshot()?.served(user, now).ok().flatten()?;
        Some(receipt.state(served.checksum, served.range, now))
    }

    /// Writes news down, in batches. What cannot be written stays for the next time.
    ///
    /// # Errors
    /// The database.
    pub async fn flush(&self, store: &Store, org: OrgId) -> Result<(), StoreError> {
        let news: Vec<(UserId, Receipt)> = {
            let held = self.lock();
            let new = held.iter().filter(|(_, held)| held.is_new).take(MAX_FLUSH);
            new.map(|(user, held)| (*user, held.receipt.clone())).collect()
        };
        for batch in news.chunks(MAX_BATCH) {
            store.put_settings_receipts(org, batch).await?;
            let mut held = self.lock();
            for (user, written) in batch {
                if let Some(known) = held.get_mut(user) {
                    known.written = written.seen_at;
                    known.is_new = known.receipt.is_news(written, known.written);
                }
            }
        }
        self.make_room();
        self.machines.flush(store, org).await
    }

    fn make_room(&self) {
        let mut held = self.lock();
        if held.len() > MAX_HELD / 2 {
            held.retain(|_, held| held.is_new);
        }
    }

    /// Changes what is known of a user's client, and gives it. Without room it is not kept.
    fn note(&self, user: UserId, change: impl FnOnce(&mut Receipt)) -> Receipt {
        let mut all = self.lock();
        let full = all.len() >= MAX_HELD && !all.contains_key(&user);
        let mut apart = Held::default();
        let held = if full { &mut apart } else { all.entry(user).or_default() };
        let before = held.receipt.clone();
        change(&mut held.receipt);
        held.is_new |= held.receipt.is_news(&before, held.written);
        held.receipt.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checksum in a header: with or without quotation marks, weak or not.
fn reported(text: &str) -> Option<Checksum> {
    let text = text.trim();
    Checksum::parse(text.strip_prefix("W/").unwrap_or(text).trim_matches('"')).ok()
}

/// The client's version in its `User-Agent`: `claude-code/2.1.330`, `claude-cli/2.1.330 (external, cli)`.
fn client_of(user_agent: &str) -> Option<ClientVersion> {
    let product = user_agent.split_whitespace().next()?;
    let (name, version) = product.split_once('/')?;
    if !matches!(name, "claude-code" | "claude-cli") {
        return None;
    }
    ClientVersion::parse(version).ok()
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::id::{ProfileId, TeamId};
    use gatehouse_domain::settings::{Content, Document, Target};
    use gatehouse_store::settings::{Assignment, Published};
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const ADA: UserId = UserId::from_bits(1);
    const BOB: UserId = UserId::from_bits(2);

    fn published(n: u128, target: Target, settings: Value) -> Published {
        let settings = Document::from_value(settings).unwrap();
        Published {
            profile: ProfileId::from_bits(n),
            name: format!("profile {n}"),
            target,
            number: 1,
            content: Content::new(target, settings, vec![], 0).unwrap(),
            published_at: NOW,
            audience: None,
        }
    }

    fn delivery(layers: Vec<Published>, assignments: &[Assignment]) -> Delivery {
        let delivery = Delivery::new(Catalogue::builtin());
        let snapshot = Snapshot::new(1, delivery.catalogue(), layers, assignments);
        delivery.snapshot.store(Some(Arc::new(snapshot)));
        delivery
    }

    fn two_layers() -> Delivery {
        let team = Target::Team(TeamId::from_bits(1));
        delivery(
            vec![
                published(
                    1,
                    Target::Organization,
                    json!({"model": "opus", "requiredMinimumVersion": "2.1.300"}),
                ),
                published(2, team, json!({"model": "haiku"})),
            ],
            &[Assignment { user: ADA, profile: ProfileId::from_bits(2) }],
        )
    }

    #[test]
    fn what_was_not_read_is_not_nothing() {
        let unread = Delivery::new(Catalogue::builtin());
        assert_eq!(unread.fetch(ADA, None, None, NOW), Err(NotServed::NotRead));
        assert_eq!(delivery(vec![], &[]).fetch(ADA, None, None, NOW), Ok(Answer::Nothing));
    }

    #[test]
    fn a_client_gets_its_own_settings_and_is_then_told_that_they_are_the_same() {
        let delivery = two_layers();
        let Ok(Answer::Settings(ada)) = delivery.fetch(ADA, None, None, NOW) else { panic!("settings") };
        let Ok(Answer::Settings(bob)) = delivery.fetch(BOB, None, None, NOW) else { panic!("settings") };
        assert_ne!(ada.checksum, bob.checksum);
        let body: Value = serde_json::from_str(&ada.body).unwrap();
        assert_eq!(body["settings"], json!({"model": "haiku", "requiredMinimumVersion": "2.1.300"}));
        let kept = Document::from_value(body["settings"].clone()).unwrap();
        assert_eq!(body["checksum"], Checksum::of(&kept).to_string());
        assert_eq!((body["uuid"].as_str().unwrap(), ada.uuid.len()), (ada.uuid.as_str(), 36));
        for same in [ada.etag.clone(), ada.checksum.to_string(), format!("W/{}", ada.etag), "*".into()] {
            let told = delivery.fetch(ADA, Some(&same), None, NOW);
            assert_eq!(told, Ok(Answer::Same(Arc::clone(&ada))), "{same}");
        }
        for other in [bob.etag.as_str(), "", "\"\"", "sha256:x"] {
            let told = delivery.fetch(ADA, Some(other), None, NOW);
            assert_eq!(told, Ok(Answer::Settings(Arc::clone(&ada))), "{other}");
        }
    }

    #[test]
    fn what_a_client_reports_tells_how_far_it_is() {
        let delivery = two_layers();
        let served = delivery.snapshot().unwrap().served(ADA, NOW).unwrap().unwrap();
        let sum = served.checksum.to_string();
        let report =
            |text: &str, agent: &str, ms| delivery.report(ADA, text, Some(agent), NOW.plus_millis(ms));
        delivery.fetch(ADA, None, Some("claude-code/2.1.330"), NOW).unwrap();
        let other = Checksum::from_bytes([9; 32]).to_string();
        assert_eq!(report(&other, "claude-cli/2.1.330 (external, cli)", 1), Some(ReceiptState::Partial));
        assert_eq!(report(&sum, "claude-cli/2.1.330 (external, cli)", 2), Some(ReceiptState::Confirmed));
        assert_eq!(report(&sum, "claude-cli/2.1.299 (external, cli)", 3), Some(ReceiptState::Blocked));
        assert_eq!(report("nonsense", "claude-cli/2.1.330", 4), None);
        assert_eq!(report(&sum, "curl/8", 5), Some(ReceiptState::Blocked), "the version is kept");
    }

    #[test]
    fn receipts_in_memory_are_bounded() {
        let delivery = two_layers();
        for n in 0..MAX_HELD + 10 {
            let user = UserId::from_bits(u128::try_from(n).unwrap());
            delivery.fetch(user, None, None, NOW).unwrap();
        }
        assert_eq!(delivery.lock().len(), MAX_HELD);
    }

    #[test]
    fn users_with_the_same_layers_share_one_document() {
        let delivery = two_layers();
        let snapshot = delivery.snapshot().unwrap();
        let one = snapshot.served(BOB, NOW).unwrap().unwrap();
        let other = snapshot.served(UserId::from_bits(77), NOW).unwrap().unwrap();
        assert!(Arc::ptr_eq(&one, &other));
    }
}
