//! `config`.

use serde_json::json;

use super::args::{ConfigCommand, ServeArgs};
use super::client::connect;
use super::table::{Align, Table};
use super::{Failure, Global, Out, output};
use crate::config::{Config, SecretSource, Sources, load};
use crate::environment::Environment;
use crate::secret;

/// Runs `config …`.
pub(crate) fn run(
    command: ConfigCommand,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check(serve) => check(&serve, environment, out),
        ConfigCommand::Show(serve) if serve.config.is_some() || !serve.set.is_empty() => {
            show_file(&serve, environment, out)
        }
        ConfigCommand::Show(_) => {
            let answer = connect(global, environment)?.get("/api/v1/config", &[])?;
            let mut table =
                Table::new(&[("SETTING", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)]);
            for setting in answer["settings"].as_array().into_iter().flatten() {
                table.row(["key", "value", "origin"].map(|key| output::field(setting, key)));
            }
            out.one(&answer, &table)?;
            Ok(0)
        }
        ConfigCommand::Reload => {
            let answer = connect(global, environment)?.post("/api/v1/config/reload", &json!({}))?;
            let (changed, restart) =
                (output::field(&answer, "changed"), output::field(&answer, "restart_needed"));
            let mut sentence = match changed.as_str() {
                "-" => "Reloaded; nothing that can change while running is different.".to_owned(),
                list => format!("Reloaded: {list}."),
            };
            if restart != "-" {
                sentence = format!("{sentence}\nTake effect with the next start only: {restart}.");
            }
            out.done(&answer, &sentence)?;
            Ok(0)
        }
    }
}

/// The sources of a configuration as the command line names them.
pub(crate) fn sources(serve: &ServeArgs, environment: &Environment) -> Sources {
    Sources { file: serve.config.clone(), variables: environment.variables.clone(), flags: serve.set.clone() }
}

/// Reads a configuration; all mistakes become one failure.
pub(crate) fn read(serve: &ServeArgs, environment: &Environment) -> Result<Config, Failure> {
    load(&sources(serve, environment))
        .map_err(|mistakes| Failure::Usage(format!("the configuration is refused\n{mistakes}")))
}

fn check(serve: &ServeArgs, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    let config = match load(&sources(serve, environment)) {
        Ok(config) => config,
        Err(mistakes) if out.wants_json() => {
            let list: Vec<String> = mistakes.0.iter().map(ToString::to_string).collect();
            out.json(&json!({"ok": false, "mistakes": list}))?;
            return Ok(2);
        }
        Err(mistakes) => return Err(Failure::Usage(format!("the configuration is refused\n{mistakes}"))),
    };
    let (mistakes, notes) = looked_at(&config, environment);
    if !mistakes.is_empty() {
        if out.wants_json() {
            out.json(&json!({"ok": false, "mistakes": mistakes}))?;
            return Ok(2);
        }
        return Err(Failure::Usage(format!("the configuration is refused\n{}", mistakes.join("\n"))));
    }
    if out.wants_json() {
        out.json(&json!({"ok": true, "notes": notes}))?;
        return Ok(0);
    }
    out.line(format!("ok\n{}", summary(&config)))?;
    for note in notes {
        out.line(format!("note: {note}"))?;
    }
    Ok(0)
}

fn summary(config: &Config) -> String {
    let store = if config.store.url == "sqlite" { "sqlite" } else { "postgres" };
    let providers: Vec<String> = config
        .providers
        .iter()
        .map(|provider| format!("{} at {}", provider.name, provider.base_url))
        .collect();
    let list = if providers.is_empty() { "none".to_owned() } else { providers.join(", ") };
    format!(
        "gateway on {}, admin on {}, store {store}, counters {}, providers: {list}",
        config.listen.gateway, config.listen.admin, config.counters
    )
}

/// Mistakes that show only when everything is put together, and what is no mistake but worth knowing: keys that this
/// environment does not have, listeners open to the network.
fn looked_at(config: &Config, environment: &Environment) -> (Vec<String>, Vec<String>) {
    let (mut mistakes, mut notes) = (Vec::new(), Vec::new());
    if config.providers.is_empty() {
        notes.push(
            "no provider is configured, so every model request will be refused: set ANTHROPIC_API_KEY or add a [[provider]]"
                .to_owned(),
        );
    }
    for provider in &config.providers {
        for (setting, source) in provider.secrets() {
            // Commands are not run by a check.
            if !matches!(source, SecretSource::Exec(_))
                && let Err(error) = secret::resolve(source, environment)
            {
                let what = if setting == "api_key" { "key" } else { setting };
                notes.push(format!("the {what} of provider `{}` is not there: {error}", provider.name));
            }
        }
        if let Err(mistake) = crate::wire::clouds_table(provider) {
            mistakes.push(format!("provider[{}]: {mistake}", provider.name));
        }
    }
    for report in &config.provider_reports {
        if !matches!(report.admin_key, SecretSource::Exec(_))
            && let Err(error) = secret::resolve(&report.admin_key, environment)
        {
            notes.push(format!("the admin key of provider_report `{}` is not there: {error}", report.name));
        }
    }
    for what in crate::wire::egress_mistakes(config, environment) {
        notes.push(format!("here the server would not start: {what}"));
    }
    match crate::price::table(&config.pricing) {
        Ok(prices) => {
            let found = crate::wire::sign_in_mistakes(config, &prices, environment);
            mistakes = found.everywhere;
            notes.extend(
                found.here.into_iter().map(|what| format!("here the server would not start: {what}")),
            );
        }
        Err(error) => notes.push(format!("here the server would not start: {error}")),
    }
    notes.extend(exposed(config));
    (mistakes, notes)
}

/// Listeners that other machines can reach and that speak plain HTTP.
pub(crate) fn exposed(config: &Config) -> Vec<String> {
    let (listen, tls) = (&config.listen, &config.tls);
    let otlp = listen.otlp.map(|address| ("otlp", address, &tls.otlp.files));
    [("gateway", listen.gateway, &tls.gateway.files), ("admin", listen.admin, &tls.admin.files)]
        .into_iter()
        .chain(otlp)
        .filter(|(_, address, tls)| !address.ip().is_loopback() && tls.is_none())
        .map(|(name, address, _)| {
            format!(
                "listen.{name} = {address} can be reached from other machines and speaks plain HTTP: set tls.{name}, or \
                 put TLS in front of it"
            )
        })
        .collect()
}

fn show_file(serve: &ServeArgs, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    let config = read(serve, environment)?;
    let mut table = Table::new(&[("SETTING", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)]);
    let mut settings = Vec::new();
    for shown in &config.shown {
        table.row([shown.key.clone(), shown.value.clone(), shown.origin.clone()]);
        settings.push(json!({"key": shown.key, "value": shown.value, "origin": shown.origin}));
    }
    out.one(&json!({"settings": settings}), &table)?;
    Ok(0)
}
