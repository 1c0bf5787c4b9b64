//! Settings as files: for a person, or for somebody who is in one team only.

use gatehouse_domain::audit::{Object, PublicKey};

use super::artifact::{File, Format, Subject, files};
use super::look;
use crate::act::{ActError, Caller};
use crate::app::App;

/// Whose settings are wanted, as the caller wrote it.
#[derive(Debug, Clone)]
pub enum Whose {
    /// A person's, by address or id.
    User(String),
    /// Those of somebody who is in this team only, by name or id.
    Team(String),
}

/// The files of an export.
#[derive(Debug)]
pub struct Exported {
    /// The files.
    pub files: Vec<File>,
    /// The checksum of the settings.
    pub checksum: String,
    /// The key that bundles are signed with.
    pub key: PublicKey,
}

/// Makes files of what is published. The same settings always give the same files.
///
/// # Errors
/// There is no such user or team, or nothing is published for them; the format cannot hold the settings; the database.
pub async fn export(app: &App, caller: &Caller, whose: &Whose, format: Format) -> Result<Exported, ActError> {
    let (of, served) = match whose {
        Whose::User(given) => {
            let effective = look::effective(app, given).await?;
            (format!("user {}", effective.user.email), effective.served)
        }
        Whose::Team(given) => {
            let (team, served) = look::team(app, given).await?;
            (format!("team {}", team.name), served)
        }
    };
    let served = served
        .ok_or_else(|| ActError::NotFound { noun: "published settings profile for", given: of.clone() })?;
    let organization = app.store.org(app.org).await?.name;
    let subject = Subject {
        settings: &served.settings,
        checksum: served.checksum,
        uuid: &served.uuid,
        of: &of,
        organization: &organization,
        published_at: served.published_at,
    };
    let signer = app.keys.bundle_signer(app.now());
    let files = files(format, &subject, &signer).map_err(|why| ActError::field("format", why))?;
    let checksum = served.checksum.to_string();
    let act = caller
        .draft(app.now(), "settings.export", Object::new("settings", &checksum, of))
        .with("format", format.as_str());
    app.store.record(app.org, &act).await?;
    Ok(Exported { files, checksum, key: signer.public() })
}
