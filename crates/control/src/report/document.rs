//! A month as a document for those who pay and those who check: PDF, of a locked statement always the same bytes.

use gatehouse_domain::assessment::Words;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::exchange_rate::ExchangeRate;
use gatehouse_domain::report::statement::{Kind, Line};
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::report::{Side, Statement};

use super::chargeback::{self, Chargeback, Charged};
use super::{month, seen};
use crate::act::ActError;
use crate::app::App;
use crate::pdf::{self, Column, Document, Fact, Form, MAX_ROWS, Part, Shown, Table};

/// What is wanted of a month.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What rows are told apart by.
    pub by: Side,
    /// The currency in which totals are shown too.
    pub currency: Option<String>,
    /// The language.
    pub language: Language,
    /// How much of it.
    pub extent: Extent,
}

/// How much of a statement a document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The sums.
    Sums,
    /// The sums, and every line of the statement.
    Lines,
}

/// The locked statement of a month as PDF. The same statement gives the same bytes.
///
/// # Errors
/// The month is not closed; there are more rows than a document holds; a currency without a rate; the database.
pub async fn statement(app: &App, which: Month, wanted: &Wanted) -> Result<Vec<u8>, ActError> {
    let (statement, lines, intact) = month::statement(app, which).await?;
    let rate = chargeback::rate(app, which, wanted.currency.as_deref()).await?;
    let report = chargeback::of_lines(which, wanted.by, Some(statement), &lines, rate);
    let lines = if wanted.extent == Extent::Lines { lines } else { Vec::new() };
    render(app, Whole { report, lines, intact }, wanted.language).await
}

/// Who bears what in a month as PDF: of its statement if it is closed, else as it stands now.
///
/// # Errors
/// As [`statement`]; the ledger is behind.
pub async fn chargeback(app: &App, which: Month, wanted: &Wanted) -> Result<Vec<u8>, ActError> {
    if app.store.statement(app.org, which).await?.is_some() {
        return statement(app, which, wanted).await;
    }
    let report = chargeback::chargeback(app, which, wanted.by, wanted.currency.as_deref()).await?;
    render(app, Whole { report, lines: Vec::new(), intact: true }, wanted.language).await
}

/// What is put on paper.
struct Whole {
    report: Chargeback,
    /// The statement's lines, if they are wanted.
    lines: Vec<Line>,
    /// Whether the statement still has the digest of its closing.
    intact: bool,
}

async fn render(app: &App, whole: Whole, language: Language) -> Result<Vec<u8>, ActError> {
    let rows = whole.report.rows.len() + whole.lines.len();
    if rows > MAX_ROWS {
        let why = format!(
            "a PDF holds {MAX_ROWS} rows, and this one would have {rows}: ask for rows of teams, without lines, or for csv or json"
        );
        return Err(ActError::field("format", why));
    }
    let organization = app.store.org(app.org).await?.name;
    pdf::print(laid_out(&whole, &organization, app.now(), language)).await
}

const fn w(en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Words {
    Words::new(en, zh_cn, zh_tw)
}

const STATEMENT: Words = w("Statement of charges", "费用结算单", "費用結算單");
const REPORT: Words = w("Chargeback report", "费用分摊报告", "費用分攤報告");
const OPEN: Words = w(
    "The month is not closed: these figures still change.",
    "本月尚未结账，数字仍会变化。",
    "本月尚未結帳，數字仍會變動。",
);
const BROKEN: Words = w(
    "THE LINES OF THIS STATEMENT ARE NOT THOSE THAT WERE CLOSED: they do not have the digest below. Somebody changed the database.",
    "警告：本结算单的明细与结账时不一致，与下列摘要不符，数据库已被改动。",
    "警告：本結算單的明細與結帳時不一致，與下列摘要值不符，資料庫已被更動。",
);
const ORGANIZATION: Words = w("Organization", "组织", "組織");
const MONTH: Words = w("Month (UTC)", "月份（UTC）", "月份（UTC）");
const CLOSED: Words = w("Closed", "结账时间", "結帳時間");
const CLOSED_BY: Words = w("Closed by", "结账人", "結帳人");
const AS_OF: Words = w("As of", "截至", "截至");
const CURRENCY: Words = w("Currency", "币种", "幣別");
const DOLLAR: Words = w(
    "US dollar (USD). Amounts are exact, to the billionth of a dollar.",
    "美元（USD）。金额精确至十亿分之一美元。",
    "美元（USD）。金額精確至十億分之一美元。",
);
const RATE: Words = w("Exchange rate", "汇率", "匯率");
const SINCE: Words = w(
    "since {}; for display only, rounded to hundredths",
    "自 {} 起；仅供显示，四舍五入至百分位",
    "自 {} 起；僅供顯示，四捨五入至百分位",
);
const LINE_COUNT: Words = w("Lines", "明细行数", "明細行數");
const TOTAL: Words = w("Total", "合计", "合計");
const DIGEST: Words = w("Digest (SHA-256)", "摘要（SHA-256）", "摘要值（SHA-256）");
const NOTES: [Words; 2] = [
    w(
        "Names are those of the day of closing. What arrives later becomes an adjustment of the next month that is closed.",
        "名称以结账时为准。之后到达的用量计入下一个结账月份的调整。",
        "名稱以結帳時為準。之後到達的用量計入下一個結帳月份的調整。",
    ),
    w(
        "The digest is that of the statement's lines; it is in the audit log, and Gatehouse computes it anew for every document.",
        "摘要由结算单明细计算得出，并记录于审计日志；每次生成文档时均重新计算核对。",
        "摘要值由結算單明細計算得出，並記錄於稽核日誌；每次產生文件時均重新計算核對。",
    ),
];
const ALL_LINES: Words = w("Lines of the statement", "结算单明细", "結算單明細");
const NONE: Words = w("(none)", "（无）", "（無）");
const REQUESTS: Words = w("Requests", "请求数", "請求數");
const USAGE: Words = w("Usage (USD)", "用量（美元）", "用量（美元）");
const ADJUSTED: Words = w("Adjustments (USD)", "调整（美元）", "調整（美元）");
const SHARED: Words = w("Shared cost (USD)", "公共费用（美元）", "共同費用（美元）");
const SUM: Words = w("Total (USD)", "合计（美元）", "合計（美元）");
const COST: Words = w("Cost (USD)", "费用（美元）", "費用（美元）");
const WHAT: Words = w("What", "类别", "類別");

const fn by(side: Side) -> Words {
    match side {
        Side::Team => w("By team", "按团队", "依團隊"),
        Side::Project => w("By project", "按项目", "依專案"),
        Side::User => w("By person", "按人员", "依人員"),
        Side::Key => w("By key", "按密钥", "依金鑰"),
        Side::Provider => w("By provider", "按提供商", "依供應商"),
        Side::Model => w("By model", "按模型", "依模型"),
    }
}

const fn one(side: Side) -> Words {
    match side {
        Side::Team => w("Team", "团队", "團隊"),
        Side::Project => w("Project", "项目", "專案"),
        Side::User => w("Person", "人员", "人員"),
        Side::Key => w("Key", "密钥", "金鑰"),
        Side::Provider => w("Provider", "提供商", "供應商"),
        Side::Model => w("Model", "模型", "模型"),
    }
}

const fn kind(kind: Kind) -> Words {
    match kind {
        Kind::Usage => w("Usage", "用量", "用量"),
        Kind::Adjustment => w("Adjustment", "调整", "調整"),
        Kind::Overhead => w("Shared cost", "公共费用", "共同費用"),
    }
}

/// The document. Of a locked statement it does not depend on when it is made.
fn laid_out(whole: &Whole, organization: &str, now: UnixMillis, language: Language) -> Document {
    let say = |words: Words| words.of(language).to_owned();
    let report = &whole.report;
    let name = if report.statement.is_some() { say(STATEMENT) } else { say(REPORT) };
    let title = format!("{name} {}", report.month);
    let mut parts = vec![Part::Title(title.clone())];
    match &report.statement {
        None => parts.push(Part::Warning(say(OPEN))),
        Some(_) if !whole.intact => parts.push(Part::Warning(say(BROKEN))),
        Some(_) => {}
    }
    let at = report.statement.as_ref().map_or(now, |statement| statement.closed_at);
    parts.push(Part::Facts(facts(report, organization, at, language)));
    parts.push(Part::Heading(say(by(report.by))));
    parts.push(Part::Table(sums(report, language)));
    if report.statement.is_some() {
        parts.extend(NOTES.map(|note| Part::Text(say(note))));
    }
    if !whole.lines.is_empty() {
        parts.push(Part::Turn(Form::Landscape));
        parts.push(Part::Heading(say(ALL_LINES)));
        parts.push(Part::Table(every(&whole.lines, report.month, language)));
    }
    let mut footer = vec![format!("{organization} · {title}")];
    footer.extend(report.statement.as_ref().map(|statement| format!("SHA-256 {}", statement.digest)));
    let title = format!("{title} · {organization}");
    Document { language, title, author: organization.to_owned(), at, footer, parts }
}

fn facts(report: &Chargeback, organization: &str, at: UnixMillis, language: Language) -> Vec<Fact> {
    let fact = |what: Words, is: String| Fact { what: what.of(language).to_owned(), is, shown: Shown::Plain };
    let mut facts = vec![fact(ORGANIZATION, organization.to_owned()), fact(MONTH, report.month.to_string())];
    match &report.statement {
        None => facts.push(fact(AS_OF, pdf::moment(at))),
        Some(statement) => {
            facts.push(fact(CLOSED, pdf::moment(at)));
            facts.push(fact(CLOSED_BY, statement.closed_by.clone()));
        }
    }
    facts.push(fact(CURRENCY, DOLLAR.of(language).to_owned()));
    if let Some(rate) = report.rate {
        facts.push(fact(RATE, rated(&rate, language)));
    }
    let total = report.total.total();
    let shown = report.rate.map(|rate| format!(" = {} {}", grouped(&rate.shown(total)), rate.currency));
    let total = format!("{} USD{}", money(total), shown.unwrap_or_default());
    match &report.statement {
        None => facts.push(Fact { shown: Shown::Bold, ..fact(TOTAL, total) }),
        Some(Statement { lines, digest, .. }) => {
            facts.push(fact(LINE_COUNT, grouped(&lines.to_string())));
            facts.push(Fact { shown: Shown::Bold, ..fact(TOTAL, total) });
            facts.push(Fact { shown: Shown::Code, ..fact(DIGEST, digest.clone()) });
        }
    }
    facts
}

fn rated(rate: &ExchangeRate, language: Language) -> String {
    let since = SINCE.of(language).replace("{}", &pdf::day(rate.from));
    format!("1 USD = {} {} ({since})", Nanos(rate.per_dollar), rate.currency)
}

/// The table of who bears what.
fn sums(report: &Chargeback, language: Language) -> Table {
    let say = |words: Words| words.of(language).to_owned();
    let mut columns = vec![left(say(one(report.by)))];
    columns.extend([REQUESTS, USAGE, ADJUSTED, SHARED, SUM].map(|words| figure(say(words))));
    columns.extend(report.rate.map(|rate| figure(rate.currency.to_string())));
    let row = |name: String, row: &Charged| {
        let mut cells = vec![name, grouped(&row.usage.requests.to_string())];
        cells.extend([row.usage.cost, row.adjustment, row.overhead, row.total()].map(money));
        cells.extend(report.rate.map(|rate| grouped(&rate.shown(row.total()))));
        cells
    };
    let rows = report.rows.iter().map(|charged| row(named(&charged.name, &charged.id, language), charged));
    Table { columns, rows: rows.collect(), total: Some(row(say(TOTAL), &report.total)) }
}

/// The table of a statement's lines, in their order.
fn every(lines: &[Line], month: Month, language: Language) -> Table {
    let say = |words: Words| words.of(language).to_owned();
    let mut columns = vec![left(say(WHAT))];
    columns.extend(Side::ALL.map(|side| left(say(one(side)))));
    columns.extend([REQUESTS, COST].map(|words| figure(say(words))));
    let row = |line: &Line| {
        let mut what = say(kind(line.kind));
        match line.kind {
            Kind::Usage => {}
            Kind::Adjustment => what.extend([" ", line.month.as_str()]),
            Kind::Overhead => what.extend([" ", line.rule.as_str()]),
        }
        let mut cells = vec![what];
        cells.extend(Side::ALL.map(|side| {
            let (id, name) = seen(&line.whose, side);
            if id.is_empty() && name.is_empty() { String::new() } else { named(name, id, language) }
        }));
        cells.push(grouped(&line.figures.requests.to_string()));
        cells.push(money(line.figures.cost));
        cells
    };
    let requests = lines.iter().fold(0u64, |sum, line| sum.saturating_add(line.figures.requests));
    let cost = gatehouse_domain::report::statement::total(lines);
    let mut total = vec![format!("{} {month}", say(TOTAL))];
    total.extend(Side::ALL.map(|_| String::new()));
    total.extend([grouped(&requests.to_string()), money(cost)]);
    Table { columns, rows: lines.iter().map(row).collect(), total: Some(total) }
}

const fn left(title: String) -> Column {
    Column { title, side: pdf::Side::Left }
}

const fn figure(title: String) -> Column {
    Column { title, side: pdf::Side::Figure }
}

/// The name, or the identifier of what has none. What cannot be shown as it is has its identifier beside it, so that no
/// two rows look alike.
fn named(name: &str, id: &str, language: Language) -> String {
    match (name, id) {
        ("", "") => NONE.of(language).to_owned(),
        ("", id) => id.to_owned(),
        (name, id) if !pdf::shows(name) && name != id => format!("{name} ({id})"),
        (name, _) => name.to_owned(),
    }
}

fn money(amount: Nanos) -> String {
    grouped(&amount.to_string())
}

/// A number's digits before the point in threes.
fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut out = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

#[cfg(test)]
mod tests;
