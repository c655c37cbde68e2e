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
/// The shortest pause between two exchanges, even if hints arrive.
const MIN_PAUSE: Duration = Duration::from_secs(2);
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
    /// When the last exchange ended. `None` before the first exchange.
    ended: Option<Instant>,
    /// Since the last exchange began, a hint has asked for another one at this time.
    hinted: Option<Instant>,
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

    /// A hint asks for an exchange at this time. If an exchange is under way, another one follows
    /// it. [`MIN_PAUSE`] may delay the exchange.
    pub(super) fn exchange_earlier(&self, at: Instant) {
        let mut state = lock(&self.state);
        state.hinted = Some(state.hinted.map_or(at, |hinted| hinted.min(at)));
    }

    /// If an exchange is due: reports the shares whose files have changed here, and receives the
    /// list of those whose publishers have reported changed files.
    pub(crate) fn exchange_if_due(&self, account: &Account, transfers: &Transfers) {
        let begun = Instant::now();
        let Some(mut state) = self.begin(begun) else {
            return;
        };
        state.exchange(
            concerned_groups(account, transfers),
            |membership, changed| account.changed_shares(&membership.group, changed),
            || begun.elapsed() >= TIME_LIMIT,
        );
        self.end(state, Instant::now());
    }

    /// If an exchange is due, returns the state with which it begins.
    fn begin(&self, now: Instant) -> Option<State> {
        let mut state = lock(&self.state);
        if state.next().is_some_and(|next| now < next) {
            return None;
        }
        state.hinted = None;
        Some(state.clone())
    }

    /// Stores the state after an exchange. Keeps a hint that arrived during the exchange.
    fn end(&self, after: State, now: Instant) {
        let mut state = lock(&self.state);
        *state = State {
            ended: Some(now),
            hinted: state.hinted,
            ..after
        };
    }
}

impl State {
    /// When the next exchange is due. `None` if it is due now.
    fn next(&self) -> Option<Instant> {
        let ended = self.ended?;
        let regular = ended + INTERVAL;
        let hinted = self.hinted.map(|at| at.max(ended + MIN_PAUSE));
        Some(hinted.map_or(regular, |at| at.min(regular)))
    }

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
        let Some(membership) = transfer.membership() else {
            continue;
        };
        if user.as_ref() != Some(&membership.user) {
            continue;
        }
        let phase = transfer.phase();
        if phase.fetches() {
            groups.entry(membership).or_default();
        } else if matches!(phase, Phase::Lost { .. }) {
            let changed = groups.entry(membership).or_default();
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
    fn a_hint_makes_the_next_exchange_due_earlier_but_not_at_once() {
        let (files, begun) = (ChangedFiles::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let next = || lock(&files.state).next();
        files.exchange_earlier(after(9));
        let state = files.begin(begun).unwrap();
        files.end(state, begun);
        assert_eq!(next(), Some(after(5)), "the hint came before the exchange");
        for (at, due) in [(9, 5), (4, 4), (3, 3), (4, 3), (1, 2)] {
            files.exchange_earlier(after(at));
            assert_eq!(next(), Some(after(due)), "hint for {at} s");
        }
        assert!(files.begin(after(1)).is_none());
        assert!(files.begin(after(2)).is_some());
    }

    #[test]
    fn a_hint_during_an_exchange_makes_the_next_one_due_earlier() {
        let (files, begun) = (ChangedFiles::default(), Instant::now());
        let state = files.begin(begun).unwrap();
        files.exchange_earlier(begun);
        files.end(state, begun);
        assert_eq!(lock(&files.state).next(), Some(begun + MIN_PAUSE));
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
