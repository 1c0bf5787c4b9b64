//! What every user's settings amount to, in memory.
//!
//! A snapshot holds the published layers and which of them concern whom, and never changes; overlays come and go in it with
//! the time. Users with the same layers
//! share one document, which is made when the first of them asks.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use gatehouse_domain::id::{OrgId, ProfileId, TeamId, UserId};
use gatehouse_domain::settings::document::{MAX_BYTES, MAX_VALUES};
use gatehouse_domain::settings::merge::{BadLayers, MAX_LAYERS};
use gatehouse_domain::settings::receipt::VersionRange;
use gatehouse_domain::settings::{
    Audience, Catalogue, Checksum, ClientVersion, Content, Document, Layer, LayerId, Merged, Path, Target,
    merge,
};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{Assignment, Profile, Published};
use gatehouse_store::{Store, StoreError};
use serde_json::Value;

use crate::act::ActError;
use crate::app::App;

/// Bytes of documents that a snapshot keeps; beyond that they are made anew for every question.
const MAX_KEPT: usize = 64 * 1024 * 1024;

/// The settings of one user, ready to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Names the document: made of its checksum, so that the same settings always have the same.
    pub uuid: String,
    /// The checksum that the client computes of them.
    pub checksum: Checksum,
    /// The checksum as an entity tag, with quotation marks.
    pub etag: String,
    /// The body of `GET /managed/settings`: `{"uuid", "checksum", "settings"}`.
    pub body: Arc<str>,
    /// The settings.
    pub settings: Document,
    /// The versions of the client that they let start.
    pub range: VersionRange,
    /// The layers they are made of, the general first.
    pub layers: Vec<LayerId>,
    /// When the newest of these was published.
    pub published_at: UnixMillis,
}

/// Published layers, and whom they concern.
#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    catalogue: Arc<Catalogue>,
    layers: Vec<Published>,
    /// Those of the whole organization, by their place in `layers`.
    everyone: Vec<usize>,
    /// Overlays that concern somebody, by their place in `layers`.
    overlays: BTreeMap<usize, Audience>,
    /// All of those who have others besides; overlays, whether they hold now or not, only of those who are named.
    users: HashMap<UserId, Vec<usize>>,
    made: Mutex<Made>,
}

/// Documents by the layers they are made of.
#[derive(Debug, Default)]
struct Made {
    bytes: usize,
    documents: HashMap<Vec<usize>, Arc<Served>>,
}

impl Snapshot {
    /// Makes a snapshot of published layers and of who they concern. `version` is the policy's.
    pub fn new(
        version: u64,
        catalogue: Arc<Catalogue>,
        layers: Vec<Published>,
        assignments: &[Assignment],
    ) -> Self {
        let is_everyones = |layer: &Published| layer.target == Target::Organization;
        let everyone: Vec<usize> =
            layers.iter().enumerate().filter(|(_, layer)| is_everyones(layer)).map(|(at, _)| at).collect();
        let places: HashMap<_, usize> =
            layers.iter().zip(0..).map(|(layer, at)| (layer.profile, at)).collect();
        let mut users = HashMap::<UserId, Vec<usize>>::new();
        for assignment in assignments {
            if let Some(at) = places.get(&assignment.profile) {
                users.entry(assignment.user).or_insert_with(|| everyone.clone()).push(*at);
            }
        }
        for own in users.values_mut() {
            own.sort_unstable();
        }
        let overlays = layers.iter().zip(0..).filter_map(|(layer, at)| Some((at, layer.audience?))).collect();
        Self { version, catalogue, layers, everyone, overlays, users, made: Mutex::default() }
    }

    /// Reads what is published. The version is read first, so that a change in between is noticed by the next look.
    ///
    /// # Errors
    /// A content was changed in the database; the database.
    pub async fn load(store: &Store, org: OrgId, catalogue: Arc<Catalogue>) -> Result<Self, StoreError> {
        let version = store.policy_version(org).await?;
        let layers = store.published_settings(org).await?;
        let particular = layers.iter().any(|layer| layer.target != Target::Organization);
        let assignments = if particular { store.settings_assignments(org, None).await? } else { Vec::new() };
        Ok(Self::new(version, catalogue, layers, &assignments))
    }

    /// Reads what would be published if a profile said something else, or nothing.
    pub(super) async fn with(
        app: &App,
        profile: &Profile,
        content: Option<&Content>,
    ) -> Result<Self, ActError> {
        let ([snapshot], _) = Self::with_each(app, profile, [content]).await?;
        Ok(snapshot)
    }

    /// Reads what would be published for each of several things that a profile might say; and the profile's place among the
    /// layers of those in which it says something. All other layers have the same places in each.
    pub(super) async fn with_each<const N: usize>(
        app: &App,
        profile: &Profile,
        contents: [Option<&Content>; N],
    ) -> Result<([Self; N], usize), ActError> {
        let mut layers = app.store.published_settings(app.org).await?;
        let audience = match profile.target {
            Target::Rollout => app.store.settings_audience(app.org, profile.id).await?,
            Target::Organization | Target::Team(_) | Target::Project(_) | Target::User(_) => None,
        };
        layers.retain(|layer| layer.profile != profile.id);
        let place = layers.len();
        let assignments = app.store.settings_assignments(app.org, None).await?;
        let snapshots = contents.map(|content| {
            let mut layers = layers.clone();
            layers.extend(content.map(|content| Published {
                profile: profile.id,
                name: profile.name.clone(),
                target: profile.target,
                number: 0,
                content: content.clone(),
                published_at: app.now(),
                audience: audience.as_ref().map(|assigned| assigned.audience),
            }));
            Self::new(0, app.settings.catalogue(), layers, &assignments)
        });
        Ok((snapshots, place))
    }

    /// The version of the policy it was made of.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The settings of a user now; `None` if no published profile concerns them.
    ///
    /// # Errors
    /// Their layers together are too many or too large.
    pub fn served(&self, user: UserId, now: UnixMillis) -> Result<Option<Arc<Served>>, BadLayers> {
        self.document(&self.layers_of(user, now))
    }

    /// The settings of somebody who is in this team and in no other, and in no audience of an overlay; `None` if no published profile concerns them.
    ///
    /// # Errors
    /// The layers together are too many or too large.
    pub fn served_to_team(&self, team: TeamId) -> Result<Option<Arc<Served>>, BadLayers> {
        let concerns =
            |layer: &Published| layer.target == Target::Organization || layer.target == Target::Team(team);
        let own: Vec<usize> =
            self.layers.iter().enumerate().filter(|(_, layer)| concerns(layer)).map(|(at, _)| at).collect();
        self.document(&own)
    }

    /// A user's layers now, merged, with the history of each value.
    ///
    /// # Errors
    /// They are too many or too large together.
    pub fn merged(&self, user: UserId, now: UnixMillis) -> Result<Merged, BadLayers> {
        merge(&self.catalogue, &self.made_layers(&self.layers_of(user, now)))
    }

    /// Whether the settings of everybody whom this profile concerns can be delivered, whoever comes into the audience of an
    /// overlay that is not over: a wider audience or the passing of time must not leave anybody without settings.
    ///
    /// # Errors
    /// What is wrong with those of the first for whom they cannot.
    pub fn check(&self, profile: ProfileId, now: UnixMillis) -> Result<(), BadLayers> {
        let is_overlay =
            |at: &usize| self.layers.get(*at).is_some_and(|layer| layer.target == Target::Rollout);
        let place = self.layers.iter().position(|layer| layer.profile == profile);
        let is_over = |at: &usize| self.overlays.get(at).is_some_and(|audience| audience.is_over(now));
        // The profile itself counts even if it is over: it may be about to be assigned anew.
        let overlays: Vec<usize> = (0..self.layers.len())
            .filter(|at| is_overlay(at) && (place == Some(*at) || !is_over(at)))
            .collect();
        let sizes: Vec<Size> = self.layers.iter().map(|layer| Size::of(layer.content.settings())).collect();
        let mut different = HashSet::new();
        for own in self.users.values().chain([&self.everyone]) {
            let mut own: Vec<usize> = own.iter().copied().filter(|at| !is_overlay(at)).collect();
            own.extend(&overlays);
            own.sort_unstable();
            // Merging is for those few that might not fit: with thousands of people it takes long.
            if place.is_some_and(|place| own.contains(&place)) && !Size::surely_fit(&sizes, &own) {
                different.insert(own);
            }
        }
        different.iter().try_for_each(|own| self.document(own).map(drop))
    }

    /// The places of a user's layers at this time, in order.
    pub(super) fn layers_of(&self, user: UserId, now: UnixMillis) -> Cow<'_, [usize]> {
        let own = self.users.get(&user).unwrap_or(&self.everyone);
        if self.overlays.is_empty() {
            return Cow::Borrowed(own);
        }
        let holds = |at: &usize| self.overlays.get(at).is_none_or(|audience| audience.is_open(now));
        let mut all: Vec<usize> = own.iter().copied().filter(holds).collect();
        for (at, audience) in self.overlays.iter().filter(|(_, audience)| audience.is_open(now)) {
            let overlay = self.layers.get(*at).map(|layer| layer.profile);
            let is_in = overlay.is_some_and(|overlay| audience.percent.includes(overlay, user));
            if is_in && !all.contains(at) {
                all.push(*at);
            }
        }
        all.sort_unstable();
        Cow::Owned(all)
    }

    fn made_layers(&self, own: &[usize]) -> Vec<Layer> {
        let published = own.iter().filter_map(|at| self.layers.get(*at));
        // The locks were checked when the content was made, so that no layer is left out here.
        published.filter_map(|one| one.content.layer(one.target, &one.name).ok()).collect()
    }

    /// What these layers amount to; `None` if there are none.
    pub(super) fn document(&self, own: &[usize]) -> Result<Option<Arc<Served>>, BadLayers> {
        if own.is_empty() {
            return Ok(None);
        }
        if let Some(made) = self.lock().documents.get(own) {
            return Ok(Some(Arc::clone(made)));
        }
        let layers = self.made_layers(own);
        let published_at = own.iter().filter_map(|at| Some(self.layers.get(*at)?.published_at)).max();
        let merged = merge(&self.catalogue, &layers)?;
        let mut ids: Vec<LayerId> = layers.iter().map(|layer| layer.id().clone()).collect();
        ids.sort_by(LayerId::order);
        let served = Arc::new(served(merged.settings(), ids, published_at.unwrap_or(UnixMillis(0))));
        let mut made = self.lock();
        if made.bytes.saturating_add(served.body.len()) <= MAX_KEPT {
            made.bytes += served.body.len();
            made.documents.insert(own.to_vec(), Arc::clone(&served));
        }
        Ok(Some(served))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How large a layer's settings are.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: usize,
    values: usize,
}

impl Size {
    fn of(settings: &Document) -> Self {
        let bytes = serde_json::to_string(settings).map_or(usize::MAX, |text| text.len());
        Self { bytes, values: 1 + settings.as_map().values().map(count).sum::<usize>() }
    }

    /// Whether these layers are deliverable together whatever they say: a merge is never larger than its parts, since each
    /// value comes from one of them.
    fn surely_fit(sizes: &[Self], own: &[usize]) -> bool {
        let of =
            |at: &usize| sizes.get(*at).copied().unwrap_or(Self { bytes: usize::MAX, values: usize::MAX });
        let bytes = own.iter().fold(0_usize, |sum, at| sum.saturating_add(of(at).bytes));
        let values = own.iter().fold(0_usize, |sum, at| sum.saturating_add(of(at).values));
        own.len() <= MAX_LAYERS && bytes <= MAX_BYTES && values <= MAX_VALUES
    }
}

/// How many values there are in a value, counting it.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(count).sum::<usize>(),
        Value::Object(entries) => 1 + entries.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

fn served(settings: &Document, layers: Vec<LayerId>, published_at: UnixMillis) -> Served {
    let checksum = Checksum::of(settings);
    let uuid = uuid_of(&checksum);
    let text = serde_json::to_string(settings).expect("a document has text keys only");
    // The parts are texts without anything that JSON escapes.
    let body = format!(r#"{{"uuid":"{uuid}","checksum":"{checksum}","settings":{text}}}"#);
    let version = |key| {
        let value = Path::root().key(key).find(settings.as_map())?.as_str()?;
        ClientVersion::parse(value).ok()
    };
    Served {
        range: VersionRange {
            lowest: version("requiredMinimumVersion"),
            highest: version("requiredMaximumVersion"),
        },
        etag: format!("\"{checksum}\""),
        body: body.into(),
        settings: settings.clone(),
        uuid,
        checksum,
        layers,
        published_at,
    }
}

/// The checksum's first half in the form of a UUID of one's own making (RFC 9562, version 8).
pub fn uuid_of(checksum: &Checksum) -> String {
    let mut bytes = *checksum.as_bytes();
    bytes[6] = (bytes[6] & 0x0F) | 0x80;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let text = Checksum::from_bytes(bytes).to_string();
    let hex = text.trim_start_matches("sha256:");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}
