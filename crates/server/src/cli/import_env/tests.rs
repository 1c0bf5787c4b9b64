use super::judge::judge;
use super::*;

/// Within the life of the models of the price table.
fn judged(text: &str) -> Judged {
    judge(&snippet::read(text), &PriceTable::builtin(), "2026-11-28T00:00:00Z".parse().unwrap())
}

fn codes(judged: &Judged) -> Vec<String> {
    judged.findings.iter().map(|one| format!("{} {}", one.code, one.name)).collect()
}

fn proposed<'a>(judged: &'a Judged, name: &str) -> Option<&'a str> {
    judged.proposed.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn assignments_of_all_shells_are_read() {
    for (line, name, value) in [
        ("export A=b", "A", "b"),
        ("    export A='b c' # why", "A", "b c"),
        ("A=\"b\"; export A", "A", "b"),
        ("> export A=b", "A", "b"),
        ("$ export A=b", "A", "b"),
        ("set -gx A 'b'", "A", "b"),
        ("$env:A = \"b\"", "A", "b"),
        ("setx A b", "A", "b"),
        ("set A=b", "A", "b"),
        ("export A=", "A", ""),
    ] {
        let found = snippet::read(line);
        let found: Vec<_> = found.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
        assert_eq!(found, [(name, value)], "{line}");
    }
    for line in ["# export A=b", "echo a", "if [ \"$A\" = b ]; then", "```bash", "1A=b", "a.b=c", ""] {
        assert!(snippet::read(line).is_empty(), "{line}");
    }
    let twice = snippet::read("export A=1\nexport A=2");
    assert_eq!((twice.len(), twice[0].value.as_str(), twice[0].line), (1, "2", 2));
}

#[test]
fn the_four_usual_snippets() {
    for (text, mode, expected, name, value) in [
        (
            "```bash\n    # direct\n    export ANTHROPIC_API_KEY=sk-ant-xxx\n    export CLAUDE_CODE_MODEL=claude-sonnet-4-20250514\n```> x",
            "direct",
            &[
                "secret-in-file ANTHROPIC_API_KEY",
                "ignored-variable CLAUDE_CODE_MODEL",
                "retired-model CLAUDE_CODE_MODEL",
            ][..],
            "ANTHROPIC_MODEL",
            "claude-sonnet-5-5",
        ),
        (
            "export ANTHROPIC_API_KEY=$(cat key)\nexport HTTPS_PROXY=https://proxy.company.com:8080\nexport HTTP_PROXY=http://proxy.company.com:8080",
            "proxy",
            &["https-proxy HTTPS_PROXY", "not-needed HTTP_PROXY"],
            "HTTPS_PROXY",
            "http://proxy.company.com:8080",
        ),
        (
            "export ANTHROPIC_BASE_URL=https://llm-gateway.company.com\nexport ANTHROPIC_AUTH_TOKEN=company-token",
            "gateway",
            &["secret-in-file ANTHROPIC_AUTH_TOKEN"],
            "ANTHROPIC_AUTH_TOKEN",
            "gh_YOUR_KEY",
        ),
        (
            "export ANTHROPIC_BASE_URL=https://llm-gateway.company.com\nexport ANTHROPIC_AUTH_TOKEN=company-token\nexport HTTPS_PROXY=https://proxy.company.com:8080",
            "hybrid",
            &["secret-in-file ANTHROPIC_AUTH_TOKEN", "https-proxy HTTPS_PROXY"],
            "ANTHROPIC_BASE_URL",
            "https://llm-gateway.company.com",
        ),
    ] {
        let judged = judged(text);
        assert_eq!(
            (judged.mode.as_str(), codes(&judged)),
            (mode, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{text}"
        );
        assert_eq!(proposed(&judged, name), Some(value), "{text}");
        assert_eq!(proposed(&judged, "CLAUDE_CODE_MODEL"), None);
        assert!(judged.settings["env"]["ANTHROPIC_AUTH_TOKEN"].is_null());
    }
}

#[test]
fn what_does_not_work_is_said() {
    for (line, code) in [
        ("HTTPS_PROXY=socks5://p:1", "socks-proxy HTTPS_PROXY"),
        ("HTTPS_PROXY=proxy:8080", "bad-proxy HTTPS_PROXY"),
        ("HTTPS_PROXY=http://u:canary@p:1", "secret-in-file HTTPS_PROXY"),
        ("ALL_PROXY=socks5://p:1", "ignored-variable ALL_PROXY"),
        ("NODE_TLS_REJECT_UNAUTHORIZED=0", "no-certificate-check NODE_TLS_REJECT_UNAUTHORIZED"),
        ("ANTHROPIC_BASE_URL=http://gw.corp:8080", "plain-http ANTHROPIC_BASE_URL"),
        ("ANTHROPIC_BASE_URL=https://gw.corp/v1/", "bad-base-url ANTHROPIC_BASE_URL"),
        ("CLAUDE_CODE_ENABLE_TELEMETRY=1", "no-exporter CLAUDE_CODE_ENABLE_TELEMETRY"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT=http://o", "no-protocol OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("CLAUDE_CODE_MODLE=x", "unknown-variable CLAUDE_CODE_MODLE"),
    ] {
        let judged = judged(line);
        assert!(codes(&judged).contains(&code.to_owned()), "{line}: {:?}", codes(&judged));
    }
    assert!(judged("ANTHROPIC_BASE_URL=http://127.0.0.1:8080").findings.is_empty());
}

#[test]
fn no_secret_comes_out() {
    let judged = judged(
        "export ANTHROPIC_API_KEY=canary-1\nANTHROPIC_AUTH_TOKEN=canary-2\nHTTPS_PROXY=https://me:canary-3@proxy:8080\n\
         OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer canary-4'\nANTHROPIC_CUSTOM_HEADERS='x: canary-5'",
    );
    let told = as_json(&judged).to_string();
    assert!(!told.contains("canary"), "{told}");
}
