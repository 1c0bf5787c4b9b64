//! The policy snapshot: what the data path needs to decide, immutable and swapped whole.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::access::{Question, Rule, Rules, Verdict};
use crate::budget::Budgets;
use crate::directory::{KeyState, Purpose, UserState};
use crate::exchange::{Credential, Principal};
use crate::id::{KeyId, OrgId, ProjectId, SessionId, TeamId, UserId};
use crate::key::{Generation, KeyHash, Peppers, PublicId, VirtualKey};
use crate::limit::Limits;
use crate::model::ModelScope;
use crate::proxy::Access;
use crate::time::UnixMillis;
use crate::token::{AccessKeys, AccessToken, BadAccess};

/// A key as the data path knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGrant {
    /// Its identifier.
    pub id: KeyId,
    /// The public part of its text.
    pub public: PublicId,
    /// Its keyed hash.
    pub hash: KeyHash,
    /// The tenant.
    pub org: OrgId,
    /// Its holder.
    pub user: UserId,
    /// Its holder's state.
    pub user_state: UserState,
    /// The team it charges.
    pub team: Option<TeamId>,
    /// The project it charges.
    pub project: Option<ProjectId>,
    /// The models it may use.
    pub models: ModelScope,
    /// What became of it.
    pub state: KeyState,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// Where it is good.
    pub purpose: Purpose,
}

/// Why a credential is not accepted. The client is told only that it is not; the log says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denied {
    /// No key has this public part, or the secret is wrong.
    #[error("the key is not known")]
    Unknown,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// An administrator switched it off.
    #[error("the key is disabled")]
    Disabled,
    /// An administrator took it back.
    #[error("the key is revoked")]
    Revoked,
    /// Its holder is disabled.
    #[error("the key's holder is disabled")]
    HolderDisabled,
}

impl KeyGrant {
    /// Whether the key works at this time.
    pub fn usable(&self, now: UnixMillis) -> Result<(), Denied> {
        match self.state {
            KeyState::Revoked => return Err(Denied::Revoked),
            KeyState::Disabled => return Err(Denied::Disabled),
            KeyState::Active => {}
        }
        match self.user_state {
            UserState::Disabled => return Err(Denied::HolderDisabled),
            UserState::Active => {}
        }
        if self.expires_at.is_some_and(|at| at <= now) { Err(Denied::Expired) } else { Ok(()) }
    }

    /// Whom an exchange with this key belongs to.
    pub fn principal(&self) -> Principal {
        let Self { org, user, team, project, .. } = *self;
        Principal { org, user, credential: Credential::Key(self.id), team, project }
    }
}

/// A session as the data path knows it. One that was ended is not in the snapshot at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionGrant {
    /// Its identifier.
    pub id: SessionId,
    /// The tenant.
    pub org: OrgId,
    /// Who signed in.
    pub user: UserId,
    /// Their state.
    pub user_state: UserState,
    /// The team it charges.
    pub team: Option<TeamId>,
    /// The models it may use.
    pub models: ModelScope,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl SessionGrant {
    /// Whether the session stands at this time.
    pub fn usable(&self, now: UnixMillis) -> Result<(), Denied> {
        match self.user_state {
            UserState::Disabled => return Err(Denied::HolderDisabled),
            UserState::Active => {}
        }
        if self.expires_at <= now { Err(Denied::Expired) } else { Ok(()) }
    }

    /// Whom an exchange of this session belongs to.
    pub fn principal(&self) -> Principal {
        let Self { org, user, team, .. } = *self;
        Principal { org, user, credential: Credential::Session(self.id), team, project: None }
    }
}

/// What somebody was let in by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// A virtual key.
    Key(Arc<KeyGrant>),
    /// A session.
    Session(Arc<SessionGrant>),
}

impl Grant {
    /// Whom an exchange by it belongs to.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Key(key) => key.principal(),
            Self::Session(session) => session.principal(),
        }
    }

    /// The models it may use.
    pub fn models(&self) -> &ModelScope {
        match self {
            Self::Key(key) => &key.models,
            Self::Session(session) => &session.models,
        }
    }
}

/// Everything the data path decides by, at one version. Looking up a key or a session costs the same with ten of them and
/// with 100,000.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    version: u64,
    keys: HashMap<PublicId, Arc<KeyGrant>>,
    rules: Option<Arc<dyn Rules>>,
    sessions: HashMap<SessionId, Arc<SessionGrant>>,
    budgets: Arc<Budgets>,
    limits: Arc<Limits>,
    proxy: Arc<Access>,
    proofs: Arc<Proofs>,
}

/// What presented credentials are checked with. In the snapshot, so that keys and what proves them are swapped together.
#[derive(Debug, Clone)]
pub struct Proofs {
    /// What keys are hashed with.
    pub peppers: Peppers,
    /// What access tokens are proved with.
    pub access: AccessKeys,
    /// The generation of the pepper that keys hashed under an older one are hashed under anew, when they are used.
    pub current: Option<Generation>,
}

impl Default for Proofs {
    fn default() -> Self {
        let (peppers, access) = (Peppers::new(Vec::new()), AccessKeys::new(Vec::new()));
        Self { peppers, access, current: None }
    }
}

impl Snapshot {
    /// Builds a snapshot from all keys.
    pub fn new(version: u64, keys: impl IntoIterator<Item = KeyGrant>) -> Self {
        let keys = keys.into_iter().map(|key| (key.public, Arc::new(key))).collect();
        Self {
            version,
            keys,
            sessions: HashMap::new(),
            rules: None,
            proofs: Arc::default(),
            budgets: Arc::default(),
            limits: Arc::default(),
            proxy: Arc::default(),
        }
    }

    /// The same with all sessions that have not been ended.
    #[must_use]
    pub fn with_sessions(mut self, sessions: impl IntoIterator<Item = SessionGrant>) -> Self {
        self.sessions = sessions.into_iter().map(|session| (session.id, Arc::new(session))).collect();
        self
    }

    /// Checked with these.
    #[must_use]
    pub fn with_proofs(self, proofs: Arc<Proofs>) -> Self {
        Self { proofs, ..self }
    }

    /// With these rules on who may use which model.
    #[must_use]
    pub fn with_rules(self, rules: Option<Arc<dyn Rules>>) -> Self {
        Self { rules, ..self }
    }

    /// With these budgets.
    #[must_use]
    pub fn with_budgets(self, budgets: Budgets) -> Self {
        Self { budgets: Arc::new(budgets), ..self }
    }

    /// With these limits on rates.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self }
    }

    /// The limits on rates.
    pub const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// With these rules on where the forward proxy goes.
    #[must_use]
    pub fn with_proxy(self, access: Access) -> Self {
        Self { proxy: Arc::new(access), ..self }
    }

    /// Where the forward proxy goes, for whom.
    pub const fn proxy(&self) -> &Arc<Access> {
        &self.proxy
    }

    /// The budgets.
    pub const fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// Whether the organization's rules let this through. Without any, everything a key's own scope allows is.
    pub fn decide(&self, question: &Question<'_>) -> Verdict {
        self.rules.as_ref().map_or(Verdict::allowed(Rule::None), |rules| rules.decide(question))
    }

    /// Whether an answer to [`Snapshot::decide`] may depend on data classes.
    pub fn speaks_of_classes(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.speaks_of_classes())
    }

    /// Counts up with every change of what it was built from.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many sessions it holds.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Recognizes a presented key. An unknown public part is compared as well, so that the time taken does not tell.
    pub fn identify(&self, key: &VirtualKey, now: UnixMillis) -> Result<Arc<KeyGrant>, Denied> {
        let peppers = &self.proofs.peppers;
        let Some(grant) = self.keys.get(&key.public()) else {
            let nobody = KeyHash::from_bytes([0; 32]);
            return Err(if key.matches(peppers, &nobody) { Denied::Revoked } else { Denied::Unknown });
        };
        if !key.matches(peppers, &grant.hash) {
            return Err(Denied::Unknown);
        }
        grant.usable(now)?;
        Ok(Arc::clone(grant))
    }

    /// The hash to keep of a key that was just recognized, if the one that is kept was made under an older pepper.
    pub fn rehash(&self, key: &VirtualKey, grant: &KeyGrant) -> Option<KeyHash> {
        let current = self.proofs.current.filter(|current| grant.hash.generation() < *current)?;
        self.proofs.peppers.find(current).map(|pepper| key.hash(pepper))
    }

    /// Reads a presented access token. Says nothing about its session.
    ///
    /// # Errors
    /// It is no token of ours, or its time is over.
    pub fn token(&self, text: &[u8], now: UnixMillis) -> Result<AccessToken, BadAccess> {
        AccessToken::verify(text, &self.proofs.access, now)
    }

    /// Finds the session that a genuine access token names. [`Denied::Unknown`] when it was ended, or began after the
    /// snapshot was built.
    pub fn session(&self, id: SessionId, now: UnixMillis) -> Result<Arc<SessionGrant>, Denied> {
        let grant = self.sessions.get(&id).ok_or(Denied::Unknown)?;
        grant.usable(now)?;
        Ok(Arc::clone(grant))
    }

    /// What somebody was let in by earlier, as it is now.
    ///
    /// # Errors
    /// It is not good any more.
    pub fn renewed(&self, earlier: &Grant, now: UnixMillis) -> Result<Grant, Denied> {
        self.still_good(earlier, now)?;
        Ok(match earlier {
            Grant::Key(key) => Grant::Key(Arc::clone(self.keys.get(&key.public).ok_or(Denied::Revoked)?)),
            Grant::Session(session) => {
                Grant::Session(Arc::clone(self.sessions.get(&session.id).ok_or(Denied::Revoked)?))
            }
        })
    }

    /// Whether what somebody was let in by earlier is still good (promise P6).
    pub fn still_good(&self, earlier: &Grant, now: UnixMillis) -> Result<(), Denied> {
        match earlier {
            Grant::Key(key) => match self.keys.get(&key.public) {
                Some(grant) if grant.id == key.id => grant.usable(now),
                _ => Err(Denied::Revoked),
            },
            Grant::Session(session) => match self.sessions.get(&session.id) {
                Some(grant) => grant.usable(now),
                None => Err(Denied::Revoked),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyKind, Pepper, RANDOM_LEN};

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn world(change: impl FnOnce(&mut KeyGrant)) -> (Snapshot, VirtualKey) {
        let pepper = Pepper::new([7; 32]);
        let key = VirtualKey::generate(KeyKind::Virtual, &[9; RANDOM_LEN]);
        let mut grant = KeyGrant {
            id: KeyId::new(NOW, 1),
            public: key.public(),
            hash: key.hash(&pepper),
            org: OrgId::new(NOW, 1),
            user: UserId::new(NOW, 1),
            user_state: UserState::Active,
            team: None,
            project: None,
            models: ModelScope::all(),
            state: KeyState::Active,
            expires_at: None,
            purpose: Purpose::Gateway,
        };
        change(&mut grant);
        let proofs = Proofs { peppers: pepper.into(), ..Proofs::default() };
        (Snapshot::new(1, [grant]).with_proofs(Arc::new(proofs)), key)
    }

    #[test]
    fn a_good_key_is_recognized() {
        let (snapshot, key) = world(|_| {});
        let grant = Grant::Key(snapshot.identify(&key, NOW).unwrap());
        assert_eq!(snapshot.still_good(&grant, NOW), Ok(()));
        assert_eq!(Snapshot::default().still_good(&grant, NOW), Err(Denied::Revoked));
        let (later, _) = world(|key| key.models = ModelScope::only(&["some-model"]).unwrap());
        assert_eq!(later.renewed(&grant, NOW).unwrap().models(), &ModelScope::only(&["some-model"]).unwrap());
        assert_eq!(Snapshot::default().renewed(&grant, NOW), Err(Denied::Revoked));
    }

    #[test]
    fn a_session_stands_until_it_ends_or_its_holder_may_not_go_on() {
        let session = SessionGrant {
            id: SessionId::new(NOW, 1),
            org: OrgId::new(NOW, 1),
            user: UserId::new(NOW, 1),
            user_state: UserState::Active,
            team: None,
            models: ModelScope::all(),
            expires_at: NOW.plus_millis(10),
        };
        let with = |session: &SessionGrant| Snapshot::default().with_sessions([session.clone()]);
        let grant = Grant::Session(with(&session).session(session.id, NOW).unwrap());
        let principal = grant.principal();
        assert_eq!((principal.key(), principal.session()), (None, Some(session.id)));
        assert_eq!(with(&session).still_good(&grant, NOW), Ok(()));
        assert_eq!(with(&session).still_good(&grant, NOW.plus_millis(10)), Err(Denied::Expired));

        let disabled = SessionGrant { user_state: UserState::Disabled, ..session.clone() };
        assert_eq!(with(&disabled).session(session.id, NOW).unwrap_err(), Denied::HolderDisabled);
        assert_eq!(with(&disabled).still_good(&grant, NOW), Err(Denied::HolderDisabled));
        assert_eq!(Snapshot::default().session(session.id, NOW).unwrap_err(), Denied::Unknown);
        assert_eq!(Snapshot::default().still_good(&grant, NOW), Err(Denied::Revoked));
    }

    #[test]
    fn each_reason_to_deny_is_told_apart() {
        type Change = fn(&mut KeyGrant);
        let cases: [(Change, Denied); 5] = [
            (|k| k.state = KeyState::Revoked, Denied::Revoked),
            (|k| k.state = KeyState::Disabled, Denied::Disabled),
            (|k| k.user_state = UserState::Disabled, Denied::HolderDisabled),
            (|k| k.expires_at = Some(NOW), Denied::Expired),
            (|k| k.hash = KeyHash::from_bytes([1; 32]), Denied::Unknown),
        ];
        for (change, why) in cases {
            let (snapshot, key) = world(change);
            assert_eq!(snapshot.identify(&key, NOW).unwrap_err(), why);
        }
    }

    #[test]
    fn an_unknown_key_is_unknown() {
        let (_, key) = world(|_| {});
        assert_eq!(Snapshot::default().identify(&key, NOW).unwrap_err(), Denied::Unknown);
    }

    #[test]
    fn a_key_under_an_older_pepper_is_good_and_is_hashed_anew() {
        let (snapshot, key) = world(|_| {});
        let next = Pepper::of(Generation(2), [8; 32]);
        let grant = snapshot.identify(&key, NOW).unwrap();
        assert_eq!(snapshot.rehash(&key, &grant), None, "no pepper is said to be the current one");
        let proofs = Proofs {
            peppers: Peppers::new(vec![next.clone(), Pepper::new([7; 32])]),
            current: Some(Generation(2)),
            ..Proofs::default()
        };
        let later = snapshot.clone().with_proofs(Arc::new(proofs));
        let grant = later.identify(&key, NOW).unwrap();
        assert_eq!(later.rehash(&key, &grant), Some(key.hash(&next)));
        let anew = KeyGrant { hash: key.hash(&next), ..(*grant).clone() };
        assert_eq!(later.rehash(&key, &anew), None);
        let gone = Proofs { peppers: next.into(), ..Proofs::default() };
        assert_eq!(snapshot.with_proofs(Arc::new(gone)).identify(&key, NOW).unwrap_err(), Denied::Unknown);
    }
}
