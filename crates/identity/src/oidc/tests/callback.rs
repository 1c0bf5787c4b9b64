//! The browser's return, and everything that is wrong with it.

use super::*;

#[tokio::test]
async fn a_return_that_is_not_ours_is_refused() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    idp.grants(&person(visit.nonce(), json!({})));
    let state = visit.state();
    let refused = async |query: &str, now| match visit.returns_with(&idp, &client, query, now).await {
        Err(SignInError::Callback(error)) => error,
        Err(other) => panic!("{query}: {other}"),
        Ok(_) => panic!("{query}: accepted"),
    };
    assert_eq!(refused("code=c&state=other", NOW).await, CallbackError::State);
    assert_eq!(refused("code=c&state=", NOW).await, CallbackError::State);
    let query = format!("code=c&state={state}");
    assert_eq!(refused(&query, NOW.plus_millis(600_000)).await, CallbackError::Expired);
    let mixed = refused(&format!("{query}&iss=https%3A%2F%2Fevil.example.com"), NOW).await;
    assert!(matches!(mixed, CallbackError::MixedUp { .. }), "{mixed}");
    let query = format!("error=access_denied&error_description=no%0d%0aX%3A+1&state={state}");
    let denied = refused(&query, NOW).await;
    let CallbackError::Refused { error, description } = &denied else { panic!("{denied}") };
    assert_eq!((error.as_str(), description.as_str()), ("access_denied", "no\\r\\nX: 1"));

    // Another browser, which somebody talked into following the link.
    for cookie in [None, Some(""), Some("AAAA")] {
        let callback = Callback::parse(&format!("code=c&state={state}")).unwrap();
        let error =
            client.finish(&idp.net, visit.pending.clone(), callback, cookie, NOW).await.err().unwrap();
        assert_eq!(error, SignInError::Callback(CallbackError::Browser));
    }
    assert_eq!(idp.net.count(&format!("{ISSUER}/token")), 0, "no code left the house");
}

#[test]
fn queries_that_cannot_be_read_are_refused() {
    for query in [
        "",
        "code=c",
        "state=s",
        "code=c&state=s&state=t",
        "code=c&code=d&state=s",
        "code=c&error=e&state=s",
        "iss=a&iss=b&code=c&state=s",
        &format!("code={}&state=s", "c".repeat(17_000)),
    ] {
        assert!(matches!(Callback::parse(query), Err(CallbackError::Malformed(_))), "{query}");
    }
    assert!(Callback::parse("code=c&state=s&session_state=x&utm=1&utm=2").is_ok());
}

#[tokio::test]
async fn a_replayed_state_finds_nothing() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    let mut table = PendingTable::new(2);
    table.insert(visit.pending.clone(), "grant", NOW).unwrap();
    let callback = Callback::parse(&format!("code=c&state={}", visit.state())).unwrap();
    let other = Callback::parse("code=c&state=other").unwrap();
    assert!(table.take(&other, NOW).is_none());
    let (pending, purpose) = table.take(&callback, NOW).unwrap();
    assert_eq!((pending.source().unwrap().as_str(), purpose), ("main", "grant"));
    assert!(table.take(&callback, NOW).is_none(), "used");

    // Kept elsewhere and read again, it is the same; too old, it is gone.
    let again = Pending::from_bytes(&pending.to_bytes()).unwrap();
    table.insert(again, "grant", NOW).unwrap();
    assert!(table.take(&callback, NOW.plus_millis(600_000)).is_none());
    assert!(Pending::from_bytes(b"{}").is_none());
}

#[tokio::test]
async fn a_full_table_refuses_new_ones_and_drops_old_ones() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let mut table = PendingTable::new(2);
    let pending =
        async |n: u8| client.start(&idp.net, &[n; RANDOM_LEN], None, NOW).await.ok().unwrap().pending;
    table.insert(pending(1).await, (), NOW).unwrap();
    table.insert(pending(2).await, (), NOW).unwrap();
    assert!(table.insert(pending(3).await, (), NOW).is_err());
    table.insert(pending(3).await, (), NOW.plus_millis(600_000)).unwrap();
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    const OTHER: &str = "https://other.example.com";
    let idp = Idp::new();
    idp.publish(OTHER, json!({}));
    let (ours, theirs) = (client(config("main", ISSUER)), client(config("other", OTHER)));
    let visit = begin(&idp, &ours).await;
    idp.grants(&person(visit.nonce(), json!({})));
    // The return goes to the other source, which would send our code to its token endpoint.
    let callback = Callback::parse(&format!("code=c&state={}", visit.state())).unwrap();
    let error =
        theirs.finish(&idp.net, visit.pending.clone(), callback, Some(&visit.cookie), NOW).await.err();
    assert!(matches!(error, Some(SignInError::Callback(CallbackError::MixedUp { .. }))));
    assert_eq!(idp.net.count(&format!("{OTHER}/token")), 0);
    // A source whose issuer was changed meanwhile is another one, too.
    let moved = client(config("main", OTHER));
    let callback = Callback::parse(&format!("code=c&state={}", visit.state())).unwrap();
    let error = moved.finish(&idp.net, visit.pending.clone(), callback, Some(&visit.cookie), NOW).await.err();
    assert!(matches!(error, Some(SignInError::Callback(CallbackError::MixedUp { .. }))));
}

#[tokio::test]
async fn an_issuer_that_promises_to_name_itself_must() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    idp.publish(ISSUER, json!({"authorization_response_iss_parameter_supported": true}));
    let visit = begin(&idp, &client).await;
    idp.grants(&person(visit.nonce(), json!({})));
    let error = visit.returns(&idp, &client, "").await.err().unwrap();
    assert_eq!(error, SignInError::Callback(CallbackError::Unnamed(ISSUER.to_owned())));
    let error = visit.returns(&idp, &client, "&iss=https%3A%2F%2Fidp.example.com%2F").await.err().unwrap();
    assert!(matches!(error, SignInError::Callback(CallbackError::MixedUp { .. })), "{error}");
    assert!(visit.returns(&idp, &client, "&iss=https%3A%2F%2Fidp.example.com").await.is_ok());
}
