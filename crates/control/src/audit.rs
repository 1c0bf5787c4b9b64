//! The audit log: read it, export it, tell which key signs it.

use gatehouse_domain::audit::{Entry, Object, PublicKey};
use gatehouse_store::audit::{AuditFilter, AuditKind, ExportError};
use gatehouse_store::{Listed, Page};
use tokio::io::AsyncWrite;

use crate::act::{ActError, Caller, Range};
use crate::app::App;

/// Which entries are wanted, as the caller wrote it; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Which part of the log.
    pub kind: AuditKind,
    /// By this actor's identifier.
    pub actor: Option<String>,
    /// Of exactly this action.
    pub action: Option<String>,
    /// On the object of this identifier.
    pub object: Option<String>,
    /// In this range of time.
    pub range: Range,
}

/// Lists entries, newest first.
///
/// # Errors
/// A bad page or text; the database.
pub async fn list(app: &App, wanted: Wanted, page: &Page) -> Result<Listed<Entry>, ActError> {
    let (since, until) = wanted.range.read(app.now())?;
    let Wanted { kind, actor, action, object, .. } = wanted;
    let filter = AuditFilter { kind, actor, action, object, since, until };
    Ok(app.store.audit_entries(app.org, &filter, page).await?)
}

/// Records that the log is about to be exported, and signs its end: what can be refused is refused here, before
/// anything is sent.
///
/// # Errors
/// `first` is 0 or behind the end; the database.
pub async fn begin_export(app: &App, caller: &Caller, first: u64) -> Result<(), ActError> {
    let act = caller.draft(app.now(), "audit.export", Object::new("audit", "", "")).with("first", first);
    app.store.record(app.org, &act).await?;
    let closing = app.store.closing_checkpoint(app.org, &app.notary, app.now()).await?;
    let last = closing.checkpoint.seq;
    if first == 0 || first > last {
        return Err(ActError::field(
            "first",
            format!("there is no entry {first}; the log goes from 1 to {last}"),
        ));
    }
    Ok(())
}

/// Writes the log from entry `first` on as JSON lines that `gatehouse audit verify` checks.
///
/// # Errors
/// The output cannot be written; the database.
pub async fn export<W: AsyncWrite + Unpin + Send>(
    app: &App,
    first: u64,
    out: &mut W,
) -> Result<(), ExportError> {
    app.store.export_audit(app.org, first, &app.notary, app.now(), out).await.map(drop)
}

/// The key that checkpoints are signed with now.
pub fn public_key(app: &App) -> PublicKey {
    app.notary.public(app.now())
}
