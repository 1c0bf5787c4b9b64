//! From configured providers to those the data path uses: resolves their keys and checks them, all at once.

use std::collections::HashMap;
use std::sync::Arc;

use gatehouse_domain::proxy::Host;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::Trust;
use gatehouse_gateway::settings::{Face, Provider, ProviderSpec};
use gatehouse_identity::secret::Secret;
use gatehouse_providers::anthropic::credential_header;
use gatehouse_providers::cloud::Table;

use super::cloud;
use super::egress::Way;
use super::renewal::{Renewal, Services};
use crate::config::{self, SecretSource};
use crate::environment::Environment;
use crate::secret;

/// A configured provider and what became of it.
#[derive(Clone)]
pub(super) struct Provided {
    /// As configured.
    pub(super) configured: config::Provider,
    /// Its secrets, when they are to be had.
    secrets: Option<Vec<Arc<Secret>>>,
    /// Of a cloud: the table it goes by.
    table: Option<Arc<Table>>,
    /// The way to it: new connections go another one once that is another.
    way: Arc<Way>,
    /// As the data path uses it; `None` while its key is missing.
    pub(super) usable: Option<Arc<Provider>>,
    /// What renews its credential, where that runs out.
    pub(super) renewal: Option<Arc<Renewal>>,
}

impl Provided {
    /// Its state in words: `ok`, or what is missing.
    pub(super) fn state(&self) -> String {
        match (&self.usable, &self.configured.api_key) {
            (Some(usable), _) if usable.has_credential() => "ok".to_owned(),
            (Some(_), _) => "no valid credential: see the log".to_owned(),
            (None, Some(SecretSource::Sealed(name))) => {
                format!("no key sealed, or none that opens: run `gatehouse provider set-key {name}`")
            }
            (None, Some(SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Exec(_)) | None) => {
                "no key".to_owned()
            }
        }
    }

    /// Whether it is what would be made of these.
    fn is_of(
        &self,
        configured: &config::Provider,
        secrets: &[Arc<Secret>],
        table: Option<&Arc<Table>>,
        way: &Arc<Way>,
    ) -> bool {
        let own = self.secrets.as_deref().unwrap_or_default();
        self.secrets.is_some()
            && self.configured == *configured
            && own.len() == secrets.len()
            && own.iter().zip(secrets).all(|(own, other)| own.same_as(other))
            && self.table.as_ref() == table
            && Arc::ptr_eq(&self.way, way)
    }
}

/// The way out, and what it was made of.
pub(super) struct Out<'a> {
    pub(super) egress: &'a Egress,
    pub(super) way: &'a Arc<Way>,
}

/// Keys that are sealed in the store, opened.
pub(super) type SealedKeys = HashMap<String, Secret>;

/// Prepares all providers. One whose sealed key is not there yet is kept aside; every other trouble is a mistake. A
/// provider that is as it was before is the same one, so that its connections live on. May run commands: blocks.
pub(super) fn prepare(
    configured: &[config::Provider],
    mut sealed: SealedKeys,
    before: &[Provided],
    way_out: &Out<'_>,
    environment: &Environment,
) -> Result<Vec<Provided>, Vec<String>> {
    let (mut out, mut mistakes) = (Vec::new(), Vec::new());
    let mut trust = Trust::new(&way_out.way.special);
    for provider in configured {
        let mut secrets = Some(Vec::new());
        let before_these = mistakes.len();
        for (setting, source) in provider.secrets() {
            let secret = match (source, secret::resolve(source, environment)) {
                (SecretSource::Sealed(name), _) => sealed.remove(name),
                (_, Ok(secret)) => secret,
                (_, Err(error)) => {
                    mistakes.push(format!("provider[{}].{setting}: {error}", provider.name));
                    continue;
                }
            };
            secrets = secrets.zip(secret).map(|(mut secrets, secret)| {
                secrets.push(Arc::new(secret));
                secrets
            });
        }
        if mistakes.len() > before_these {
            continue;
        }
        match one(provider, secrets, before, (way_out, &mut trust), environment) {
            Ok(provided) => out.push(provided),
            Err(mistake) => mistakes.push(format!("provider[{}]: {mistake}", provider.name)),
        }
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

fn one(
    configured: &config::Provider,
    secrets: Option<Vec<Arc<Secret>>>,
    before: &[Provided],
    (out, trust): (&Out<'_>, &mut Trust<'_>),
    environment: &Environment,
) -> Result<Provided, String> {
    let configured = configured.clone();
    let table = cloud::table(&configured)?;
    let way = Arc::clone(out.way);
    let Some(secrets) = secrets else {
        return Ok(Provided { configured, secrets: None, table, way, usable: None, renewal: None });
    };
    if let Some(old) = before.iter().find(|old| old.is_of(&configured, &secrets, table.as_ref(), &way)) {
        return Ok(old.clone());
    }
    let is_https = configured.base_url.starts_with("https://");
    let host = host_of(&configured.base_url)?;
    let tls = is_https.then(|| trust.with(&host, configured.ca_file.as_deref())).transpose()?;
    let (face, renewal) = if let (Some(cloud), Some(table)) = (&configured.cloud, &table) {
        // The services that give credentials are reached with the same trust.
        let tls = trust.any(configured.ca_file.as_deref()).ok();
        let services = Services { tls, egress: out.egress.clone() };
        let ready = cloud::ready((&configured, cloud), &secrets, Arc::clone(table), services, environment)?;
        (ready.face, ready.renewal)
    } else {
        let key = secrets.first().and_then(|key| key.expose_text()).ok_or("its key is not text")?;
        let header = credential_header(configured.auth, key);
        let (name, value) = header.map_err(|error| error.to_string())?;
        (Face::Plain(name, value), None)
    };
    let spec = ProviderSpec {
        name: &configured.name,
        base_url: &configured.base_url,
        face,
        serves: configured.serves.clone(),
        tls,
        egress: out.egress.clone(),
        connect: configured.connect,
        first_byte: configured.first_byte,
        stream_idle: configured.stream_idle,
        pool_idle: configured.pool_idle,
        max_connections: configured.max_connections,
        region: configured.region.clone(),
        family: configured.family.clone(),
        quota: configured.quota,
    };
    let usable = Provider::new(spec).map_err(|error| error.to_string())?;
    let (usable, renewal) = (Some(Arc::new(usable)), renewal.map(Arc::new));
    Ok(Provided { configured, secrets: Some(secrets), table, way, usable, renewal })
}

/// The host in an address that was checked.
fn host_of(base_url: &str) -> Result<Host, String> {
    let uri: http::Uri = base_url.parse().map_err(|error| format!("base_url: {error}"))?;
    Host::parse(uri.host().unwrap_or_default()).map_err(|error| format!("base_url: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn configured(flags: &[&str]) -> Vec<config::Provider> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        load(&Sources { flags, ..Sources::default() }).unwrap().providers
    }

    fn way() -> (Egress, Arc<Way>) {
        let config = load(&Sources::default()).unwrap();
        let way = crate::wire::egress::prepare(&config.egress, None, &|_| Ok(None)).unwrap();
        (Egress::new(Arc::clone(&way.settings)), way)
    }

    fn environment() -> Environment {
        Environment { variables: [("K".to_owned(), "sk-canary".to_owned())].into() }
    }

    #[test]
    fn an_unchanged_provider_keeps_its_connections() {
        let list = configured(&["provider.a.api_key=env:K", "provider.a.base_url=http://127.0.0.1:1"]);
        let (egress, way) = way();
        let out = Out { egress: &egress, way: &way };
        let first = prepare(&list, SealedKeys::new(), &[], &out, &environment()).unwrap();
        let second = prepare(&list, SealedKeys::new(), &first, &out, &environment()).unwrap();
        let same =
            |a: &Provided, b: &Provided| Arc::ptr_eq(a.usable.as_ref().unwrap(), b.usable.as_ref().unwrap());
        assert!(same(&first[0], &second[0]));
        let other = Environment { variables: [("K".to_owned(), "sk-new".to_owned())].into() };
        let third = prepare(&list, SealedKeys::new(), &second, &out, &other).unwrap();
        assert!(!same(&second[0], &third[0]));
        let (_, another) = self::way();
        let out = Out { egress: &egress, way: &another };
        let fourth = prepare(&list, SealedKeys::new(), &third, &out, &other).unwrap();
        assert!(!same(&third[0], &fourth[0]), "connections of another way stay in use");
    }

    #[test]
    fn a_sealed_key_may_come_later_and_all_other_trouble_is_told_at_once() {
        let list = configured(&["provider.a.api_key=sealed:", "provider.a.base_url=http://127.0.0.1:1"]);
        let (egress, way) = way();
        let out = Out { egress: &egress, way: &way };
        let provided = prepare(&list, SealedKeys::new(), &[], &out, &environment()).unwrap();
        assert!(provided[0].usable.is_none() && provided[0].state().contains("set-key a"));
        let sealed = SealedKeys::from([("a".to_owned(), Secret::new(b"sk-1".to_vec()))]);
        assert_eq!(prepare(&list, sealed, &provided, &out, &environment()).unwrap()[0].state(), "ok");

        let list = configured(&["provider.a.api_key=env:NONE", "provider.b.api_key=file:/nowhere/key"]);
        let mistakes = prepare(&list, SealedKeys::new(), &[], &out, &environment()).err().unwrap();
        assert!(mistakes[0].contains("provider[a].api_key: the variable `NONE` is not set"), "{mistakes:?}");
        assert!(mistakes[1].contains("provider[b].api_key: cannot read the file"), "{mistakes:?}");
    }
}
