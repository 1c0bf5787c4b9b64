//! People from a directory: LDAP version 3 (RFC 4511) and Active Directory.
//!
//! The directory decides who a person is, whether their password is right, which groups they are in and whether their
//! account may be used. What it says is one of three things: yes, no with a reason, or *nothing*. An outage, an empty or
//! incomplete answer, a misconfigured search account and a defect of ours are all nothing, and nobody may lose access
//! because of it.
//!
//! Referrals are never followed: a password goes only to a server that is configured. Nothing is cached here.

mod config;
mod connection;
mod dn;
mod entry;
mod fault;
mod filter;
mod groups;
mod guard;
mod listing;
mod person;
mod plan;
mod server_url;
mod sign_in;
mod standing;
mod tls;
mod transport;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gatehouse_domain::time::UnixMillis;
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use connection::Connection;

pub use config::{
    Config, ConfigError, Encryption, GroupMode, Groups, IdFormat, Limits, Login, People, Trust,
};
pub use dn::{BadDn, Dn};
pub use fault::{Fault, Step, Unavailable};
pub use filter::{AttributeName, BadAttribute, BadFilter, Filter, LoginTemplate, filter_value};
pub use guard::Malformed;
pub use listing::Listing;
pub use person::{BadId, Group, Person, StableId};
pub use plan::{Disable, DisableLimit, Known, Leaving, Plan, Stopped};
pub use server_url::{BadUrl, ServerUrl};
pub use standing::{DisabledBy, Refusal, Standing};

use crate::secret::Secret;

/// What a sign-in came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// The password is right and the account may be used.
    SignedIn(Person),
    /// The directory, or a rule of ours, says no.
    Refused(Refusal),
    /// The directory could not be asked. Not a refusal: nothing follows from it about the person.
    Unavailable(Unavailable),
}

/// What a check of one person came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The entry is there and may be used.
    Active,
    /// The entry is there and may not be used.
    Disabled(DisabledBy),
    /// There is no such entry, while others can be seen.
    Gone,
}

/// A directory source, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    config: Config,
    tls: Arc<ClientConfig>,
    /// By server: until when it is tried last, because it failed.
    avoided: Mutex<Vec<Option<Instant>>>,
}

/// How long a server that failed is tried only after the others.
const AVOID: Duration = Duration::from_secs(30);

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>>;

impl Directory {
    /// Takes a configuration; connects to nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(config: Config) -> Result<Self, Vec<ConfigError>> {
        let mut wrong = config.check();
        let tls = match tls::client_config(&config.trust) {
            Ok(tls) => tls,
            Err(error) => {
                wrong.push(error);
                return Err(wrong);
            }
        };
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let avoided = Mutex::new(vec![None; config.servers.len()]);
        Ok(Self(Arc::new(Inner { config, tls, avoided })))
    }

    /// Signs a person in by name and password.
    pub async fn sign_in(&self, name: &str, password: &Secret, now: UnixMillis) -> SignIn {
        let name = match sign_in::precheck(name, password) {
            Ok(name) => Arc::<str>::from(name),
            Err(reason) => return SignIn::Refused(reason),
        };
        let password = Arc::new(password.clone());
        let inner = Arc::clone(&self.0);
        let answer = self.ask(self.0.config.limits.sign_in, move |mut connection| {
            let (inner, name, password) = (Arc::clone(&inner), Arc::clone(&name), Arc::clone(&password));
            Box::pin(
                async move { sign_in::sign_in(&mut connection, &inner.config, &name, &password, now).await },
            )
        });
        answer.await.unwrap_or_else(SignIn::Unavailable)
    }

    /// Lists everyone with their groups.
    ///
    /// # Errors
    /// [`Unavailable`] when anything is missing from the listing, or might be.
    pub async fn sync(&self, now: UnixMillis) -> Result<Listing, Unavailable> {
        let inner = Arc::clone(&self.0);
        self.ask(self.0.config.limits.sync, move |mut connection| {
            let inner = Arc::clone(&inner);
            Box::pin(async move { listing::read(&mut connection, &inner.config, now).await })
        })
        .await
    }

    /// Whether a person is still there and enabled.
    ///
    /// # Errors
    /// [`Unavailable`] when that cannot be told.
    pub async fn check(&self, id: &StableId, now: UnixMillis) -> Result<Presence, Unavailable> {
        let (inner, id) = (Arc::clone(&self.0), Arc::new(id.clone()));
        self.ask(self.0.config.limits.sign_in, move |mut connection| {
            let (inner, id) = (Arc::clone(&inner), Arc::clone(&id));
            Box::pin(async move { sign_in::check(&mut connection, &inner.config, &id, now).await })
        })
        .await
    }

    /// The groups of a person now; none if this directory's groups are not read, or there is no such person.
    ///
    /// # Errors
    /// [`Unavailable`] when that cannot be told.
    pub async fn groups_of(&self, id: &StableId) -> Result<Option<Vec<Group>>, Unavailable> {
        let (inner, id) = (Arc::clone(&self.0), Arc::new(id.clone()));
        self.ask(self.0.config.limits.sign_in, move |mut connection| {
            let (inner, id) = (Arc::clone(&inner), Arc::clone(&id));
            Box::pin(async move { sign_in::groups_of(&mut connection, &inner.config, &id).await })
        })
        .await
    }

    /// Does some work on the first server that can do it, within a time for all of them.
    async fn ask<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Fn(Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let deadline = Instant::now() + limit;
        let mut faults = Vec::new();
        let mut out_of_time = false;
        let work = Arc::new(Mutex::new(work));
        for index in self.0.order() {
            if out_of_time {
                break;
            }
            let inner = Arc::clone(&self.0);
            let work = Arc::clone(&work);
            // A task of its own, because the library panics at replies that are BER but no LDAP.
            let mut task = JoinSet::new();
            task.spawn(async move {
                let server = &inner.config.servers[index];
                let config = &inner.config;
                let mut connection =
                    Connection::open(server, config.encryption, &inner.tls, &config.limits).await?;
                sign_in::service_bind(&mut connection, config).await?;
                let work = work.lock().unwrap_or_else(PoisonError::into_inner)(connection);
                work.await
            });
            let fault = match timeout_at(deadline, task.join_next()).await {
                Ok(Some(Ok(Ok(answer)))) => {
                    self.0.mark(index, None);
                    return Ok(answer);
                }
                Ok(Some(Ok(Err(fault)))) => fault,
                Ok(Some(Err(_)) | None) => Fault::Broken,
                Err(_) => {
                    out_of_time = true;
                    Fault::Timeout(Step::Everything)
                }
            };
            self.0.mark(index, Some(Instant::now() + AVOID));
            let server = self.0.config.servers[index].clone();
            tracing::warn!(server = %server, reason = %fault, "a directory server could not answer");
            faults.push((server, fault));
        }
        Err(Unavailable { faults, out_of_time })
    }
}

impl Inner {
    /// The servers in the order to try them: as configured, but those that failed a moment ago last.
    fn order(&self) -> Vec<usize> {
        let avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (late, early): (Vec<_>, Vec<_>) =
            (0..avoided.len()).partition(|index| avoided[*index].is_some_and(|until| until > now));
        early.into_iter().chain(late).collect()
    }

    fn mark(&self, index: usize, until: Option<Instant>) {
        self.avoided.lock().unwrap_or_else(PoisonError::into_inner)[index] = until;
    }
}
