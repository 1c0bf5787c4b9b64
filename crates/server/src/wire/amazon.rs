//! Where Amazon's keys come from: given ones, a profile, a role, the platform. Fetching them; see `renewal` for when.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gatehouse_identity::secret::Secret;
use gatehouse_providers::credential::amazon::{self, Issued, Role};
use gatehouse_providers::credential::profile::Profiles;
use gatehouse_providers::credential::{NoCredential, Tag};
use gatehouse_providers::sigv4::AwsKeys;

use super::renewal::{Of, Services, read_file, send};
use crate::config::SecretSource;
use crate::environment::Environment;
use crate::secret;

/// Keys that stand in a profile's file are read again after three quarters of this time, in seconds: other programs renew
/// them there.
const REREAD: u64 = 1200;

/// Where keys come from.
pub(super) struct KeySource {
    pub(super) with: With,
    /// Roles that are taken on one after the other, each with the keys of the one before.
    pub(super) roles: Vec<Role>,
    pub(super) services: Services,
}

/// The first keys, or what takes on the first role.
pub(super) enum With {
    Keys(AwsKeys),
    TokenFile(PathBuf),
    Profile(ProfileFiles, String),
    /// A command that prints keys.
    Process(String),
    Container {
        url: String,
        /// What the platform wants to see: in a file, which it keeps fresh, or as it is.
        token_file: Option<PathBuf>,
        token: Option<Arc<Secret>>,
    },
    Instance {
        url: String,
    },
}

/// Amazon's two profile files.
#[derive(Clone)]
pub(super) struct ProfileFiles {
    config: PathBuf,
    credentials: PathBuf,
}

impl ProfileFiles {
    /// Where they are; none on a machine without a home.
    pub(super) fn of(environment: &Environment) -> Option<Self> {
        let home = || environment.get("HOME").or_else(|| environment.get("USERPROFILE"));
        let place = |variable: &str, name: &str| {
            environment
                .get(variable)
                .map(PathBuf::from)
                .or_else(|| Some(Path::new(home()?).join(".aws").join(name)))
        };
        let (config, credentials) =
            (place("AWS_CONFIG_FILE", "config"), place("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
        Some(Self { config: config?, credentials: credentials? })
    }

    /// Reads them; one that is not there is empty.
    pub(super) fn read(&self) -> Result<Profiles, String> {
        let text = |path: &Path| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => {
                read.map_err(|error| format!("cannot read the profile file `{}`: {error}", path.display()))
            }
        };
        Ok(Profiles::parse(&text(&self.config)?, &text(&self.credentials)?))
    }
}

impl KeySource {
    /// Fetches keys; the session of the last role gets these tags.
    pub(super) async fn keys(&self, tags: &[Tag], session: Option<&str>, now: u64) -> Result<Issued, String> {
        let told = |error: NoCredential| error.to_string();
        let mut roles = self.roles.iter().enumerate();
        let mut issued = if let With::TokenFile(path) = &self.with {
            let Some((_, first)) = roles.next() else {
                return Err("a platform's token is of no use without a role".to_owned());
            };
            let ask = first.ask_with(read_file(path).await?.trim());
            let (status, body) = send(ask, Of::Cloud, &self.services).await?;
            amazon::read(status, &body).map_err(told)?
        } else {
            self.first(now).await?
        };
        for (at, role) in roles {
            let is_last = at + 1 == self.roles.len();
            let mut role = role.clone();
            if let Some(session) = session.filter(|_| is_last) {
                session.clone_into(&mut role.session);
            }
            let tags = if is_last { tags } else { &[] };
            let ask = role.ask(&issued.keys, tags, SystemTime::now()).map_err(told)?;
            let (status, body) = send(ask, Of::Cloud, &self.services).await?;
            issued = amazon::read(status, &body).map_err(told)?;
        }
        Ok(issued)
    }

    async fn first(&self, now: u64) -> Result<Issued, String> {
        let told = |error: NoCredential| error.to_string();
        // The platform is reached as nothing else is.
        let send = |ask| send(ask, Of::Platform, &self.services);
        match &self.with {
            With::Keys(own) => Ok(Issued { keys: own.clone(), expires: u64::MAX }),
            With::TokenFile(_) => Err("a platform's token is of no use without a role".to_owned()),
            With::Profile(files, name) => {
                let (files, name) = (files.clone(), name.clone());
                let read = tokio::task::spawn_blocking(move || {
                    files
                        .read()?
                        .keys(&name)
                        .ok_or_else(|| format!("the profile `{name}` has no keys any more"))
                });
                let keys = read.await.map_err(|_| "the profile files could not be read".to_owned())??;
                Ok(Issued { keys, expires: now + REREAD })
            }
            With::Process(command) => {
                let source = SecretSource::Exec(command.clone());
                let run =
                    tokio::task::spawn_blocking(move || secret::resolve(&source, &Environment::default()));
                let printed = run.await.map_err(|_| "the profile's command could not be run".to_owned())?;
                let printed = printed.map_err(|error| error.to_string())?;
                let printed = printed.ok_or("the profile's command printed nothing")?;
                let mut issued = amazon::read_process(printed.expose()).map_err(told)?;
                issued.expires = issued.expires.min(now + 3600);
                Ok(issued)
            }
            With::Container { url, token_file, token } => {
                let from_file = match token_file {
                    Some(path) => Some(read_file(path).await?),
                    None => None,
                };
                let token =
                    from_file.as_deref().or_else(|| token.as_ref().and_then(|token| token.expose_text()));
                let (status, body) = send(amazon::ask_container(url, token).map_err(told)?).await?;
                amazon::read_platform(status, &body).map_err(told)
            }
            With::Instance { url } => {
                let (status, body) = send(amazon::ask_instance_token(url)).await?;
                let token = amazon::read_text(status, &body).map_err(told)?;
                let (status, body) = send(amazon::ask_instance(url, &token, "").map_err(told)?).await?;
                let name = amazon::read_text(status, &body).map_err(told)?;
                let (status, body) = send(amazon::ask_instance(url, &token, &name).map_err(told)?).await?;
                amazon::read_platform(status, &body).map_err(told)
            }
        }
    }
}
