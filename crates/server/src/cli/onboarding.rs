//! `onboarding`: what a person needs to begin, in their mode, for their machine and shell, in their language.

mod shell;
mod text;
#[cfg(test)]
mod tests;

use clap::Args;
use gatehouse_domain::mode::Mode;
use serde_json::{Map, Value, json};

use super::client::{Client, escaped};
use super::language::Language;
use super::{Failure, Out};
use crate::environment::Environment;
use shell::{Os, Shell};
use text::Words;

/// Stands where a person puts their own key of Gatehouse.
const GATEHOUSE_KEY: &str = "gh_YOUR_KEY";
/// Stands where a person puts their own key of the provider.
const PROVIDER_KEY: &str = "sk-ant-YOUR_KEY";

/// Arguments of `onboarding`.
#[derive(Args)]
pub(crate) struct OnboardingArgs {
    /// E-mail address or id
    user: String,
    /// The person's machine
    #[arg(long, default_value = "linux", value_parser = ["linux", "macos", "windows"])]
    os: String,
    /// The person's shell [default: bash, zsh on macos, powershell on windows]
    #[arg(long, value_parser = ["bash", "zsh", "fish", "powershell"])]
    shell: Option<String>,
    /// In which language
    #[command(flatten)]
    language: Language,
}

/// What the server says of a person.
struct Facts {
    user: String,
    mode: Mode,
    gateway: String,
    signs_in: bool,
    proxy: Option<String>,
    proxy_ca: Option<String>,
    inspection: Option<Inspection>,
}

/// What is looked into on the way.
struct Inspection {
    hosts: String,
    notice: String,
    ca_url: String,
}

/// What a person sets and does.
struct Guide {
    /// Variables, in their order.
    variables: Vec<(&'static str, String)>,
    /// Members of the settings file.
    settings: Map<String, Value>,
    /// What to do, in their order.
    steps: Vec<String>,
    /// What to run at the end.
    test: Vec<String>,
    /// What to mind.
    notes: Vec<String>,
}

/// Runs `onboarding`.
pub(crate) fn run(
    args: &OnboardingArgs,
    client: &Client,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let answer = client.get(&format!("/api/v1/users/{}/onboarding", escaped(&args.user)), &[])?;
    let facts = facts(&answer)?;
    let os = Os::parse(&args.os);
    let shell = args.shell.as_deref().map_or_else(|| os.usual_shell(), Shell::parse);
    let words = text::words(args.language.wished(environment));
    let guide = guide(&facts, os, shell, words);
    if out.wants_json() {
        out.json(&as_json(&facts, &guide))?;
        return Ok(0);
    }
    print(&facts, &guide, os, shell, words, out)?;
    Ok(0)
}

fn facts(answer: &Value) -> Result<Facts, Failure> {
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    let mode = text("mode").and_then(|mode| mode.parse().ok());
    Ok(Facts {
        user: text("user").unwrap_or_default(),
        mode: mode.ok_or_else(|| {
            Failure::Failed("the server names a mode that this program does not know: update it".to_owned())
        })?,
        gateway: text("gateway_url").unwrap_or_default(),
        signs_in: answer["signs_in"] == true,
        proxy: text("proxy_url"),
        proxy_ca: text("proxy_ca_file"),
        inspection: inspection(&answer["inspection"]),
    })
}

fn inspection(told: &Value) -> Option<Inspection> {
    let hosts: Vec<&str> = told["hosts"].as_array()?.iter().filter_map(Value::as_str).collect();
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    Some(Inspection { hosts: hosts.join(", "), notice: text("notice"), ca_url: text("ca_url") })
}

fn guide(facts: &Facts, os: Os, shell: Shell, words: &Words) -> Guide {
    let mut guide = Guide {
        variables: Vec::new(),
        settings: Map::new(),
        steps: Vec::new(),
        test: Vec::new(),
        notes: Vec::new(),
    };
    guide.steps.push(words.install.to_owned());
    if facts.mode.uses_gateway() {
        at_gateway(facts, words, &mut guide);
    } else {
        at_provider(facts, words, &mut guide);
    }
    if facts.mode.uses_proxy() {
        through_proxy(facts, os, words, &mut guide);
    }
    guide.steps.push(format!("{} {}", words.set, os.startup_file(shell)));
    if !guide.settings.is_empty() {
        guide.steps.push(format!("{} {}", words.settings, os.settings_file()));
    }
    guide.steps.push(words.run_test.to_owned());
    if facts.mode.uses_gateway() {
        let curl = if os == Os::Windows { "curl.exe" } else { "curl" };
        guide.test.push(format!("{curl} -sS {}/protocol", facts.gateway));
    } else if facts.inspection.is_none() {
        guide.notes.push(words.claims.to_owned());
    }
    if let Some(inspection) = &facts.inspection {
        guide.notes.push(format!("{} {}", words.inspected, inspection.hosts));
        if !inspection.notice.is_empty() {
            guide.notes.push(inspection.notice.clone());
        }
    }
    guide.test.push("claude -p \"say hi\"".to_owned());
    guide
}

fn at_gateway(facts: &Facts, words: &Words, guide: &mut Guide) {
    if facts.signs_in {
        guide.settings.insert("forceLoginMethod".to_owned(), json!("gateway"));
        guide.settings.insert("forceLoginGatewayUrl".to_owned(), json!(facts.gateway));
        guide.steps.push(format!("{} {}", words.sign_in, facts.gateway));
        guide.notes.push(words.no_key.to_owned());
        return;
    }
    guide.steps.push(words.gatehouse_key.to_owned());
    guide.variables.push(("ANTHROPIC_BASE_URL", facts.gateway.clone()));
    guide.variables.push(("ANTHROPIC_AUTH_TOKEN", GATEHOUSE_KEY.to_owned()));
    guide.notes.push(words.keep_secret.to_owned());
}

fn at_provider(facts: &Facts, words: &Words, guide: &mut Guide) {
    guide.steps.push(words.provider_key.to_owned());
    guide.steps.push(words.gatehouse_key_telemetry.to_owned());
    guide.variables.push(("ANTHROPIC_API_KEY", PROVIDER_KEY.to_owned()));
    for (name, value) in [
        ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ] {
        guide.variables.push((name, value.to_owned()));
    }
    guide.variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", facts.gateway.clone()));
    guide.variables.push(("OTEL_EXPORTER_OTLP_HEADERS", format!("Authorization=Bearer {GATEHOUSE_KEY}")));
    guide.notes.push(words.keep_secret.to_owned());
}

fn through_proxy(facts: &Facts, os: Os, words: &Words, guide: &mut Guide) {
    let Some(proxy) = &facts.proxy else {
        guide.notes.push(words.no_proxy_url.to_owned());
        return;
    };
    guide.variables.push(("HTTPS_PROXY", proxy.clone()));
    guide.variables.push(("HTTP_PROXY", proxy.clone()));
    let file = facts.proxy_ca.clone().or_else(|| facts.inspection.as_ref().map(|_| os.ca_file().to_owned()));
    if let Some(file) = file {
        if facts.proxy_ca.is_some() {
            guide.steps.push(format!("{} {file}", words.proxy_ca));
        }
        if let Some(inspection) = &facts.inspection {
            guide.steps.push(format!("{} {file}: {}", words.inspection_ca, inspection.ca_url));
        }
        guide.variables.push(("NODE_EXTRA_CA_CERTS", file));
    }
    let helper = format!("gatehouse client proxy-token --gateway {}", facts.gateway);
    guide.settings.insert("proxyAuthHelper".to_owned(), json!(helper));
    guide.steps.push(format!("{} gatehouse client login --gateway {}", words.proxy_sign_in, facts.gateway));
}

fn as_json(facts: &Facts, guide: &Guide) -> Value {
    let variables: Map<String, Value> =
        guide.variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "user": facts.user,
        "mode": facts.mode.as_str(),
        "steps": guide.steps,
        "variables": variables,
        "settings": guide.settings,
        "test": guide.test,
        "notes": guide.notes,
    })
}

fn print(
    facts: &Facts,
    guide: &Guide,
    os: Os,
    shell: Shell,
    words: &Words,
    out: &mut Out,
) -> std::io::Result<()> {
    out.line(format!("{} {} ({}: {})", words.title, facts.user, words.mode, facts.mode))?;
    for (step, number) in guide.steps.iter().zip(1..) {
        out.line(format!("{number}. {step}"))?;
    }
    if !guide.variables.is_empty() {
        out.line(format!("\n# {}", os.startup_file(shell)))?;
        for (name, value) in &guide.variables {
            out.line(shell.set(name, value))?;
        }
    }
    if !guide.settings.is_empty() {
        out.line(format!("\n# {}", os.settings_file()))?;
        out.line(format!("{:#}", Value::Object(guide.settings.clone())))?;
    }
    out.line(format!("\n# {}", words.test))?;
    for line in &guide.test {
        out.line(line)?;
    }
    out.line("")?;
    for note in &guide.notes {
        out.line(format!("- {note}"))?;
    }
    Ok(())
}
