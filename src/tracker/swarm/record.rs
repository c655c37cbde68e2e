//! What a swarm always keeps of a peer, in few bytes: a [`StoredAddress`] for each address (12
//! bytes for IPv4, 24 for IPv6), and a [`State`] of 28 bytes for everything else. Addresses and
//! states are in separate lists, because an answer reads only addresses.

use super::super::announcing::IdHash;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

/// After this time an upload counts for half as much.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Steps of a rank for each doubling of the upload.
const RANK_STEPS: f64 = 4096.0;

/// Everything that is always kept of a peer, except its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// An [`IdHash`] in two halves, so that a state needs no padding.
    id_hash: [u32; 2],
    /// A hash of the peer's `key`.
    pub(super) key: Option<NonZeroU32>,
    pub(super) rank: Option<Rank>,
    /// The totals that the peer reported last.
    pub(super) uploaded: Total,
    pub(super) downloaded: Total,
}

/// An address of a peer, and how long it is valid. `N` is the length of the IP address in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredAddress<const N: usize> {
    ip: [u8; N],
    port: u16,
    /// How long the peer may be silent after `seen`.
    lifetime: Lifetime,
    /// The time of the last announce of this address, in seconds since the tracker's start.
    seen: u32,
}

/// An IPv4 address of a peer.
pub(super) type StoredAddress4 = StoredAddress<4>;
/// An IPv6 address of a peer.
pub(super) type StoredAddress6 = StoredAddress<16>;

/// A number of seconds up to three days, in 16 bits: from 2^15 on in steps of eight, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lifetime(u16);

/// A number of bytes, at most 2^48 - 1. A larger number is stored as 2^48 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Total([u16; 3]);

/// Rank by recent uploads; higher is better. The weight of all uploads decays equally. So a stored
/// rank stays right while its peer is silent, and ranks of different times can be compared. A rank
/// is log2(weight in bytes) + (number of half-lives from the tracker's start to now).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(NonZeroU32);

impl State {
    pub(super) fn new(id: IdHash) -> Self {
        Self {
            id_hash: [id.0 as u32, (id.0 >> 32) as u32],
            key: None,
            rank: None,
            uploaded: Total::of(0),
            downloaded: Total::of(0),
        }
    }

    pub(super) fn id_hash(&self) -> IdHash {
        let [low, high] = self.id_hash;
        IdHash(u64::from(low) | u64::from(high) << 32)
    }
}

impl<const N: usize> StoredAddress<N>
where
    IpAddr: From<[u8; N]>,
{
    /// An address that the peer announced at `now`. It expires at `until`, rounded up to a second.
    pub(super) fn new(ip: [u8; N], port: u16, now: Duration, until: Duration) -> Self {
        let seen = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let until = until.as_secs() + u64::from(until.subsec_nanos() > 0);
        let lifetime = until.saturating_sub(seen.into());
        Self {
            ip,
            port,
            lifetime: Lifetime::of(lifetime),
            seen,
        }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.ip.into()
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    pub(super) fn seen(&self) -> Duration {
        Duration::from_secs(self.seen.into())
    }

    /// When the address expires.
    pub(super) fn until(&self) -> Duration {
        Duration::from_secs(self.until_seconds())
    }

    pub(super) fn is_live(&self, now: Duration) -> bool {
        self.until_seconds() > now.as_secs()
    }

    fn until_seconds(&self) -> u64 {
        u64::from(self.seen) + self.lifetime.seconds()
    }
}

impl Lifetime {
    /// Lifetimes with this bit are in steps.
    const LONG: u16 = 1 << 15;
    const STEP: u64 = 8;

    fn of(seconds: u64) -> Self {
        let long = || {
            let steps = seconds.div_ceil(Self::STEP).min((Self::LONG - 1).into());
            Self::LONG | steps as u16
        };
        let short = u16::try_from(seconds).ok().filter(|it| *it < Self::LONG);
        Self(short.unwrap_or_else(long))
    }

    fn seconds(self) -> u64 {
        match self.0 {
            short if short < Self::LONG => short.into(),
            long => u64::from(long - Self::LONG) * Self::STEP,
        }
    }
}

impl Total {
    pub(super) fn of(bytes: u64) -> Self {
        let bytes = bytes.min((1 << 48) - 1);
        Self([bytes as u16, (bytes >> 16) as u16, (bytes >> 32) as u16])
    }

    pub(super) fn bytes(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        low | middle << 16 | high << 32
    }
}

impl Rank {
    /// The rank of `bytes` with full weight at `now`.
    pub(super) fn of(bytes: f64, now: Duration) -> Self {
        let steps = (bytes.max(1.0).log2() + half_lives(now)) * RANK_STEPS;
        Self(NonZeroU32::new(steps as u32).unwrap_or(NonZeroU32::MIN))
    }

    /// The weight at `now` of the uploads, in bytes.
    pub(super) fn weight(self, now: Duration) -> f64 {
        (f64::from(self.0.get()) / RANK_STEPS - half_lives(now)).exp2()
    }
}

/// The fraction of an upload's weight that is left after `age`.
pub(super) fn decay(age: Duration) -> f64 {
    (-half_lives(age)).exp2()
}

fn half_lives(time: Duration) -> f64 {
    time.as_secs_f64() / HALF_LIFE.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_takes_forty_bytes_over_ipv4() {
        assert_eq!(size_of::<State>() + size_of::<StoredAddress4>(), 40);
        assert_eq!(size_of::<State>() + size_of::<StoredAddress6>(), 52);
    }

    #[test]
    fn values_in_few_bytes_are_read_as_written_or_rounded_or_capped() {
        for bytes in [0, 1, 0xffff, 0x1_0000, 0x1234_5678_9abc, (1 << 48) - 1] {
            assert_eq!(Total::of(bytes).bytes(), bytes);
        }
        assert_eq!(Total::of(u64::MAX).bytes(), (1 << 48) - 1);
        for id in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(State::new(IdHash(id)).id_hash(), IdHash(id));
        }
        for (seconds, kept) in [
            (0, 0),
            (32_767, 32_767),
            (32_769, 32_776),
            (216_000, 216_000),
        ] {
            assert_eq!(Lifetime::of(seconds).seconds(), kept);
        }
        assert_eq!(Lifetime::of(u64::MAX).seconds(), 262_136);
        let at = Duration::from_millis(5_700);
        let stored = StoredAddress::new([10, 0, 0, 1], 7, at, at + Duration::from_millis(2_500));
        assert_eq!(stored.address(), "10.0.0.1:7".parse().unwrap());
        assert_eq!(stored.until(), Duration::from_secs(9), "never too early");
        assert!(stored.is_live(Duration::from_millis(8_999)));
        assert!(!stored.is_live(Duration::from_secs(9)));
    }

    #[test]
    fn after_fifteen_years_ranks_still_differ() {
        let late = Duration::from_secs(15 * 365 * 86_400);
        let (less, more) = (Rank::of(1e9, late), Rank::of(1.001e9, late));
        assert!(less < more);
        assert!((less.weight(late) / 1e9 - 1.0).abs() < 0.001);
        assert!(Rank::of(8e6, Duration::ZERO) < Rank::of(1.1e6, HALF_LIFE * 3));
    }
}
