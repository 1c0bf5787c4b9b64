//! `[data_protection]`.

use gatehouse_dlp::{Selection, UnknownDetector, all};
use gatehouse_gateway::protection::{Action, Rules};

use super::mistake::did_you_mean;
use super::read::{Section, brief};

/// What is looked for in requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataProtection {
    /// By which rules; none where it is off.
    pub(crate) rules: Option<Rules>,
}

/// Reads `[data_protection]`.
pub(crate) fn data_protection(s: &Section<'_, '_>) -> DataProtection {
    DataProtection { rules: rules(s) }
}

fn rules(s: &Section<'_, '_>) -> Option<Rules> {
    let modes = [("off", None), ("observe", Some(Action::Observe)), ("block", Some(Action::Block))];
    let action = s.choice("mode", &modes);
    let selection = selected(s, "detectors", Some("except"));
    let observe = selected(s, "observe", None);
    let rules = Rules { action: action?, selection: selection?, observe: observe? };
    if rules.selection.is_empty() {
        s.mistake(
            "detectors",
            "nothing is left to look for: name detectors, or set data_protection.mode to \"off\"",
        );
    }
    Some(rules)
}

fn selected(s: &Section<'_, '_>, key: &'static str, except: Option<&'static str>) -> Option<Selection> {
    let known = |key: &'static str| {
        let words = s.texts(key);
        words.into_iter().filter(|word| is_known(s, key, word)).collect::<Vec<_>>()
    };
    let wanted = known(key);
    let without = except.map(known).unwrap_or_default();
    Selection::new(wanted, without).ok()
}

fn is_known(s: &Section<'_, '_>, key: &'static str, word: &str) -> bool {
    let Err(UnknownDetector(name)) = Selection::new([word], []) else { return true };
    let names = all().map(|one| one.id).chain(Selection::GROUPS);
    let hint = did_you_mean(&name, names).map_or_else(
        || " (`gatehouse data detectors` lists them)".to_owned(),
        |meant| format!(" (did you mean `{meant}`?)"),
    );
    s.mistake(key, format!("there is no detector `{}`{hint}", brief(&name)));
    false
}
