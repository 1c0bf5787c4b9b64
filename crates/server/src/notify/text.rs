//! What a message says, in words: English, Simplified and Traditional Chinese.

use gatehouse_domain::alert::{NAME, Notice, SEVERITY};
use gatehouse_domain::settings::lint::Language;

use super::Message;

/// Most alerts that a message for people tells one by one.
const MOST_TOLD: usize = 10;
/// Longest sentence, in characters.
const LONGEST: usize = 300;
/// Most bytes of the alerts together: escaped and put into its form, a message is then within what every vendor takes.
const ROOM: usize = 8000;

/// A message, in words.
pub(crate) struct Told {
    /// The first line.
    pub(crate) title: String,
    /// Whether nothing fires any more.
    pub(crate) is_over: bool,
    /// Whether something critical fires.
    pub(crate) is_critical: bool,
    /// The alerts.
    pub(crate) items: Vec<Item>,
    /// That there are more, or how to look.
    pub(crate) last: String,
    /// In which language.
    pub(crate) language: Language,
}

/// An alert, in words.
pub(crate) struct Item {
    /// `Firing · critical`.
    pub(crate) state: String,
    /// Whether it is over.
    pub(crate) is_over: bool,
    /// What is wrong.
    pub(crate) summary: String,
    /// What to do.
    pub(crate) action: String,
    /// The labels that tell it from others, and since when.
    pub(crate) facts: String,
}

/// Words that all messages share.
struct Words {
    firing: &'static str,
    resolved: &'static str,
    test: &'static str,
    test_summary: &'static str,
    test_action: &'static str,
    critical: &'static str,
    warning: &'static str,
    info: &'static str,
    since: &'static str,
    until: &'static str,
    more: [&'static str; 2],
    look: &'static str,
}

const ENGLISH: Words = Words {
    firing: "Firing",
    resolved: "Resolved",
    test: "Test",
    test_summary: "Somebody tries whether alerts of Gatehouse arrive here. They do.",
    test_action: "There is nothing to do.",
    critical: "critical",
    warning: "warning",
    info: "info",
    since: "since",
    until: "until",
    more: ["… and ", " more"],
    look: "Details: `gatehouse alerts list`",
};

const SIMPLIFIED: Words = Words {
    firing: "告警",
    resolved: "已恢复",
    test: "测试",
    test_summary: "有人在测试 Gatehouse 的告警能否送达此处：可以送达。",
    test_action: "无需处理。",
    critical: "严重",
    warning: "警告",
    info: "提示",
    since: "开始于",
    until: "结束于",
    more: ["……另有 ", " 条"],
    look: "详情：`gatehouse alerts list`",
};

const TRADITIONAL: Words = Words {
    firing: "告警",
    resolved: "已恢復",
    test: "測試",
    test_summary: "有人在測試 Gatehouse 的告警能否送達此處：可以送達。",
    test_action: "無需處理。",
    critical: "嚴重",
    warning: "警告",
    info: "提示",
    since: "開始於",
    until: "結束於",
    more: ["……另有 ", " 則"],
    look: "詳情：`gatehouse alerts list`",
};

impl Told {
    /// Puts a message into words.
    pub(crate) fn new(message: &Message<'_>, language: Language) -> Self {
        let words = match language {
            Language::English => &ENGLISH,
            Language::SimplifiedChinese => &SIMPLIFIED,
            Language::TraditionalChinese => &TRADITIONAL,
        };
        let of = message.notification;
        let is_critical =
            of.firing.iter().any(|notice| notice.labels.get(SEVERITY).is_some_and(|text| text == "critical"));
        let told = of.firing.iter().chain(&of.resolved).take(MOST_TOLD);
        let mut room = ROOM;
        let fits = |item: &Item| {
            let size = item.summary.len() + item.action.len() + item.facts.len();
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let items: Vec<Item> =
            told.map(|notice| item(words, message, language, notice)).take_while(fits).collect();
        let left = of.firing.len() + of.resolved.len() + of.more - items.len();
        let more =
            if left == 0 { String::new() } else { format!("{}{left}{}\n", words.more[0], words.more[1]) };
        let home = if message.home.is_empty() { String::new() } else { format!(" ({})", message.home) };
        Self {
            title: title(words, message),
            is_over: of.firing.is_empty(),
            is_critical,
            items,
            last: format!("{more}{}{home}", words.look),
            language,
        }
    }

    /// All of it as plain text, a paragraph an alert.
    pub(crate) fn plain(&self) -> String {
        let paragraph =
            |item: &Item| format!("{}: {}\n{}\n{}", item.state, item.summary, item.action, item.facts);
        let mut parts: Vec<String> = self.items.iter().map(paragraph).collect();
        parts.push(self.last.clone());
        parts.join("\n\n")
    }
}

fn title(words: &Words, message: &Message<'_>) -> String {
    let of = message.notification;
    if of.is_test {
        return format!("[{}] Gatehouse", words.test);
    }
    let (word, count) = if of.firing.is_empty() {
        (words.resolved, of.resolved.len())
    } else {
        (words.firing, of.firing.len())
    };
    let first = of.firing.iter().chain(&of.resolved).next();
    let what = of.group_labels.get(NAME).or_else(|| first.map(|notice| &notice.rule));
    format!("[{word}:{count}] Gatehouse {}", what.map_or("", String::as_str))
}

fn item(words: &Words, message: &Message<'_>, language: Language, notice: &Notice) -> Item {
    let is_over = notice.resolved_at.is_some();
    let (summary, action) = if message.notification.is_test {
        (words.test_summary.to_owned(), words.test_action.to_owned())
    } else {
        let rule = message.rules.iter().find(|rule| rule.name == notice.rule);
        let told = rule.map(|rule| rule.told(language, &notice.labels, notice.value));
        told.unwrap_or_else(|| (notice.rule.clone(), String::new()))
    };
    let severity = match notice.labels.get(SEVERITY).map(String::as_str) {
        Some("critical") => words.critical,
        Some("warning") => words.warning,
        Some(_) | None => words.info,
    };
    let own = notice.labels.iter().filter(|(name, _)| ![NAME, SEVERITY].contains(&name.as_str()));
    let mut facts: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
    facts.push(match notice.resolved_at {
        Some(at) => format!("{} {at}", words.until),
        None => format!("{} {}", words.since, notice.fired_at),
    });
    Item {
        state: format!("{} · {severity}", if is_over { words.resolved } else { words.firing }),
        is_over,
        summary: cut(&summary),
        action: cut(&action),
        facts: cut(&facts.join(", ")),
    }
}

/// One line of bounded length.
fn cut(text: &str) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}
