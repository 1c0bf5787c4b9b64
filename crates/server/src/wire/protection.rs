//! Data protection: the configuration's rules, made ready for the data path.

use std::sync::Arc;

use gatehouse_gateway::protection::Protection;

use crate::config::Config;

/// What the data path is told; nothing where it is off. Rules that have not changed keep what they have seen.
pub(super) fn ready(config: &Config, before: Option<Arc<Protection>>) -> Option<Arc<Protection>> {
    let rules = config.data_protection.rules.as_ref()?;
    let same = before.filter(|before| before.rules() == rules);
    Some(same.unwrap_or_else(|| Arc::new(Protection::new(rules.clone()))))
}
