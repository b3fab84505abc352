//! Which addresses a component may reach: public ones, and those that were granted by
//! address.
//!
//! A name is only a name: whoever runs its zone can point it anywhere, also between two
//! requests. So what counts is the address, each time one is connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses that were granted though they are not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateRange(IpNet);

/// Why an address is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    Loopback,
    LinkLocal,
    Metadata,
    Private,
    /// Reserved, for documentation, multicast, …
    NotPublic,
    /// Of this machine, though public.
    Own,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "an address of cloud metadata",
            Self::Private => "a private address",
            Self::NotPublic => "an address that is not public",
            Self::Own => "an address of this machine",
        })
    }
}

/// Addresses at which clouds hand credentials to whoever asks from inside a machine.
/// Amazon and most others, Amazon (IPv6), Alibaba, Azure (a public address that Azure
/// routes to the host), Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Checks an address.
///
/// # Errors
/// It is not public, or this machine's own, and not in `private`.
pub(super) fn check(address: IpAddr, private: &[PrivateRange]) -> Result<(), Closed> {
    let real = real(address);
    let Some(closed) = closed(real) else {
        return Ok(());
    };
    let is_granted = private
        .iter()
        .any(|range| range.opens(address, closed) || range.opens(real, closed));
    if is_granted { Ok(()) } else { Err(closed) }
}

fn closed(address: IpAddr) -> Option<Closed> {
    if METADATA.contains(&address) {
        return Some(Closed::Metadata);
    }
    let closed = match address {
        IpAddr::V4(address) => closed_v4(address),
        IpAddr::V6(address) => closed_v6(address),
    };
    closed.or_else(|| is_own(address).then_some(Closed::Own))
}

/// Returns the IPv4 address that an IPv6 address leads to: mapped, or translated by NAT64
/// (RFC 6052) or 6to4 (RFC 3056). Teredo (RFC 4380) is closed as a whole.
fn real(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    let s = v6.segments();
    let v4 = |high: u16, low: u16| {
        let bits = (u32::from(high) << 16) | u32::from(low);
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    };
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => IpAddr::V6(v6),
    }
}

/// The blocks that the IANA's registry of special IPv4 addresses calls not globally
/// reachable, and multicast.
fn closed_v4(address: Ipv4Addr) -> Option<Closed> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c) {
        (127, ..) => Closed::Loopback,
        (169, 254, _) => Closed::LinkLocal,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Closed::Private,
        // Of providers, behind whose translation home networks lie.
        (100, 64..=127, _) => Closed::Private,
        // Two of 192.0.0.0/24 are anycast and global.
        (192, 0, 0) if d == 9 || d == 10 => return None,
        (0, ..)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113)
        | (224..=255, ..) => Closed::NotPublic,
        _ => return None,
    })
}

/// Only `2000::/3` is global unicast, without its blocks for special purposes.
fn closed_v6(address: Ipv6Addr) -> Option<Closed> {
    let s = address.segments();
    Some(match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Closed::Loopback,
        [0xfe80..=0xfebf, ..] => Closed::LinkLocal,
        [0xfc00..=0xfdff, ..] => Closed::Private,
        // 2001::/23 is for protocols; what of it is global serves no web.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Closed::NotPublic
        }
        [0x2000..=0x3fff, ..] => return None,
        _ => Closed::NotPublic,
    })
}

/// Returns whether an address is one of this machine: the kernel then sends from that very
/// address. Nothing is sent to find out.
fn is_own(address: IpAddr) -> bool {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)
        .and_then(|socket| {
            socket.connect((address, 9))?;
            socket.local_addr()
        })
        .is_ok_and(|own| own.ip() == address)
}

impl PrivateRange {
    /// Returns the range of one address.
    pub fn one(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// Link-local and metadata addresses are opened one by one only.
    fn opens(&self, address: IpAddr, closed: Closed) -> bool {
        let is_single = self.0.prefix_len() == self.0.max_prefix_len();
        let is_delicate = matches!(closed, Closed::LinkLocal | Closed::Metadata);
        self.0.contains(&address) && (is_single || !is_delicate)
    }
}

impl fmt::Display for PrivateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PrivateRange {
    type Err = String;

    /// Reads an address, or a range as `10.0.0.0/8`.
    ///
    /// # Errors
    /// What is wrong, and the range that was meant where that is evident.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::one(address));
        }
        let net: IpNet = text.parse().map_err(|_| {
            format!(
                "`{}` is no range of addresses; write it as 10.0.0.0/8, or one address as 10.1.2.3",
                text.escape_debug()
            )
        })?;
        if net.trunc() != net {
            return Err(format!(
                "`{text}` has bits behind its prefix; write `{}` for the range, or `{}` for the address",
                net.trunc(),
                net.addr()
            ));
        }
        let link_local = [
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
            IpNet::V6(Ipv6Net::new_assert(
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
                10,
            )),
        ];
        if net.prefix_len() < net.max_prefix_len() && link_local.iter().any(|l| l.contains(&net)) {
            return Err(format!(
                "`{text}` is link-local, which is granted one address at a time, as 169.254.1.2"
            ));
        }
        Ok(Self(net))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(address: &str, private: &[&str]) -> Result<(), Closed> {
        let private: Vec<_> = private.iter().map(|range| range.parse().unwrap()).collect();
        check(address.parse().unwrap(), &private)
    }

    #[test]
    fn only_public_addresses_are_open() {
        for public in [
            "1.1.1.1",
            "93.184.215.14",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(judge(public, &[]), Ok(()), "{public}");
        }
        for (address, why) in [
            ("127.0.0.1", Closed::Loopback),
            ("127.9.9.9", Closed::Loopback),
            ("::1", Closed::Loopback),
            ("::ffff:127.0.0.1", Closed::Loopback),
            ("64:ff9b::7f00:1", Closed::Loopback),
            ("2002:7f00:1::", Closed::Loopback),
            ("2001::5:6:80ff:fffe", Closed::NotPublic),
            ("10.1.2.3", Closed::Private),
            ("172.31.0.1", Closed::Private),
            ("192.168.1.1", Closed::Private),
            ("100.64.0.1", Closed::Private),
            ("fd12::1", Closed::Private),
            ("169.254.1.1", Closed::LinkLocal),
            ("fe80::1", Closed::LinkLocal),
            ("169.254.169.254", Closed::Metadata),
            ("::ffff:169.254.169.254", Closed::Metadata),
            ("fd00:ec2::254", Closed::Metadata),
            ("168.63.129.16", Closed::Metadata),
            ("0.0.0.0", Closed::NotPublic),
            ("::", Closed::NotPublic),
            ("::127.0.0.1", Closed::NotPublic),
            ("64:ff9b:1::1", Closed::NotPublic),
            ("224.0.0.1", Closed::NotPublic),
            ("255.255.255.255", Closed::NotPublic),
            ("203.0.113.5", Closed::NotPublic),
            ("2001:db8::1", Closed::NotPublic),
            ("ff02::1", Closed::NotPublic),
        ] {
            assert_eq!(judge(address, &[]), Err(why), "{address}");
        }
    }

    #[test]
    fn ranges_open_what_lies_in_them() {
        assert_eq!(judge("10.1.2.3", &["10.0.0.0/8"]), Ok(()));
        assert_eq!(judge("::ffff:10.1.2.3", &["10.0.0.0/8"]), Ok(()));
        assert_eq!(judge("10.1.2.3", &["10.1.2.4"]), Err(Closed::Private));
        assert_eq!(judge("127.0.0.1", &["0.0.0.0/0"]), Ok(()));
        // These two only by themselves.
        assert_eq!(
            judge("169.254.169.254", &["0.0.0.0/0"]),
            Err(Closed::Metadata)
        );
        assert_eq!(judge("169.254.169.254", &["169.254.169.254"]), Ok(()));
        assert_eq!(judge("169.254.1.1", &["0.0.0.0/0"]), Err(Closed::LinkLocal));
        assert_eq!(judge("169.254.1.1", &["169.254.1.1/32"]), Ok(()));
    }

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(
            "10.1.2.3".parse::<PrivateRange>().unwrap().to_string(),
            "10.1.2.3/32"
        );
        for (text, says) in [
            ("10.1.2.3/8", "write `10.0.0.0/8`"),
            ("169.254.0.0/16", "one address at a time"),
            ("fe80::/64", "one address at a time"),
            ("10.1", "no range"),
            ("example.com", "no range"),
        ] {
            let error = text.parse::<PrivateRange>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
