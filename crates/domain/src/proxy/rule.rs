//! Access rules: who may go where, in an order.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::id::{TeamId, UserId};
use crate::network::Network;
use crate::time::{DAY_MS, UnixMillis};

use super::destination::{Destination, Host};
use super::preset::Preset;

/// Most rules of an organization. Each connection may be compared with all of them.
pub const MAX_RULES: usize = 1000;
const MINUTE_MS: i64 = 60_000;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Lets through.
    Allow,
    /// Refuses.
    Deny,
    /// Lets through and marks the record: what would be refused if the rule were not there.
    Report,
}

impl Action {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Report => "report",
        }
    }

    /// The action of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Allow, Self::Deny, Self::Report].into_iter().find(|action| action.as_str() == name)
    }
}

/// Whom a rule concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Everybody.
    Organization,
    /// The members of a team, and who charges it.
    Team(TeamId),
    /// A person.
    User(UserId),
}

/// A text that is no part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// No host pattern.
    #[error(
        "`{0}` is no host: expected a name, `*.` and a name for everything below it, `*` for every name, a network such as \
         \"10.0.0.0/8\", or `preset:` and one of core, sign-in, updates, npm, connectors, telemetry, artifacts, docs"
    )]
    Host(String),
    /// No time window.
    #[error(
        "`{0}` is no time: expected days and hours in UTC such as \"mon-fri 07:00-19:00\" or \"sat,sun 00:00-24:00\""
    )]
    Window(String),
}

/// Hosts that a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Every name, and no address.
    Any,
    /// This name.
    Name(String),
    /// Everything below this name, at any depth; not the name itself.
    Below(String),
    /// Addresses that are asked for as such.
    Network(Network),
    /// The hosts of a preset.
    Preset(Preset),
}

impl HostPattern {
    /// Whether it fits a host.
    pub fn fits(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, Host::Name(_)) => true,
            (Self::Name(name), Host::Name(asked)) => name == asked,
            (Self::Below(name), Host::Name(asked)) => is_below(asked, name),
            (Self::Preset(preset), Host::Name(asked)) => preset.hosts().iter().any(|pattern| {
                pattern.strip_prefix("*.").map_or(asked == pattern, |name| is_below(asked, name))
            }),
            (Self::Network(network), Host::Address(address)) => network.holds(*address),
            (Self::Network(_), Host::Name(_)) | (_, Host::Address(_)) => false,
        }
    }
}

fn is_below(asked: &str, name: &str) -> bool {
    asked.strip_suffix(name).and_then(|front| front.strip_suffix('.')).is_some_and(|front| !front.is_empty())
}

impl FromStr for HostPattern {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = || BadRule::Host(text.chars().take(80).collect());
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(name) = text.strip_prefix("preset:") {
            return Preset::named(name).map(Self::Preset).ok_or_else(bad);
        }
        if let Ok(network) = text.parse::<Network>() {
            return Ok(Self::Network(network));
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        match Host::parse(name) {
            Ok(Host::Name(name)) if below => Ok(Self::Below(name)),
            Ok(Host::Name(name)) => Ok(Self::Name(name)),
            Ok(Host::Address(_)) | Err(_) => Err(bad()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Network(network) => network.fmt(f),
            Self::Preset(preset) => write!(f, "preset:{}", preset.as_str()),
        }
    }
}

/// When a rule counts: on some days of the week, from a minute of the day up to another, in UTC. A window that ends before
/// it begins goes on into the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days it begins on, from Monday as the lowest bit.
    days: u8,
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight, up to 1440.
    to: u16,
}

impl Window {
    /// Whether it is open.
    pub fn holds(self, now: UnixMillis) -> bool {
        let (day, minute) = (now.0.div_euclid(DAY_MS), now.0.rem_euclid(DAY_MS) / MINUTE_MS);
        // 1 January 1970 was a Thursday.
        let on = |day: i64| self.days & (1 << (day + 3).rem_euclid(7)) != 0;
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if from < to {
            on(day) && (from..to).contains(&minute)
        } else {
            (on(day) && minute >= from) || (on(day - 1) && minute < to)
        }
    }
}

impl FromStr for Window {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = || BadRule::Window(text.chars().take(80).collect());
        let (days, hours) = text.split_once(' ').ok_or_else(bad)?;
        let (from, to) = hours.trim().split_once('-').ok_or_else(bad)?;
        let window = Self {
            days: read_days(days).ok_or_else(bad)?,
            from: read_minute(from).ok_or_else(bad)?,
            to: read_minute(to).ok_or_else(bad)?,
        };
        if window.from == window.to || window.from == 1440 { Err(bad()) } else { Ok(window) }
    }
}

fn read_days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for step in 0..=count {
            days |= 1 << ((first + step) % 7);
        }
    }
    Some(days)
}

fn read_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok())?
    };
    let minutes = two(hour)? * 60 + two(minute).filter(|minute| *minute < 60)?;
    (minutes <= 1440).then_some(minutes)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = (0..7)
            .filter(|day| self.days & (1 << day) != 0)
            .filter_map(|day| DAYS.get(day).copied())
            .collect();
        let Self { from, to, .. } = self;
        write!(f, "{} {:02}:{:02}-{:02}:{:02}", days.join(","), from / 60, from % 60, to / 60, to % 60)
    }
}

/// An access rule. The first that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which refusals and records give.
    pub name: Arc<str>,
    /// Whom it concerns.
    pub holder: Holder,
    /// What it does.
    pub action: Action,
    /// The hosts it speaks of; at least one.
    pub hosts: Vec<HostPattern>,
    /// The ports it speaks of; none means all that the proxy goes to at all.
    pub ports: Vec<u16>,
    /// Whether it also lets plain HTTP through, which the proxy itself forwards.
    pub plain: bool,
    /// Networks inside the organization that its hosts may lie in.
    pub internal: Vec<Network>,
    /// When it counts; always if there is none.
    pub window: Option<Window>,
}

impl Rule {
    /// Whether it speaks of this destination now.
    pub fn fits(&self, destination: &Destination, now: UnixMillis) -> bool {
        (self.ports.is_empty() || self.ports.contains(&destination.port))
            && self.hosts.iter().any(|pattern| pattern.fits(&destination.host))
            && self.window.is_none_or(|window| window.holds(now))
    }
}

/// Whether a text may name a rule: 1 to 64 letters, digits, `-`, `_` and `.`, none of which is a name of the proxy's own.
pub fn is_rule_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !super::decide::BUILT_IN.contains(&text)
}
