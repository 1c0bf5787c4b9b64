//! What an act changed, with a word on whether this node decides by it already.

use serde::Serialize;
use utoipa::ToSchema;

use crate::act;
use crate::app::InForce;

/// For people, when a change has to wait.
const WARNING: &str = "the change is recorded, but this node does not decide by it yet: its database did not hand out \
     the new policy in time. It comes into force as soon as it does; `/readyz` and the log say more";

/// What an act changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed<T> {
    /// As it is now.
    #[serde(flatten)]
    pub now: T,
    /// Whether this node decides by the change already. Other nodes do within seconds.
    pub in_force: bool,
    /// Sentence for people when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'static str>,
}

impl<T> Changed<T> {
    /// Something as the API shows it, with whether it is in force.
    pub const fn new(now: T, in_force: InForce) -> Self {
        match in_force {
            InForce::Now => Self { now, in_force: true, warning: None },
            InForce::Later => Self { now, in_force: false, warning: Some(WARNING) },
        }
    }

    /// The outcome of an act as the API shows it.
    pub fn of<S>(changed: act::Changed<S>, view: impl FnOnce(S) -> T) -> Self {
        Self::new(view(changed.now), changed.in_force)
    }
}
