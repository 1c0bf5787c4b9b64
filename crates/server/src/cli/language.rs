//! In which language a command speaks, where it can choose.

use gatehouse_domain::settings::lint;

use crate::environment::Environment;

/// In which language texts are shown.
#[derive(clap::Args)]
pub(crate) struct Language {
    /// Language of texts [default: the environment's]
    #[arg(long = "lang", value_name = "LANG", value_parser = ["en", "zh-CN", "zh-TW"])]
    pub(crate) lang: Option<String>,
}

impl Language {
    /// The language that is wished, else that of the environment.
    pub(crate) fn wished(&self, environment: &Environment) -> lint::Language {
        let spoken = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| environment.get(name));
        match self.lang.as_deref().or(spoken) {
            Some("zh-TW") => lint::Language::TraditionalChinese,
            Some("zh-CN") => lint::Language::SimplifiedChinese,
            Some(text) if text.starts_with("zh_TW") || text.starts_with("zh_HK") => {
                lint::Language::TraditionalChinese
            }
            Some(text) if text.starts_with("zh") => lint::Language::SimplifiedChinese,
            Some(_) | None => lint::Language::English,
        }
    }

    /// The tag of that language, as the management API takes it.
    pub(crate) fn tag(&self, environment: &Environment) -> &'static str {
        match self.wished(environment) {
            lint::Language::English => "en",
            lint::Language::SimplifiedChinese => "zh-CN",
            lint::Language::TraditionalChinese => "zh-TW",
        }
    }
}
