//! What has changed since the last call of `take`: for hints to members.
//!
//! Each group has two change numbers. One changes when a share is published, and when a merge moves
//! a version into another share or gives it another number. The other one changes
//! when a share is withdrawn, a membership ends, a former member is accepted again, a user is
//! removed, or a machine ends, is suspended or is allowed again.
//! They count nothing: each is the XOR of the hashes of all such writes. So trackers with the same
//! rows have the same numbers.

use super::{Label, Origin, Row, RowId, Stamp, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The two change numbers of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeNumbers {
    /// A number that changes when a share is published.
    pub added: u64,
    /// A number that changes when a share is withdrawn, a membership ends, or a former member is
    /// accepted again.
    pub ended: u64,
}

/// What has changed for the members of groups and for the users of accounts. They may want to ask
/// for the details.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Groups whose change numbers have changed.
    pub groups: BTreeSet<RowId>,
    /// Accounts for which there may be news, and machines whose logins may have ended.
    pub accounts: BTreeSet<RowId>,
    /// Groups in which a publisher has newly reported changed files. No row changes by a report.
    pub reports: BTreeSet<RowId>,
    /// Groups that an owner has renamed, with the names that they had before.
    pub renamed: BTreeMap<RowId, Label>,
}

impl Changed {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what has changed in `other`.
    pub fn extend(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.accounts.extend(other.accounts);
        self.reports.extend(other.reports);
        for (group, former) in other.renamed {
            self.renamed.entry(group).or_insert(former);
        }
    }
}

/// The change numbers of all groups, and what has changed since the last [`Changes::take`].
#[derive(Debug, Default)]
pub(super) struct Changes {
    numbers: HashMap<RowId, ChangeNumbers>,
    changed: Changed,
}

impl Changes {
    pub(super) fn numbers(&self, group: RowId) -> ChangeNumbers {
        self.numbers.get(&group).copied().unwrap_or_default()
    }

    /// Returns what has changed since the last call.
    pub(super) fn take(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// Updates the numbers for a row that was `before` and is now `after`. `owners` are the owners
    /// of the row's group.
    pub(super) fn update_row(
        &mut self,
        before: Option<&Row>,
        after: Option<&Row>,
        owners: impl Iterator<Item = RowId>,
    ) {
        // The XOR with the contribution of `before` removes it from the numbers.
        for row in [before, after].into_iter().flatten() {
            if let Some((group, part)) = contribution(row) {
                let numbers = self.numbers.entry(group).or_default();
                numbers.added ^= part.added;
                numbers.ended ^= part.ended;
            }
        }
        let part_of = |row: Option<&Row>| row.and_then(contribution).map(|(_, part)| part);
        if let Some((group, now)) = after.and_then(contribution)
            && part_of(before).unwrap_or_default() != now
        {
            self.changed.groups.insert(group);
        }
        if let Some(Row::Membership(row)) = after
            && before != after
        {
            self.changed.accounts.insert(row.account);
            self.changed.accounts.extend(owners);
        }
    }

    /// A group that had the name `former` has another name. Its members' peers learn the new name
    /// from their next announce.
    pub(super) fn on_renamed(&mut self, group: RowId, former: Label) {
        self.changed.renamed.entry(group).or_insert(former);
    }

    /// Updates the numbers when tokens or machines of these groups have changed: `number` is what
    /// they now contribute, with XOR to what they contributed before. `subjects` may want to ask.
    pub(super) fn update_machines(
        &mut self,
        groups: &[RowId],
        number: u64,
        subjects: impl IntoIterator<Item = RowId>,
    ) {
        for group in groups.iter().filter(|_| number != 0) {
            self.numbers.entry(*group).or_default().ended ^= number;
            self.changed.groups.insert(*group);
        }
        self.changed.accounts.extend(subjects);
    }

    /// Updates the numbers when a stamp of an account in a group changes from `before` to `after`:
    /// the stamp at which a former member was accepted again (`GroupMembers::readmission_stamp`),
    /// or at which the account was removed (`GroupMembers::removal_stamp`). Then the other members
    /// must learn that they may send data to this member again, or no longer.
    pub(super) fn update_stamp(
        &mut self,
        (group, account): (RowId, RowId),
        before: Option<Stamp>,
        after: Option<Stamp>,
    ) {
        if before == after {
            return;
        }
        let numbers = self.numbers.entry(group).or_default();
        for stamp in [before, after].into_iter().flatten() {
            let number = mix(stamp.wall()) ^ u64::from(stamp.counter());
            numbers.ended ^= hash(account, stamp.origin(), number);
        }
        self.changed.groups.insert(group);
        self.changed.accounts.insert(account);
    }
}

/// The group of a row, and what the row contributes to the numbers of the group.
fn contribution(row: &Row) -> Option<(RowId, ChangeNumbers)> {
    match row {
        Row::Share(share) => {
            let ended = share.withdrawn.as_ref();
            // If two trackers have carried out one command, a row can have the creation of the one
            // and the edition of the other.
            let edition = Some(share.edition.version).filter(|version| *version != share.created);
            let edition = edition.map_or(0, |version| write_hash(share.id, version));
            let numbers = ChangeNumbers {
                added: write_hash(share.id, share.created) ^ edition,
                ended: ended.map_or(0, |field| write_hash(share.id, field.version)),
            };
            Some((share.group, numbers))
        }
        Row::Membership(row) => {
            // A row that was never accepted was a request. Its end concerns only the user and the
            // owners.
            let ended = row.ended.as_ref().filter(|_| row.accepted.is_some());
            let numbers = ChangeNumbers {
                added: 0,
                ended: ended.map_or(0, |field| write_hash(row.id, field.version)),
            };
            Some((row.group, numbers))
        }
        _ => None,
    }
}

/// The hash of a write to a row.
pub(super) fn write_hash(row: RowId, version: Version) -> u64 {
    hash(row, version.stamp.origin(), version.sequence.number())
}

/// A 63-bit hash. If two changes have the same hash, which is very rare, a hint may be missing.
fn hash(row: RowId, origin: Origin, number: u64) -> u64 {
    let halves = |bytes: [u8; 16]| {
        let both = u128::from_be_bytes(bytes);
        [both as u64, (both >> 64) as u64]
    };
    let [first, second] = halves(row.0);
    let [third, fourth] = halves(origin.0);
    [first, second, third, fourth, number]
        .into_iter()
        .fold(0, |hash: u64, word| mix(hash ^ word))
        >> 1
}

/// Mixes the bits of a word, so that similar words get very different results: one step of the
/// generator SplitMix64 from the state `word`.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
