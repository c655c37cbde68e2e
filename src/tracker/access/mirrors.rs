//! The table of mirrors: which holders have reported that they mirror a group, or that they do so
//! no longer. Pure. Times are milliseconds since 1970, because the table is kept over a restart.
//!
//! The end of a mirror is kept as an entry too: a tracker that was away does not know of the end,
//! and a peer that asks both trackers believes the later report.

use crate::tracker::registry::RowId;
use std::collections::BTreeMap;

/// The maximum number of entries. When there are more, the one goes that was not heard of for the
/// longest time.
const MAX_MIRRORS: usize = 20_000;
/// How long an entry stays after the tracker has last heard of the holder, in milliseconds.
const MIRROR_LIFETIME_MS: u64 = 30 * 24 * 3_600_000;
/// The length of an encoded entry in bytes.
const ENTRY_LENGTH: usize = 65;

/// A holder in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MirrorKey {
    pub(super) group: RowId,
    /// The id of the holder.
    pub(super) id: RowId,
}

/// What a holder has reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// The account or the machine.
    pub(super) account: RowId,
    /// Whether it mirrors the group.
    pub(super) is_on: bool,
    /// When it reported that.
    pub(super) reported: u64,
    /// When the tracker last heard of it, by a report or an announce.
    pub(super) seen: u64,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    mirrors: BTreeMap<MirrorKey, Mirror>,
    is_changed: bool,
}

impl Mirrors {
    /// The longest encoding in bytes.
    pub(super) const MAX_LENGTH: usize = MAX_MIRRORS * ENTRY_LENGTH;

    /// Enters what a holder reports.
    pub(super) fn on_report(&mut self, key: MirrorKey, account: RowId, is_on: bool, now: u64) {
        let mirror = Mirror {
            account,
            is_on,
            reported: now,
            seen: now,
        };
        self.mirrors.insert(key, mirror);
        self.is_changed = true;
        self.remove_surplus();
    }

    /// A holder has announced shares of the group.
    pub(super) fn on_announce(&mut self, key: MirrorKey, now: u64) {
        if let Some(mirror) = self.mirrors.get_mut(&key)
            && mirror.seen < now
        {
            mirror.seen = now;
            self.is_changed = true;
        }
    }

    /// Removes the entries that were not heard of for 30 days.
    pub(super) fn expire(&mut self, now: u64) {
        let before = self.mirrors.len();
        self.mirrors
            .retain(|_, mirror| now.saturating_sub(mirror.seen) <= MIRROR_LIFETIME_MS);
        self.is_changed |= self.mirrors.len() != before;
    }

    /// Whether the holder has reported that it mirrors the group.
    pub(super) fn is_mirror(&self, key: MirrorKey) -> bool {
        self.mirrors.get(&key).is_some_and(|mirror| mirror.is_on)
    }

    /// The entries of a group, in the order of their ids, from `first` on.
    pub(super) fn of_group(&self, first: MirrorKey) -> impl Iterator<Item = (MirrorKey, Mirror)> {
        let last = MirrorKey {
            id: RowId([u8::MAX; 16]),
            ..first
        };
        let entries = self.mirrors.range(first..=last);
        entries.map(|(key, mirror)| (*key, *mirror))
    }

    /// The table as bytes, if it has changed since the last call. Numbers are big-endian.
    pub(super) fn take_changed(&mut self) -> Option<Vec<u8>> {
        let is_changed = std::mem::take(&mut self.is_changed);
        is_changed.then(|| {
            let mut bytes = Vec::with_capacity(self.mirrors.len() * ENTRY_LENGTH);
            for (key, mirror) in &self.mirrors {
                for id in [key.group, key.id, mirror.account] {
                    bytes.extend(id.0);
                }
                bytes.push(u8::from(mirror.is_on));
                bytes.extend(mirror.reported.to_be_bytes());
                bytes.extend(mirror.seen.to_be_bytes());
            }
            bytes
        })
    }

    /// The next call of [`Self::take_changed`] returns the table, because it could not be written.
    pub(super) fn on_unsaved(&mut self) {
        self.is_changed = true;
    }

    /// Reads the bytes of [`Self::take_changed`]. `None` if they are not a table.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_LENGTH>();
        let mut mirrors = Self::default();
        for entry in entries {
            let (key, mirror) = parse_entry(entry)?;
            mirrors.mirrors.insert(key, mirror);
        }
        mirrors.remove_surplus();
        rest.is_empty().then_some(mirrors)
    }

    fn remove_surplus(&mut self) {
        while self.mirrors.len() > MAX_MIRRORS {
            let oldest = self.mirrors.iter().min_by_key(|(_, mirror)| mirror.seen);
            let Some(key) = oldest.map(|(key, _)| *key) else {
                return;
            };
            self.mirrors.remove(&key);
        }
    }
}

fn parse_entry(bytes: &[u8; ENTRY_LENGTH]) -> Option<(MirrorKey, Mirror)> {
    let (group, rest) = bytes.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let ([is_on], rest) = rest.split_first_chunk()?;
    let (reported, rest) = rest.split_first_chunk()?;
    let key = MirrorKey {
        group: RowId(*group),
        id: RowId(*id),
    };
    let mirror = Mirror {
        account: RowId(*account),
        is_on: match is_on {
            0 => false,
            1 => true,
            _ => return None,
        },
        reported: u64::from_be_bytes(*reported),
        seen: u64::from_be_bytes(rest.try_into().ok()?),
    };
    Some((key, mirror))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;
    const ACCOUNT: RowId = RowId([7; 16]);

    fn key(group: u8, id: u32) -> MirrorKey {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&id.to_be_bytes());
        MirrorKey {
            group: RowId([group; 16]),
            id: RowId(bytes),
        }
    }

    #[test]
    fn an_announce_renews_a_mirror_and_a_report_ends_it() {
        let mut mirrors = Mirrors::default();
        mirrors.on_announce(key(1, 1), 5);
        assert_eq!(mirrors.take_changed(), None, "it has reported nothing");
        mirrors.on_report(key(1, 1), ACCOUNT, true, 10);
        mirrors.on_announce(key(1, 1), 20);
        mirrors.on_announce(key(1, 1), 15);
        mirrors.on_announce(key(2, 1), 30);
        let entry = |mirrors: &Mirrors| mirrors.of_group(key(1, 0)).next().unwrap().1;
        let expected = Mirror {
            account: ACCOUNT,
            is_on: true,
            reported: 10,
            seen: 20,
        };
        assert_eq!(entry(&mirrors), expected);
        assert!(mirrors.is_mirror(key(1, 1)) && !mirrors.is_mirror(key(2, 1)));
        mirrors.on_report(key(1, 1), ACCOUNT, false, 40);
        assert!(!mirrors.is_mirror(key(1, 1)));
        assert_eq!(entry(&mirrors).reported, 40);
    }

    #[test]
    fn an_entry_that_is_not_heard_of_for_30_days_is_forgotten() {
        let mut mirrors = Mirrors::default();
        mirrors.on_report(key(1, 1), ACCOUNT, true, 0);
        mirrors.on_announce(key(1, 1), DAY);
        mirrors.expire(31 * DAY);
        assert!(mirrors.is_mirror(key(1, 1)));
        mirrors.expire(31 * DAY + 1);
        assert!(!mirrors.is_mirror(key(1, 1)));
    }

    #[test]
    fn the_table_is_bounded_and_is_read_as_it_was_written() {
        let mut mirrors = Mirrors::default();
        let count = u32::try_from(MAX_MIRRORS).unwrap();
        for id in 0..=count {
            mirrors.on_report(key(1, id), ACCOUNT, id % 2 == 0, u64::from(id) + 3);
        }
        assert_eq!(mirrors.mirrors.len(), MAX_MIRRORS);
        assert_eq!(mirrors.of_group(key(1, 0)).next().unwrap().0, key(1, 1));
        let bytes = mirrors.take_changed().unwrap();
        assert_eq!(bytes.len(), Mirrors::MAX_LENGTH);
        assert_eq!(mirrors.take_changed(), None);
        let read = Mirrors::parse(&bytes).unwrap();
        assert_eq!(read.mirrors, mirrors.mirrors);
        mirrors.on_unsaved();
        assert_eq!(mirrors.take_changed(), Some(bytes.clone()));
        assert!(Mirrors::parse(&bytes[1..]).is_none(), "cut");
        let mut other = bytes;
        other[48] = 2;
        assert!(Mirrors::parse(&other).is_none(), "neither on nor off");
        assert!(Mirrors::parse(b"").unwrap().mirrors.is_empty());
    }
}
