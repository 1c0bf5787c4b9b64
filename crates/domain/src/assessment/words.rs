//! A text in three languages.

use serde::Serialize;

use crate::settings::lint::Language;

/// A text in three languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Words {
    /// English.
    pub en: &'static str,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    pub zh_cn: &'static str,
    /// Traditional Chinese.
    #[serde(rename = "zh-TW")]
    pub zh_tw: &'static str,
}

impl Words {
    /// A text in all three.
    pub const fn new(en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Self {
        Self { en, zh_cn, zh_tw }
    }

    /// The text in one language.
    pub const fn of(self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::SimplifiedChinese => self.zh_cn,
            Language::TraditionalChinese => self.zh_tw,
        }
    }
}
