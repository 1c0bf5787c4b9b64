//! The network around: the allow-list for firewalls, the file for browsers, and the hops tried from a person's machine.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::http::once;
use gatehouse_testkit::provider::FakeProvider;
use serde_json::{Value, json};

use crate::listeners::client::{Files, fixture};
use crate::proxy::world::name_server;
use crate::world::echo;

/// Runs the program where nothing is known but these variables.
fn alone(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    command.args(args).env_clear().env("HOME", "/nonexistent").envs(variables.iter().copied());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const CONFIG: &str = "
[listen]
gateway = \"10.0.0.11:8443\"
proxy = \"10.0.0.5:3128\"
public_url = \"https://gateway.corp.example\"
[mode]
proxy_url = \"https://proxy.corp.example\"
[proxy]
name_servers = [\"10.0.0.53\"]
[store]
url = \"postgres://gatehouse:canary@db.corp.example/gatehouse\"
[[provider]]
name = \"main\"
kind = \"anthropic\"
base_url = \"https://llm.corp.example:8443/x\"
api_key = \"env:K\"
[[provider]]
name = \"vertex\"
kind = \"vertex\"
region = \"us-east5\"
project = \"acme\"
credentials = \"file:/k\"
[[identity.oidc]]
name = \"corp\"
issuer = \"https://login.corp.example/x\"
client_id = \"gatehouse\"
[[telemetry.collector]]
name = \"otel\"
endpoint = \"http://otel.corp.example:4318\"
";

/// Hosts and ports that machines of a kind reach in a mode; those that work stops without, or all.
fn allowed(config: &str, mode: &str, machine: &str, more: &[&str]) -> Vec<String> {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("gatehouse.toml");
    std::fs::write(&file, config).unwrap();
    let args = ["--json", "network", "allow-list", "--config", file.to_str().unwrap(), "--mode", mode];
    let output = alone(&[&args[..], &["--machine", machine], more].concat(), &[("K", "k")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("canary"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let modes = answer["modes"].as_array().unwrap();
    assert!(modes.len() == 1 && modes[0]["mode"] == mode);
    let entries = modes[0]["allow"].as_array().unwrap();
    let one = |entry: &Value| format!("{}:{}", entry["host"].as_str().unwrap(), entry["port"]);
    let mut all: Vec<String> = entries.iter().map(one).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn each_mode_has_its_allow_list() {
    let required = |mode: &str, machine: &str| allowed(CONFIG, mode, machine, &["--required-only"]);
    assert_eq!(required("direct", "client"), ["api.anthropic.com:443"]);
    assert_eq!(required("proxy", "client"), ["proxy.corp.example:443"]);
    assert_eq!(required("gateway", "client"), ["gateway.corp.example:443"]);
    assert_eq!(required("hybrid", "client"), ["proxy.corp.example:443"]);
    let always = ["db.corp.example:5432", "login.corp.example:443"];
    assert_eq!(required("direct", "server"), always);
    assert_eq!(
        required("proxy", "server"),
        ["10.0.0.53:53", "api.anthropic.com:443", "db.corp.example:5432", "login.corp.example:443"]
    );
    let mut gateway: Vec<&str> = always.to_vec();
    gateway.extend([
        "llm.corp.example:8443",
        "oauth2.googleapis.com:443",
        "us-east5-aiplatform.googleapis.com:443",
    ]);
    gateway.sort_unstable();
    assert_eq!(required("gateway", "server"), gateway);
    let mut hybrid = vec!["10.0.0.53:53"];
    hybrid.extend(gateway);
    assert_eq!(required("hybrid", "server"), hybrid);

    // Parent proxies are reached instead of what they lead to.
    let parents = format!(
        "{CONFIG}[egress]\nno_proxy = [\"login.corp.example\"]\n[[egress.parent]]\nname = \"main\"\nurl = \"http://10.0.0.8:3128\"\n"
    );
    assert_eq!(
        allowed(&parents, "hybrid", "server", &[]),
        ["10.0.0.53:53", "10.0.0.8:3128", "db.corp.example:5432", "login.corp.example:443"]
    );

    let by_grpc = CONFIG.replacen("[listen]", "[listen]\notlp = \"0.0.0.0:4317\"", 1);
    for mode in ["direct", "proxy", "gateway"] {
        let all = allowed(&by_grpc, mode, "client", &[]);
        assert!(all.iter().any(|host| host == "gateway.corp.example:4317"), "{mode}: {all:?}");
    }

    // Where the gateway is used, nobody's machine reaches the model past it.
    for mode in ["proxy", "gateway", "hybrid"] {
        let all = allowed(CONFIG, mode, "client", &[]);
        assert!(!all.iter().any(|host| host.starts_with("api.anthropic.com")), "{mode}: {all:?}");
    }
    let direct = allowed(CONFIG, "direct", "client", &[]);
    for host in ["downloads.claude.ai:443", "registry.npmjs.org:443", "*.frame.claudeusercontent.com:443"] {
        assert!(direct.iter().any(|entry| entry == host), "{host}: {direct:?}");
    }
    assert!(allowed(CONFIG, "gateway", "client", &[]).iter().any(|host| host == "downloads.claude.ai:443"));
    assert!(allowed(CONFIG, "gateway", "server", &[]).iter().any(|host| host == "otel.corp.example:4318"));
}

#[test]
fn an_allow_list_is_a_table_for_people_and_rules_for_a_firewall() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("gatehouse.toml");
    std::fs::write(&file, CONFIG.replace("proxy.corp.example", "10.0.0.5:3128")).unwrap();
    let run = |args: &[&str]| {
        let start = ["network", "allow-list", "--config", file.to_str().unwrap()];
        alone(&[&start, args].concat(), &[("K", "k")])
    };
    let table = text(&run(&[]).stdout);
    for mode in ["direct", "proxy", "gateway", "hybrid"] {
        assert!(table.lines().any(|line| line.starts_with(mode)), "{mode}: {table}");
    }
    let rules = run(&["--format", "nftables", "--mode", "hybrid"]);
    let made = text(&rules.stdout);
    assert!(
        rules.status.success() && made.contains("10.0.0.5 . 3128") && made.contains("policy drop"),
        "{made}"
    );
    assert_eq!(run(&["--format", "nftables"]).status.code(), Some(2), "of one mode only");
    std::fs::write(&file, CONFIG.replace("proxy.corp.example", "proxy.invalid")).unwrap();
    let rules = run(&["--format", "nftables", "--mode", "hybrid"]);
    assert_eq!(rules.status.code(), Some(1), "a name without an address is not passed over");
    assert!(text(&rules.stderr).contains("proxy.invalid"), "{}", text(&rules.stderr));
}

fn running(config: &str, listen: &str) -> (FakeProvider, Gatehouse) {
    let provider = FakeProvider::start(echo(1, 1));
    let builder = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).listen(listen);
    let gatehouse = builder.config(config).public_url("https://gateway.corp.example").start();
    (provider, gatehouse)
}

#[test]
fn browsers_get_the_file_of_the_mode() {
    let (_provider, gatehouse) = running("[mode]\nproxy_url = \"https://proxy.corp.example:3128\"", "");
    let get = |path: &str, headers: &[(&str, &str)]| once(&gatehouse.gateway, "GET", path, headers, b"");
    let direct = get("/proxy.pac", &[]);
    assert_eq!(direct.header("content-type"), Some("application/x-ns-proxy-autoconfig"));
    assert!(direct.header("cache-control").unwrap().contains("max-age="));
    assert!(direct.status == 200 && !direct.text().contains("HTTPS proxy"), "{}", direct.text());
    gatehouse.json(&["mode", "set", "hybrid"]);
    let hybrid = get("/proxy.pac", &[]);
    for part in ["\"HTTPS proxy.corp.example:3128\"", "\"gateway.corp.example\"", "\"api.anthropic.com\""] {
        assert!(hybrid.text().contains(part), "{part}: {}", hybrid.text());
    }
    let tag = hybrid.header("etag").unwrap().to_owned();
    assert_eq!(get("/proxy.pac", &[("if-none-match", &tag)]).status, 304);
    assert_ne!(direct.header("etag"), Some(tag.as_str()));
    assert!(!get("/proxy.pac?mode=proxy", &[]).text().contains("gateway.corp.example"));
    assert_eq!(
        get("/proxy.pac?mode=gateway", &[]).text().replace("gateway", ""),
        direct.text().replace("gateway", "")
    );
    assert_eq!(get("/proxy.pac?mode=carrier-pigeon", &[]).status, 400);
    assert_eq!(once(&gatehouse.gateway, "POST", "/proxy.pac", &[], b"").status, 405);

    let (_provider, without) = running("", "");
    without.json(&["mode", "set", "hybrid"]);
    assert_eq!(
        once(&without.gateway, "GET", "/proxy.pac", &[], b"").status,
        404,
        "nobody knows where the proxy is"
    );
}

/// What `doctor network` finds: its exit code, and the state and advice by hop and check.
fn doctor(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, Value) {
    let output = alone(&[&["--json", "doctor", "network"], args].concat(), variables);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", text(&output.stdout), text(&output.stderr)));
    let good = output.status.success();
    assert_eq!(told["ok"], json!(good));
    (output.status.code(), told["findings"].clone())
}

fn state<'a>(findings: &'a Value, hop: &str, check: &str) -> (&'a str, &'a str) {
    let found = findings.as_array().unwrap().iter().find(|f| f["hop"] == hop && f["check"] == check);
    let found = found.unwrap_or_else(|| panic!("nothing of {hop} {check}: {findings}"));
    (found["state"].as_str().unwrap(), found["advice"].as_str().unwrap())
}

#[test]
fn the_doctor_tries_the_gateway_and_says_what_is_wrong() {
    let files = Files::with("server");
    let config = format!("[tls.gateway]\n{}", files.lines_with_clients("client_certificates = \"required\""));
    let (_provider, gatehouse) = running(&config, "");
    let address = gatehouse.gateway.replace("127.0.0.1", "localhost");
    let path = |name: &str| fixture(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (path("ca.pem"), path("dev.pem"), path("dev.key"));
    let client = [
        ("NODE_EXTRA_CA_CERTS", ca.as_str()),
        ("CLAUDE_CODE_CLIENT_CERT", certificate.as_str()),
        ("CLAUDE_CODE_CLIENT_KEY", key.as_str()),
        ("ANTHROPIC_BASE_URL", address.as_str()),
    ];
    let (code, found) = doctor(&[], &client);
    assert_eq!(code, Some(0), "{found}");
    for check in ["name", "private-address", "tcp", "tls", "answer"] {
        assert_eq!(state(&found, "gateway", check), ("pass", ""), "{check}: {found}");
    }
    let failing = |args: &[&str], variables: &[(&str, &str)], hop: &str, check: &str, advice: &str| {
        let (code, found) = doctor(args, variables);
        assert_eq!(code, Some(1), "{found}");
        let (state, told) = state(&found, hop, check);
        assert!(state == "fail" && told.contains(advice), "{args:?}: {told}");
    };
    failing(&[], &client[1..], "gateway", "tls", "NODE_EXTRA_CA_CERTS");
    failing(&["--gateway", &address], &client[..1], "gateway", "mtls", "CLAUDE_CODE_CLIENT_CERT");
    let (stranger, its_key) = (path("stranger.pem"), path("stranger.key"));
    let shown = [client[0], ("CLAUDE_CODE_CLIENT_CERT", &stranger), ("CLAUDE_CODE_CLIENT_KEY", &its_key)];
    failing(&["--gateway", &address], &shown, "gateway", "mtls", "another one issued");
    let by_another_name = gatehouse.gateway.replace("127.0.0.1", "127.0.0.2");
    failing(&["--gateway", &by_another_name], &client[..3], "gateway", "tcp", "listens");
    let other = address.replace("https://", "http://");
    failing(&["--gateway", &other], &[], "gateway", "answer", "https://");
    failing(&["--gateway", "https://gateway.invalid"], &[], "gateway", "name", "VPN");
    assert_eq!(alone(&["doctor", "network"], &[]).status.code(), Some(2), "nothing to try");
    assert_eq!(alone(&["doctor", "identity", "--gateway", "x"], &[]).status.code(), Some(2));

    // Something else answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.read(&mut [0; 1024]));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n<html>hi"));
        }
    });
    failing(&["--gateway", &elsewhere], &[], "gateway", "answer", "address right");
    let table = alone(&["doctor", "network", "--gateway", &elsewhere], &[]);
    assert!(text(&table.stdout).contains("fail") && text(&table.stdout).contains("gateway (answer):"));
}

#[test]
fn the_doctor_goes_through_the_proxy() {
    let names = name_server(|_, _| vec![Ipv4Addr::LOCALHOST]);
    let files = Files::with("server");
    let config = format!(
        "[tls.gateway]\n{}\n[proxy]\nname_servers = [\"{names}\"]\ngateway_names = [\"localhost:443\"]\ncontact = \"help@example.com\"",
        files.lines("")
    );
    let (_provider, gatehouse) = running(&config, "proxy = \"127.0.0.1:0\"");
    let (_, key) = gatehouse.key("dev@example.com", &["--for", "proxy"]);
    let listen: Value =
        serde_json::from_slice(&std::fs::read(gatehouse.dir().join("data/listen.json")).unwrap()).unwrap();
    let proxy = listen["proxy"].as_str().unwrap();
    let with_key = proxy.replace("http://", &format!("http://dev:{key}@"));
    let ca = fixture("ca.pem").to_str().unwrap().to_owned();
    let trusting = ("NODE_EXTRA_CA_CERTS", ca.as_str());
    let gateway = "https://localhost";
    let (code, found) = doctor(&["--gateway", gateway], &[trusting, ("HTTPS_PROXY", &with_key)]);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(state(&found, "proxy", "connect").0, "pass");
    assert_eq!(state(&found, "gateway", "answer").0, "pass");
    assert!(!found.to_string().contains(&key), "{found}");

    let failing = |args: &[&str], variables: &[(&str, &str)], advice: &str| {
        let (code, found) = doctor(args, variables);
        let (state, told) = state(&found, "proxy", "connect");
        assert!(code == Some(1) && state == "fail" && told.contains(advice), "{found}");
        assert!(!found.to_string().contains(&key), "{found}");
        found
    };
    failing(&["--gateway", gateway, "--proxy", proxy], &[trusting], "HTTPS_PROXY=http://NAME:KEY@");
    let wrong = proxy.replace("http://", "http://dev:gh_wrong@");
    failing(&["--gateway", gateway, "--proxy", &wrong], &[trusting], "--for proxy");
    let refused = failing(&["--proxy", &with_key], &[trusting], "proxy explain");
    assert!(refused.to_string().contains("help@example.com"), "what the proxy says is passed on: {refused}");
    failing(&["--gateway", gateway, "--proxy", &gatehouse.admin], &[trusting], "opens no tunnels");
    // Exempt names go around it, as the client does it.
    let around = [trusting, ("HTTPS_PROXY", proxy), ("NO_PROXY", "localhost")];
    let direct = gatehouse.gateway.replace("127.0.0.1", "localhost");
    assert_eq!(doctor(&["--gateway", &direct], &around).0, Some(0));
}
