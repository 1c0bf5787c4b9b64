//! What the data path is told of a configuration.

use std::sync::Arc;

use gatehouse_control::secret::SecretError;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::price::PriceTable;
use gatehouse_gateway::protection::Protection;
use gatehouse_gateway::settings::{Inspection, Settings};
use gatehouse_identity::keyring::Keyring;
use gatehouse_store::Store;

use crate::config::{Config, SecretSource};
use crate::wire::provider::{Provided, SealedKeys};

pub(super) fn settings(
    config: &Config,
    prices: PriceTable,
    providers: &[Provided],
    inspection: Option<Arc<Inspection>>,
    protection: Option<Arc<Protection>>,
) -> Settings {
    Settings {
        limits: config.gateway.limits.clone(),
        client_gone: config.gateway.client_gone.clone(),
        providers: usable(providers),
        prices: Arc::new(prices),
        proxies: config.listen.proxies.clone(),
        classes: config.data_class.order.clone(),
        class_header: config.data_class.header.clone(),
        routing: Arc::new(config.routes.routing.clone()),
        inspection,
        protection,
    }
}

pub(super) fn usable(providers: &[Provided]) -> Vec<Arc<gatehouse_gateway::settings::Provider>> {
    providers.iter().filter_map(|provided| provided.usable.clone()).collect()
}

/// Opens the keys that are sealed in the store, and tells of those that do not open, by the provider's name.
pub(super) async fn sealed_keys(
    config: &Config,
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
) -> Result<(SealedKeys, Vec<(String, String)>), Vec<String>> {
    let (mut keys, mut shut) = (SealedKeys::new(), Vec::new());
    for provider in &config.providers {
        let Some(SecretSource::Sealed(name)) = &provider.api_key else { continue };
        let told = |error: SecretError| format!("provider[{}].api_key: {error}", provider.name);
        match gatehouse_control::secret::provider_key(store, keyring, org, name).await {
            Ok(Some(key)) => {
                keys.insert(name.clone(), key);
            }
            Ok(None) => {}
            Err(error @ SecretError::Seal { .. }) => shut.push((provider.name.clone(), told(error))),
            Err(error @ SecretError::Store(_)) => return Err(vec![told(error)]),
        }
    }
    Ok((keys, shut))
}
