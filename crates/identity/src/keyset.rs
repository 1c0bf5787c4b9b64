//! The keys that the server makes for itself, in generations: what credentials are hashed and proved with, and what signs.
//!
//! They begin with those that come from the first master key ([`Roots`]). Each kind can get another one while the server
//! runs. The new key is known everywhere before it is used: it signs from a stated time on. The old one goes on proving
//! what was made with it until it is retired.
//!
//! All of them are kept together, sealed in one text. A key that signed what others keep, such as the audit log, leaves
//! its public half here when it is retired.

use std::fmt;

use gatehouse_domain::audit::{PublicKey, Signer};
use gatehouse_domain::key::{Generation, Pepper, Peppers};
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::token::{AccessKey, AccessKeys};
use zeroize::Zeroizing;

use crate::form::FormKey;
use crate::keyring::Keyring;
use crate::refresh::{RefreshKey, RefreshKeys};
use crate::roots::{PLACE, Roots};
use crate::seal::{NONCE_LEN, SealError, Sealed};
use crate::secret::Secret;

/// Most keys of a kind that are kept.
pub const MOST: usize = 16;

const MAGIC: &[u8; 4] = b"GKS2";
/// Kind, generation, three times, what it is, the key.
const MEMBER_LEN: usize = 1 + 4 + 3 * 8 + 1 + 32;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Hashing virtual keys, administrators' and directories' tokens.
    Hashes,
    /// Proving access tokens.
    AccessTokens,
    /// Proving refresh tokens.
    RefreshTokens,
    /// Proving that a form of the sign-in page is ours.
    SignInForms,
    /// Signing audit checkpoints.
    Audit,
    /// Signing bundles of settings.
    Bundles,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Hashes,
        Self::AccessTokens,
        Self::RefreshTokens,
        Self::SignInForms,
        Self::Audit,
        Self::Bundles,
    ];

    /// The name used on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hashes => "hashes",
            Self::AccessTokens => "access-tokens",
            Self::RefreshTokens => "refresh-tokens",
            Self::SignInForms => "sign-in-forms",
            Self::Audit => "audit",
            Self::Bundles => "bundles",
        }
    }

    /// The kind of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it signs what others keep, so that its public half must last.
    pub const fn signs(self) -> bool {
        match self {
            Self::Audit | Self::Bundles => true,
            Self::Hashes | Self::AccessTokens | Self::RefreshTokens | Self::SignInForms => false,
        }
    }

    /// Part of the stored format: never change one.
    const fn code(self) -> u8 {
        match self {
            Self::Hashes => 1,
            Self::AccessTokens => 2,
            Self::RefreshTokens => 3,
            Self::SignInForms => 4,
            Self::Audit => 5,
            Self::Bundles => 6,
        }
    }
}

/// A key, or what is left of it.
#[derive(Clone)]
enum Material {
    Secret(Zeroizing<[u8; 32]>),
    /// The public half of one that was retired.
    Public(PublicKey),
}

/// One key of a kind. Has no `Debug`.
#[derive(Clone)]
pub struct Member {
    /// What it is for.
    pub kind: Kind,
    /// Which of its kind.
    pub generation: Generation,
    /// When it was made; zero for the first, which came with the installation.
    pub made_at: UnixMillis,
    /// From when on it is used.
    pub active_at: UnixMillis,
    /// When it is to be retired, known since another one was made.
    pub retire_at: Option<UnixMillis>,
    material: Material,
}

/// What may be said of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is known, and will be used from [`Member::active_at`] on.
    Announced,
    /// It is the one that is used.
    Active,
    /// Another one is used; it still proves what was made with it.
    Old,
    /// Only its public half is left.
    Retired,
}

/// Why a key cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// There are [`MOST`] of them.
    #[error("there are {MOST} keys of this kind; retire an old one first")]
    TooMany,
    /// The newest one is not yet in use.
    #[error("the newest key is in use only from {0} on; wait until then")]
    Announced(UnixMillis),
    /// There is no such key, or it was retired.
    #[error("there is no key {0} of this kind that could be retired")]
    Unknown(Generation),
    /// It is the one that is used.
    #[error("key {0} is in use; rotate first, then retire it")]
    InUse(Generation),
}

/// All keys of an installation. Wiped when dropped; no `Debug`.
///
/// ```compile_fail
/// # use gatehouse_identity::{keyset::Keyset, master::MasterKey, roots::Roots};
/// println!("{:?}", Keyset::first(&Roots::of(&MasterKey::from_bytes([1; 32]))));
/// ```
#[derive(Clone)]
pub struct Keyset(Vec<Member>);

impl Member {
    /// Its secret half; `None` when it was retired.
    fn secret(&self) -> Option<&Zeroizing<[u8; 32]>> {
        match &self.material {
            Material::Secret(bytes) => Some(bytes),
            Material::Public(_) => None,
        }
    }

    /// The public half of a key that signs.
    pub fn public(&self) -> Option<PublicKey> {
        match &self.material {
            Material::Secret(seed) => self.kind.signs().then(|| Signer::new(seed).public()),
            Material::Public(key) => Some(*key),
        }
    }
}

impl Keyset {
    /// The first key of each kind.
    pub fn first(roots: &Roots) -> Self {
        let member = |kind| Member {
            kind,
            generation: Generation::FIRST,
            made_at: UnixMillis(0),
            active_at: UnixMillis(0),
            retire_at: None,
            material: Material::Secret(roots.first(kind)),
        };
        Self(Kind::ALL.map(member).into())
    }

    /// Opens them. What was sealed before any was rotated holds the roots only.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] when the master key that sealed them is gone, [`SealError::Broken`] when they were altered.
    pub fn open(ring: &Keyring, sealed: &Sealed) -> Result<Self, SealError> {
        let secret = ring.open(PLACE, sealed)?;
        match secret.expose().strip_prefix(MAGIC) {
            Some(members) if secret.len() != Roots::LEN => read(members).ok_or(SealError::Broken),
            Some(_) | None => Ok(Self::first(&Roots::read(&secret)?)),
        }
    }

    /// Seals them, to be kept in the database.
    pub fn seal(&self, ring: &Keyring, nonce: [u8; NONCE_LEN]) -> Sealed {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.0.len() * MEMBER_LEN);
        bytes.extend_from_slice(MAGIC);
        for member in &self.0 {
            write(member, &mut bytes);
        }
        ring.seal(PLACE, &Secret::new(bytes), nonce).expect("6 times 16 keys are not too long")
    }

    /// All keys, by kind and generation.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        Kind::ALL.into_iter().flat_map(|kind| self.of(kind))
    }

    /// What may be said of a key at a time.
    pub fn state(&self, member: &Member, now: UnixMillis) -> State {
        let active = self.active(member.kind, now).generation;
        match member.material {
            Material::Public(_) => State::Retired,
            Material::Secret(_) if member.generation == active => State::Active,
            Material::Secret(_) if member.generation > active => State::Announced,
            Material::Secret(_) => State::Old,
        }
    }

    /// The key that is used at a time: the newest whose time has come.
    pub fn active(&self, kind: Kind, now: UnixMillis) -> &Member {
        let mut whole = self.of(kind).filter(|member| member.secret().is_some());
        let due = whole.clone().filter(|member| member.active_at <= now).last();
        // A clock that was set back leaves the oldest.
        due.or_else(|| whole.next())
            .expect("a set always holds a key of each kind: `retire` leaves the one in use")
    }

    /// Since when the key after this one is used; `None` for the newest.
    pub fn superseded_at(&self, member: &Member) -> Option<UnixMillis> {
        self.of(member.kind).find(|next| next.generation > member.generation).map(|next| next.active_at)
    }

    /// Adds a key of a kind, in use from `active_at` on. The one before is to be retired at `retire_at`.
    ///
    /// # Errors
    /// [`BadChange::TooMany`], [`BadChange::Announced`].
    pub fn rotate(
        &mut self,
        kind: Kind,
        key: [u8; 32],
        now: UnixMillis,
        active_at: UnixMillis,
        retire_at: UnixMillis,
    ) -> Result<Generation, BadChange> {
        let newest = self.of(kind).last().map_or(Generation(0), |member| member.generation);
        if let Some(waiting) = self.of(kind).find(|member| member.active_at > now) {
            return Err(BadChange::Announced(waiting.active_at));
        }
        if self.of(kind).count() >= MOST {
            return Err(BadChange::TooMany);
        }
        if let Some(before) =
            self.0.iter_mut().find(|member| member.kind == kind && member.generation == newest)
        {
            before.retire_at = Some(retire_at);
        }
        let generation = Generation(newest.0.saturating_add(1));
        let material = Material::Secret(Zeroizing::new(key));
        self.0.push(Member { kind, generation, made_at: now, active_at, retire_at: None, material });
        Ok(generation)
    }

    /// Gives a key up that is not used any more. Whether something still hangs on it is the caller's to know.
    ///
    /// # Errors
    /// [`BadChange::Unknown`], [`BadChange::InUse`].
    pub fn retire(&mut self, kind: Kind, generation: Generation, now: UnixMillis) -> Result<(), BadChange> {
        let active = self.active(kind, now).generation;
        let at = self.0.iter().position(|member| {
            member.kind == kind && member.generation == generation && member.secret().is_some()
        });
        let at = at.ok_or(BadChange::Unknown(generation))?;
        if generation >= active {
            return Err(BadChange::InUse(generation));
        }
        match self.0[at].public() {
            Some(public) => self.0[at].material = Material::Public(public),
            None => drop(self.0.remove(at)),
        }
        Ok(())
    }

    /// The pepper that credentials are hashed with.
    pub fn pepper(&self, now: UnixMillis) -> Pepper {
        let member = self.active(Kind::Hashes, now);
        Pepper::of(member.generation, *secret_of(member))
    }

    /// All peppers.
    pub fn peppers(&self) -> Peppers {
        let pepper = |member: &Member| member.secret().map(|bytes| Pepper::of(member.generation, **bytes));
        Peppers::new(self.of(Kind::Hashes).filter_map(pepper).collect())
    }

    /// What access tokens are proved with.
    pub fn access_key(&self, now: UnixMillis) -> AccessKey {
        AccessKey::new(*secret_of(self.active(Kind::AccessTokens, now)))
    }

    /// All keys that access tokens may have been proved with, the newest first.
    pub fn access_keys(&self) -> AccessKeys {
        AccessKeys::new(self.secrets(Kind::AccessTokens).map(|bytes| AccessKey::new(**bytes)).collect())
    }

    /// What refresh tokens are proved with, and were.
    pub fn refresh_keys(&self, now: UnixMillis) -> RefreshKeys {
        let active = RefreshKey::new(*secret_of(self.active(Kind::RefreshTokens, now)));
        let all = self.secrets(Kind::RefreshTokens).map(|bytes| RefreshKey::new(**bytes));
        RefreshKeys::new(active, all.collect())
    }

    /// What forms are proved with.
    pub fn form_key(&self, now: UnixMillis) -> FormKey {
        FormKey::new(secret_of(self.active(Kind::SignInForms, now)))
    }

    /// Whether any of the keys of forms made this proof.
    pub fn proves_form(&self, cookie: &str, proof: &str) -> bool {
        self.secrets(Kind::SignInForms).any(|bytes| FormKey::new(bytes.clone()).proves(cookie, proof))
    }

    /// Whether any of the keys of forms made this proof of a survey's link.
    pub fn proves_survey(&self, survey: &str, proof: &str) -> bool {
        self.secrets(Kind::SignInForms).any(|bytes| FormKey::new(bytes.clone()).proves_survey(survey, proof))
    }

    /// What signs bundles of settings.
    pub fn bundle_signer(&self, now: UnixMillis) -> Signer {
        Signer::new(&secret_of(self.active(Kind::Bundles, now)))
    }

    /// What signs the audit log, each with the time from which on it does, the oldest first.
    pub fn audit_signers(&self) -> Vec<(UnixMillis, Signer)> {
        let signer = |member: &Member| Some((member.active_at, Signer::new(member.secret()?)));
        self.of(Kind::Audit).filter_map(signer).collect()
    }

    /// The public halves of all keys that ever signed the audit log.
    pub fn audit_publics(&self) -> Vec<PublicKey> {
        self.of(Kind::Audit).filter_map(Member::public).collect()
    }

    /// Those of a kind, the oldest first: they are added in that order.
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Member> + Clone {
        self.0.iter().filter(move |member| member.kind == kind)
    }

    fn secrets(&self, kind: Kind) -> impl Iterator<Item = &Zeroizing<[u8; 32]>> {
        let mut all: Vec<_> = self.of(kind).filter_map(Member::secret).collect();
        all.reverse();
        all.into_iter()
    }
}

/// Of the key in use, which is never retired.
fn secret_of(member: &Member) -> Zeroizing<[u8; 32]> {
    member.secret().expect("a key in use has its secret half").clone()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn write(member: &Member, out: &mut Vec<u8>) {
    out.push(member.kind.code());
    out.extend_from_slice(&member.generation.0.to_be_bytes());
    for at in [member.made_at, member.active_at, member.retire_at.unwrap_or(UnixMillis(i64::MAX))] {
        out.extend_from_slice(&at.0.to_be_bytes());
    }
    match &member.material {
        Material::Secret(bytes) => {
            out.push(1);
            out.extend_from_slice(&**bytes);
        }
        Material::Public(key) => {
            out.push(2);
            out.extend_from_slice(key.as_bytes());
        }
    }
}

/// Reads what was sealed; `None` when it is not whole, or lacks a key in use.
fn read(bytes: &[u8]) -> Option<Keyset> {
    let (members, []) = bytes.as_chunks::<MEMBER_LEN>() else { return None };
    let members = members.iter().map(read_member).collect::<Option<Vec<_>>>()?;
    let set = Keyset(members);
    let whole = Kind::ALL.into_iter().all(|kind| {
        let newest_first = set.of(kind).is_sorted_by(|a, b| a.generation < b.generation);
        let newest = set.of(kind).last();
        newest_first && newest.is_some_and(|member| member.secret().is_some())
    });
    whole.then_some(set)
}

fn read_member(bytes: &[u8; MEMBER_LEN]) -> Option<Member> {
    let (code, rest) = bytes.split_first()?;
    let (generation, rest) = rest.split_first_chunk::<4>()?;
    let (made_at, rest) = rest.split_first_chunk::<8>()?;
    let (active_at, rest) = rest.split_first_chunk::<8>()?;
    let (retire_at, rest) = rest.split_first_chunk::<8>()?;
    let (what, key) = rest.split_first()?;
    let key: [u8; 32] = key.try_into().ok()?;
    let time = |bytes: &[u8; 8]| UnixMillis(i64::from_be_bytes(*bytes));
    Some(Member {
        kind: Kind::ALL.into_iter().find(|kind| kind.code() == *code)?,
        generation: Generation(u32::from_be_bytes(*generation)),
        made_at: time(made_at),
        active_at: time(active_at),
        retire_at: Some(time(retire_at)).filter(|at| at.0 != i64::MAX),
        material: match what {
            1 => Material::Secret(Zeroizing::new(key)),
            2 => Material::Public(PublicKey::from_bytes(key)),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests;
