//! The four deployment modes.

use serde::{Deserialize, Serialize};

use super::words::Words;

/// How an organization's clients reach the models. Ordered by how much stands in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Straight to the provider.
    Direct,
    /// To the provider through the company's forward proxy.
    Proxy,
    /// To a gateway that speaks for them.
    Gateway,
    /// To a gateway, through a forward proxy.
    Hybrid,
}

impl Mode {
    /// All of them, from the simplest.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Proxy, Self::Gateway, Self::Hybrid];

    /// Its word in files and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Proxy => "proxy",
            Self::Gateway => "gateway",
            Self::Hybrid => "hybrid",
        }
    }

    /// The mode of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }

    /// Its name for people.
    pub const fn name(self) -> Words {
        match self {
            Self::Direct => Words::new("direct provider access", "直接提供商访问", "直接提供商存取"),
            Self::Proxy => Words::new("enterprise proxy", "企业代理模式", "企業代理模式"),
            Self::Gateway => Words::new("LLM gateway", "LLM 网关模式", "LLM 閘道模式"),
            Self::Hybrid => Words::new("hybrid", "混合模式", "混合模式"),
        }
    }

    /// Why the score recommends it.
    pub(super) const fn reason(self) -> Words {
        match self {
            Self::Direct => Words::new(
                "A simple deployment fits your needs",
                "简单的部署方案适合您的需求",
                "簡單的部署方案適合您的需求",
            ),
            Self::Proxy => Words::new(
                "An enterprise proxy can meet your security and compliance needs",
                "企业代理模式可以满足您的安全和合规需求",
                "企業代理模式可以滿足您的安全與合規需求",
            ),
            Self::Gateway => Words::new(
                "An LLM gateway provides the full set of enterprise functions",
                "LLM 网关模式提供完整的企业级功能",
                "LLM 閘道模式提供完整的企業級功能",
            ),
            Self::Hybrid => Words::new(
                "The hybrid mode can meet the complex needs of your enterprise",
                "混合模式可以满足您复杂的企业需求",
                "混合模式可以滿足您複雜的企業需求",
            ),
        }
    }
}
