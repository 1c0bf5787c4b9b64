//! `proxy`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `proxy …`
#[derive(Subcommand)]
pub(crate) enum ProxyCommand {
    /// Access rules: the first that fits decides; what none allows is refused
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Whether somebody gets to a host, which rule decides, and whether it is looked into; exit code 1 if not
    Explain {
        /// Who, by e-mail address or id
        user: String,
        /// Where to
        #[arg(value_name = "HOST[:PORT]")]
        host: String,
        /// By plain HTTP instead of a tunnel
        #[arg(long)]
        plain: bool,
    },
    /// Tunnels, forwarded requests and refusals, newest first
    Tunnels(TunnelArgs),
}

/// `proxy rule …`
#[derive(Subcommand)]
pub(crate) enum RuleCommand {
    /// Add one
    #[command(
        after_help = "What a coding client needs, for everybody, and a package server inside for one team:\n  \
                            gatehouse proxy rule add claude allow --preset core --preset sign-in\n  \
                            gatehouse proxy rule add packages allow --host packages.corp.example --internal 10.0.0.0/8 \
                            --team Core"
    )]
    Add(Box<RuleArgs>),
    /// List them in their order
    List,
    /// Remove one
    Remove {
        /// Its name
        name: String,
    },
}

/// Arguments of `proxy rule add`.
#[derive(Args)]
pub(crate) struct RuleArgs {
    /// Its name, which refusals and records give
    name: String,
    /// Whether it lets through, refuses, or lets through and marks the record
    #[arg(value_parser = ["allow", "deny", "report"])]
    action: String,
    /// A name, `*.` and a name for all below it, `*` for every name, or a network for addresses; may be given several times
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Hosts that the coding client needs; may be given several times
    #[arg(long = "preset", value_name = "PRESET")]
    #[arg(value_parser = ["core", "sign-in", "updates", "npm", "connectors", "telemetry", "artifacts", "docs"])]
    presets: Vec<String>,
    /// Ports, separated by commas [default: all that the proxy goes to]
    #[arg(long = "port", value_delimiter = ',', value_name = "PORTS")]
    ports: Vec<u16>,
    /// Only for the members of this team
    #[arg(long)]
    team: Option<String>,
    /// Only for this person
    #[arg(long, value_name = "EMAIL", conflicts_with = "team")]
    user: Option<String>,
    /// Plain HTTP too
    #[arg(long)]
    plain: bool,
    /// A network inside the organization that the hosts may lie in; may be given several times
    #[arg(long, value_name = "NETWORK")]
    internal: Vec<String>,
    /// When it counts, in UTC: "mon-fri 07:00-19:00" [default: always]
    #[arg(long, value_name = "TIMES")]
    times: Option<String>,
    /// The rule that it stands in front of [default: at the end]
    #[arg(long, value_name = "RULE")]
    before: Option<String>,
}

/// Arguments of `proxy tunnels`.
#[derive(Args)]
pub(crate) struct TunnelArgs {
    /// Only this person's
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// From when: 7d, 24h, 2026-11-01
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that were let through, reported or refused
    #[arg(long, value_parser = ["allow", "report", "deny"])]
    verdict: Option<String>,
    /// Only to this host
    #[arg(long)]
    host: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u64,
}

/// Runs `proxy …`.
pub(crate) fn run(command: ProxyCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        ProxyCommand::Rule(RuleCommand::Add(args)) => add(*args, client, out)?,
        ProxyCommand::Rule(RuleCommand::List) => {
            let answer = client.get("/api/v1/proxy/rules", &[])?;
            let rules = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
            let empty = "There is no rule yet, so that nobody gets anywhere. Begin with \
                         `gatehouse proxy rule add claude allow --preset core`.";
            out.list(rules, &rule_table(rules), empty)?;
        }
        ProxyCommand::Rule(RuleCommand::Remove { name }) => {
            let gone = client.delete(&format!("/api/v1/proxy/rules/{}", escaped(&name)))?;
            out.done(&gone, &format!("Removed the rule {name}."))?;
        }
        ProxyCommand::Explain { user, host, plain } => return explain(&user, &host, plain, client, out),
        ProxyCommand::Tunnels(args) => {
            let mut query = Vec::new();
            for (name, value) in [
                ("user", &args.user),
                ("since", &args.since),
                ("verdict", &args.verdict),
                ("host", &args.host),
            ] {
                query.extend(value.as_deref().map(|value| (name, value)));
            }
            let tunnels = client.list("/api/v1/proxy/tunnels", &query, Some(args.limit))?;
            out.list(&tunnels, &tunnel_table(&tunnels), "Nothing went through the proxy yet.")?;
        }
    }
    Ok(0)
}

fn add(args: RuleArgs, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mut hosts = args.hosts;
    hosts.extend(args.presets.iter().map(|preset| format!("preset:{preset}")));
    if hosts.is_empty() {
        return Err(Failure::Usage("name at least one --host or --preset".to_owned()));
    }
    let mut body = json!({
        "name": args.name, "action": args.action, "hosts": hosts, "ports": args.ports, "plain": args.plain,
        "internal": args.internal,
    });
    for (name, value) in
        [("team", args.team), ("user", args.user), ("times", args.times), ("before", args.before)]
    {
        output::put(&mut body, name, value);
    }
    let made = client.post("/api/v1/proxy/rules", &body)?;
    let told =
        format!("Added the rule {}: {} {}, for {}.", args.name, args.action, hosts.join(", "), holder(&made));
    Ok(out.done(&made, &told)?)
}

/// Runs `proxy explain`: exit code 1 when the person would not get there.
fn explain(user: &str, host: &str, plain: bool, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let mut query = vec![("user", user), ("host", host)];
    if plain {
        query.push(("plain", "true"));
    }
    let answer = client.get("/api/v1/proxy/explanations", &query)?;
    let is_refused = answer["verdict"] == "deny";
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(u8::from(is_refused));
    }
    let cell = |key| output::field(&answer, key);
    let word = if is_refused { "is refused" } else { "is let through" };
    out.line(format!("{} {word} (rule {}): {}.", cell("destination"), cell("rule"), cell("why")))?;
    let addresses = cell("addresses");
    if addresses != "-" {
        out.line(format!("Addresses: {addresses}"))?;
    }
    if let Some(is_inside) = answer["inspected"].as_bool() {
        let word = if is_inside { "yes" } else { "no" };
        out.line(format!("Looked into: {word}, {}.", cell("inspected_why")))?;
    }
    Ok(u8::from(is_refused))
}

/// Whom a rule concerns, in words.
fn holder(rule: &Value) -> String {
    match (output::field(rule, "holder_kind").as_str(), rule["holder"].as_str()) {
        (kind, Some(name)) => format!("{kind} {name}"),
        (_, None) => "everybody".to_owned(),
    }
}

fn rule_table(rules: &[Value]) -> Table {
    let titles = ["RULE", "ACTION", "FOR", "HOSTS", "PORTS", "PLAIN", "INTERNAL", "TIMES"];
    let mut table = Table::new(&titles.map(|title| (title, Align::Left)));
    for rule in rules {
        let cell = |key| output::field(rule, key);
        table.row([
            cell("name"),
            cell("action"),
            holder(rule),
            cell("hosts"),
            cell("ports"),
            cell("plain"),
            cell("internal"),
            cell("times"),
        ]);
    }
    table
}

fn tunnel_table(tunnels: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("BEGAN", Align::Left),
        ("USER", Align::Left),
        ("CLIENT", Align::Left),
        ("HOST", Align::Left),
        ("ADDRESS", Align::Left),
        ("VERDICT", Align::Left),
        ("RULE", Align::Left),
        ("SEEN", Align::Right),
        ("UP", Align::Right),
        ("DOWN", Align::Right),
        ("MS", Align::Right),
        ("ENDED", Align::Left),
    ]);
    for tunnel in tunnels {
        let cell = |key| output::field(tunnel, key);
        table.row([
            cell("started_at"),
            cell("user"),
            cell("client"),
            format!("{}:{}", cell("host"), cell("port")),
            cell("pinned"),
            cell("verdict"),
            cell("rule"),
            cell("inspected"),
            cell("bytes_up"),
            cell("bytes_down"),
            cell("duration_ms"),
            cell("ended"),
        ]);
    }
    table
}
