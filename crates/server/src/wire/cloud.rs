//! Clouds as configured, made ready for the data path.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gatehouse_gateway::settings::{Credential, Current, Face};
use gatehouse_identity::secret::Secret;
use gatehouse_providers::anthropic::CredentialKind;
use gatehouse_providers::cloud::{Dialect, Kind, Table};
use gatehouse_providers::credential::amazon;
use gatehouse_providers::credential::google::File;
use gatehouse_providers::credential::profile::{ProfileRole, Start};
use gatehouse_providers::sigv4::{AwsKeys, Scope};
use http::{HeaderName, HeaderValue};

use super::amazon::{KeySource, ProfileFiles, With};
use super::renewal::{Renewal, Services, What};
use super::tagged::PerUser;
use crate::config::{self, Amazon, Cloud, CloudCredential};
use crate::environment::Environment;

/// A cloud, made ready.
pub(super) struct Ready {
    pub(super) face: Face,
    pub(super) renewal: Option<Renewal>,
}

/// The table that a provider goes by.
pub(crate) fn table(provider: &config::Provider) -> Result<Option<Arc<Table>>, String> {
    let (Some(_), Some(path)) = (&provider.cloud, &provider.clouds_file) else {
        return Ok(provider.cloud.as_ref().map(|_| Arc::new(Table::built_in())));
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("clouds_file: cannot read `{shown}`: {error}"))?;
    let table =
        Table::parse(&text).map_err(|error| format!("clouds_file: `{shown}` cannot be used: {error}"))?;
    Ok(Some(Arc::new(table)))
}

/// Makes a cloud ready. `secrets` are those of [`config::Provider::secrets`], in their order.
pub(super) fn ready(
    (configured, cloud): (&config::Provider, &Cloud),
    secrets: &[Arc<Secret>],
    table: Arc<Table>,
    services: Services,
    environment: &Environment,
) -> Result<Ready, String> {
    let kind = configured.kind;
    let dialect = Dialect {
        kind,
        prefix: String::new(),
        place: (kind == Kind::Vertex).then(|| (cloud.project.clone(), cloud.region.clone())),
        profile: cloud.profile.clone(),
        models: cloud.models.clone(),
        headers: headers(kind, cloud)?,
        counts: cloud.counts,
        table,
    };
    let (credential, what) = match &cloud.credential {
        CloudCredential::Key => {
            let key = secrets.first().and_then(|key| key.expose_text()).ok_or("its key is not text")?;
            // Amazon and Google take keys as bearers; the others as they are told.
            let auth = match kind {
                Kind::Bedrock | Kind::Vertex => CredentialKind::Bearer,
                Kind::Anthropic | Kind::BedrockMantle | Kind::ClaudePlatformAws | Kind::Foundry => {
                    configured.auth
                }
            };
            let header =
                Credential::header(&configured.name, auth, key).map_err(|error| error.to_string())?;
            (header, None)
        }
        CloudCredential::Amazon(from) => {
            signing((&configured.name, kind, cloud), from, secrets, &services, environment)?
        }
        CloudCredential::Google(_) => {
            let text = secrets
                .first()
                .and_then(|file| file.expose_text())
                .ok_or("credentials: they are not text")?;
            let token: Arc<Current<HeaderValue>> = Arc::default();
            let what = match File::parse(text).map_err(|error| format!("credentials: {error}"))? {
                File::ServiceAccount(account) => What::ServiceAccount(account, Arc::clone(&token)),
                File::Workload(workload) => What::Workload(workload, Arc::clone(&token)),
            };
            (Credential::Token(token), Some(what))
        }
    };
    let state = Mutex::default();
    let renewal = what.map(|what| Renewal { provider: configured.name.clone(), what, services, state });
    Ok(Ready { face: Face::Cloud(Box::new(dialect), credential), renewal })
}

fn headers(kind: Kind, cloud: &Cloud) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    if kind != Kind::ClaudePlatformAws {
        return Ok(Vec::new());
    }
    let value =
        HeaderValue::from_str(&cloud.workspace).map_err(|_| "workspace: it cannot be sent in a header")?;
    Ok(vec![(HeaderName::from_static("anthropic-workspace-id"), value)])
}

/// Keys that sign: those that are given, those of a profile, of the environment, of a role, of the platform, in this order.
fn signing(
    (name, kind, cloud): (&str, Kind, &Cloud),
    from: &Amazon,
    secrets: &[Arc<Secret>],
    services: &Services,
    environment: &Environment,
) -> Result<(Credential, Option<What>), String> {
    let text = |at: usize| secrets.get(at).and_then(|secret| secret.expose_text());
    let given = from.keys.as_ref().and_then(|_| Some(With::Keys(AwsKeys::new(text(0)?, text(1)?, text(2)))));
    let file = from.role.as_ref().and_then(|role| role.token_file.clone()).map(With::TokenFile);
    let place = (from.sts_url.as_str(), cloud.region.as_str());
    let (mut roles, with) = match given.or(file) {
        Some(with) => (Vec::new(), with),
        None => chain(from, place, environment)?,
    };
    if let Some(role) = &from.role {
        roles.push(taken_on((&role.arn, &role.session, &role.external_id), place));
    }
    if !from.tags.is_empty() && matches!(with, With::TokenFile(_)) && roles.len() < 2 {
        return Err("session_tags: a web identity's session has the tags that are in its token".to_owned());
    }
    let service = kind.service().unwrap_or_default().to_owned();
    let scope = Scope { region: cloud.region.clone(), service };
    let keys: Arc<Current<AwsKeys>> = Arc::default();
    let what = if let (With::Keys(given), true) = (&with, roles.is_empty()) {
        keys.store(Some(Arc::new(given.clone())));
        None
    } else {
        Some(Arc::new(KeySource { with, roles, services: services.clone() }))
    };
    let tagged = what.as_ref().filter(|_| !from.tags.is_empty()).map(|source| {
        let (provider, source) = (name.to_owned(), Arc::clone(source));
        let of = PerUser { provider, source, tags: from.tags.clone(), held: Mutex::default() };
        Arc::new(of).handle(tokio::runtime::Handle::try_current().ok())
    });
    let what = what.map(|source| What::Amazon(source, Arc::clone(&keys)));
    Ok((Credential::Signing { scope, keys, tagged }, what))
}

/// Where keys come from that are not given: a profile that is named, the environment, a web identity of the environment, a
/// profile of the environment, the platform.
fn chain(
    from: &Amazon,
    place: (&str, &str),
    environment: &Environment,
) -> Result<(Vec<amazon::Role>, With), String> {
    if let Some(name) = &from.profile {
        return of_profile(name, place, environment).map_err(|error| format!("profile: {error}"));
    }
    if let Some(with) = of_environment(environment) {
        return Ok((Vec::new(), with));
    }
    if let Some((arn, file)) =
        environment.get("AWS_ROLE_ARN").zip(environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"))
    {
        // The token is good for a role that is named in the configuration as well; one with tags needs keys.
        let is_first = from.role.is_none() || !from.tags.is_empty();
        let session = environment.get("AWS_ROLE_SESSION_NAME").unwrap_or("gatehouse");
        let role = is_first.then(|| taken_on((arn, session, ""), place));
        return Ok((role.into_iter().collect(), With::TokenFile(file.into())));
    }
    match environment.get("AWS_PROFILE") {
        Some(name) => of_profile(name, place, environment).map_err(|error| format!("AWS_PROFILE: {error}")),
        None if ProfileFiles::of(environment)
            .is_some_and(|files| files.read().is_ok_and(|all| all.way("default").is_ok())) =>
        {
            of_profile("default", place, environment)
        }
        None => Ok((Vec::new(), of_platform(environment)?)),
    }
}

/// Where a profile's keys come from.
fn of_profile(
    name: &str,
    place: (&str, &str),
    environment: &Environment,
) -> Result<(Vec<amazon::Role>, With), String> {
    let files = ProfileFiles::of(environment)
        .ok_or("there are no profile files: set AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, or HOME")?;
    let way = files.read()?.way(name).map_err(|error| error.to_string())?;
    let with = match way.start {
        // Read again at each renewal, since other programs renew them there.
        Start::Keys(_) => With::Profile(files, way.profile),
        Start::TokenFile(path) => With::TokenFile(path.into()),
        Start::Process(command) => With::Process(command),
        Start::Environment => of_environment(environment).ok_or("AWS_ACCESS_KEY_ID is not set")?,
        Start::Container => of_container(environment)?.ok_or("the environment names no container's keys")?,
        Start::Instance => of_platform(environment)?,
    };
    let role = |role: &ProfileRole| {
        taken_on((&role.arn, role.session.as_deref().unwrap_or("gatehouse"), &role.external_id), place)
    };
    Ok((way.roles.iter().map(role).collect(), with))
}

fn of_environment(environment: &Environment) -> Option<With> {
    let (id, secret) = (environment.get("AWS_ACCESS_KEY_ID")?, environment.get("AWS_SECRET_ACCESS_KEY")?);
    Some(With::Keys(AwsKeys::new(id, secret, environment.get("AWS_SESSION_TOKEN"))))
}

/// What the platform of a container has, where the environment says that this is one.
fn of_container(environment: &Environment) -> Result<Option<With>, String> {
    let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let url = relative.map(|path| format!("http://169.254.170.2{path}"));
    if let Some(url) =
        url.or_else(|| environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned))
    {
        if !is_of_this_machine(&url) {
            return Err(format!(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI names `{url}`, which is neither https nor of this machine"
            ));
        }
        let token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        return Ok(Some(With::Container {
            url,
            token_file: environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
            token: token.map(|token| Arc::new(Secret::new(token.as_bytes().to_vec()))),
        }));
    }
    Ok(None)
}

/// What the platform has: of a container where this is one, else of the machine.
fn of_platform(environment: &Environment) -> Result<With, String> {
    if let Some(with) = of_container(environment)? {
        return Ok(with);
    }
    if environment.get("AWS_EC2_METADATA_DISABLED") == Some("true") {
        return Err("there are no keys for it: set access_key_id and secret_access_key, or role_arn and \
             web_identity_token_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_EC2_METADATA_DISABLED is set, so \
             the machine is not asked)"
            .to_owned());
    }
    let url = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or("http://169.254.169.254");
    Ok(With::Instance { url: url.trim_end_matches('/').to_owned() })
}

/// Whether what comes from an address can be believed without TLS: it is this machine's, or its platform's own.
fn is_of_this_machine(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    uri.scheme_str() == Some("https")
        || matches!(host, "localhost" | "169.254.170.2" | "169.254.170.23" | "fd00:ec2::23")
        || address.is_ok_and(|address| address.is_loopback())
}

fn taken_on(
    (arn, session, external_id): (&str, &str, &str),
    (sts_url, region): (&str, &str),
) -> amazon::Role {
    amazon::Role {
        arn: arn.to_owned(),
        session: session.to_owned(),
        external_id: external_id.to_owned(),
        sts_url: sts_url.to_owned(),
        region: region.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
    use gatehouse_testkit::sse::plain;
    use serde_json::json;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment { variables: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }

    fn keys() -> serde_json::Value {
        json!({"Code": "Success", "AccessKeyId": "ASIAPLATFORM", "SecretAccessKey": "s", "Token": "t",
            "Expiration": "2099-01-01T00:00:00Z"})
    }

    fn platform(seen: &Seen) -> Vec<Act> {
        match seen.line.as_str() {
            "GET /container" if seen.header("authorization") == Some("let me in") => plain(200, &keys()),
            "PUT /latest/api/token" if seen.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
                vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntoken".to_vec())]
            }
            line if seen.header("x-aws-ec2-metadata-token") == Some("token") => match line {
                "GET /latest/meta-data/iam/security-credentials/" => {
                    vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nthe-role".to_vec())]
                }
                "GET /latest/meta-data/iam/security-credentials/the-role" => plain(200, &keys()),
                _ => plain(404, &json!({})),
            },
            _ => plain(401, &json!({"message": "no"})),
        }
    }

    fn renewal(environment: &Environment) -> Result<(Renewal, Arc<Current<AwsKeys>>), String> {
        let cloud = Cloud {
            region: "us-east-1".to_owned(),
            project: String::new(),
            profile: String::new(),
            workspace: String::new(),
            models: std::collections::BTreeMap::new(),
            counts: true,
            credential: CloudCredential::Key,
        };
        let from = Amazon { keys: None, role: None, profile: None, sts_url: String::new(), tags: Vec::new() };
        let services = Services { tls: None, egress: gatehouse_egress::Egress::default() };
        let (credential, what) = signing(("p", Kind::Bedrock, &cloud), &from, &[], &services, environment)?;
        let Credential::Signing { keys, .. } = credential else { panic!("requests are not signed") };
        let (with, roles) = (With::Keys(AwsKeys::new("", "", None)), Vec::new());
        let none = KeySource { with, roles, services: services.clone() };
        let what = what.unwrap_or_else(|| What::Amazon(Arc::new(none), Arc::clone(&keys)));
        Ok((Renewal { provider: "p".to_owned(), what, services, state: Mutex::default() }, keys))
    }

    #[tokio::test]
    async fn keys_come_from_the_platform_where_none_are_given() {
        let fake = FakeProvider::start(platform);
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "let me in\n").unwrap();
        let (token, url) = (token.to_str().unwrap(), format!("{}/container", fake.url));
        for (variables, expected) in [
            (
                vec![
                    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
                    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
                ],
                "ASIAPLATFORM",
            ),
            (
                vec![
                    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
                    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in"),
                ],
                "ASIAPLATFORM",
            ),
            (vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url.as_str())], "ASIAPLATFORM"),
            (
                vec![
                    ("AWS_ACCESS_KEY_ID", "AKIAGIVEN"),
                    ("AWS_SECRET_ACCESS_KEY", "s"),
                    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url.as_str()),
                ],
                "AKIAGIVEN",
            ),
        ] {
            let (renewal, keys) = renewal(&environment(&variables)).unwrap();
            if expected == "ASIAPLATFORM" {
                renewal.turn(SystemTime::now()).await;
            }
            assert_eq!(
                keys.load().as_ref().map(|keys| keys.id().to_owned()).as_deref(),
                Some(expected),
                "{variables:?}"
            );
        }
        let (refused, keys) = renewal(&environment(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])).unwrap();
        refused.turn(SystemTime::now()).await;
        assert!(keys.load().is_none());
    }

    #[tokio::test]
    async fn keys_come_from_a_profile_and_are_read_again() {
        let fake = FakeProvider::start(platform);
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let config = "[profile run]\ncredential_process = printf '{\"AccessKeyId\":\"AKRUN\",\"SecretAccessKey\":\"s\"}'\n";
        std::fs::write(place("config"), config).unwrap();
        let write = |id: &str| {
            let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = s\n");
            std::fs::write(place("credentials"), text).unwrap();
        };
        let (config, credentials) = (place("config"), place("credentials"));
        let files =
            [("AWS_CONFIG_FILE", config.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str())];
        let machine = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url.as_str());
        let with = |more: &[(&'static str, &'static str)]| {
            let mut all: Vec<(&str, &str)> = files.to_vec();
            all.push(machine);
            all.extend_from_slice(more);
            renewal(&environment(&all))
        };
        let id = |keys: &Current<AwsKeys>| {
            keys.load().as_ref().map(|keys| keys.id().to_owned()).unwrap_or_default()
        };
        let now = SystemTime::now();
        // Without a default profile the machine is asked.
        let (machines, keys) = with(&[]).unwrap();
        machines.turn(now).await;
        assert_eq!(id(&keys), "ASIAPLATFORM");
        write("AKFIRST");
        let (first, keys) = with(&[]).unwrap();
        first.turn(now).await;
        assert_eq!(id(&keys), "AKFIRST");
        write("AKSECOND");
        first.turn(now).await;
        assert_eq!(id(&keys), "AKFIRST", "not before it is time");
        first.turn(now + std::time::Duration::from_secs(1000)).await;
        assert_eq!(id(&keys), "AKSECOND");
        let (run, keys) = with(&[("AWS_PROFILE", "run")]).unwrap();
        run.turn(now).await;
        assert_eq!(id(&keys), "AKRUN");
        let told = with(&[("AWS_PROFILE", "nobody")]).err().unwrap();
        assert_eq!(told, "AWS_PROFILE: the profile `nobody` is in neither of the files");
    }

    #[test]
    fn what_is_of_no_use_is_said_at_once() {
        let told = |pairs: &[(&str, &str)]| renewal(&environment(pairs)).err().unwrap();
        assert!(
            told(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x")]).contains("neither https")
        );
        assert!(told(&[("AWS_EC2_METADATA_DISABLED", "true")]).contains("there are no keys for it"));
    }
}
