//! Configuration, metadata, and the choice of a source.

use super::*;

#[tokio::test]
async fn metadata_that_cannot_be_trusted_is_refused() {
    for (changes, part) in [
        (json!({"issuer": "https://idp.example.com/"}), "exactly as it names itself"),
        (json!({"issuer": "https://evil.example.com"}), "exactly as it names itself"),
        (json!({"issuer": null}), "no JSON object"),
        (json!({"jwks_uri": "http://idp.example.com/keys"}), "`jwks_uri`"),
        (json!({"jwks_uri": "http://127.0.0.1/keys"}), "`jwks_uri`"),
        (json!({"token_endpoint": "http://idp.example.com/token"}), "`token_endpoint`"),
        (json!({"token_endpoint": "file:///etc/passwd"}), "`token_endpoint`"),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), "`authorization_endpoint`"),
        (json!({"userinfo_endpoint": "https://u:p@idp.example.com/"}), "`userinfo_endpoint`"),
        (json!({"authorization_endpoint": null}), "has no `authorization_endpoint`"),
        (json!({"pad": "a".repeat(140_000)}), "longer than"),
    ] {
        let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
        idp.publish(ISSUER, changes.clone());
        let error = client.start(&idp.net, &[1; RANDOM_LEN], None, NOW).await.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn sign_in_goes_on_while_metadata_is_away() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let address = format!("{ISSUER}/.well-known/openid-configuration");
    begin(&idp, &client).await;
    idp.net.fail(&address);
    for hours in [2_i64, 12, 23] {
        let now = NOW.plus_millis(hours * 3_600_000);
        assert!(client.start(&idp.net, &[1; RANDOM_LEN], None, now).await.is_ok());
    }
    let now = NOW.plus_millis(25 * 3_600_000);
    assert!(client.start(&idp.net, &[1; RANDOM_LEN], None, now).await.is_err());
}

#[test]
fn all_mistakes_of_a_source_are_told_at_once() {
    let bad = SourceConfig {
        id: "Main IdP".to_owned(),
        label: String::new(),
        issuer: "http://idp.example.com".to_owned(),
        redirect_uri: "/callback".to_owned(),
        scopes: vec!["email".to_owned()],
        algorithms: vec!["HS256".to_owned()],
        domains: vec!["example".to_owned()],
        ..config("main", ISSUER)
    };
    let mistakes = Source::check(bad).err().unwrap();
    assert_eq!(mistakes.len(), 7, "{mistakes:?}");
    for algorithm in ["none", "HS256", "rs256", ""] {
        let bad = SourceConfig { algorithms: vec![algorithm.to_owned()], ..config("main", ISSUER) };
        assert_eq!(Source::check(bad).err(), Some(vec![BadSource::Algorithm(algorithm.to_owned())]));
    }
    let bad = SourceConfig { skew_seconds: 61, ..config("main", ISSUER) };
    assert!(Source::check(bad).is_err());
    for scope in ["open id", "a\"b", ""] {
        let bad =
            SourceConfig { scopes: vec!["openid".to_owned(), scope.to_owned()], ..config("main", ISSUER) };
        assert!(matches!(Source::check(bad).err().as_deref(), Some([BadSource::Scope(_)])), "{scope}");
    }
}

#[test]
fn the_domain_of_an_address_chooses_the_source() {
    let source = |id: &str, domains: &[&str]| {
        let domains = domains.iter().map(ToString::to_string).collect();
        Source::check(SourceConfig { domains, ..config(id, &format!("https://{id}.example.com")) })
            .ok()
            .unwrap()
    };
    let sources = Sources::new(vec![
        source("acme", &["acme.example", "*.acme.example"]),
        source("lab", &["lab.acme.example", "*.lab.acme.example"]),
        source("open", &[]),
        source("public", &[]),
    ])
    .ok()
    .unwrap();
    let choose = |address: &str| match sources.for_email(&Email::parse(address).unwrap()) {
        Choice::One(client) => client.source().id().to_string(),
        Choice::Several(clients) => format!("{} of", clients.len()),
        Choice::None => "none".to_owned(),
    };
    for (address, chosen) in [
        ("a@acme.example", "acme"),
        ("a@ACME.example", "acme"),
        ("a@x.acme.example", "acme"),
        ("a@lab.acme.example", "lab"),
        ("a@x.lab.acme.example", "lab"),
        ("a@evilacme.example", "2 of"),
        ("a@acme.example.evil.example", "2 of"),
    ] {
        assert_eq!(choose(address), chosen, "{address}");
    }
    let only = Sources::new(vec![source("acme", &["acme.example"])]).ok().unwrap();
    assert!(matches!(only.for_email(&Email::parse("a@b.example").unwrap()), Choice::None));
    assert!(only.find(&SourceId::parse("acme").unwrap()).is_some());

    let clash = |sources| Sources::new(sources).err().unwrap().to_string();
    assert!(clash(vec![source("a", &[]), source("a", &[])]).contains("called `a`"));
    assert!(clash(vec![source("a", &["x.example"]), source("b", &["X.example"])]).contains("domain"));
    let same = |id| Source::check(config(id, ISSUER)).ok().unwrap();
    assert!(clash(vec![same("a"), same("b")]).contains("same client"));
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(query in any::<String>()) {
        let _ = Callback::parse(&query);
        let _ = Callback::parse(&format!("state=s&code={query}"));
    }

    #[test]
    fn any_metadata_is_read_or_refused(text in any::<String>()) {
        let issuer = IssuerUrl::parse(ISSUER, Loopback::Refused).unwrap();
        let _ = Metadata::read(&issuer, text.as_bytes());
        let document = json!({"issuer": ISSUER, "jwks_uri": text, "token_endpoint": text}).to_string();
        if let Ok(metadata) = Metadata::read(&issuer, document.as_bytes()) {
            prop_assert_eq!(metadata.jwks_uri.scheme(), "https");
        }
    }
}
