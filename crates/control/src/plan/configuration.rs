//! The configuration of a server for a plan's mode. `gatehouse config check` accepts it as it is.

use gatehouse_domain::assessment::{Answers, Mode};
use gatehouse_store::plan::Plan;
use serde_json::Value;

use crate::app::Ways;

/// More people than this are kept in PostgreSQL.
const SMALL: u32 = 100;

/// Where machines will reach things: as configured here, else at places of an example.
pub(super) struct Places {
    /// The gateway.
    pub(super) gateway: String,
    /// The forward proxy.
    pub(super) proxy: String,
    /// Whether any of them is of an example.
    pub(super) example: bool,
}

/// Where machines will reach things.
pub(super) fn places(mode: Mode, ways: &Ways) -> Places {
    let gateway =
        if ways.is_public { ways.gateway_url.clone() } else { "https://llm-gateway.corp.example".to_owned() };
    let proxy = ways.proxy_url.clone().unwrap_or_else(|| "http://proxy.corp.example:3128".to_owned());
    let proxied = matches!(mode, Mode::Proxy | Mode::Hybrid);
    Places { gateway, proxy, example: !ways.is_public || (proxied && ways.proxy_url.is_none()) }
}

/// The answers of a plan. What a newer or older release wrote of them counts as not answered.
pub(super) fn answers(plan: &Plan) -> Answers {
    let mut value: Value = serde_json::from_str(&plan.answers).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, answer| !answer.is_null());
    }
    Answers::read(&value).unwrap_or_default()
}

/// The configuration.
pub(super) fn toml(plan: &Plan, ways: &Ways) -> String {
    let (answers, places) = (answers(plan), places(plan.mode, ways));
    let (gateway, proxied) =
        (matches!(plan.mode, Mode::Gateway | Mode::Hybrid), matches!(plan.mode, Mode::Proxy | Mode::Hybrid));
    let mut out = Lines(vec![
        format!("# Gatehouse for the mode `{}`, from plan {}.", plan.mode.as_str(), plan.id),
        "# Check it with `gatehouse config check --config gatehouse.toml`, then start `gatehouse serve --config".to_owned(),
        "# gatehouse.toml`. Every other setting has its default, which `gatehouse config show` tells.".to_owned(),
    ]);
    if places.example {
        out.add("# Names under corp.example are examples: put your own in their place.");
    }
    listeners(&mut out, &places, proxied);
    out.add("\n[store]");
    if answers.team_size > SMALL {
        out.add("# For so many people, use PostgreSQL: \"postgres://gatehouse@db.corp.example:5432/gatehouse\". Its password");
        out.add("# is better given in the variable GATEHOUSE__STORE__URL than here.");
    }
    out.add("url = \"sqlite\"");
    if proxied {
        out.add("\n[mode]\n# What people are told of the forward proxy.");
        out.add(&format!("proxy_url = {}", quoted(&places.proxy)));
        out.add("\n[proxy]\n# Only TLS goes out; which hosts is decided by `gatehouse proxy rule`.");
        out.add("connect_ports = [443]\nplain_ports = []\nunnamed = \"refuse\"");
    }
    if !gateway {
        out.add("\n# Model requests do not come here in this mode. What clients tell of their own use does (/v1/metrics, /v1/logs).");
    }
    out.add("\n[telemetry]\nkeep_prompts = false");
    out.add("\n[log]\nformat = \"json\"");
    out.add("\n[backup]\n# An absolute path; empty makes no backups by itself.\ndirectory = \"/var/lib/gatehouse/backups\"\nevery_hours = 24\nkeep = 14");
    if gateway {
        out.add(
            "\n[[provider]]\nname = \"main\"\nkind = \"anthropic\"\nbase_url = \"https://api.anthropic.com\"",
        );
        out.add("# The key itself never stands here.\napi_key = \"env:UPSTREAM_KEY\"");
        out.add("# Amazon Bedrock, Google Vertex AI and Microsoft Foundry: see `gatehouse config show` and docs/providers.md.");
    }
    out.0.join("\n") + "\n"
}

fn listeners(out: &mut Lines, places: &Places, proxied: bool) {
    out.add("\n[listen]\n# Plain HTTP on loopback: something that speaks TLS stands in front, and is named below.");
    out.add("gateway = \"127.0.0.1:8080\"\nadmin = \"127.0.0.1:8081\"");
    out.add(&format!("public_url = {}", quoted(&places.gateway)));
    out.add("trusted_proxies = [\"127.0.0.1\"]");
    if proxied {
        out.add("proxy = \"0.0.0.0:3128\"");
    }
}

struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let inner: String = text
        .chars()
        .flat_map(|letter| match letter {
            '"' | '\\' => vec!['\\', letter],
            letter if letter.is_control() => vec![],
            letter => vec![letter],
        })
        .collect();
    format!("\"{inner}\"")
}

/// What a client has in its environment in this mode, for the document; never a key.
pub(super) fn client(mode: Mode, places: &Places) -> String {
    let direct =
        "export ANTHROPIC_API_KEY=…            # a key of the provider, better from a helper than in a file";
    let proxy = format!("export HTTPS_PROXY={}\nexport HTTP_PROXY={}", places.proxy, places.proxy);
    let gateway = format!(
        "export ANTHROPIC_BASE_URL={}\nexport ANTHROPIC_AUTH_TOKEN=…        # a key of Gatehouse, one a person; or sign in with /login",
        places.gateway
    );
    match mode {
        Mode::Direct => direct.to_owned(),
        Mode::Proxy => format!("{direct}\n{proxy}"),
        Mode::Gateway => gateway,
        Mode::Hybrid => format!("{gateway}\n{proxy}"),
    }
}
