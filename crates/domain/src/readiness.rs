//! The readiness checklist: what must stand before people are let in, and whether it does.
//!
//! Of each item there can be two sources: what a machine finds, and what somebody states. A statement never covers up what
//! a machine finds to be broken. A waiver does, until its day, and says why.

mod item;

use serde::Serialize;

use crate::time::UnixMillis;

pub use item::{BadItem, Item, Section};

/// What a machine found of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It stands; what shows it.
    Good(String),
    /// It stands, and something about it should be better.
    Poor(String),
    /// It does not stand.
    Bad(String),
    /// This deployment does not need it, and why.
    NotNeeded(String),
    /// A machine cannot tell; what it knows of it.
    Unknown(String),
}

impl Finding {
    /// What was found, in words.
    pub fn evidence(&self) -> &str {
        match self {
            Self::Good(text)
            | Self::Poor(text)
            | Self::Bad(text)
            | Self::NotNeeded(text)
            | Self::Unknown(text) => text,
        }
    }
}

/// What somebody states of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What was done, and where it can be seen.
    pub text: String,
    /// Who states it.
    pub by: String,
    /// When.
    pub at: UnixMillis,
}

/// Why an item may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub by: String,
    /// Until when.
    pub until: UnixMillis,
}

/// What is kept of an item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Who sees to it.
    pub owner: Option<String>,
    /// Until when it is to be done.
    pub due: Option<UnixMillis>,
    /// What was stated last.
    pub statement: Option<Statement>,
    /// Why it may wait.
    pub waiver: Option<Waiver>,
}

/// How an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is broken, and a machine knows.
    Fail,
    /// Nobody has seen to it yet, or too long ago.
    Open,
    /// It stands and should be better.
    Warn,
    /// It was decided that it may wait.
    Waived,
    /// It stands.
    Pass,
    /// This deployment does not need it.
    NotNeeded,
}

impl State {
    /// The name used in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Open => "open",
            Self::Warn => "warn",
            Self::Waived => "waived",
            Self::Pass => "pass",
            Self::NotNeeded => "not_needed",
        }
    }

    /// Whether people may be let in with an item in this state.
    pub const fn lets_go(self) -> bool {
        match self {
            Self::Fail | Self::Open => false,
            Self::Warn | Self::Waived | Self::Pass | Self::NotNeeded => true,
        }
    }
}

/// An item, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Which one.
    pub item: Item,
    /// How it stands.
    pub state: State,
    /// What shows it.
    pub evidence: String,
    /// Whether its day has passed and it does not stand.
    pub overdue: bool,
    /// What is kept of it.
    pub kept: Kept,
}

/// Judges an item.
pub fn judge(item: Item, found: &Finding, kept: Kept, now: UnixMillis) -> Judged {
    let stated = kept.statement.as_ref();
    let lasts = |statement: &Statement| now < statement.at.plus_millis(item.review_ms());
    let of = |statement: &Statement| format!("{} ({}, {})", statement.text, statement.by, day(statement.at));
    let (state, evidence) = match (found, stated) {
        (Finding::Bad(text), _) => (State::Fail, text.clone()),
        (Finding::NotNeeded(text), _) => (State::NotNeeded, text.clone()),
        (Finding::Poor(text), _) => (State::Warn, text.clone()),
        (Finding::Good(text), _) if !item.needs_statement() => (State::Pass, text.clone()),
        (found, Some(statement)) if lasts(statement) => {
            (State::Pass, joined(&of(statement), found.evidence()))
        }
        (found, Some(statement)) => {
            let old = format!("stated on {}, and to be looked at again since", day(statement.at));
            (State::Open, joined(&old, found.evidence()))
        }
        (found, None) => (State::Open, joined("nobody has stated it", found.evidence())),
    };
    let waived = kept.waiver.as_ref().filter(|waiver| now < waiver.until && !state.is_done());
    let (state, evidence) = match waived {
        Some(waiver) => {
            let why = format!("{} ({}, until {})", waiver.reason, waiver.by, day(waiver.until));
            (State::Waived, joined(&why, &evidence))
        }
        None => (state, evidence),
    };
    let overdue = !state.lets_go() && kept.due.is_some_and(|due| due < now);
    Judged { item, state, evidence, overdue, kept }
}

impl State {
    /// Whether there is nothing left that a waiver could be for.
    const fn is_done(self) -> bool {
        matches!(self, Self::Pass | Self::NotNeeded)
    }
}

fn joined(first: &str, then: &str) -> String {
    if then.is_empty() { first.to_owned() } else { format!("{first}; {then}") }
}

fn day(at: UnixMillis) -> String {
    at.to_string().chars().take(10).collect()
}

/// How ready a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Items that stand or need not, in percent of all, rounded down. A warning counts half.
    pub percent: u8,
    /// Whether people may be let in: nothing is broken, and nothing is open.
    pub go: bool,
}

/// The score of items.
pub fn score(all: &[Judged]) -> Score {
    let points: usize = all
        .iter()
        .map(|judged| match judged.state {
            State::Pass | State::NotNeeded => 2,
            State::Warn | State::Waived => 1,
            State::Fail | State::Open => 0,
        })
        .sum();
    let percent = (points * 50).checked_div(all.len()).unwrap_or(100);
    Score {
        percent: u8::try_from(percent).unwrap_or(100),
        go: all.iter().all(|judged| judged.state.lets_go()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const DAY: i64 = 86_400_000;

    fn stated(days_ago: i64) -> Kept {
        let at = NOW.plus_millis(-days_ago * DAY);
        let statement = Statement { text: "done".to_owned(), by: "ada".to_owned(), at };
        Kept { statement: Some(statement), ..Kept::default() }
    }

    fn waived(days: i64) -> Kept {
        let until = NOW.plus_millis(days * DAY);
        let waiver = Waiver { reason: "no need yet".to_owned(), by: "ada".to_owned(), until };
        Kept { waiver: Some(waiver), due: Some(NOW.plus_millis(-DAY)), ..Kept::default() }
    }

    fn state(item: Item, found: &Finding, kept: Kept) -> State {
        judge(item, found, kept, NOW).state
    }

    #[test]
    fn what_a_machine_finds_and_what_is_stated_come_together() {
        let text = String::new;
        let (machine, both) = (Item::Backup, Item::Permissions);
        assert!(!machine.needs_statement() && both.needs_statement());
        for (item, found, kept, expected) in [
            (machine, Finding::Good(text()), Kept::default(), State::Pass),
            (both, Finding::Good(text()), Kept::default(), State::Open),
            (both, Finding::Good(text()), stated(1), State::Pass),
            (both, Finding::Good(text()), stated(91), State::Open),
            (machine, Finding::Bad(text()), stated(1), State::Fail),
            (machine, Finding::Poor(text()), stated(1), State::Warn),
            (machine, Finding::Unknown(text()), Kept::default(), State::Open),
            (machine, Finding::Unknown(text()), stated(1), State::Pass),
            (machine, Finding::NotNeeded(text()), Kept::default(), State::NotNeeded),
            (machine, Finding::Bad(text()), waived(1), State::Waived),
            (machine, Finding::Bad(text()), waived(-1), State::Fail),
            (machine, Finding::Good(text()), waived(1), State::Pass),
        ] {
            assert_eq!(state(item, &found, kept.clone()), expected, "{item:?} {found:?} {kept:?}");
        }
    }

    #[test]
    fn what_is_broken_or_open_keeps_people_out() {
        let judged = |found: Finding, kept| judge(Item::Backup, &found, kept, NOW);
        let good = judged(Finding::Good("fresh".to_owned()), Kept::default());
        let bad = judged(Finding::Bad("none".to_owned()), Kept::default());
        let late = judged(
            Finding::Bad("none".to_owned()),
            Kept { due: Some(NOW.plus_millis(-1)), ..Kept::default() },
        );
        assert!(late.overdue && !bad.overdue && !good.overdue);
        assert_eq!(score(&[good.clone(), good.clone()]), Score { percent: 100, go: true });
        assert_eq!(score(&[good.clone(), bad]), Score { percent: 50, go: false });
        let waived = judged(Finding::Bad("none".to_owned()), waived(1));
        assert!(waived.evidence.contains("no need yet (ada, until ") && !waived.overdue);
        assert_eq!(score(&[good, waived]), Score { percent: 75, go: true });
    }
}
