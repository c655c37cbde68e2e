//! An announce as a swarm takes it, whose it is, and why it is refused.

use crate::wire::{AnnounceRequest, Event, PeerId};
use ring::digest::{SHA256, digest};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What kinds of addresses an answer can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Both, those of the asking peer's own family first.
    Both,
    /// Only those of the asking peer's family, as over UDP (BEP 15).
    OwnFamily,
}

/// Why an announce is not taken. What it displays is fit to be the tracker's `failure reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id belongs to a peer at another address whose `key` the announce does not show.
    #[error(
        "another peer uses this peer_id; announce with the key used before, or choose a new peer_id"
    )]
    IdTaken,
    /// The swarm has as many peers as one may have.
    #[error("this swarm is full; try again later")]
    SwarmFull,
    /// The tracker holds as much as it may.
    #[error("this tracker is full; try again later")]
    TrackerFull,
    /// One address has brought as much as one may.
    #[error("too many swarms or peers from your address; try again later")]
    AddressFull,
}

/// An announce as a swarm takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcing {
    pub(super) id: PeerId,
    /// A hash of the peer's `key`, which need not be kept itself.
    pub(super) key: Option<u64>,
    /// Where it listens: the address it announces from, with the port it names.
    pub(super) address: SocketAddr,
    pub(super) is_seed: bool,
    pub(super) event: Option<Event>,
    /// Bytes as it tells them, since its start.
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
    /// Whether it can only be told addresses of its own family (BEP 15).
    pub(super) own_family_only: bool,
    pub(super) now: Duration,
    /// When it counts as gone unless it announces again.
    pub(super) until: Duration,
}

impl Announcing {
    pub(super) fn new(
        request: &AnnounceRequest,
        from: IpAddr,
        own_family_only: bool,
        now: Duration,
        until: Duration,
    ) -> Self {
        Self {
            id: request.peer_id,
            key: request.key.as_deref().map(hash),
            address: SocketAddr::new(from.to_canonical(), request.port.get()),
            is_seed: request.left == 0 && !may_seek_metadata(request),
            event: request.event,
            uploaded: request.uploaded,
            downloaded: request.downloaded,
            own_family_only,
            now,
            until,
        }
    }
}

/// How the peer ids of aria2 and rqbit begin, which say that nothing is left as long as they have a magnet link alone.
const SEEKERS: [&[u8]; 2] = [b"A2-", b"-rQ"];

/// As a seed it would hear of no seed, and never get the metadata from a swarm of seeds; so its first word does not make
/// it one.
fn may_seek_metadata(request: &AnnounceRequest) -> bool {
    let first = request.event == Some(Event::Started) && request.downloaded == 0;
    let id = &request.peer_id.0;
    first && SEEKERS.iter().any(|seeker| id.starts_with(seeker))
}

/// The start of a key's SHA-256: the same after a restart, and nobody finds another key for it.
fn hash(key: &[u8]) -> u64 {
    let digest = digest(&SHA256, key);
    let start = digest.as_ref().first_chunk().copied();
    start.map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AddressPrefix;
    use crate::torrent::InfoHash;
    use std::num::NonZeroU16;

    #[test]
    fn who_may_lack_metadata_is_no_seed_by_its_first_word() {
        let is_seed = |id: &[u8; 20], event| {
            let request = AnnounceRequest {
                info_hash: InfoHash([1; 20]),
                peer_id: PeerId(*id),
                port: NonZeroU16::MIN,
                uploaded: 0,
                downloaded: 0,
                left: 0,
                event,
                num_want: None,
                compact: true,
                no_peer_id: true,
                key: None,
                pieceful: false,
            };
            let from = [10, 0, 0, 1].into();
            Announcing::new(&request, from, false, Duration::ZERO, Duration::ZERO).is_seed
        };
        assert!(!is_seed(b"A2-1-36-0-0123456789", Some(Event::Started)));
        assert!(!is_seed(b"-rQ9100-0123456789ab", Some(Event::Started)));
        assert!(is_seed(b"A2-1-36-0-0123456789", None));
        assert!(is_seed(b"-rQ9100-0123456789ab", None));
        assert!(is_seed(b"-LT2110-0123456789ab", Some(Event::Started)));
    }

    #[test]
    fn hosts_of_one_ipv6_network_count_as_one() {
        let of = |ip: &str| AddressPrefix::of(ip.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }
}
