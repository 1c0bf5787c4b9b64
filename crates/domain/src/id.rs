//! Identifiers: a ULID with a prefix that says what it names.
//!
//! In memory an identifier is 16 bytes and `Copy`; outside (database, JSON, logs) it is text such as
//! `usr_01JD8X4R6V3Q2M9KZB7T5W0C1E`. ULIDs sort by creation time (<https://github.com/ulid/spec>).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// A text that should have been an identifier and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {noun} id (expected `{prefix}` and 26 characters)")]
pub struct BadId {
    given: String,
    noun: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $noun:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// What its text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an identifier from the time of creation and 80 random bits (the upper 48 are ignored).
            pub fn new(created_at: crate::time::UnixMillis, random: u128) -> Self {
                Self(Ulid::from_parts(created_at.non_negative(), random).into())
            }

            /// The 128 bits of the ULID.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// The identifier with these 128 bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; ulid::ULID_LEN];
                f.write_str($prefix)?;
                f.write_str(Ulid::from(self.0).array_to_str(&mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix($prefix)
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(|ulid| Self(ulid.into()))
                    .ok_or_else(|| BadId { given: text.chars().take(64).collect(), noun: $noun, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(d).map(Self)
                }
            }
        }
    };
}

id!(
    /// An organization: the tenant everything belongs to.
    OrgId, "org_", "an organization"
);
id!(
    /// A team: people whose spending and policy are looked at together. A user may be in many.
    TeamId, "team_", "a team"
);
id!(
    /// A person (or, later, a service) who may hold keys.
    UserId, "usr_", "a user"
);
id!(
    /// A project: what a key's spending is charged to beside user and team.
    ProjectId, "prj_", "a project"
);
id!(
    /// A virtual key. Not secret: the secret is in [`crate::key::VirtualKey`].
    KeyId, "key_", "a key"
);
id!(
    /// A session: one sign-in of a person on one machine. Not secret: the proof is in [`crate::token::AccessToken`].
    SessionId, "ses_", "a session"
);
id!(
    /// One exchange: a request and whatever became of it.
    ExchangeId, "exc_", "an exchange"
);
id!(
    /// An administrator's token for the management API.
    AdminTokenId, "tok_", "an admin token"
);
id!(
    /// A node: one running gatehouse with its own data directory.
    NodeId, "nod_", "a node"
);
id!(
    /// A group that a directory brings in.
    GroupId, "grp_", "a group"
);
id!(
    /// A directory's token for SCIM.
    ProvisioningTokenId, "pvt_", "a provisioning token"
);
id!(
    /// One run of the synchronization of a directory.
    SyncRunId, "run_", "a sync run"
);
id!(
    /// A settings profile: what one part of the organization contributes to its people's settings.
    ProfileId, "set_", "a settings profile"
);
id!(
    /// A budget: what may be spent in a period, by whom.
    BudgetId, "bud_", "a budget"
);
id!(
    /// A limit on a rate: how much may be asked in a minute, or at the same time, by whom.
    LimitId, "lim_", "a limit"
);
id!(
    /// A request to raise a budget's limit for a while.
    RaiseId, "rse_", "a raise"
);
id!(
    /// A tunnel through the forward proxy, or a refusal of one.
    TunnelId, "tun_", "a tunnel"
);
id!(
    /// An event that a client told of.
    ClientEventId, "cev_", "a client's event"
);
id!(
    /// A change of the deployment mode.
    ModeChangeId, "mod_", "a mode change"
);
id!(
    /// A rollout: settings on their way to people, in phases.
    RolloutId, "rol_", "a rollout"
);
id!(
    /// A survey: a question to one person that is answered once.
    SurveyId, "svy_", "a survey"
);
id!(
    /// What somebody said of the product.
    FeedbackId, "fbk_", "feedback"
);
id!(
    /// Something that somebody is to be told.
    NotificationId, "ntf_", "a notification"
);
id!(
    /// A silence: alerts that nobody is told of for a while.
    SilenceId, "sil_", "a silence"
);
id!(
    /// Something that happened to an alert.
    AlertEventId, "ale_", "an alert's event"
);
id!(
    /// A message about alerts to one receiver.
    DeliveryId, "dlv_", "a delivery"
);
id!(
    /// A deployment plan: the tasks that follow from an assessment.
    PlanId, "pln_", "a deployment plan"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    #[test]
    fn text_form_reads_back() {
        let id = UserId::new(UnixMillis(1_700_000_000_000), 42);
        let text = id.to_string();
        assert!(text.starts_with("usr_") && text.len() == 30, "{text}");
        assert_eq!(text.parse::<UserId>().unwrap(), id);
    }

    #[test]
    fn another_nouns_id_is_refused_with_a_hint() {
        let team = TeamId::new(UnixMillis(1), 1).to_string();
        let told = team.parse::<UserId>().unwrap_err().to_string();
        assert!(told.contains("usr_"), "{told}");
    }
}
