//! The private addresses of this machine, which its announces to groups carry.

use crate::wire::access::PrivateAddresses;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use std::net::IpAddr;

/// The private addresses at which a peer is reached that listens on `listens_on`: those of the
/// interfaces that are up, in the order of the kernel, which has interfaces of hardware before
/// those of containers. None if the system does not list its interfaces.
pub(super) fn private_addresses(listens_on: IpAddr) -> PrivateAddresses {
    if !listens_on.is_unspecified() {
        return PrivateAddresses::choose([listens_on]);
    }
    let interfaces = match getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(errno) => {
            log::debug!("the addresses of the interfaces are unknown: {errno}");
            return PrivateAddresses::default();
        }
    };
    let up = interfaces.filter(|it| it.flags.contains(InterfaceFlags::IFF_UP));
    let addresses = up.filter_map(|interface| to_ip(interface.address?));
    // A peer that listens on `::` is reached over IPv4 too.
    PrivateAddresses::choose(addresses.filter(|ip| listens_on.is_ipv6() || ip.is_ipv4()))
}

fn to_ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_listens_at_one_address_announces_no_other() {
        for (listens_on, expected) in [("10.1.2.3", "10.1.2.3"), ("127.0.0.1", ""), ("8.8.8.8", "")]
        {
            let private = private_addresses(listens_on.parse().unwrap());
            let private: Vec<_> = private.iter().map(|ip| ip.to_string()).collect();
            assert_eq!(private.join(" "), expected);
        }
    }

    #[test]
    fn a_peer_that_listens_at_all_addresses_announces_none_that_its_family_does_not_have() {
        let private = private_addresses("0.0.0.0".parse().unwrap());
        assert!(private.iter().all(|ip| ip.is_ipv4()));
    }
}
