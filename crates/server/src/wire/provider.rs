//! From configured providers to those the data path uses: resolves their keys and checks them, all at once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use gatehouse_gateway::settings::{Face, Provider, ProviderSpec, client_tls};
use gatehouse_identity::secret::Secret;
use gatehouse_providers::anthropic::credential_header;
use gatehouse_providers::cloud::Table;
use rustls::ClientConfig;

use super::cloud;
use super::renewal::Renewal;
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
    ) -> bool {
        let own = self.secrets.as_deref().unwrap_or_default();
        self.secrets.is_some()
            && self.configured == *configured
            && own.len() == secrets.len()
            && own.iter().zip(secrets).all(|(own, other)| own.same_as(other))
            && self.table.as_ref() == table
    }
}

/// Keys that are sealed in the store, opened.
pub(super) type SealedKeys = HashMap<String, Secret>;

/// Prepares all providers. One whose sealed key is not there yet is kept aside; every other trouble is a mistake. A
/// provider that is as it was before is the same one, so that its connections live on. May run commands: blocks.
pub(super) fn prepare(
    configured: &[config::Provider],
    mut sealed: SealedKeys,
    before: &[Provided],
    environment: &Environment,
) -> Result<Vec<Provided>, Vec<String>> {
    let (mut out, mut mistakes, mut trust) = (Vec::new(), Vec::new(), Trust::default());
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
        match one(provider, secrets, before, &mut trust, environment) {
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
    trust: &mut Trust,
    environment: &Environment,
) -> Result<Provided, String> {
    let configured = configured.clone();
    let table = cloud::table(&configured)?;
    let Some(secrets) = secrets else {
        return Ok(Provided { configured, secrets: None, table, usable: None, renewal: None });
    };
    if let Some(old) = before.iter().find(|old| old.is_of(&configured, &secrets, table.as_ref())) {
        return Ok(old.clone());
    }
    let is_https = configured.base_url.starts_with("https://");
    let tls = is_https.then(|| trust.with(configured.ca_file.as_deref())).transpose()?;
    let (face, renewal) = if let (Some(cloud), Some(table)) = (&configured.cloud, &table) {
        // The services that give credentials are reached with the same trust.
        let trusted = trust.with(configured.ca_file.as_deref()).ok();
        let ready = cloud::ready((&configured, cloud), &secrets, Arc::clone(table), trusted, environment)?;
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
        connect: configured.connect,
        first_byte: configured.first_byte,
        stream_idle: configured.stream_idle,
        pool_idle: configured.pool_idle,
        max_connections: configured.max_connections,
        region: configured.region.clone(),
        family: configured.family.clone(),
    };
    let usable = Provider::new(spec).map_err(|error| error.to_string())?;
    let (usable, renewal) = (Some(Arc::new(usable)), renewal.map(Arc::new));
    Ok(Provided { configured, secrets: Some(secrets), table, usable, renewal })
}

/// TLS settings by CA file. The system's certificates are read at most once, and only if a provider needs them.
#[derive(Default)]
struct Trust(HashMap<Option<std::path::PathBuf>, Arc<ClientConfig>>);

impl Trust {
    fn with(&mut self, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
        let at = ca_file.map(Path::to_owned);
        if let Some(known) = self.0.get(&at) {
            return Ok(Arc::clone(known));
        }
        let pem = ca_file.map(std::fs::read).transpose();
        let pem = pem.map_err(|error| {
            format!(
                "ca_file: cannot read `{}`: {error}",
                at.iter().map(|p| p.display().to_string()).collect::<String>()
            )
        })?;
        let made = client_tls(pem.as_deref())?;
        self.0.insert(at, Arc::clone(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn configured(flags: &[&str]) -> Vec<config::Provider> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        load(&Sources { flags, ..Sources::default() }).unwrap().providers
    }

    fn environment() -> Environment {
        Environment { variables: [("K".to_owned(), "sk-canary".to_owned())].into() }
    }

    #[test]
    fn an_unchanged_provider_keeps_its_connections() {
        let list = configured(&["provider.a.api_key=env:K", "provider.a.base_url=http://127.0.0.1:1"]);
        let first = prepare(&list, SealedKeys::new(), &[], &environment()).unwrap();
        let second = prepare(&list, SealedKeys::new(), &first, &environment()).unwrap();
        let same =
            |a: &Provided, b: &Provided| Arc::ptr_eq(a.usable.as_ref().unwrap(), b.usable.as_ref().unwrap());
        assert!(same(&first[0], &second[0]));
        let other = Environment { variables: [("K".to_owned(), "sk-new".to_owned())].into() };
        let third = prepare(&list, SealedKeys::new(), &second, &other).unwrap();
        assert!(!same(&second[0], &third[0]));
    }

    #[test]
    fn a_sealed_key_may_come_later_and_all_other_trouble_is_told_at_once() {
        let list = configured(&["provider.a.api_key=sealed:", "provider.a.base_url=http://127.0.0.1:1"]);
        let provided = prepare(&list, SealedKeys::new(), &[], &environment()).unwrap();
        assert!(provided[0].usable.is_none() && provided[0].state().contains("set-key a"));
        let sealed = SealedKeys::from([("a".to_owned(), Secret::new(b"sk-1".to_vec()))]);
        assert_eq!(prepare(&list, sealed, &provided, &environment()).unwrap()[0].state(), "ok");

        let list = configured(&["provider.a.api_key=env:NONE", "provider.b.api_key=file:/nowhere/key"]);
        let mistakes = prepare(&list, SealedKeys::new(), &[], &environment()).err().unwrap();
        assert!(mistakes[0].contains("provider[a].api_key: the variable `NONE` is not set"), "{mistakes:?}");
        assert!(mistakes[1].contains("provider[b].api_key: cannot read the file"), "{mistakes:?}");
    }
}
