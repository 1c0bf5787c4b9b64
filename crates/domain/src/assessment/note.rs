//! Where the rules contradict themselves or each other, told to those whose answers meet it.

use super::answers::{Answers, CostControl, SecurityLevel};
use super::matrix::Size;
use super::words::Words;

/// The notes that concern these answers.
pub(super) fn notes(answers: &Answers) -> Vec<Words> {
    let met = [
        (answers.team_size == 10, TEN),
        (Size::of(answers.team_size) == Size::Large, LARGE),
        (!answers.compliance_requirements.is_empty(), COUNTED),
        (
            answers.compliance_requirements.is_empty()
                && answers.compliance_level.is_some_and(|l| l > super::ComplianceLevel::None),
            UNNAMED,
        ),
        (answers.cost_control == CostControl::FineGrained, FINE),
        (answers.security_level == SecurityLevel::Critical, CRITICAL),
        (answers.network_restrictions, NETWORK),
        (!answers.existing_infrastructure.is_empty(), INFRASTRUCTURE),
    ];
    met.into_iter().filter_map(|(is_met, note)| is_met.then_some(note)).collect()
}

const TEN: Words = Words::new(
    "Ten people: the table counts them as a medium team (10 to 100), the score as a small one (it wants more than 10).",
    "10 人：表格算作中型团队（10-100 人），评分算作小型团队（须多于 10 人）。",
    "10 人：表格算作中型團隊（10-100 人），評分算作小型團隊（須多於 10 人）。",
);
const LARGE: Words = Words::new(
    "A large organization: the table names two modes, gateway and hybrid; the score cannot tell them apart by size.",
    "大型组织：表格同时列出网关与混合两种模式，评分无法按规模区分。",
    "大型組織：表格同時列出閘道與混合兩種模式，評分無法按規模區分。",
);
const COUNTED: Words = Words::new(
    "Compliance: the score counts the entries, whatever they demand; the table goes by how demanding they are.",
    "合规：评分只计条目数量，不论要求高低；表格则看要求的级别。",
    "合規：評分只計條目數量，不論要求高低；表格則看要求的級別。",
);
const UNNAMED: Words = Words::new(
    "Compliance: a level without named requirements adds nothing to the score; the table counts it.",
    "合规：只给出级别而未列出条目，评分不加分；表格会计入。",
    "合規：只給出級別而未列出條目，評分不加分；表格會計入。",
);
const FINE: Words = Words::new(
    "Fine-grained cost management is a level of the table only; the score counts it like high (3 points).",
    "精细成本管理只存在于表格中；评分按高（3 分）计。",
    "精細成本管理只存在於表格中；評分按高（3 分）計。",
);
const CRITICAL: Words = Words::new(
    "The security level called `critical` here is the one that the table calls very high.",
    "此处的安全级别 critical 即表格中的“极高”。",
    "此處的安全級別 critical 即表格中的「極高」。",
);
const NETWORK: Words = Words::new(
    "Network restrictions add two points to the score; the table does not know them.",
    "网络限制使评分加 2 分；表格中没有这一因素。",
    "網路限制使評分加 2 分；表格中沒有這一因素。",
);
const INFRASTRUCTURE: Words = Words::new(
    "What is there already is never scored; it adds tasks.",
    "已有基础设施不计入评分，只会增加任务。",
    "已有基礎設施不計入評分，只會增加任務。",
);
