//! Which source a person signs in at.

use std::collections::HashSet;

use gatehouse_domain::name::Email;

use super::client::Client;
use super::source::{Source, SourceId};

/// The e-mail domains of a source: one domain, or everything below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Domain {
    Exactly(String),
    Below(String),
}

impl Domain {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (below, name) = match lower.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, lower.as_str()),
        };
        // The house's rule for addresses decides what a domain is.
        if !name.contains('.') || Email::parse(&format!("a@{name}")).is_err() {
            return None;
        }
        Some(if below { Self::Below(name.to_owned()) } else { Self::Exactly(name.to_owned()) })
    }

    fn holds(&self, domain: &str) -> bool {
        match self {
            Self::Exactly(name) => domain == name,
            Self::Below(name) => domain.strip_suffix(name).is_some_and(|front| front.ends_with('.')),
        }
    }
}

/// All sources of an organization.
pub struct Sources {
    clients: Vec<Client>,
}

/// Sources that cannot stand side by side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSources {
    /// Two have the same id.
    #[error("two sources are called `{0}`")]
    SameId(SourceId),
    /// Two claim the same domain.
    #[error("the sources `{0}` and `{1}` both claim the same e-mail domain")]
    SameDomain(SourceId, SourceId),
    /// Two are the same client of the same issuer.
    #[error("the sources `{0}` and `{1}` are the same client of the same issuer")]
    SameClient(SourceId, SourceId),
}

/// Where somebody with an e-mail address signs in.
pub enum Choice<'s> {
    /// Here, and nowhere else.
    One(&'s Client),
    /// At one of these: let the person choose.
    Several(Vec<&'s Client>),
    /// Nowhere: all sources are for other domains.
    None,
}

impl Sources {
    /// These sources together.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn new(sources: Vec<Source>) -> Result<Self, BadSources> {
        for (at, one) in sources.iter().enumerate() {
            for other in &sources[..at] {
                let ids = || (other.id.clone(), one.id.clone());
                if one.id == other.id {
                    return Err(BadSources::SameId(one.id.clone()));
                }
                if one.issuer.as_str() == other.issuer.as_str() && one.client_id == other.client_id {
                    let (first, second) = ids();
                    return Err(BadSources::SameClient(first, second));
                }
                let theirs: HashSet<_> = other.domains.iter().collect();
                if one.domains.iter().any(|domain| theirs.contains(domain)) {
                    let (first, second) = ids();
                    return Err(BadSources::SameDomain(first, second));
                }
            }
        }
        Ok(Self { clients: sources.into_iter().map(Client::new).collect() })
    }

    /// All of them, in the configured order.
    pub fn all(&self) -> &[Client] {
        &self.clients
    }

    /// The source of this name, such as a pending sign-in's.
    pub fn find(&self, id: &SourceId) -> Option<&Client> {
        self.clients.iter().find(|client| client.source().id() == id)
    }

    /// Where somebody with this address signs in: at the source that names the domain, else the one that names the
    /// nearest domain above it, else at any that names none.
    pub fn for_email(&self, email: &Email) -> Choice<'_> {
        let domain = email.as_str().rsplit_once('@').map_or("", |(_, domain)| domain);
        let nearest = self
            .clients
            .iter()
            .flat_map(|client| client.source().domains.iter().map(move |rule| (rule, client)))
            .filter(|(rule, _)| rule.holds(domain))
            .max_by_key(|(rule, _)| match rule {
                Domain::Exactly(_) => usize::MAX,
                Domain::Below(name) => name.len(),
            });
        if let Some((_, client)) = nearest {
            return Choice::One(client);
        }
        let open: Vec<_> = self.clients.iter().filter(|client| client.source().domains.is_empty()).collect();
        match open.as_slice() {
            [] => Choice::None,
            [only] => Choice::One(only),
            [..] => Choice::Several(open),
        }
    }
}
