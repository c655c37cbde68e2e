//! The local address from which announces are sent, and the families (IPv4, IPv6) over which they
//! are sent.
//!
//! Trackers record the address that an announce comes from. So it should be an address on which the
//! peer listens. If `--listen` names a single address, announces are sent from this address, unless
//! the tracker cannot be reached from it. Otherwise the system chooses the address. A peer that
//! listens in both families announces over both, if the tracker has addresses of both (BEP 7).
//!
//! In scope: the choice, and merging two answers. Out of scope: sockets (`http`, `udp`).

use crate::wire::udp_tracker::AddressFamily;
use crate::wire::{AnnounceResponse, Refusal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address that the peer listens on, in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnnounceSource {
    listen: IpAddr,
}

/// Why an announce failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnnounceFailure {
    /// The tracker has no address in this family.
    #[error("{0}")]
    NoAddress(String),
    /// No answer arrived.
    #[error("{0}")]
    NoAnswer(String),
    /// The tracker refused, or its answer is of no use.
    #[error("{0}")]
    Refused(Refusal),
    /// No other address of the tracker in this family is worth an attempt now, for one of three
    /// reasons:
    /// - This peer is stopping.
    /// - The request cannot be made at all: for example, the URL is of an unknown kind.
    /// - The HTTP server reports an error of its own (status 5xx) with neither a reason nor a time
    ///   for the next request. It may be a proxy in front of the tracker.
    #[error("{0}")]
    Final(String),
}

impl AnnounceFailure {
    /// Whether the other addresses of the tracker in this family are not worth an attempt. A peer
    /// that can be reached in both families still announces over the other family.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Final(_))
    }

    /// The failure for an answer that is of no use: a refusal that does not say when to ask again.
    pub(super) fn useless(reason: String) -> Self {
        let retry = None;
        Self::Refused(Refusal { reason, retry })
    }
}

impl AnnounceSource {
    /// The source of a peer that listens on `listen`.
    pub(super) fn new(listen: IpAddr) -> Self {
        Self {
            listen: listen.to_canonical(),
        }
    }

    /// Whether the peer listens on a single address.
    pub(super) fn is_single(self) -> bool {
        !self.listen.is_unspecified()
    }

    /// The local address for a connection to `tracker`; unspecified where the system chooses it.
    pub(super) fn address_for(self, tracker: IpAddr) -> IpAddr {
        let tracker = tracker.to_canonical();
        // Other machines cannot be reached from a loopback address, nor from a link-local address
        // without its interface.
        let is_link_local =
            matches!(self.listen, IpAddr::V6(listen) if listen.is_unicast_link_local());
        let reaches_tracker = !self.listen.is_loopback() || tracker.is_loopback();
        let is_same_family = AddressFamily::of(self.listen) == AddressFamily::of(tracker);
        if is_same_family && reaches_tracker && !is_link_local {
            return self.listen;
        }
        match tracker {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Announces over each family in which the peer can be reached. If this brings neither an
    /// answer nor a final failure, the peer announces over the remaining family too, so that it at
    /// least receives the addresses of other peers. If there are two answers, their peers are
    /// merged; all other values are taken from the first answer.
    ///
    /// # Errors
    /// The most informative failure, if no answer arrived.
    pub(super) fn announce(
        self,
        mut over: impl FnMut(AddressFamily) -> Result<AnnounceResponse, AnnounceFailure>,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        // Each family, and whether the peer can be reached in it.
        let families = match self.listen {
            IpAddr::V4(_) => [(AddressFamily::V4, true), (AddressFamily::V6, false)],
            // A socket on all IPv6 addresses usually also accepts IPv4.
            IpAddr::V6(listen) if listen.is_unspecified() => {
                [(AddressFamily::V4, true), (AddressFamily::V6, true)]
            }
            IpAddr::V6(_) => [(AddressFamily::V6, true), (AddressFamily::V4, false)],
        };
        let mut answer: Option<AnnounceResponse> = None;
        let mut failures: Vec<AnnounceFailure> = Vec::new();
        for (family, is_reachable) in families {
            let settled = answer.is_some() || failures.iter().any(|failure| failure.is_final());
            if settled && !is_reachable {
                break;
            }
            match (over(family), &mut answer) {
                (Ok(more), Some(answer)) => {
                    answer.peers.extend(more.peers);
                    answer.named_peers.extend(more.named_peers);
                }
                (Ok(first), None) => answer = Some(first),
                (Err(failure), _) => failures.push(failure),
            }
        }
        // The most informative failure comes first.
        let rank = |failure: &AnnounceFailure| match failure {
            AnnounceFailure::Final(_) | AnnounceFailure::Refused(_) => 0,
            AnnounceFailure::NoAnswer(_) => 1,
            AnnounceFailure::NoAddress(_) => 2,
        };
        answer.ok_or_else(|| {
            let failure = failures.into_iter().min_by_key(rank);
            failure.unwrap_or_else(|| AnnounceFailure::NoAddress(String::new()))
        })
    }
}

/// The address in canonical form: an IPv4-mapped IPv6 address becomes IPv4.
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
    use AnnounceFailure::{NoAddress, NoAnswer};
    use std::time::Duration;

    fn source(listen: &str) -> AnnounceSource {
        AnnounceSource::new(listen.parse().unwrap())
    }

    #[test]
    fn an_announce_leaves_from_the_listening_address_if_the_tracker_can_be_reached_from_it() {
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
            let chosen = source(listen).address_for(tracker.parse().unwrap());
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
            named_peers: Vec::new(),
            external_ip: None,
            pieceful: false,
            tracker_id: None,
            warning: None,
        }
    }

    /// The families that were tried, in order, and the ports of the returned peers or the error.
    fn announced(
        listen: &str,
        v4: Result<u16, AnnounceFailure>,
        v6: Result<u16, AnnounceFailure>,
    ) -> (Vec<AddressFamily>, Result<Vec<u16>, String>) {
        let mut tried = Vec::new();
        let result = source(listen).announce(|family| {
            tried.push(family);
            let answered = if family == AddressFamily::V4 {
                &v4
            } else {
                &v6
            };
            answered.clone().map(answer)
        });
        let ports = |response: AnnounceResponse| {
            assert_eq!(
                response.interval.as_secs(),
                u64::from(response.peers[0].address.port())
            );
            let peers = response.peers.iter();
            peers.map(|peer| peer.address.port()).collect()
        };
        (
            tried,
            result.map(ports).map_err(|failure| failure.to_string()),
        )
    }

    #[test]
    fn announces_use_all_families_in_which_the_peer_listens_and_others_only_if_these_fail() {
        let (v4, v6) = (AddressFamily::V4, AddressFamily::V6);
        let none = || Err(NoAddress("none".to_owned()));
        let silent = || Err(NoAnswer("silent".to_owned()));
        let refused = || {
            Err(AnnounceFailure::Refused(Refusal {
                reason: "refused".to_owned(),
                retry: None,
            }))
        };
        let error = |reason: &str| Err(reason.to_owned());
        for (listen, over_v4, over_v6, tried, expected) in [
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
            assert_eq!(
                announced(listen, over_v4, over_v6),
                (tried, expected),
                "{case}"
            );
        }
    }
}
