//! The deployment document of a plan.

use gatehouse_domain::assessment::{Difficulty, Mode, Words};
use gatehouse_domain::plan::TaskState;
use gatehouse_domain::settings::lint::Language;
use gatehouse_store::plan::Plan;
use serde_json::Value;

use super::block::{Block, tag};
use super::{Tracked, Whole, configuration, diagram};
use crate::app::Ways;

const fn w(en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Words {
    Words::new(en, zh_cn, zh_tw)
}

const TITLE: Words = w("Deployment plan", "部署计划", "部署計畫");
const MADE: Words = w("Made by", "编制人", "編製人");
const ON: Words = w("on", "日期", "日期");
const DECISION: Words = w("Decision", "决定", "決定");
const SCORED: Words = w("The score recommends", "评分推荐", "評分建議");
const DEMANDED: Words = w("the most demanding factor asks for", "要求最高的因素指向", "要求最高的因素指向");
const DECIDED: Words = w("Decided", "已决定", "已決定");
const BECAUSE: Words = w("Reason", "理由", "理由");
const EFFORT: Words = w("Effort", "实施难度", "實施難度");
const NEEDS: Words = w("What it starts from", "需求", "需求");
const NEED: Words = w("Answer", "项目", "項目");
const VALUE: Words = w("Value", "取值", "取值");
const FACTORS: Words = w("Factors", "各因素", "各因素");
const FACTOR: Words = w("Factor", "因素", "因素");
const LEVEL: Words = w("Level", "级别", "級別");
const ALONE: Words = w("Alone it asks for", "单独建议", "單獨建議");
const OR: Words = w(" or ", " 或 ", " 或 ");
const ARCHITECTURE: Words = w("Architecture", "架构", "架構");
const TASKS: Words = w("Tasks", "任务", "任務");
const TASK: Words = w("Task", "任务", "任務");
const STATE: Words = w("State", "状态", "狀態");
const OWNER: Words = w("Owner", "负责人", "負責人");
const DUE: Words = w("Due", "截止日期", "截止日期");
const CHECK: Words = w("Check", "检查", "檢查");
const NOTE: Words = w("Note", "备注", "備註");
const SERVER: Words = w("Configuration of the server", "服务器配置", "伺服器設定");
const CLIENT: Words = w("Environment of a client", "客户端环境变量", "用戶端環境變數");
const EXAMPLES: Words = w(
    "Names under corp.example are examples: the server's configuration does not say yet where it is reached.",
    "corp.example 下的名称仅为示例：服务器配置尚未说明其访问地址。",
    "corp.example 下的名稱僅為範例：伺服器設定尚未說明其存取位址。",
);
const NOTES: Words = w("Where the rules do not fit together", "规则之间不一致之处", "規則之間不一致之處");
const HAND: Words = w("noted by a person", "由人员记录", "由人員記錄");
const LATE: Words = w(" (overdue)", "（逾期）", "（逾期）");

const fn state(state: TaskState) -> Words {
    match state {
        TaskState::Open => w("open", "未开始", "未開始"),
        TaskState::Underway => w("under way", "进行中", "進行中"),
        TaskState::Done => w("done", "已完成", "已完成"),
        TaskState::Dropped => w("dropped", "已取消", "已取消"),
    }
}

/// The answers by their names.
const ANSWERS: [(&str, Words); 7] = [
    ("team_size", w("People", "人数", "人數")),
    ("security_level", w("Security", "安全要求", "安全要求")),
    ("compliance_requirements", w("Compliance requirements", "合规要求", "合規要求")),
    ("compliance_level", w("Compliance level", "合规级别", "合規級別")),
    ("cost_control", w("Cost control", "成本控制", "成本控制")),
    ("network_restrictions", w("Network restrictions", "网络限制", "網路限制")),
    ("existing_infrastructure", w("What is there already", "已有基础设施", "已有基礎設施")),
];

/// The document's title.
pub(super) fn title(plan: &Plan, language: Language) -> String {
    format!("{}: {}", TITLE.of(language), plan.mode.name().of(language))
}

/// The document.
pub(super) fn blocks(whole: &Whole, ways: &Ways, language: Language) -> Vec<Block> {
    let say = |words: Words| words.of(language).to_owned();
    let plan = &whole.plan;
    let result: Value = serde_json::from_str(&plan.result).unwrap_or_default();
    let places = configuration::places(plan.mode, ways);
    let mut out = vec![
        Block::Title(title(plan, language)),
        Block::Text(format!(
            "{}: {} · {}: {} · {}",
            say(MADE),
            plan.author,
            say(ON),
            day(&plan.created_at.to_string()),
            plan.id
        )),
    ];
    decision(&mut out, whole, &result, language);
    out.push(Block::Heading(say(ARCHITECTURE)));
    let picture = diagram::svg(plan.mode, language);
    out.push(Block::Picture("architecture.svg", say(ARCHITECTURE), picture));
    tasks(&mut out, &whole.tasks, &result, language);
    out.push(Block::Heading(say(SERVER)));
    if places.example {
        out.push(Block::Text(say(EXAMPLES)));
    }
    out.push(Block::Code("toml", configuration::toml(plan, ways)));
    out.push(Block::Heading(say(CLIENT)));
    out.push(Block::Code("sh", configuration::client(plan.mode, &places)));
    let notes: Vec<_> = each(&result["analysis"]["notes"]).map(|note| text(note, language)).collect();
    if !notes.is_empty() {
        out.push(Block::Heading(say(NOTES)));
        out.push(Block::List(notes));
    }
    out
}

fn decision(out: &mut Vec<Block>, whole: &Whole, result: &Value, language: Language) {
    let say = |words: Words| words.of(language).to_owned();
    let analysis = &result["analysis"];
    let name =
        |word: &Value| word.as_str().and_then(Mode::of).map(|mode| say(mode.name())).unwrap_or_default();
    out.push(Block::Heading(say(DECISION)));
    out.push(Block::Text(format!(
        "{} ({}): {}. {}. {}: {}.",
        say(SCORED),
        result["complexity_score"],
        name(&result["mode"]),
        text(&analysis["reason"], language),
        say(DEMANDED),
        name(&analysis["matrix_mode"]),
    )));
    let mut decided = vec![
        format!("{}: {}", say(DECIDED), say(whole.plan.mode.name())),
        format!("{}: {}", say(EFFORT), say(Difficulty::of(whole.plan.mode))),
    ];
    if let Some(because) = &whole.plan.because {
        decided.insert(1, format!("{}: {because}", say(BECAUSE)));
    }
    out.push(Block::List(decided));
    out.push(Block::Heading(say(NEEDS)));
    let answers: Value = serde_json::from_str(&whole.plan.answers).unwrap_or_default();
    let rows = ANSWERS.iter().map(|(key, what)| vec![say(*what), shown(&answers[*key])]).collect();
    out.push(Block::Table(vec![say(NEED), say(VALUE)], rows));
    out.push(Block::Heading(say(FACTORS)));
    let rows = each(&analysis["factors"]).map(|factor| {
        let modes: Vec<_> = each(&factor["recommends"]).map(name).collect();
        vec![shown(&factor["factor"]), shown(&factor["level"]), modes.join(OR.of(language))]
    });
    out.push(Block::Table(vec![say(FACTOR), say(LEVEL), say(ALONE)], rows.collect()));
}

fn tasks(out: &mut Vec<Block>, tasks: &[Tracked], result: &Value, language: Language) {
    let say = |words: Words| words.of(language).to_owned();
    let row = |tracked: &Tracked| {
        let step = each(&result["analysis"]["tasks"]).find(|step| step["id"] == tracked.task.task.as_str());
        let what = step.map_or_else(|| tracked.task.task.clone(), |step| text(&step["text"], language));
        let items: Vec<_> = tracked
            .check
            .iter()
            .map(|judged| format!("{}: {}", judged.item.name(language), judged.state.as_str()))
            .collect();
        let late = if tracked.overdue { LATE.of(language) } else { "" };
        let due = tracked.task.due.map(|due| day(&due.to_string())).unwrap_or_default();
        vec![
            what,
            say(state(tracked.state)),
            tracked.task.owner.clone().unwrap_or_default(),
            format!("{due}{late}"),
            if items.is_empty() { say(HAND) } else { items.join("; ") },
            tracked.task.note.clone().unwrap_or_default(),
        ]
    };
    out.push(Block::Heading(say(TASKS)));
    let head = [TASK, STATE, OWNER, DUE, CHECK, NOTE].map(say).to_vec();
    out.push(Block::Table(head, tasks.iter().map(row).collect()));
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text that is kept in three languages.
fn text(value: &Value, language: Language) -> String {
    value[tag(language)].as_str().unwrap_or_default().to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
    }
}

fn day(at: &str) -> String {
    at.chars().take(10).collect()
}
