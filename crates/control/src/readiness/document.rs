//! The readiness checklist as a document, for whoever decides that people may be let in: PDF.

use gatehouse_domain::assessment::Words;
use gatehouse_domain::readiness::{Judged, Section, State, score};
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;

use crate::act::ActError;
use crate::app::App;
use crate::pdf::{self, Column, Document, Fact, Part, Shown, Side, Table};

/// Judges all items, and writes that down as PDF.
///
/// # Errors
/// The database.
pub async fn checklist(app: &App, language: Language) -> Result<Vec<u8>, ActError> {
    let all = super::all(app).await?;
    let organization = app.store.org(app.org).await?.name;
    pdf::print(laid_out(&all, &organization, app.now(), language)).await
}

const fn w(en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Words {
    Words::new(en, zh_cn, zh_tw)
}

const TITLE: Words = w("Readiness checklist", "上线就绪检查清单", "上線就緒檢查清單");
const ORGANIZATION: Words = w("Organization", "组织", "組織");
const AS_OF: Words = w("As of", "截至", "截至");
const SCORE: Words = w("Done", "完成度", "完成度");
const VERDICT: Words = w("Verdict", "结论", "結論");
const GO: Words = w(
    "Ready: nothing is broken, and nothing is open.",
    "就绪：没有故障项，也没有未完成项。",
    "就緒：沒有故障項，也沒有未完成項。",
);
const NO_GO: Words = w(
    "Not ready: what is broken or open keeps people out.",
    "未就绪：存在故障项或未完成项，不得开放使用。",
    "未就緒：存在故障項或未完成項，不得開放使用。",
);
const ITEM: Words = w("Item", "检查项", "檢查項");
const STATE: Words = w("State", "状态", "狀態");
const OWNER: Words = w("Owner", "负责人", "負責人");
const DUE: Words = w("Due", "截止日期", "截止日期");
const EVIDENCE: Words = w("Evidence", "证据", "證據");
const LATE: Words = w(" (overdue)", "（逾期）", "（逾期）");
const STATED: Words = w("Stated", "陈述", "陳述");
const WAIVED: Words = w("May wait until", "豁免至", "豁免至");

const fn section(section: Section) -> Words {
    match section {
        Section::Infrastructure => w("Infrastructure", "基础设施", "基礎設施"),
        Section::NetworkSecurity => w("Network and security", "网络与安全", "網路與安全"),
        Section::Identity => w("Identity and permissions", "身份与权限", "身分與權限"),
        Section::Monitoring => w("Monitoring", "监控", "監控"),
        Section::Compliance => w("Compliance", "合规", "合規"),
    }
}

const fn state(state: State) -> Words {
    match state {
        State::Fail => w("broken", "故障", "故障"),
        State::Open => w("open", "未完成", "未完成"),
        State::Warn => w("to be improved", "待改进", "待改進"),
        State::Waived => w("waived", "已豁免", "已豁免"),
        State::Pass => w("passes", "通过", "通過"),
        State::NotNeeded => w("not needed", "不需要", "不需要"),
    }
}

fn laid_out(all: &[Judged], organization: &str, now: UnixMillis, language: Language) -> Document {
    let say = |words: Words| words.of(language).to_owned();
    let fact = |what: Words, is: String, shown: Shown| Fact { what: say(what), is, shown };
    let score = score(all);
    let verdict = say(if score.go { GO } else { NO_GO });
    let facts = vec![
        fact(ORGANIZATION, organization.to_owned(), Shown::Plain),
        fact(AS_OF, pdf::moment(now), Shown::Plain),
        fact(SCORE, format!("{} %", score.percent), Shown::Bold),
        fact(VERDICT, verdict, Shown::Bold),
    ];
    let mut parts = vec![Part::Title(say(TITLE)), Part::Facts(facts)];
    for of in Section::ALL {
        let items = all.iter().filter(|judged| judged.item.section() == of);
        let columns =
            [ITEM, STATE, OWNER, DUE, EVIDENCE].map(|title| Column { title: say(title), side: Side::Left });
        parts.push(Part::Heading(say(section(of))));
        let rows = items.map(|judged| row(judged, language)).collect();
        parts.push(Part::Table(Table { columns: columns.to_vec(), rows, total: None }));
    }
    let title = format!("{} · {organization}", say(TITLE));
    let footer = vec![title.clone(), pdf::moment(now)];
    Document { language, title, author: organization.to_owned(), at: now, footer, parts }
}

fn row(judged: &Judged, language: Language) -> Vec<String> {
    let kept = &judged.kept;
    let late = if judged.overdue { LATE.of(language) } else { "" };
    let due = kept.due.map(pdf::day).unwrap_or_default();
    let mut evidence = vec![judged.evidence.clone()];
    // What was stated is evidence already unless a machine knows better.
    let stated = kept.statement.iter().filter(|said| !judged.evidence.contains(&said.text));
    evidence.extend(
        stated.map(|said| {
            format!("{}: {} ({}, {})", STATED.of(language), said.text, said.by, pdf::day(said.at))
        }),
    );
    if judged.state == State::Waived {
        let waiver = kept.waiver.iter().filter(|waiver| !judged.evidence.contains(&waiver.reason));
        evidence.extend(waiver.map(|waiver| {
            format!("{} {}: {} ({})", WAIVED.of(language), pdf::day(waiver.until), waiver.reason, waiver.by)
        }));
    }
    evidence.retain(|text| !text.is_empty());
    vec![
        judged.item.name(language).to_owned(),
        state(judged.state).of(language).to_owned(),
        kept.owner.clone().unwrap_or_default(),
        format!("{due}{late}"),
        evidence.join(" · "),
    ]
}
