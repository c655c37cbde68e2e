//! What a peer does with the hints of a tracker.
//!
//! After a hint, the peer announces earlier, asks earlier for news, for catalogues or for shares
//! whose files have changed, or learns addresses of new peers. A hint does not say what was
//! withdrawn or who has left: only the announces find that out, as they would without hints.

use super::{CatalogueWatch, GroupAnnouncer};
use crate::peer::{Account, Membership, Transfers};
use crate::wire::access::{GroupNumbers, Hint, NewPeers};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The announces that follow from one hint are spread over this time, because all members get it at
/// the same moment.
const SPREAD: Duration = Duration::from_millis(500);

/// Acts on hints.
#[derive(Debug)]
pub(crate) struct HintReader<'a> {
    account: &'a Account,
    transfers: &'a Transfers,
    announcer: &'a GroupAnnouncer,
    catalogues: &'a CatalogueWatch,
    numbers: KnownNumbers,
}

/// For each membership, the last number [`GroupNumbers::ended`], from any tracker.
#[derive(Debug, Default)]
struct KnownNumbers(HashMap<Membership, u64>);

/// What the peer does after a hint about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reaction {
    /// It announces the shares of the group, to learn which ones were withdrawn and who has left.
    announces: bool,
    /// It asks for the shares whose files have changed.
    asks_for_reports: bool,
}

impl<'a> HintReader<'a> {
    pub(crate) fn new(
        account: &'a Account,
        transfers: &'a Transfers,
        announcer: &'a GroupAnnouncer,
        catalogues: &'a CatalogueWatch,
    ) -> Self {
        Self {
            account,
            transfers,
            announcer,
            catalogues,
            numbers: KnownNumbers::default(),
        }
    }

    /// Acts on a hint.
    pub(crate) fn on_hint(&mut self, hint: Hint) {
        let Some(user) = self.account.user() else {
            return;
        };
        for numbers in hint.groups {
            let membership = Membership {
                user: user.clone(),
                group: numbers.group.clone(),
            };
            let reaction = self.numbers.on_group(&membership, &numbers);
            self.catalogues.on_hint(&user, &numbers);
            // The answer to an announce has the new name. Until then, the former one is in use.
            if let Some(former) = &numbers.former {
                let is_renamed = |other: &Membership| other.user == user && other.group == *former;
                self.announcer.announce_earlier(is_renamed, soon());
            }
            if reaction.announces {
                let is_affected = |other: &Membership| *other == membership;
                self.announcer.announce_earlier(is_affected, soon());
            }
            if reaction.asks_for_reports {
                self.announcer.changed_files().exchange_earlier(soon());
            }
        }
        for NewPeers {
            info_hash,
            addresses,
        } in hint.swarms
        {
            let transfer = self.transfers.transfer(info_hash);
            let is_of_user = |membership: &Membership| membership.user == user;
            if let Some(transfer) = transfer
                && transfer
                    .plan
                    .group
                    .as_ref()
                    .is_some_and(|share| is_of_user(&share.membership))
            {
                transfer.add_newcomers(addresses.iter());
            }
        }
        if hint.has_news {
            // The news may be that the user is no longer a member of a group.
            let is_affected = |membership: &Membership| membership.user == user;
            self.announcer.announce_earlier(is_affected, soon());
            self.account.on_news();
            self.catalogues.on_news(&user);
        }
    }
}

impl KnownNumbers {
    fn on_group(&mut self, membership: &Membership, numbers: &GroupNumbers) -> Reaction {
        let former = self.0.insert(membership.clone(), numbers.ended);
        Reaction {
            announces: former.is_some_and(|former| former != numbers.ended),
            asks_for_reports: numbers.has_reports,
        }
    }
}

/// A moment within [`SPREAD`].
fn soon() -> Instant {
    Instant::now() + SPREAD.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the peer does after hints of its trackers. Each hint has the numbers `added` and
    /// `ended`, and whether there are new reports. Each result is `announces, asks_for_reports`.
    fn reactions(hints: &[(u64, u64, bool)]) -> Vec<(bool, bool)> {
        let mut known = KnownNumbers::default();
        let membership = Membership {
            group: "lab".parse().unwrap(),
            user: "nik".parse().unwrap(),
        };
        let reaction = |&(added, ended, has_reports): &(u64, u64, bool)| {
            let numbers = GroupNumbers {
                group: membership.group.clone(),
                former: None,
                added,
                ended,
                has_reports,
            };
            let reaction = known.on_group(&membership, &numbers);
            (reaction.announces, reaction.asks_for_reports)
        };
        hints.iter().map(reaction).collect()
    }

    #[test]
    fn an_ended_share_brings_an_announce_and_a_new_share_does_not() {
        let hints = [(1, 1, false), (2, 1, false), (2, 2, false)];
        let expected = [(false, false), (false, false), (true, false)];
        assert_eq!(reactions(&hints), expected);
    }

    #[test]
    fn the_same_change_from_another_tracker_brings_nothing() {
        // First the watches of two trackers begin. Then both send a hint of each change.
        let hints = [(1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (2, 2)];
        let expected = [false, false, false, false, true, false];
        let hints = hints.map(|(added, ended)| (added, ended, false));
        let expected = expected.map(|announces| (announces, false));
        assert_eq!(reactions(&hints), expected);
    }

    #[test]
    fn reports_of_changed_files_bring_a_question_whatever_the_numbers_are() {
        let hints = [(1, 1, true), (1, 1, true), (2, 1, true), (2, 2, true)];
        let expected = [(false, true), (false, true), (false, true), (true, true)];
        assert_eq!(reactions(&hints), expected);
    }
}
