//! The result, for people and for programs.

use serde_json::json;

use crate::Plan;
use crate::procs::Watched;
use crate::tally::{Tally, quantiles};

/// Everything measured, as one JSON object.
pub(crate) fn result(name: &str, plan: &Plan, all: &Tally, watched: Option<Watched>) -> serde_json::Value {
    let secs = plan.duration.as_secs_f64();
    let failed: u64 = all.errors.values().sum();
    let mut result = json!({
        "name": name,
        "mode": if plan.stream { "stream" } else { "unary" },
        "body_bytes": plan.template.bytes.len(),
        "connections": plan.connections,
        "rate": plan.rate,
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
    if plan.stream {
        result["events_per_s"] = json!(all.deltas as f64 / secs);
        result["transit_ms"] = quantiles(&all.transit);
    }
    if plan.rate > 0.0 {
        result["scheduling_late_ms"] = quantiles(&all.late);
    }
    if let Some(watched) = watched {
        let cpu = watched.cpu_us as f64 * (secs * 1e9 / watched.wall_ns as f64);
        result["cpu_us"] = json!(cpu);
        result["cpu_cores"] = json!(cpu / 1e6 / secs);
        result["cpu_us_per_request"] = json!(cpu / (all.ok.max(1)) as f64);
        if plan.stream {
            result["cpu_us_per_event"] = json!(cpu / (all.deltas.max(1)) as f64);
        }
        result["processes"] = json!(watched.processes);
        result["peak_rss_mib"] = json!(watched.peak_kib as f64 / 1024.0);
    }
    result
}

/// Prints a result as a table.
pub(crate) fn table(r: &serde_json::Value) {
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
