use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fake::FakeNet;
use crate::jwt::signer::{NOW, Signer, seconds};
use crate::oidc::Loopback;

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITLAB: &str = "https://gitlab.example.com";

fn rule(name: &str, platform: Platform, issuer: &str, claims: &[(&str, &[&str])]) -> RuleConfig {
    RuleConfig {
        name: name.to_owned(),
        platform,
        issuer: issuer.to_owned(),
        loopback: Loopback::Refused,
        audience: "gatehouse".to_owned(),
        claims: claims
            .iter()
            .map(|(path, any)| ((*path).to_owned(), any.iter().map(ToString::to_string).collect()))
            .collect(),
        service: format!("service-{name}"),
    }
}

/// Publishes an issuer's metadata and key.
fn publish(net: &FakeNet, issuer: &str, signer: &Signer, kid: &str) {
    let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
    net.answer(&format!("{issuer}/.well-known/openid-configuration"), 200, &metadata);
    net.answer(&format!("{issuer}/keys"), 200, &json!({"keys": [signer.jwk(kid)]}));
}

fn job(issuer: &str, changes: Value) -> Value {
    let mut claims = json!({
        "iss": issuer, "aud": "gatehouse", "iat": seconds(-1), "nbf": seconds(-1), "exp": seconds(300),
        "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "repository_owner": "acme",
        "repository_id": "74", "ref": "refs/heads/main", "ref_protected": "true", "run_attempt": 1,
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

#[tokio::test]
async fn the_first_rule_that_fits_decides() {
    let (net, github, gitlab) = (FakeNet::default(), Signer::p256(), Signer::p256());
    publish(&net, GITHUB, &github, "k");
    publish(&net, GITLAB, &gitlab, "k");
    let exchange = Exchange::new(vec![
        rule(
            "release",
            Platform::GitHub,
            GITHUB,
            &[("repository", &["acme/app", "acme/lib"]), ("ref", &["refs/heads/main", "refs/tags/*"])],
        ),
        rule("any", Platform::GitHub, GITHUB, &[("sub", &["repo:acme/*"])]),
        rule("lab", Platform::GitLab, GITLAB, &[("project_path", &["acme/*"]), ("ref_protected", &["true"])]),
    ])
    .ok()
    .unwrap();
    let ask = async |signer: &Signer, claims: Value| {
        exchange.exchange(&net, &signer.token("k", &claims), NOW).await.map(|exchanged| exchanged.service)
    };
    let no_rule = |error: ExchangeError| matches!(error, ExchangeError::NoRule { .. });

    assert_eq!(ask(&github, job(GITHUB, json!({}))).await, Ok("service-release".to_owned()));
    assert_eq!(ask(&github, job(GITHUB, json!({"ref": "refs/heads/x"}))).await, Ok("service-any".to_owned()));
    let evil = json!({"sub": "repo:acme-evil/app:ref:x", "repository": "acme-evil/app"});
    assert!(no_rule(ask(&github, job(GITHUB, evil)).await.unwrap_err()));
    let lab = json!({"sub": "project_path:acme/app", "project_path": "acme/app"});
    assert_eq!(ask(&gitlab, job(GITLAB, lab.clone())).await, Ok("service-lab".to_owned()));

    // One issuer's key with the same id does not speak for another.
    let refused = ask(&gitlab, job(GITHUB, json!({}))).await.unwrap_err();
    assert_eq!(refused, ExchangeError::Token(VerifyError::Token(JwtError::Signature)));
    let stranger = ask(&github, job("https://evil.example.com", json!({}))).await.unwrap_err();
    assert_eq!(stranger, ExchangeError::Issuer("https://evil.example.com".to_owned()));
    let elsewhere = ask(&github, job(GITHUB, json!({"aud": "sts.example.com"}))).await.unwrap_err();
    assert!(matches!(elsewhere, ExchangeError::Token(VerifyError::Token(JwtError::Audience(_)))));
    let old =
        ask(&github, job(GITHUB, json!({"exp": seconds(-60), "iat": seconds(-99), "nbf": seconds(-99)})))
            .await;
    assert_eq!(old, Err(ExchangeError::Token(VerifyError::Token(JwtError::Expired))));
}

#[tokio::test]
async fn an_audience_of_one_rule_is_not_good_for_another() {
    let (net, github) = (FakeNet::default(), Signer::p256());
    publish(&net, GITHUB, &github, "k");
    let mut second = rule("second", Platform::GitHub, GITHUB, &[("repository", &["acme/app"])]);
    second.audience = "other".to_owned();
    let first = rule("first", Platform::GitHub, GITHUB, &[("repository", &["acme/secret"])]);
    let exchange = Exchange::new(vec![first, second]).ok().unwrap();
    let token = github.token("k", &job(GITHUB, json!({})));
    assert!(matches!(exchange.exchange(&net, &token, NOW).await, Err(ExchangeError::NoRule { .. })));
}

#[test]
fn kubernetes_claims_are_reached() {
    let config = rule(
        "k8s",
        Platform::Kubernetes,
        "https://k8s.example.com",
        &[("kubernetes.io.namespace", &["ci"]), ("kubernetes.io.serviceaccount.name", &["runner*"])],
    );
    let rule = Rule::check(config).unwrap();
    let claims = |namespace: &str| {
        Claims {
        issuer: "https://k8s.example.com".to_owned(),
        subject: "system:serviceaccount:ci:runner".to_owned(),
        audience: vec!["gatehouse".to_owned()],
        expires_at: NOW,
        issued_at: None,
        nonce: None,
        person: crate::jwt::Person::default(),
        raw: json!({"kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": "runner-1", "uid": "u"}}})
            .as_object()
            .unwrap()
            .clone(),
    }
    };
    assert!(rule.fits(&claims("ci")));
    assert!(!rule.fits(&claims("ci-2")));
}

#[test]
fn rules_that_fit_anybody_are_refused() {
    use Platform::{GitHub, GitLab, Kubernetes, Other};
    let anybody = |platform, claims: &[(&str, &[&str])]| {
        let checked = Rule::check(rule("r", platform, "https://ci.example.com", claims));
        matches!(checked, Err(BadRule::Anybody(_)))
    };
    for (platform, claim, pattern, refused) in [
        (GitHub, "sub", "repo:*", true),
        (GitHub, "sub", "repo:acme*", true),
        (GitHub, "sub", "r*", true),
        (GitHub, "sub", "repo:/x", true),
        (GitHub, "sub", "repo:acme/*", false),
        (GitHub, "sub", "repo:acme/app:ref:refs/heads/main", false),
        (GitHub, "repository", "acme*", true),
        (GitHub, "repository", "acme/*", false),
        (GitHub, "repository_owner", "acme", false),
        (GitHub, "repository_owner", "acme*", true),
        (GitHub, "repository_owner_id", "7*", true),
        (GitHub, "ref", "refs/heads/main", true),
        (GitHub, "actor", "alice", true),
        (GitHub, "environment", "production", true),
        (GitHub, "job_workflow_ref", "acme/ci/.github/workflows/x.yml@refs/heads/main", true),
        (GitLab, "sub", "project_path:*", true),
        (GitLab, "sub", "project_path:acme/*", false),
        (GitLab, "namespace_path", "acme", false),
        (GitLab, "namespace_path", "acme*", true),
        (GitLab, "project_path", "acme/*", false),
        (GitLab, "ref_protected", "true", true),
        (Kubernetes, "sub", "system:serviceaccount:*", true),
        (Kubernetes, "sub", "system:serviceaccount:ci*", true),
        (Kubernetes, "sub", "system:serviceaccount:ci:*", false),
        (Kubernetes, "kubernetes.io.namespace", "ci", false),
        (Kubernetes, "kubernetes.io.namespace", "c*", true),
        (Other, "sub", "builds/*", false),
        (Other, "iss", "https://ci.example.com", true),
        (Other, "project", "p*", true),
        (Other, "project", "p", false),
    ] {
        assert_eq!(anybody(platform, &[(claim, &[pattern])]), refused, "{platform:?} {claim} {pattern}");
    }
    for platform in [GitHub, GitLab, Kubernetes, Other] {
        assert!(anybody(platform, &[]));
    }
    // One pattern that fits anybody spoils the list.
    assert!(anybody(GitHub, &[("sub", &["repo:acme/*", "repo:*"])]));
}

#[test]
fn mistakes_in_rules_are_told() {
    let check = |change: fn(&mut RuleConfig)| {
        let mut config = rule("r", Platform::GitHub, GITHUB, &[("repository", &["acme/app"])]);
        change(&mut config);
        Rule::check(config).map(|_| ()).map_err(|error| error.to_string())
    };
    for (change, part) in [
        ((|c| c.name.clear()) as fn(&mut RuleConfig), "`name`"),
        (|c| c.audience = "https://github.com/acme".to_owned(), "without asking"),
        (|c| c.issuer = "http://ci.example.com".to_owned(), "https://"),
        (|c| c.service = "a\nb".to_owned(), "`service`"),
        (|c| c.claims[0].1 = vec!["*".to_owned()], "matches everything"),
        (|c| c.claims[0].1 = vec!["**".to_owned()], "matches everything"),
        (|c| c.claims[0].1 = vec!["acme/*/x".to_owned()], "not at its end"),
        (|c| c.claims[0].1 = vec![], "1 to 50 patterns"),
        (|c| c.claims[0].1 = vec![String::new()], "1 to 512 bytes"),
        (|c| c.claims[0].0 = "a..b".to_owned(), "cannot name a claim"),
        (|c| c.claims.push(c.claims[0].clone()), "given twice"),
    ] {
        let error = check(change).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let good = || rule("r", Platform::GitHub, GITHUB, &[("repository", &["acme/app"])]);
    assert_eq!(Exchange::new(vec![good(), good()]).err(), Some(vec![BadRules::SameName("r".to_owned())]));
    assert_eq!(Exchange::new(vec![good(); 1001]).err(), Some(vec![BadRules::TooMany]));
}

#[test]
fn patterns_fit_text_lists_and_simple_values_only() {
    let fits = |pattern: &str, value: Value| Pattern::parse(pattern).unwrap().fits(&value);
    assert!(fits("a", json!("a")) && !fits("a", json!("ab")) && !fits("a", json!("A")));
    assert!(fits("a*", json!("ab")) && fits("a*", json!("a")) && !fits("a*", json!("ca")));
    assert!(fits("true", json!(true)) && fits("7", json!(7)));
    assert!(fits("a", json!(["b", "a"])) && !fits("a", json!([["a"]])) && !fits("a", json!({"a": "a"})));
    assert!(!fits("null", json!(null)));
}

proptest! {
    #[test]
    fn any_pattern_is_read_or_refused(text in any::<String>(), value in any::<String>()) {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(&pattern.to_string(), &text);
            let fixed = text.trim_end_matches('*');
            prop_assert_eq!(pattern.fits(&json!(value)), value == text || (fixed != text && value.starts_with(fixed)));
        }
    }
}
