//! Destinations that the coding client needs, under names (evidence: its documentation and what it was seen to do).

/// A named set of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// The model and the client's own settings.
    Core,
    /// Signing in.
    SignIn,
    /// Updates and plugins.
    Updates,
    /// Packages from npm.
    Npm,
    /// Connectors (MCP) that Anthropic runs.
    Connectors,
    /// Telemetry that goes to its maker's collectors.
    Telemetry,
    /// Artifacts and previews.
    Artifacts,
    /// Its documentation.
    Docs,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Core,
        Self::SignIn,
        Self::Updates,
        Self::Npm,
        Self::Connectors,
        Self::Telemetry,
        Self::Artifacts,
        Self::Docs,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::SignIn => "sign-in",
            Self::Updates => "updates",
            Self::Npm => "npm",
            Self::Connectors => "connectors",
            Self::Telemetry => "telemetry",
            Self::Artifacts => "artifacts",
            Self::Docs => "docs",
        }
    }

    /// The preset of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == name)
    }

    /// Its hosts, as patterns.
    pub const fn hosts(self) -> &'static [&'static str] {
        match self {
            Self::Core => &["api.anthropic.com"],
            Self::SignIn => &["claude.ai", "claude.com", "platform.claude.com"],
            Self::Updates => &[
                "downloads.claude.ai",
                "storage.googleapis.com",
                "raw.githubusercontent.com",
                "formulae.brew.sh",
            ],
            Self::Npm => &["registry.npmjs.org"],
            Self::Connectors => &["mcp-proxy.anthropic.com"],
            Self::Telemetry => &["http-intake.logs.us5.datadoghq.com", "browser-intake-us5-datadoghq.com"],
            Self::Artifacts => &["bridge.claudeusercontent.com", "*.frame.claudeusercontent.com"],
            Self::Docs => &["code.claude.com"],
        }
    }
}
