//! The clouds that serve Anthropic's models, each in its own way: requests to them, and their replies, as bytes.
//!
//! A request's body keeps every byte that need not change (promise P3): members are cut out and put in where they stand.
//! What a kind of provider does not take, and what it calls models, is data: [`Table`], `clouds.toml`.
//!
//! Sources: the references of Amazon Bedrock, Vertex AI and Microsoft Foundry, and Anthropic's own client libraries for them.

pub use address::base_url;
pub use count::{read_count, unwrapped_count};
pub use dress::{Told, bedrock_count, failure};
pub use events::Events;
pub use frames::Frames;
pub use ingress::{Form, Purpose, Way, way};
pub use names::first_party;
pub use request::{Answer, Asked, Sent, Unsendable};
pub use table::{BadTable, Differences, Table, any as is_any};

mod request;
mod count;
mod address;
mod names;
mod table;
mod events;
mod ingress;
mod frames;
mod dress;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

/// A kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Anthropic's API, or any address that speaks as it does.
    Anthropic,
    /// Amazon Bedrock, `InvokeModel` and its relatives.
    Bedrock,
    /// Amazon Bedrock's native Messages API.
    BedrockMantle,
    /// Anthropic's own platform, reached and paid through Amazon.
    ClaudePlatformAws,
    /// Google Vertex AI.
    Vertex,
    /// Microsoft Foundry.
    Foundry,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Anthropic,
        Self::Bedrock,
        Self::BedrockMantle,
        Self::ClaudePlatformAws,
        Self::Vertex,
        Self::Foundry,
    ];

    /// Its name in configuration and table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::BedrockMantle => "bedrock-mantle",
            Self::ClaudePlatformAws => "claude-platform-aws",
            Self::Vertex => "vertex",
            Self::Foundry => "foundry",
        }
    }

    /// The signing name of the service, for those of Amazon.
    pub const fn service(self) -> Option<&'static str> {
        match self {
            Self::Bedrock => Some("bedrock"),
            Self::BedrockMantle => Some("bedrock-mantle"),
            Self::ClaudePlatformAws => Some("aws-external-anthropic"),
            Self::Anthropic | Self::Vertex | Self::Foundry => None,
        }
    }

    /// Whether a model's name has the form that only this kind's names have.
    fn is_own_name(self, model: &str) -> bool {
        match self {
            Self::Bedrock | Self::BedrockMantle => {
                model.starts_with("arn:") || model.split('.').take(2).any(|part| part == "anthropic")
            }
            Self::Vertex => model.contains('@'),
            Self::Anthropic | Self::ClaudePlatformAws | Self::Foundry => false,
        }
    }
}

/// How requests for one provider are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Its kind.
    pub kind: Kind,
    /// The path before the API's own; empty or `/something`.
    pub prefix: String,
    /// Of Vertex AI: the project and the location.
    pub place: Option<(String, String)>,
    /// The inference profile that Bedrock's models are asked through, such as `us`; empty for none.
    pub profile: String,
    /// Names of models that differ from the table's, by the name that clients use.
    pub models: BTreeMap<String, String>,
    /// Headers that every request gets, such as the workspace or a guardrail.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether tokens can be counted there.
    pub counts: bool,
    /// How the kinds differ.
    pub table: Arc<Table>,
}

impl Dialect {
    /// What the provider calls a model.
    pub fn model(&self, asked: &str) -> String {
        if let Some(own) = self.models.get(asked) {
            return own.clone();
        }
        let name = self.table.model(self.kind, asked);
        if self.profile.is_empty() || !name.starts_with("anthropic.") {
            return name;
        }
        format!("{}.{name}", self.profile)
    }

    fn differences(&self) -> &Differences {
        self.table.of(self.kind)
    }
}
