//! The table of holders: who announced which swarms of groups, and how much each lacks. Pure; the
//! time is a duration since an epoch of the caller.
//!
//! In scope: what an announce changes, the limits, and the order of a list. Out of scope: who may
//! see a holder (`holder_lists`), and the peers that a tracker names to others
//! ([`Swarms`](crate::tracker::swarms::Swarms)), which forget a silent peer much sooner.

use crate::torrent::InfoHash;
use crate::tracker::registry::RowId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The maximum number of entries. When there are more, the entry goes that was announced the
/// longest time ago.
const MAX_HOLDERS: usize = 200_000;
/// How long an entry stays after its last announce.
const HOLDER_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The shortest time over which a rate is measured. An event may follow right after an announce.
const SHORTEST_MEASURE: Duration = Duration::from_secs(1);

/// One holder in one swarm. Lists are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HolderKey {
    pub(super) info_hash: InfoHash,
    /// The id of the holder.
    pub(super) id: RowId,
}

/// What an announce says of a holder.
#[derive(Clone, Copy, Debug)]
pub(super) struct HolderAnnounce {
    /// The account or the machine that announces.
    pub(super) account: RowId,
    /// The number of bytes that it lacks.
    pub(super) left: u64,
    /// The number of bytes that it has downloaded since it started.
    pub(super) downloaded: u64,
    /// How long it may be silent.
    pub(super) lifetime: Duration,
}

/// A holder in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The account or the machine.
    pub(super) account: RowId,
    /// The number of bytes that it lacks.
    pub(super) left: u64,
    /// The bytes that it downloaded in a second between its last two announces.
    pub(super) rate: u64,
    /// When it announced last.
    pub(super) seen: Duration,
    /// How long it may be silent.
    lifetime: Duration,
    /// When the rate was measured last, and what it had downloaded then.
    measured: (Duration, u64),
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Holders {
    by_swarm: BTreeMap<HolderKey, Holder>,
    /// The keys of `by_swarm`, each with the time `seen`.
    by_time: BTreeSet<(Duration, HolderKey)>,
}

impl Holder {
    /// Whether it has been silent for longer than it may be.
    pub(super) fn is_stale(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen) > self.lifetime
    }

    /// The holder after another announce.
    fn after(self, announce: HolderAnnounce, now: Duration) -> Self {
        let (measured_at, downloaded) = self.measured;
        let time = now.saturating_sub(measured_at);
        let is_measured = time >= SHORTEST_MEASURE;
        // A peer that has started again counts from 0.
        let bytes = announce.downloaded.saturating_sub(downloaded);
        let rate = match is_measured {
            true => per_second(bytes, time),
            false => self.rate,
        };
        Self {
            rate: if announce.left == 0 { 0 } else { rate },
            measured: match is_measured {
                true => (now, announce.downloaded),
                false => self.measured,
            },
            ..Self::new(announce, now)
        }
    }

    fn new(announce: HolderAnnounce, now: Duration) -> Self {
        Self {
            account: announce.account,
            left: announce.left,
            rate: 0,
            seen: now,
            lifetime: announce.lifetime,
            measured: (now, announce.downloaded),
        }
    }
}

impl Holders {
    /// Enters a holder, or what it announces now.
    pub(super) fn on_announce(&mut self, key: HolderKey, announce: HolderAnnounce, now: Duration) {
        let former = self.remove(key);
        let holder = match former {
            Some(former) => former.after(announce, now),
            None => Holder::new(announce, now),
        };
        self.by_swarm.insert(key, holder);
        self.by_time.insert((now, key));
        while self.by_swarm.len() > MAX_HOLDERS {
            let Some((_, oldest)) = self.by_time.pop_first() else {
                break;
            };
            self.by_swarm.remove(&oldest);
        }
    }

    /// The holder has left the swarm: it has ended, or has the share no longer.
    pub(super) fn on_stopped(&mut self, key: HolderKey) {
        self.remove(key);
    }

    /// Removes the entries that were not announced for [`HOLDER_LIFETIME`].
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some((seen, key)) = self.by_time.first().copied() {
            if now.saturating_sub(seen) <= HOLDER_LIFETIME {
                return;
            }
            self.remove(key);
        }
    }

    /// The holders of a swarm, in the order of their keys, from `first` on.
    fn of_swarm(&self, first: HolderKey) -> impl Iterator<Item = (HolderKey, Holder)> {
        let last = HolderKey {
            id: RowId([u8::MAX; 16]),
            ..first
        };
        let entries = self.by_swarm.range(first..=last);
        entries.map(|(key, holder)| (*key, *holder))
    }

    /// Up to `limit` holders of these swarms that follow `after`, and the position of the last one
    /// if there are more. `swarms` has a value for each swarm, which comes with its holders.
    pub(super) fn page<T: Copy>(
        &self,
        swarms: &BTreeMap<InfoHash, T>,
        after: Option<HolderKey>,
        limit: usize,
    ) -> (Vec<(T, HolderKey, Holder)>, Option<HolderKey>) {
        let first = after.map_or(InfoHash([0; 20]), |after| after.info_hash);
        let found = swarms.range(first..).flat_map(|(info_hash, value)| {
            let start = HolderKey {
                info_hash: *info_hash,
                id: RowId([0; 16]),
            };
            let of_swarm = self.of_swarm(after.map_or(start, |after| after.max(start)));
            of_swarm.map(|(key, holder)| (*value, key, holder))
        });
        let mut found = found.filter(|(_, key, _)| Some(*key) != after);
        let page: Vec<_> = found.by_ref().take(limit).collect();
        let has_more = found.next().is_some();
        let last = page.last().map(|(_, key, _)| *key);
        (page, last.filter(|_| has_more))
    }

    fn remove(&mut self, key: HolderKey) -> Option<Holder> {
        let holder = self.by_swarm.remove(&key)?;
        self.by_time.remove(&(holder.seen, key));
        Some(holder)
    }
}

/// The rate, in bytes per second. `time` is not 0.
fn per_second(bytes: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1);
    let rate = u128::from(bytes) * 1000 / millis;
    u64::try_from(rate).unwrap_or(u64::MAX) & (u64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    fn key(swarm: u8, id: u32) -> HolderKey {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&id.to_be_bytes());
        HolderKey {
            info_hash: InfoHash([swarm; 20]),
            id: RowId(bytes),
        }
    }

    fn announce(left: u64, downloaded: u64) -> HolderAnnounce {
        HolderAnnounce {
            account: RowId([7; 16]),
            left,
            downloaded,
            lifetime: INTERVAL * 5 / 2,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The only holder of the swarm 1.
    fn only(holders: &Holders) -> Holder {
        let found: Vec<_> = holders.of_swarm(key(1, 0)).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(holders.by_swarm.len(), holders.by_time.len());
        found[0].1
    }

    #[test]
    fn a_rate_is_that_between_the_last_two_announces() {
        let mut holders = Holders::default();
        let mut rate = |at: f64, left, downloaded| {
            let now = Duration::from_secs_f64(at);
            holders.on_announce(key(1, 1), announce(left, downloaded), now);
            only(&holders).rate
        };
        assert_eq!(rate(0.0, 1000, 5000), 0, "the first announce");
        assert_eq!(rate(10.0, 800, 7000), 200);
        assert_eq!(rate(10.5, 700, 9000), 200, "too soon to measure");
        assert_eq!(rate(20.0, 700, 8000), 100, "measured since 10 s");
        assert_eq!(rate(30.0, 700, 8000), 0);
        assert_eq!(rate(40.0, 600, 10), 0, "it has started again");
        assert_eq!(rate(50.0, 500, 1010), 100);
        assert_eq!(rate(50.1, 0, 1510), 0, "complete");
    }

    #[test]
    fn a_silent_holder_is_stale_and_stays_for_a_day_but_one_that_stops_goes_at_once() {
        let mut holders = Holders::default();
        holders.on_announce(key(1, 1), announce(0, 0), seconds(0));
        holders.on_announce(key(1, 1), announce(0, 0), seconds(600));
        for (at, is_stale) in [(600, false), (2_100, false), (2_101, true)] {
            assert_eq!(only(&holders).is_stale(seconds(at)), is_stale, "{at}");
        }
        holders.expire(seconds(600 + 86_400));
        assert_eq!(only(&holders).seen, seconds(600));
        holders.expire(seconds(600 + 86_401));
        assert_eq!(holders.of_swarm(key(1, 0)).count(), 0);
        holders.on_announce(key(1, 1), announce(0, 0), seconds(1));
        holders.on_announce(key(2, 1), announce(0, 0), seconds(1));
        holders.on_stopped(key(2, 1));
        holders.on_stopped(key(2, 2));
        assert_eq!(only(&holders).seen, seconds(1));
    }

    #[test]
    fn the_table_is_bounded_and_the_longest_silent_entry_gives_way() {
        let mut holders = Holders::default();
        let count = u32::try_from(MAX_HOLDERS).unwrap();
        for id in 0..count {
            holders.on_announce(key(1, id), announce(0, 0), seconds(u64::from(id)));
        }
        // The first one is heard of again, so the second one is the oldest.
        let now = seconds(u64::from(count));
        holders.on_announce(key(1, 0), announce(0, 0), now);
        assert_eq!(holders.by_swarm.len(), MAX_HOLDERS);
        holders.on_announce(key(1, count), announce(0, 0), now);
        assert_eq!(holders.by_swarm.len(), MAX_HOLDERS);
        assert_eq!(holders.by_time.len(), MAX_HOLDERS);
        let has = |id| holders.by_swarm.contains_key(&key(1, id));
        assert!(has(0) && !has(1) && has(2) && has(count));
    }

    #[test]
    fn an_entry_takes_less_than_200_bytes_without_the_room_of_the_trees() {
        let in_tree = size_of::<(HolderKey, Holder)>() + size_of::<(Duration, HolderKey)>();
        assert!(in_tree < 200, "{in_tree}");
    }

    #[test]
    fn pages_go_on_after_a_holder_and_have_only_the_swarms_of_the_list() {
        let mut holders = Holders::default();
        let listed = [(1, 1), (2, 1), (2, 2), (2, 3), (4, 1)].map(|(swarm, id)| key(swarm, id));
        for key in listed.into_iter().chain([key(3, 1), key(5, 1)]) {
            holders.on_announce(key, announce(0, 0), seconds(0));
        }
        let swarms = BTreeMap::from([1, 2, 4].map(|swarm| (InfoHash([swarm; 20]), swarm)));
        let mut found = Vec::new();
        let (mut after, mut pages) = (None, 0);
        loop {
            let (page, next) = holders.page(&swarms, after, 2);
            assert!(
                page.iter()
                    .all(|(swarm, key, _)| key.info_hash.0[0] == *swarm)
            );
            found.extend(page.into_iter().map(|(_, key, _)| key));
            pages += 1;
            after = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(found, listed);
        assert_eq!(pages, 3);
        // Another tracker may have ended its page at a holder that this one does not have.
        let (page, next) = holders.page(&swarms, Some(key(2, 9)), 2);
        assert_eq!(page[0].1, key(4, 1));
        assert_eq!((page.len(), next), (1, None));
    }
}
