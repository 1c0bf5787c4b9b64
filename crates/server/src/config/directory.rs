//! `[[directory]]`: directories that are read by LDAP, and where people may sign in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gatehouse_domain::source::{Source, SourceKind};
use gatehouse_identity::ldap::{
    DisableLimit, Dn, Encryption, GroupMode, Groups, IdFormat, Limits, People, ServerUrl,
};

use super::identity;
use super::mistake::Mistake;
use super::provider::SecretSource;
use super::read::{Section, brief};
use super::section::count;

/// A directory that is read by LDAP.
#[derive(Clone)]
pub(crate) struct Directory {
    /// Its name, as accounts name where they come from.
    pub(crate) source: Source,
    /// Servers in the order in which they are tried.
    pub(crate) servers: Vec<ServerUrl>,
    /// How `ldap://` servers are spoken to.
    pub(crate) encryption: Encryption,
    /// Certificates of authorities to believe instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The entry that searches are made as.
    pub(crate) bind_dn: Dn,
    /// Where its password comes from.
    pub(crate) bind_password: SecretSource,
    /// Where people are and how they are read.
    pub(crate) people: People,
    /// Where groups are and how they are read.
    pub(crate) groups: Option<Groups>,
    /// Time-outs and bounds.
    pub(crate) limits: Limits,
    /// How often it is read; zero for never.
    pub(crate) interval: Duration,
    /// How many accounts one run may disable.
    pub(crate) disable: DisableLimit,
    /// Whether people sign in with its passwords.
    pub(crate) sign_in: bool,
    /// Its name on the sign-in page.
    pub(crate) label: String,
    /// Whether somebody who is not known here is added when they sign in.
    pub(crate) create: bool,
    /// Whether somebody who signs in elsewhere comes in as the same user.
    pub(crate) join: bool,
    /// Teams by group, for who signs in.
    pub(crate) teams: BTreeMap<String, String>,
}

/// Which kind of server keeps the directory: decides what is not said otherwise.
#[derive(Clone, Copy)]
enum Kind {
    OpenLdap,
    ActiveDirectory,
}

/// Reads all `[[directory]]` sections.
pub(crate) fn directories(top: &Section<'_, '_>) -> Vec<Directory> {
    let Some(list) = top.node("directory") else { return Vec::new() };
    let Some(items) = list.value.items() else {
        top.mistake(
            "directory",
            format!("expected [[directory]] sections, found {}", list.value.type_name()),
        );
        return Vec::new();
    };
    let mut out: Vec<Directory> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("directory[{}]", item.name().map_or_else(|| index.to_string(), brief));
        let Some(directory) = top.reader().section(&path, item, None, directory) else { continue };
        if out.iter().any(|other| other.source == directory.source) {
            let what = format!("there is already a directory named `{}`", directory.source.name());
            top.reader().note(Mistake::new(item.origin.clone(), format!("{path}.name"), what));
        }
        out.push(directory);
    }
    out
}

fn directory(s: &Section<'_, '_>) -> Option<Directory> {
    let source = s.parsed("name", |text| Source::new(SourceKind::Ldap, text));
    let kind = choice(
        s,
        "kind",
        &[("openldap", Kind::OpenLdap), ("active_directory", Kind::ActiveDirectory)],
        Kind::OpenLdap,
    );
    let servers = all(s, "servers");
    if servers.is_empty() {
        s.mistake("servers", "give at least one address such as \"ldaps://ldap.example.com\"");
    }
    let encryptions = [
        ("starttls", Encryption::StartTls),
        ("plain_on_loopback", Encryption::PlainOnLoopback),
        ("plain_anywhere", Encryption::PlainAnywhere),
    ];
    let encryption = choice(s, "encryption", &encryptions, Encryption::StartTls);
    let ca_file = s.text("ca_file").map(PathBuf::from);
    let bind_dn = s.parsed("bind_dn", str::parse::<Dn>);
    let bind_password = s.parsed("bind_password", password);
    let people = people(s, kind);
    let groups = groups(s, kind);
    let sync = optional(s, "sync_seconds", 0..=7 * 24 * 3600, 900);
    if (1..60).contains(&sync) {
        s.mistake("sync_seconds", "expected at least 60, or 0 for a directory where people only sign in");
    }
    let (sign_in, create) = (s.boolean_or("sign_in", false), s.boolean_or("create", false));
    let (label, teams) = (s.text("label").map(str::to_owned), identity::teams(s));
    if sync == 0 && !sign_in {
        s.mistake(
            "sync_seconds",
            "0 leaves nothing to do for a directory where nobody signs in (sign_in = true)",
        );
    }
    let percent = u8::try_from(optional(s, "max_disable_percent", 0..=100, 10)).unwrap_or(10);
    let at_least = usize::try_from(optional(s, "min_disable", 0..=1_000_000, 1)).unwrap_or(1);
    let limits = limits(s);
    let source = source?;
    Some(Directory {
        sign_in,
        label: label.unwrap_or_else(|| source.name().to_owned()),
        create,
        join: s.boolean_or("join", false),
        teams,
        source,
        servers,
        encryption,
        ca_file,
        bind_dn: bind_dn?,
        bind_password: bind_password?,
        people,
        groups,
        limits,
        interval: Duration::from_secs(sync),
        disable: DisableLimit::Percent { percent, at_least },
    })
}

/// How long it may take, and how much comes at once.
fn limits(s: &Section<'_, '_>) -> Limits {
    let defaults = Limits::default();
    Limits {
        connect: Duration::from_secs(optional(s, "connect_seconds", 1..=300, defaults.connect.as_secs())),
        search: Duration::from_secs(optional(s, "search_seconds", 1..=600, defaults.search.as_secs())),
        page_size: u16::try_from(optional(s, "page_size", 1..=10_000, u64::from(defaults.page_size)))
            .unwrap_or(defaults.page_size),
        ..defaults
    }
}

fn people(s: &Section<'_, '_>, kind: Kind) -> People {
    let bases = all(s, "people_bases");
    if bases.is_empty() {
        s.mistake("people_bases", "give at least one such as \"ou=people,dc=example,dc=com\"");
    }
    let mut people = match kind {
        Kind::OpenLdap => People::open_ldap(bases),
        Kind::ActiveDirectory => People::active_directory(bases),
    };
    given(s, "people_filter", &mut people.filter);
    given(s, "id_attribute", &mut people.id);
    given(s, "email_attribute", &mut people.email);
    given(s, "name_attribute", &mut people.name);
    let formats = [("guid", IdFormat::Guid), ("uuid", IdFormat::Uuid), ("text", IdFormat::Text)];
    people.id_format = choice(s, "id_format", &formats, people.id_format);
    people
}

fn groups(s: &Section<'_, '_>, kind: Kind) -> Option<Groups> {
    let bases: Vec<Dn> = all(s, "group_bases");
    let none = bases.is_empty();
    let mut groups = match kind {
        Kind::OpenLdap => Groups::open_ldap(bases),
        Kind::ActiveDirectory => Groups::active_directory(bases),
    };
    given(s, "group_filter", &mut groups.filter);
    given(s, "group_member_attribute", &mut groups.member);
    given(s, "group_name_attribute", &mut groups.name);
    let modes = [("walk", GroupMode::Walk), ("active_directory", GroupMode::ActiveDirectory)];
    groups.mode = choice(s, "group_mode", &modes, groups.mode);
    (!none).then_some(groups)
}

/// Reads where a password comes from. A text of another form may be the password itself and is never repeated.
fn password(text: &str) -> Result<SecretSource, &'static str> {
    match text.split_once(':') {
        Some(("env", variable)) if !variable.is_empty() => Ok(SecretSource::Env(variable.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretSource::File(path.into())),
        Some(("exec", command)) if !command.is_empty() => Ok(SecretSource::Exec(command.to_owned())),
        _ => Err(
            "a password does not belong into the configuration: expected \"env:VARIABLE\", \"file:PATH\" or \"exec:COMMAND\"",
        ),
    }
}

/// A list whose items all have a form.
fn all<T: FromStr<Err: std::fmt::Display>>(s: &Section<'_, '_>, key: &'static str) -> Vec<T> {
    let read = |text: &str| text.parse().map_err(|error: T::Err| s.mistake(key, error.to_string())).ok();
    s.texts(key).into_iter().filter_map(read).collect()
}

/// A setting that need not be there.
fn given<T: FromStr<Err: std::fmt::Display>>(s: &Section<'_, '_>, key: &'static str, value: &mut T) {
    if s.text(key).is_some()
        && let Some(read) = s.parsed(key, str::parse)
    {
        *value = read;
    }
}

fn choice<T: Copy>(s: &Section<'_, '_>, key: &'static str, words: &[(&str, T)], fallback: T) -> T {
    if s.text(key).is_some() { s.choice(key, words) } else { fallback }
}

fn optional(
    s: &Section<'_, '_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u64>,
    fallback: u64,
) -> u64 {
    if s.node(key).is_some() { count(s, key, range).try_into().unwrap_or(fallback) } else { fallback }
}
