//! Users.

mod list;

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::UserId;
use gatehouse_identity::scim::etag::EntityTags;
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::resource::Placed;
use gatehouse_identity::scim::schema::USER;
use gatehouse_identity::scim::text::fold;
use gatehouse_identity::scim::user::GroupRef;
use gatehouse_identity::scim::{Document, Patch, ScimError, ScimUser};
use gatehouse_store::StoreError;
use gatehouse_store::account::{Account, AccountData, Entry, GroupOf};

use super::{ATTEMPTS, Held, Refused, check_version, contended, meta, storable};
use crate::app::App;
use crate::provisioning_token::Provisioner;

pub use list::list;

/// What is to become of a user.
enum Change<'c> {
    /// What the body of a PUT says.
    Replace(&'c [u8]),
    /// What a PATCH makes of it.
    Patch(&'c Patch),
}

/// Makes a user, or takes one over who is there with this address and whom no directory has brought in.
///
/// # Errors
/// The body is no user; user name or address are taken; an administrator has disabled the user; the database.
pub async fn create(app: &App, who: &Provisioner, body: &[u8]) -> Result<Held<ScimUser>, Refused> {
    let user = ScimUser::parse(body)?;
    let data = data_of(&user);
    let there = match &data.email {
        Some(email) => match app.store.user_by_email(app.org, email).await {
            Ok(found) => Some(found),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let now = app.now();
    let (id, entry, action) = match there {
        None => (UserId::new(now, app.random_bits()), Entry::New, "user.add"),
        Some(there) => match app.store.account_of_user(app.org, there.id).await? {
            None => (there.id, Entry::Adopted, "user.adopt"),
            Some(account) if account.source == who.source && account.name_key == data.name_key => {
                return Err(ScimError::taken("userName", user.user_name()).into());
            }
            Some(_) => return Err(ScimError::taken("emails.value", &there.email).into()),
        },
    };
    let act = who
        .caller
        .draft(now, action, Object::new("user", id, user.user_name()))
        .with("source", who.source.to_string())
        .with("active", user.is_active().to_string());
    let made = app.store.create_account(app.org, &who.source, id, entry, &data, &act).await;
    let made = made.map_err(|error| taken(error, &user))?;
    if entry == Entry::Adopted {
        let _ = (app.house.policy_changed)().await;
    }
    held(&made)
}

/// Looks a user up.
///
/// # Errors
/// The directory has none of that identifier; the database.
pub async fn get(app: &App, who: &Provisioner, id: &str) -> Result<Held<ScimUser>, Refused> {
    held(&find(app, who, id).await?)
}

/// Replaces what the directory says of a user.
///
/// # Errors
/// There is none; it has another version; the body is no user; the user name is taken; the database.
pub async fn replace(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
    body: &[u8],
) -> Result<Held<ScimUser>, Refused> {
    change(app, who, id, if_match, &Change::Replace(body)).await
}

/// Changes a part of what the directory says of a user.
///
/// # Errors
/// There is none; it has another version; the body is no PATCH, or one of its operations cannot be done; the user name is
/// taken; the database.
pub async fn patch(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
    body: &[u8],
) -> Result<Held<ScimUser>, Refused> {
    let patch = Patch::parse(body, &USER)?;
    change(app, who, id, if_match, &Change::Patch(&patch)).await
}

/// Lets go of a user, who is disabled. The directory may make them again.
///
/// # Errors
/// There is none; it has another version; the database.
pub async fn remove(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
) -> Result<(), Refused> {
    let account = find(app, who, id).await?;
    check_version(if_match, account.version)?;
    let act = who
        .caller
        .draft(app.now(), "user.deprovision", Object::new("user", account.user, account.user_name))
        .with("source", who.source.to_string());
    // Without a demand for a version, a change at the same time must not keep a leaver.
    let version = if_match.map(|_| account.version);
    let gone = app.store.remove_account(app.org, &who.source, account.user, version, &act).await;
    match gone {
        Ok(Some(())) => {}
        Ok(None) => return Err(contended()),
        Err(StoreError::NotFound { .. }) => return Err(ScimError::not_found(&USER, id).into()),
        Err(error) => return Err(error.into()),
    }
    let _ = (app.house.policy_changed)().await;
    Ok(())
}

/// The documents of users, with their groups where those are asked for.
///
/// # Errors
/// The database.
pub async fn documents(
    app: &App,
    users: &[Held<ScimUser>],
    projection: &Projection,
) -> Result<Vec<Document>, Refused> {
    let ids: Vec<UserId> = users.iter().filter_map(|user| user.id.parse().ok()).collect();
    let mut groups = if projection.wants("groups", &USER) {
        app.store.groups_of(app.org, &ids).await?
    } else {
        std::collections::HashMap::new()
    };
    let base = (app.house.scim_base)();
    let document = |user: &Held<ScimUser>| {
        let groups = user.id.parse().ok().and_then(|id: UserId| groups.remove(&id)).unwrap_or_default();
        let group = |group: GroupOf| GroupRef { id: group.id.to_string(), display: group.display_name };
        let groups: Vec<GroupRef> = groups.into_iter().map(group).collect();
        user.resource.document(Placed { base: &base, id: &user.id, meta: &user.meta }, &groups)
    };
    Ok(users.iter().map(document).collect())
}

async fn find(app: &App, who: &Provisioner, id: &str) -> Result<Account, Refused> {
    let missing = || Refused::Told(ScimError::not_found(&USER, id));
    let user: UserId = id.parse().map_err(|_| missing())?;
    match app.store.account(app.org, &who.source, user).await {
        Ok(account) => Ok(account),
        Err(StoreError::NotFound { .. }) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

async fn change(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
    change: &Change<'_>,
) -> Result<Held<ScimUser>, Refused> {
    for _ in 0..ATTEMPTS {
        let account = find(app, who, id).await?;
        check_version(if_match, account.version)?;
        let before = read(&account)?;
        let after = match change {
            Change::Replace(body) => before.replaced_by(body)?,
            Change::Patch(patch) => before.patched(patch)?,
        };
        if after == before {
            return held(&account);
        }
        let switched = account.active != after.is_active();
        let action = match (switched, after.is_active()) {
            (false, _) => "user.update",
            (true, true) => "user.enable",
            (true, false) => "user.disable",
        };
        let changed: Vec<String> = names_that_differ(before.stored(), after.stored());
        let act = who
            .caller
            .draft(app.now(), action, Object::new("user", account.user, after.user_name()))
            .with("source", who.source.to_string())
            .with("changed", changed);
        let data = data_of(&after);
        let done =
            app.store.change_account(app.org, &who.source, account.user, account.version, &data, &act).await;
        match done {
            Ok(Some(account)) => {
                if switched {
                    let _ = (app.house.policy_changed)().await;
                }
                return held(&account);
            }
            Ok(None) => {}
            Err(StoreError::NotFound { .. }) => return Err(ScimError::not_found(&USER, id).into()),
            Err(error) => return Err(taken(error, &after)),
        }
    }
    Err(contended())
}

/// The attributes that two states of a user say differently.
fn names_that_differ(before: &Document, after: &Document) -> Vec<String> {
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a uniqueness that was broken is called.
fn taken(error: StoreError, user: &ScimUser) -> Refused {
    let StoreError::Conflict { noun, given } = error else { return error.into() };
    if noun == "user" {
        return ScimError::taken("emails.value", &given).into();
    }
    ScimError::taken("userName", user.user_name()).into()
}

/// What the store keeps of a user.
fn data_of(user: &ScimUser) -> AccountData {
    let identity = user.identity();
    let emails = user.stored().get("emails").and_then(|all| all.as_array()).into_iter().flatten();
    AccountData {
        name_key: user.folded_user_name(),
        user_name: user.user_name().to_owned(),
        external_id: user.external_id().map(storable),
        display_key: user.display_name().map(|name| storable(&fold(name))),
        document: serde_json::Value::Object(user.stored().clone()).to_string(),
        emails: emails.filter_map(|email| email.get("value")?.as_str()).map(fold).collect(),
        email: identity.email,
        name: identity.display_name,
        active: user.is_active(),
    }
}

fn read(account: &Account) -> Result<ScimUser, Refused> {
    let stored: Option<Document> = serde_json::from_str(&account.document).ok();
    stored.and_then(|stored| ScimUser::from_stored(&stored).ok()).ok_or_else(|| {
        Refused::Store(StoreError::Corrupt {
            noun: "account",
            given: account.user.to_string(),
            why: "its document is no SCIM user".to_owned(),
        })
    })
}

fn held(account: &Account) -> Result<Held<ScimUser>, Refused> {
    let resource = read(account)?;
    let meta = meta(account.created_at, account.updated_at, account.version);
    Ok(Held { id: account.user.to_string(), meta, resource })
}
