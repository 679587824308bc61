//! Which names and addresses a link may reach. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks of version 4 that are not the public internet.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),       // this network
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // shared by carriers
    v4([127, 0, 0, 0], 8),     // this machine
    v4([169, 254, 0, 0], 16),  // this link, and the metadata of clouds
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocol assignments
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // relays from 6 to 4
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// Networks of version 6 that are the public internet: what is not in here is not.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Networks in there that are not, or that lead to an address of version 4 by a detour.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments, Teredo among them
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6 to 4
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(segments: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// Where a link may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    hosts: Vec<HostPattern>,
    networks: Vec<IpNet>,
}

/// One entry of what a link may call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPattern {
    name: NamePattern,
    /// Any, where it says none.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePattern {
    Any,
    /// `.example.com`: every name below it, not itself.
    Below(String),
    Exactly(String),
}

/// A destination as it stands in a request, or an entry, that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No entry of the link names it.
    #[error("the link does not allow {0}")]
    NotAllowed(String),
    /// What it resolves to is not public, and no network of the link has it.
    #[error("{0} leads to {1}, which is not public and which the link does not allow")]
    NotPublic(String, IpAddr),
    /// It is no host that can be connected to.
    #[error("{0:?} is no host name or address")]
    Malformed(String),
}

impl Destinations {
    /// A list with commas: `example.com`, `example.com:8443`, `*.example.com`, an address, or `*`.
    ///
    /// # Errors
    ///
    /// The entry that is none.
    pub fn parse(hosts: &str) -> Result<Self, Refused> {
        let hosts = entries(hosts).map(HostPattern::parse).collect::<Result<_, _>>()?;
        Ok(Self { hosts, networks: Vec::new() })
    }

    /// These networks as well, though they are not public: `10.0.0.0/8`, or one address, between commas.
    ///
    /// # Errors
    ///
    /// The entry that is none.
    pub fn with_networks(mut self, networks: &str) -> Result<Self, Refused> {
        let parse = |entry: &str| {
            let network = entry.parse::<IpNet>().ok();
            let network = network.or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| Refused::Malformed(entry.to_owned()))
        };
        self.networks = entries(networks).map(parse).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Whether the name may be asked for at all, before it is resolved.
    ///
    /// # Errors
    ///
    /// Where it may not.
    pub fn allow_name(&self, host: &str, port: u16) -> Result<(), Refused> {
        let name = canonical(host)?;
        let allowed = self.hosts.iter().any(|pattern| pattern.covers(&name, port));
        if allowed { Ok(()) } else { Err(Refused::NotAllowed(format!("{name}:{port}"))) }
    }

    /// Whether what the name resolved to may be connected to.
    ///
    /// # Errors
    ///
    /// Where it may not.
    pub fn allow_address(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        if is_public(address) || self.networks.iter().any(|network| network.contains(&address)) {
            Ok(())
        } else {
            Err(Refused::NotPublic(host.to_owned(), address))
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

impl HostPattern {
    fn parse(entry: &str) -> Result<Self, Refused> {
        let malformed = || Refused::Malformed(entry.to_owned());
        // The colons of an address of version 6 are in brackets where a port follows.
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                (name, Some(port.parse().map_err(|_| malformed())?))
            }
            _ => (entry, None),
        };
        let name = match name {
            "*" => NamePattern::Any,
            name => match name.strip_prefix("*.") {
                Some(below) => NamePattern::Below(format!(".{}", canonical(below)?)),
                None => NamePattern::Exactly(canonical(name)?),
            },
        };
        Ok(Self { name, port })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let named = match &self.name {
            NamePattern::Any => true,
            NamePattern::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            NamePattern::Exactly(name) => name == host,
        };
        named && self.port.is_none_or(|only| only == port)
    }
}

/// One spelling for each host: lower case, without the root's dot, addresses as they are written by themselves.
fn canonical(host: &str) -> Result<String, Refused> {
    let malformed = || Refused::Malformed(host.to_owned());
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|address| address.to_string()).map_err(|_| malformed());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        plain && !label.is_empty() && label.len() <= 63
    };
    if name.len() <= 253 && name.split('.').all(label) { Ok(name) } else { Err(malformed()) }
}

/// Whether an address belongs to the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reaches_what_it_names_and_nothing_beside() {
        let allowed = Destinations::parse("api.example.com, *.shop.example:8443, 9.9.9.9, [2606:4700::1]:443").unwrap();
        for (host, port, may) in [
            ("api.example.com", 443, true),
            ("API.Example.COM.", 80, true),
            ("example.com", 443, false),
            ("api.example.com.evil.example", 443, false),
            ("evilapi.example.com", 443, false),
            ("a.shop.example", 8443, true),
            ("a.b.shop.example", 8443, true),
            ("a.shop.example", 443, false),
            ("shop.example", 8443, false),
            ("ashop.example", 8443, false),
            ("9.9.9.9", 53, true),
            ("9.9.9.10", 53, false),
            ("[2606:4700::1]", 443, true),
            ("[2606:4700:0:0::1]", 443, true),
            ("[2606:4700::1]", 80, false),
        ] {
            assert_eq!(allowed.allow_name(host, port).is_ok(), may, "{host}:{port}");
        }
        for host in ["", ".", "a..b", "a b", "a%00b", "user@host", "[::1", "é", "a/b", &"a".repeat(300)] {
            assert!(matches!(allowed.allow_name(host, 80), Err(Refused::Malformed(_))), "{host:?}");
        }
        let nowhere = Destinations::parse("").unwrap();
        assert!(nowhere.allow_name("example.com", 443).is_err());
        assert!(Destinations::parse("a b").is_err());
        assert!(Destinations::parse("a:99999").is_err());
        assert!(nowhere.with_networks("10.0.0.0/99").is_err());
    }

    #[test]
    fn what_is_not_public_needs_its_own_permission() {
        let allowed = Destinations::parse("*").unwrap().with_networks("10.1.0.0/16, ::1").unwrap();
        for (address, may) in [
            ("8.8.8.8", true),
            ("2606:4700::1111", true),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::1", true),
            ("10.2.0.1", false),
            ("127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(allowed.allow_address("x", address.parse().unwrap()).is_ok(), may, "{address}");
        }
    }

    #[test]
    fn no_detour_is_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.3.1", "2606:4700:4700::1111", "2a00:1450::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
