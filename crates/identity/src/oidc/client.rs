//! One source at work: begins sign-ins, finishes them, and asks later whether somebody is still welcome.

use gatehouse_domain::name::Email;
use gatehouse_domain::time::UnixMillis;
use zeroize::Zeroizing;

use crate::fetch::Fetch;
use crate::jwks::VerifyError;
use crate::jwt::{Claims, Groups, JwtError, Person};
use crate::secret::Secret;

use super::authorize::{self, Pending, RANDOM_LEN, Started};
use super::callback::{Callback, CallbackError};
use super::discovery::{DiscoveryError, Issuer, Metadata};
use super::source::{EmailTrust, Source, UserInfoUse};
use super::token::{self, TokenError, Tokens};
use super::userinfo::{self, UserInfoError};

/// A source with what is known of its issuer.
pub struct Client {
    source: Source,
    issuer: Issuer,
}

/// Who somebody is, by the word of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The issuer. With the subject, what accounts are joined on.
    pub issuer: String,
    /// The issuer's name for the person.
    pub subject: String,
    /// The e-mail address. Joining accounts on it needs [`SignedIn::email_verified`].
    pub email: Option<Email>,
    /// Whether the address is the person's own.
    pub email_verified: bool,
    /// The name to show. Written by the person: escape it wherever it is shown.
    pub name: Option<String>,
    /// The groups.
    pub groups: Groups,
}

/// A finished sign-in.
pub struct SignIn {
    /// Who it is.
    pub who: SignedIn,
    /// For asking later, if the issuer gave one. Keep it sealed.
    pub refresh_token: Option<Secret>,
}

/// The answer to whether somebody is still welcome: yes.
pub struct StillSignedIn {
    /// What the issuer says now, if it says anything.
    pub who: Option<SignedIn>,
    /// Replaces the refresh token, if given.
    pub refresh_token: Option<Secret>,
}

/// Why a sign-in or a later check fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The issuer's metadata is not to be had.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The browser's return is not accepted.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// The token endpoint gave nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no ID token.
    #[error(
        "the identity provider gave no ID token; check that the scope `openid` is allowed for this client"
    )]
    NoIdToken,
    /// The ID token is not accepted.
    #[error("the ID token is not accepted: {0}")]
    IdToken(#[from] VerifyError),
    /// The userinfo endpoint told nothing.
    #[error(transparent)]
    UserInfo(#[from] UserInfoError),
    /// The issuer now speaks of somebody else.
    #[error("the identity provider's answer is about somebody else than the one who signed in")]
    OtherSubject,
}

impl SignInError {
    /// Whether the issuer has said that this person may not go on. Only then may a session end; after anything else it
    /// goes on as long as it is otherwise allowed to, and the client is told to try again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Token(error) => error.is_final(),
            Self::OtherSubject | Self::UserInfo(UserInfoError::OtherSubject) | Self::Callback(_) => true,
            Self::Discovery(_) | Self::NoIdToken | Self::IdToken(_) | Self::UserInfo(_) => false,
        }
    }
}

impl Client {
    /// A source of whose issuer nothing is known yet.
    pub fn new(source: Source) -> Self {
        Self { issuer: Issuer::new(source.issuer.clone()), source }
    }

    /// Its configuration.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Its issuer, to be refreshed by a background task.
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Begins a sign-in. The hint is the address that the person typed, if any.
    ///
    /// # Errors
    /// If the issuer's metadata is not to be had.
    pub async fn start<F: Fetch>(
        &self,
        fetch: &F,
        random: &[u8; RANDOM_LEN],
        hint: Option<&Email>,
        now: UnixMillis,
    ) -> Result<Started, SignInError> {
        let metadata = self.issuer.metadata(fetch, now).await?;
        Ok(authorize::start(&self.source, &metadata, random, hint, now)?)
    }

    /// Finishes a sign-in: `cookie` is what the returning browser holds of [`Started::browser`].
    ///
    /// # Errors
    /// If anything at all is wrong. The pending sign-in is used up either way.
    pub async fn finish<F: Fetch>(
        &self,
        fetch: &F,
        pending: Pending,
        callback: Callback,
        cookie: Option<&str>,
        now: UnixMillis,
    ) -> Result<SignIn, SignInError> {
        let metadata = self.issuer.metadata(fetch, now).await?;
        let code = callback.code_for(&pending, &self.source, &metadata, cookie, now)?;
        let endpoint = self.token_endpoint(&metadata)?;
        let request = token::exchange(&self.source, endpoint, &code, pending.verifier());
        let tokens = token::read(&fetch.fetch(request).await.map_err(TokenError::from)?)?;

        let id_token = tokens.id_token.as_ref().ok_or(SignInError::NoIdToken)?;
        let claims = self.issuer.verify(fetch, &self.source.policy, id_token, now).await?;
        if !claims.nonce.as_ref().is_some_and(|nonce| pending.has_nonce(nonce)) {
            return Err(VerifyError::Token(JwtError::Nonce).into());
        }
        let who = self.complete(fetch, &metadata, claims, &tokens).await?;
        Ok(SignIn { who, refresh_token: tokens.refresh_token.as_ref().map(secret) })
    }

    /// Asks the issuer whether somebody who signed in earlier is still welcome, and for what it now says of them.
    ///
    /// # Errors
    /// [`SignInError::is_final`] tells a refusal from an outage.
    pub async fn refresh<F: Fetch>(
        &self,
        fetch: &F,
        refresh_token: &Secret,
        subject: &str,
        now: UnixMillis,
    ) -> Result<StillSignedIn, SignInError> {
        let metadata = self.issuer.metadata(fetch, now).await?;
        let endpoint = self.token_endpoint(&metadata)?;
        let token = refresh_token.expose_text().ok_or(TokenError::Malformed)?;
        let request = token::refresh(&self.source, endpoint, token);
        let tokens = token::read(&fetch.fetch(request).await.map_err(TokenError::from)?)?;

        let who = match &tokens.id_token {
            // An ID token of a refresh may come without a nonce (Core section 12.2).
            Some(id_token) => {
                let claims = self.issuer.verify(fetch, &self.source.policy, id_token, now).await?;
                if claims.subject != subject {
                    return Err(SignInError::OtherSubject);
                }
                Some(self.complete(fetch, &metadata, claims, &tokens).await?)
            }
            None => self
                .ask(fetch, &metadata, subject, &tokens)
                .await?
                .map(|person| self.signed_in(subject.to_owned(), person)),
        };
        Ok(StillSignedIn { who, refresh_token: tokens.refresh_token.as_ref().map(secret) })
    }

    /// Adds what the userinfo endpoint says, if the ID token says too little.
    async fn complete<F: Fetch>(
        &self,
        fetch: &F,
        metadata: &Metadata,
        claims: Claims,
        tokens: &Tokens,
    ) -> Result<SignedIn, SignInError> {
        let Claims { subject, mut person, .. } = claims;
        if userinfo::is_thin(&person, self.source.policy.claim_names())
            && let Some(more) = self.ask(fetch, metadata, &subject, tokens).await?
        {
            person = userinfo::merge(person, more);
        }
        Ok(self.signed_in(subject, person))
    }

    /// What the userinfo endpoint says, if it is there and may be asked.
    async fn ask<F: Fetch>(
        &self,
        fetch: &F,
        metadata: &Metadata,
        subject: &str,
        tokens: &Tokens,
    ) -> Result<Option<Person>, UserInfoError> {
        let (Some(endpoint), Some(access), UserInfoUse::WhenThin) =
            (&metadata.userinfo_endpoint, &tokens.access_token, self.source.userinfo)
        else {
            return Ok(None);
        };
        let answer = fetch.fetch(userinfo::request(endpoint, access)).await?;
        userinfo::read(answer, subject, self.source.policy.claim_names()).map(Some)
    }

    fn signed_in(&self, subject: String, person: Person) -> SignedIn {
        let Person { email, email_verified, name, groups } = person;
        let email_verified = match self.source.email_trust {
            EmailTrust::WhenVerified => email_verified,
            EmailTrust::Always => email.is_some(),
        };
        let issuer = self.source.issuer.as_str().to_owned();
        SignedIn { issuer, subject, email, email_verified, name, groups }
    }

    fn token_endpoint<'m>(&self, metadata: &'m Metadata) -> Result<&'m url::Url, DiscoveryError> {
        metadata.token_endpoint.as_ref().ok_or_else(|| DiscoveryError::Missing {
            issuer: self.source.issuer.clone(),
            field: "token_endpoint",
        })
    }
}

fn secret(text: &Zeroizing<String>) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}
