//! Peers whose host names come from a person, a magnet link or a tracker. The host names are looked
//! up in the background, because that may take long.

use super::Announced;
use crate::wire::HostPort;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The maximum number of addresses used per host name.
const MAX_ADDRESSES: usize = 4;

/// Adds peers, written as `HOST:PORT`, to a swarm, which calls them.
pub(crate) fn call(swarm: Arc<dyn Announced>, peers: &[String]) {
    let literal = peers.iter().filter_map(|peer| peer.parse().ok());
    let literal: Vec<SocketAddr> = literal.collect();
    if literal.len() == peers.len() {
        if !literal.is_empty() {
            swarm.add_peers(literal);
        }
        return;
    }
    look_up(swarm, peers.to_vec(), ());
}

/// Looks up the host names that trackers return, one answer at a time. So a tracker cannot make
/// this peer start many threads. The names in answers that arrive during a look-up are skipped:
/// later answers repeat them.
#[derive(Debug, Default)]
pub(super) struct NamedPeerLookUp {
    is_running: Arc<AtomicBool>,
}

impl NamedPeerLookUp {
    /// Adds the peers to a swarm, which calls them. Does nothing while a look-up is running.
    pub(super) fn call(&self, swarm: Arc<dyn Announced>, peers: &[HostPort]) {
        if peers.is_empty() || self.is_running.swap(true, Ordering::Relaxed) {
            return;
        }
        let running = Running(Arc::clone(&self.is_running));
        let peers = peers.iter().map(HostPort::to_string).collect();
        look_up(swarm, peers, running);
    }
}

/// A look-up of the names in one answer. It counts as running until this value is dropped, which
/// also happens if no thread can be started or the thread panics.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Looks up names on another thread, and adds the peers. Drops `running` at the end.
fn look_up(swarm: Arc<dyn Announced>, peers: Vec<String>, running: impl Send + 'static) {
    let swarm_of_thread = Arc::clone(&swarm);
    // Not joined: a look-up may take long, and nothing is lost if the process ends before it.
    let thread = std::thread::Builder::new().name("look-up".to_owned());
    let spawned = thread.spawn(move || {
        let _running = running;
        for peer in peers {
            match peer.to_socket_addrs() {
                Ok(addresses) => swarm_of_thread.add_peers(addresses.take(MAX_ADDRESSES).collect()),
                Err(error) => log::info!("{}: {peer}: {error}", swarm_of_thread.name()),
            }
        }
    });
    if let Err(error) = spawned {
        log::warn!("{}: peers are not called: {error}", swarm.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::announce::TierPolicy;
    use crate::peer::announce::announced::AnnounceContents;
    use crate::torrent::InfoHash;
    use crate::wire::AnnounceEvent;
    use std::sync::mpsc::{Sender, channel};
    use std::time::{Duration, Instant};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A swarm whose `add_peers` reports the call to the test and then panics.
    #[derive(Debug)]
    struct Panicking(Sender<()>);

    impl Announced for Panicking {
        fn info_hash(&self) -> InfoHash {
            InfoHash([1; 20])
        }

        fn name(&self) -> &str {
            "panicking"
        }

        fn tiers(&self) -> Vec<Vec<String>> {
            Vec::new()
        }

        fn tier_policy(&self) -> TierPolicy {
            unreachable!()
        }

        fn contents(&self, _: Option<AnnounceEvent>) -> AnnounceContents {
            unreachable!()
        }

        fn lacks_peers(&self) -> bool {
            false
        }

        fn is_starved(&self, _: Duration) -> bool {
            false
        }

        fn add_peers(&self, _: Vec<SocketAddr>) {
            self.0.send(()).unwrap();
            panic!("as the test wants");
        }

        fn give_up_peers(&self, _: &str) {}
    }

    #[test]
    fn after_a_look_up_that_panics_the_next_one_runs() {
        let (sender, added) = channel();
        let swarm: Arc<dyn Announced> = Arc::new(Panicking(sender));
        let look_up = NamedPeerLookUp::default();
        for _ in 0..2 {
            look_up.call(Arc::clone(&swarm), &["127.0.0.1:1".parse().unwrap()]);
            added.recv_timeout(PATIENCE).unwrap();
            let begun = Instant::now();
            while look_up.is_running.load(Ordering::Relaxed) {
                assert!(begun.elapsed() < PATIENCE, "the look-up never ends");
                std::thread::yield_now();
            }
        }
    }
}
