//! From the configuration to what the portal goes by: resolves secrets, reads files, checks sources; all at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gatehouse_control::portal::{Admission, DirectorySource, JobRule, Jobs, PublicUrl, Rules};
use gatehouse_control::telemetry::Relay;
use gatehouse_domain::price::PriceTable;
use gatehouse_domain::proxy::Host;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::Trust;
use gatehouse_identity::ci::{Exchange, RuleConfig};
use gatehouse_identity::oidc::{ClientAuth, Loopback, Source, SourceConfig, Sources, UserInfoUse};
use gatehouse_identity::secret::Secret;

use super::directory::{self, Resolve};
use super::egress;
use super::provider::Out;
use crate::clock;
use crate::config::{self, Ci, CiRule, Config, Oidc, SecretSource};
use crate::environment::Environment;
use crate::fetch::{Known, Reach};
use crate::secret;

/// By how many seconds the clocks of issuers may differ from ours.
const SKEW: u16 = 60;

/// What would keep a server with this configuration from starting.
pub(crate) struct Found {
    /// Wherever it is started.
    pub(crate) everywhere: Vec<String>,
    /// Here, since a secret or a file of certificates is not here.
    pub(crate) here: Vec<String>,
}

/// Looks for what would keep a server with this configuration from starting. Runs no commands.
pub(crate) fn mistakes(config: &Config, prices: &PriceTable, environment: &Environment) -> Found {
    let assumed = || Ok(Some(Secret::new(b"not looked up".to_vec())));
    let resolve = |at: &SecretSource| match at {
        SecretSource::Exec(_) => assumed(),
        SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Sealed(_) => {
            secret::resolve(at, environment)
        }
    };
    // What is wrong with the way out is told by its own name.
    let bare = egress::prepare(
        &config::Egress { special: Vec::new(), parents: Vec::new(), ..config.egress.clone() },
        None,
        &resolve,
    );
    let Ok(way) = bare else { return Found { everywhere: Vec::new(), here: Vec::new() } };
    let out = Out { egress: &Egress::default(), way: &way };
    let look = |resolve: Resolve<'_>| {
        rules(config, config.listen.public_url.as_ref(), prices, &out, resolve).err().unwrap_or_default()
    };
    let (mut everywhere, mut here) = (look(&|_| assumed()), look(&resolve));
    everywhere.retain(|mistake| !mistake.contains("ca_file: "));
    here.retain(|mistake| !everywhere.contains(mistake));
    Found { everywhere, here }
}

/// Prepares the portal's rules and what it may reach. May run commands: blocks.
pub(super) fn prepare(
    config: &Config,
    public_url: Option<&PublicUrl>,
    prices: &PriceTable,
    out: &Out<'_>,
    environment: &Environment,
) -> Result<(Rules, Reach), Vec<String>> {
    rules(config, public_url, prices, out, &|at| secret::resolve(at, environment))
}

fn rules(
    config: &Config,
    public_url: Option<&PublicUrl>,
    prices: &PriceTable,
    out: &Out<'_>,
    resolve: Resolve<'_>,
) -> Result<(Rules, Reach), Vec<String>> {
    let (mut mistakes, mut trust) = (Vec::new(), Trust::new(&out.way.special));
    let (mut sources, mut admissions, mut reach) = (Vec::new(), BTreeMap::new(), Reach::default());
    if !config.identity.oidc.is_empty() || !config.identity.ci.is_empty() {
        reach.tls = trust.any(None).ok();
    }
    for one in &config.identity.oidc {
        match source(one, public_url, resolve, (&mut trust, &mut reach)) {
            Ok(source) => sources.push(source),
            Err(found) => {
                mistakes.extend(found.into_iter().map(|what| format!("identity.oidc[{}]: {what}", one.name)));
            }
        }
        let admission = Admission { create: one.create, join: one.join, teams: one.teams.clone() };
        admissions.insert(one.name.clone(), admission);
    }
    let oidc = match Sources::new(sources) {
        Ok(sources) => Some(sources).filter(|sources| !sources.all().is_empty()),
        Err(error) => {
            mistakes.push(format!("identity.oidc: {error}"));
            None
        }
    };
    let mut directories = Vec::new();
    for one in config.directories.iter().filter(|one| one.sign_in) {
        let name = one.source.name().to_owned();
        match directory::prepare(one, resolve) {
            Ok(directory) => {
                let admission = Admission { create: one.create, join: one.join, teams: one.teams.clone() };
                directories.push(DirectorySource { name, label: one.label.clone(), directory, admission });
            }
            Err(found) => mistakes.push(format!("directory[{name}]: {found}")),
        }
    }
    let jobs = jobs(&config.identity.ci, public_url, (&mut trust, &mut reach))
        .map_err(|found| mistakes.extend(found));
    let relay = super::relay::relay(&config.telemetry.collectors, (&mut trust, out.egress), resolve);
    let relay = relay.map_err(|found| mistakes.extend(found));
    if let Some(export) = &config.telemetry.export
        && let Err(what) = super::export::post(export, (&mut trust, out.egress), resolve)
    {
        mistakes.push(format!("telemetry.export.{what}"));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let rules = Rules {
        public_url: public_url.cloned(),
        access_ms: millis(config.identity.access),
        session_ms: millis(config.identity.session),
        notice: config.identity.notice.clone(),
        local: config.identity.local,
        second_factor: config.identity.second_factor,
        oidc,
        admissions,
        directories,
        jobs: jobs.ok().flatten(),
        models: prices.models(clock::now()).map(|model| model.id.clone()).collect(),
        telemetry: telemetry(config, relay.ok().flatten()),
    };
    Ok((rules, reach))
}

fn telemetry(config: &Config, relay: Option<Relay>) -> gatehouse_control::telemetry::Rules {
    gatehouse_control::telemetry::Rules {
        prompts: config.telemetry.prompts,
        per_minute: config.telemetry.per_minute,
        events_ms: millis(config.telemetry.events),
        relay,
    }
}

fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn source(
    one: &Oidc,
    public_url: Option<&PublicUrl>,
    resolve: Resolve<'_>,
    (trust, reach): (&mut Trust<'_>, &mut Reach),
) -> Result<Source, Vec<String>> {
    let public_url = public_url
        .ok_or_else(|| vec!["it needs listen.public_url, where browsers come back to".to_owned()])?;
    let found = one.client_secret.as_ref().map(resolve).transpose();
    let found = found.map_err(|error| vec![format!("client_secret: {error}")])?.flatten();
    let client_auth = match (found, one.client_auth) {
        (None, _) => ClientAuth::None,
        (Some(secret), config::ClientAuth::Basic) => ClientAuth::Basic(secret),
        (Some(secret), config::ClientAuth::Post) => ClientAuth::Post(secret),
    };
    // Plain http is refused for other hosts than this one, whatever is allowed.
    let loopback = if one.issuer.starts_with("http://") { Loopback::Allowed } else { Loopback::Refused };
    let source = Source::check(SourceConfig {
        id: one.name.clone(),
        label: one.label.clone(),
        issuer: one.issuer.clone(),
        loopback,
        client_id: one.client_id.clone(),
        client_auth,
        redirect_uri: public_url.at("/oauth/callback"),
        scopes: one.scopes.clone(),
        prompt: one.prompt,
        algorithms: Vec::new(),
        skew_seconds: SKEW,
        email_claim: one.email_claim.clone(),
        name_claim: "name".to_owned(),
        groups_claim: one.groups_claim.clone(),
        email_trust: one.email_trust,
        userinfo: UserInfoUse::WhenThin,
        domains: one.domains.clone(),
    });
    let source = source.map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    know(&one.issuer, one.ca_file.as_ref(), trust, reach).map_err(|error| vec![error])?;
    Ok(source)
}

/// Lets an issuer's host be reached, whatever its address. It has been checked to be an address.
fn know(
    issuer: &str,
    ca_file: Option<&PathBuf>,
    trust: &mut Trust<'_>,
    reach: &mut Reach,
) -> Result<(), String> {
    let host = issuer.parse::<http::Uri>().ok().and_then(|uri| Host::parse(uri.host()?).ok());
    if let Some(host) = host {
        let tls = ca_file.map(|path| trust.with(&host, Some(path))).transpose();
        let tls =
            tls.map_err(
                |error| {
                    if error.starts_with("ca_file: ") { error } else { format!("ca_file: {error}") }
                },
            )?;
        let known = reach.known.entry(host).or_insert(Known { tls: None });
        // The host may be named twice, and need its certificates once.
        known.tls = tls.or_else(|| known.tls.take());
    }
    Ok(())
}

/// Which jobs of CI become which service accounts.
fn jobs(
    all: &[Ci],
    public_url: Option<&PublicUrl>,
    (trust, reach): (&mut Trust<'_>, &mut Reach),
) -> Result<Option<Jobs>, Vec<String>> {
    if all.is_empty() {
        return Ok(None);
    }
    let (mut mistakes, mut configs, mut rules) = (Vec::new(), Vec::new(), BTreeMap::new());
    if public_url.is_none() {
        mistakes.push(
            "identity.ci: it needs listen.public_url; without one nothing is served to sign in".to_owned(),
        );
    }
    for one in all {
        if let Err(error) = know(&one.issuer, one.ca_file.as_ref(), trust, reach) {
            mistakes.push(format!("identity.ci[{}].{error}", one.name));
        }
        for rule in &one.rules {
            let config = rule_config(one, rule);
            let source = format!("ci:{}", one.name);
            let more = JobRule { source, audience: one.audience.clone(), team: rule.team.clone() };
            rules.insert(config.name.clone(), more);
            configs.push(config);
        }
    }
    match Exchange::new(configs) {
        Ok(exchange) if mistakes.is_empty() => Ok(Some(Jobs { exchange, rules })),
        Ok(_) => Err(mistakes),
        Err(found) => {
            mistakes.extend(found.iter().map(|what| format!("identity.ci: {what}")));
            Err(mistakes)
        }
    }
}

/// A rule as it is checked. Its full name is `ISSUER/RULE`, each as configured.
fn rule_config(one: &Ci, rule: &CiRule) -> RuleConfig {
    RuleConfig {
        name: format!("{}/{}", one.name, rule.name),
        platform: one.platform,
        issuer: one.issuer.clone(),
        // Plain http is refused for other hosts than this one, whatever is allowed.
        loopback: if one.issuer.starts_with("http://") { Loopback::Allowed } else { Loopback::Refused },
        audience: one.audience.clone(),
        claims: rule.claims.iter().map(|(path, any)| (path.clone(), any.clone())).collect(),
        service: rule.account.to_string(),
    }
}
