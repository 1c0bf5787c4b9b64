//! What directories say of users: accounts.
//!
//! A user with an account is *provisioned*: its source decides whether it is active, and what of its name and address is
//! known. Users without one are local. One user has at most one account.
//!
//! Two words count for whether somebody may do anything: the source's, kept in the account, and the house's, kept in the
//! user. The house follows the source when the source changes its mind; what an administrator has disabled stays
//! disabled until the source disables and enables it again, or the administrator does.

mod change;
mod find;
mod holder;

use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{GroupId, UserId};
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::source::Source;
use gatehouse_domain::time::UnixMillis;

use crate::error::StoreError;
use crate::stored;

pub use change::{Entry, Step};
pub use find::{AccountOrder, AccountWanted};

const NOUN: &str = "account";

/// Longest document of an account, in bytes.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Most addresses of an account that it can be found by.
pub const MAX_EMAILS: usize = 100;

/// A user as a source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: UserId,
    /// Who describes it.
    pub source: Source,
    /// Tells it apart from the other accounts of its source: the folded user name, or the directory's stable id.
    pub name_key: String,
    /// What the source calls it.
    pub user_name: String,
    /// The source's identifier.
    pub external_id: Option<String>,
    /// What has to be given back or compared, as JSON.
    pub document: String,
    /// Whether it may be used, as far as the source decides.
    pub active: bool,
    /// Counts up with each change.
    pub version: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Whether the user may use anything.
    pub state: UserState,
}

/// What a source says of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountData {
    /// Tells it apart from the other accounts of its source.
    pub name_key: String,
    /// What the source calls it.
    pub user_name: String,
    /// The source's identifier.
    pub external_id: Option<String>,
    /// The folded name to show, to be found by.
    pub display_key: Option<String>,
    /// What has to be given back or compared, as JSON; at most [`MAX_DOCUMENT`] bytes.
    pub document: String,
    /// All its addresses, folded, to be found by; those beyond [`MAX_EMAILS`] are left out.
    pub emails: Vec<String>,
    /// The address that the user gets, unless another user has it. Without one a user keeps theirs; a new one gets an
    /// address that cannot exist.
    pub email: Option<Email>,
    /// The name that the user gets; without one they keep theirs.
    pub name: Option<Name>,
    /// Whether it may be used.
    pub active: bool,
}

/// A group that a user is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOf {
    /// Its identifier.
    pub id: GroupId,
    /// Its name.
    pub display_name: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    source: String,
    name_key: String,
    user_name: String,
    external_id: Option<String>,
    document: String,
    active: i64,
    version: i64,
    created_at: i64,
    updated_at: i64,
    state: String,
}

fn account_of(row: Row) -> Result<Account, StoreError> {
    Ok(Account {
        user: stored::parsed(NOUN, &row.user_id)?,
        source: stored::parsed(NOUN, &row.source)?,
        name_key: row.name_key,
        user_name: row.user_name,
        external_id: row.external_id,
        document: row.document,
        active: row.active != 0,
        version: stored::unsigned(NOUN, row.version)?,
        created_at: UnixMillis(row.created_at),
        updated_at: UnixMillis(row.updated_at),
        state: stored::user_state(&row.user_id, &row.state)?,
    })
}
