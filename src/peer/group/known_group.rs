//! Who may have links in one group: which accounts are barred, and which had links before. Pure.
//!
//! Trackers report bars again and again, and each knows what it knows: one may lag behind. So bars
//! are only added. A bar ends when a later report says that the account is a member again, or when
//! no certificate of the account can be valid any more.

use crate::certificate::{AccountId, Fingerprint, Member};
use crate::peer::AdmissionError;
use crate::storage::{StoredBar, StoredGroup, StoredLink};
use crate::wire::access::{Bar, MAX_BARS};
use std::collections::HashMap;
use std::time::Duration;

/// The most bars that are kept: a full answer has two for each account.
const MAX_KEPT_BARS: usize = 2 * MAX_BARS;
/// The most accounts with earlier links that are kept.
const MAX_LINKED: usize = 10_000;

/// What is known of the members of one group.
#[derive(Debug, Default)]
pub(super) struct KnownGroup {
    /// One for each account. For certificates that name no account, also one for the
    /// [`Bar::stand_in`] of each account.
    bars: HashMap<AccountId, StoredBar>,
    /// The accounts that had links, and when the certificate that they showed ends.
    linked: HashMap<AccountId, Duration>,
}

impl KnownGroup {
    /// What was stored.
    pub(super) fn of(stored: StoredGroup) -> Self {
        let bars = stored.bars.into_iter().map(|bar| (bar.account, bar));
        let linked = stored.linked.into_iter();
        Self {
            bars: bars.collect(),
            linked: linked.map(|link| (link.account, link.until)).collect(),
        }
    }

    /// What is to be stored. `None` if nothing is known.
    pub(super) fn to_stored(&self, authority: Fingerprint) -> Option<StoredGroup> {
        let is_empty = self.bars.is_empty() && self.linked.is_empty();
        let linked = self.linked.iter();
        (!is_empty).then(|| StoredGroup {
            authority,
            bars: self.bars.values().copied().collect(),
            linked: linked
                .map(|(&account, &until)| StoredLink { account, until })
                .collect(),
        })
    }

    /// Forgets what has ended at the time `now`.
    pub(super) fn forget_ended(&mut self, now: Duration) {
        self.bars.retain(|_, bar| bar.until > now);
        self.linked.retain(|_, until| *until > now);
    }

    /// Adds the bars of an answer, which are kept until the time `until`. Returns whether this has
    /// changed anything.
    pub(super) fn add(&mut self, bars: &[Bar], until: Duration) -> bool {
        let mut is_changed = false;
        for bar in bars {
            for account in [bar.account, bar.stand_in] {
                let kept = self.bars.get(&account);
                let is_known =
                    kept.is_some_and(|kept| (kept.at, !kept.is_lifted) >= (bar.at, !bar.is_lifted));
                if !is_known {
                    is_changed = true;
                    make_room(&mut self.bars, MAX_KEPT_BARS, |bar| bar.until);
                    let (at, is_lifted) = (bar.at, bar.is_lifted);
                    self.bars.insert(
                        account,
                        StoredBar {
                            account,
                            at,
                            is_lifted,
                            until,
                        },
                    );
                }
            }
        }
        is_changed
    }

    /// Whether an account may have no links at the time `now`.
    pub(super) fn is_barred(&self, account: AccountId, now: Duration) -> bool {
        let bar = self.bars.get(&account);
        bar.is_some_and(|bar| !bar.is_lifted && bar.until > now)
    }

    /// Checks whether a member may have a link at the time `now`. While no tracker has answered
    /// (`is_answered`), only a member that had a link before may. Returns whether the member is new
    /// here.
    pub(super) fn admit(
        &mut self,
        member: &Member,
        is_answered: bool,
        now: Duration,
    ) -> Result<bool, AdmissionError> {
        let account = member.account;
        if self.is_barred(account, now) {
            return Err(AdmissionError::Barred(member.user.clone()));
        }
        let linked_until = self.linked.get(&account).copied();
        if !is_answered && linked_until.is_none_or(|until| until <= now) {
            return Err(AdmissionError::Unknown(member.user.clone()));
        }
        let until = member.validity.not_after.since_1970();
        let is_new = linked_until.is_none_or(|known| known < until);
        if is_new {
            make_room(&mut self.linked, MAX_LINKED, |until| *until);
            self.linked.insert(account, until);
        }
        Ok(is_new)
    }
}

/// Removes the entry that ends first if there are `most` entries.
fn make_room<T>(entries: &mut HashMap<AccountId, T>, most: usize, until: impl Fn(&T) -> Duration) {
    if entries.len() >= most
        && let Some((&first, _)) = entries.iter().min_by_key(|(_, entry)| until(entry))
    {
        entries.remove(&first);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::certificate::{Date, Validity};

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// A member whose certificate ends an hour after `now`.
    pub(in crate::peer::group) fn member(number: u8, user: &str, now: Duration) -> Member {
        let validity = Validity {
            not_before: Date::new(now).unwrap(),
            not_after: Date::new(now + HOUR).unwrap(),
        };
        Member {
            user: user.to_owned(),
            account: AccountId([number; 16]),
            validity,
        }
    }

    pub(in crate::peer::group) fn bar(number: u8, user: &str, at: u64, is_lifted: bool) -> Bar {
        Bar {
            account: AccountId([number; 16]),
            stand_in: AccountId::of_name(user),
            at,
            is_lifted,
        }
    }

    fn is_barred(group: &mut KnownGroup, member: &Member, now: Duration) -> bool {
        let admitted = group.admit(member, true, now);
        matches!(admitted, Err(AdmissionError::Barred(_)))
    }

    #[test]
    fn of_two_accounts_with_one_name_only_the_barred_one_is_refused() {
        let (mut group, until) = (KnownGroup::default(), NOW + HOUR);
        assert!(group.add(&[bar(1, "nik", 5, false)], until));
        assert!(is_barred(&mut group, &member(1, "nik", NOW), NOW));
        assert!(is_barred(&mut group, &member(1, "nik~00ab12ff", NOW), NOW));
        assert!(!is_barred(&mut group, &member(2, "nik", NOW), NOW));
        // A certificate that names no account is compared by name.
        let account = AccountId::of_name("nik");
        let unnamed = Member {
            account,
            ..member(1, "nik", NOW)
        };
        assert!(is_barred(&mut group, &unnamed, NOW));
    }

    #[test]
    fn a_tracker_that_lags_behind_neither_ends_a_bar_nor_sets_it_again() {
        let (mut group, until, nik) = (KnownGroup::default(), NOW + HOUR, member(1, "nik", NOW));
        group.add(&[bar(1, "nik", 5, false)], until);
        for older in [
            &[][..],
            &[bar(1, "nik", 4, true)],
            &[bar(1, "nik", 5, true)],
        ] {
            assert!(!group.add(older, until));
            assert!(is_barred(&mut group, &nik, NOW));
        }
        assert!(group.add(&[bar(1, "nik", 6, true)], until));
        assert!(!group.add(&[bar(1, "nik", 5, false)], until));
        assert!(!is_barred(&mut group, &nik, NOW));
        assert!(group.add(&[bar(1, "nik", 7, false)], until));
        assert!(is_barred(&mut group, &nik, NOW));
        assert!(!is_barred(&mut group, &nik, until), "the bar has no end");
    }

    #[test]
    fn before_the_first_answer_only_a_member_that_had_a_link_gets_in() {
        let (mut group, nik, uma) = (
            KnownGroup::default(),
            member(1, "nik", NOW),
            member(2, "uma", NOW),
        );
        assert!(group.admit(&nik, true, NOW).unwrap());
        assert!(!group.admit(&nik, true, NOW).unwrap());
        let stored = group.to_stored(Fingerprint::of(b"")).unwrap();
        let mut group = KnownGroup::of(stored);
        assert!(group.admit(&nik, false, NOW).is_ok());
        let refused = group.admit(&uma, false, NOW);
        assert!(matches!(refused, Err(AdmissionError::Unknown(_))));
        // The link of the earlier certificate says nothing once that certificate has ended.
        let later = NOW + HOUR;
        let refused = group.admit(&member(1, "nik", later), false, later);
        assert!(matches!(refused, Err(AdmissionError::Unknown(_))));
        group.add(&[bar(1, "nik", 5, false)], NOW + HOUR);
        let refused = group.admit(&nik, false, NOW);
        assert!(matches!(refused, Err(AdmissionError::Barred(_))));
        group.forget_ended(later);
        assert_eq!(group.to_stored(Fingerprint::of(b"")), None);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut group = KnownGroup::default();
        for number in 0..MAX_LINKED + 10 {
            let mut nik = member(0, "nik", NOW);
            nik.account = AccountId((number as u128).to_be_bytes());
            group.admit(&nik, true, NOW).unwrap();
        }
        assert_eq!(group.linked.len(), MAX_LINKED);
    }
}
