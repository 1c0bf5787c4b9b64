//! What a version changes, and for whom.

use std::collections::HashMap;

use gatehouse_domain::id::UserId;
use gatehouse_domain::settings::{Checksum, Content, Difference, Path, Target, diff};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{PEOPLE, Profile, Reach, Version};
use gatehouse_store::{Listed, MAX_LIMIT, Page};

use super::profile;
use super::snapshot::Snapshot;
use crate::act::ActError;
use crate::app::App;

/// How one version of a profile differs from another.
#[derive(Debug)]
pub struct Comparison {
    /// The profile.
    pub profile: Profile,
    /// The version.
    pub version: u32,
    /// The one it is compared with; `None` is nothing at all.
    pub against: Option<u32>,
    /// Values that are different, by path.
    pub differences: Vec<Difference>,
    /// Locks that only the version has.
    pub locks_added: Vec<Path>,
    /// Locks that only the other has.
    pub locks_removed: Vec<Path>,
    /// Both priorities, if they differ: the other's, the version's.
    pub priority: Option<(u32, u32)>,
    /// How many active users get other settings by it.
    pub affected: u64,
}

/// A user who gets other settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// The user.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// The checksum of their settings with the other version; `None` if they have none.
    pub before: Option<Checksum>,
    /// The same with the version.
    pub after: Option<Checksum>,
}

/// Compares a version with another: with `against` if given (a number, or `nothing`), else with the published one, and
/// the published one with the version before it.
///
/// # Errors
/// There is no such version; the database.
pub async fn compare(
    app: &App,
    given: &str,
    number: &str,
    against: Option<&str>,
) -> Result<Comparison, ActError> {
    let (profile, version, other) = both(app, given, number, against).await?;
    let mut contrast = Contrast::read(app, &profile, &version, other.as_ref()).await?;
    let (mut affected, mut last) = (0_u64, String::new());
    loop {
        let people = app.store.settings_people(app.org, &last).await?;
        let changed = people.iter().filter(|(user, _)| contrast.of(*user).is_some()).count();
        affected += u64::try_from(changed).unwrap_or(u64::MAX);
        match people.into_iter().nth(PEOPLE - 1) {
            Some((_, email)) => last = email,
            None => break,
        }
    }
    let nothing = Content::default();
    let (new, old) = (&version.content, other.as_ref().map_or(&nothing, |other| &other.content));
    let only = |of: &Content, other: &Content| {
        of.locks().iter().filter(|lock| !other.locks().contains(lock)).cloned().collect()
    };
    Ok(Comparison {
        version: version.number,
        against: other.as_ref().map(|other| other.number),
        differences: diff(old.settings(), new.settings()),
        locks_added: only(new, old),
        locks_removed: only(old, new),
        priority: (old.priority() != new.priority()).then(|| (old.priority(), new.priority())),
        affected,
        profile,
    })
}

/// Lists the active users who get other settings by a version, by address.
///
/// # Errors
/// There is no such version; a bad page; the database.
pub async fn affected(
    app: &App,
    given: &str,
    number: &str,
    against: Option<&str>,
    page: &Page,
) -> Result<Listed<Affected>, ActError> {
    let (profile, version, other) = both(app, given, number, against).await?;
    if !(1..=MAX_LIMIT).contains(&page.limit) {
        return Err(ActError::field("limit", format!("expected 1 to {MAX_LIMIT}")));
    }
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut contrast = Contrast::read(app, &profile, &version, other.as_ref()).await?;
    let mut items: Vec<Affected> = Vec::new();
    let mut last = page.after.clone().unwrap_or_default();
    loop {
        let people = app.store.settings_people(app.org, &last).await?;
        let count = people.len();
        for (user, email) in people {
            last.clone_from(&email);
            let Some(Change { before, after }) = contrast.of(user) else { continue };
            if items.len() == limit {
                let next = items.last().map(|item| item.email.clone());
                return Ok(Listed { items, next });
            }
            items.push(Affected { user, email, before, after });
        }
        if count < PEOPLE {
            return Ok(Listed { items, next: None });
        }
    }
}

/// Goes through active users by address and keeps those that are wanted, until the page is full.
pub(super) async fn walk<T>(
    app: &App,
    page: &Page,
    mut wanted: impl FnMut(Reach) -> Option<T>,
) -> Result<Listed<T>, ActError> {
    if !(1..=MAX_LIMIT).contains(&page.limit) {
        return Err(ActError::field("limit", format!("expected 1 to {MAX_LIMIT}")));
    }
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let (mut items, mut last) = (Vec::new(), None);
    let mut part = Page { after: page.after.clone(), limit: MAX_LIMIT };
    loop {
        let users = app.store.settings_reach(app.org, &part).await?;
        for reach in users.items {
            let email = reach.email.clone();
            let Some(item) = wanted(reach) else { continue };
            if items.len() == limit {
                return Ok(Listed { items, next: last });
            }
            items.push(item);
            last = Some(email);
        }
        let Some(next) = users.next else { return Ok(Listed { items, next: None }) };
        part = Page::after(next, MAX_LIMIT);
    }
}

async fn both(
    app: &App,
    given: &str,
    number: &str,
    against: Option<&str>,
) -> Result<(Profile, Version, Option<Version>), ActError> {
    let (profile, version) = profile::version(app, given, number).await?;
    let other = match against {
        Some("nothing") => None,
        Some(text) => {
            let number = text
                .parse::<u32>()
                .map_err(|_| ActError::field("against", "expected the number of a version, or `nothing`"))?;
            Some(number)
        }
        None => match profile.published {
            Some(published) if published != version.number => Some(published),
            Some(_) => version.number.checked_sub(1).filter(|before| *before > 0),
            None => None,
        },
    };
    let other = match other {
        Some(number) => Some(app.store.settings_version(app.org, &profile, number).await?),
        None => None,
    };
    Ok((profile, version, other))
}

/// The checksums of somebody's settings with the other version, and with the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    before: Option<Checksum>,
    after: Option<Checksum>,
}

/// Everybody's settings with one version in place, and with another.
///
/// However many people there are, the settings are merged once for each set of layers that somebody has, and only for those
/// sets that the profile is one of: everybody else's stay.
struct Contrast {
    before: Snapshot,
    after: Snapshot,
    /// The place of the profile among the layers.
    place: usize,
    /// When they are compared: an overlay that has not begun is looked at as it will be then.
    at: UnixMillis,
    /// By the layers that somebody has with the version.
    known: HashMap<Box<[usize]>, Option<Change>>,
}

impl Contrast {
    async fn read(
        app: &App,
        profile: &Profile,
        version: &Version,
        other: Option<&Version>,
    ) -> Result<Self, ActError> {
        let contents = [other.map(|other| &other.content), Some(&version.content)];
        let ([before, after], place) = Snapshot::with_each(app, profile, contents).await?;
        let at = match profile.target {
            Target::Rollout => {
                let assigned = app.store.settings_audience(app.org, profile.id).await?;
                assigned.map_or_else(|| app.now(), |assigned| assigned.audience.starts_at.max(app.now()))
            }
            Target::Organization | Target::Team(_) | Target::Project(_) | Target::User(_) => app.now(),
        };
        Ok(Self { before, after, place, at, known: HashMap::new() })
    }

    /// What changes for a user; none if nothing does.
    fn of(&mut self, user: UserId) -> Option<Change> {
        let own = self.after.layers_of(user, self.at);
        if !own.contains(&self.place) {
            return None;
        }
        if let Some(known) = self.known.get(&*own) {
            return *known;
        }
        let sum = |snapshot: &Snapshot, layers: &[usize]| {
            snapshot.document(layers).ok().flatten().map(|served| served.checksum)
        };
        let change = Change {
            before: sum(&self.before, &self.before.layers_of(user, self.at)),
            after: sum(&self.after, &own),
        };
        let change = (change.before != change.after).then_some(change);
        self.known.insert(own.into(), change);
        change
    }
}

#[cfg(test)]
mod tests;
