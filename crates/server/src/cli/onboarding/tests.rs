use gatehouse_domain::settings::lint::Language;

use super::*;

fn facts(mode: Mode) -> Facts {
    Facts {
        user: "ada@example.com".to_owned(),
        mode,
        gateway: "https://gw.example.com".to_owned(),
        signs_in: false,
        proxy: Some("http://proxy.example.com:3128".to_owned()),
        proxy_ca: Some("/etc/ca.pem".to_owned()),
        inspection: None,
    }
}

fn names(guide: &Guide) -> Vec<&str> {
    guide.variables.iter().map(|(name, _)| *name).collect()
}

#[test]
fn each_mode_needs_what_its_artifacts_say() {
    use gatehouse_domain::mode::Artifact;

    for mode in Mode::ALL {
        let guide = guide(&facts(mode), Os::Linux, Shell::Bash, text::words(Language::English));
        let names = names(&guide);
        for (artifact, name) in [
            (Artifact::BaseUrl, "ANTHROPIC_BASE_URL"),
            (Artifact::GatewayCredential, "ANTHROPIC_AUTH_TOKEN"),
            (Artifact::ProviderKey, "ANTHROPIC_API_KEY"),
            (Artifact::ProxyUrl, "HTTPS_PROXY"),
            (Artifact::ProxyCa, "NODE_EXTRA_CA_CERTS"),
        ] {
            assert_eq!(names.contains(&name), artifact.is_in(mode), "{mode} {name}");
        }
        let told = !mode.uses_gateway();
        assert_eq!(names.contains(&"OTEL_EXPORTER_OTLP_ENDPOINT"), told, "{mode}");
        assert_eq!(guide.settings.contains_key("proxyAuthHelper"), mode.uses_proxy(), "{mode}");
        assert!(!names.contains(&"CLAUDE_CODE_MODEL"), "the client does not know it");
        assert_eq!(guide.test.last().map(String::as_str), Some("claude -p \"say hi\""));
    }
}

#[test]
fn who_can_sign_in_gets_no_key_and_a_missing_proxy_is_said() {
    let words = text::words(Language::English);
    let signs_in = Facts { signs_in: true, ..facts(Mode::Gateway) };
    let guided = guide(&signs_in, Os::MacOs, Shell::Zsh, words);
    assert!(guided.variables.is_empty());
    assert_eq!(guided.settings["forceLoginGatewayUrl"], "https://gw.example.com");
    let without = Facts { proxy: None, ..facts(Mode::Proxy) };
    let guided = guide(&without, Os::Linux, Shell::Bash, words);
    assert!(
        guided.notes.contains(&words.no_proxy_url.to_owned()) && !names(&guided).contains(&"HTTPS_PROXY")
    );
}

#[test]
fn who_is_inspected_is_told_so_and_not_that_nobody_sees_their_prompts() {
    let inspected = || {
        Some(Inspection {
            hosts: "api.anthropic.com".to_owned(),
            notice: "Agreed with the works council.".to_owned(),
            ca_url: "https://gw.example.com/inspection/ca.pem".to_owned(),
        })
    };
    for language in [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese] {
        let words = text::words(language);
        let facts = Facts { proxy_ca: None, inspection: inspected(), ..facts(Mode::Proxy) };
        let guided = guide(&facts, Os::Windows, Shell::PowerShell, words);
        assert!(!guided.notes.contains(&words.claims.to_owned()), "{:?}", guided.notes);
        assert!(
            guided
                .notes
                .iter()
                .any(|note| note.starts_with(words.inspected) && note.ends_with("api.anthropic.com"))
        );
        assert!(guided.notes.contains(&"Agreed with the works council.".to_owned()));
        assert!(guided.steps.iter().any(|step| step.ends_with("/inspection/ca.pem")), "{:?}", guided.steps);
        let file = guided.variables.iter().find(|(name, _)| *name == "NODE_EXTRA_CA_CERTS").unwrap();
        assert_eq!(file.1, r"C:\ProgramData\Gatehouse\ca.pem");
    }
}

#[test]
fn values_cannot_leave_their_quotes() {
    for (shell, line) in [
        (Shell::Bash, r"export A='it'\''s $(x)'"),
        (Shell::Zsh, r"export A='it'\''s $(x)'"),
        (Shell::Fish, r"set -gx A 'it\'s $(x)'"),
        (Shell::PowerShell, "$env:A = 'it''s $(x)'"),
    ] {
        assert_eq!(shell.set("A", "it's $(x)"), line);
    }
}

/// No text is missing, and none is in the wrong script: these characters differ between the two.
#[test]
fn the_two_scripts_are_not_mixed() {
    let all = |w: &Words| {
        [
            w.title,
            w.mode,
            w.install,
            w.sign_in,
            w.no_key,
            w.gatehouse_key,
            w.gatehouse_key_telemetry,
            w.provider_key,
            w.keep_secret,
            w.claims,
            w.proxy_ca,
            w.proxy_sign_in,
            w.no_proxy_url,
            w.set,
            w.settings,
            w.run_test,
            w.test,
        ]
    };
    for (language, foreign) in [
        (Language::SimplifiedChinese, "網關閘實設變試戶員錄證個這請"),
        (Language::TraditionalChinese, "网关设变试户员录证个这请"),
    ] {
        for text in all(text::words(language)) {
            assert!(!text.is_empty() && !text.chars().any(|c| foreign.contains(c)), "{text}");
        }
    }
}
