//! The deployment mode: which way an organization's, or a team's, clients go.

pub mod detour;

use std::fmt;
use std::str::FromStr;

/// Which way clients go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Straight to the provider, with a key of the provider's; Gatehouse hears of it by telemetry only.
    Direct,
    /// To the provider through the forward proxy.
    Proxy,
    /// To the gateway.
    Gateway,
    /// To the gateway, and all else through the forward proxy.
    Hybrid,
}

/// A text that names no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected direct, proxy, gateway or hybrid")]
pub struct BadMode;

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Proxy, Self::Gateway, Self::Hybrid];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Proxy => "proxy",
            Self::Gateway => "gateway",
            Self::Hybrid => "hybrid",
        }
    }

    /// Whether model requests go to the gateway.
    pub const fn uses_gateway(self) -> bool {
        match self {
            Self::Gateway | Self::Hybrid => true,
            Self::Direct | Self::Proxy => false,
        }
    }

    /// Whether clients go through the forward proxy.
    pub const fn uses_proxy(self) -> bool {
        match self {
            Self::Proxy | Self::Hybrid => true,
            Self::Direct | Self::Gateway => false,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = BadMode;

    fn from_str(text: &str) -> Result<Self, BadMode> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or(BadMode)
    }
}

/// Something that a client's machine has, or must not have, in a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Artifact {
    /// The gateway's address as the client's base URL.
    BaseUrl,
    /// A key or a sign-in of Gatehouse for model requests.
    GatewayCredential,
    /// A key of the provider.
    ProviderKey,
    /// The address of the forward proxy.
    ProxyUrl,
    /// The certificate of the authority that the proxy's own certificates come from.
    ProxyCa,
    /// Telemetry to the gateway's OTLP paths with a key of Gatehouse.
    Telemetry,
    /// Settings that the gateway serves to who signs in.
    ServedSettings,
    /// Settings as a file or policy on the machine.
    SettingsFile,
}

impl Artifact {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BaseUrl,
        Self::GatewayCredential,
        Self::ProviderKey,
        Self::ProxyUrl,
        Self::ProxyCa,
        Self::Telemetry,
        Self::ServedSettings,
        Self::SettingsFile,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BaseUrl => "base_url",
            Self::GatewayCredential => "gateway_credential",
            Self::ProviderKey => "provider_key",
            Self::ProxyUrl => "proxy_url",
            Self::ProxyCa => "proxy_ca",
            Self::Telemetry => "telemetry",
            Self::ServedSettings => "served_settings",
            Self::SettingsFile => "settings_file",
        }
    }

    /// Whether a machine has it in this mode.
    pub const fn is_in(self, mode: Mode) -> bool {
        match self {
            Self::BaseUrl | Self::GatewayCredential | Self::ServedSettings => mode.uses_gateway(),
            Self::ProviderKey | Self::SettingsFile => !mode.uses_gateway(),
            Self::ProxyUrl | Self::ProxyCa => mode.uses_proxy(),
            // What goes through the gateway is in its ledger; it hears the rest of who signs in as well.
            Self::Telemetry => true,
        }
    }
}

/// What must come to a machine and what must go from it, for one mode to become another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// What comes.
    pub add: Vec<Artifact>,
    /// What goes.
    pub remove: Vec<Artifact>,
}

/// What changes on a machine between two modes.
pub fn difference(from: Mode, to: Mode) -> Difference {
    let only = |a: Mode, b: Mode| {
        Artifact::ALL.into_iter().filter(move |artifact| artifact.is_in(a) && !artifact.is_in(b)).collect()
    };
    Difference { add: only(to, from), remove: only(from, to) }
}

/// What nobody can see or hold back in a mode, in the order of weight. Each is a stable code; texts are elsewhere.
pub const fn blind(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Direct => {
            &["claims_only", "no_budgets", "no_content_rules", "no_revocation", "no_audit", "personal_use"]
        }
        Mode::Proxy => &["bytes_only", "no_budgets", "no_content_rules", "costs_are_claims"],
        Mode::Gateway => &["other_routes"],
        Mode::Hybrid => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert_eq!("Gateway".parse::<Mode>(), Err(BadMode));
    }

    #[test]
    fn what_comes_one_way_goes_the_other() {
        for from in Mode::ALL {
            for to in Mode::ALL {
                let (there, back) = (difference(from, to), difference(to, from));
                assert_eq!((there.add, there.remove), (back.remove, back.add), "{from} {to}");
            }
            assert_eq!(difference(from, from), Difference::default());
        }
        let plan = difference(Mode::Direct, Mode::Hybrid);
        assert!(plan.add.contains(&Artifact::BaseUrl) && plan.add.contains(&Artifact::ProxyUrl));
        assert_eq!(plan.remove, [Artifact::ProviderKey, Artifact::SettingsFile]);
    }
}
