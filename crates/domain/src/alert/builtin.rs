//! The rules that are there from the beginning. A rule of the same name in the configuration changes what it names.

use super::rule::{Compare, Rule, Severity, Texts};
use super::silence::Inhibition;
use super::{Matcher, NAME};

/// A rule in this table.
struct Row {
    name: &'static str,
    signal: &'static str,
    compare: Compare,
    threshold: f64,
    /// Seconds.
    hold: i64,
    /// Seconds.
    keep: i64,
    severity: Severity,
    summary: [&'static str; 3],
    action: [&'static str; 3],
}

use Compare::{Above, Below};
use Severity::{Critical, Warning};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// The table.
const ROWS: &[Row] = &[
    Row {
        name: "error-rate",
        signal: "error_ratio",
        compare: Above,
        threshold: 0.05,
        hold: 5 * MINUTE,
        keep: 0,
        severity: Critical,
        summary: ["{value} of requests fail", "{value} 的请求失败", "{value} 的請求失敗"],
        action: [
            "`gatehouse exchanges --since 10m` names provider, status and how they ended.",
            "运行 `gatehouse exchanges --since 10m`，查看提供方、状态码和结束方式。",
            "執行 `gatehouse exchanges --since 10m`，檢視提供者、狀態碼和結束方式。",
        ],
    },
    Row {
        name: "response-time",
        signal: "response_time_p95_seconds",
        compare: Above,
        threshold: 120.0,
        hold: 15 * MINUTE,
        keep: 0,
        severity: Warning,
        summary: [
            "One in twenty requests takes longer than {value}",
            "每二十个请求中有一个耗时超过 {value}",
            "每二十個請求中有一個耗時超過 {value}",
        ],
        action: [
            "Compare gatehouse_overhead_seconds: if that is low, the provider is slow.",
            "对照 gatehouse_overhead_seconds：如果它很低，则是提供方变慢。",
            "對照 gatehouse_overhead_seconds：如果它很低，則是提供者變慢。",
        ],
    },
    Row {
        name: "first-byte",
        signal: "first_byte_p95_seconds",
        compare: Above,
        threshold: 10.0,
        hold: 15 * MINUTE,
        keep: 0,
        severity: Warning,
        summary: [
            "One in twenty replies begins after more than {value}",
            "每二十个回复中有一个在 {value} 之后才开始",
            "每二十個回覆中有一個在 {value} 之後才開始",
        ],
        action: [
            "Compare gatehouse_overhead_seconds: if that is low, the provider is slow.",
            "对照 gatehouse_overhead_seconds：如果它很低，则是提供方变慢。",
            "對照 gatehouse_overhead_seconds：如果它很低，則是提供者變慢。",
        ],
    },
    Row {
        name: "budget-near",
        signal: "budget_used_ratio",
        compare: Above,
        threshold: 0.8,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "{value} of the {period} budget of {holder} is spent",
            "{holder} 的预算（周期 {period}）已用 {value}",
            "{holder} 的預算（週期 {period}）已用 {value}",
        ],
        action: [
            "`gatehouse budget list` shows it; raise it, or talk to who spends.",
            "用 `gatehouse budget list` 查看；提高预算，或与使用者沟通。",
            "用 `gatehouse budget list` 檢視；提高預算，或與使用者溝通。",
        ],
    },
    Row {
        name: "budget-spent",
        signal: "budget_used_ratio",
        compare: Above,
        threshold: 0.999,
        hold: 0,
        keep: 0,
        severity: Critical,
        summary: [
            "The {period} budget of {holder} is spent ({value})",
            "{holder} 的预算（周期 {period}）已用完（{value}）",
            "{holder} 的預算（週期 {period}）已用完（{value}）",
        ],
        action: [
            "With a hard budget people are refused until its period ends, or until it is raised.",
            "硬性预算会拒绝请求，直到周期结束或预算被提高。",
            "硬性預算會拒絕請求，直到週期結束或預算被提高。",
        ],
    },
    Row {
        name: "reconciliation-drift",
        signal: "reconciliation_drift_ratio",
        compare: Above,
        threshold: 0.02,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "The ledger of {month} is {value} off the provider's bill",
            "{month} 的账本与提供方账单相差 {value}",
            "{month} 的帳本與提供者帳單相差 {value}",
        ],
        action: [
            "`gatehouse reconcile` shows the model and the day; most often a price is old.",
            "用 `gatehouse reconcile` 查看是哪个模型、哪一天；多半是价格过期。",
            "用 `gatehouse reconcile` 檢視是哪個模型、哪一天；多半是價格過期。",
        ],
    },
    Row {
        name: "spend-anomaly",
        signal: "spend_anomaly_ratio",
        compare: Above,
        threshold: 1.0,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "Team {team} spent {value} of its usual day on {day}",
            "团队 {team} 在 {day} 的花费是平日的 {value}",
            "團隊 {team} 在 {day} 的花費是平日的 {value}",
        ],
        action: [
            "`gatehouse report anomalies --by user` shows who.",
            "用 `gatehouse report anomalies --by user` 查看是谁。",
            "用 `gatehouse report anomalies --by user` 檢視是誰。",
        ],
    },
    Row {
        name: "unknown-price",
        signal: "unknown_price_requests",
        compare: Above,
        threshold: 0.0,
        hold: 0,
        keep: HOUR,
        severity: Warning,
        summary: [
            "The model {model} has no price; it is billed at the stated default",
            "模型 {model} 没有价格，按既定的默认价格计费",
            "模型 {model} 沒有價格，按既定的預設價格計費",
        ],
        action: [
            "Add its price (`[pricing]`).",
            "补上它的价格（`[pricing]`）。",
            "補上它的價格（`[pricing]`）。",
        ],
    },
    Row {
        name: "provider-unusable",
        signal: "gatehouse_provider_usable",
        compare: Below,
        threshold: 1.0,
        hold: 2 * MINUTE,
        keep: MINUTE,
        severity: Critical,
        summary: [
            "The provider {provider} is left alone after failures",
            "提供方 {provider} 因连续失败而被暂停使用",
            "提供者 {provider} 因連續失敗而被暫停使用",
        ],
        action: [
            "`gatehouse provider list` says why; the provider's status page may too.",
            "用 `gatehouse provider list` 查看原因，也请看提供方的状态页。",
            "用 `gatehouse provider list` 檢視原因，也請看提供者的狀態頁。",
        ],
    },
    Row {
        name: "journal-refusing",
        signal: "gatehouse_journal_refusing",
        compare: Above,
        threshold: 0.0,
        hold: 30,
        keep: 0,
        severity: Critical,
        summary: [
            "{node} refuses requests because they cannot be recorded",
            "{node} 因无法记录而拒绝请求",
            "{node} 因無法記錄而拒絕請求",
        ],
        action: [
            "Its disk is full, or the database was away for too long. Make room or bring the database back.",
            "磁盘已满，或数据库离线太久。请腾出空间或恢复数据库。",
            "磁碟已滿，或資料庫離線太久。請騰出空間或恢復資料庫。",
        ],
    },
    Row {
        name: "journal-room",
        signal: "gatehouse_journal_room_bytes",
        compare: Below,
        threshold: 33_554_432.0,
        hold: 5 * MINUTE,
        keep: 0,
        severity: Warning,
        summary: [
            "{node} has {value} left for records that wait for the database",
            "{node} 为等待写入数据库的记录只剩 {value}",
            "{node} 為等待寫入資料庫的記錄只剩 {value}",
        ],
        action: [
            "Bring the database back; requests are refused when the room is used up.",
            "请恢复数据库；空间用完后会拒绝请求。",
            "請恢復資料庫；空間用完後會拒絕請求。",
        ],
    },
    Row {
        name: "disk-space",
        signal: "free_disk_bytes",
        compare: Below,
        threshold: 1_073_741_824.0,
        hold: 5 * MINUTE,
        keep: 5 * MINUTE,
        severity: Warning,
        summary: [
            "{node} has {value} of free disk",
            "{node} 的磁盘只剩 {value}",
            "{node} 的磁碟只剩 {value}",
        ],
        action: [
            "Make room on the disk of the data directory.",
            "请在数据目录所在磁盘上腾出空间。",
            "請在資料目錄所在磁碟上騰出空間。",
        ],
    },
    Row {
        name: "ledger-failing",
        signal: "gatehouse_ledger_failing",
        compare: Above,
        threshold: 0.0,
        hold: 2 * MINUTE,
        keep: 0,
        severity: Critical,
        summary: [
            "The database does not take the records of {node}",
            "数据库不接收 {node} 的记录",
            "資料庫不接收 {node} 的記錄",
        ],
        action: [
            "See the database. Requests go on; their records wait on the node's disk.",
            "请检查数据库。请求照常进行，记录暂存在节点磁盘上。",
            "請檢查資料庫。請求照常進行，記錄暫存在節點磁碟上。",
        ],
    },
    Row {
        name: "policy-stale",
        signal: "gatehouse_policy_age_seconds",
        compare: Above,
        threshold: 30.0,
        hold: MINUTE,
        keep: 0,
        severity: Critical,
        summary: [
            "{node} decides by a policy that is {value} old",
            "{node} 使用的策略已有 {value} 未更新",
            "{node} 使用的政策已有 {value} 未更新",
        ],
        action: [
            "It cannot read the database: whoever is cut off now is not cut off there.",
            "它读不到数据库：此刻被停用的人在那里仍可使用。",
            "它讀不到資料庫：此刻被停用的人在那裡仍可使用。",
        ],
    },
    Row {
        name: "certificate-ending",
        signal: "certificate_days_left",
        compare: Below,
        threshold: 21.0,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "The certificate of {address} is good for {value} more days",
            "{address} 的证书还有 {value} 天有效",
            "{address} 的憑證還有 {value} 天有效",
        ],
        action: [
            "Renew it; `gatehouse doctor network-security` looks at it again.",
            "请续期；`gatehouse doctor network-security` 会再次检查。",
            "請續期；`gatehouse doctor network-security` 會再次檢查。",
        ],
    },
    Row {
        name: "directory-sync",
        signal: "directory_sync_failures",
        compare: Above,
        threshold: 0.0,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "The directory {directory} was not taken over {value} times in a row",
            "目录 {directory} 连续 {value} 次未能同步",
            "目錄 {directory} 連續 {value} 次未能同步",
        ],
        action: [
            "`gatehouse directory runs` says why. People stay as they were until it is mended.",
            "用 `gatehouse directory runs` 查看原因。修复之前人员保持原状。",
            "用 `gatehouse directory runs` 檢視原因。修復之前人員保持原狀。",
        ],
    },
    Row {
        name: "backup-failing",
        signal: "gatehouse_backup_failing",
        compare: Above,
        threshold: 0.0,
        hold: 15 * MINUTE,
        keep: 0,
        severity: Critical,
        summary: [
            "A backup is due on {node} and cannot be made",
            "{node} 上的备份已到期却无法完成",
            "{node} 上的備份已到期卻無法完成",
        ],
        action: [
            "The log says why; most often the directory is full, gone, or not writable.",
            "原因见日志；多半是目录已满、不存在或不可写。",
            "原因見日誌；多半是目錄已滿、不存在或不可寫。",
        ],
    },
    Row {
        name: "backup-overdue",
        signal: "backup_overdue",
        compare: Above,
        threshold: 0.0,
        hold: 15 * MINUTE,
        keep: 0,
        severity: Warning,
        summary: [
            "The newest backup of {node} is too old",
            "{node} 的最新备份已过期",
            "{node} 的最新備份已過期",
        ],
        action: [
            "`gatehouse backup --list` shows them; see `backup.every_hours`.",
            "用 `gatehouse backup --list` 查看；参见 `backup.every_hours`。",
            "用 `gatehouse backup --list` 檢視；參見 `backup.every_hours`。",
        ],
    },
    Row {
        name: "audit-altered",
        signal: "gatehouse_audit_altered",
        compare: Above,
        threshold: 0.0,
        hold: 0,
        keep: 0,
        severity: Critical,
        summary: ["The audit log is not what it was", "审计日志与之前不一致", "稽核日誌與之前不一致"],
        action: [
            "Export it (`gatehouse audit export`) and verify it: the first altered entry is named.",
            "导出（`gatehouse audit export`）并校验：会指出第一条被改动的记录。",
            "匯出（`gatehouse audit export`）並校驗：會指出第一筆被改動的記錄。",
        ],
    },
    Row {
        name: "sign-in-failures",
        signal: "sign_in_failures",
        compare: Above,
        threshold: 20.0,
        hold: 0,
        keep: 10 * MINUTE,
        severity: Warning,
        summary: [
            "{value} sign-ins failed within 10 minutes",
            "10 分钟内有 {value} 次登录失败",
            "10 分鐘內有 {value} 次登入失敗",
        ],
        action: [
            "`gatehouse audit list --action sign_in.fail` shows whose, and from where.",
            "用 `gatehouse audit list --action sign_in.fail` 查看账户和来源。",
            "用 `gatehouse audit list --action sign_in.fail` 檢視帳戶和來源。",
        ],
    },
    Row {
        name: "rollout-gate",
        signal: "rollout_gate_failed",
        compare: Above,
        threshold: 0.0,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "The rollout {rollout} did not pass its gate ({state})",
            "发布 {rollout} 未通过关卡（{state}）",
            "發布 {rollout} 未通過關卡（{state}）",
        ],
        action: [
            "`gatehouse rollout status` names the check.",
            "用 `gatehouse rollout status` 查看是哪一项检查。",
            "用 `gatehouse rollout status` 檢視是哪一項檢查。",
        ],
    },
    Row {
        name: "node-missing",
        signal: "node_silent_seconds",
        compare: Above,
        threshold: 90.0,
        hold: MINUTE,
        keep: 0,
        severity: Critical,
        summary: [
            "{node} has not been heard of for {value}",
            "{node} 已有 {value} 没有消息",
            "{node} 已有 {value} 沒有消息",
        ],
        action: [
            "See whether its process runs and reaches the database.",
            "请检查进程是否在运行、能否连接数据库。",
            "請檢查行程是否在執行、能否連線資料庫。",
        ],
    },
    Row {
        name: "alert-delivery",
        signal: "alert_delivery_failures",
        compare: Above,
        threshold: 0.0,
        hold: 0,
        keep: 0,
        severity: Warning,
        summary: [
            "{receiver} did not take {value} messages of alerts",
            "{receiver} 有 {value} 条告警消息未送达",
            "{receiver} 有 {value} 則告警訊息未送達",
        ],
        action: [
            "`gatehouse alerts receivers` says why; try it with `gatehouse alerts test`.",
            "用 `gatehouse alerts receivers` 查看原因，并用 `gatehouse alerts test` 测试。",
            "用 `gatehouse alerts receivers` 檢視原因，並用 `gatehouse alerts test` 測試。",
        ],
    },
];

/// The rules that are there from the beginning.
pub fn builtin_rules() -> Vec<Rule> {
    ROWS.iter()
        .map(|row| Rule {
            name: row.name.to_owned(),
            signal: row.signal.to_owned(),
            compare: row.compare,
            threshold: row.threshold,
            hold_ms: row.hold * 1000,
            keep_ms: row.keep * 1000,
            severity: row.severity,
            only: Vec::new(),
            summary: Texts(row.summary.map(str::to_owned)),
            action: Texts(row.action.map(str::to_owned)),
        })
        .collect()
}

/// The inhibitions that are there from the beginning: who knows that a budget is spent need not hear that it nearly is, a node
/// that is gone has no other trouble, and a failing ledger has a journal that fills.
pub fn builtin_inhibitions() -> Vec<Inhibition> {
    let named = |name: &str| vec![Matcher::is(NAME, name)];
    let pair = |source: &str, target: &str, equal: &str| Inhibition {
        source: named(source),
        target: named(target),
        equal: vec![equal.to_owned()],
    };
    vec![
        pair("budget-spent", "budget-near", "budget"),
        pair("journal-refusing", "journal-room", "node"),
        pair("ledger-failing", "journal-room", "node"),
        pair("node-missing", "policy-stale", "node"),
        pair("backup-failing", "backup-overdue", "node"),
    ]
}
