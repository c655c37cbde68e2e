//! Who may have links in one group: which accounts are barred, and which had links before. Pure.
//!
//! Trackers report bars again and again, and each knows what it knows: one may lag behind. So bars
//! are only added. A bar ends when a later report says that the account is a member again, or after
//! [`BAR_LIFE`](crate::wire::access::BAR_LIFE).

use crate::certificate::{AccountId, Fingerprint, Member};
use crate::peer::AdmissionError;
use crate::storage::{StoredBar, StoredGroup, StoredLink};
use crate::wire::access::{Bar, BarTime, MAX_BARS};
use std::collections::HashMap;
use std::time::Duration;

/// The most entries of `bars`: each bar of a full answer makes up to two of them.
const MAX_KEPT_BARS: usize = 2 * MAX_BARS;
/// The most accounts with earlier links that are kept.
const MAX_LINKED: usize = 10_000;

/// What is known of the members of one group.
#[derive(Debug, Default)]
pub(super) struct KnownGroup {
    /// Each bar has an entry under its account, and one under its [`Bar::stand_in`], for
    /// certificates that name no account.
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

    /// The bars and links to store. `None` if there are none.
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
        self.bars.retain(|_, bar| bar.at.end() > now);
        self.linked.retain(|_, until| *until > now);
    }

    /// Adds those bars of an answer that have not ended at the time `now`. Returns whether this has
    /// changed anything.
    pub(super) fn add(&mut self, bars: &[Bar], now: Duration) -> bool {
        let mut added = Vec::new();
        for bar in bars.iter().filter(|bar| bar.at.end() > now) {
            for account in [bar.account, bar.stand_in] {
                let kept = self.bars.get(&account);
                let is_known =
                    kept.is_some_and(|kept| (kept.at, !kept.is_lifted) >= (bar.at, !bar.is_lifted));
                if !is_known {
                    let (at, is_lifted) = (bar.at, bar.is_lifted);
                    let bar = StoredBar {
                        account,
                        at,
                        is_lifted,
                    };
                    self.bars.insert(account, bar);
                    added.push(account);
                }
            }
        }
        self.remove_surplus_bars();
        added.iter().any(|account| self.bars.contains_key(account))
    }

    /// Keeps [`MAX_KEPT_BARS`] bars: rather those that are not lifted, and of these the latest.
    fn remove_surplus_bars(&mut self) {
        let surplus = self.bars.len().saturating_sub(MAX_KEPT_BARS);
        if surplus == 0 {
            return;
        }
        let bars = self.bars.values();
        let mut order: Vec<(bool, BarTime, AccountId)> = bars
            .map(|bar| (!bar.is_lifted, bar.at, bar.account))
            .collect();
        order.select_nth_unstable(surplus);
        for (_, _, account) in order.into_iter().take(surplus) {
            self.bars.remove(&account);
        }
    }

    /// Whether an account may have no links at the time `now`.
    pub(super) fn is_barred(&self, account: AccountId, now: Duration) -> bool {
        let bar = self.bars.get(&account);
        bar.is_some_and(|bar| !bar.is_lifted && bar.at.end() > now)
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
            self.linked.insert(account, until);
            // One more than allowed: the one whose certificate ends first gives way.
            if self.linked.len() > MAX_LINKED
                && let Some((&first, _)) = self.linked.iter().min_by_key(|(_, until)| **until)
            {
                self.linked.remove(&first);
            }
        }
        Ok(is_new)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::certificate::{Date, Validity};
    use crate::wire::access::BAR_LIFE;

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

    /// The bar of a departure `later` milliseconds after `since`.
    pub(in crate::peer::group) fn bar(
        number: u8,
        user: &str,
        since: Duration,
        later: u64,
        is_lifted: bool,
    ) -> Bar {
        let wall = u64::try_from(since.as_millis()).unwrap() + later;
        Bar {
            account: AccountId([number; 16]),
            stand_in: AccountId::of_name(user),
            at: BarTime { wall, counter: 0 },
            is_lifted,
        }
    }

    /// The bar of nik, who left `later` milliseconds after [`NOW`].
    fn niks_bar(later: u64, is_lifted: bool) -> Bar {
        bar(1, "nik", NOW, later, is_lifted)
    }

    fn is_barred(group: &mut KnownGroup, member: &Member, now: Duration) -> bool {
        let admitted = group.admit(member, true, now);
        matches!(admitted, Err(AdmissionError::Barred(_)))
    }

    #[test]
    fn of_two_accounts_with_one_name_only_the_barred_one_is_refused() {
        let mut group = KnownGroup::default();
        assert!(group.add(&[niks_bar(5, false)], NOW));
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
        let (mut group, nik) = (KnownGroup::default(), member(1, "nik", NOW));
        group.add(&[niks_bar(5, false)], NOW);
        for older in [&[][..], &[niks_bar(4, true)], &[niks_bar(5, true)]] {
            assert!(!group.add(older, NOW));
            assert!(is_barred(&mut group, &nik, NOW));
        }
        assert!(group.add(&[niks_bar(6, true)], NOW));
        assert!(!group.add(&[niks_bar(5, false)], NOW));
        assert!(!is_barred(&mut group, &nik, NOW));
        assert!(group.add(&[niks_bar(7, false)], NOW));
        assert!(is_barred(&mut group, &nik, NOW));
    }

    #[test]
    fn a_bar_ends_seven_days_after_the_departure_whenever_it_was_received() {
        let bar = niks_bar(0, false);
        // A tracker that did not know of the departure may certify nik six days later.
        let last = NOW + BAR_LIFE - Duration::from_secs(1);
        let nik = member(1, "nik", last);
        for received in [NOW, NOW + 24 * HOUR, last] {
            let mut group = KnownGroup::default();
            assert!(group.add(&[bar], received));
            assert!(is_barred(&mut group, &nik, last), "{received:?}");
            assert!(!is_barred(&mut group, &nik, NOW + BAR_LIFE));
            assert!(!group.add(&[niks_bar(0, true)], last));
        }
        let mut group = KnownGroup::default();
        assert!(!group.add(&[bar], NOW + BAR_LIFE), "it has ended");
        assert!(group.bars.is_empty());
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
        group.add(&[niks_bar(5, false)], NOW);
        let refused = group.admit(&nik, false, NOW);
        assert!(matches!(refused, Err(AdmissionError::Barred(_))));
        group.forget_ended(NOW + BAR_LIFE + HOUR);
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

    #[test]
    fn the_number_of_bars_is_bounded_and_those_lifted_or_early_give_way() {
        let mut group = KnownGroup::default();
        let count = u32::try_from(MAX_KEPT_BARS).unwrap();
        let of_number = |number: u32, is_lifted| {
            let account = AccountId(u128::from(number).to_be_bytes());
            Bar {
                account,
                stand_in: account,
                ..bar(0, "", NOW, number.into(), is_lifted)
            }
        };
        // Numbers 0 to 9 left first; 10 to 14 came back.
        let bars: Vec<Bar> = (0..count)
            .map(|number| of_number(number, (10..15).contains(&number)))
            .collect();
        assert!(group.add(&bars, NOW));
        assert_eq!(group.bars.len(), MAX_KEPT_BARS);
        let later: Vec<Bar> = (count..count + 7).map(|it| of_number(it, false)).collect();
        assert!(group.add(&later, NOW));
        let is_kept = |number| group.bars.contains_key(&of_number(number, false).account);
        let gone: Vec<u32> = (0..count + 7).filter(|it| !is_kept(*it)).collect();
        assert_eq!(gone, [0, 1, 10, 11, 12, 13, 14]);
        assert!(!group.add(&later, NOW), "all are known");
        assert!(!group.add(&bars[..1], NOW), "there is no room for it");
        assert_eq!(group.bars.len(), MAX_KEPT_BARS);
    }
}
