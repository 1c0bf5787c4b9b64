//! What is known of the gateways there are, side by side. It is read from what they publish, and recommends none.

use gatehouse_domain::assessment::Words;
use gatehouse_domain::settings::lint::Language;

use super::block::Block;

const fn w(en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Words {
    Words::new(en, zh_cn, zh_tw)
}

/// When it was read.
const AS_OF: &str = "2026-11";

/// What a product does of something.
#[derive(Clone, Copy)]
enum Has {
    Yes,
    Part,
    Paid,
    No,
    Unknown,
}

impl Has {
    const fn words(self) -> Words {
        match self {
            Self::Yes => w("yes", "有", "有"),
            Self::Part => w("in part", "部分", "部分"),
            Self::Paid => w("paid tier", "付费版", "付費版"),
            Self::No => w("no", "无", "無"),
            Self::Unknown => w("not established", "未查明", "未查明"),
        }
    }
}

/// The products: this one, the one of the client's maker, and others by the alphabet.
const PRODUCTS: [&str; 8] = [
    "Gatehouse",
    "Claude apps gateway",
    "agentgateway",
    "Bifrost",
    "Cloudflare AI Gateway",
    "Kong AI Gateway",
    "LiteLLM",
    "Portkey",
];

/// What is compared, a letter a product: y yes, p in part, $ in a paid tier, n no, ? not established.
const ROWS: [(Words, &str); 20] = [
    (
        w(
            "Messages API and its streams as they come",
            "原样透传 Messages API 与流式响应",
            "原樣傳遞 Messages API 與串流回應",
        ),
        "yyyyypyy",
    ),
    (
        w(
            "Anthropic, Bedrock and Vertex AI as providers",
            "支持 Anthropic、Bedrock、Vertex AI",
            "支援 Anthropic、Bedrock、Vertex AI",
        ),
        "yyyypyyy",
    ),
    (
        w(
            "Sign-in of the coding client (cloud gateway protocol)",
            "客户端登录（云网关协议）",
            "用戶端登入（雲端閘道協定）",
        ),
        "yynnnnpn",
    ),
    (w("Failover between providers", "提供商之间故障转移", "提供商之間容錯移轉"), "yyyyy$yy"),
    (w("Load balancing between providers", "提供商之间负载均衡", "提供商之間負載平衡"), "ynyyp$yy"),
    (w("Virtual keys", "虚拟密钥", "虛擬金鑰"), "ynyyyyyy"),
    (w("Single sign-on by OIDC", "OIDC 单点登录", "OIDC 單一登入"), "yyy$y$p$"),
    (w("Single sign-on by SAML", "SAML 单点登录", "SAML 單一登入"), "nnn$y$$$"),
    (w("LDAP and Active Directory", "LDAP 与 Active Directory", "LDAP 與 Active Directory"), "ynnnnynn"),
    (w("SCIM", "SCIM", "SCIM"), "ynn$p$$$"),
    (w("Short-lived identities for CI jobs", "CI 任务的短期身份", "CI 工作的短期身分"), "ynypp$pp"),
    (w("Budgets with a hard stop", "硬性预算上限", "硬性預算上限"), "yypyp$y$"),
    (
        w(
            "Reserved before, settled after, so that parallel requests overshoot nothing",
            "先预留后结算，并发请求不超支",
            "先預留後結算，並行請求不超支",
        ),
        "ynnn?np?",
    ),
    (w("Audit log of what administrators do", "管理操作审计日志", "管理操作稽核日誌"), "ypn$y$$$"),
    (w("Audit log that shows tampering", "防篡改审计日志", "防竄改稽核日誌"), "ynn$?$nn"),
    (w("Forward proxy for clients", "面向客户端的正向代理", "面向用戶端的正向代理"), "ynnnnnnn"),
    (w("Client settings for each group", "按组下发客户端设置", "依群組下發用戶端設定"), "yyn$nnpn"),
    (w("Staged rollout with rollback", "分阶段推广与回滚", "分階段推廣與回復"), "ynnnnnnn"),
    (
        w("Runs without a database of its own to look after", "无需另行维护数据库", "無需另行維護資料庫"),
        "ynyy?ypy",
    ),
    (w("Several nodes, with everything shared", "多节点且全部状态共享", "多節點且全部狀態共用"), "pyy$yyyy"),
];

const TITLE: Words = w("LLM gateways side by side", "LLM 网关方案对比", "LLM 閘道方案對照");
const ABOUT: Words = w(
    "Read from what the products published up to the month below; nothing of the others was run for this sheet. Products change: \
     verify what decides for you. The sheet recommends none. Month:",
    "依据各产品截至下列月份公开的资料整理；其他产品并未为此实际运行。产品会变化：对您起决定作用的项目请自行核实。本表不作推荐。月份：",
    "依據各產品截至下列月份公開的資料整理；其他產品並未為此實際執行。產品會變化：對您起決定作用的項目請自行查證。本表不作推薦。月份：",
);
const WHAT: Words = w("What", "项目", "項目");
const TRY: Words = w("What to try with each before you decide", "决定之前请逐一试验", "決定之前請逐一試驗");
const TRIALS: [Words; 5] = [
    w(
        "The coding client you use, for a day: streams, tool use, long prompts, prompt caching.",
        "用您的编程客户端试用一天：流式响应、工具调用、长提示、提示缓存。",
        "用您的程式設計用戶端試用一天：串流回應、工具呼叫、長提示、提示快取。",
    ),
    w(
        "Twenty parallel requests against a budget that has room for one.",
        "对只够一次请求的预算并发发送二十次请求。",
        "對只夠一次請求的預算並行送出二十次請求。",
    ),
    w(
        "Disable a person in the directory, and watch how long their open stream lives.",
        "在用户目录中停用一人，观察其正在进行的响应多久被中断。",
        "在使用者目錄中停用一人，觀察其進行中的回應多久被中斷。",
    ),
    w(
        "Compare a month's costs with the provider's bill.",
        "将一个月的费用与提供商账单对账。",
        "將一個月的費用與提供商帳單對帳。",
    ),
    w(
        "Kill it in the middle of replies, and look for what is missing in its records.",
        "在响应过程中强制终止进程，检查记录有无缺失。",
        "在回應過程中強制終止程序，檢查記錄有無缺失。",
    ),
];

/// The sheet.
pub(super) fn sheet(language: Language) -> Vec<Block> {
    let head = std::iter::once(WHAT.of(language)).chain(PRODUCTS).map(str::to_owned).collect();
    let row = |(what, marks): &(Words, &str)| {
        let cells = marks.chars().map(|mark| has(mark).words().of(language));
        std::iter::once(what.of(language)).chain(cells).map(str::to_owned).collect()
    };
    vec![
        Block::Title(TITLE.of(language).to_owned()),
        Block::Text(format!("{} {AS_OF}", ABOUT.of(language))),
        Block::Table(head, ROWS.iter().map(row).collect()),
        Block::Heading(TRY.of(language).to_owned()),
        Block::List(TRIALS.iter().map(|trial| trial.of(language).to_owned()).collect()),
    ]
}

const fn has(mark: char) -> Has {
    match mark {
        'y' => Has::Yes,
        'p' => Has::Part,
        '$' => Has::Paid,
        'n' => Has::No,
        _ => Has::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_something_of_every_product() {
        for (what, marks) in &ROWS {
            assert_eq!(marks.chars().count(), PRODUCTS.len(), "{}", what.en);
            assert!(marks.chars().all(|mark| "yp$n?".contains(mark)), "{}", what.en);
        }
    }
}
