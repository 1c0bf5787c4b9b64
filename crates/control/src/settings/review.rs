//! The way of a version to clients: submit, approve, return, publish, retire, roll back.

use gatehouse_domain::settings::{Checksum, Content, Document, Move};
use gatehouse_store::settings::{Occasion, Profile, Version, Wanted};

use super::snapshot::Snapshot;
use super::{check, profile};
use crate::act::{ActError, Caller, Changed, read};
use crate::app::{App, InForce};

/// Longest note on a step, in characters.
pub const MAX_NOTE: usize = 2000;

/// What a person does with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Hands it in for review.
    Submit,
    /// Agrees.
    Approve,
    /// Sends it back to its writers.
    Return,
    /// Gives it to clients.
    Publish,
    /// Takes it from clients, or gives it up.
    Retire,
    /// Gives an earlier version to clients again.
    RollBack,
}

/// What comes with a deed, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Saying {
    /// What is said about it, at most [`MAX_NOTE`] characters.
    pub note: Option<String>,
    /// The checksum of the content that was looked at: with another the deed is refused.
    pub seen: Option<String>,
    /// Why it is done now.
    pub occasion: Occasion,
}

impl Deed {
    const fn action(self) -> &'static str {
        match self {
            Self::Submit => "settings.submit",
            Self::Approve => "settings.approve",
            Self::Return => "settings.return",
            Self::Publish => "settings.publish",
            Self::Retire => "settings.retire",
            Self::RollBack => "settings.roll_back",
        }
    }

    /// Whether it takes the content closer to clients, or only away from them.
    const fn goes_forward(self) -> bool {
        match self {
            Self::Submit | Self::Approve | Self::Publish | Self::RollBack => true,
            Self::Return | Self::Retire => false,
        }
    }
}

/// Takes a version a step further.
///
/// # Errors
/// There is no such version; the step is not possible, or not to this person; its content may not go to clients; the
/// database.
pub async fn step(
    app: &App,
    caller: &Caller,
    given: &str,
    number: &str,
    deed: Deed,
    saying: &Saying,
) -> Result<Changed<Version>, ActError> {
    let (profile, version) = profile::version(app, given, number).await?;
    let note = read_note(saying.note.as_deref())?;
    let seen = read("checksum", saying.seen.as_deref().map(Checksum::parse).transpose())?;
    if seen.is_some_and(|seen| seen != version.checksum) {
        return Err(ActError::field(
            "checksum",
            format!(
                "version {} of `{}` is {} now; look at it again",
                version.number, profile.name, version.checksum
            ),
        ));
    }
    if deed.goes_forward() {
        check::must_be_sound(app, &version.content)?;
    }
    let step = match deed {
        Deed::Submit => Move::Submit { approvals: approvals(app, &profile, &version.content).await? },
        Deed::Approve => Move::Approve,
        Deed::Return => Move::Return,
        Deed::Publish => Move::Publish,
        Deed::Retire => Move::Retire,
        Deed::RollBack => Move::RollBack,
    };
    if matches!(deed, Deed::Publish | Deed::RollBack) {
        must_be_deliverable(app, &profile, &version.content).await?;
    }
    let mut act = caller
        .draft(app.now(), deed.action(), profile::object(&profile))
        .with("version", version.number)
        .with("checksum", version.checksum.to_string());
    if let Move::Submit { approvals } = step {
        act = act.with("approvals_needed", approvals);
    }
    act.detail = act.detail.with_some("note", note).with_some("before", profile.published);
    let wanted = Wanted { step, seen: version.checksum, note, occasion: saying.occasion };
    let moved = app.store.move_settings_version(app.org, &profile, version.number, wanted, &act).await?;
    let touches_clients =
        matches!(deed, Deed::Publish | Deed::RollBack) || profile.published == Some(version.number);
    let in_force = if touches_clients { (app.house.policy_changed)().await } else { InForce::Now };
    Ok(Changed { now: moved, in_force })
}

/// How many people must agree: two if it makes programs run, or stops what runs now.
async fn approvals(app: &App, profile: &Profile, content: &Content) -> Result<u32, ActError> {
    let before = match profile.published {
        Some(number) => app.store.settings_version(app.org, profile, number).await?.content,
        None => Content::default(),
    };
    let catalogue = app.settings.catalogue();
    let none = Document::default();
    let from = [&none, before.settings()];
    let two = from.iter().any(|from| !content.running_difference(from, &catalogue).is_empty());
    Ok(if two { 2 } else { 1 })
}

/// Refuses what would leave somebody with settings that cannot be delivered.
pub(crate) async fn must_be_deliverable(
    app: &App,
    profile: &Profile,
    content: &Content,
) -> Result<(), ActError> {
    let after = Snapshot::with(app, profile, Some(content)).await?;
    after
        .check(profile.id, app.now())
        .map_err(|why| ActError::field("settings", format!("with the other layers of some people, {why}")))
}

fn read_note(note: Option<&str>) -> Result<Option<&str>, ActError> {
    let Some(text) = note.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > MAX_NOTE {
        return Err(ActError::field("note", format!("a note has at most {MAX_NOTE} characters")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(ActError::field("note", "a note has no control characters"));
    }
    Ok(Some(text))
}
