//! The items of the checklist.

use std::fmt;
use std::str::FromStr;

use crate::settings::lint::Language;

/// A part of the checklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Database, servers, bandwidth, load balancer, backups.
    Infrastructure,
    /// Proxy, firewall, certificates.
    NetworkSecurity,
    /// Directory, sign-in, permissions, audit log.
    Identity,
    /// Metrics, logs, alerts, dashboards.
    Monitoring,
    /// Data classes, retention, reports, reviews.
    Compliance,
}

/// An item of the checklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each has its name for people in the table below")]
pub enum Item {
    Database,
    ServerResources,
    Bandwidth,
    LoadBalancer,
    Backup,
    Proxy,
    Firewall,
    Certificates,
    ClientCertificates,
    CustomCa,
    Directory,
    SingleSignOn,
    Permissions,
    AuditLog,
    Monitoring,
    LogAggregation,
    Alerts,
    Dashboards,
    DataClasses,
    AuditRetention,
    Reports,
    SecurityReviews,
}

/// What is known of an item beforehand.
struct Row {
    item: Item,
    id: &'static str,
    section: Section,
    /// English, Simplified Chinese, Traditional Chinese.
    names: [&'static str; 3],
    /// Days that a statement lasts.
    review_days: i64,
    /// Whether somebody must state it even where a machine finds it good: it is about a decision.
    needs_statement: bool,
}

macro_rules! rows {
    ($($item:ident $id:literal $section:ident $days:literal $decision:literal: $en:literal, $hans:literal, $hant:literal;)*) => {
        &[$(Row {
            item: Item::$item,
            id: $id,
            section: Section::$section,
            names: [$en, $hans, $hant],
            review_days: $days,
            needs_statement: $decision,
        }),*]
    };
}

/// In the order of the checklist.
const ROWS: &[Row; 22] = rows! {
    Database "database" Infrastructure 180 false: "Database (reached)", "数据库（可连接）", "資料庫（可連線）";
    ServerResources "server-resources" Infrastructure 180 false: "Server resources (CPU, memory, storage)", "服务器资源（CPU、内存、存储）", "伺服器資源（CPU、記憶體、儲存）";
    Bandwidth "bandwidth" Infrastructure 180 false: "Network bandwidth estimate", "网络带宽评估", "網路頻寬評估";
    LoadBalancer "load-balancer" Infrastructure 180 false: "Load balancer configuration", "负载均衡配置", "負載平衡設定";
    Backup "backup" Infrastructure 90 false: "Backup and restore plan", "备份和恢复方案", "備份與還原方案";
    Proxy "proxy" NetworkSecurity 180 false: "Proxy server configuration", "代理服务器配置", "代理伺服器設定";
    Firewall "firewall" NetworkSecurity 180 true: "Firewall rules", "防火墙规则设置", "防火牆規則設定";
    Certificates "certificates" NetworkSecurity 90 false: "SSL/TLS certificates", "SSL/TLS 证书", "SSL/TLS 憑證";
    ClientCertificates "client-certificates" NetworkSecurity 180 false: "mTLS certificates (if needed)", "mTLS 证书（如需要）", "mTLS 憑證（如需要）";
    CustomCa "custom-ca" NetworkSecurity 180 false: "Custom CA certificates", "自定义 CA 证书", "自訂 CA 憑證";
    Directory "directory" Identity 180 false: "User directory integration (LDAP/AD)", "用户目录集成 (LDAP/AD)", "使用者目錄整合 (LDAP/AD)";
    SingleSignOn "single-sign-on" Identity 180 false: "Single sign-on (SSO) configuration", "单点登录 (SSO) 配置", "單一登入 (SSO) 設定";
    Permissions "permissions" Identity 90 true: "Permission model design", "权限模型设计", "權限模型設計";
    AuditLog "audit-log" Identity 90 false: "Audit log configuration", "审计日志配置", "稽核日誌設定";
    Monitoring "monitoring" Monitoring 180 false: "Monitoring system deployment", "监控系统部署", "監控系統部署";
    LogAggregation "log-aggregation" Monitoring 180 false: "Log aggregation configuration", "日志聚合配置", "日誌彙整設定";
    Alerts "alerts" Monitoring 180 false: "Alert rules", "告警规则设置", "告警規則設定";
    Dashboards "dashboards" Monitoring 180 true: "Dashboard configuration", "仪表板配置", "儀表板設定";
    DataClasses "data-classes" Compliance 180 true: "Data classification policy", "数据分类策略", "資料分類政策";
    AuditRetention "audit-retention" Compliance 365 true: "Audit log retention policy", "审计日志保留策略", "稽核日誌保留政策";
    Reports "reports" Compliance 90 true: "Compliance report generation", "合规报告生成", "合規報告產生";
    SecurityReviews "security-reviews" Compliance 180 true: "Regular security audits", "定期安全审计", "定期安全稽核";
};

impl Section {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Infrastructure, Self::NetworkSecurity, Self::Identity, Self::Monitoring, Self::Compliance];

    /// The name used on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infrastructure => "infrastructure",
            Self::NetworkSecurity => "network-security",
            Self::Identity => "identity",
            Self::Monitoring => "monitoring",
            Self::Compliance => "compliance",
        }
    }

    /// The section of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.as_str() == text)
    }
}

impl Item {
    /// All of them, in the order of the checklist.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.item)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The name used on the command line, in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        self.row().id
    }

    /// Where it belongs.
    pub fn section(self) -> Section {
        self.row().section
    }

    /// Its name for people.
    pub fn name(self, language: Language) -> &'static str {
        self.row().names[match language {
            Language::English => 0,
            Language::SimplifiedChinese => 1,
            Language::TraditionalChinese => 2,
        }]
    }

    /// How long a statement about it lasts, in milliseconds.
    pub fn review_ms(self) -> i64 {
        self.row().review_days * 24 * 60 * 60 * 1000
    }

    /// Whether somebody must state it even where a machine finds it good.
    pub fn needs_statement(self) -> bool {
        self.row().needs_statement
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no item of the checklist (`gatehouse doctor` lists them)")]
pub struct BadItem(String);

impl FromStr for Item {
    type Err = BadItem;

    fn from_str(text: &str) -> Result<Self, BadItem> {
        let found = ROWS.iter().find(|row| row.id == text).map(|row| row.item);
        found.ok_or_else(|| BadItem(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_item_has_its_row_and_a_name_of_its_own() {
        for (row, at) in ROWS.iter().zip(0..) {
            assert_eq!(row.item as usize, at, "{}", row.id);
            assert_eq!(row.id.parse(), Ok(row.item));
        }
        let ids: BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), 22);
        assert!("backups".parse::<Item>().is_err());
        assert!(Section::ALL.iter().all(|section| Section::named(section.as_str()) == Some(*section)));
    }
}
