//! What a directory source is configured with. Every text is parsed where it comes in; [`Config::check`] reports all
//! that is wrong in one go.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::dn::Dn;
use super::filter::{AttributeName, Filter, LoginTemplate, any_of, filter_value};
use super::server_url::{Scheme, ServerUrl};
use crate::secret::Secret;

/// One directory source: servers that hold the same tree, who asks them, and where people and groups are.
#[derive(Clone)]
pub struct Config {
    /// Servers in the order in which they are tried.
    pub servers: Vec<ServerUrl>,
    /// How `ldap://` servers are spoken to. (`ldaps://` servers always by TLS.)
    pub encryption: Encryption,
    /// Which certificates are believed.
    pub trust: Trust,
    /// The entry that searches are made as.
    pub bind_dn: Dn,
    /// Its password.
    pub bind_password: Secret,
    /// Where people are and how they are read.
    pub people: People,
    /// Where groups are and how they are read; without them everyone is in no group.
    pub groups: Option<Groups>,
    /// Time-outs and bounds.
    pub limits: Limits,
}

/// How a server with an `ldap://` address is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS is begun with the StartTLS operation before anything else is said.
    StartTls,
    /// Nothing is encrypted, and the server must be on this machine.
    PlainOnLoopback,
    /// Nothing is encrypted: everyone's password goes over the network in clear.
    PlainAnywhere,
}

/// Which certificates of servers are believed.
#[derive(Clone)]
pub enum Trust {
    /// Those that the operating system trusts.
    System,
    /// Those issued by one of these authorities only (PEM, one or more).
    Authorities(String),
}

/// Where people are and how they are read.
#[derive(Debug, Clone)]
pub struct People {
    /// Subtrees that are searched.
    pub bases: Vec<Dn>,
    /// What makes an entry a person.
    pub filter: Filter,
    /// How a name that is typed in finds its entry.
    pub login: Login,
    /// What stays the same when a person is renamed or moved.
    pub id: AttributeName,
    /// How `id` is written.
    pub id_format: IdFormat,
    /// The e-mail address.
    pub email: AttributeName,
    /// The name to show.
    pub name: AttributeName,
}

/// How a name that is typed in finds its entry.
#[derive(Debug, Clone)]
pub enum Login {
    /// One of these attributes has it as a value.
    Attributes(Vec<AttributeName>),
    /// This filter matches.
    Template(LoginTemplate),
}

/// How the attribute with the stable id is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdFormat {
    /// 16 bytes, the first three fields in little endian: `objectGUID` of Active Directory.
    Guid,
    /// The text form of a UUID: `entryUUID` (RFC 4530).
    Uuid,
    /// Any text.
    Text,
}

/// Where groups are and how they are read.
#[derive(Debug, Clone)]
pub struct Groups {
    /// Subtrees that are searched.
    pub bases: Vec<Dn>,
    /// What makes an entry a group.
    pub filter: Filter,
    /// The attribute with the names of its members.
    pub member: AttributeName,
    /// The name to show.
    pub name: AttributeName,
    /// How groups within groups are found.
    pub mode: GroupMode,
}

/// How groups within groups are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupMode {
    /// The server follows them: the matching rule 1.2.840.113556.1.4.1941 of Active Directory. The primary group
    /// (mostly `Domain Users`) is not among them, since membership in it is kept elsewhere.
    ActiveDirectory,
    /// We walk upwards from the person, level by level, each group once.
    Walk,
}

/// Time-outs and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a server is connected, with TLS.
    pub connect: Duration,
    /// For each search, each page of a listing and each bind.
    pub search: Duration,
    /// For a sign-in or a check, over all servers.
    pub sign_in: Duration,
    /// For a listing, over all servers.
    pub sync: Duration,
    /// How many entries a page of a listing has.
    pub page_size: u16,
    /// Most people of a listing.
    pub people: usize,
    /// Most groups of a listing, and of one person.
    pub groups: usize,
    /// Most members of all groups of a listing together.
    pub members: usize,
    /// How deeply groups may lie within groups.
    pub group_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            search: Duration::from_secs(5),
            sign_in: Duration::from_secs(15),
            sync: Duration::from_mins(10),
            page_size: 500,
            people: 1_000_000,
            groups: 100_000,
            members: 10_000_000,
            group_depth: 32,
        }
    }
}

impl People {
    /// As Active Directory keeps them.
    ///
    /// # Panics
    /// Never: the texts are constant.
    pub fn active_directory(bases: Vec<Dn>) -> Self {
        Self {
            bases,
            filter: constant("(&(objectCategory=person)(objectClass=user))"),
            login: Login::Attributes(vec![constant("sAMAccountName"), constant("userPrincipalName")]),
            id: constant("objectGUID"),
            id_format: IdFormat::Guid,
            email: constant("mail"),
            name: constant("displayName"),
        }
    }

    /// As OpenLDAP and most others keep them.
    ///
    /// # Panics
    /// Never: the texts are constant.
    pub fn open_ldap(bases: Vec<Dn>) -> Self {
        Self {
            bases,
            filter: constant("(objectClass=inetOrgPerson)"),
            login: Login::Attributes(vec![constant("uid")]),
            id: constant("entryUUID"),
            id_format: IdFormat::Uuid,
            email: constant("mail"),
            name: constant("displayName"),
        }
    }

    /// The filter that finds who typed in `name`.
    pub(super) fn login_filter(&self, name: &str) -> String {
        let login = match &self.login {
            Login::Attributes(names) => any_of(names.iter().map(|attribute| (attribute, name))),
            Login::Template(template) => template.fill(&filter_value(name.as_bytes())),
        };
        format!("(&{}{login})", self.filter)
    }
}

impl Groups {
    /// As Active Directory keeps them.
    ///
    /// # Panics
    /// Never: the texts are constant.
    pub fn active_directory(bases: Vec<Dn>) -> Self {
        Self {
            bases,
            filter: constant("(objectClass=group)"),
            member: constant("member"),
            name: constant("cn"),
            mode: GroupMode::ActiveDirectory,
        }
    }

    /// As OpenLDAP and most others keep them.
    ///
    /// # Panics
    /// Never: the texts are constant.
    pub fn open_ldap(bases: Vec<Dn>) -> Self {
        Self {
            bases,
            filter: constant("(objectClass=groupOfNames)"),
            member: constant("member"),
            name: constant("cn"),
            mode: GroupMode::Walk,
        }
    }
}

fn constant<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a constant that the tests parse")
}

/// Why a directory source cannot be used as configured. Each text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No server is given.
    #[error("no server is given; give at least one address such as `ldaps://ldap.example.com`")]
    NoServer,
    /// A server elsewhere would be spoken to in clear.
    #[error(
        "passwords would go to `{0}` in clear; use `ldaps://` or StartTLS, or allow plain connections explicitly"
    )]
    Plain(ServerUrl),
    /// The bind password is empty: servers answer that with success and then search as nobody.
    #[error("the password of `{0}` is empty; give the one of an account that may search")]
    NoBindPassword(Dn),
    /// The bind password cannot be sent.
    #[error("the password of `{0}` is no text, has a NUL character, or is longer than {MAX_PASSWORD} bytes")]
    BadBindPassword(Dn),
    /// There is nowhere to look.
    #[error("no base is given to search {0} in; give one such as `ou=people,dc=example,dc=com`")]
    NoBase(&'static str),
    /// Nobody could sign in.
    #[error("no attribute is given that people sign in with; give one such as `uid`")]
    NoLogin,
    /// A bound of zero.
    #[error("the limit `{0}` is zero; give at least 1")]
    ZeroLimit(&'static str),
    /// The authorities' certificates cannot be read.
    #[error("the certificates of the authorities cannot be read: {0}; give PEM text")]
    Authorities(String),
    /// The operating system has no certificates.
    #[error("the operating system gives no trusted certificates: {0}; install them or name the authority")]
    NoSystemTrust(String),
}

/// Longest password that is sent to a directory, in bytes.
pub(super) const MAX_PASSWORD: usize = 1024;

/// Whether a password can be sent: some text that is not blank, without NUL, which some servers take for its end.
pub(super) fn sendable(password: &Secret) -> bool {
    password.len() <= MAX_PASSWORD && password.expose_text().is_some_and(|text| !text.contains('\0'))
}

impl Config {
    /// Finds everything that is wrong, apart from certificates.
    pub fn check(&self) -> Vec<ConfigError> {
        let mut wrong = Vec::new();
        if self.servers.is_empty() {
            wrong.push(ConfigError::NoServer);
        }
        if self.encryption == Encryption::PlainOnLoopback {
            let plain = self.servers.iter().filter(|server| server.scheme == Scheme::Ldap);
            wrong.extend(
                plain.filter(|server| !server.is_loopback()).map(|server| ConfigError::Plain(server.clone())),
            );
        }
        if self.bind_password.is_empty() {
            wrong.push(ConfigError::NoBindPassword(self.bind_dn.clone()));
        } else if !sendable(&self.bind_password) {
            wrong.push(ConfigError::BadBindPassword(self.bind_dn.clone()));
        }
        if self.people.bases.is_empty() {
            wrong.push(ConfigError::NoBase("people"));
        }
        if self.groups.as_ref().is_some_and(|groups| groups.bases.is_empty()) {
            wrong.push(ConfigError::NoBase("groups"));
        }
        if matches!(&self.people.login, Login::Attributes(names) if names.is_empty()) {
            wrong.push(ConfigError::NoLogin);
        }
        wrong.extend(self.limits.zeros().map(ConfigError::ZeroLimit));
        wrong
    }
}

impl Limits {
    fn zeros(&self) -> impl Iterator<Item = &'static str> {
        [
            ("connect", self.connect.is_zero()),
            ("search", self.search.is_zero()),
            ("sign_in", self.sign_in.is_zero()),
            ("sync", self.sync.is_zero()),
            ("page_size", self.page_size == 0),
            ("people", self.people == 0),
            ("groups", self.groups == 0),
            ("members", self.members == 0),
            ("group_depth", self.group_depth == 0),
        ]
        .into_iter()
        .filter_map(|(name, zero)| zero.then_some(name))
    }
}
