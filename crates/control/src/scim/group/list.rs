//! Lists of groups. The database finds, orders and cuts where it can; the rest is done group by group.

use gatehouse_domain::id::GroupId;
use gatehouse_identity::scim::filter::{Index, Narrowed};
use gatehouse_identity::scim::list::{ListQuery, ListResponse, Sort, SortOrder};
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::schema::GROUP;
use gatehouse_identity::scim::value::MAX_MEMBERS;
use gatehouse_identity::scim::{Document, Filter, ScimGroup};
use gatehouse_store::group::{Group, GroupOrder, GroupWanted};

use super::super::{BATCH, Held, MAX_SCANNED, Refused, too_many};
use super::{document, find, held};
use crate::app::App;
use crate::provisioning_token::Provisioner;

/// Lists groups of the directory. An answer with members holds fewer groups than asked for when their members together
/// are too many.
///
/// # Errors
/// The filter or the order needs too many resources to be read; the database.
pub async fn list(app: &App, who: &Provisioner, query: &ListQuery) -> Result<ListResponse, Refused> {
    let narrowed = query.filter.as_ref().map(Filter::narrowed);
    let (wanted, exact) = match narrowed {
        None => (GroupWanted::All, true),
        Some(None) => (GroupWanted::All, false),
        Some(Some(narrowed)) => wanted(narrowed),
    };
    match (exact, order(query.sort.as_ref())) {
        (true, Some(order)) => by_database(app, who, query, &wanted, order).await,
        _ => scanned(app, who, query, &wanted).await,
    }
}

fn wanted(narrowed: Narrowed) -> (GroupWanted, bool) {
    let Narrowed { index, value, exact } = narrowed;
    match index {
        Index::Id => (GroupWanted::Group(value), exact),
        Index::ExternalId => (GroupWanted::ExternalId(value), exact),
        Index::DisplayName => (GroupWanted::NameKey(value), exact),
        Index::Member => (GroupWanted::Member(value), exact),
        Index::UserName | Index::Email => (GroupWanted::All, false),
    }
}

fn order(sort: Option<&Sort>) -> Option<GroupOrder> {
    let Some(sort) = sort else { return Some(GroupOrder::Group) };
    let up = sort.order == SortOrder::Ascending;
    match (sort.by.attribute.name, sort.by.sub.map(|sub| sub.name)) {
        ("id", None) | ("meta", Some("created")) => {
            Some(if up { GroupOrder::Group } else { GroupOrder::GroupDescending })
        }
        ("displayName", None) => Some(if up { GroupOrder::NameKey } else { GroupOrder::NameKeyDescending }),
        ("meta", Some("lastModified")) => {
            Some(if up { GroupOrder::Updated } else { GroupOrder::UpdatedDescending })
        }
        _ => None,
    }
}

async fn by_database(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &GroupWanted,
    order: GroupOrder,
) -> Result<ListResponse, Refused> {
    let total = app.store.count_groups(app.org, &who.source, wanted).await?;
    let limit = u32::try_from(query.page.count).unwrap_or(u32::MAX);
    let found = if limit == 0 {
        vec![]
    } else {
        app.store.groups(app.org, &who.source, wanted, order, query.page.offset(), limit).await?
    };
    answer(app, query, total, found).await
}

/// Reads all candidates and keeps of each what it is sorted by; then reads the page again.
async fn scanned(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &GroupWanted,
) -> Result<ListResponse, Refused> {
    let key = query.sort.as_ref().map_or("id", |sort| sort.by.attribute.name);
    let key = Projection::of_names(Some([key]), None::<[&str; 0]>, &GROUP);
    let mut keys = matching(app, who, query, wanted, &key).await?;
    if let Some(sort) = &query.sort {
        sort.sort(&mut keys);
    }
    let total = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let (skip, count) = (
        usize::try_from(query.page.offset()).unwrap_or(usize::MAX),
        usize::try_from(query.page.count).unwrap_or(usize::MAX),
    );
    let mut found = Vec::new();
    for key in keys.iter().skip(skip).take(count) {
        let Some(id) = key.get("id").and_then(|id| id.as_str()) else { continue };
        match find(app, who, id).await {
            Ok(group) => found.push(group),
            // It was removed meanwhile.
            Err(Refused::Told(_)) => {}
            Err(error) => return Err(error),
        }
    }
    answer(app, query, total, found).await
}

/// The sort keys of the groups that fulfill the filter.
async fn matching(
    app: &App,
    who: &Provisioner,
    query: &ListQuery,
    wanted: &GroupWanted,
    key: &Projection,
) -> Result<Vec<Document>, Refused> {
    // Members of groups are many: they are read only where the filter or the order may look at them.
    let text = query.filter.as_ref().map(ToString::to_string).unwrap_or_default().to_lowercase();
    let needs_members = text.contains("members") || key.wants("members", &GROUP);
    let (mut keys, mut after, mut read) = (Vec::new(), None::<GroupId>, 0_u64);
    loop {
        let batch = app.store.groups_after(app.org, &who.source, wanted, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(keys) };
        after = Some(last.id);
        for group in batch {
            read = read.saturating_add(1 + if needs_members { group.members } else { 0 });
            if read > MAX_SCANNED {
                return Err(too_many());
            }
            let document = document(app, &held(app, group, needs_members).await?);
            if query.filter.as_ref().is_none_or(|filter| filter.matches(&document)) {
                keys.push(key.apply(document, &GROUP));
            }
        }
    }
}

async fn answer(
    app: &App,
    query: &ListQuery,
    total: u64,
    groups: Vec<Group>,
) -> Result<ListResponse, Refused> {
    let with_members = query.projection.wants("members", &GROUP);
    let (mut resources, mut room) = (Vec::new(), u64::try_from(MAX_MEMBERS).unwrap_or(u64::MAX));
    for group in groups {
        if with_members && !resources.is_empty() && group.members > room {
            break;
        }
        room = room.saturating_sub(group.members);
        let group: Held<ScimGroup> = held(app, group, with_members).await?;
        resources.push(query.projection.apply(document(app, &group), &GROUP).into());
    }
    Ok(ListResponse { total, start_index: query.page.start_index, resources })
}
