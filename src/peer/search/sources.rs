//! Which links may deliver the metadata of a magnet link. A caller is a remote peer that opened its
//! link to us. The number of links that deliver is limited: for all peers together, for all callers
//! together, and to one per host. The number of links to callers is limited too, whether they
//! deliver or not: for all hosts together, and per host. Peers on this machine differ only by port.
//! So a loopback host may deliver over several links at a time, and its calls are not barred.
//!
//! In scope: counting, and ending all these links at once. Out of scope: the messages on them
//! (`magnet/fetch.rs`).

use crate::base::AddressPrefix;
use crate::system::lock;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The maximum number of links that deliver metadata of one share at a time. It bounds the memory
/// for partial metadata.
const MAX_DELIVERING: usize = 4;
/// The maximum number of callers among those links, so that callers leave room for peers that we
/// call.
const MAX_DELIVERING_CALLERS: usize = 2;
/// The maximum number of links to callers, including those that may turn out to have no metadata.
const MAX_CALLERS: usize = 32;
/// The maximum number of links to callers of one host.
const MAX_CALLERS_PER_HOST: usize = 8;
/// The maximum number of barred hosts that are remembered.
const MAX_BARRED: usize = 1_000;

/// Why a link is not accepted, or may not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SlotRefused {
    #[error("enough other peers deliver the metadata")]
    Busy,
    #[error("the metadata is no longer needed")]
    NotNeeded,
    #[error("its host recently delivered no metadata, or wrong metadata")]
    Barred,
}

/// The links of one magnet search.
#[derive(Debug, Default)]
pub(crate) struct MetadataSources {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next link.
    next_number: u64,
    /// All accepted links, by number.
    links: HashMap<u64, MetadataLink>,
    /// Hosts whose calls are refused, and until when.
    barred: HashMap<IpAddr, Duration>,
    has_ended: bool,
}

#[derive(Debug)]
struct MetadataLink {
    host: IpAddr,
    outgoing: bool,
    /// Whether it may deliver metadata.
    delivers: bool,
    stream: Arc<TcpStream>,
}

/// The place of an accepted link. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct MetadataSlot<'a> {
    sources: &'a MetadataSources,
    number: u64,
}

impl MetadataSources {
    /// Accepts a link, if there is room for it.
    pub(crate) fn enter(
        &self,
        stream: &Arc<TcpStream>,
        address: IpAddr,
        outgoing: bool,
        now: Duration,
    ) -> Result<MetadataSlot<'_>, SlotRefused> {
        let host = AddressPrefix::of(address).ip();
        let mut state = lock(&self.state);
        if state.has_ended {
            return Err(SlotRefused::NotNeeded);
        }
        if !outgoing {
            let barred = state.barred.get(&host).filter(|_| !host.is_loopback());
            if barred.is_some_and(|until| *until > now) {
                return Err(SlotRefused::Barred);
            }
            let callers = || state.links.values().filter(|link| !link.outgoing);
            let of_host = callers().filter(|link| link.host == host).count();
            if callers().count() >= MAX_CALLERS || of_host >= MAX_CALLERS_PER_HOST {
                return Err(SlotRefused::Busy);
            }
        }
        let number = state.next_number;
        state.next_number += 1;
        let link = MetadataLink {
            host,
            outgoing,
            delivers: false,
            stream: Arc::clone(stream),
        };
        state.links.insert(number, link);
        Ok(MetadataSlot {
            sources: self,
            number,
        })
    }

    /// Refuses calls from a host until `until`.
    pub(crate) fn bar(&self, address: IpAddr, now: Duration, until: Duration) {
        let mut state = lock(&self.state);
        state.barred.retain(|_, until| *until > now);
        if state.barred.len() < MAX_BARRED {
            state.barred.insert(AddressPrefix::of(address).ip(), until);
        }
    }

    /// Ends all links, and accepts no more.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.has_ended = true;
        for link in state.links.values() {
            let _ = link.stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether [`MetadataSources::end`] was called.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).has_ended
    }
}

impl MetadataSlot<'_> {
    /// Lets the link deliver metadata from now on, if there is room for it.
    pub(crate) fn begin_delivery(&self) -> Result<(), SlotRefused> {
        let mut state = lock(&self.sources.state);
        if state.has_ended {
            return Err(SlotRefused::NotNeeded);
        }
        let Some(link) = state.links.get(&self.number) else {
            return Err(SlotRefused::NotNeeded);
        };
        let delivering = || state.links.values().filter(|link| link.delivers);
        let by_callers = delivering().filter(|link| !link.outgoing).count();
        let full = delivering().count() >= MAX_DELIVERING
            || !link.outgoing && by_callers >= MAX_DELIVERING_CALLERS
            || !link.host.is_loopback() && delivering().any(|other| other.host == link.host);
        if full {
            return Err(SlotRefused::Busy);
        }
        if let Some(link) = state.links.get_mut(&self.number) {
            link.delivers = true;
        }
        Ok(())
    }

    /// Whether the link was allowed to deliver.
    pub(crate) fn was_allowed_to_deliver(&self) -> bool {
        let state = lock(&self.sources.state);
        let link = state.links.get(&self.number);
        link.is_some_and(|link| link.delivers)
    }
}

impl Drop for MetadataSlot<'_> {
    fn drop(&mut self) {
        lock(&self.sources.state).links.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    fn pair() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arc::new(ours), listener.accept().unwrap().0)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_host_delivers_over_one_link_at_a_time_and_callers_leave_room_for_peers_that_we_call() {
        let (stream, _other) = pair();
        let sources = MetadataSources::default();
        let enter = |address, outgoing| sources.enter(&stream, ip(address), outgoing, NOW).unwrap();
        let of_one_host = ["192.0.2.1"; 4].map(|address| enter(address, false));
        assert_eq!(of_one_host[0].begin_delivery(), Ok(()));
        assert!(of_one_host[0].was_allowed_to_deliver());
        assert!(!of_one_host[1].was_allowed_to_deliver());
        for link in &of_one_host[1..] {
            assert_eq!(link.begin_delivery(), Err(SlotRefused::Busy));
        }
        let (second, third) = (enter("192.0.2.2", false), enter("192.0.2.3", false));
        assert_eq!(
            (second.begin_delivery(), third.begin_delivery()),
            (Ok(()), Err(SlotRefused::Busy))
        );
        let called = ["192.0.2.4", "2001:db8::1", "2001:db8::2", "192.0.2.5"];
        let called = called.map(|address| enter(address, true));
        let begun = called.each_ref().map(MetadataSlot::begin_delivery);
        assert_eq!(
            begun,
            [
                Ok(()),
                Ok(()),
                Err(SlotRefused::Busy),
                Err(SlotRefused::Busy)
            ]
        );
        drop(of_one_host);
        assert_eq!(third.begin_delivery(), Ok(()), "there is room again");
        assert_eq!(called[3].begin_delivery(), Err(SlotRefused::Busy));
    }

    #[test]
    fn callers_are_limited_and_barred_hosts_are_refused() {
        let (stream, _other) = pair();
        let sources = MetadataSources::default();
        let enter = |address: IpAddr, now| sources.enter(&stream, address, false, now);
        let one: Vec<_> = (0..MAX_CALLERS_PER_HOST)
            .map(|_| enter(ip("192.0.2.1"), NOW).unwrap())
            .collect();
        assert_eq!(enter(ip("192.0.2.1"), NOW).unwrap_err(), SlotRefused::Busy);
        let others: Vec<_> = (one.len()..MAX_CALLERS)
            .map(|number| enter(IpAddr::from([10, 0, 0, number as u8]), NOW).unwrap())
            .collect();
        assert_eq!(enter(ip("192.0.2.2"), NOW).unwrap_err(), SlotRefused::Busy);
        assert!(sources.enter(&stream, ip("192.0.2.1"), true, NOW).is_ok());
        drop((one, others));
        for (liar, same) in [
            ("192.0.2.9", "::ffff:192.0.2.9"),
            ("2001:db8::1", "2001:db8::2"),
        ] {
            sources.bar(ip(liar), NOW, NOW * 2);
            assert_eq!(enter(ip(same), NOW).unwrap_err(), SlotRefused::Barred);
            assert!(enter(ip(same), NOW * 2).is_ok());
        }
        sources.bar(ip("127.0.0.1"), NOW, NOW * 2);
        assert!(enter(ip("127.0.0.1"), NOW).is_ok());
    }

    #[test]
    fn the_number_of_barred_hosts_is_bounded() {
        let sources = MetadataSources::default();
        for number in 0..2 * MAX_BARRED as u32 {
            let host = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            sources.bar(host, NOW, NOW * 2);
        }
        assert_eq!(lock(&sources.state).barred.len(), MAX_BARRED);
        sources.bar(ip("192.0.2.1"), NOW * 2, NOW * 3);
        assert_eq!(lock(&sources.state).barred.len(), 1, "bars end");
    }

    #[test]
    fn the_end_closes_all_links_and_no_other_is_accepted() {
        let ((stream, mut other), sources) = (pair(), MetadataSources::default());
        let link = sources.enter(&stream, ip("192.0.2.1"), true, NOW).unwrap();
        sources.end();
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        assert_eq!(link.begin_delivery(), Err(SlotRefused::NotNeeded));
        let late = sources.enter(&stream, ip("192.0.2.2"), true, NOW);
        assert_eq!(late.unwrap_err(), SlotRefused::NotNeeded);
    }
}
