//! The inspection of what goes through the forward proxy: its rules as configured, and the authority that vouches for it.
//!
//! The authority is sealed under the master key, certificate and key together. Its key is never given out again.

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::seal::Place;
use gatehouse_identity::secret::Secret;
use gatehouse_store::{Store, StoreError};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::bootstrap::StartError;
use crate::secret::{self, SecretError};

/// The name under which the authority is stored.
pub(crate) const AUTHORITY: &str = "inspection/authority";
/// Where it is sealed.
pub(crate) const PLACE: Place<'static> = Place { purpose: "inspection-authority", name: "authority" };
/// Days that an authority made here is good for, unless it is said otherwise.
pub const DAYS: u32 = 730;
/// Most days.
pub const MAX_DAYS: u32 = 3650;

/// What the configuration says of the inspection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruled {
    /// Hosts that are looked into.
    pub hosts: Vec<String>,
    /// Hosts that are not.
    pub never: Vec<String>,
    /// Hosts whose model requests go through the gateway's stages.
    pub model_hosts: Vec<String>,
    /// By whose credential they are made: `caller` or `organization`.
    pub credential: &'static str,
    /// What people are told.
    pub notice: String,
}

/// What is known of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its name.
    pub subject: String,
    /// Names that it is good for, with everything below them; empty if it is not limited.
    pub names: Vec<String>,
    /// When it begins to be good.
    pub from: UnixMillis,
    /// When it ends.
    pub until: UnixMillis,
    /// SHA-256 of its certificate.
    pub sha256: String,
    /// Its certificate, PEM.
    pub certificate: String,
}

/// What an authority is made from.
pub enum Source<'a> {
    /// Nothing: a new key.
    New {
        /// For these hosts.
        hosts: &'a [String],
        /// Good for so many days.
        days: u32,
    },
    /// What the organization has.
    Brought {
        /// PEM.
        certificate: &'a str,
        /// PEM.
        key: &'a Secret,
    },
}

/// Makes an authority; the text that it is held as, or what is wrong.
pub type Make = Box<dyn Fn(&Source<'_>, UnixMillis) -> Result<(Secret, Authority), String> + Send + Sync>;
/// Reads the text that an authority is held as.
pub type Read = Box<dyn Fn(&Secret, UnixMillis) -> Result<Authority, String> + Send + Sync>;

/// What the rest of the process knows of the inspection.
pub struct Face {
    /// What the configuration says.
    pub rules: Box<dyn Fn() -> Ruled + Send + Sync>,
    /// Makes an authority.
    pub make: Make,
    /// Reads one.
    pub read: Read,
    /// The one that this node uses now. Returns at once.
    pub current: Box<dyn Fn() -> Option<Authority> + Send + Sync>,
}

impl Face {
    /// Of a process without inspection.
    pub fn absent() -> Self {
        let none = || "this process has no forward proxy".to_owned();
        Self {
            rules: Box::new(Ruled::default),
            make: Box::new(move |_, _| Err(none())),
            read: Box::new(move |_, _| Err(none())),
            current: Box::new(|| None),
        }
    }
}

/// The rules and the authority, as far as there is one.
///
/// # Errors
/// It does not open; the database.
pub async fn state(app: &App) -> Result<(Ruled, Option<Authority>), ActError> {
    let ruled = (app.house.inspection.rules)();
    let Some(text) = stored_text(app).await? else { return Ok((ruled, None)) };
    let found = (app.house.inspection.read)(&text, app.now());
    Ok((ruled, Some(read("authority", found)?)))
}

/// Makes an authority, in place of the one before where that is wanted. Clients must trust it before it is of use.
///
/// # Errors
/// What it is made from is no good; there is one already; the database.
pub async fn set(
    app: &App,
    caller: &Caller,
    source: &Source<'_>,
    replaces: Replace,
) -> Result<Changed<Authority>, ActError> {
    if let Source::New { days, .. } = source
        && !(1..=MAX_DAYS).contains(days)
    {
        return Err(ActError::field("days", format!("expected 1 to {MAX_DAYS}")));
    }
    let before = match stored_text(app).await {
        Ok(found) => found.is_some(),
        // One that does not open any more may be replaced, and only that.
        Err(ActError::Seal(_)) => true,
        Err(error) => return Err(error),
    };
    if before && replaces == Replace::No {
        let told = "there is an inspection authority already; say that it is to be replaced, after clients trust the new one";
        return Err(ActError::field("replace", told));
    }
    let now = app.now();
    let field = match source {
        Source::New { .. } => "hosts",
        Source::Brought { .. } => "certificate",
    };
    let (text, authority) = read(field, (app.house.inspection.make)(source, now))?;
    let action = match source {
        Source::New { .. } => "inspection_authority.create",
        Source::Brought { .. } => "inspection_authority.import",
    };
    let sealed = app.keyring.seal(PLACE, &text, app.random())?;
    let act = caller
        .draft(
            now,
            action,
            Object::new("inspection_authority", &authority.sha256, shortened(&authority.subject)),
        )
        .with("names", authority.names.clone())
        .with("until", authority.until.to_string())
        .with("replaces", before.to_string());
    match secret::store(&app.store, app.org, AUTHORITY, &sealed, &act).await {
        Ok(()) => {}
        Err(StartError::Store(error)) => return Err(error.into()),
        Err(StartError::MasterKey(error)) => return Err(error.into()),
        Err(error @ (StartError::Name(_) | StartError::RootsGone)) => {
            return Err(ActError::field("authority", error));
        }
    }
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: authority, in_force })
}

/// Whether an authority may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may not.
    No,
    /// It may.
    Yes,
}

/// Removes the authority. Tunnels that are to be looked into are refused from then on.
///
/// # Errors
/// There is none; the database.
pub async fn remove(app: &App, caller: &Caller) -> Result<(), ActError> {
    let act = caller.draft(
        app.now(),
        "inspection_authority.remove",
        Object::new("inspection_authority", AUTHORITY, "the inspection authority"),
    );
    let stored = read("authority", Name::parse(AUTHORITY))?;
    match app.store.remove_secret(app.org, &stored, &act).await {
        Err(StoreError::NotFound { .. }) => {
            return Err(ActError::NotFound { noun: "inspection authority", given: AUTHORITY.to_owned() });
        }
        done => done?,
    }
    let _ = (app.house.policy_changed)().await;
    Ok(())
}

/// The text of the authority, for the server; `None` when there is none.
///
/// # Errors
/// It was sealed under a master key that is gone, or was altered; the database.
pub async fn text(store: &Store, keyring: &Keyring, org: OrgId) -> Result<Option<Secret>, SecretError> {
    let because = |cause| SecretError::Seal { name: AUTHORITY.to_owned(), cause };
    match secret::stored(store, org, AUTHORITY).await {
        Ok(Some(sealed)) => keyring.open(PLACE, &sealed).map(Some).map_err(because),
        Err(StartError::Store(error)) => Err(error.into()),
        Err(StartError::MasterKey(cause)) => Err(because(cause)),
        Ok(None) | Err(StartError::Name(_) | StartError::RootsGone) => Ok(None),
    }
}

async fn stored_text(app: &App) -> Result<Option<Secret>, ActError> {
    text(&app.store, &app.keyring, app.org).await.map_err(|error| match error {
        SecretError::Store(error) => error.into(),
        SecretError::Seal { cause, .. } => cause.into(),
    })
}
