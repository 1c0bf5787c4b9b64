//! `conformance`: asks a live provider, through the running gateway, what the corpus asks, and looks at what it answers.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Instant;

use serde_json::{Value, json};
use ureq::http::Request;
use zeroize::Zeroizing;

use super::client::{Client, agent};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// The corpus: names and cases. See `conformance/README.md`.
const CORPUS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/conformance.rs"));
/// Most of a reply that is read, in bytes.
const MAX_REPLY: u64 = 4 << 20;

/// What `conformance` takes.
#[derive(clap::Args)]
pub(crate) struct ConformanceArgs {
    /// The provider that is to answer, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// A model that it serves
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// A virtual key; better given in the variable
    #[arg(long, env = "GATEHOUSE_KEY", value_name = "KEY", hide_env_values = true)]
    key: String,
    /// Only these cases
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    case: Vec<String>,
    /// Do not ask whether it may cost money
    #[arg(long)]
    yes: bool,
}

/// A case, and what came of it.
struct Run {
    name: &'static str,
    status: u16,
    milliseconds: u128,
    exchange: String,
    wrong: Option<String>,
}

/// Runs `conformance`. Exit code 1 when a case fails.
pub(crate) fn run(args: &ConformanceArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let gateway = client.gateway().ok_or_else(|| {
        Failure::Usage(
            "the gateway's address is not known: give --data-dir of the server on this machine".to_owned(),
        )
    })?;
    let providers = client.list("/api/v1/providers", &[], None)?;
    let provider = providers.iter().find(|provider| provider["name"] == args.provider.as_str());
    let provider =
        provider.ok_or_else(|| Failure::Usage(format!("there is no provider `{}`", args.provider)))?;
    let cases = chosen(&args.case)?;
    let tokens: u64 = cases.iter().filter_map(|(_, case)| case["request"]["max_tokens"].as_u64()).sum();
    consent(args, cases.len(), tokens)?;
    let kind = provider["kind"].as_str().unwrap_or_default();
    let mut runs = Vec::with_capacity(cases.len());
    for (name, case) in &cases {
        runs.push(ask(args, gateway, (name, case), kind)?);
    }
    check_provider(&args.provider, client, &mut runs)?;
    let failed = runs.iter().any(|run| run.wrong.is_some());
    show(&runs, out)?;
    Ok(u8::from(failed))
}

/// The cases that can be asked of a live provider, or those named.
fn chosen(names: &[String]) -> Result<Vec<(&'static str, Value)>, Failure> {
    let read = |text| serde_json::from_str::<Value>(text).map_err(|error| Failure::Failed(error.to_string()));
    let mut cases = Vec::new();
    for (name, text) in CORPUS {
        let case = read(text)?;
        let is_live = case["live"] != false;
        if names.iter().any(|wanted| wanted == name) && !is_live {
            return Err(Failure::Usage(format!("the case `{name}` cannot be asked of a live provider")));
        }
        if is_live && (names.is_empty() || names.iter().any(|wanted| wanted == name)) {
            cases.push((*name, case));
        }
    }
    match names.iter().find(|wanted| !cases.iter().any(|(name, _)| name == wanted)) {
        Some(unknown) => Err(Failure::Usage(format!("there is no case `{unknown}`"))),
        None => Ok(cases),
    }
}

/// Lets a person say whether it may cost money.
fn consent(args: &ConformanceArgs, requests: usize, tokens: u64) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "this asks a live provider, which costs money: say so by --yes".to_owned(),
        ));
    }
    output::complain(&format!(
        "{requests} requests to {}, with at most {tokens} tokens of output, will be paid for. Go on? [y/N]",
        args.provider
    ));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Failed("nothing was asked".to_owned())),
    }
}

fn ask(
    args: &ConformanceArgs,
    gateway: &str,
    (name, case): (&&'static str, &Value),
    kind: &str,
) -> Result<Run, Failure> {
    let mut body = case["request"].clone();
    body["model"] = json!(args.model);
    let path = if case["count"] == true { "/v1/messages/count_tokens" } else { "/v1/messages" };
    let betas: Vec<&str> = case["betas"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let key = Zeroizing::new(format!("Bearer {}", args.key));
    let mut request = Request::post(format!("{gateway}{path}"))
        .header("authorization", key.as_str())
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json");
    if !betas.is_empty() {
        request = request.header("anthropic-beta", betas.join(","));
    }
    let request = request.body(body.to_string()).map_err(|error| Failure::Usage(error.to_string()))?;
    let began = Instant::now();
    let sent = agent(gateway).run(request);
    let response = sent
        .map_err(|error| Failure::Unreachable(format!("cannot reach the gateway at {gateway}: {error}")))?;
    let status = response.status().as_u16();
    let exchange = response.headers().get("x-gatehouse-exchange").and_then(|id| id.to_str().ok());
    let exchange = exchange.unwrap_or_default().to_owned();
    let text = response.into_body().with_config().limit(MAX_REPLY).read_to_string();
    let is_refused = case["refused_by"].as_array().is_some_and(|by| by.iter().any(|kinds| kinds == kind));
    let wrong = match text {
        Err(error) => Some(format!("the reply broke off: {error}")),
        Ok(_) if is_refused => (status != 400).then(|| format!("{status} instead of a refusal")),
        Ok(text) => wrong(case, status, &text),
    };
    Ok(Run { name, status, milliseconds: began.elapsed().as_millis(), exchange, wrong })
}

/// What is wrong with a reply, if anything.
fn wrong(case: &Value, status: u16, text: &str) -> Option<String> {
    let expect = &case["expect"];
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let error = body["error"]["type"].as_str();
    if let Some(kind) = expect["error"].as_str() {
        return (error != Some(kind))
            .then(|| format!("`{}` instead of `{kind}`", error.unwrap_or("no error")));
    }
    if status != 200 {
        let message = body["error"]["message"].as_str().unwrap_or_default();
        return Some(format!("{}: {message}", error.unwrap_or("an error")));
    }
    if expect["count"] == true {
        return (!body["input_tokens"].is_u64()).then(|| "no count".to_owned());
    }
    let (blocks, stop) = if case["request"]["stream"] == true {
        streamed(text)
    } else {
        (types(&body["content"]), body["stop_reason"].as_str().unwrap_or_default().to_owned())
    };
    let wanted = expect["blocks"].as_array().into_iter().flatten().chain(expect.get("has_block"));
    for kind in wanted.filter_map(Value::as_str) {
        if !blocks.iter().any(|block| block == kind) {
            return Some(format!("no `{kind}` among {blocks:?}"));
        }
    }
    let reason = expect["stop_reason"].as_str().filter(|reason| **reason != stop)?;
    Some(format!("stopped by `{stop}` instead of `{reason}`"))
}

fn types(content: &Value) -> Vec<String> {
    let blocks = content.as_array().into_iter().flatten();
    blocks.filter_map(|block| block["type"].as_str().map(str::to_owned)).collect()
}

/// The types of blocks in a stream, and why it stopped; empty where it did not come to its end.
fn streamed(text: &str) -> (Vec<String>, String) {
    let (mut blocks, mut stop, mut is_whole) = (Vec::new(), String::new(), false);
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        match event["type"].as_str() {
            Some("content_block_start") => {
                blocks.extend(event["content_block"]["type"].as_str().map(str::to_owned));
            }
            Some("message_delta") => {
                event["delta"]["stop_reason"].as_str().unwrap_or_default().clone_into(&mut stop);
            }
            Some("message_stop") => is_whole = true,
            _ => {}
        }
    }
    if is_whole { (blocks, stop) } else { (Vec::new(), "an end before its end".to_owned()) }
}

/// Whether it was this provider that answered, by the ledger, where the exchanges are among its newest.
fn check_provider(provider: &str, client: &Client, runs: &mut [Run]) -> Result<(), Failure> {
    let exchanges = client.list("/api/v1/exchanges", &[], Some(200))?;
    for run in runs.iter_mut().filter(|run| run.wrong.is_none()) {
        let is_it = |exchange: &&Value| exchange["id"] == run.exchange.as_str();
        let Some(exchange) = exchanges.iter().find(is_it) else { continue };
        if let Some(other) = exchange["provider"].as_str().filter(|other| *other != provider) {
            run.wrong = Some(format!("it went to the provider `{other}`, which serves this model"));
        }
    }
    Ok(())
}

fn show(runs: &[Run], out: &mut Out) -> Result<(), Failure> {
    let items: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "case": run.name,
                "passed": run.wrong.is_none(),
                "status": run.status,
                "milliseconds": u64::try_from(run.milliseconds).unwrap_or(u64::MAX),
                "exchange": run.exchange,
                "wrong": run.wrong,
            })
        })
        .collect();
    let mut table = Table::new(&[
        ("CASE", Align::Left),
        ("RESULT", Align::Left),
        ("STATUS", Align::Right),
        ("MS", Align::Right),
        ("WHAT", Align::Left),
    ]);
    for run in runs {
        let result = if run.wrong.is_none() { "passed" } else { "FAILED" };
        let what = run.wrong.clone().unwrap_or_default();
        table.row([
            run.name.to_owned(),
            result.to_owned(),
            run.status.to_string(),
            run.milliseconds.to_string(),
            what,
        ]);
    }
    out.list(&items, &table, "No case was asked.")?;
    Ok(())
}
