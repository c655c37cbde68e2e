//! Exchanges lists of shares with the trackers: the shares that are not served because the files of
//! their publisher have changed.

use crate::peer::{Account, AccountError, Membership, Transfers};
use crate::swarm::Phase;
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::access::MAX_ANNOUNCES;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Interval of the exchanges. They are made only while this peer fetches something or has a share
/// with changed files. A hint brings the next one sooner.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long one exchange may take. The time is limited because the same thread also makes the
/// announces. The groups that remain come first in the next exchange.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The swarms whose publishers have reported that their files have changed.
#[derive(Debug, Default)]
pub(crate) struct ChangedFiles {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// By group, as the trackers last answered.
    reported: BTreeMap<Membership, HashSet<InfoHash>>,
    /// When the next exchange is due. `None` before the first exchange.
    next: Option<Instant>,
    /// The group about which trackers were asked most recently.
    last_asked: Option<Membership>,
}

impl ChangedFiles {
    /// Whether the publisher of the share has reported that its files have changed.
    pub(super) fn has(&self, info_hash: InfoHash) -> bool {
        let state = lock(&self.state);
        let mut reported = state.reported.values();
        reported.any(|info_hashes| info_hashes.contains(&info_hash))
    }

    /// The next exchange is due at this time, or earlier if it is due earlier.
    pub(super) fn exchange_earlier(&self, at: Instant) {
        let mut state = lock(&self.state);
        state.next = state.next.map(|next| next.min(at));
    }

    /// If an exchange is due: reports the shares whose files have changed here, and receives the
    /// list of those whose publishers have reported changed files.
    pub(crate) fn exchange_if_due(&self, account: &Account, transfers: &Transfers) {
        let begun = Instant::now();
        let mut state = lock(&self.state).clone();
        if state.next.is_some_and(|next| begun < next) {
            return;
        }
        state.exchange(
            concerned_groups(account, transfers),
            |membership, changed| account.changed_shares(&membership.group, changed),
            || begun.elapsed() >= TIME_LIMIT,
        );
        state.next = Some(Instant::now() + INTERVAL);
        *lock(&self.state) = state;
    }
}

impl State {
    /// Asks the trackers about one group after the other, beginning after `last_asked`. Ends when
    /// the time is over, or at the first failure. A failure usually means that no tracker answers,
    /// so none would answer about the next group either.
    fn exchange(
        &mut self,
        mut groups: BTreeMap<Membership, Vec<InfoHash>>,
        mut ask: impl FnMut(&Membership, Vec<InfoHash>) -> Result<HashSet<InfoHash>, AccountError>,
        is_over: impl Fn() -> bool,
    ) {
        self.reported.retain(|group, _| groups.contains_key(group));
        let (mut first, mut at_the_end) = (BTreeMap::new(), None);
        if let Some(last_asked) = &self.last_asked {
            first = groups.split_off(last_asked);
            at_the_end = first.remove_entry(last_asked);
        }
        for (membership, changed) in first.into_iter().chain(groups).chain(at_the_end) {
            if is_over() {
                return;
            }
            let answered = ask(&membership, changed);
            self.last_asked = Some(membership.clone());
            match answered {
                Ok(reported) => drop(self.reported.insert(membership, reported)),
                Err(error) => return log::debug!("{}: {error}", membership.group),
            }
        }
    }
}

/// The groups of the user in which this peer fetches something or has shares with changed files.
/// The list of each group contains its shares with changed files, at most [`MAX_ANNOUNCES`]. That
/// is the limit of one request.
fn concerned_groups(
    account: &Account,
    transfers: &Transfers,
) -> BTreeMap<Membership, Vec<InfoHash>> {
    let mut groups: BTreeMap<Membership, Vec<InfoHash>> = BTreeMap::new();
    let user = account.user();
    for transfer in transfers.transfers() {
        let Some(membership) = transfer.plan.group.as_ref() else {
            continue;
        };
        if user.as_ref() != Some(&membership.user) {
            continue;
        }
        let phase = transfer.phase();
        if phase.fetches() {
            groups.entry(membership.clone()).or_default();
        } else if matches!(phase, Phase::Lost { .. }) {
            let changed = groups.entry(membership.clone()).or_default();
            if changed.len() < MAX_ANNOUNCES {
                changed.push(transfer.info_hash());
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    fn groups(names: &[&str]) -> BTreeMap<Membership, Vec<InfoHash>> {
        let membership = |name: &&str| Membership {
            group: name.parse().unwrap(),
            user: "nik".parse().unwrap(),
        };
        names
            .iter()
            .map(|name| (membership(name), Vec::new()))
            .collect()
    }

    /// The groups that an exchange asks about. `is_over` gets the number of these groups so far.
    fn asked(state: &mut State, fails_at: Option<&str>, is_over: impl Fn(usize) -> bool) -> String {
        let (names, count) = (RefCell::new(Vec::new()), Cell::new(0));
        let ask = |membership: &Membership, _| {
            let name = membership.group.to_string();
            names.borrow_mut().push(name.clone());
            count.set(count.get() + 1);
            match fails_at {
                Some(fails_at) if name == fails_at => {
                    Err(AccountError::NoFinalAnswer("they are down".to_owned()))
                }
                _ => Ok(HashSet::from([InfoHash([count.get(); 20])])),
            }
        };
        state.exchange(groups(&["a", "b", "c"]), ask, || {
            is_over(count.get().into())
        });
        names.into_inner().concat()
    }

    #[test]
    fn a_hint_makes_the_next_exchange_due_earlier() {
        let (files, now) = (ChangedFiles::default(), Instant::now());
        let next = || lock(&files.state).next;
        files.exchange_earlier(now);
        assert_eq!(next(), None, "the first exchange is due at once");
        lock(&files.state).next = Some(now + INTERVAL);
        for (at, due) in [(1, 1), (2, 1)] {
            files.exchange_earlier(now + Duration::from_secs(at));
            assert_eq!(next(), Some(now + Duration::from_secs(due)));
        }
    }

    #[test]
    fn an_exchange_ends_at_the_first_group_for_which_no_tracker_answers() {
        let mut state = State::default();
        assert_eq!(asked(&mut state, None, |_| false), "abc");
        assert_eq!(asked(&mut state, Some("b"), |_| false), "ab");
        assert_eq!(state.reported.len(), 3, "what was reported before stays");
        assert_eq!(asked(&mut state, None, |_| false), "cab");
    }

    #[test]
    fn an_exchange_has_a_time_limit_and_the_next_one_begins_with_the_remaining_groups() {
        let mut state = State::default();
        assert_eq!(asked(&mut state, None, |count| count == 2), "ab");
        assert_eq!(asked(&mut state, None, |count| count == 2), "ca");
        assert_eq!(asked(&mut state, None, |_| true), "");
        assert_eq!(asked(&mut state, None, |_| false), "bca");
        state.exchange(groups(&["b"]), |_, _| Ok(HashSet::new()), || true);
        assert_eq!(state.reported.len(), 1, "the others are not of interest");
    }
}
