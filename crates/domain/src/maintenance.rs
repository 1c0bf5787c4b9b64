//! The maintenance calendar: what has its day, such as the end of a certificate or the next review.

use std::fmt::Write as _;

use serde::Serialize;

use crate::time::{DAY_MS, UnixMillis};

/// What something in the calendar is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The end of a certificate.
    Certificate,
    /// The end of keys or tokens.
    Key,
    /// The next backup.
    Backup,
    /// The next restore for practice.
    Drill,
    /// A look at the prices.
    Prices,
    /// The end of a model.
    Model,
    /// A review that somebody stated lasts no longer, or a waiver.
    Review,
    /// The next survey.
    Survey,
    /// The day of a task or an item of the checklist.
    Task,
}

impl Kind {
    /// The name used in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::Prices => "prices",
            Self::Model => "model",
            Self::Review => "review",
            Self::Survey => "survey",
            Self::Task => "task",
        }
    }
}

/// Something that has its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its name, which stays the same from one look to the next.
    pub id: String,
    /// What it is about.
    pub kind: Kind,
    /// When.
    pub at: UnixMillis,
    /// What is to be done, in a sentence.
    pub what: String,
    /// Who sees to it.
    pub owner: Option<String>,
}

impl Due {
    /// Something that nobody in particular sees to.
    pub fn new(kind: Kind, id: impl std::fmt::Display, at: UnixMillis, what: impl Into<String>) -> Self {
        Self { id: format!("{}:{id}", kind.as_str()), kind, at, what: what.into(), owner: None }
    }

    /// `overdue`, `soon` (within two weeks) or `later`.
    pub const fn urgency(&self, now: UnixMillis) -> &'static str {
        const SOON: i64 = 14 * DAY_MS;
        if self.at.0 < now.0 {
            "overdue"
        } else if self.at.0 - now.0 <= SOON {
            "soon"
        } else {
            "later"
        }
    }
}

/// What there is up to a day, the most urgent first.
pub fn calendar(mut all: Vec<Due>, until: UnixMillis) -> Vec<Due> {
    all.retain(|due| due.at <= until);
    all.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    all
}

/// The calendar for programs that keep calendars (iCalendar, RFC 5545): a whole day for each.
pub fn ical(all: &[Due], now: UnixMillis) -> String {
    let mut out = String::new();
    line(&mut out, "BEGIN:VCALENDAR");
    line(&mut out, "VERSION:2.0");
    line(&mut out, "PRODID:-//Gatehouse//Maintenance//EN");
    for due in all {
        line(&mut out, "BEGIN:VEVENT");
        line(&mut out, &format!("UID:{}@gatehouse", escaped(&due.id)));
        line(&mut out, &format!("DTSTAMP:{}", stamp(now)));
        line(&mut out, &format!("DTSTART;VALUE=DATE:{}", day(due.at)));
        line(&mut out, &format!("SUMMARY:{}", escaped(&due.what)));
        line(&mut out, &format!("CATEGORIES:{}", due.kind.as_str()));
        if let Some(owner) = &due.owner {
            line(&mut out, &format!("DESCRIPTION:{}", escaped(owner)));
        }
        line(&mut out, "END:VEVENT");
    }
    line(&mut out, "END:VCALENDAR");
    out
}

/// Adds a line, folded at 75 octets (section 3.1), never within a letter.
fn line(out: &mut String, text: &str) {
    let mut room = 75;
    for letter in text.chars() {
        if letter.len_utf8() > room {
            out.push_str("\r\n ");
            room = 74;
        }
        out.push(letter);
        room -= letter.len_utf8();
    }
    out.push_str("\r\n");
}

/// A text as section 3.3.11 wants it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push_str("\\n"),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

fn day(at: UnixMillis) -> String {
    at.to_string().chars().take(10).filter(char::is_ascii_digit).collect()
}

fn stamp(at: UnixMillis) -> String {
    let text: String = at.to_string().chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    let mut out = text;
    // A text cannot refuse to be written into.
    let _: Result<(), std::fmt::Error> = write!(out, "Z");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn the_most_urgent_comes_first_and_what_is_far_away_not_at_all() {
        let at = |days: i64| NOW.plus_millis(days * DAY_MS);
        let all = vec![
            Due::new(Kind::Model, "b", at(20), ""),
            Due::new(Kind::Key, "a", at(-1), ""),
            Due::new(Kind::Review, "c", at(400), ""),
            Due::new(Kind::Backup, "d", at(14), ""),
        ];
        let shown = calendar(all, at(90));
        let told: Vec<_> = shown.iter().map(|due| (due.id.as_str(), due.urgency(NOW))).collect();
        assert_eq!(told, [("key:a", "overdue"), ("backup:d", "soon"), ("model:b", "later")]);
    }

    #[test]
    fn a_calendar_is_folded_and_escaped() {
        let mut due =
            Due::new(Kind::Task, "x;y", UnixMillis(0), format!("a, b\nEND:VEVENT {}", "证".repeat(40)));
        due.owner = Some("ada".to_owned());
        let text = ical(&[due], NOW);
        assert!(
            text.contains("UID:task:x\\;y@gatehouse\r\n") && text.contains("DTSTART;VALUE=DATE:19700101\r\n"),
            "{text}"
        );
        assert!(text.contains("DTSTAMP:20270115T080000Z\r\n"), "{text}");
        assert!(text.contains("SUMMARY:a\\, b\\nEND:VEVENT "), "{text}");
        assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
        assert_eq!(text.matches("\r\nEND:VEVENT").count(), 1);
        assert_eq!(text.replace("\r\n ", "").matches('证').count(), 40);
    }
}
