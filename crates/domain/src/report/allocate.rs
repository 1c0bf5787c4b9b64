//! Overhead that teams share, and how it is split among them.

use std::collections::BTreeMap;

use crate::id::TeamId;
use crate::money::Nanos;

/// Splits an amount by weights, exactly: every part is rounded down, and what is left goes, one nano-dollar each, to the
/// parts that lost most by that (the first of them where they lost the same). Weights that are all zero count as equal.
/// Without any weight there is no part. A negative amount splits as its opposite does.
pub fn split(total: Nanos, weights: &[u64]) -> Vec<Nanos> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    if sum == 0 {
        return if weights.is_empty() { Vec::new() } else { split(total, &vec![1; weights.len()]) };
    }
    let whole = u128::from(total.0.unsigned_abs());
    // An amount and a weight have 64 bits each, so that their product has room.
    let (mut parts, mut lost): (Vec<u128>, Vec<(u128, usize)>) = (Vec::new(), Vec::new());
    for (index, weight) in weights.iter().enumerate() {
        let product = whole * u128::from(*weight);
        parts.push(product / sum);
        lost.push((product % sum, index));
    }
    let left = whole - parts.iter().sum::<u128>();
    lost.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in lost.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[*index] += 1;
    }
    let signed = |part: u128| {
        let part = i128::try_from(part).unwrap_or(i128::MAX);
        let part = if total.0 < 0 { -part } else { part };
        Nanos(i64::try_from(part).unwrap_or(i64::MAX))
    };
    parts.into_iter().map(signed).collect()
}

/// What is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What was spent and charged to no team. It is moved, so that the month's total stays.
    Unassigned,
    /// So much a month, such as the platform's own cost. It is added to the month's total.
    Amount(Nanos),
}

/// How it is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Every team that exists bears the same.
    Even,
    /// Every team bears as much as its share of what teams spent; where none spent anything, all bear the same.
    Proportional,
    /// Fixed shares, as weights.
    Fixed(Vec<(TeamId, u64)>),
}

impl Method {
    /// The name used in the database and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Proportional => "proportional",
            Self::Fixed(_) => "fixed",
        }
    }
}

/// A rule by which overhead is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Its name, as statements show it.
    pub name: String,
    /// What is shared.
    pub source: Source,
    /// How.
    pub method: Method,
}

/// What a rule puts on a team, or takes from what belongs to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allotment {
    /// The rule's name.
    pub rule: String,
    /// The team; `None` is what belongs to none.
    pub team: Option<TeamId>,
    /// How much; negative where something is taken away.
    pub amount: Nanos,
}

/// Applies rules to a month: `spent` is what was charged to each team and to none. What nobody is there to bear stays with
/// nobody. Fixed shares of teams that are gone are left out, and the others bear them.
pub fn allocate(
    rules: &[Allocation],
    teams: &[TeamId],
    spent: &BTreeMap<Option<TeamId>, Nanos>,
) -> Vec<Allotment> {
    let mut out = Vec::new();
    for rule in rules {
        let (bearers, weights) = bearers(&rule.method, teams, spent);
        let amount = match rule.source {
            Source::Amount(amount) => amount,
            Source::Unassigned => spent.get(&None).copied().unwrap_or(Nanos::ZERO),
        };
        let allotted = |team, amount| Allotment { rule: rule.name.clone(), team, amount };
        match (rule.source, bearers.is_empty()) {
            (Source::Unassigned, true) => continue,
            (Source::Amount(_), true) => out.push(allotted(None, amount)),
            (Source::Unassigned, false) => out.push(allotted(None, Nanos(-amount.0))),
            (Source::Amount(_), false) => {}
        }
        let parts = split(amount, &weights);
        out.extend(bearers.into_iter().zip(parts).map(|(team, part)| allotted(Some(team), part)));
    }
    out.retain(|allotment| allotment.amount != Nanos::ZERO);
    out
}

fn bearers(
    method: &Method,
    teams: &[TeamId],
    spent: &BTreeMap<Option<TeamId>, Nanos>,
) -> (Vec<TeamId>, Vec<u64>) {
    match method {
        Method::Even => (teams.to_vec(), vec![1; teams.len()]),
        Method::Fixed(shares) => shares.iter().filter(|(team, _)| teams.contains(team)).copied().unzip(),
        Method::Proportional => {
            let weights: Vec<(TeamId, u64)> = spent
                .iter()
                .filter_map(|(team, nanos)| Some(((*team)?, u64::try_from(nanos.0).unwrap_or(0))))
                .filter(|(_, weight)| *weight > 0)
                .collect();
            if weights.is_empty() {
                (teams.to_vec(), vec![1; teams.len()])
            } else {
                weights.into_iter().unzip()
            }
        }
    }
}
