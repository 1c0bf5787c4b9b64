//! A month's report as a page for printing: plain HTML without scripts, fonts or anything from elsewhere.

use std::fmt::Write as _;

use super::chargeback::{Chargeback, Charged};
use crate::act::ActError;
use gatehouse_store::report::Side;

/// The languages of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Simplified Chinese.
    Simplified,
    /// Traditional Chinese.
    Traditional,
}

/// The words of the page.
struct Words {
    lang: &'static str,
    title: &'static str,
    by: [&'static str; 6],
    columns: [&'static str; 5],
    total: &'static str,
    none: &'static str,
    open: &'static str,
    closed: &'static str,
    digest: &'static str,
    rate: &'static str,
}

impl Language {
    /// The language of this name: `en`, `zh-CN` or `zh-TW`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn named(text: &str) -> Result<Self, ActError> {
        match text {
            "en" => Ok(Self::English),
            "zh-CN" => Ok(Self::Simplified),
            "zh-TW" => Ok(Self::Traditional),
            _ => Err(ActError::field("language", "expected `en`, `zh-CN` or `zh-TW`")),
        }
    }

    /// The same, as other parts of the house name it.
    pub const fn spoken(self) -> gatehouse_domain::settings::lint::Language {
        use gatehouse_domain::settings::lint::Language;
        match self {
            Self::English => Language::English,
            Self::Simplified => Language::SimplifiedChinese,
            Self::Traditional => Language::TraditionalChinese,
        }
    }

    const fn words(self) -> &'static Words {
        match self {
            Self::English => &Words {
                lang: "en",
                title: "Chargeback",
                by: ["Team", "Project", "Person", "Key", "Provider", "Model"],
                columns: ["Requests", "Usage (USD)", "Adjustments (USD)", "Shared cost (USD)", "Total (USD)"],
                total: "Total",
                none: "(none)",
                open: "The month is open: these figures still change.",
                closed: "Closed",
                digest: "Digest",
                rate: "Shown at the rate of",
            },
            Self::Simplified => &Words {
                lang: "zh-Hans",
                title: "费用分摊",
                by: ["团队", "项目", "人员", "密钥", "提供商", "模型"],
                columns: ["请求数", "用量（美元）", "调整（美元）", "公共费用（美元）", "合计（美元）"],
                total: "合计",
                none: "（无）",
                open: "本月尚未结账，数字仍会变化。",
                closed: "结账时间",
                digest: "摘要",
                rate: "显示汇率",
            },
            Self::Traditional => &Words {
                lang: "zh-Hant",
                title: "費用分攤",
                by: ["團隊", "專案", "人員", "金鑰", "供應商", "模型"],
                columns: ["請求數", "用量（美元）", "調整（美元）", "共同費用（美元）", "合計（美元）"],
                total: "合計",
                none: "（無）",
                open: "本月尚未結帳，數字仍會變動。",
                closed: "結帳時間",
                digest: "摘要值",
                rate: "顯示匯率",
            },
        }
    }
}

const STYLE: &str = "body{font:11pt/1.4 sans-serif;margin:2cm;color:#111}h1{font-size:16pt;margin:0}\
    table{border-collapse:collapse;width:100%;margin-top:1em}th,td{padding:.25em .6em;border-bottom:1px solid #bbb;\
    text-align:right;font-variant-numeric:tabular-nums}th:first-child,td:first-child{text-align:left;\
    overflow-wrap:anywhere}tfoot td{font-weight:bold;border-top:2px solid #111}thead{display:table-header-group}\
    tr{break-inside:avoid}p{margin:.2em 0;overflow-wrap:anywhere}@page{size:A4;margin:1.5cm}@media print{body{margin:0}}";

/// Renders the report.
pub fn html(report: &Chargeback, organization: &str, language: Language) -> String {
    let words = language.words();
    let title = format!("{} {} · {}", words.title, report.month, escaped(organization));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         </head><body><h1>{title}</h1>",
        words.lang
    );
    match &report.statement {
        None => {
            let _ = write!(out, "<p>{}</p>", words.open);
        }
        Some(statement) => {
            let _ = write!(
                out,
                "<p>{}: {} · {}</p><p>{}: <code>{}</code></p>",
                words.closed,
                statement.closed_at,
                escaped(&statement.closed_by),
                words.digest,
                statement.digest
            );
        }
    }
    if let Some(rate) = report.rate {
        let from = rate.from.to_string();
        let _ =
            write!(out, "<p>{} {} · {}</p>", words.rate, from.get(..10).unwrap_or_default(), rate.currency);
    }
    let side = Side::ALL.into_iter().position(|side| side == report.by).unwrap_or(0);
    let _ = write!(out, "<table><thead><tr><th>{}</th>", words.by[side]);
    for column in words.columns {
        let _ = write!(out, "<th>{column}</th>");
    }
    if let Some(rate) = report.rate {
        let _ = write!(out, "<th>{}</th>", rate.currency);
    }
    out.push_str("</tr></thead><tbody>");
    for row in &report.rows {
        let name = [&row.name, &row.id].into_iter().find(|text| !text.is_empty());
        line(&mut out, report, name.map_or(words.none, String::as_str), row);
    }
    out.push_str("</tbody><tfoot>");
    line(&mut out, report, words.total, &report.total);
    out.push_str("</tfoot></table></body></html>\n");
    out
}

fn line(out: &mut String, report: &Chargeback, name: &str, row: &Charged) {
    let _ = write!(out, "<tr><td>{}</td><td>{}</td>", escaped(name), row.usage.requests);
    for amount in [row.usage.cost, row.adjustment, row.overhead, row.total()] {
        let _ = write!(out, "<td>{amount}</td>");
    }
    if let Some(rate) = report.rate {
        let _ = write!(out, "<td>{}</td>", rate.shown(row.total()));
    }
    out.push_str("</tr>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
