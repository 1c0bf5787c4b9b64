use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::settings::layer::{Layer, LayerId, Rank};
use crate::settings::merge::merge;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

fn models(name: &str) -> ModelState {
    match name {
        "claude-opus-5-5" | "claude-sonnet-5-5" | "claude-haiku-5-5" => ModelState::Served,
        "claude-opus-4-1" => ModelState::Retired,
        _ => ModelState::Unknown,
    }
}

fn by(channel: Channel) -> Lint<'static> {
    Lint { catalogue: &CATALOGUE, channel, models: &models, oldest_client: None }
}

fn document(value: Value) -> Document {
    Document::from_value(value).unwrap()
}

/// The findings on a channel, as `code path`.
fn found_on(channel: Channel, value: Value) -> Vec<String> {
    let shown = |code: Code| serde_json::to_value(code).unwrap().as_str().unwrap().to_owned();
    lint(&document(value), &by(channel)).iter().map(|f| format!("{} {}", shown(f.code), f.path)).collect()
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a literal document reads better without a reference")]
fn check(value: Value, expected: &[&str]) {
    assert_eq!(found_on(Channel::Machine, value.clone()), expected, "{value}");
}

#[test]
fn types_and_forms() {
    check(json!({ "cleanupPeriodDays": "thirty" }), &["wrong-type cleanupPeriodDays"]);
    check(json!({ "cleanupPeriodDays": 0 }), &["out-of-range cleanupPeriodDays"]);
    check(json!({ "cleanupPeriodDays": 1.5 }), &["out-of-range cleanupPeriodDays"]);
    check(json!({ "cleanupPeriodDays": 30.0, "feedbackSurveyRate": 0 }), &[]);
    check(json!({ "effortLevel": "hihg" }), &["bad-value effortLevel"]);
    check(json!({ "fallbackModel": ["opus", "sonnet", "haiku", "fable"] }), &["too-many fallbackModel"]);
    check(json!({ "strictPluginOnlyCustomization": ["hooks"], "teammateDefaultModel": null }), &[]);
    check(
        json!({ "strictPluginOnlyCustomization": ["tools"] }),
        &["bad-value strictPluginOnlyCustomization[0]", "fails-closed strictPluginOnlyCustomization"],
    );
    check(json!({ "vimInsertModeRemaps": { "jj": "<Esc>" } }), &[]);
    check(json!({ "vimInsertModeRemaps": { "jjj": "<Esc>" } }), &["bad-value vimInsertModeRemaps.jjj"]);
    check(
        json!({ "policyHelper": { "path": "/x", "timeoutMs": 10 } }),
        &["out-of-range policyHelper.timeoutMs", "two-people policyHelper"],
    );
    check(
        json!({ "requiredMinimumVersion": "latest" }),
        &["bad-value requiredMinimumVersion", "fails-open requiredMinimumVersion"],
    );
    check(
        json!({ "requiredMinimumVersion": "2.2.0", "requiredMaximumVersion": "2.1.9" }),
        &["empty-version-range requiredMinimumVersion"],
    );
    check(json!({ "includeCoAuthoredBy": true }), &["replaced includeCoAuthoredBy"]);
}

#[test]
fn shapes() {
    let hook = |hook: Value| json!({ "hooks": { "PreToolUse": [{ "matcher": "Bash", "hooks": [hook] }] } });
    let two = "two-people hooks";
    let path = |rest: &str| format!("hooks.PreToolUse[0].hooks[0]{rest}");
    check(hook(json!({ "type": "command", "command": "true", "timeout": 5 })), &[two]);
    for (given, code, rest) in [
        (json!({ "type": "command" }), "missing-field", ""),
        (json!({ "command": "true" }), "missing-field", ""),
        (json!({ "type": "script", "command": "true" }), "bad-value", ".type"),
        (json!({ "type": "command", "command": "" }), "bad-value", ".command"),
        (json!({ "type": "command", "command": "true", "timeout": 0 }), "out-of-range", ".timeout"),
        (json!({ "type": "command", "command": "true", "shell": "fish" }), "bad-value", ".shell"),
        (json!({ "type": "command", "command": "true", "tint": 1 }), "unknown-field", ".tint"),
        (json!({ "type": 1 }), "wrong-type", ".type"),
        (json!("true"), "wrong-type", ""),
    ] {
        check(hook(given), &[&format!("{code} {}", path(rest)), two]);
    }
    check(json!({ "hooks": { "PreTooluse": [] } }), &["unknown-key hooks.PreTooluse", two]);
    check(
        json!({ "deniedMcpServers": [{ "serverName": "a", "serverUrl": "b" }] }),
        &["field-choice deniedMcpServers[0]", "fails-closed deniedMcpServers"],
    );
    check(
        json!({ "extraKnownMarketplaces": { "a": { "source": { "source": "git", "url": "https://x.example/a" } } } }),
        &["bad-value extraKnownMarketplaces.a.source.url", "two-people extraKnownMarketplaces"],
    );
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    let findings = lint(&document(json!({ "premissions": {}, "brandNew": 1 })), &by(Channel::Machine));
    let sentences: Vec<String> = findings.iter().map(|finding| finding.sentence(Language::English)).collect();
    assert_eq!(
        sentences,
        [
            "`brandNew` is no known key; it is delivered all the same",
            "`premissions` is no known key; did you mean `permissions`?; it is delivered all the same",
        ]
    );
    assert_eq!(
        findings[1].sentence(Language::SimplifiedChinese),
        "`premissions` 不是已知的键；是否想用 `permissions`？；仍会照常下发"
    );
}

#[test]
fn permission_rules() {
    for good in [
        "Read",
        "Bash(git log:*)",
        "Bash(echo (a))",
        "mcp__ide__run",
        "mcp__*",
        "WebFetch(domain:*.example.com)",
    ] {
        check(json!({ "permissions": { "deny": [good] } }), &[]);
    }
    for bad in
        ["", "Bash()", "Bash( )", "Bash(x", "Bash x", "Read[x]", "(x)", "mcp__", "Bash(x) ", "*", "1Read"]
    {
        check(json!({ "permissions": { "deny": [bad] } }), &["bad-rule permissions.deny[0]"]);
    }
    check(json!({ "permissions": { "ask": ["Raed"] } }), &["unknown-tool permissions.ask[0]"]);
    check(
        json!({ "permissions": { "allow": ["Bash(*)", "Edit", "Edit"], "deny": ["Edit"] } }),
        &[
            "broad-allow permissions.allow[0]",
            "allowed-and-denied permissions.allow[1]",
            "allowed-and-denied permissions.allow[2]",
            "duplicate permissions.allow[2]",
        ],
    );
    check(
        json!({ "permissions": { "defaultMode": "bypassPermissions" } }),
        &["broad-allow permissions.defaultMode"],
    );
    check(
        json!({ "permissions": { "defaultMode": "bypassPermissions", "disableBypassPermissionsMode": "disable" } }),
        &["no-effect permissions.defaultMode"],
    );
}

#[test]
fn variables() {
    let env = |name: &str, value: Value| json!({ "env": { name: value } });
    check(env("CLAUDE_CODE_ENABLE_TELEMETRY", json!("1")), &[]);
    check(env("CLAUDE_CODE_ENABLE_TELEMETRY", json!(1)), &["wrong-type env.CLAUDE_CODE_ENABLE_TELEMETRY"]);
    check(
        env("CLAUDE_CODE_ENABLE_TELEMETRY", json!("on")),
        &["odd-variable-value env.CLAUDE_CODE_ENABLE_TELEMETRY"],
    );
    check(
        env("OTEL_EXPORTER_OTLP_PROTOCOL", json!("tcp")),
        &["odd-variable-value env.OTEL_EXPORTER_OTLP_PROTOCOL"],
    );
    check(env("has-dash", json!("1")), &["bad-variable env.has-dash"]);
    check(env("1A", json!("1")), &["bad-variable env.1A"]);
    check(env("", json!("1")), &["bad-variable env.\"\""]);
    check(env("mixedCase", json!("1")), &["lowercase-variable env.mixedCase"]);
    check(env("https_proxy", json!("http://p.example")), &["redirect env.https_proxy"]);
    check(env("ANTHROPIC_BASE_URL", json!("https://g.example")), &["redirect env.ANTHROPIC_BASE_URL"]);
    check(env("ANTHROPIC_BASE_URL", json!("")), &[]);
    check(env("ANTHROPIC_API_KEY", json!("example")), &["secret-variable env.ANTHROPIC_API_KEY"]);
    check(env("OTEL_LOG_USER_PROMPTS", json!("1")), &["content-exported env.OTEL_LOG_USER_PROMPTS"]);
    check(env("GIT_SSH_COMMAND", json!("x")), &["two-people env.GIT_SSH_COMMAND"]);
}

#[test]
fn credentials_are_found_anywhere_and_shown_nowhere() {
    let secret = format!("sk-ant-api03-{}", "x".repeat(40));
    let findings = lint(
        &document(json!({
            "env": { "OTEL_EXPORTER_OTLP_PROTOCOL": secret, "ANTHROPIC_API_KEY": secret },
            "model": secret, "permissions": { "deny": [secret, secret] }, "effortLevel": secret,
        })),
        &by(Channel::Gateway),
    );
    assert_eq!(findings.iter().filter(|finding| finding.code == Code::SecretValue).count(), 6);
    for finding in findings {
        assert!(!finding.sentence(Language::English).contains("sk-ant-api03"), "{finding:?}");
        assert!(!format!("{finding:?}").contains("sk-ant-api03"), "{finding:?}");
    }
}

#[test]
fn models_known_and_allowed() {
    check(json!({ "model": "claude-opus-5-5[1m]", "advisorModel": "sonnet" }), &[]);
    check(json!({ "model": "claude-opus-9" }), &["unknown-model model"]);
    check(json!({ "fallbackModel": ["claude-opus-4-1"] }), &["retired-model fallbackModel[0]"]);
    check(
        json!({ "env": { "ANTHROPIC_DEFAULT_OPUS_MODEL": "gpt" } }),
        &["unknown-model env.ANTHROPIC_DEFAULT_OPUS_MODEL"],
    );
    check(json!({ "availableModels": ["sonnet"] }), &["models-not-enforced availableModels"]);
    check(json!({ "enforceAvailableModels": true }), &["needs-other enforceAvailableModels"]);
    let enforced = |model: &str| json!({ "availableModels": ["claude-sonnet-5-5"], "enforceAvailableModels": true, "model": model });
    check(enforced("sonnet"), &[]);
    check(enforced("opus"), &["model-not-allowed model"]);
    check(json!({ "deniedModels": ["opus"], "model": "opus" }), &["model-not-allowed model"]);
}

#[test]
fn what_the_gateway_can_and_cannot_deliver() {
    let on_gateway = |value| found_on(Channel::Gateway, value);
    assert_eq!(on_gateway(json!({ "forceLoginMethod": "gateway" })), ["login-key forceLoginMethod"]);
    assert_eq!(
        on_gateway(json!({ "wslInheritsWindowsSettings": true })),
        ["ignored-remotely wslInheritsWindowsSettings"]
    );
    assert_eq!(on_gateway(json!({ "mcpServers": {} }))[0], "ignored-remotely mcpServers");
    assert_eq!(on_gateway(json!({ "hooks": { "Stop": [] } })), ["approval-dialog hooks", "two-people hooks"]);
    assert_eq!(on_gateway(json!({ "claudeMd": "Be kind." })), ["approval-dialog claudeMd"]);
    assert_eq!(
        on_gateway(json!({ "env": { "OTEL_EXPORTER_OTLP_ENDPOINT": "https://o.example" } })),
        [
            "telemetry-endpoint env.OTEL_EXPORTER_OTLP_ENDPOINT",
            "approval-dialog env.OTEL_EXPORTER_OTLP_ENDPOINT"
        ]
    );
    assert_eq!(
        on_gateway(
            json!({ "env": { "CLAUDE_CODE_ENABLE_TELEMETRY": "1", "CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1" } })
        ),
        ["approval-dialog env.CLAUDE_CODE_GATEWAY_HINT_HEADERS"]
    );
    assert_eq!(
        on_gateway(json!({ "permissions": { "deny": ["WebFetch"] }, "companyAnnouncements": ["Hello"] })),
        [""; 0]
    );
}

#[test]
fn keys_that_need_or_hinder_one_another() {
    let network = |network: Value| json!({ "sandbox": { "network": network } });
    check(
        network(json!({ "allowManagedDomainsOnly": true, "allowedDomains": [] })),
        &["lock-without-list sandbox.network.allowManagedDomainsOnly"],
    );
    check(network(json!({ "allowManagedDomainsOnly": true, "allowedDomains": ["example.com"] })), &[]);
    check(json!({ "allowManagedMcpServersOnly": true }), &["lock-without-list allowManagedMcpServersOnly"]);
    check(json!({ "strictKnownMarketplaces": [] }), &["allows-nothing strictKnownMarketplaces"]);
    check(
        json!({ "forceLoginMethod": "gateway", "apiKeyHelper": "/bin/key" }),
        &["login-blocks-credential forceLoginMethod", "two-people apiKeyHelper"],
    );
    check(
        json!({ "proxyAuthHelper": "/bin/p" }),
        &["needs-other proxyAuthHelper", "two-people proxyAuthHelper"],
    );
    check(
        json!({ "proxyAuthHelper": "/bin/p", "env": { "CLAUDE_CODE_ENABLE_PROXY_AUTH_HELPER": "1" } }),
        &["two-people proxyAuthHelper"],
    );
    check(json!({ "allowedProviders": ["customEndpoint"] }), &["needs-other allowedProviders"]);
    check(
        json!({ "disableAllHooks": true, "hooks": { "Stop": [] } }),
        &["no-effect hooks", "two-people hooks"],
    );
    let old = Lint { oldest_client: Some(ClientVersion::parse("2.1.100").unwrap()), ..by(Channel::Machine) };
    let findings = lint(&document(json!({ "managedSourcesBehavior": "merge" })), &old);
    assert_eq!(findings[0].code, Code::NeedsNewerClient);
    check(json!({ "managedSourcesBehavior": "merge", "requiredMinimumVersion": "2.1.300" }), &[]);
}

#[test]
fn layers_that_did_not_get_through() {
    let layer = |rank, name: &str, settings, locks: &[&str]| {
        let locks = locks.iter().map(|lock| path_of(lock)).collect();
        Layer::new(LayerId { rank, name: name.to_owned() }, document(settings), locks).unwrap()
    };
    let merged = merge(
        &CATALOGUE,
        &[
            layer(Rank::Org, "acme", json!({ "model": "opus", "effortLevel": "low" }), &["model"]),
            layer(
                Rank::Project,
                "shop",
                json!({ "model": "haiku", "effortLevel": "high", "deniedModels": "x" }),
                &[],
            ),
        ],
    );
    let sentences: Vec<String> = lint_merge(&merged.unwrap(), &CATALOGUE)
        .iter()
        .map(|finding| finding.sentence(Language::English))
        .collect();
    assert_eq!(
        sentences,
        [
            "`deniedModels` of project shop is not taken: it would displace a deny-list, which only grows",
            "`model` of project shop is not taken: org acme has locked `model`",
            "`effortLevel` of org acme is overridden by project shop",
        ]
    );
}

#[test]
fn a_weaker_layer_that_redirects_a_credential() {
    let layer = |rank, name: &str, settings| {
        Layer::new(LayerId { rank, name: name.to_owned() }, document(settings), Vec::new()).unwrap()
    };
    let codes = |org: Value, user: Value| {
        let layers = [layer(Rank::Org, "acme", org), layer(Rank::User, "ada", user)];
        let found = lint_merge(&merge(&CATALOGUE, &layers).unwrap(), &CATALOGUE);
        found.iter().map(|finding| format!("{:?} {}", finding.code, finding.path)).collect::<Vec<_>>()
    };
    let address = json!({ "env": { "ANTHROPIC_BASE_URL": "https://elsewhere.example" } });
    let telemetry = json!({ "env": { "OTEL_EXPORTER_OTLP_HEADERS": "a=b" } });
    let helper = json!({ "apiKeyHelper": "/bin/key" });
    assert_eq!(codes(helper.clone(), address.clone()), ["CredentialRedirected env.ANTHROPIC_BASE_URL"]);
    assert_eq!(codes(telemetry, address.clone()), [""; 0]);
    assert_eq!(codes(address, helper), [""; 0]);
}

#[test]
fn findings_are_bounded() {
    let many: Vec<String> = (0..2000).map(|n| format!("bad {n}")).collect();
    let findings = lint(&document(json!({ "permissions": { "allow": many } })), &by(Channel::Machine));
    assert_eq!(findings.len(), MAX_FINDINGS);
    let long = lint(&document(json!({ "effortLevel": "{given}".repeat(1000) })), &by(Channel::Machine));
    assert!(long[0].sentence(Language::English).len() < 400, "{long:?}");
}

proptest! {
    /// Keys of the catalogue with values of any kind: nothing panics, and every finding has its sentences.
    #[test]
    fn any_document_is_judged(entries in prop::collection::vec((any::<prop::sample::Index>(), value()), 0..5)) {
        let keys: Vec<&Path> = CATALOGUE.keys().map(|key| &key.path).collect();
        let mut root = serde_json::Map::new();
        for (at, value) in entries {
            let mut path: Vec<Path> = at.get(&keys).and_above().collect();
            let top = path.pop().unwrap();
            let value = path.iter().fold(value, |value, path| json!({ path.last_key().unwrap(): value }));
            root.insert(top.last_key().unwrap().to_owned(), value);
        }
        for channel in [Channel::Gateway, Channel::Machine] {
            for finding in lint(&document(Value::Object(root.clone())), &by(channel)) {
                for language in [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese] {
                    prop_assert!(!finding.sentence(language).is_empty());
                }
            }
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "(Bash|Read|mcp__)[ ()a-z]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let key = "type|source|hooks|serverName|path|mode|[a-zA-Z_]{1,4}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}
