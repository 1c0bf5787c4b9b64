//! `[[alerts.receiver]]`.

use std::path::PathBuf;

use gatehouse_domain::name::Email;
use gatehouse_domain::settings::lint::Language;

use super::super::identity::secret;
use super::super::provider::{SecretSource, source, valid_base_url};
use super::super::read::{Section, brief};
use super::super::section::count;

/// Whom alerts are told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// Its name.
    pub(crate) name: String,
    /// How it is reached.
    pub(crate) channel: Channel,
    /// In which language it is told.
    pub(crate) language: Language,
    /// Whether it is told when an alert is over.
    pub(crate) send_resolved: bool,
    /// Most messages in a minute; 0 for any number.
    pub(crate) per_minute: u32,
}

/// How a receiver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Channel {
    /// By e-mail.
    Email(Box<Mail>),
    /// By a POST request.
    Hook {
        /// Whose form and signature.
        kind: HookKind,
        /// Where its address is. It mostly holds a secret.
        url: Address,
        /// What is signed with.
        secret: Option<SecretSource>,
        /// Certificates to trust besides the system's.
        ca_file: Option<PathBuf>,
    },
}

/// Where a hook's address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Written down.
    Plain(String),
    /// Kept as secrets are.
    Secret(SecretSource),
}

/// Whose form and signature a hook has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookKind {
    /// Alertmanager's webhook, version 4, signed by HMAC.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A custom bot of Feishu or Lark.
    Feishu,
    /// A custom bot of DingTalk.
    DingTalk,
    /// A group bot of WeCom.
    WeCom,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// TLS after a greeting in the clear; without it nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None, on this machine only.
    PlainOnLoopback,
}

/// A mail server, and whom it brings what to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    /// The server.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How it is spoken to.
    pub(crate) encryption: Encryption,
    /// As whom, and the password.
    pub(crate) user: Option<(String, SecretSource)>,
    /// From whom.
    pub(crate) from: lettre::Address,
    /// To whom.
    pub(crate) to: Vec<lettre::Address>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

impl HookKind {
    /// Messages that it takes in a minute, as its vendor says: DingTalk and WeCom 20, Feishu 100, Slack one a second, Teams four a
    /// second, of which we take a quarter.
    const fn per_minute(self) -> usize {
        match self {
            Self::Webhook => 0,
            Self::Slack | Self::Teams => 60,
            Self::Feishu => 100,
            Self::DingTalk | Self::WeCom => 20,
        }
    }

    /// Whether it checks signatures.
    const fn is_signed(self) -> bool {
        matches!(self, Self::Webhook | Self::Feishu | Self::DingTalk)
    }
}

impl Receiver {
    /// What it is, as in the configuration.
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.channel {
            Channel::Email(_) => "email",
            Channel::Hook { kind, .. } => match kind {
                HookKind::Webhook => "webhook",
                HookKind::Slack => "slack",
                HookKind::Teams => "teams",
                HookKind::Feishu => "feishu",
                HookKind::DingTalk => "dingtalk",
                HookKind::WeCom => "wecom",
            },
        }
    }
}

/// Reads one.
pub(super) fn receiver(s: &Section<'_, '_>) -> Option<Receiver> {
    let kinds = [
        ("email", None),
        ("webhook", Some(HookKind::Webhook)),
        ("slack", Some(HookKind::Slack)),
        ("teams", Some(HookKind::Teams)),
        ("feishu", Some(HookKind::Feishu)),
        ("dingtalk", Some(HookKind::DingTalk)),
        ("wecom", Some(HookKind::WeCom)),
    ];
    let languages = [
        ("en", Language::English),
        ("zh-CN", Language::SimplifiedChinese),
        ("zh-TW", Language::TraditionalChinese),
    ];
    let name = s.parsed("name", super::name);
    let kind = s.choice("kind", &kinds);
    let language = s.text("language").map_or(Language::English, |_| s.choice("language", &languages));
    let send_resolved = s.boolean_or("send_resolved", true);
    let most = kind.map_or(30, HookKind::per_minute);
    let per_minute = if s.node("per_minute").is_none() { most } else { count(s, "per_minute", 0..=10_000) };
    if most > 0 && (per_minute == 0 || per_minute > most) && kind.is_some() {
        s.mistake("per_minute", format!("it takes at most {most} in a minute"));
    }
    let channel = match kind {
        None => mail(s).map(|mail| Channel::Email(Box::new(mail))),
        Some(kind) => hook(s, kind),
    };
    Some(Receiver {
        name: name?,
        channel: channel?,
        language,
        send_resolved,
        per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX),
    })
}

fn hook(s: &Section<'_, '_>, kind: HookKind) -> Option<Channel> {
    let url = s.parsed("url", |text| address(text, kind));
    let secret =
        if kind.is_signed() { s.text("secret").and_then(|text| secret(s, "secret", text)) } else { None };
    let ca_file = s.text("ca_file").map(PathBuf::from);
    Some(Channel::Hook { kind, url: url?, secret, ca_file })
}

fn address(text: &str, kind: HookKind) -> Result<Address, String> {
    match source(text, "") {
        Ok(SecretSource::Sealed(_)) => Err("it cannot be sealed".to_owned()),
        Ok(found) => Ok(Address::Secret(found)),
        Err(_) if kind == HookKind::Webhook => valid_base_url(text).map(Address::Plain),
        // What was given may be the secret address itself and is not repeated.
        Err(_) => Err("the address of a bot is a secret: put it into a variable (\"env:VARIABLE\"), a file (\"file:PATH\") or \
                       behind a command (\"exec:COMMAND\")"
            .to_owned()),
    }
}

fn mail(s: &Section<'_, '_>) -> Option<Mail> {
    let encryptions = [
        ("starttls", Encryption::StartTls),
        ("tls", Encryption::Tls),
        ("plain_on_loopback", Encryption::PlainOnLoopback),
    ];
    let encryption =
        s.text("encryption").map_or(Encryption::StartTls, |_| s.choice("encryption", &encryptions));
    let host = s.parsed("host", |text| {
        let good = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if text.len() <= 253 && text.chars().all(good) {
            Ok(text.to_owned())
        } else {
            Err(format!("expected the name of a mail server, found `{}`", brief(text)))
        }
    });
    let usual = if encryption == Encryption::Tls { 465 } else { 587 };
    let port = if s.node("port").is_none() { usual } else { count(s, "port", 1..=65_535) };
    let password = s.text("password").and_then(|text| secret(s, "password", text));
    let user = match (s.text("user"), password) {
        (Some(user), Some(password)) => Some((user.to_owned(), password)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            s.mistake("password", "`user` and `password` go together");
            None
        }
    };
    // Some are no addresses for mail, though people are known by them: `a..b@example.com`.
    let email = |text: &str| match Email::parse(text) {
        Ok(email) => {
            email.as_str().parse().map_err(|_| format!("`{}` is no address for mail", email.as_str()))
        }
        Err(error) => Err(error.to_string()),
    };
    let from = s.parsed("from", email);
    let read = |text: &str| email(text).map_err(|error| s.mistake("to", error)).ok();
    let to: Vec<lettre::Address> = s.texts("to").into_iter().filter_map(read).collect();
    if to.is_empty() || to.len() > 50 {
        s.mistake("to", "expected 1 to 50 addresses");
    }
    let is_local = host.as_deref().is_some_and(|host| ["127.0.0.1", "localhost", "::1"].contains(&host));
    if encryption == Encryption::PlainOnLoopback && host.is_some() && !is_local {
        s.mistake("encryption", "without encryption only 127.0.0.1, ::1 and localhost are spoken to");
    }
    let port = u16::try_from(port).unwrap_or(587);
    let ca_file = s.text("ca_file").map(PathBuf::from);
    Some(Mail { host: host?, port, encryption, user, from: from?, to, ca_file })
}
