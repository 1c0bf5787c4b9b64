//! What numbers allow to be said.
//!
//! Bounds hold at 95 percent. What is looked at again and again while it grows is judged only by what stays valid at every
//! look (a likelihood ratio against a limit, a confidence sequence); what is looked at once, at the end, by plain bounds.

/// The 95th percentile of the normal distribution.
const Z: f64 = 1.644_853_626_951_472_2;
/// How often a sound rollout may be stopped by mistake.
const ALPHA: f64 = 0.05;

/// Failures of so many tries. Not whole: tries of one person are not independent, and count for less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Failures.
    pub failures: f64,
    /// Tries.
    pub tries: f64,
}

impl Rate {
    /// The rate; zero of nothing.
    pub fn value(self) -> f64 {
        if self.tries > 0.0 { self.failures / self.tries } else { 0.0 }
    }

    /// As it counts when `effect` dependent tries say as much as one.
    #[must_use]
    pub fn shrunk(self, effect: f64) -> Self {
        Self { failures: self.failures / effect, tries: self.tries / effect }
    }
}

/// The one-sided bounds of a rate by Wilson's score: below which, and above which, it is not in 95 of 100 cases each.
/// (Wilson, "Probable inference, the law of succession, and statistical inference", 1927.)
pub fn wilson(rate: Rate) -> (f64, f64) {
    let n = rate.tries;
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let (p, zz) = (rate.value(), Z * Z);
    let middle = p + zz / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + zz / (4.0 * n * n)).sqrt();
    let whole = 1.0 + zz / n;
    // At the ends the bound is exact, and rounding must not make something of nothing.
    let lower = if rate.failures <= 0.0 { 0.0 } else { ((middle - half) / whole).max(0.0) };
    let upper = if rate.failures >= n { 1.0 } else { ((middle + half) / whole).min(1.0) };
    (lower, upper)
}

/// How many tries of the same person on the same day say as much as one, from the tries and failures of each such group:
/// the variance of the ratio over that of independent tries. At least 1.
pub fn design_effect(groups: &[(u64, u64)]) -> f64 {
    let (tries, failures) =
        groups.iter().fold((0.0, 0.0), |(n, x), (tries, failures)| (n + real(*tries), x + real(*failures)));
    let m = groups.len();
    if m < 2 || tries <= 0.0 || failures <= 0.0 || failures >= tries {
        return 1.0;
    }
    let p = failures / tries;
    let squares: f64 = groups.iter().map(|(n, x)| (real(*x) - p * real(*n)).powi(2)).sum();
    let m = real(u64::try_from(m).unwrap_or(u64::MAX));
    (squares * m / (m - 1.0) / (tries * p * (1.0 - p))).max(1.0)
}

/// Whether a rate is shown to be above a limit, at whatever look this is.
///
/// Wald's sequential probability ratio of twice the limit against the limit. Where the rate is at most the limit the ratio
/// ever reaches 1/α with a probability of at most α (Ville's inequality), so that looking often stops nothing more often.
pub fn rate_is_worse(rate: Rate, limit: f64) -> bool {
    if limit <= 0.0 {
        return rate.failures > 0.0;
    }
    if limit >= 1.0 {
        return false;
    }
    let worse = (2.0 * limit).min(f64::midpoint(1.0, limit));
    let good = rate.tries - rate.failures;
    let ratio = rate.failures * (worse / limit).ln() + good * ((1.0 - worse) / (1.0 - limit)).ln();
    ratio >= (1.0 / ALPHA).ln()
}

/// How far a mean of so many values with this variance may be from the truth, at every look: the half width of an
/// asymptotic confidence sequence (Waudby-Smith and others, 2021), tuned to be narrowest at `tuned` values.
pub fn confidence_half_width(n: f64, variance: f64, tuned: f64) -> f64 {
    if n < 1.0 {
        return f64::INFINITY;
    }
    let log = -2.0 * ALPHA.ln();
    let rho = ((log + (log + 1.0).ln()) / tuned).sqrt();
    let nrr = n * rho * rho;
    (variance * 2.0 * (nrr + 1.0) / (n * nrr) * ((nrr + 1.0).sqrt() / ALPHA).ln()).sqrt()
}

/// How clearly values are greater than others, in standard deviations: the rank sum test of Mann and Whitney, by the normal
/// approximation with ties reckoned in. Above 1.645 they are, in 95 of 100 cases.
pub fn mann_whitney_z(values: &[f64], others: &[f64]) -> f64 {
    let (n, m) = (values.len(), others.len());
    if n == 0 || m == 0 {
        return 0.0;
    }
    let mut all: Vec<(f64, bool)> =
        values.iter().map(|v| (*v, true)).chain(others.iter().map(|v| (*v, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut ties, mut at) = (0.0, 0.0, 0);
    while let Some((value, _)) = all.get(at) {
        let tied: Vec<bool> =
            all.iter().skip(at).take_while(|one| one.0 <= *value).map(|one| one.1).collect();
        let (first, count) = (size(at) + 1.0, size(tied.len()));
        let ours = size(tied.iter().filter(|ours| **ours).count());
        ranks += ours * (first + (count - 1.0) / 2.0);
        ties += count * count * count - count;
        at += tied.len();
    }
    let (n, m) = (size(n), size(m));
    let total = n + m;
    let u = ranks - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 { 0.0 } else { (u - n * m / 2.0) / variance.sqrt() }
}

/// Whether a distance of [`mann_whitney_z`] is clear.
pub(super) fn is_clear(z: f64) -> bool {
    z > Z
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 do not occur")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

fn size(count: usize) -> f64 {
    real(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(failures: f64, tries: f64) -> Rate {
        Rate { failures, tries }
    }

    #[test]
    fn wilson_bounds_are_those_of_the_books() {
        // One-sided at 95 percent: 0 of 50 is 5.13 %, of 60 4.32 %, of 100 2.63 %; 5 of 200 is 5.05 %.
        for (rate, upper) in [
            (of(0.0, 50.0), 0.0513),
            (of(0.0, 60.0), 0.0431),
            (of(0.0, 100.0), 0.0263),
            (of(5.0, 200.0), 0.0505),
        ] {
            assert!((wilson(rate).1 - upper).abs() < 0.0002, "{rate:?}: {}", wilson(rate).1);
        }
        assert_eq!(wilson(of(0.0, 0.0)), (0.0, 1.0));
        assert!(wilson(of(60.0, 60.0)).0 > 0.95);
    }

    #[test]
    fn requests_of_one_person_count_for_less() {
        let even = vec![(10, 1); 20];
        assert!((design_effect(&even) - 1.0).abs() < 1e-9);
        let one_bad_day: Vec<(u64, u64)> = (0..20).map(|n| (10, if n == 0 { 10 } else { 0 })).collect();
        assert!(design_effect(&one_bad_day) > 9.0, "{}", design_effect(&one_bad_day));
        for nothing in [vec![], vec![(5, 1)], vec![(5, 0), (5, 0)], vec![(5, 5), (5, 5)]] {
            assert!((design_effect(&nothing) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_rank_sum_is_that_of_the_books() {
        // U = 25 of 5 and 5 values, all greater: z = 12.5 / sqrt(25 · 11 / 12).
        let z = mann_whitney_z(&[6.0, 7.0, 8.0, 9.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((z - 12.5 / (25.0_f64 * 11.0 / 12.0).sqrt()).abs() < 1e-9, "{z}");
        let same: Vec<f64> = (0..20).map(f64::from).collect();
        assert!(mann_whitney_z(&same, &same).abs() < 1e-9, "identical values differ by nothing");
        assert!(mann_whitney_z(&[3.0; 12], &[3.0; 12]).abs() < 1e-9);
        assert!(mann_whitney_z(&[], &[1.0]).abs() < 1e-9);
    }

    /// Chance that tests command: `SplitMix64`.
    fn chance(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        real((z ^ (z >> 31)) >> 11) / real(1 << 53)
    }

    #[test]
    fn looking_at_every_request_stops_no_more_sound_rollouts() {
        let (limit, runs, requests, mut state) = (0.05, 4000_u32, 2000_u32, 7);
        let mut stopped = |truth: f64, naive: bool| {
            let mut stops = 0;
            for _ in 0..runs {
                let mut rate = of(0.0, 0.0);
                for _ in 0..requests {
                    rate.tries += 1.0;
                    rate.failures += f64::from(u8::from(chance(&mut state) < truth));
                    let bad = if naive {
                        rate.tries > 20.0 && wilson(rate).0 > limit
                    } else {
                        rate_is_worse(rate, limit)
                    };
                    if bad {
                        stops += 1;
                        break;
                    }
                }
            }
            f64::from(stops) / f64::from(runs)
        };
        let (at_limit, naive, sound, bad) =
            (stopped(limit, false), stopped(limit, true), stopped(0.02, false), stopped(0.10, false));
        println!(
            "stopped, looking after every one of {requests} requests, limit 5 %: truth 5 %: {at_limit:.4} \
             (a plain bound at every look: {naive:.4}); truth 2 %: {sound:.4}; truth 10 %: {bad:.4}"
        );
        assert!(at_limit <= 0.05 + 3.0 * (0.05_f64 * 0.95 / f64::from(runs)).sqrt(), "{at_limit}");
        assert!(naive > 0.15 && sound < 0.001 && bad > 0.99, "{naive} {sound} {bad}");
    }

    #[test]
    fn a_mean_is_trusted_no_sooner_than_it_may_be() {
        let (mut state, mut missed, runs) = (11, 0, 2000);
        for _ in 0..runs {
            let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for _ in 0..300 {
                let score = (chance(&mut state) * 5.0).floor() + 1.0;
                (n, sum, squares) = (n + 1.0, sum + score, squares + score * score);
                let mean = sum / n;
                let variance = (squares / n - mean * mean).max(0.0);
                if n >= 20.0 && mean + confidence_half_width(n, variance, 100.0) < 3.0 {
                    missed += 1;
                    break;
                }
            }
        }
        assert!(missed <= runs / 20, "{missed} of {runs}");
        assert!(confidence_half_width(0.0, 1.0, 100.0).is_infinite());
    }
}
