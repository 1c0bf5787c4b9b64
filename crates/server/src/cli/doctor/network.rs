//! `doctor network`: every hop between this machine and the gateway, the forward proxy and the model, tried from here. Needs no
//! server of its own and no token, so that it runs on anybody's machine.

mod hop;
mod secure;

use serde_json::json;
use url::Url;

use crate::cli::table::{Align, Table};
use crate::cli::{Failure, Global, Out};
use crate::environment::Environment;
use hop::{Place, Report, State};
use secure::Trust;

/// What is asked for through a proxy where no gateway is known.
const MODEL_HOST: &str = "api.anthropic.com";

/// Arguments of `doctor network`.
#[derive(clap::Args)]
pub(crate) struct NetworkArgs {
    /// For `network`: the gateway [default: `$ANTHROPIC_BASE_URL`]
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// For `network`: the forward proxy, or "none" [default: as the coding client finds it, `$HTTPS_PROXY` and the like]
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// For `network`: where the proxy must lead to [default: the gateway, or the model's host]
    #[arg(long, value_name = "HOST[:PORT]")]
    to: Option<String>,
}

impl NetworkArgs {
    /// Whether any of them was given.
    pub(crate) const fn is_given(&self) -> bool {
        self.gateway.is_some() || self.proxy.is_some() || self.to.is_some()
    }
}

/// Runs `doctor network`: exit code 1 when a hop fails.
pub(crate) fn run(
    args: &NetworkArgs,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let gateway = args.gateway.as_deref().or_else(|| environment.get("ANTHROPIC_BASE_URL"));
    let gateway = gateway.map(|text| place("gateway", text)).transpose()?;
    let proxy = match args.proxy.as_deref() {
        Some("none") => None,
        Some(given) => Some(given),
        None => ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"]
            .into_iter()
            .find_map(|name| environment.get(name)),
    };
    let proxy = proxy.map(|text| place("proxy", text)).transpose()?;
    let to = args.to.as_deref().map(|text| place("to", &format!("https://{text}"))).transpose()?;
    if gateway.is_none() && proxy.is_none() && to.is_none() {
        let told = "say what is to be tried: --gateway URL, --proxy URL, or both";
        return Err(Failure::Usage(told.to_owned()));
    }
    let trust = Trust::read(global, environment)?;
    let mut report = Report::default();
    trust.tell(&mut report);
    let exempt = no_proxy(args, environment);
    if let Some(gateway) = &gateway {
        hop::name(&mut report, "gateway", gateway);
        hop::private_addresses(&mut report, gateway);
    }
    let goal = to.or_else(|| gateway.clone()).unwrap_or_else(|| Place::secured(MODEL_HOST));
    let is_gateway = gateway.as_ref() == Some(&goal);
    match &proxy {
        Some(proxy) if !exempt.iter().any(|name| covers(name, &goal.host)) => {
            hop::through(&mut report, proxy, &goal, is_gateway, &trust);
        }
        Some(_) | None => hop::direct(&mut report, &goal, is_gateway, &trust),
    }
    print(&report, out)?;
    Ok(u8::from(report.findings.iter().any(|finding| finding.state == State::Fail)))
}

fn place(option: &str, text: &str) -> Result<Place, Failure> {
    let bad = |why: &str| Failure::Usage(format!("--{option}: `{}` {why}", hop::without_password(text)));
    // What the client takes without a scheme, it takes as http.
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).map_err(|_| bad("is no address such as https://gateway.corp.example"))?;
    let is_tls = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(bad("must begin with http:// or https://")),
    };
    let host = url.host_str().ok_or_else(|| bad("has no host"))?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().ok_or_else(|| bad("has no port"))?;
    Ok(Place {
        is_tls,
        host,
        port,
        path: url.path().trim_end_matches('/').to_owned(),
        credentials: hop::credentials(&url),
    })
}

/// The names that go around the proxy; none when a proxy was given by hand.
fn no_proxy(args: &NetworkArgs, environment: &Environment) -> Vec<String> {
    if args.proxy.is_some() {
        return Vec::new();
    }
    let list = environment.get("no_proxy").or_else(|| environment.get("NO_PROXY")).unwrap_or_default();
    let names = list.split([',', ' ']).map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

fn covers(name: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = name.trim_start_matches("*.").trim_start_matches('.');
    name == "*" || host == bare || host.ends_with(&format!(".{bare}"))
}

fn print(report: &Report, out: &mut Out) -> Result<(), Failure> {
    if out.wants_json() {
        let one = |finding: &hop::Finding| {
            json!({
                "hop": finding.hop,
                "check": finding.check,
                "state": finding.state.as_str(),
                "evidence": finding.evidence,
                "advice": finding.advice,
            })
        };
        let is_good = report.findings.iter().all(|finding| finding.state != State::Fail);
        let findings: Vec<_> = report.findings.iter().map(one).collect();
        out.json(&json!({"ok": is_good, "findings": findings}))?;
        return Ok(());
    }
    let columns = ["STATE", "HOP", "CHECK", "FOUND"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for finding in &report.findings {
        let (hop, check) = (finding.hop.to_owned(), finding.check.to_owned());
        table.row([finding.state.as_str().to_owned(), hop, check, finding.evidence.clone()]);
    }
    out.table(&table, "")?;
    for finding in report.findings.iter().filter(|finding| !finding.advice.is_empty()) {
        out.line(format!("\n{} ({}): {}", finding.hop, finding.check, finding.advice))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemptions_cover_names_and_what_is_below_them() {
        for (name, host, expected) in [
            ("*", "x.example", true),
            ("corp.example", "corp.example", true),
            ("corp.example", "GW.corp.example", true),
            (".corp.example", "gw.corp.example", true),
            ("*.corp.example", "gw.corp.example", true),
            ("corp.example", "notcorp.example", false),
            ("gw.corp.example", "corp.example", false),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(covers(name, host), expected, "{name} {host}");
        }
    }

    #[test]
    fn addresses_are_read_as_the_client_reads_them() {
        let read = |text: &str| place("proxy", text).map(|p| (p.is_tls, p.host, p.port, p.path));
        assert_eq!(read("proxy:3128").unwrap(), (false, "proxy".into(), 3128, String::new()));
        assert_eq!(read("https://[fd00::1]/x/").unwrap(), (true, "fd00::1".into(), 443, "/x".into()));
        for bad in ["", "ftp://x", "http://", "http://u:canary@ x"] {
            let told = read(bad).unwrap_err().to_string();
            assert!(!told.contains("canary"), "{told}");
        }
    }
}
