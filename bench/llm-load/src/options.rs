//! The command line.

use std::time::Duration;

use crate::{Plan, body};

const HELP: &str = "llm-load: load generator for Anthropic Messages API gateways
  --url URL            base URL, http only           http://127.0.0.1:18080
  --path PATH                                        /v1/messages
  --header 'K: V'      may be given several times
  --model NAME                                       claude-sonnet-4-5
  --mode unary|stream                                unary
  --body SIZE          request body, e.g. 2k, 60k    2k
  --connections N      concurrent requests/streams   16
  --rate R             requests a second (open loop); 0: as fast as answers come
  --warmup S / --duration S                          2 / 8
  --events N --delay-ms N --latency-ms N             the answer asked of mock-upstream
  --timeout S          of one request                60
  --threads N                                        1
  --fresh              a new connection for each request
  --pid PID            also report CPU time and memory of PID and its descendants
  --name NAME          label in the output
  --print-body         write the request body to stdout and end
  --json FILE          write the result as JSON ('-': to stdout, without the table)
Times are milliseconds. 'first' is the time to the response head (unary) or to the
first content_block_delta (stream); 'transit' is how long each delta took from the
mock to here.";

/// What was asked for.
pub(crate) struct Options {
    url: String,
    path: String,
    headers: Vec<String>,
    model: String,
    stream: bool,
    body: usize,
    connections: usize,
    rate: f64,
    warmup: f64,
    duration: f64,
    timeout: f64,
    events: u64,
    delay_ms: u64,
    latency_ms: u64,
    fresh: bool,
    /// Threads that send.
    pub(crate) threads: usize,
    /// The process to watch.
    pub(crate) pid: Option<u32>,
    /// The label in the output.
    pub(crate) name: String,
    /// Where the result goes as JSON.
    pub(crate) json: Option<String>,
    /// Only print the body.
    pub(crate) print_body: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:18080".to_owned(),
            path: "/v1/messages".to_owned(),
            headers: Vec::new(),
            model: "claude-sonnet-4-5".to_owned(),
            stream: false,
            body: 2_000,
            connections: 16,
            rate: 0.0,
            warmup: 2.0,
            duration: 8.0,
            timeout: 60.0,
            events: 50,
            delay_ms: 0,
            latency_ms: 0,
            fresh: false,
            threads: 1,
            pid: None,
            name: String::new(),
            json: None,
            print_body: false,
        }
    }
}

impl Options {
    /// Reads the arguments; `None` when only the help was asked for.
    pub(crate) fn read() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let mut o = Self::default();
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("url") => o.url = args.value()?.string()?,
                Long("path") => o.path = args.value()?.string()?,
                Long("header") => o.headers.push(args.value()?.string()?),
                Long("model") => o.model = args.value()?.string()?,
                Long("mode") => o.stream = args.value()?.parse_with(mode)?,
                Long("body") => o.body = args.value()?.parse_with(size)?,
                Long("connections") => o.connections = args.value()?.parse()?,
                Long("rate") => o.rate = args.value()?.parse()?,
                Long("warmup") => o.warmup = args.value()?.parse()?,
                Long("duration") => o.duration = args.value()?.parse()?,
                Long("events") => o.events = args.value()?.parse()?,
                Long("delay-ms") => o.delay_ms = args.value()?.parse()?,
                Long("latency-ms") => o.latency_ms = args.value()?.parse()?,
                Long("timeout") => o.timeout = args.value()?.parse()?,
                Long("threads") => o.threads = args.value()?.parse::<usize>()?.max(1),
                Long("fresh") => o.fresh = true,
                Long("print-body") => o.print_body = true,
                Long("pid") => o.pid = Some(args.value()?.parse()?),
                Long("name") => o.name = args.value()?.string()?,
                Long("json") => o.json = Some(args.value()?.string()?),
                Long("help") | Short('h') => {
                    println!("{HELP}");
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(o))
    }

    /// What is to be done.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let rest = self.url.strip_prefix("http://").ok_or("the URL must begin with http://")?;
        let (addr, prefix) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
        let prefix =
            if prefix.is_empty() { String::new() } else { format!("/{}", prefix.trim_end_matches('/')) };
        let asked = format!("n={} d={} l={}", self.events, self.delay_ms, self.latency_ms);
        let template = body::build(&self.model, self.stream, self.body, &asked);
        let mut head = format!(
            "POST {prefix}{} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\naccept: application/json\r\n\
             anthropic-version: 2023-06-01\r\nanthropic-beta: claude-code-20250219\r\n\
             user-agent: claude-cli/2.0 (bench)\r\ncontent-length: {}\r\n",
            self.path,
            template.bytes.len()
        );
        for header in &self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        Ok(Plan {
            addr: addr.to_owned(),
            head: head.into_bytes(),
            template,
            stream: self.stream,
            events: self.events,
            connections: self.connections,
            rate: self.rate,
            warmup: Duration::from_secs_f64(self.warmup),
            duration: Duration::from_secs_f64(self.duration),
            timeout: Duration::from_secs_f64(self.timeout),
            fresh: self.fresh,
        })
    }
}

fn mode(text: &str) -> Result<bool, String> {
    match text {
        "stream" => Ok(true),
        "unary" => Ok(false),
        _ => Err(format!("not a mode: {text} (unary or stream)")),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let t = text.trim().to_ascii_lowercase();
    let (digits, unit) = match t.strip_suffix(['k', 'm']) {
        Some(d) => (d, if t.ends_with('k') { 1_000 } else { 1_000_000 }),
        None => (t.as_str(), 1),
    };
    digits.parse::<usize>().map(|n| n * unit).map_err(|_| format!("not a size: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(["7", "2k", "1M"].map(|text| size(text).unwrap()), [7, 2_000, 1_000_000]);
        assert!(size("k").is_err() && size("1g").is_err());
    }

    #[test]
    fn a_plan_carries_path_and_headers() {
        let options = Options {
            url: "http://127.0.0.1:1/prefix/".to_owned(),
            headers: vec!["x-api-key: k".to_owned()],
            ..Options::default()
        };
        let plan = options.plan().unwrap();
        let head = String::from_utf8(plan.head).unwrap();
        assert_eq!(plan.addr, "127.0.0.1:1");
        assert!(head.starts_with("POST /prefix/v1/messages HTTP/1.1\r\n"), "{head}");
        assert!(head.ends_with("\r\nx-api-key: k\r\n\r\n"), "{head}");
        assert!(Options { url: "https://x".to_owned(), ..Options::default() }.plan().is_err());
    }
}
