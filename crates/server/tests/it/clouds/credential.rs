//! Credentials that are fetched, and renewed before they run out.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::{sse, wait};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{cloud, cloud_in, tempfile, wait_ready};
use crate::world::{MODEL, World, ask};

const VERTEX: &str = "kind = \"vertex\"\nregion = \"us-east5\"\nproject = \"acme-1\"\nbase_url = \"URL\"\ncredentials = \"file:FILE\"\n";

fn field(body: &[u8], name: &str) -> Option<String> {
    form_of(body).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn form_of(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body).into_owned();
    let decode = |part: &str| {
        let mut out = Vec::new();
        let mut bytes = part.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                    out.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                byte => out.push(byte),
            }
        }
        String::from_utf8(out).unwrap()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect()
}

/// The account's private key (PEM) and public key (DER), made once for all tests.
fn account_key() -> &'static (String, Vec<u8>) {
    static KEY: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").args(words).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    KEY.get_or_init(|| {
        let folder = gatehouse_testkit::folder();
        let file = folder.path().join("account.pem");
        let file = file.to_str().unwrap();
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file]);
        let public = openssl(&["rsa", "-in", file, "-RSAPublicKey_out", "-outform", "DER"]);
        (std::fs::read_to_string(file).unwrap(), public)
    })
}

/// The claims of an assertion that the account's key has signed.
fn claims(assertion: &str) -> Option<Value> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &account_key().1);
    key.verify(signed.as_bytes(), &Base64UrlUnpadded::decode_vec(signature).ok()?).ok()?;
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(signed.split('.').nth(1)?).ok()?).ok()
}

/// Google: a token endpoint that checks assertions and gives a token with this lifetime, and a model that wants the newest.
fn google(seconds: u64) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    let given = AtomicU32::new(0);
    move |seen| {
        if seen.line == "POST /token" {
            let claims = field(&seen.body, "assertion").as_deref().and_then(claims);
            let good = claims.is_some_and(|claims| {
                claims["iss"] == "robot@acme-1.iam.gserviceaccount.com"
                    && claims["aud"].as_str().is_some_and(|aud| aud.ends_with("/token"))
                    && claims["exp"]
                        .as_u64()
                        .zip(claims["iat"].as_u64())
                        .is_some_and(|(exp, iat)| exp == iat + 3600)
            });
            if !good {
                return sse::plain(
                    400,
                    &json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}),
                );
            }
            let n = given.fetch_add(1, Ordering::Relaxed) + 1;
            return sse::plain(
                200,
                &json!({"access_token": format!("ya29.{n}"), "expires_in": seconds, "token_type": "Bearer"}),
            );
        }
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        if !seen.header("authorization").is_some_and(|bearer| bearer.starts_with("Bearer ya29.")) {
            return sse::plain(
                401,
                &json!({"error": {"code": 401, "message": "Request had invalid authentication credentials.", "status": "UNAUTHENTICATED"}}),
            );
        }
        if body["anthropic_version"] != "vertex-2023-10-16" || body.get("model").is_some() {
            return sse::plain(
                400,
                &json!({"error": {"code": 400, "message": "bad form", "status": "INVALID_ARGUMENT"}}),
            );
        }
        if body["stream"] == true {
            return sse::streamed(MODEL, "forty-two", &sse::usage(10, 5));
        }
        sse::message(MODEL, "forty-two", &sse::usage(10, 5))
    }
}

fn account(folder: &std::path::Path, url: &str) -> std::path::PathBuf {
    let path = folder.join("account.json");
    let file = json!({"type": "service_account", "client_email": "robot@acme-1.iam.gserviceaccount.com",
        "private_key_id": "k1", "private_key": account_key().0, "token_uri": url});
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

/// Waits until the credential has come.
fn wait_credential(w: &World) {
    wait::until("the credential to come", || {
        let list = w.gatehouse.json(&["provider", "list"]).to_string();
        (!list.contains("no valid credential")).then_some(())
    });
}

#[test]
fn vertex_is_reached_with_a_service_accounts_token_that_is_renewed() {
    let folder = tempfile();
    // The token endpoint is named in the file, so it listens before the server starts.
    let tokens = gatehouse_testkit::provider::FakeProvider::start(google(2));
    let path = account(&folder, &format!("{}/token", tokens.url));
    let w = cloud_in(VERTEX, Some(&path), google(2));
    wait_credential(&w);
    for (stream, act) in [(false, "rawPredict"), (true, "streamRawPredict")] {
        let reply = w.gatehouse.post(&w.key, &ask(stream));
        assert_eq!((reply.status, reply.complete), (200, true), "{}", reply.text());
        assert!(reply.text().contains("forty-two"));
        let seen = w.provider.seen();
        assert_eq!(
            seen.line,
            format!("POST /v1/projects/acme-1/locations/us-east5/publishers/anthropic/models/{MODEL}:{act}")
        );
        assert_eq!(seen.header("x-api-key"), None);
    }
    // A token lives for two seconds: another one comes before that, and is the one that is shown.
    wait::until("a renewed token to be shown", || {
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        let shown = w.provider.seen().header("authorization").unwrap().to_owned();
        (shown != "Bearer ya29.1").then_some(())
    });
    let all = w.gatehouse.exchanges();
    assert!(
        all.iter().all(|e| e["ended"] == "completed" && e["cost_nanos"] == 10 * 2_000 + 5 * 10_000),
        "{all:#?}"
    );
    assert!(!w.gatehouse.log().contains("ya29."), "a token is in the log");
    drop(std::fs::remove_dir_all(folder));
}

#[test]
fn without_a_credential_nothing_is_sent_and_the_node_is_not_ready() {
    let folder = tempfile();
    let tokens = gatehouse_testkit::provider::FakeProvider::start(google(1));
    let path = account(&folder, &format!("{}/token", tokens.url));
    let w = cloud_in(&format!("{VERTEX}serves = [\"claude-*\"]\n"), Some(&path), google(3600));
    wait_credential(&w);
    tokens.now(|_| sse::plain(500, &json!({"error": {"message": "no"}})));
    let reply = wait::until("the token to run out", || {
        let reply = w.gatehouse.post(&w.key, &ask(false));
        (reply.status != 200).then_some(reply)
    });
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str().unwrap()), (503, "api_error"));
    tokens.now(google(3600));
    wait::until("a token to come again", || {
        (w.gatehouse.post(&w.key, &ask(false)).status == 200).then_some(())
    });
    wait_ready(&w, 200);
    drop(std::fs::remove_dir_all(folder));
}

/// Amazon: gives keys for a role, and a model that wants to see them.
fn amazon(seen: &Seen) -> Vec<Act> {
    if seen.line == "POST /" {
        let action = field(&seen.body, "Action").unwrap_or_default();
        let good = match action.as_str() {
            "AssumeRole" => {
                let signature = seen.header("authorization").unwrap_or_default();
                signature.contains("Credential=sk-upstream-0123456789/")
                    && signature.contains("/us-east-1/sts/aws4_request")
                    && field(&seen.body, "ExternalId").as_deref() == Some("e-1")
            }
            "AssumeRoleWithWebIdentity" => {
                field(&seen.body, "WebIdentityToken").as_deref() == Some("eyJ.platform.token")
            }
            _ => false,
        };
        let is_role =
            field(&seen.body, "RoleArn").as_deref() == Some("arn:aws:iam::123456789012:role/gatehouse");
        if !good || !is_role {
            return sse::plain(403, &json!({}));
        }
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s+/=</SecretAccessKey>\
             <SessionToken>session==</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
            iso(until)
        );
        return vec![Act::Send(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        )];
    }
    let signature = seen.header("authorization").unwrap_or_default();
    if !signature.contains("Credential=ASIAROLE/") || seen.header("x-amz-security-token") != Some("session==")
    {
        return sse::plain(403, &json!({"message": "no"}));
    }
    sse::message(MODEL, "forty-two", &sse::usage(1, 1))
}

/// `2026-11-28T03:04:05Z`.
fn iso(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut left) = (1970, days);
    // The century's rule does not matter before 2100.
    let length = |year: u64| if year.is_multiple_of(4) { 366 } else { 365 };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z", left + 1, rest / 3600, rest / 60 % 60, rest % 60)
}

#[test]
fn a_role_is_taken_on_with_keys_and_with_a_platforms_token() {
    let folder = tempfile();
    let path = folder.join("token");
    std::fs::write(&path, "eyJ.platform.token\n").unwrap();
    let common = "kind = \"bedrock\"\nregion = \"us-east-1\"\nbase_url = \"URL\"\nsts_url = \"URL\"\n\
        role_arn = \"arn:aws:iam::123456789012:role/gatehouse\"\n";
    for more in [
        "access_key_id = \"env:UPSTREAM_KEY\"\nsecret_access_key = \"env:OIDC_SECRET\"\nexternal_id = \"e-1\"\n",
        "web_identity_token_file = \"FILE\"\n",
    ] {
        let w = cloud_in(&format!("{common}{more}"), Some(&path), amazon);
        let reply = wait::until("the role to be taken on", || {
            let reply = w.gatehouse.post(&w.key, &ask(false));
            (reply.status != 503).then_some(reply)
        });
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!w.gatehouse.log().contains("session=="), "a token is in the log");
        let list = w.gatehouse.json(&["provider", "list"]).to_string();
        assert!(list.contains("bedrock") && list.contains("\"ok\""), "{list}");
    }
    drop(std::fs::remove_dir_all(folder));
}

/// Amazon, which gives keys of its own to each session with tags, and a model that says whose keys it was shown.
fn tagging(seen: &Seen) -> Vec<Act> {
    if seen.line == "POST /" {
        let tags = |name: &str| field(&seen.body, name).unwrap_or_default();
        let session = tags("RoleSessionName");
        let key = match tags("Tags.member.1.Key").as_str() {
            "user" => format!("ASIA.{}.{}", tags("Tags.member.1.Value"), tags("Tags.member.2.Key")),
            _ => "ASIANOBODY".to_owned(),
        };
        let is_told = key == "ASIANOBODY" || session == format!("gatehouse-{}", tags("Tags.member.1.Value"));
        if !is_told {
            return sse::plain(403, &json!({}));
        }
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
        let body = format!(
            "<x><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>{}</Expiration></x>",
            iso(until)
        );
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
        return vec![Act::Send((head + &body).into_bytes())];
    }
    let signature = seen.header("authorization").unwrap_or_default();
    let key = signature.split(['=', '/']).nth(1).unwrap_or_default().to_owned();
    sse::message(MODEL, &key, &sse::usage(1, 1))
}

#[test]
fn each_user_has_keys_whose_tags_say_so() {
    let settings = "kind = \"bedrock\"\nregion = \"us-east-1\"\nbase_url = \"URL\"\nsts_url = \"URL\"\n\
        role_arn = \"arn:aws:iam::123456789012:role/gatehouse\"\naccess_key_id = \"env:UPSTREAM_KEY\"\n\
        secret_access_key = \"env:OIDC_SECRET\"\nsession_tags = [\"user\", \"team\"]\n";
    let w = cloud(settings, tagging);
    wait_credential(&w);
    let (_, other) = w.gatehouse.key("other@example.com", &[]);
    let said = |key: &str| {
        let reply = w.gatehouse.post(key, &ask(false));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let users = w.gatehouse.json(&["user", "list"]);
    let id = |email: &str| {
        let user = users.as_array().unwrap().iter().find(|user| user["email"] == email).unwrap();
        user["id"].as_str().unwrap().to_owned()
    };
    let (mine, others) = (id("dev@example.com"), id("other@example.com"));
    for _ in 0..2 {
        assert_eq!(said(&w.key), format!("ASIA.{mine}."), "no team is charged, so there is no tag of one");
        assert_eq!(said(&other), format!("ASIA.{others}."));
    }
    let mut asked = Vec::new();
    for _ in 0..w.provider.unseen() {
        let seen = w.provider.seen();
        if seen.line == "POST /" {
            asked.extend(field(&seen.body, "Tags.member.1.Value"));
        }
    }
    assert_eq!(asked, [mine, others], "once each");
    // Nobody's request goes with another's keys, nor with the role's own.
    w.provider.now(|seen| if seen.line == "POST /" { sse::plain(403, &json!({})) } else { tagging(seen) });
    let (_, third) = w.gatehouse.key("third@example.com", &[]);
    assert_eq!(w.gatehouse.post(&third, &ask(false)).status, 503);
    assert_eq!(w.provider.unseen(), 1, "only the role was asked for");
}

#[test]
fn a_provider_whose_role_is_refused_says_so() {
    let settings = "kind = \"bedrock\"\nregion = \"us-east-1\"\nbase_url = \"URL\"\nsts_url = \"URL\"\n\
        role_arn = \"arn:aws:iam::123456789012:role/other\"\naccess_key_id = \"env:UPSTREAM_KEY\"\n\
        secret_access_key = \"env:OIDC_SECRET\"\n";
    let w = cloud(settings, amazon);
    let reply = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    wait::until("the log to tell", || {
        let log = w.gatehouse.log();
        log.contains("the service answered with 403").then_some(())
    });
    assert!(w.gatehouse.json(&["provider", "list"]).to_string().contains("no valid credential"));
}
