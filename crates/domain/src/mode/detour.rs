//! Use that went another way than the mode says, by what was seen of it.

use super::Mode;

/// What was seen of a person's use in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Requests that the gateway made by a provider of the organization.
    pub gateway: u64,
    /// Requests by credentials of their own, which the proxy has looked into.
    pub own: u64,
    /// Tunnels to hosts of models that were not looked into.
    pub tunnels: u64,
    /// Bytes in those.
    pub bytes: u64,
    /// Tunnels to hosts of models that were refused.
    pub refused: u64,
    /// Tunnels to where people sign in with the provider's accounts.
    pub sign_ins: u64,
    /// Requests that their clients claim.
    pub claimed: u64,
}

/// A way past what the mode says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Detour {
    /// To a host of models, unseen.
    Direct,
    /// By a credential of their own, seen by the proxy.
    OwnCredential,
    /// Clients claim more requests than were seen on the way that the mode says.
    Claims,
    /// Signing in with an account of the provider.
    Account,
    /// To a host of models, refused.
    Refused,
}

impl Detour {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::OwnCredential => "own_credential",
            Self::Claims => "claims",
            Self::Account => "account",
            Self::Refused => "refused",
        }
    }
}

/// The detours that what was seen amounts to, the weightiest first.
///
/// A claim is of requests that a model answered, so that as many requests at the gateway are no fewer than that. Of a plain
/// tunnel nobody knows how many requests are in it: in mode `proxy`, claims count where there was no tunnel at all. In mode
/// `direct` there is no other way.
pub fn detours(mode: Mode, seen: &Seen) -> Vec<Detour> {
    let at_gateway = mode.uses_gateway();
    let unseen = match mode {
        Mode::Direct => false,
        Mode::Proxy => seen.claimed > 0 && seen.tunnels + seen.own + seen.gateway == 0,
        Mode::Gateway | Mode::Hybrid => seen.claimed > seen.gateway + seen.own,
    };
    [
        (at_gateway && seen.tunnels > 0, Detour::Direct),
        (at_gateway && seen.own > 0, Detour::OwnCredential),
        (unseen, Detour::Claims),
        (at_gateway && seen.sign_ins > 0, Detour::Account),
        (at_gateway && seen.refused > 0, Detour::Refused),
    ]
    .into_iter()
    .filter_map(|(is_so, detour)| is_so.then_some(detour))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_past_the_mode_is_named() {
        use Detour::{Account, Claims, Direct, OwnCredential, Refused};
        let none = Seen::default();
        for (mode, seen, expected) in [
            (Mode::Hybrid, none, &[][..]),
            (Mode::Hybrid, Seen { gateway: 9, claimed: 9, ..none }, &[]),
            (Mode::Hybrid, Seen { gateway: 9, claimed: 10, ..none }, &[Claims]),
            (Mode::Gateway, Seen { tunnels: 1, ..none }, &[Direct]),
            (Mode::Gateway, Seen { own: 2, claimed: 2, ..none }, &[OwnCredential]),
            (Mode::Hybrid, Seen { refused: 10, sign_ins: 1, ..none }, &[Account, Refused]),
            (Mode::Proxy, Seen { tunnels: 3, claimed: 9, sign_ins: 1, ..none }, &[]),
            (Mode::Proxy, Seen { own: 3, claimed: 9, ..none }, &[]),
            (Mode::Proxy, Seen { claimed: 1, ..none }, &[Claims]),
            (Mode::Direct, Seen { claimed: 1, tunnels: 1, ..none }, &[]),
        ] {
            assert_eq!(detours(mode, &seen), expected, "{mode} {seen:?}");
        }
    }
}
