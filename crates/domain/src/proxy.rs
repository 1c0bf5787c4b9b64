//! The forward proxy's nouns and its one decision: may this person reach that destination, and at which address.
//!
//! [`decide()`] is a function of who asks, where to, what the name resolves to, the organization's rules and the time. It is
//! asked twice: once before the name is looked up (so that nothing is looked up for who may not go there anyway), and once
//! with the answers. Whatever it says names the rule that decided.

mod destination;
mod address;
mod rule;
mod preset;
mod decide;
mod tunnel;
mod people;
mod inspection;
#[cfg(test)]
mod tests;

pub use address::{Class, classify};
pub use decide::{
    Answer, Answers, Decision, Dial, Form, Gate, Policy, Question, Refusal, RefusalKind, Who, decide,
};
pub use destination::{BadDestination, Destination, Host};
pub use inspection::{Inspection, Looked, is_sign_in};
pub use people::{Access, Member, People};
pub use preset::Preset;
pub use rule::{Action, BadRule, Holder, HostPattern, MAX_RULES, Rule, Window, is_rule_name};
pub use tunnel::{Close, End, Tunnel, Verdict, Via};
