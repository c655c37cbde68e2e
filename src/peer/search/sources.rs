//! Which lines may deliver the metadata of a magnet link: how many in all, how many of one host, how
//! many of those who call. Peers of this machine differ by their ports alone: as one host they count
//! in nothing but the number of callers.
//!
//! In scope: the counting, and the end of all such lines at once. Out of scope: what goes over them (`magnet/fetch.rs`).

use crate::base::AddressPrefix;
use crate::system::lock;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many lines may give metadata of one share at a time: what is kept of them is bounded so. One host has one of them.
const MOST_FETCHING: usize = 4;
/// How many of those may be lines that others opened: strangers who call leave room for whom we call.
const MOST_BY_CALLERS: usize = 2;
/// How many lines that others opened may stand, in all and of one host, until it is known what they have.
const MOST_CALLERS: usize = 32;
const MOST_CALLERS_OF_ONE: usize = 8;
/// How many hosts are remembered as barred.
const MOST_BARRED: usize = 1_000;

/// Why a line is not let in, or may not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Turned {
    #[error("others give metadata already")]
    Busy,
    #[error("the metadata is not needed any more")]
    NotNeeded,
    #[error("its host gave nothing, or other metadata, a while ago")]
    Barred,
}

/// The lines of one magnet link.
#[derive(Debug, Default)]
pub(crate) struct MetadataSources {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    lines: HashMap<u64, Line>,
    /// Hosts whose calls are not taken, and until when.
    barred: HashMap<IpAddr, Duration>,
    over: bool,
}

#[derive(Debug)]
struct Line {
    host: IpAddr,
    outgoing: bool,
    gives: bool,
    stream: Arc<TcpStream>,
}

/// A line that was let in, until it is dropped.
#[derive(Debug)]
pub(crate) struct MetadataSlot<'a> {
    sources: &'a MetadataSources,
    number: u64,
}

impl MetadataSources {
    /// Lets a line in, if there is room for it.
    pub(crate) fn enter(
        &self,
        stream: &Arc<TcpStream>,
        address: IpAddr,
        outgoing: bool,
        now: Duration,
    ) -> Result<MetadataSlot<'_>, Turned> {
        let host = AddressPrefix::of(address).ip();
        let mut state = lock(&self.state);
        if state.over {
            return Err(Turned::NotNeeded);
        }
        if !outgoing {
            let barred = state.barred.get(&host).filter(|_| !host.is_loopback());
            if barred.is_some_and(|until| *until > now) {
                return Err(Turned::Barred);
            }
            let callers = || state.lines.values().filter(|line| !line.outgoing);
            let of_one = callers().filter(|line| line.host == host).count();
            if callers().count() >= MOST_CALLERS || of_one >= MOST_CALLERS_OF_ONE {
                return Err(Turned::Busy);
            }
        }
        let number = state.next;
        state.next += 1;
        let line = Line {
            host,
            outgoing,
            gives: false,
            stream: Arc::clone(stream),
        };
        state.lines.insert(number, line);
        Ok(MetadataSlot {
            sources: self,
            number,
        })
    }

    /// Takes no calls of that host until then.
    pub(crate) fn bar(&self, address: IpAddr, now: Duration, until: Duration) {
        let mut state = lock(&self.state);
        state.barred.retain(|_, until| *until > now);
        if state.barred.len() < MOST_BARRED {
            state.barred.insert(AddressPrefix::of(address).ip(), until);
        }
    }

    /// Ends all lines; no further one is let in.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.over = true;
        for line in state.lines.values() {
            let _ = line.stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether the lines were ended.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).over
    }
}

impl MetadataSlot<'_> {
    /// Lets it give from now on, if there is room for it.
    pub(crate) fn begin(&self) -> Result<(), Turned> {
        let mut state = lock(&self.sources.state);
        if state.over {
            return Err(Turned::NotNeeded);
        }
        let Some(line) = state.lines.get(&self.number) else {
            return Err(Turned::NotNeeded);
        };
        let giving = || state.lines.values().filter(|line| line.gives);
        let by_callers = giving().filter(|line| !line.outgoing).count();
        let full = giving().count() >= MOST_FETCHING
            || !line.outgoing && by_callers >= MOST_BY_CALLERS
            || !line.host.is_loopback() && giving().any(|other| other.host == line.host);
        if full {
            return Err(Turned::Busy);
        }
        if let Some(line) = state.lines.get_mut(&self.number) {
            line.gives = true;
        }
        Ok(())
    }

    /// Whether it was let give.
    pub(crate) fn has_begun(&self) -> bool {
        let state = lock(&self.sources.state);
        let line = state.lines.get(&self.number);
        line.is_some_and(|line| line.gives)
    }
}

impl Drop for MetadataSlot<'_> {
    fn drop(&mut self) {
        lock(&self.sources.state).lines.remove(&self.number);
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
    fn one_host_gives_once_and_callers_leave_room_for_whom_we_call() {
        let (stream, _other) = pair();
        let sources = MetadataSources::default();
        let enter = |address, outgoing| sources.enter(&stream, ip(address), outgoing, NOW).unwrap();
        let stranger = ["192.0.2.1"; 4].map(|address| enter(address, false));
        assert_eq!(stranger[0].begin(), Ok(()));
        assert!(stranger[0].has_begun() && !stranger[1].has_begun());
        for line in &stranger[1..] {
            assert_eq!(line.begin(), Err(Turned::Busy));
        }
        let (second, third) = (enter("192.0.2.2", false), enter("192.0.2.3", false));
        assert_eq!((second.begin(), third.begin()), (Ok(()), Err(Turned::Busy)));
        let called = ["192.0.2.4", "2001:db8::1", "2001:db8::2", "192.0.2.5"];
        let called = called.map(|address| enter(address, true));
        let begun = called.each_ref().map(MetadataSlot::begin);
        assert_eq!(
            begun,
            [Ok(()), Ok(()), Err(Turned::Busy), Err(Turned::Busy)]
        );
        drop(stranger);
        assert_eq!(third.begin(), Ok(()), "a place that was given back");
        assert_eq!(called[3].begin(), Err(Turned::Busy));
    }

    #[test]
    fn callers_are_bounded_and_whoever_was_barred_is_not_taken() {
        let (stream, _other) = pair();
        let sources = MetadataSources::default();
        let enter = |address: IpAddr, now| sources.enter(&stream, address, false, now);
        let one: Vec<_> = (0..MOST_CALLERS_OF_ONE)
            .map(|_| enter(ip("192.0.2.1"), NOW).unwrap())
            .collect();
        assert_eq!(enter(ip("192.0.2.1"), NOW).unwrap_err(), Turned::Busy);
        let others: Vec<_> = (one.len()..MOST_CALLERS)
            .map(|number| enter(IpAddr::from([10, 0, 0, number as u8]), NOW).unwrap())
            .collect();
        assert_eq!(enter(ip("192.0.2.2"), NOW).unwrap_err(), Turned::Busy);
        assert!(sources.enter(&stream, ip("192.0.2.1"), true, NOW).is_ok());
        drop((one, others));
        for (liar, same) in [
            ("192.0.2.9", "::ffff:192.0.2.9"),
            ("2001:db8::1", "2001:db8::2"),
        ] {
            sources.bar(ip(liar), NOW, NOW * 2);
            assert_eq!(enter(ip(same), NOW).unwrap_err(), Turned::Barred);
            assert!(enter(ip(same), NOW * 2).is_ok());
        }
        sources.bar(ip("127.0.0.1"), NOW, NOW * 2);
        assert!(enter(ip("127.0.0.1"), NOW).is_ok());
    }

    #[test]
    fn at_the_end_all_lines_are_ended_and_no_other_is_let_in() {
        let ((stream, mut other), sources) = (pair(), MetadataSources::default());
        let line = sources.enter(&stream, ip("192.0.2.1"), true, NOW).unwrap();
        sources.end();
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        assert_eq!(line.begin(), Err(Turned::NotNeeded));
        let late = sources.enter(&stream, ip("192.0.2.2"), true, NOW);
        assert_eq!(late.unwrap_err(), Turned::NotNeeded);
    }
}
