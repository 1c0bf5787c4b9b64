//! Lists of users. The database finds, orders and cuts where it can; the rest is done batch by batch.

use gatehouse_domain::id::UserId;
use gatehouse_identity::scim::filter::{Index, Narrowed};
use gatehouse_identity::scim::list::{ListQuery, ListResponse, Sort, SortOrder};
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::schema::USER;
use gatehouse_identity::scim::{Document, Filter, ScimUser};
use gatehouse_store::account::{Account, AccountOrder, AccountWanted};

use super::super::{BATCH, Held, MAX_SCANNED, Refused, too_many};
use super::{documents, find, held};
use crate::app::App;
use crate::provisioning_token::Provisioner;

/// Lists users of the directory.
///
/// # Errors
/// The filter or the order needs too many resources to be read; the database.
pub async fn list(app: &App, who: &Provisioner, query: &ListQuery) -> Result<ListResponse, Refused> {
    let narrowed = query.filter.as_ref().map(Filter::narrowed);
    let (wanted, exact) = match narrowed {
        None => (AccountWanted::All, true),
        Some(None) => (AccountWanted::All, false),
        Some(Some(narrowed)) => wanted(narrowed),
    };
    let order = order(query.sort.as_ref());
    match (exact, order) {
        (true, Some(order)) => by_database(app, who, query, &wanted, order).await,
        _ if query.sort.is_some() => sorted(app, who, query, &wanted).await,
        _ => scanned(app, who, query, &wanted).await,
    }
}

fn wanted(narrowed: Narrowed) -> (AccountWanted, bool) {
    let Narrowed { index, value, exact } = narrowed;
    match index {
        Index::Id => (AccountWanted::User(value), exact),
        Index::ExternalId => (AccountWanted::ExternalId(value), exact),
        Index::UserName => (AccountWanted::NameKey(value), exact),
        Index::DisplayName => (AccountWanted::DisplayKey(value), exact),
        Index::Email => (AccountWanted::Email(value), exact),
        Index::Member => (AccountWanted::All, false),
    }
}

fn order(sort: Option<&Sort>) -> Option<AccountOrder> {
    let Some(sort) = sort else { return Some(AccountOrder::User) };
    let up = sort.order == SortOrder::Ascending;
    match (sort.by.attribute.name, sort.by.sub.map(|sub| sub.name)) {
        ("id", None) | ("meta", Some("created")) => {
            Some(if up { AccountOrder::User } else { AccountOrder::UserDescending })
        }
        ("userName", None) => Some(if up { AccountOrder::NameKey } else { AccountOrder::NameKeyDescending }),
        ("meta", Some("lastModified")) => {
            Some(if up { AccountOrder::Updated } else { AccountOrder::UpdatedDescending })
        }
        _ => None,
    }
}

async fn by_database(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &AccountWanted,
    order: AccountOrder,
) -> Result<ListResponse, Refused> {
    let total = app.store.count_accounts(app.org, &who.source, wanted).await?;
    let limit = u32::try_from(query.page.count).unwrap_or(u32::MAX);
    let found = if limit == 0 {
        vec![]
    } else {
        app.store.accounts(app.org, &who.source, wanted, order, query.page.offset(), limit).await?
    };
    let users: Vec<Held<ScimUser>> = found.iter().map(held).collect::<Result<_, _>>()?;
    answer(app, query, total, &users).await
}

/// Reads all candidates, and keeps those of the page.
async fn scanned(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &AccountWanted,
) -> Result<ListResponse, Refused> {
    let page = query.page.offset()..query.page.offset().saturating_add(query.page.count);
    let (mut total, mut kept) = (0_u64, Vec::new());
    each(app, who, query, wanted, |user, _| {
        if page.contains(&total) {
            kept.push(user);
        }
        total += 1;
    })
    .await?;
    answer(app, query, total, &kept).await
}

/// Reads all candidates, keeps of each what it is sorted by, and reads the page again.
async fn sorted(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &AccountWanted,
) -> Result<ListResponse, Refused> {
    let Some(sort) = &query.sort else { return scanned(app, who, query, wanted).await };
    let key = Projection::of_names(Some([sort.by.attribute.name]), None::<[&str; 0]>, &USER);
    let mut keys: Vec<Document> = Vec::new();
    each(app, who, query, wanted, |_, document| keys.push(key.apply(document, &USER))).await?;
    sort.sort(&mut keys);
    let total = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let (skip, count) = (
        usize::try_from(query.page.offset()).unwrap_or(usize::MAX),
        usize::try_from(query.page.count).unwrap_or(usize::MAX),
    );
    let mut users = Vec::new();
    for key in keys.iter().skip(skip).take(count) {
        let Some(id) = key.get("id").and_then(|id| id.as_str()) else { continue };
        match find(app, who, id).await {
            Ok(account) => users.push(held(&account)?),
            // It left meanwhile.
            Err(Refused::Told(_)) => {}
            Err(error) => return Err(error),
        }
    }
    answer(app, query, total, &users).await
}

/// Hands each user on that fulfills the filter, with its whole document.
async fn each(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &AccountWanted,
    mut act: impl FnMut(Held<ScimUser>, Document),
) -> Result<(), Refused> {
    let (mut after, mut read): (Option<UserId>, u64) = (None, 0);
    loop {
        let batch: Vec<Account> =
            app.store.accounts_after(app.org, &who.source, wanted, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = Some(last.user);
        read += u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if read > MAX_SCANNED {
            return Err(too_many());
        }
        let users: Vec<Held<ScimUser>> = batch.iter().map(held).collect::<Result<_, _>>()?;
        let documents = documents(app, &users, &Projection::default()).await?;
        for (user, document) in users.into_iter().zip(documents) {
            if query.filter.as_ref().is_none_or(|filter| filter.matches(&document)) {
                act(user, document);
            }
        }
    }
}

async fn answer(
    app: &App,
    query: &ListQuery,
    total: u64,
    users: &[Held<ScimUser>],
) -> Result<ListResponse, Refused> {
    let documents = documents(app, users, &query.projection).await?;
    let resources =
        documents.into_iter().map(|document| query.projection.apply(document, &USER).into()).collect();
    Ok(ListResponse { total, start_index: query.page.start_index, resources })
}
