//! Figures for `/metrics`, in Prometheus's text format.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Upper ends of histogram buckets in seconds: from a tenth of a millisecond (our own overhead) to ten minutes (a long
/// stream).
const BUCKETS: [f64; 17] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// How often collected samples are folded into their buckets; in between they take memory.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder. To be called once, before anything counts.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are recorded elsewhere already"))?;
    Ok(handle)
}
