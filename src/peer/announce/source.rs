//! Where announces leave from. What a tracker writes down is the address that an announce comes
//! from, so it should be one at which this peer listens: the address of `--listen` where that is a
//! single one, and the family of addresses in any case. One that listens in both families announces
//! over both, as far as the tracker has addresses of both (BEP 7).
//!
//! In scope: the choice, and what becomes of two answers. Sockets are `http` and `udp`'s matter.

use crate::wire::AnnounceResponse;
use crate::wire::udp_tracker::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the peer listens, as far as it matters for announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    listen: IpAddr,
}

/// Why an announce over one family brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The tracker has no address in it.
    NoAddress(String),
    /// Nobody answered.
    Unheard(String),
    /// The tracker has spoken, or the peer ends: there is nothing else to try.
    Final(String),
}

impl Failure {
    fn reason(self) -> String {
        match self {
            Self::NoAddress(reason) | Self::Unheard(reason) | Self::Final(reason) => reason,
        }
    }
}

impl Source {
    /// A peer that listens there.
    pub(super) fn new(listen: IpAddr) -> Self {
        Self {
            listen: listen.to_canonical(),
        }
    }

    /// Whether it listens at one address alone.
    pub(super) fn is_single(self) -> bool {
        !self.listen.is_unspecified()
    }

    /// The address to call `tracker` from; unspecified where the system is to choose it.
    pub(super) fn towards(self, tracker: IpAddr) -> IpAddr {
        let tracker = tracker.to_canonical();
        // Nobody elsewhere can be called from this machine's own addresses, or from a link's
        // without naming the link.
        let is_bound_to_link =
            matches!(self.listen, IpAddr::V6(listen) if listen.is_unicast_link_local());
        let leads_there = !self.listen.is_loopback() || tracker.is_loopback();
        let same = Family::of(self.listen) == Family::of(tracker);
        if same && leads_there && !is_bound_to_link {
            return self.listen;
        }
        match tracker {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Announces over each family in which the peer can be reached; over the other one only where
    /// none of these answers, as that at least names others. The peers of two answers are all of
    /// them; for the rest the first counts.
    ///
    /// # Errors
    /// The reason that says most where no answer came.
    pub(super) fn announce(
        self,
        mut over: impl FnMut(Family) -> Result<AnnounceResponse, Failure>,
    ) -> Result<AnnounceResponse, String> {
        // Each with whether it is its own.
        let families = match self.listen {
            IpAddr::V4(_) => [(Family::V4, true), (Family::V6, false)],
            // As systems have it, a socket at all addresses of IPv6 takes calls over IPv4 too.
            IpAddr::V6(listen) if listen.is_unspecified() => {
                [(Family::V4, true), (Family::V6, true)]
            }
            IpAddr::V6(_) => [(Family::V6, true), (Family::V4, false)],
        };
        let mut told: Option<AnnounceResponse> = None;
        let mut failures = Vec::new();
        for (family, is_own) in families {
            let settled =
                told.is_some() || failures.iter().any(|it| matches!(it, Failure::Final(_)));
            if settled && !is_own {
                break;
            }
            match (over(family), &mut told) {
                (Ok(more), Some(told)) => told.peers.extend(more.peers),
                (Ok(first), None) => told = Some(first),
                (Err(failure), _) => failures.push(failure),
            }
        }
        let says_most = |failure: &Failure| match failure {
            Failure::Final(_) => 0,
            Failure::Unheard(_) => 1,
            Failure::NoAddress(_) => 2,
        };
        told.ok_or_else(|| {
            let failure = failures.into_iter().min_by_key(says_most);
            failure.map(Failure::reason).unwrap_or_default()
        })
    }
}

/// The same address, in its own family where it is one of IPv4 in the form of IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SwarmPeer;
    use Failure::{Final, NoAddress, Unheard};
    use std::time::Duration;

    fn source(listen: &str) -> Source {
        Source::new(listen.parse().unwrap())
    }

    #[test]
    fn an_announce_leaves_from_where_the_peer_listens_if_the_way_leads_there() {
        for (listen, tracker, from) in [
            ("0.0.0.0", "192.0.2.1", "0.0.0.0"),
            ("0.0.0.0", "2001:db8::1", "::"),
            ("::", "192.0.2.1", "0.0.0.0"),
            ("::", "2001:db8::1", "::"),
            ("10.0.0.5", "192.0.2.1", "10.0.0.5"),
            ("10.0.0.5", "127.0.0.1", "10.0.0.5"),
            ("10.0.0.5", "::ffff:192.0.2.1", "10.0.0.5"),
            ("::ffff:10.0.0.5", "192.0.2.1", "10.0.0.5"),
            ("10.0.0.5", "2001:db8::1", "::"),
            ("2001:db8::5", "2001:db8::1", "2001:db8::5"),
            ("2001:db8::5", "192.0.2.1", "0.0.0.0"),
            ("127.0.0.2", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.2", "192.0.2.1", "0.0.0.0"),
            ("::1", "::1", "::1"),
            ("::1", "2001:db8::1", "::"),
            ("fe80::5", "fe80::1", "::"),
        ] {
            let from: IpAddr = from.parse().unwrap();
            let chosen = source(listen).towards(tracker.parse().unwrap());
            assert_eq!(chosen, from, "{listen} to {tracker}");
        }
        assert!(source("127.0.0.1").is_single());
        assert!(!source("::").is_single() && !source("::ffff:0.0.0.0").is_single());
    }

    fn answer(port: u16) -> AnnounceResponse {
        AnnounceResponse {
            interval: Duration::from_secs(port.into()),
            min_interval: None,
            complete: None,
            incomplete: None,
            peers: vec![SwarmPeer {
                address: ([10, 0, 0, 1], port).into(),
                id: None,
            }],
            external_ip: None,
            pieceful: false,
            tracker_id: None,
            warning: None,
        }
    }

    /// Which families were tried, in order, and the ports of the peers or the reason why there are
    /// none.
    fn announced(
        listen: &str,
        v4: Result<u16, Failure>,
        v6: Result<u16, Failure>,
    ) -> (Vec<Family>, Result<Vec<u16>, String>) {
        let mut tried = Vec::new();
        let told = source(listen).announce(|family| {
            tried.push(family);
            let told = if family == Family::V4 { &v4 } else { &v6 };
            told.clone().map(answer)
        });
        let ports = |told: AnnounceResponse| {
            assert_eq!(
                told.interval.as_secs(),
                u64::from(told.peers[0].address.port())
            );
            let peers = told.peers.iter();
            peers.map(|peer| peer.address.port()).collect()
        };
        (tried, told.map(ports))
    }

    #[test]
    fn it_is_announced_over_all_families_in_which_the_peer_listens_and_over_no_other_without_need()
    {
        let (v4, v6) = (Family::V4, Family::V6);
        let none = || Err(NoAddress("none".to_owned()));
        let silent = || Err(Unheard("silent".to_owned()));
        let refused = || Err(Final("refused".to_owned()));
        let error = |reason: &str| Err(reason.to_owned());
        for (listen, over_v4, over_v6, tried, told) in [
            ("0.0.0.0", Ok(4), Ok(6), vec![v4], Ok(vec![4])),
            ("10.0.0.5", Ok(4), Ok(6), vec![v4], Ok(vec![4])),
            ("0.0.0.0", none(), Ok(6), vec![v4, v6], Ok(vec![6])),
            ("0.0.0.0", silent(), Ok(6), vec![v4, v6], Ok(vec![6])),
            ("0.0.0.0", refused(), Ok(6), vec![v4], error("refused")),
            ("0.0.0.0", silent(), none(), vec![v4, v6], error("silent")),
            ("0.0.0.0", none(), silent(), vec![v4, v6], error("silent")),
            ("0.0.0.0", none(), none(), vec![v4, v6], error("none")),
            ("::1", Ok(4), Ok(6), vec![v6], Ok(vec![6])),
            ("::1", Ok(4), none(), vec![v6, v4], Ok(vec![4])),
            ("::", Ok(4), Ok(6), vec![v4, v6], Ok(vec![4, 6])),
            ("::", Ok(4), none(), vec![v4, v6], Ok(vec![4])),
            ("::", refused(), Ok(6), vec![v4, v6], Ok(vec![6])),
            ("::", silent(), refused(), vec![v4, v6], error("refused")),
        ] {
            let case = format!("{listen} {over_v4:?} {over_v6:?}");
            assert_eq!(announced(listen, over_v4, over_v6), (tried, told), "{case}");
        }
    }
}
