//! What is checked before a document may go anywhere.

use gatehouse_domain::settings::lint::{Channel, Language, Severity};
use gatehouse_domain::settings::{Content, Document, Finding, Lint, lint};

use crate::act::ActError;
use crate::app::App;

/// Most errors that a refusal names.
const MAX_NAMED: usize = 20;

/// What the configuration says of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Whether settings may make programs run on people's machines (`settings.allow_commands`).
    pub allow_commands: bool,
}

/// Checks a document against the catalogue. The worst findings come first; errors forbid that it is stored.
pub fn findings(app: &App, document: &Document, channel: Channel) -> Vec<Finding> {
    let models = |name: &str| (app.house.model_state)(name);
    let catalogue = app.settings.catalogue();
    lint(document, &Lint { catalogue: &catalogue, channel, models: &models, oldest_client: None })
}

/// Refuses what must not be stored: a document with errors, and one that makes programs run where that is not enabled.
/// Gives what else was found.
pub(super) fn must_be_sound(app: &App, content: &Content) -> Result<Vec<Finding>, ActError> {
    let found = findings(app, content.settings(), Channel::Gateway);
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<String> =
        errors.take(MAX_NAMED).map(|finding| finding.sentence(Language::English)).collect();
    if !errors.is_empty() {
        return Err(ActError::field("settings", errors.join("\n")));
    }
    must_be_enabled(app, content)?;
    Ok(found)
}

/// Refuses a content that makes programs run where that is not enabled.
pub(super) fn must_be_enabled(app: &App, content: &Content) -> Result<(), ActError> {
    if (app.house.settings_rules)().allow_commands {
        return Ok(());
    }
    let running = content.runs_programs(&app.settings.catalogue());
    let Some(first) = running.first() else { return Ok(()) };
    Err(ActError::field(
        "settings",
        format!(
            "`{first}` makes programs run on people's machines, which is off here; whoever runs the server can turn it on \
             with `allow_commands = true` under [settings] of the configuration"
        ),
    ))
}
