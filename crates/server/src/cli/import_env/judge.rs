//! What the client does with variables, and what is wrong with them.

use gatehouse_domain::mode::Mode;
use gatehouse_domain::price::{KnownModel, PriceTable};
use gatehouse_domain::time::UnixMillis;
use serde_json::{Map, Value, json};

use super::snippet::Variable;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// It does not work, or is dangerous.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What the client does with a variable.
pub(super) struct Meaning {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) does: &'static str,
}

/// Something to mind about a variable.
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) code: &'static str,
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) message: String,
}

/// What there is to say of a snippet.
pub(super) struct Judged {
    pub(super) mode: Mode,
    pub(super) meanings: Vec<Meaning>,
    pub(super) findings: Vec<Finding>,
    /// Variables that work, without secrets.
    pub(super) proposed: Vec<(String, String)>,
    /// The same as the client's settings.
    pub(super) settings: Value,
}

/// Variables that hold secrets, and what stands in their place.
const SECRETS: [(&str, &str); 7] = [
    ("ANTHROPIC_API_KEY", "sk-ant-YOUR_KEY"),
    ("ANTHROPIC_AUTH_TOKEN", "gh_YOUR_KEY"),
    ("CLAUDE_CODE_OAUTH_TOKEN", "YOUR_TOKEN"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer gh_YOUR_KEY"),
    ("ANTHROPIC_CUSTOM_HEADERS", "NAME: VALUE"),
    ("AWS_BEARER_TOKEN_BEDROCK", "YOUR_TOKEN"),
    ("AWS_SECRET_ACCESS_KEY", "YOUR_KEY"),
];

/// What the client does with the variables that it knows.
const KNOWN: [(&str, &str); 30] = [
    (
        "ANTHROPIC_API_KEY",
        "sends it as `x-api-key` with every request to a model; asks once before it is used interactively",
    ),
    (
        "ANTHROPIC_AUTH_TOKEN",
        "sends it as `Authorization: Bearer` with every request to a model; comes before ANTHROPIC_API_KEY",
    ),
    ("ANTHROPIC_BASE_URL", "sends requests to models there instead of to the provider"),
    ("ANTHROPIC_MODEL", "uses this model"),
    ("ANTHROPIC_SMALL_FAST_MODEL", "uses this model for small tasks (older name)"),
    ("ANTHROPIC_DEFAULT_OPUS_MODEL", "uses this model where `opus` is asked for"),
    ("ANTHROPIC_DEFAULT_SONNET_MODEL", "uses this model where `sonnet` is asked for"),
    ("ANTHROPIC_DEFAULT_HAIKU_MODEL", "uses this model where `haiku` is asked for, and for small tasks"),
    ("CLAUDE_CODE_SUBAGENT_MODEL", "uses this model for its subagents"),
    ("CLAUDE_CODE_MODEL", "ignores it: there is no such variable"),
    ("ANTHROPIC_CUSTOM_HEADERS", "adds these headers to requests to models"),
    ("CLAUDE_CODE_OAUTH_TOKEN", "signs in at the provider with it"),
    ("HTTPS_PROXY", "reaches https addresses through this proxy; reads https_proxy before it"),
    ("https_proxy", "reaches https addresses through this proxy"),
    ("HTTP_PROXY", "uses this proxy where no HTTPS_PROXY is set"),
    ("http_proxy", "uses this proxy where no HTTPS_PROXY is set"),
    ("NO_PROXY", "reaches these hosts directly (by spaces or commas, `*` is all)"),
    ("no_proxy", "reaches these hosts directly (by spaces or commas, `*` is all)"),
    ("ALL_PROXY", "ignores it: it takes no SOCKS proxies"),
    ("NODE_EXTRA_CA_CERTS", "trusts these certificates besides its own"),
    ("NODE_TLS_REJECT_UNAUTHORIZED", "trusts any certificate when it is 0"),
    ("CLAUDE_CODE_CLIENT_CERT", "shows this certificate to gateway and proxy"),
    ("CLAUDE_CODE_CLIENT_KEY", "proves its certificate with this key"),
    ("CLAUDE_CODE_ENABLE_TELEMETRY", "exports telemetry, once an exporter is chosen too"),
    ("OTEL_METRICS_EXPORTER", "exports metrics this way"),
    ("OTEL_LOGS_EXPORTER", "exports events this way"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "writes telemetry this way: it has no default"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "sends telemetry there"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "adds these headers to telemetry"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "makes no requests but to models and telemetry"),
];

const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
const MODELS: [&str; 7] = [
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_MODEL",
];

/// Judges variables by the models of a price table.
pub(super) fn judge(variables: &[Variable], prices: &PriceTable, now: UnixMillis) -> Judged {
    let mut judge = Judge { findings: Vec::new(), proposed: Vec::new(), prices, now, variables };
    for variable in variables {
        judge.one(variable);
    }
    judge.together();
    let has = |names: &[&str]| variables.iter().any(|v| names.contains(&v.name.as_str()));
    let mode = match (has(&["ANTHROPIC_BASE_URL"]), has(&PROXIES)) {
        (false, false) => Mode::Direct,
        (false, true) => Mode::Proxy,
        (true, false) => Mode::Gateway,
        (true, true) => Mode::Hybrid,
    };
    let meanings =
        variables.iter().map(|v| Meaning { name: v.name.clone(), line: v.line, does: does(&v.name) });
    Judged {
        mode,
        meanings: meanings.collect(),
        settings: settings(&judge.proposed, mode),
        findings: judge.findings,
        proposed: judge.proposed,
    }
}

fn does(name: &str) -> &'static str {
    KNOWN
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("is not known to do anything with it", |(_, does)| does)
}

struct Judge<'a> {
    findings: Vec<Finding>,
    proposed: Vec<(String, String)>,
    prices: &'a PriceTable,
    now: UnixMillis,
    variables: &'a [Variable],
}

impl Judge<'_> {
    fn find(&mut self, level: Level, code: &'static str, of: &Variable, message: impl Into<String>) {
        let message = message.into();
        self.findings.push(Finding { level, code, name: of.name.clone(), line: of.line, message });
    }

    fn propose(&mut self, name: &str, value: impl Into<String>) {
        if !self.proposed.iter().any(|(known, _)| known == name) {
            self.proposed.push((name.to_owned(), value.into()));
        }
    }

    fn one(&mut self, v: &Variable) {
        let name = v.name.as_str();
        if let Some((_, instead)) = SECRETS.iter().find(|(secret, _)| *secret == name) {
            if !is_reference(&v.value) && !v.value.is_empty() {
                let told = "a secret stands in the file: who reads the file has it. Keep it in a secret store or a file of mode \
                            0600, or let a helper print it (apiKeyHelper); if the file was shared, make a new one";
                self.find(Level::Warning, "secret-in-file", v, told);
            }
            return self.propose(name, *instead);
        }
        if PROXIES.contains(&name) {
            return self.proxy(v);
        }
        if MODELS.contains(&name) {
            return self.model(v);
        }
        match name {
            "ANTHROPIC_BASE_URL" => self.base_url(v),
            "ALL_PROXY" | "all_proxy" => {
                self.find(Level::Warning, "ignored-variable", v, "the client ignores it; HTTPS_PROXY works");
            }
            "NODE_TLS_REJECT_UNAUTHORIZED" if v.value == "0" => {
                let told = "any machine on the way could read and change everything; name your authority's certificate in \
                            NODE_EXTRA_CA_CERTS instead";
                self.find(Level::Warning, "no-certificate-check", v, told);
            }
            _ => {
                if KNOWN.iter().all(|(known, _)| *known != name)
                    && (name.starts_with("CLAUDE_") || name.starts_with("ANTHROPIC_"))
                {
                    let told = "Gatehouse does not know this variable of the client; check its spelling";
                    self.find(Level::Note, "unknown-variable", v, told);
                }
                self.propose(name, v.value.clone());
            }
        }
    }

    fn proxy(&mut self, v: &Variable) {
        let (scheme, rest) = v.value.split_once("://").unwrap_or(("", v.value.as_str()));
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        if user.is_some() {
            let told = "name and password of the proxy stand in the file; the setting proxyAuthHelper prints them when they are \
                        needed (gatehouse client proxy-token)";
            self.find(Level::Warning, "secret-in-file", v, told);
        }
        match scheme {
            "https" => {
                let told = format!(
                    "https:// here means that the proxy itself is spoken to by TLS. That works only where it has a certificate that the \
                     client trusts; a proxy that speaks plain HTTP on its port, as most do, never answers. Write http://{host} for \
                     such a one: what goes to https addresses is encrypted end to end either way"
                );
                self.find(Level::Warning, "https-proxy", v, told);
            }
            "http" => {}
            "socks4" | "socks5" | "socks5h" | "socks" => {
                self.find(Level::Warning, "socks-proxy", v, "the client takes no SOCKS proxies");
                return;
            }
            _ => {
                let told = format!(
                    "a proxy's address begins with http://: http://{host}. The client does not start with another"
                );
                self.find(Level::Warning, "bad-proxy", v, told);
            }
        }
        if v.name.eq_ignore_ascii_case("http_proxy") && self.has(&["HTTPS_PROXY", "https_proxy"]) {
            self.find(
                Level::Note,
                "not-needed",
                v,
                "HTTPS_PROXY alone does for the client; other programs may want it",
            );
        }
        self.propose(&v.name, format!("http://{host}"));
    }

    fn model(&mut self, v: &Variable) {
        let name = if v.name == "CLAUDE_CODE_MODEL" { "ANTHROPIC_MODEL" } else { v.name.as_str() };
        if v.name == "CLAUDE_CODE_MODEL" {
            let told = "the client ignores it; ANTHROPIC_MODEL works";
            self.find(Level::Warning, "ignored-variable", v, told);
        }
        let offered = |model: &KnownModel| self.prices.models(self.now).any(|one| one == model);
        let value = match self.prices.find(&v.value) {
            Some(known) if !offered(known) => {
                let newer = successor(&v.value, self.prices, self.now);
                let instead =
                    newer.as_deref().map_or_else(String::new, |newer| format!("; `{newer}` is offered"));
                let told = format!("the model `{}` is retired: requests for it fail{instead}", v.value);
                self.find(Level::Warning, "retired-model", v, told);
                newer.unwrap_or_else(|| v.value.clone())
            }
            Some(known) => {
                if known.retires_at.or(known.may_retire_from).is_some() {
                    let told = format!("the model `{}` is about to retire", v.value);
                    self.find(Level::Note, "retiring-model", v, told);
                }
                v.value.clone()
            }
            None => v.value.clone(),
        };
        self.propose(name, value);
    }

    fn base_url(&mut self, v: &Variable) {
        let host = v.value.split_once("://").map_or("", |(_, rest)| rest);
        let is_local = ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| host.starts_with(local));
        if v.value.starts_with("http://") && !is_local {
            let told =
                "the key and all that is asked and answered go over the network in clear; use https://";
            self.find(Level::Warning, "plain-http", v, told);
        }
        if v.value.trim_end_matches('/').ends_with("/v1") {
            self.find(
                Level::Warning,
                "bad-base-url",
                v,
                "the client appends /v1/messages itself; leave /v1 out",
            );
        }
        self.propose("ANTHROPIC_BASE_URL", v.value.trim_end_matches('/').trim_end_matches("/v1").to_owned());
    }

    fn has(&self, names: &[&str]) -> bool {
        self.variables.iter().any(|v| names.contains(&v.name.as_str()))
    }

    /// What shows only of several variables together.
    fn together(&mut self) {
        let of = |name: &str| self.variables.iter().find(|v| v.name == name);
        if let (Some(url), true) = (of("ANTHROPIC_BASE_URL"), self.has(&["ANTHROPIC_API_KEY"]))
            && !self.has(&["ANTHROPIC_AUTH_TOKEN"])
        {
            let told = "a key of the provider does not work at a gateway; ANTHROPIC_AUTH_TOKEN carries the gateway's own key";
            self.find(Level::Note, "provider-key-at-gateway", url, told);
        }
        let exports = self.has(&["OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"]);
        if let (Some(told), false) = (of("CLAUDE_CODE_ENABLE_TELEMETRY"), exports) {
            self.find(
                Level::Warning,
                "no-exporter",
                told,
                "without OTEL_METRICS_EXPORTER=otlp nothing is exported",
            );
        }
        if let (Some(url), false) =
            (of("OTEL_EXPORTER_OTLP_ENDPOINT"), self.has(&["OTEL_EXPORTER_OTLP_PROTOCOL"]))
        {
            let told = "the client has no default for OTEL_EXPORTER_OTLP_PROTOCOL; write http/protobuf";
            self.find(Level::Warning, "no-protocol", url, told);
            self.propose("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        }
    }
}

/// Whether a value names a secret instead of being one: `$NAME`, `$(command)`, a placeholder.
fn is_reference(value: &str) -> bool {
    value.starts_with('$') || value.starts_with('`') || value.starts_with('<')
}

/// The newest model on offer of the same family (`opus`, `sonnet`, `haiku`, …).
fn successor(name: &str, prices: &PriceTable, now: UnixMillis) -> Option<String> {
    let family = name
        .split('-')
        .find(|part| part.len() > 3 && *part != "claude" && part.bytes().all(|b| b.is_ascii_alphabetic()))?;
    let same = prices.models(now).filter(|model| model.id.split('-').any(|part| part == family));
    same.max_by_key(|model| version(&model.id)).map(|model| model.id.clone())
}

/// The numbers in a model's name, without its date.
fn version(id: &str) -> Vec<u32> {
    id.split('-').filter(|part| part.len() < 8).filter_map(|part| part.parse().ok()).collect()
}

/// The client's settings that say the same. Secrets come from a helper.
fn settings(proposed: &[(String, String)], mode: Mode) -> Value {
    let (mut env, mut out) = (Map::new(), Map::new());
    for (name, value) in proposed {
        if name == "ANTHROPIC_MODEL" {
            out.insert("model".to_owned(), json!(value));
        } else if SECRETS.iter().all(|(secret, _)| secret != name) {
            env.insert(name.clone(), json!(value));
        }
    }
    let gateway = proposed.iter().find(|(name, _)| name == "ANTHROPIC_BASE_URL").map(|(_, url)| url.as_str());
    if let Some(gateway) = gateway {
        out.insert("apiKeyHelper".to_owned(), json!(format!("gatehouse client token --gateway {gateway}")));
        if mode.uses_proxy() {
            let helper = format!("gatehouse client proxy-token --gateway {gateway}");
            out.insert("proxyAuthHelper".to_owned(), json!(helper));
        }
    }
    if !env.is_empty() {
        out.insert("env".to_owned(), Value::Object(env));
    }
    Value::Object(out)
}
