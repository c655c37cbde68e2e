//! An announce in the form that a swarm handles, and the reasons to refuse one.

use crate::wire::{AnnounceEvent, AnnounceRequest, PeerId};
use ring::digest::{SHA256, digest};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

/// Address families that an answer may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFamilies {
    /// Both families, the announcing peer's own first.
    Both,
    /// Only the announcing peer's own family, as over UDP (BEP 15).
    OwnFamily,
}

/// Why an announce is refused. Its text is the tracker's `failure reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceRefusal {
    /// The id belongs to a peer at another address, and the announce does not show that peer's
    /// `key`.
    #[error(
        "another peer uses this peer_id; announce with the key used before, or choose a new peer_id"
    )]
    IdTaken,
    /// The swarm has the maximum number of peers.
    #[error("this swarm is full; try again later")]
    SwarmFull,
    /// The tracker holds the maximum number of swarms or peers.
    #[error("this tracker is full; try again later")]
    TrackerFull,
    /// The address has the maximum number of swarms or peers.
    #[error("too many swarms or peers from your address; try again later")]
    AddressFull,
}

/// A keyed hash of a peer id. A swarm finds its peers by this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct IdHash(pub(super) u64);

/// An announce in the form that a swarm handles.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAnnounce {
    pub(super) id: PeerId,
    pub(super) id_hash: IdHash,
    /// A hash of the peer's `key`. The key itself is not kept.
    pub(super) key: Option<NonZeroU32>,
    /// Where the peer listens: the source address of the announce with the announced port.
    pub(super) address: SocketAddr,
    pub(super) is_seed: bool,
    pub(super) event: Option<AnnounceEvent>,
    /// Bytes uploaded since the peer's start, as the peer reports them.
    pub(super) uploaded: u64,
    /// Bytes downloaded since the peer's start, as the peer reports them.
    pub(super) downloaded: u64,
    /// Whether the answer may only contain addresses of the peer's own family (BEP 15).
    pub(super) own_family_only: bool,
    pub(super) now: Duration,
    /// When the peer counts as gone unless it announces again.
    pub(super) until: Duration,
}

impl PeerAnnounce {
    pub(super) fn new(
        request: &AnnounceRequest,
        id_hash: IdHash,
        from: IpAddr,
        own_family_only: bool,
        now: Duration,
        until: Duration,
    ) -> Self {
        Self {
            id: request.peer_id,
            id_hash,
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

/// Peer id prefixes of aria2 and rqbit. These clients report that nothing is left while they have
/// only a magnet link.
const METADATA_SEEKERS: [&[u8]; 2] = [b"A2-", b"-rQ"];

/// Whether the peer may still lack the metadata. Such a peer does not count as a seed at its first
/// announce: a seed gets no seeds in its answer, so the peer would never get the metadata from a
/// swarm of seeds.
fn may_seek_metadata(request: &AnnounceRequest) -> bool {
    let is_first = request.event == Some(AnnounceEvent::Started) && request.downloaded == 0;
    let id = &request.peer_id.0;
    is_first && METADATA_SEEKERS.iter().any(|prefix| id.starts_with(prefix))
}

/// The first 4 bytes of the key's SHA-256. Restarts do not change this hash. 4 bytes are enough:
/// over UDP the key itself has no more.
fn hash(key: &[u8]) -> NonZeroU32 {
    let digest = digest(&SHA256, key);
    let start = digest.as_ref().first_chunk().copied();
    nonzero_key_hash(start.map_or(0, u32::from_be_bytes))
}

/// The hash with this number. 0 becomes 1, because `Option<NonZeroU32>` keeps `None` as 0.
pub(super) fn nonzero_key_hash(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AddressPrefix;
    use crate::torrent::InfoHash;
    use std::num::NonZeroU16;

    #[test]
    fn a_peer_that_may_lack_metadata_is_not_a_seed_at_its_first_announce() {
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
            let (hash, now) = (IdHash(0), Duration::ZERO);
            PeerAnnounce::new(&request, hash, from, false, now, now).is_seed
        };
        assert!(!is_seed(
            b"A2-1-36-0-0123456789",
            Some(AnnounceEvent::Started)
        ));
        assert!(!is_seed(
            b"-rQ9100-0123456789ab",
            Some(AnnounceEvent::Started)
        ));
        assert!(is_seed(b"A2-1-36-0-0123456789", None));
        assert!(is_seed(b"-rQ9100-0123456789ab", None));
        assert!(is_seed(
            b"-LT2110-0123456789ab",
            Some(AnnounceEvent::Started)
        ));
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
