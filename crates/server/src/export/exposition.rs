//! What `/metrics` says, as metrics of OpenTelemetry: names, labels and values stay as they are.

use std::collections::BTreeMap;

use gatehouse_domain::alert::Labels;

use super::figure::histogram_point;
use super::protobuf::{Value, attribute, bytes, fixed, number, real, within};
use crate::metric::sample;

/// A metric of the text format.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    numbers: Vec<(Labels, f64)>,
    histograms: BTreeMap<Labels, Buckets>,
}

/// A histogram's buckets: upper ends, and how many values are up to there.
#[derive(Default)]
struct Buckets {
    up_to: Vec<(f64, f64)>,
    sum: f64,
}

/// The metrics of a text in Prometheus' format, counted since a time.
pub(super) fn metrics(text: &str, times: (u64, u64)) -> Vec<Vec<u8>> {
    let (mut all, mut family) = (Vec::new(), Family::default());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
            let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
            if name != family.name {
                all.extend(
                    std::mem::replace(&mut family, Family { name, ..Family::default() }).metric(times),
                );
            }
            *if line.starts_with("# HELP") { &mut family.help } else { &mut family.kind } = what;
        } else if let Some(sample) = sample(line) {
            family.take(&sample.signal, sample.labels, sample.value);
        }
    }
    all.extend(family.metric(times));
    all
}

impl Family<'_> {
    fn take(&mut self, name: &str, mut labels: Labels, value: f64) {
        let Some(part) = name.strip_prefix(self.name) else { return };
        if self.kind != "histogram" {
            // What is not known has no value.
            if part.is_empty() && !value.is_nan() {
                self.numbers.push((labels, value));
            }
            return;
        }
        match part {
            "_bucket" => {
                let Some(end) = labels.remove("le").and_then(|end| end.parse().ok()) else { return };
                self.histograms.entry(labels).or_default().up_to.push((end, value));
            }
            "_sum" => self.histograms.entry(labels).or_default().sum = value,
            _ => {}
        }
    }

    fn metric(self, times: (u64, u64)) -> Option<Vec<u8>> {
        if self.numbers.is_empty() && self.histograms.is_empty() {
            return None;
        }
        let mut metric = Vec::new();
        bytes(&mut metric, 1, self.name.as_bytes());
        bytes(&mut metric, 2, self.help.as_bytes());
        match self.kind {
            "histogram" => within(&mut metric, 9, |out| {
                for (labels, buckets) in &self.histograms {
                    within(out, 1, |point| buckets.point(point, labels, times));
                }
                number(out, 2, super::CUMULATIVE);
            }),
            "counter" => within(&mut metric, 7, |out| {
                points(out, &self.numbers, times);
                number(out, 2, super::CUMULATIVE);
                number(out, 3, 1);
            }),
            _ => within(&mut metric, 5, |out| points(out, &self.numbers, times)),
        }
        Some(metric)
    }
}

fn points(out: &mut Vec<u8>, numbers: &[(Labels, f64)], (since, now): (u64, u64)) {
    for (labels, value) in numbers {
        within(out, 1, |point| {
            fixed(point, 2, since);
            fixed(point, 3, now);
            real(point, 4, *value);
            for (name, text) in labels {
                attribute(point, 7, name, Value::Text(text));
            }
        });
    }
}

impl Buckets {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole and not negative"
    )]
    fn point(&self, out: &mut Vec<u8>, labels: &Labels, times: (u64, u64)) {
        let mut before = 0.0;
        let mut own = Vec::with_capacity(self.up_to.len());
        for (_, up_to) in &self.up_to {
            own.push((up_to - before).max(0.0) as u64);
            before = *up_to;
        }
        let ends: Vec<f64> = self.up_to.iter().map(|(end, _)| *end).filter(|end| end.is_finite()).collect();
        histogram_point(out, times, &ends, &own, self.sum);
        for (name, text) in labels {
            attribute(out, 9, name, Value::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_what_has_no_value_is_left_out() {
        let text = "# HELP a_total Of \"a\".\n# TYPE a_total counter\na_total{k=\"x\\\"y\"} 3\n\n\
                    # HELP g G.\n# TYPE g gauge\ng NaN\ng{w=\"7d\"} 0.5\n\n\
                    # TYPE h_seconds histogram\nh_seconds_bucket{le=\"0.1\"} 1\nh_seconds_bucket{le=\"1\"} 4\n\
                    h_seconds_bucket{le=\"+Inf\"} 5\nh_seconds_sum 7.5\nh_seconds_count 5\n\n# TYPE none gauge\nnone NaN\n";
        let all = metrics(text, (1, 2));
        assert_eq!(all.len(), 3);
        let has = |at: usize, part: &[u8]| all[at].windows(part.len()).any(|window| window == part);
        assert!(
            has(0, b"a_total") && has(0, b"Of \"a\".") && has(0, b"x\"y") && has(0, &3.0_f64.to_le_bytes())
        );
        assert!(has(1, &0.5_f64.to_le_bytes()) && !has(1, &f64::NAN.to_le_bytes()));
        let buckets: Vec<u8> = [1_u64, 3, 1].into_iter().flat_map(u64::to_le_bytes).collect();
        assert!(has(2, &buckets) && has(2, &7.5_f64.to_le_bytes()) && has(2, &5_u64.to_le_bytes()));
        assert!(!has(2, &f64::INFINITY.to_le_bytes()));
    }
}
