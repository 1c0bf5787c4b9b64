//! IP networks, and which address a request comes from when a proxy stands in between.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Most hops of a request that are looked at; what is farther away is not believed.
const MAX_HOPS: usize = 32;

/// A network, such as `10.0.0.0/8`, or one address. IPv4 addresses that are written as IPv6 ones count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It cannot be read.
    #[error(
        "expected a network or an address such as \"10.0.0.0/8\", \"192.0.2.7\" or \"fd00::/8\", found `{0}`"
    )]
    Form(String),
    /// It has bits set behind its prefix: either may be meant.
    #[error(
        "`{given}` has bits behind its prefix; write `{network}` for the network, or no prefix for the address"
    )]
    Bits {
        /// What was given.
        given: String,
        /// The network.
        network: Network,
    },
    /// It holds every address.
    #[error("`{0}` holds every address there is, so that everybody would be believed")]
    Everything(String),
}

impl Network {
    fn bits(address: IpAddr) -> (u128, u8) {
        match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        }
    }

    /// Whether it holds an address.
    pub fn holds(self, address: IpAddr) -> bool {
        let ((mine, width), (theirs, other)) = (Self::bits(self.address), Self::bits(address));
        width == other && (mine ^ theirs).checked_shr(u32::from(width - self.prefix)).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork::Form(text.chars().take(60).collect());
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(front, back)| (front, Some(back)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let address = address.to_canonical();
        let (bits, width) = Self::bits(address);
        let prefix = match prefix {
            None => width,
            // No sign, no leading zeros: what is odd may be meant otherwise.
            Some(digits) => {
                let plain =
                    digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
                digits.parse().ok().filter(|prefix| plain && *prefix <= width).ok_or_else(bad)?
            }
        };
        if prefix == 0 {
            return Err(BadNetwork::Everything(text.to_owned()));
        }
        let kept = bits >> (width - prefix) << (width - prefix);
        if kept != bits {
            let first = match address {
                IpAddr::V4(_) => IpAddr::V4(u32::try_from(kept).unwrap_or(0).into()),
                IpAddr::V6(_) => IpAddr::V6(kept.into()),
            };
            return Err(BadNetwork::Bits {
                given: text.to_owned(),
                network: Self { address: first, prefix },
            });
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The header in which proxies say for whom they ask. Only one is read: what a proxy does not write, its client may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientHeader {
    /// `X-Forwarded-For`: addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ClientHeader {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The hops of a line, from its end: whom each proxy was asked by; `None` for one that is not said as an address.
    fn hops(self, line: &str) -> Box<dyn Iterator<Item = Option<IpAddr>> + '_> {
        match self {
            Self::XForwardedFor => Box::new(line.rsplit(',').map(|hop| address(hop.trim()))),
            Self::Forwarded => Box::new(elements(line).map(forwarded_for)),
        }
    }
}

/// Proxies that are believed when they say for whom they ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    networks: Vec<Network>,
    header: ClientHeader,
}

impl Proxies {
    /// Those of these networks, which write `X-Forwarded-For`.
    pub const fn new(networks: Vec<Network>) -> Self {
        Self { networks, header: ClientHeader::XForwardedFor }
    }

    /// The same, but they write this header.
    pub fn writing(self, header: ClientHeader) -> Self {
        Self { header, ..self }
    }

    /// The header that they write.
    pub const fn header(&self) -> ClientHeader {
        self.header
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether an address is one of theirs.
    pub fn believes(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(address))
    }

    /// The client's address, from the connection's and from what their header says, its lines in their order.
    ///
    /// Every proxy appends whom it was asked by, so the list is read from its end, and only as far as the one who wrote is
    /// believed: the first address that is no proxy of ours is the client. What stands before it, the client may have
    /// written itself. An address that cannot be read ends the reading at who wrote it.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.believes(client) {
            return client;
        }
        for hop in forwarded.rev().flat_map(|line| self.header.hops(line)).take(MAX_HOPS) {
            let Some(address) = hop else { return client };
            client = address;
            if !self.believes(client) {
                return client;
            }
        }
        client
    }
}

/// An address as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|at| at.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    bare.or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

/// The elements of a line of `Forwarded`, from its end. A comma with an odd number of quotation marks behind it, within its
/// element, is part of a text. Read from the end, what a proxy has written does not depend on what stands before it.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut is_quoted = false;
        let comma = text.bytes().rposition(|byte| {
            is_quoted ^= byte == b'"';
            byte == b',' && !is_quoted
        });
        let (before, element) = match comma {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        rest = before;
        Some(element)
    })
}

/// The address in an element's one `for`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let bare = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value);
    address(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_forwarded_only_what_a_proxy_of_ours_wrote_is_read() {
        let ours = proxies(&["127.0.0.1", "10.0.0.0/8"]).writing(ClientHeader::Forwarded);
        for (peer, lines, expected) in [
            ("127.0.0.1", &["for=203.0.113.9"][..], "203.0.113.9"),
            ("127.0.0.1", &["For=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9"),
            ("127.0.0.1", &["proto=https; for=\"203.0.113.9:4711\""], "203.0.113.9"),
            ("127.0.0.1", &["for=\"[2001:db8::7]:4711\""], "2001:db8::7"),
            ("127.0.0.1", &["for=\"[2001:db8::7]\""], "2001:db8::7"),
            ("198.51.100.1", &["for=203.0.113.9"], "198.51.100.1"),
            ("127.0.0.1", &["for=6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["for=6.6.6.6", "for=203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["for=203.0.113.9, for=10.1.1.1"], "203.0.113.9"),
            // A client's quotation mark does not swallow what the proxy appends.
            ("127.0.0.1", &["for=\"6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["for=\", for=203.0.113.9;by=\"x\""], "203.0.113.9"),
            ("127.0.0.1", &["for=6.6.6.6;by=\"a,for=203.0.113.9\""], "6.6.6.6"),
            ("127.0.0.1", &["for=203.0.113.9;for=6.6.6.6"], "127.0.0.1"),
            ("127.0.0.1", &["for=unknown"], "127.0.0.1"),
            ("127.0.0.1", &["for=_hidden, for=10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1", &["203.0.113.9"], "127.0.0.1"),
            ("127.0.0.1", &["for"], "127.0.0.1"),
            ("127.0.0.1", &["by=203.0.113.9"], "127.0.0.1"),
            ("127.0.0.1", &["for=203.0.113.9,"], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
        ] {
            assert_eq!(client(&ours, peer, lines), expected, "{peer} {lines:?}");
        }
        let long = "for=10.0.0.1,".repeat(50_000) + &"\"".repeat(50_001);
        assert_eq!(client(&ours, "127.0.0.1", &[&long]), "127.0.0.1", "bounded");
    }

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::new(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn client(proxies: &Proxies, peer: &str, lines: &[&str]) -> String {
        proxies.client(peer.parse().unwrap(), lines.iter().copied()).to_string()
    }

    #[test]
    fn a_network_holds_what_has_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("8000::/1", "ffff::1", "7fff::1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.holds(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.holds(outside.parse().unwrap()), "{network} {outside}");
        }
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "fd00::/129",
            "localhost",
            "10.0.0.0/8/8",
            "10.0.0.1/8",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert!("10.9.0.1/8".parse::<Network>().unwrap_err().to_string().contains("10.0.0.0/8"));
    }

    #[test]
    fn only_a_proxy_of_ours_is_believed_and_only_what_it_wrote_itself() {
        let ours = proxies(&["127.0.0.1", "10.0.0.0/8"]);
        let none = Proxies::default();
        assert_eq!(
            client(&none, "127.0.0.1", &["6.6.6.6"]),
            "127.0.0.1",
            "nobody is believed unless it is said"
        );
        for (peer, lines, expected) in [
            ("127.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("198.51.100.1", &["203.0.113.9"], "198.51.100.1"),
            ("127.0.0.1", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["127.0.0.1, 10.0.0.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["203.0.113.9, 10.1.1.1"], "203.0.113.9"),
            ("127.0.0.1", &["203.0.113.9", "10.1.1.1,10.2.2.2"], "203.0.113.9"),
            ("127.0.0.1", &["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
            ("127.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("127.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("::ffff:127.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, nonsense, 10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1", &["203.0.113.9,"], "127.0.0.1"),
        ] {
            assert_eq!(client(&ours, peer, lines), expected, "{peer} {lines:?}");
        }
        let long = "10.0.0.1,".repeat(100_000);
        assert_eq!(client(&ours, "127.0.0.1", &[&format!("6.6.6.6,{long}10.0.0.2")]), "10.0.0.1", "bounded");
    }
}
