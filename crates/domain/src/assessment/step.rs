//! What to do next.

use serde::Serialize;

use super::answers::Answers;
use super::framework::plain;
use super::mode::Mode;
use super::words::Words;

/// A step of bringing a mode in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name, which does not change from release to release.
    pub id: &'static str,
    /// What to do.
    pub text: Words,
}

/// A step, and why it is there if it is not one that everybody has with this mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// The step.
    #[serde(flatten)]
    pub step: Step,
    /// What is there already and gave rise to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

const fn step(id: &'static str, en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Step {
    Step { id, text: Words::new(en, zh_cn, zh_tw) }
}

const DIRECT: &[Step] = &[
    step("get_api_key", "Get an Anthropic API key", "获取 Anthropic API 密钥", "取得 Anthropic API 金鑰"),
    step("install_client", "Install Claude Code", "安装 Claude Code", "安裝 Claude Code"),
    step("basic_settings", "Set the basic settings", "配置基本设置", "設定基本設定"),
];
const PROXY: &[Step] = &[
    step("configure_proxy", "Configure the enterprise proxy", "配置企业代理", "設定企業代理"),
    step("get_api_key", "Get an API key", "获取 API 密钥", "取得 API 金鑰"),
    step("proxy_variables", "Set the proxy's environment variables", "配置代理环境变量", "設定代理環境變數"),
    step("test_connection", "Test the connection", "测试连接", "測試連線"),
];
const GATEWAY: &[Step] = &[
    step("compare_gateways", "Evaluate LLM gateways", "评估 LLM 网关解决方案", "評估 LLM 閘道方案"),
    step("deploy_gateway", "Deploy the gateway", "部署网关服务", "部署閘道服務"),
    step("configure_sign_in", "Configure sign-in", "配置身份验证", "設定身分驗證"),
    step("monitoring", "Set up monitoring and logs", "设置监控和日志", "設定監控與日誌"),
];
const HYBRID: &[Step] = &[
    step("design", "Design the whole architecture", "设计完整架构", "設計完整架構"),
    step("deploy_all", "Deploy all components", "部署所有组件", "部署所有元件"),
    step("security_policy", "Configure the security policy", "配置安全策略", "設定安全策略"),
    step("monitoring", "Build up monitoring", "建立监控体系", "建立監控體系"),
];

/// The steps of a mode.
pub(super) const fn next_steps(mode: Mode) -> &'static [Step] {
    match mode {
        Mode::Direct => DIRECT,
        Mode::Proxy => PROXY,
        Mode::Gateway => GATEWAY,
        Mode::Hybrid => HYBRID,
    }
}

/// What kinds of things are there already, by words in their names, and what follows from each.
const THERE: &[(&[&str], Step)] = &[
    (
        &["squid", "proxy", "zscaler", "bluecoat", "netskope", "forcepoint", "代理"],
        step(
            "chain_to_proxy",
            "Let Gatehouse's own connections go through the existing proxy",
            "让 Gatehouse 的出站连接经由现有代理",
            "讓 Gatehouse 的對外連線經由現有代理",
        ),
    ),
    (
        &[
            "okta",
            "entra",
            "azuread",
            "activedirectory",
            "ldap",
            "keycloak",
            "pingfederate",
            "pingidentity",
            "onelogin",
            "auth0",
            "jumpcloud",
            "googleworkspace",
            "adfs",
            "idp",
            "samba",
        ],
        step(
            "connect_directory",
            "Connect the existing directory for sign-in and leavers",
            "接入现有用户目录，用于登录与离职停用",
            "接入現有使用者目錄，用於登入與離職停用",
        ),
    ),
    (
        &["splunk", "elastic", "sentinel", "qradar", "graylog", "loki", "siem", "syslog", "datadog"],
        step(
            "forward_logs",
            "Forward the audit log to the existing log collector",
            "将审计日志转发到现有日志平台",
            "將稽核日誌轉送到現有日誌平台",
        ),
    ),
    (
        &["prometheus", "grafana", "alertmanager", "victoriametrics", "thanos", "zabbix"],
        step(
            "scrape_metrics",
            "Let the existing monitoring scrape /metrics",
            "让现有监控系统采集 /metrics",
            "讓現有監控系統擷取 /metrics",
        ),
    ),
    (
        &["postgres", "aurora", "cloudsql", "alloydb"],
        step(
            "use_postgresql",
            "Keep the data in the existing PostgreSQL",
            "将数据存放在现有 PostgreSQL 中",
            "將資料存放在現有 PostgreSQL 中",
        ),
    ),
];

/// The tasks of a mode: its steps, and what follows from what is there already.
pub(super) fn tasks(mode: Mode, answers: &Answers) -> Vec<Task> {
    let mut tasks: Vec<_> = next_steps(mode).iter().map(|step| Task { step: *step, because: None }).collect();
    for name in &answers.existing_infrastructure {
        let plain = plain(name);
        for (words, step) in THERE {
            let is_one = words.iter().any(|word| plain.contains(word));
            if is_one && !tasks.iter().any(|task| task.step.id == step.id) {
                tasks.push(Task { step: *step, because: Some(name.clone()) });
            }
        }
    }
    tasks
}
