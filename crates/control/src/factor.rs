//! Second factors of people who sign in here, as administrators see them; and how they are made and kept.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::User;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::seal::{NONCE_LEN, Place, Sealed};
use gatehouse_identity::secret::Secret;
use gatehouse_identity::totp::{RECOVERY_CODES, RecoveryCode};
use gatehouse_store::Store;
use gatehouse_store::factor::Factors;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::act::{ActError, Caller, Changed};
use crate::app::App;
use crate::bootstrap::{Random, StartError};
use crate::user;

/// How long a link to add a factor works, in milliseconds: a day.
const LINK_MS: i64 = 24 * 3_600_000;
/// Random bytes of such a link.
pub(crate) const LINK_LEN: usize = 32;

/// A link by which a person may add a factor, once. The address is a secret until it was used.
pub struct Link {
    /// Whose it is.
    pub user: User,
    /// The address to open.
    pub url: Zeroizing<String>,
    /// Until when it works.
    pub expires_at: UnixMillis,
}

/// What a person has besides a password.
///
/// # Errors
/// There is no such person within the scope; the database.
pub async fn list(app: &App, scope: Scope, given: &str) -> Result<(User, Factors), ActError> {
    let user = user::within(app, scope, given).await?;
    let factors = app.store.factors(app.org, user.id).await?;
    Ok((user, factors))
}

/// Removes all of that, and what is left of recovery codes and links. Their sessions that began here end.
///
/// # Errors
/// There is no such person; the database.
pub async fn reset(app: &App, caller: &Caller, given: &str) -> Result<Changed<User>, ActError> {
    let (user, had) = list(app, Scope::Organization, given).await?;
    let act = caller
        .draft(app.now(), "user.reset_factors", Object::new("user", user.id, user.email.as_str()))
        .with("authenticators", u64::from(had.totp.is_some()))
        .with("passkeys", count(had.passkeys.len()))
        .with("recovery_codes", count(had.recovery_codes));
    app.store.reset_factors(app.org, user.id, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: user, in_force })
}

/// Makes a link by which a person may add a factor without signing in, once and for a day. The one before works no more.
///
/// # Errors
/// There is no such person; nobody can sign in here; the database.
pub async fn link(app: &App, caller: &Caller, given: &str) -> Result<Link, ActError> {
    let user = user::get(app, given).await?;
    let base = (app.house.sign_in_base)().ok_or_else(|| {
        ActError::field("user", "nobody can sign in: the server's listen.public_url is not set")
    })?;
    let random = Zeroizing::new(app.random::<LINK_LEN>());
    let expires_at = app.now().plus_millis(LINK_MS);
    let act = caller
        .draft(app.now(), "user.make_factor_link", Object::new("user", user.id, user.email.as_str()))
        .with("expires_at", expires_at.to_string());
    app.store.put_factor_link(app.org, user.id, &hash(&*random), expires_at, &act).await?;
    let text = Zeroizing::new(Base64UrlUnpadded::encode_string(&*random));
    Ok(Link { user, url: Zeroizing::new(format!("{base}/account/link?link={}", *text)), expires_at })
}

/// Where the secret of a person's authenticator is sealed.
pub(crate) const fn totp_place(user: &str) -> Place<'_> {
    Place { purpose: "totp", name: user }
}

/// Fresh recovery codes and what is stored of them.
pub(crate) fn fresh_codes(app: &App, user: UserId) -> (Vec<RecoveryCode>, Vec<[u8; 32]>) {
    let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| RecoveryCode::from_bytes(app.random())).collect();
    let account = user.to_string();
    let hashes = codes.iter().map(|code| *code.hash(&account).as_bytes()).collect();
    (codes, hashes)
}

/// What is stored of a random text that somebody else holds.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Seals the secrets of authenticators anew that are sealed under an older master key, and gives how many there were. One
/// that does not open is left as it is and logged: its person has recovery codes, or a factor that is made anew.
pub(crate) async fn reseal(
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
    now: UnixMillis,
    random: Random<'_>,
) -> Result<u64, StartError> {
    let mut done = 0;
    for (user, old) in store.totp_secrets(org).await? {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let name = user.to_string();
        let anew = old.parse::<Sealed>().and_then(|sealed| keyring.reseal(totp_place(&name), &sealed, nonce));
        let new = match anew {
            Ok(None) => continue,
            Ok(Some(new)) => new,
            Err(cause) => {
                tracing::error!(user.id = name, %cause, "the secret of an authenticator does not open and is left out");
                continue;
            }
        };
        let act = Caller::system("rotation")
            .draft(now, "factor.reseal", Object::new("user", user, ""))
            .with("now", new.key().to_string());
        done += u64::from(store.reseal_totp(org, user, &old, &new.to_string(), &act).await?);
    }
    Ok(done)
}

/// Seals the secret of a person's authenticator.
pub(crate) fn seal(app: &App, user: UserId, secret: &Secret) -> Option<String> {
    let sealed = app.keyring.seal(totp_place(&user.to_string()), secret, app.random::<NONCE_LEN>());
    sealed.ok().map(|sealed| sealed.to_string())
}

/// Opens the secret of a person's authenticator.
pub(crate) fn open(app: &App, user: UserId, sealed: &str) -> Option<Secret> {
    let opened =
        sealed.parse::<Sealed>().and_then(|sealed| app.keyring.open(totp_place(&user.to_string()), &sealed));
    opened
        .inspect_err(
            |cause| tracing::error!(user.id = %user, %cause, "the secret of an authenticator does not open"),
        )
        .ok()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
