//! What everything stands on: master keys, database, organization, and the local credential.

use std::path::Path;
use std::sync::Arc;

use gatehouse_control::bootstrap::{self, Started};
use gatehouse_control::keys::Keys;
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_identity::keyring::Keyring;
use gatehouse_store::audit::Notary;
use gatehouse_store::data_dir::DataDir;
use gatehouse_store::{Store, StoreConfig};

use super::failed;
use crate::cli::{ADMIN_TOKEN_FILE, Failure};
use crate::config::Config;
use crate::environment::Environment;
use crate::{clock, secret};

/// Connections to PostgreSQL.
const DATABASE_CONNECTIONS: u32 = 8;
/// The organization's name, until somebody gives it another.
const ORGANIZATION: &str = "Gatehouse";
/// SQLite's file; where it is, the directory is in use.
const DATABASE_FILE: &str = "gatehouse.db";

/// The newest checkpoint of the audit log that this node knows. Kept apart from the database, so that a change of the
/// database does not change it.
const CHECKPOINT_FILE: &str = "audit.checkpoint";

/// What everything stands on.
pub(super) struct Foundation {
    pub(super) store: Store,
    pub(super) keyring: Keyring,
    pub(super) org: OrgId,
    /// The keys that the server makes for itself.
    pub(super) keys: Arc<Keys>,
    pub(super) notary: Arc<Notary>,
    pub(super) node: NodeId,
    /// Whether the organization's first owner was made just now.
    pub(super) first_start: bool,
}

/// Lays it: reads (or makes) the master key, opens the database, makes sure that there is an organization with an owner
/// whose token lies in the data directory.
pub(super) async fn lay(
    config: &Config,
    data: &DataDir,
    environment: &Environment,
) -> Result<Foundation, Failure> {
    let path = data.path();
    let in_use = [DATABASE_FILE, ADMIN_TOKEN_FILE].iter().any(|name| path.join(name).exists());
    let keyring = secret::keyring(&config.secrets, path, in_use, environment)
        .map_err(|error| Failure::Usage(format!("secrets: {error}")))?;
    let at = StoreConfig {
        url: config.store.url.clone(),
        data_dir: path.to_owned(),
        max_connections: DATABASE_CONNECTIONS,
    };
    // Its connections to SQLite are threads, which stand where the thread stands that started them.
    let opening = tokio::spawn(async move { Store::open(&at).await });
    let store = opening.await.map_err(failed)?.map_err(failed)?;
    let node = data.node_id(NodeId::new(clock::now(), clock::random_bits())).map_err(failed)?;
    // Before anything is opened: the master key is not changed to one that this node does not know.
    let known = master_keys(&keyring);
    store.register_node(node, env!("CARGO_PKG_VERSION"), &known, clock::now()).await.map_err(failed)?;
    let started = bootstrap::start(&store, &keyring, ORGANIZATION, node, clock::now(), &clock::random);
    let started = started.await.map_err(failed)?;
    keep_token(&store, &started, path).await?;
    let keys = Keys::new(started.keys);
    let notary = Notary::open(node, keys.signing_keys(), path.join(CHECKPOINT_FILE)).map_err(failed)?;
    Ok(Foundation {
        store,
        keyring,
        org: started.org.id,
        keys: Arc::new(keys),
        notary: Arc::new(notary),
        node,
        first_start: started.owner.is_some(),
    })
}

/// The public names of the master keys, as nodes tell each other.
pub(super) fn master_keys(keyring: &Keyring) -> String {
    keyring.ids().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Writes the owner's token where the command line on this machine finds it. If the file is gone, whoever can start the
/// server here holds the master key anyway, and gets a new token.
async fn keep_token(store: &Store, started: &Started, data_dir: &Path) -> Result<(), Failure> {
    let path = data_dir.join(ADMIN_TOKEN_FILE);
    let made;
    let token = match &started.owner {
        Some(token) => token,
        None if path.exists() => return Ok(()),
        None => {
            let pepper = started.keys.pepper(clock::now());
            let making = bootstrap::owner_token(
                store,
                started.org.id,
                &pepper,
                "local owner",
                clock::now(),
                &clock::random,
            );
            made = making.await.map_err(failed)?;
            &made
        }
    };
    let text = zeroize::Zeroizing::new(format!("{}\n", *token.text));
    secret::write_private(&path, text.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())))
}
