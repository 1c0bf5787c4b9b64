//! What is counted. Labels have few and known values: never a rule of the organization, a host or a person.

use gatehouse_domain::proxy::{Tunnel, Verdict};
use metrics::{counter, gauge};

/// A request was decided on.
pub(crate) fn decided(form: &'static str, verdict: Verdict) {
    counter!("gatehouse_proxy_requests_total", "form" => form, "verdict" => verdict.as_str()).increment(1);
}

/// A tunnel ended, or what was refused is written down.
pub(crate) fn ended(tunnel: &Tunnel) {
    let Some(end) = tunnel.end else { return };
    counter!("gatehouse_proxy_ended_total", "why" => end.why.as_str()).increment(1);
    counter!("gatehouse_proxy_bytes_total", "direction" => "up").increment(end.up);
    counter!("gatehouse_proxy_bytes_total", "direction" => "down").increment(end.down);
}

/// So many tunnels are open.
#[expect(clippy::cast_precision_loss, reason = "a figure beyond 2^53 need not be exact")]
pub(crate) fn open(count: usize) {
    gauge!("gatehouse_proxy_tunnels").set(count as f64);
}

/// A record found no room.
pub(crate) fn record_lost() {
    counter!("gatehouse_proxy_records_lost_total").increment(1);
}

/// A stranger was refused and leaves no record, since their address has had its share.
pub(crate) fn unrecorded() {
    counter!("gatehouse_proxy_strangers_unrecorded_total").increment(1);
}

/// A connection was closed at once, since too many are open.
pub(crate) fn shed() {
    counter!("gatehouse_proxy_connections_shed_total").increment(1);
}
