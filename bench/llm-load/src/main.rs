//! llm-load: load and latency of a gateway that speaks the Anthropic Messages API,
//! to be pointed at a gateway in front of mock-upstream (or at the mock itself).

mod body;
mod check;
mod http;
mod procs;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use http::{Conn, Fail, now_ns};
use serde_json::json;

struct Plan {
    addr: String,
    head: Vec<u8>,
    template: body::Template,
    stream: bool,
    events: u64,
    connections: usize,
    rate: f64,
    warmup: Duration,
    duration: Duration,
    timeout: Duration,
    fresh: bool,
}

struct Window {
    /// Monotonic ns at which measuring begins and ends.
    from: u64,
    to: u64,
}

struct Tally {
    ok: u64,
    errors: BTreeMap<String, u64>,
    bytes: u64,
    deltas: u64,
    connects: u64,
    retried: u64,
    latency: Histogram<u64>,
    first: Histogram<u64>,
    transit: Histogram<u64>,
    late: Histogram<u64>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds")
}

impl Tally {
    fn new() -> Self {
        Tally {
            ok: 0,
            errors: BTreeMap::new(),
            bytes: 0,
            deltas: 0,
            connects: 0,
            retried: 0,
            latency: histogram(),
            first: histogram(),
            transit: histogram(),
            late: histogram(),
        }
    }

    fn add(&mut self, o: &Tally) {
        self.ok += o.ok;
        self.bytes += o.bytes;
        self.deltas += o.deltas;
        self.connects += o.connects;
        self.retried += o.retried;
        for (k, v) in &o.errors {
            *self.errors.entry(k.clone()).or_default() += v;
        }
        self.latency.add(&o.latency).expect("same bounds");
        self.first.add(&o.first).expect("same bounds");
        self.transit.add(&o.transit).expect("same bounds");
        self.late.add(&o.late).expect("same bounds");
    }
}

/// Histograms hold tenths of a microsecond.
fn put(h: &mut Histogram<u64>, ns: u64) {
    h.saturating_record((ns / 100).max(1));
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> [u8; body::ID_LEN] {
    let n = NEXT_ID.fetch_add(1, Relaxed);
    let mut id = [b'0'; body::ID_LEN];
    let text = format!("{n:016x}");
    id.copy_from_slice(text.as_bytes());
    id
}

struct Caller {
    plan: Arc<Plan>,
    window: Arc<Window>,
    tally: Rc<RefCell<Tally>>,
    body: Vec<u8>,
}

impl Caller {
    fn new(plan: &Arc<Plan>, window: &Arc<Window>, tally: &Rc<RefCell<Tally>>) -> Self {
        Caller {
            plan: plan.clone(),
            window: window.clone(),
            tally: tally.clone(),
            body: plan.template.bytes.clone(),
        }
    }

    fn inside(&self, t: u64) -> bool {
        t >= self.window.from && t < self.window.to
    }

    async fn once(&mut self, slot: &mut Option<Conn>) {
        let id = next_id();
        let at = self.plan.template.id_at;
        self.body[at..at + id.len()].copy_from_slice(&id);
        let began = now_ns();
        let mut tries = 0;
        let result = loop {
            tries += 1;
            let mut conn = match slot.take() {
                Some(c) => c,
                None => match Conn::open(&self.plan.addr).await {
                    Ok(c) => {
                        self.tally.borrow_mut().connects += 1;
                        c
                    }
                    Err(e) => break Err(e.name()),
                },
            };
            let reused = conn.used > 0;
            let outcome = if self.plan.stream {
                self.stream(&mut conn, &id, began).await
            } else {
                self.whole(&mut conn, &id, began).await
            };
            match outcome {
                Ok((keep, verdict)) => {
                    if keep && !self.plan.fresh {
                        *slot = Some(conn);
                    }
                    break verdict;
                }
                // A kept connection that the server closed meanwhile is no error.
                Err(Fail::Protocol("closed before the head") | Fail::Io("write" | "read", _))
                    if reused && tries == 1 =>
                {
                    self.tally.borrow_mut().retried += 1;
                }
                Err(e) => break Err(e.name()),
            }
        };
        let ended = now_ns();
        if self.inside(ended) {
            let mut t = self.tally.borrow_mut();
            match result {
                Ok(()) => {
                    t.ok += 1;
                    put(&mut t.latency, ended - began);
                }
                Err(e) => *t.errors.entry(e).or_default() += 1,
            }
        } else if ended >= self.window.to
            && let Err(e) = result
        {
            // Streams that end after the window still have to end well.
            *self.tally.borrow_mut().errors.entry(format!("late {e}")).or_default() += 1;
        }
    }

    async fn whole(
        &mut self,
        conn: &mut Conn,
        id: &[u8; body::ID_LEN],
        began: u64,
    ) -> Result<(bool, Result<(), String>), Fail> {
        let mut sink = check::Whole::new();
        let keep = conn.call([&self.plan.head, &self.body], &mut sink, self.plan.timeout).await?;
        if self.inside(now_ns()) {
            let mut t = self.tally.borrow_mut();
            t.bytes += sink.bytes.len() as u64;
            put(&mut t.first, sink.first_ns - began);
        }
        Ok((keep, sink.verdict(id)))
    }

    async fn stream(
        &mut self,
        conn: &mut Conn,
        id: &[u8; body::ID_LEN],
        began: u64,
    ) -> Result<(bool, Result<(), String>), Fail> {
        let tally = self.tally.clone();
        let window = self.window.clone();
        let mut on_delta = |now: u64, transit: u64| {
            if now >= window.from && now < window.to {
                let mut t = tally.borrow_mut();
                t.deltas += 1;
                put(&mut t.transit, transit);
            }
        };
        let mut sink = check::Events::new(id, &mut on_delta);
        let keep = conn.call([&self.plan.head, &self.body], &mut sink, self.plan.timeout).await?;
        let (first, verdict) = (sink.first_delta_ns, sink.verdict(self.plan.events));
        if self.inside(first) {
            put(&mut self.tally.borrow_mut().first, first - began);
        }
        Ok((keep, verdict))
    }
}

/// Each connection sends its next request when the last answer has ended.
async fn closed_loop(caller: &mut Caller, stagger: Duration, stop: &Cell<bool>) {
    tokio::time::sleep(stagger).await;
    let mut slot = None;
    while !stop.get() && now_ns() < caller.window.to {
        let before = caller.tally.borrow().errors.values().sum::<u64>();
        caller.once(&mut slot).await;
        if caller.tally.borrow().errors.values().sum::<u64>() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Requests start at a fixed rate, whatever the answers do; idle connections are reused.
async fn open_loop(plan: Arc<Plan>, window: Arc<Window>, tally: Rc<RefCell<Tally>>, rate: f64) {
    type Idle = Rc<RefCell<Vec<(Caller, Option<Conn>)>>>;
    let idle: Idle = Rc::new(RefCell::new(Vec::new()));
    let busy = Rc::new(Cell::new(0usize));
    let start = tokio::time::Instant::now();
    let mut k = 0u64;
    while now_ns() < window.to {
        let due = start + Duration::from_secs_f64(k as f64 / rate);
        tokio::time::sleep_until(due).await;
        k += 1;
        let late = tokio::time::Instant::now() - due;
        if now_ns() >= window.from {
            put(&mut tally.borrow_mut().late, late.as_nanos() as u64);
        }
        if busy.get() >= plan.connections {
            *tally.borrow_mut().errors.entry("no free connection".to_owned()).or_default() += 1;
            continue;
        }
        let taken = idle.borrow_mut().pop();
        let (mut caller, mut slot) = taken.unwrap_or_else(|| (Caller::new(&plan, &window, &tally), None));
        let (idle, busy) = (idle.clone(), busy.clone());
        busy.set(busy.get() + 1);
        tokio::task::spawn_local(async move {
            caller.once(&mut slot).await;
            busy.set(busy.get() - 1);
            idle.borrow_mut().push((caller, slot));
        });
    }
    let grace = tokio::time::Instant::now() + Duration::from_secs(10);
    while busy.get() > 0 && tokio::time::Instant::now() < grace {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn worker(plan: Arc<Plan>, window: Arc<Window>, index: usize, threads: usize) -> Tally {
    let tally = Rc::new(RefCell::new(Tally::new()));
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&rt, async {
        if plan.rate > 0.0 {
            open_loop(plan.clone(), window, tally.clone(), plan.rate / threads as f64).await;
            return;
        }
        let stop = Rc::new(Cell::new(false));
        let mine = plan.connections / threads + usize::from(index < plan.connections % threads);
        // Spread the starts over half of the warm-up, so that streams do not beat as one.
        let step = plan.warmup.mul_f64(0.5) / mine.max(1) as u32;
        let tasks: Vec<_> = (0..mine)
            .map(|i| {
                let mut caller = Caller::new(&plan, &window, &tally);
                let stop = stop.clone();
                tokio::task::spawn_local(async move {
                    closed_loop(&mut caller, step * i as u32, &stop).await;
                })
            })
            .collect();
        for t in tasks {
            let _ = t.await;
        }
    });
    tally.replace(Tally::new())
}

fn ms(h: &Histogram<u64>, q: f64) -> f64 {
    if h.is_empty() { 0.0 } else { h.value_at_quantile(q) as f64 / 10_000.0 }
}

fn quantiles(h: &Histogram<u64>) -> serde_json::Value {
    json!({
        "count": h.len(),
        "mean": h.mean() / 10_000.0,
        "p50": ms(h, 0.5),
        "p90": ms(h, 0.9),
        "p99": ms(h, 0.99),
        "p999": ms(h, 0.999),
        "max": if h.is_empty() { 0.0 } else { h.max() as f64 / 10_000.0 },
    })
}

fn size(text: &str) -> Result<usize, String> {
    let t = text.trim().to_ascii_lowercase();
    let (digits, unit) = match t.strip_suffix(['k', 'm']) {
        Some(d) => (d, if t.ends_with('k') { 1_000 } else { 1_000_000 }),
        None => (t.as_str(), 1),
    };
    digits.parse::<usize>().map(|n| n * unit).map_err(|_| format!("not a size: {text}"))
}

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use lexopt::prelude::*;
    let mut url = "http://127.0.0.1:18080".to_owned();
    let mut path = "/v1/messages".to_owned();
    let mut headers: Vec<String> = Vec::new();
    let mut model = "claude-sonnet-4-5".to_owned();
    let (mut stream, mut body_size, mut connections, mut rate) = (false, 2_000, 16, 0.0f64);
    let (mut warmup, mut duration, mut timeout) = (2.0f64, 8.0f64, 60.0f64);
    let (mut events, mut delay, mut latency, mut threads) = (50u64, 0u64, 0u64, 1usize);
    let (mut pid, mut name, mut out, mut fresh) = (None::<u32>, String::new(), None::<String>, false);
    let mut print_body = false;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("url") => url = args.value()?.string()?,
            Long("path") => path = args.value()?.string()?,
            Long("header") => headers.push(args.value()?.string()?),
            Long("model") => model = args.value()?.string()?,
            Long("mode") => stream = args.value()?.string()? == "stream",
            Long("body") => body_size = size(&args.value()?.string()?)?,
            Long("connections") => connections = args.value()?.parse()?,
            Long("rate") => rate = args.value()?.parse()?,
            Long("warmup") => warmup = args.value()?.parse()?,
            Long("duration") => duration = args.value()?.parse()?,
            Long("events") => events = args.value()?.parse()?,
            Long("delay-ms") => delay = args.value()?.parse()?,
            Long("latency-ms") => latency = args.value()?.parse()?,
            Long("timeout") => timeout = args.value()?.parse()?,
            Long("threads") => threads = args.value()?.parse::<usize>()?.max(1),
            Long("fresh") => fresh = true,
            Long("print-body") => print_body = true,
            Long("pid") => pid = Some(args.value()?.parse()?),
            Long("name") => name = args.value()?.string()?,
            Long("json") => out = Some(args.value()?.string()?),
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let rest = url.strip_prefix("http://").ok_or("the URL must begin with http://")?;
    let (addr, prefix) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{}", prefix.trim_end_matches('/')) };
    let template = body::build(&model, stream, body_size, &format!("n={events} d={delay} l={latency}"));
    if print_body {
        use std::io::Write;
        std::io::stdout().write_all(&template.bytes)?;
        return Ok(());
    }
    let mut head = format!(
        "POST {prefix}{path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\naccept: application/json\r\nanthropic-version: 2023-06-01\r\nanthropic-beta: claude-code-20250219\r\nuser-agent: claude-cli/2.0 (bench)\r\ncontent-length: {}\r\n",
        template.bytes.len()
    );
    for h in &headers {
        head.push_str(h);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let sent = template.bytes.len();
    let plan = Arc::new(Plan {
        addr: addr.to_owned(),
        head: head.into_bytes(),
        template,
        stream,
        events,
        connections,
        rate,
        warmup: Duration::from_secs_f64(warmup),
        duration: Duration::from_secs_f64(duration),
        timeout: Duration::from_secs_f64(timeout),
        fresh,
    });
    let from = now_ns() + plan.warmup.as_nanos() as u64;
    let window = Arc::new(Window { from, to: from + plan.duration.as_nanos() as u64 });

    let over = Arc::new(AtomicBool::new(false));
    let watcher = pid.map(|pid| {
        let window = window.clone();
        let over = over.clone();
        std::thread::spawn(move || {
            let wait = |t: u64| std::thread::sleep(Duration::from_nanos(t.saturating_sub(now_ns())));
            wait(window.from);
            let pids = procs::tree(pid);
            let first = procs::usage(&pids, false);
            let began = now_ns();
            let mut peak = 0;
            loop {
                let pause = (window.to.saturating_sub(now_ns())).min(250_000_000);
                std::thread::sleep(Duration::from_nanos(pause));
                let done = now_ns() >= window.to || over.load(Relaxed);
                let now = procs::usage(&pids, false);
                let ended = now_ns();
                peak = peak.max(procs::usage(&pids, true).rss_kib);
                if done {
                    return (first, now, ended - began, peak);
                }
            }
        })
    });
    let workers: Vec<_> = (0..threads)
        .map(|i| {
            let (plan, window) = (plan.clone(), window.clone());
            std::thread::spawn(move || worker(plan, window, i, threads))
        })
        .collect();
    let mut all = Tally::new();
    for w in workers {
        all.add(&w.join().map_err(|_| "a worker panicked")?);
    }
    over.store(true, Relaxed);
    let watched = watcher.and_then(|w| w.join().ok());

    let secs = plan.duration.as_secs_f64();
    let failed: u64 = all.errors.values().sum();
    let mut result = json!({
        "name": name,
        "mode": if stream { "stream" } else { "unary" },
        "body_bytes": sent,
        "connections": connections,
        "rate": rate,
        "seconds": secs,
        "ok": all.ok,
        "failed": failed,
        "errors": all.errors,
        "connects": all.connects,
        "retried_idle_close": all.retried,
        "requests_per_s": all.ok as f64 / secs,
        "latency_ms": quantiles(&all.latency),
        "first_ms": quantiles(&all.first),
    });
    if stream {
        result["events_per_s"] = json!(all.deltas as f64 / secs);
        result["transit_ms"] = quantiles(&all.transit);
    }
    if rate > 0.0 {
        result["scheduling_late_ms"] = quantiles(&all.late);
    }
    if let Some((a, b, wall, peak)) = watched {
        let cpu = b.cpu_us.saturating_sub(a.cpu_us) as f64 * (secs * 1e9 / wall as f64);
        result["cpu_us"] = json!(cpu);
        result["cpu_cores"] = json!(cpu / 1e6 / secs);
        result["cpu_us_per_request"] = json!(cpu / (all.ok.max(1)) as f64);
        if stream {
            result["cpu_us_per_event"] = json!(cpu / (all.deltas.max(1)) as f64);
        }
        result["processes"] = json!(a.procs);
        result["peak_rss_mib"] = json!(peak as f64 / 1024.0);
    }
    if out.as_deref() == Some("-") {
        println!("{result}");
    } else {
        table(&result);
        if let Some(file) = out {
            std::fs::write(file, format!("{result:#}\n"))?;
        }
    }
    if all.ok == 0 {
        std::process::exit(2);
    }
    Ok(())
}

fn table(r: &serde_json::Value) {
    let f = |v: &serde_json::Value| v.as_f64().unwrap_or(0.0);
    println!(
        "{} {} body={} c={} rate={}: {} ok, {} failed, {:.0} req/s",
        r["name"].as_str().unwrap_or(""),
        r["mode"].as_str().unwrap_or(""),
        r["body_bytes"],
        r["connections"],
        r["rate"],
        r["ok"],
        r["failed"],
        f(&r["requests_per_s"])
    );
    println!("{:>10} {:>9} {:>9} {:>9} {:>9} {:>9}", "ms", "p50", "p90", "p99", "p99.9", "max");
    for (label, key) in [("total", "latency_ms"), ("first", "first_ms"), ("transit", "transit_ms")] {
        let q = &r[key];
        if q.is_object() {
            println!(
                "{label:>10} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
                f(&q["p50"]),
                f(&q["p90"]),
                f(&q["p99"]),
                f(&q["p999"]),
                f(&q["max"])
            );
        }
    }
    if r["events_per_s"].is_number() {
        println!("  events/s {:.0}", f(&r["events_per_s"]));
    }
    if r["cpu_us"].is_number() {
        println!(
            "  process: {:.2} cores, {:.1} us/request, peak {:.1} MiB",
            f(&r["cpu_cores"]),
            f(&r["cpu_us_per_request"]),
            f(&r["peak_rss_mib"])
        );
    }
    if let Some(e) = r["errors"].as_object()
        && !e.is_empty()
    {
        println!("  errors: {}", r["errors"]);
    }
}
