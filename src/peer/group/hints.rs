//! What a peer does with the hints of a tracker.
//!
//! After a hint, the peer announces earlier, asks earlier for news or for shares whose files have
//! changed, or learns addresses of new peers. A hint does not say what was withdrawn or who has
//! left: only the announces find that out, as they would without hints.

use super::GroupAnnouncer;
use crate::peer::{Account, Membership, Transfers};
use crate::wire::access::{GroupNumbers, Hint, NewPeers};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The announces that follow from one hint are spread over this time, because all members get it at
/// the same moment.
const SPREAD: Duration = Duration::from_millis(500);

/// Acts on hints, and remembers the change numbers of groups.
#[derive(Debug)]
pub(crate) struct HintReader<'a> {
    account: &'a Account,
    transfers: &'a Transfers,
    announcer: &'a GroupAnnouncer,
    /// For each membership, the last numbers `added` and `ended` of its group. The second one
    /// changes when a share is withdrawn, or a member leaves or returns.
    numbers: HashMap<Membership, (u64, u64)>,
}

impl<'a> HintReader<'a> {
    pub(crate) fn new(
        account: &'a Account,
        transfers: &'a Transfers,
        announcer: &'a GroupAnnouncer,
    ) -> Self {
        Self {
            account,
            transfers,
            announcer,
            numbers: HashMap::new(),
        }
    }

    /// Acts on a hint.
    pub(crate) fn on_hint(&mut self, hint: Hint) {
        let Some(user) = self.account.user() else {
            return;
        };
        for numbers in hint.groups {
            let GroupNumbers {
                group,
                added,
                ended,
            } = numbers;
            let user = user.clone();
            let membership = Membership { user, group };
            let former = self.numbers.insert(membership.clone(), (added, ended));
            if former.is_some_and(|(_, former)| former != ended) {
                let is_affected = |other: &Membership| *other == membership;
                self.announcer.announce_earlier(is_affected, soon());
            }
            if former == Some((added, ended)) {
                // What has changed is not in the rows of the group.
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
                && transfer.plan.group.as_ref().is_some_and(is_of_user)
            {
                transfer.add_newcomers(addresses.iter());
            }
        }
        if hint.has_news {
            // The news may be that the user is no longer a member of a group.
            let is_affected = |membership: &Membership| membership.user == user;
            self.announcer.announce_earlier(is_affected, soon());
            self.account.on_news();
        }
    }
}

/// A moment within [`SPREAD`].
fn soon() -> Instant {
    Instant::now() + SPREAD.mul_f64(fastrand::f64())
}
