//! Frameworks of rules that organizations name, and how demanding each is.

use super::answers::ComplianceLevel;

/// Known frameworks by level. Names are compared without case, spaces and punctuation.
const KNOWN: [(ComplianceLevel, &[&str]); 3] = [
    (
        ComplianceLevel::Basic,
        &[
            "internal",
            "internalpolicy",
            "companypolicy",
            "soc1",
            "soc2",
            "iso27001",
            "iso27017",
            "iso27018",
            "iso27701",
            "iso42001",
            "gdpr",
            "ccpa",
            "cpra",
            "pipl",
            "lgpd",
            "nistcsf",
            "cyberessentials",
            "mlps2",
            "等保二级",
            "等保二級",
            "内部政策",
            "內部政策",
            "个人信息保护法",
            "個人信息保護法",
            "个保法",
            "個保法",
        ],
    ),
    (
        ComplianceLevel::Industry,
        &[
            "pci",
            "pcidss",
            "hipaa",
            "hitrust",
            "sox",
            "glba",
            "dora",
            "nis2",
            "ffiec",
            "nydfs",
            "mas",
            "finra",
            "gxp",
            "21cfrpart11",
            "tisax",
            "ferpa",
            "finance",
            "financial",
            "banking",
            "healthcare",
            "medical",
            "mlps3",
            "等保三级",
            "等保三級",
            "金融",
            "医疗",
            "醫療",
            "银行",
            "銀行",
            "保险",
            "保險",
        ],
    ),
    (
        ComplianceLevel::Strict,
        &[
            "fedramp",
            "fedramphigh",
            "itar",
            "ear",
            "cmmc",
            "cjis",
            "fisma",
            "irap",
            "il4",
            "il5",
            "il6",
            "dod",
            "government",
            "defence",
            "defense",
            "military",
            "classified",
            "mlps4",
            "等保四级",
            "等保四級",
            "政府",
            "国防",
            "國防",
            "军工",
            "軍工",
            "涉密",
        ],
    ),
];

/// The level of a framework; one that nobody here knows counts as basic.
pub(super) fn level_of(name: &str) -> ComplianceLevel {
    let plain = plain(name);
    KNOWN
        .iter()
        .find(|(_, names)| names.contains(&plain.as_str()))
        .map_or(ComplianceLevel::Basic, |(level, _)| *level)
}

/// A name as it is compared.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
