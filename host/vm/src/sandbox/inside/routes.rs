//! What a machine with the network `public` can send, and to whom: the gateway and the
//! resolver, and through the gateway everything that is public.
//!
//! Two walls. Routes refuse private and special networks and the host's own addresses. And
//! as a socket that is bound to the device by name is sent on even where a route refuses
//! (`ip_route_output_key_hash_rcu` takes the destination for a neighbour then), nobody is
//! looked for on the link: there are two neighbours, noted down by hand. A machine's root
//! has no rights over its network, and can undo neither.

use std::fs;
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, socket};

/// The machine's only device beside loopback.
pub(super) const DEVICE: &str = "tap0";
/// The carrier's side of the link.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Where the carrier answers as the host's resolver would.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The link's network, of which a machine gets the two above only.
const LINK: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 0, 2, 0), 24);

/// Networks that are not public: private (RFC 1918), shared (6598), link-local with the
/// metadata services of clouds (3927), special (6890), multicast and reserved; and the one
/// public address that a cloud has given to such a service.
const REFUSED: [(Ipv4Addr, u32); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// Flags of an entry in the table of neighbours (`linux/if_arp.h`): complete, and for good.
const ATF_COM: libc::c_int = 0x02;
const ATF_PERM: libc::c_int = 0x04;

/// Tells whether the carrier has set up its last thing, the default route.
pub(super) fn is_connected() -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/net/route") else {
        return false;
    };
    table.lines().any(|line| {
        let mut fields = line.split_whitespace();
        fields.next() == Some(DEVICE) && fields.next() == Some("00000000")
    })
}

/// Closes every way but those above. `host` are the host's own addresses.
pub(super) fn confine(host: &[Ipv4Addr]) -> io::Result<()> {
    let set = |path: &str, value: &str| fs::write(format!("/proc/sys/net/{path}"), value);
    // No address but the one, and none that come by themselves.
    let _ = set(&format!("ipv6/conf/{DEVICE}/disable_ipv6"), "1");
    set(&format!("ipv4/neigh/{DEVICE}/app_solicit"), "0")?;
    set(&format!("ipv4/neigh/{DEVICE}/ucast_solicit"), "0")?;
    set(&format!("ipv4/neigh/{DEVICE}/mcast_solicit"), "0")?;
    let control = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    for neighbour in [GATEWAY, RESOLVER] {
        note_neighbour(&control, neighbour)?;
        route(&control, libc::SIOCADDRT, neighbour, 32, Some(DEVICE))?;
    }
    route(&control, libc::SIOCDELRT, LINK.0, LINK.1, Some(DEVICE))?;
    for (network, bits) in REFUSED {
        route(&control, libc::SIOCADDRT, network, bits, None)?;
    }
    for address in host {
        match route(&control, libc::SIOCADDRT, *address, 32, None) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the IPv4 addresses of this process's network, without loopback's.
pub(super) fn own_addresses() -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the list is the library's until it is freed below; every pointer in it is
    // checked, and an address of family INET is a `sockaddr_in`.
    unsafe {
        if libc::getifaddrs(&raw mut list) != 0 {
            return found;
        }
        let mut next = list;
        while let Some(entry) = next.as_ref() {
            if let Some(address) = entry.ifa_addr.as_ref()
                && i32::from(address.sa_family) == libc::AF_INET
            {
                let address = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                found.push(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)));
            }
            next = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    found.retain(|address| !address.is_loopback());
    found
}

fn address(of: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: both are plain data of the same size, and zeroes are valid.
    unsafe {
        let mut inet: libc::sockaddr_in = mem::zeroed();
        inet.sin_family = libc::AF_INET as libc::sa_family_t;
        inet.sin_addr.s_addr = u32::from(of).to_be();
        mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet)
    }
}

/// Adds or removes a route: over a device, or to nowhere.
fn route(
    control: &OwnedFd,
    request: libc::c_ulong,
    network: Ipv4Addr,
    bits: u32,
    device: Option<&str>,
) -> io::Result<()> {
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
    let mut name = device.map(|device| format!("{device}\0").into_bytes());
    // SAFETY: zeroes are valid, and mean "not given".
    let mut entry: libc::rtentry = unsafe { mem::zeroed() };
    entry.rt_dst = address(network);
    entry.rt_genmask = address(mask);
    entry.rt_flags = libc::RTF_UP;
    if bits == 32 {
        entry.rt_flags |= libc::RTF_HOST;
    }
    match &mut name {
        Some(name) => entry.rt_dev = name.as_mut_ptr().cast(),
        None => entry.rt_flags |= libc::RTF_REJECT,
    }
    // SAFETY: the request and the name that it points to outlive the call.
    match unsafe { libc::ioctl(control.as_raw_fd(), request, &raw const entry) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Notes a neighbour down for good. Carriers look at addresses of packets only, so that
/// the one by which slirp answers does for both.
fn note_neighbour(control: &OwnedFd, neighbour: Ipv4Addr) -> io::Result<()> {
    // SAFETY: zeroes are valid.
    let mut entry: libc::arpreq = unsafe { mem::zeroed() };
    entry.arp_pa = address(neighbour);
    entry.arp_flags = ATF_PERM | ATF_COM;
    entry.arp_ha.sa_family = libc::ARPHRD_ETHER;
    let hardware = [[0x52, 0x55].as_slice(), &neighbour.octets()].concat();
    for (to, from) in entry.arp_ha.sa_data.iter_mut().zip(hardware) {
        *to = from as libc::c_char;
    }
    for (to, from) in entry.arp_dev.iter_mut().zip(DEVICE.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the request is complete and outlives the call.
    match unsafe { libc::ioctl(control.as_raw_fd(), libc::SIOCSARP, &raw const entry) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
