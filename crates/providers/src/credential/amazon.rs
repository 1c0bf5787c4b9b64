//! Amazon's keys that run out: of roles (`AssumeRole` and `AssumeRoleWithWebIdentity` of the Security Token Service), of a
//! container's platform (ECS, EKS), and of a machine (the instance metadata service, version 2).

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;

use super::{Ask, NoCredential, Tag, refused, seconds};
use crate::sigv4::{AwsKeys, Scope, body_hash, sign};

/// A role that is to be taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name (ARN).
    pub arn: String,
    /// What the session is called in Amazon's logs.
    pub session: String,
    /// What the role's owner may ask for; empty for nothing.
    pub external_id: String,
    /// The service's address.
    pub sts_url: String,
    /// The region that requests are signed for.
    pub region: String,
}

/// Keys, and when they run out, in seconds since 1970.
pub struct Issued {
    /// The keys.
    pub keys: AwsKeys,
    /// When they run out.
    pub expires: u64,
}

impl Role {
    /// Asks for the role with keys; its session gets these tags.
    ///
    /// # Errors
    /// [`NoCredential::Request`].
    pub fn ask(&self, keys: &AwsKeys, tags: &[Tag], now: SystemTime) -> Result<Ask, NoCredential> {
        let mut fields = vec![("Action", "AssumeRole"), ("Version", "2011-06-15")];
        fields.extend([("RoleArn", self.arn.as_str()), ("RoleSessionName", self.session.as_str())]);
        if !self.external_id.is_empty() {
            fields.push(("ExternalId", &self.external_id));
        }
        let names: Vec<(String, String)> = (1..=tags.len())
            .map(|n| (format!("Tags.member.{n}.Key"), format!("Tags.member.{n}.Value")))
            .collect();
        for (tag, (key, value)) in tags.iter().zip(&names) {
            fields.extend([(key.as_str(), tag.key), (value.as_str(), tag.value.as_str())]);
        }
        let mut ask = self.form(&fields);
        let failed = |error: &dyn std::fmt::Display| NoCredential::Request(error.to_string());
        let uri: http::Uri = ask.url.parse().map_err(|error| failed(&error))?;
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        ask.headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|error| failed(&error))?);
        let scope = Scope { region: self.region.clone(), service: "sts".to_owned() };
        let hash = body_hash(&[ask.body.clone().into()]);
        let to = (&Method::POST, ask.url.as_str());
        sign(keys, &scope, to, &mut ask.headers, hash, now).map_err(|error| failed(&error))?;
        Ok(ask)
    }

    /// Asks for the role with a token that the platform has given.
    pub fn ask_with(&self, web_identity: &str) -> Ask {
        self.form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.arn),
            ("RoleSessionName", &self.session),
            ("WebIdentityToken", web_identity),
        ])
    }

    fn form(&self, fields: &[(&str, &str)]) -> Ask {
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        let body = super::form(fields);
        let url = format!("{}/", self.sts_url.trim_end_matches('/'));
        Ask { method: Method::POST, url, headers, body }
    }
}

/// Reads the service's answer, which is XML.
///
/// # Errors
/// [`NoCredential::Refused`] or [`NoCredential::Missing`].
pub fn read(status: u16, body: &[u8]) -> Result<Issued, NoCredential> {
    let text = std::str::from_utf8(body).map_err(|_| NoCredential::Missing("text"))?;
    if status != 200 {
        let said = element(text, "Message").or(element(text, "Code")).unwrap_or("nothing that helps");
        return Err(refused(status, said));
    }
    let part =
        |name| element(text, name).filter(|value| !value.is_empty()).ok_or(NoCredential::Missing(name));
    let (id, secret, token) = (part("AccessKeyId")?, part("SecretAccessKey")?, part("SessionToken")?);
    let expires = seconds(part("Expiration")?).ok_or(NoCredential::Missing("Expiration"))?;
    Ok(Issued { keys: AwsKeys::new(id, secret, Some(token)), expires })
}

/// Asks the platform of a container.
///
/// # Errors
/// [`NoCredential::Request`] if the authorization cannot be sent.
pub fn ask_container(url: &str, authorization: Option<&str>) -> Result<Ask, NoCredential> {
    let mut ask = get(url);
    if let Some(text) = authorization {
        ask.headers.insert(header::AUTHORIZATION, sensitive(text)?);
    }
    Ok(ask)
}

/// Asks a machine's metadata service for the token that its other answers want.
pub fn ask_instance_token(service: &str) -> Ask {
    let mut ask = get(&format!("{service}/latest/api/token"));
    ask.method = Method::PUT;
    ask.headers.insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static("60"));
    ask
}

/// Asks a machine's metadata service for its role's name (`role` is empty), or for that role's keys.
///
/// # Errors
/// [`NoCredential::Request`] if the token cannot be sent.
pub fn ask_instance(service: &str, token: &str, role: &str) -> Result<Ask, NoCredential> {
    let mut ask = get(&format!("{service}/latest/meta-data/iam/security-credentials/{role}"));
    ask.headers.insert("x-aws-ec2-metadata-token", sensitive(token)?);
    Ok(ask)
}

fn get(url: &str) -> Ask {
    Ask { method: Method::GET, url: url.to_owned(), headers: HeaderMap::new(), body: Vec::new() }
}

fn sensitive(text: &str) -> Result<HeaderValue, NoCredential> {
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| NoCredential::Request("a token cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a short answer that is text: a token, or a role's name.
///
/// # Errors
/// [`NoCredential::Refused`] or [`NoCredential::Missing`].
pub fn read_text(status: u16, body: &[u8]) -> Result<String, NoCredential> {
    if status != 200 {
        return Err(refused(status, "nothing that helps"));
    }
    let text = std::str::from_utf8(body).ok().and_then(|text| text.lines().next()).map(str::trim);
    text.filter(|text| !text.is_empty()).map(str::to_owned).ok_or(NoCredential::Missing("text"))
}

/// Reads the keys that a platform gives, which are JSON.
///
/// # Errors
/// [`NoCredential::Refused`] or [`NoCredential::Missing`].
pub fn read_platform(status: u16, body: &[u8]) -> Result<Issued, NoCredential> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if status != 200 {
        let said = answer["message"].as_str().or(answer["Message"].as_str());
        return Err(refused(status, said.unwrap_or("nothing that helps")));
    }
    let part =
        |name| answer[name].as_str().filter(|value| !value.is_empty()).ok_or(NoCredential::Missing(name));
    let (id, secret, token) = (part("AccessKeyId")?, part("SecretAccessKey")?, part("Token")?);
    let expires = seconds(part("Expiration")?).ok_or(NoCredential::Missing("Expiration"))?;
    Ok(Issued { keys: AwsKeys::new(id, secret, Some(token)), expires })
}

/// Reads the keys that a profile's command prints, which are JSON; those without an end live for an hour, say.
///
/// # Errors
/// [`NoCredential::Missing`].
pub fn read_process(printed: &[u8]) -> Result<Issued, NoCredential> {
    let printed: Value = serde_json::from_slice(printed).unwrap_or_default();
    let part = |name| printed[name].as_str().filter(|value| !value.is_empty());
    let (Some(id), Some(secret)) = (part("AccessKeyId"), part("SecretAccessKey")) else {
        return Err(NoCredential::Missing("AccessKeyId or SecretAccessKey"));
    };
    let expires = match part("Expiration") {
        Some(text) => seconds(text).ok_or(NoCredential::Missing("Expiration"))?,
        None => u64::MAX,
    };
    Ok(Issued { keys: AwsKeys::new(id, secret, part("SessionToken")), expires })
}

/// What stands in the first element of this name. Credentials hold no character that XML writes in another way.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Role {
        Role {
            arn: "arn:aws:iam::123456789012:role/x".to_owned(),
            session: "gatehouse".to_owned(),
            external_id: "e&1".to_owned(),
            sts_url: "https://sts.us-east-1.amazonaws.com".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }

    #[test]
    fn a_role_is_asked_for_with_a_signature_or_a_token() {
        let ask = role().ask(&AwsKeys::new("AK", "SK", Some("ST")), &[], SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(ask.url, "https://sts.us-east-1.amazonaws.com/");
        let body = String::from_utf8(ask.body).unwrap();
        assert_eq!(
            body,
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx\
             &RoleSessionName=gatehouse&ExternalId=e%261"
        );
        let signature = ask.headers["authorization"].to_str().unwrap();
        assert!(signature.contains("Credential=AK/19700101/us-east-1/sts/aws4_request"), "{signature}");
        assert_eq!(ask.headers["x-amz-security-token"], "ST");
        let tags = [Tag { key: "user", value: "u@1".to_owned() }, Tag { key: "team", value: "t".to_owned() }];
        let ask = role().ask(&AwsKeys::new("AK", "SK", None), &tags, SystemTime::UNIX_EPOCH).unwrap();
        let told =
            "&Tags.member.1.Key=user&Tags.member.1.Value=u%401&Tags.member.2.Key=team&Tags.member.2.Value=t";
        assert!(String::from_utf8(ask.body).unwrap().ends_with(told));
        let ask = role().ask_with("ey.J.x");
        assert!(
            ask.body.ends_with(b"&WebIdentityToken=ey.J.x") && !ask.headers.contains_key("authorization")
        );
    }

    #[test]
    fn what_a_command_prints_is_read() {
        let read = |text: &str| read_process(text.as_bytes());
        let issued = read(r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"s","SessionToken":"t"}"#);
        let issued = issued.unwrap_or_else(|e| panic!("{e}"));
        assert!(issued.keys == AwsKeys::new("a", "s", Some("t")) && issued.expires == u64::MAX);
        assert!(read(r#"{"AccessKeyId":"a"}"#).is_err() && read("no").is_err());
        let until = read(r#"{"AccessKeyId":"a","SecretAccessKey":"s","Expiration":"2026-11-28T03:04:05Z"}"#);
        assert_eq!(until.map(|issued| issued.expires).ok(), Some(1_795_835_045));
    }

    #[test]
    fn the_answer_is_read_and_a_refusal_told() {
        let answer = "<AssumeRoleResponse xmlns=\"x\"><AssumeRoleResult><Credentials>\
            <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey><SessionToken>t==</SessionToken>\
            <Expiration>2026-11-28T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let issued = read(200, answer.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert!(issued.keys == AwsKeys::new("ASIA1", "s/+=", Some("t==")));
        assert_eq!(issued.expires, 1_795_835_045);
        let no = |status, body: &str| read(status, body.as_bytes()).err().map(|e| e.to_string()).unwrap();
        let refusal = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>";
        assert_eq!(no(403, refusal), "the service answered with 403: not you");
        assert_eq!(no(500, "<html>"), "the service answered with 500: nothing that helps");
        assert_eq!(no(200, "<AccessKeyId>a</AccessKeyId>"), "the service's answer has no SecretAccessKey");
        assert_eq!(no(200, &answer.replace("2026-11", "x")), "the service's answer has no Expiration");
    }
}
