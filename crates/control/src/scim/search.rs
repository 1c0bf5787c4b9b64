//! A search in users and groups at once.

use gatehouse_identity::scim::error::ErrorKind;
use gatehouse_identity::scim::list::{ListQuery, ListResponse, MAX_RESULTS, Page, RootQuery};
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::schema::{ResourceType, USER};
use gatehouse_identity::scim::{Document, ScimError};
use serde_json::Value;

use super::{Refused, group, user};
use crate::app::App;
use crate::provisioning_token::Provisioner;

/// Most resources that are sorted together.
const MAX_SORTED: u64 = 5000;

/// Lists users, then groups; together in one order if one is asked for.
///
/// # Errors
/// The body is no search; the filter needs too many resources to be read, or the order to be sorted; the database.
pub async fn search(app: &App, who: &Provisioner, body: &[u8]) -> Result<ListResponse, Refused> {
    let root = RootQuery::parse(body)?;
    if root.queries().any(|(_, query)| query.sort.is_some()) {
        return sorted(app, who, &root).await;
    }
    let mut answer = ListResponse { total: 0, start_index: 1, resources: vec![] };
    for (kind, query) in root.queries() {
        answer.start_index = query.page.start_index;
        // What is left of the page, counted from the first resource of this kind.
        let sent = u64::try_from(answer.resources.len()).unwrap_or(u64::MAX);
        let before = answer.total;
        let page = Page {
            start_index: query.page.start_index.saturating_sub(before).max(1),
            count: query.page.count.saturating_sub(sent),
        };
        let found = list(app, who, kind, &ListQuery { page, ..query.clone() }).await?;
        answer.total = answer.total.saturating_add(found.total);
        answer.resources.extend(found.resources);
    }
    Ok(answer)
}

async fn sorted(app: &App, who: &Provisioner, root: &RootQuery) -> Result<ListResponse, Refused> {
    let mut documents: Vec<(&'static ResourceType, Document)> = Vec::new();
    let mut total = 0_u64;
    for (kind, query) in root.queries() {
        let mut page = Page { start_index: 1, count: MAX_RESULTS };
        loop {
            let whole = ListQuery { page, sort: None, projection: Projection::default(), ..query.clone() };
            let found = list(app, who, kind, &whole).await?;
            if total.saturating_add(found.total) > MAX_SORTED {
                let why = format!("more than {MAX_SORTED} resources cannot be sorted; narrow the filter");
                return Err(ScimError::new(ErrorKind::TooMany, why).into());
            }
            let read = u64::try_from(found.resources.len()).unwrap_or(u64::MAX);
            documents.extend(found.resources.into_iter().filter_map(|one| {
                if let Value::Object(document) = one { Some((kind, document)) } else { None }
            }));
            page.start_index = page.start_index.saturating_add(read);
            if read == 0 || page.start_index > found.total {
                total = total.saturating_add(found.total);
                break;
            }
        }
    }
    Ok(root.answer(documents))
}

async fn list(
    app: &App,
    who: &Provisioner,
    kind: &'static ResourceType,
    query: &ListQuery,
) -> Result<ListResponse, Refused> {
    if *kind == USER { user::list(app, who, query).await } else { group::list(app, who, query).await }
}
