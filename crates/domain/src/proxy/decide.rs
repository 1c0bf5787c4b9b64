//! The decision.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::id::{TeamId, UserId};
use crate::network::Network;
use crate::time::UnixMillis;

use super::address::{Class, classify};
use super::destination::{Destination, Host};
use super::rule::{Action, Holder, Rule};

/// Names of what the proxy refuses by itself. No rule of the organization may have one. Addresses are refused as `address-`
/// and their class.
pub(super) const BUILT_IN: [&str; 18] = [
    "authority",
    "identity",
    "port",
    "plain-http",
    "self",
    "gateway",
    "no-rule",
    "no-address",
    "resolution",
    "unreachable",
    "sni",
    "not-tls",
    "tunnels",
    "user-tunnels",
    "failed-credentials",
    "records",
    "revoked",
    "stopping",
];

/// How the proxy was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `CONNECT host:port`: bytes go through as they are.
    Connect,
    /// `GET http://host/…`: the proxy forwards a plain request.
    Plain,
}

impl Form {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Plain => "plain",
        }
    }

    /// The form of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Connect, Self::Plain].into_iter().find(|form| form.as_str() == name)
    }
}

/// What the proxy's configuration allows whatever the rules say, and what belongs to this server itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gate {
    /// Ports that tunnels may go to.
    pub connect_ports: Vec<u16>,
    /// Ports that plain requests may go to.
    pub plain_ports: Vec<u16>,
    /// Names of the organization's own gateway, which every person may reach by them.
    pub own: Vec<Destination>,
}

/// The rules of the organization, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The person.
    pub user: UserId,
    /// Their teams, and the one that their credential charges.
    pub teams: Vec<TeamId>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks; nobody when they did not say, or could not be believed.
    pub who: Option<&'a Who>,
    /// How.
    pub form: Form,
    /// Where to.
    pub destination: &'a Destination,
    /// When.
    pub now: UnixMillis,
}

/// An address that a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The address.
    pub address: IpAddr,
    /// Whether a listener of this server is at the address and the port that were asked for.
    pub own: bool,
}

/// What is known of the name's addresses.
#[derive(Debug, Clone, Copy)]
pub enum Answers<'a> {
    /// It was not looked up yet.
    NotAsked,
    /// It could not be looked up.
    Failed,
    /// All addresses there are.
    Found(&'a [Answer]),
    /// It has none here, and a parent proxy will look it up.
    Delegated,
}

/// A permission to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// The checked addresses, in the order in which they came. Nothing else may be connected to; none where a parent proxy looks
    /// the name up.
    pub addresses: Vec<IpAddr>,
    /// The rule that lets it through.
    pub rule: String,
    /// Whether that rule only reports.
    pub report: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Look the name up and ask again.
    Resolve,
    /// Connect.
    Dial(Dial),
    /// Connect to our own gateway's listener.
    Gateway,
    /// Refuse.
    Refuse(Refusal),
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// It is not known who asks.
    Identity,
    /// It is not allowed.
    Policy,
    /// The name has no address, or could not be looked up.
    Unknown,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// The rule that refused: the organization's, or one of the proxy's own.
    pub rule: String,
    /// Why, as a clause that a person reads: "port 25 is not one that…".
    pub why: Cow<'static, str>,
}

impl Refusal {
    fn policy(rule: impl Into<String>, why: impl Into<Cow<'static, str>>) -> Decision {
        Decision::Refuse(Self { kind: RefusalKind::Policy, rule: rule.into(), why: why.into() })
    }

    fn unknown(rule: &str, why: &'static str) -> Decision {
        Decision::Refuse(Self { kind: RefusalKind::Unknown, rule: rule.to_owned(), why: why.into() })
    }
}

/// Decides. Pure: the same question has the same answer.
pub fn decide(gate: &Gate, policy: &Policy, question: &Question<'_>, answers: Answers<'_>) -> Decision {
    let Question { who, form, destination, now } = *question;
    let Some(who) = who else {
        let why = "the proxy must know who asks".into();
        return Decision::Refuse(Refusal { kind: RefusalKind::Identity, rule: "identity".to_owned(), why });
    };
    if gate.own.contains(destination) {
        return Decision::Gateway;
    }
    let ports = match form {
        Form::Connect => &gate.connect_ports,
        Form::Plain => &gate.plain_ports,
    };
    if !ports.contains(&destination.port) {
        return Refusal::policy(
            "port",
            format!("port {} is not one that the proxy goes to", destination.port),
        );
    }
    // What may be opened by no rule is told by its own name, whether or not there is a rule.
    if let Host::Address(address) = destination.host {
        let class = classify(address);
        if class != Class::Public && !class.may_be_internal() {
            return refused(class);
        }
    }
    let mine = |rule: &&Rule| match rule.holder {
        Holder::Organization => true,
        Holder::Team(team) => who.teams.contains(&team),
        Holder::User(user) => who.user == user,
    };
    let Some(rule) = policy.rules.iter().filter(mine).find(|rule| rule.fits(destination, now)) else {
        return Refusal::policy("no-rule", "no access rule allows this host");
    };
    if rule.action == Action::Deny {
        return Refusal::policy(&*rule.name, "an access rule denies this host");
    }
    if form == Form::Plain && !rule.plain {
        let why = "plain HTTP, which anybody on the way can read, is not allowed to this host";
        return Refusal::policy("plain-http", why);
    }
    match answers {
        // An address is an answer to itself; whether it is our own is for the caller to find out.
        Answers::NotAsked => Decision::Resolve,
        Answers::Failed => Refusal::unknown("resolution", "the name cannot be looked up now"),
        Answers::Found(found) => judge(rule, found),
        Answers::Delegated => Decision::Dial(Dial {
            addresses: Vec::new(),
            rule: rule.name.to_string(),
            report: rule.action == Action::Report,
        }),
    }
}

/// Judges all addresses of a name: a single bad one spoils it, since a name that has some of each is up to something.
fn judge(rule: &Rule, found: &[Answer]) -> Decision {
    if found.is_empty() {
        return Refusal::unknown("no-address", "the name has no address");
    }
    for answer in found {
        if answer.own {
            return Refusal::policy("self", "the proxy does not lead to this server's own listeners");
        }
        let class = classify(answer.address);
        let is_named = |network: &Network| network.holds(answer.address);
        let opened = class.may_be_internal() && rule.internal.iter().any(is_named);
        if class != Class::Public && !opened {
            return refused(class);
        }
    }
    let addresses = found.iter().map(|answer| answer.address.to_canonical()).collect();
    Decision::Dial(Dial { addresses, rule: rule.name.to_string(), report: rule.action == Action::Report })
}

fn refused(class: Class) -> Decision {
    let class = class.as_str();
    let why = format!("the host has an address that is not public ({class})");
    Refusal::policy(format!("address-{class}"), why)
}
