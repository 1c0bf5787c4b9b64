//! Asking again after the sign-in.

use super::*;

#[tokio::test]
async fn refusals_and_outages_of_the_token_endpoint_are_told_apart() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let endpoint = format!("{ISSUER}/token");
    let token = Secret::new(b"rt".to_vec());
    for (status, body, is_final) in [
        (400, json!({"error": "invalid_grant", "error_description": "revoked"}), true),
        (401, json!({"error": "invalid_grant"}), true),
        (400, json!({"error": "interaction_required"}), true),
        (401, json!({"error": "invalid_client"}), false),
        (400, json!({"error": "unauthorized_client"}), false),
        (400, json!({"error": "temporarily_unavailable"}), false),
        (400, json!("no"), false),
        (404, json!({}), false),
        (429, json!({"error": "invalid_grant"}), false),
        (500, json!({"error": "invalid_grant"}), false),
        (503, json!({}), false),
        (302, json!({"error": "invalid_grant"}), false),
        (200, json!([]), false),
        (200, json!({"token_type": "DPoP", "access_token": "at"}), false),
    ] {
        idp.net.answer(&endpoint, status, &body);
        let error = client.refresh(&idp.net, &token, "alice-1", NOW).await.err().unwrap();
        assert_eq!(error.is_final(), is_final, "{status} {body}: {error}");
    }
    idp.net.fail(&endpoint);
    assert!(!client.refresh(&idp.net, &token, "alice-1", NOW).await.err().unwrap().is_final());
}

#[tokio::test]
async fn a_refresh_tells_what_has_changed() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let token = Secret::new(b"old".to_vec());
    idp.grants(&person("-", json!({"groups": ["dev", "ops"]})));
    let still = client.refresh(&idp.net, &token, "alice-1", NOW).await.ok().unwrap();
    assert_eq!(still.who.unwrap().groups, Groups::Listed(vec!["dev".to_owned(), "ops".to_owned()]));
    assert_eq!(still.refresh_token.unwrap().expose(), b"rt");
    let (form, _) = idp.net.last(&format!("{ISSUER}/token"));
    assert_eq!(form.unwrap(), "grant_type=refresh_token&refresh_token=old");

    let error = client.refresh(&idp.net, &token, "bob-2", NOW).await.err().unwrap();
    assert!(error.is_final() && error == SignInError::OtherSubject);

    // Without an ID token, userinfo says whether the groups are still the same.
    idp.net.answer(&format!("{ISSUER}/token"), 200, &json!({"access_token": "at", "token_type": "bearer"}));
    idp.net.answer(&format!("{ISSUER}/userinfo"), 200, &json!({"sub": "alice-1", "groups": []}));
    let still = client.refresh(&idp.net, &token, "alice-1", NOW).await.ok().unwrap();
    assert_eq!(still.who.unwrap().groups, Groups::Listed(vec![]));
    assert!(still.refresh_token.is_none(), "the old one stays");
}
