//! The members of one group. They are derived from the membership rows of the group, row by row.

use super::{GivenRole, Membership, Register, Role, Row, RowId, Rows, Stamp, UserName, removal};
use std::collections::{BTreeSet, HashMap};

/// The members of a group, and the users who have asked to join it.
#[derive(Debug, Default)]
pub(super) struct GroupMembers {
    accounts: HashMap<RowId, AccountRows>,
    /// Members by the stamp of their acceptance.
    seniority: BTreeSet<(Stamp, RowId)>,
    /// The members who were given the role of an owner, in the same order.
    given_owners: BTreeSet<(Stamp, RowId)>,
    /// The members who were not given the role of a reader, in the same order.
    publishers: BTreeSet<(Stamp, RowId)>,
    /// Members by name. A member is missing here until its account is known.
    pub(super) members: BTreeSet<(UserName, RowId)>,
    /// Users with an open request, by name. A user is missing here until the account is known.
    pub(super) requests: BTreeSet<(UserName, RowId)>,
    /// Accounts with a membership that has ended, by the time of their [`Departure`], in
    /// milliseconds since 1970.
    departed: BTreeSet<(u64, RowId)>,
}

/// All membership rows of one account in one group.
#[derive(Debug, Default)]
struct AccountRows {
    rows: BTreeSet<RowId>,
    state: Option<MembershipState>,
    departure: Option<Departure>,
    /// For a member who was a former member before, the stamp of the present acceptance.
    readmitted: Option<Stamp>,
    /// The stamp of the removal of the account.
    removed: Option<Stamp>,
    /// The role that the member was given last.
    role: Option<Role>,
}

/// What followed the end of a membership of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    /// The latest end or acceptance in the rows of the account. As trackers merge rows, it only
    /// grows. So of two departures that trackers report, the one with the later stamp is based on
    /// newer rows.
    pub(super) at: Stamp,
    /// Whether the account is a member again.
    pub(super) is_member: bool,
}

/// The state of an account in a group. An account that is no member and has no open request has no
/// state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MembershipState {
    /// It made a request at this stamp.
    Requested(Stamp),
    /// It was accepted at this stamp.
    Member(Stamp),
}

impl GroupMembers {
    /// The state of an account in the group. `None` if it is no member and has no open request.
    pub(super) fn state_of(&self, account: RowId) -> Option<MembershipState> {
        self.accounts.get(&account)?.state
    }

    /// When the account was accepted, if it is a member now and was a former member before.
    pub(super) fn readmission_stamp(&self, account: RowId) -> Option<Stamp> {
        self.accounts.get(&account)?.readmitted
    }

    /// When the account was removed.
    pub(super) fn removal_stamp(&self, account: RowId) -> Option<Stamp> {
        self.accounts.get(&account)?.removed
    }

    /// The owners, the most senior first: the members who were given this role. If there are none,
    /// the member who was accepted first and is no reader. If all are readers, the reader who was
    /// accepted first. A group that has ended has no owner.
    pub(super) fn owners(&self) -> impl Iterator<Item = RowId> {
        let given = self.given_owners.iter();
        given.chain(self.derived_owner()).map(|(_, owner)| *owner)
    }

    /// The owner of a group in which nobody was given this role.
    fn derived_owner(&self) -> Option<&(Stamp, RowId)> {
        let first = self.publishers.first().or(self.seniority.first());
        first.filter(|_| self.given_owners.is_empty())
    }

    /// The role of a member. `None` if the account is no member.
    pub(super) fn role_of(&self, account: RowId) -> Option<Role> {
        let Some(MembershipState::Member(since)) = self.state_of(account) else {
            return None;
        };
        if self.derived_owner() == Some(&(since, account)) {
            return Some(Role::Owner);
        }
        Some(self.given_role(account).unwrap_or(Role::Publisher))
    }

    /// The role that a member was given last.
    pub(super) fn given_role(&self, account: RowId) -> Option<Role> {
        self.accounts.get(&account)?.role
    }

    /// The number of members.
    pub(super) fn count(&self) -> usize {
        self.seniority.len()
    }

    /// The members, the most senior first.
    pub(super) fn member_ids(&self) -> impl Iterator<Item = RowId> {
        self.seniority.iter().map(|(_, account)| *account)
    }

    /// All accounts that have ever been in the group or asked to join it.
    pub(super) fn accounts(&self) -> impl Iterator<Item = RowId> {
        self.accounts.keys().copied()
    }

    /// The membership rows of an account, sorted by id.
    pub(super) fn rows_of(&self, account: RowId) -> impl Iterator<Item = &RowId> + Clone {
        self.accounts
            .get(&account)
            .into_iter()
            .flat_map(|account_rows| &account_rows.rows)
    }

    /// All membership rows of the group.
    pub(super) fn all_rows(&self) -> impl Iterator<Item = &RowId> {
        self.accounts
            .values()
            .flat_map(|account_rows| &account_rows.rows)
    }

    /// What followed the last end of a membership of an account.
    pub(super) fn departure_of(&self, account: RowId) -> Option<Departure> {
        self.accounts.get(&account)?.departure
    }

    /// The departures with a stamp of the wall time `since` (in milliseconds since 1970) or later,
    /// the latest first. The cost of this does not depend on the size of the group.
    pub(super) fn departures_since(&self, since: u64) -> impl Iterator<Item = (RowId, Departure)> {
        let departed = self.departed.range((since, RowId([0; 16]))..).rev();
        departed.filter_map(|(_, account)| Some((*account, self.accounts.get(account)?.departure?)))
    }

    /// Adds a row of an account. The caller must call [`GroupMembers::recompute`] afterwards.
    pub(super) fn add_row(&mut self, account: RowId, row: RowId) {
        self.accounts.entry(account).or_default().rows.insert(row);
    }

    /// Removes an account from `members` and `requests`, where it is listed under `name`. The
    /// caller must call [`GroupMembers::recompute`] afterwards.
    pub(super) fn remove_name(&mut self, name: &UserName, account: RowId) {
        let entry = (name.clone(), account);
        self.members.remove(&entry);
        self.requests.remove(&entry);
    }

    /// Computes the state of an account from its rows, and updates all lists of members, requests
    /// and departures. Returns the state.
    pub(super) fn recompute(&mut self, rows: &Rows, account: RowId) -> Option<MembershipState> {
        let account_rows = self.accounts.get_mut(&account)?;
        let memberships = account_rows.rows.iter();
        let memberships = memberships.filter_map(|id| membership(rows, id));
        let removed = removal(rows, account).map(|version| version.stamp);
        account_rows.removed = removed;
        // The end of an account ends all its memberships.
        let state = membership_state(memberships.clone()).filter(|_| removed.is_none());
        // An accepted row that is not live is a membership that has ended.
        let left_before =
            count_accepted(memberships.clone()) > count_accepted(live_rows(memberships.clone()));
        account_rows.readmitted = accepted_at(state).filter(|_| left_before);
        // If the account was removed, all its memberships have ended, also those that arrive later.
        let left_before =
            left_before || removed.is_some() && count_accepted(memberships.clone()) > 0;
        let departure = last_change(memberships.clone(), removed).filter(|_| left_before);
        let departure = departure.map(|at| Departure {
            at,
            is_member: accepted_at(state).is_some(),
        });
        if let Some(before) = std::mem::replace(&mut account_rows.departure, departure) {
            self.departed.remove(&(before.at.wall(), account));
        }
        self.departed
            .extend(departure.map(|departure| (departure.at.wall(), account)));
        if let Some(MembershipState::Member(since)) = account_rows.state {
            self.seniority.remove(&(since, account));
            self.given_owners.remove(&(since, account));
            self.publishers.remove(&(since, account));
        }
        account_rows.role = None;
        if let Some(MembershipState::Member(since)) = state {
            self.seniority.insert((since, account));
            account_rows.role = given_role(memberships).map(|given| given.value.role);
            if account_rows.role == Some(Role::Owner) {
                self.given_owners.insert((since, account));
            }
            if account_rows.role != Some(Role::Reader) {
                self.publishers.insert((since, account));
            }
        }
        account_rows.state = state;
        if let Some(Row::Account(row)) = rows.get(&account) {
            let entry = (row.name.value.clone(), account);
            self.members.remove(&entry);
            self.requests.remove(&entry);
            match state {
                Some(MembershipState::Member(_)) => self.members.insert(entry),
                Some(MembershipState::Requested(_)) => self.requests.insert(entry),
                None => false,
            };
        }
        state
    }
}

/// The state that follows from the rows of one account in one group. If a live row is accepted, the
/// account is a member since the earliest acceptance.
fn membership_state<'a>(
    rows: impl Iterator<Item = &'a Membership> + Clone,
) -> Option<MembershipState> {
    let live_rows = live_rows(rows);
    let accepted = live_rows.clone().filter_map(|row| row.accepted.as_ref());
    let since = accepted.map(|field| field.version.stamp).min();
    let requested = live_rows.map(|row| row.created.stamp).min();
    since
        .map(MembershipState::Member)
        .or(requested.map(MembershipState::Requested))
}

/// The role that follows from the rows of one member of a group: the one that was given last. The
/// end of a membership is the end of its role.
pub(super) fn given_role<'a>(
    rows: impl Iterator<Item = &'a Membership> + Clone,
) -> Option<&'a Register<GivenRole>> {
    live_rows(rows).filter_map(|row| row.role.as_ref()).max()
}

/// The first accepted one of the live rows of a member.
pub(super) fn first_accepted<'a>(
    rows: impl Iterator<Item = &'a Membership> + Clone,
) -> Option<&'a Membership> {
    let accepted = live_rows(rows).filter(|row| row.accepted.is_some());
    accepted.min_by_key(|row| (row.created, row.id))
}

fn count_accepted<'a>(rows: impl Iterator<Item = &'a Membership>) -> usize {
    rows.filter(|row| row.accepted.is_some()).count()
}

/// The stamp of a member's acceptance.
fn accepted_at(state: Option<MembershipState>) -> Option<Stamp> {
    match state {
        Some(MembershipState::Member(since)) => Some(since),
        Some(MembershipState::Requested(_)) | None => None,
    }
}

/// The stamp of the latest end or acceptance in the rows of one account. The removal of the account
/// is an end too.
fn last_change<'a>(
    rows: impl Iterator<Item = &'a Membership>,
    removed: Option<Stamp>,
) -> Option<Stamp> {
    let changes = rows.flat_map(|row| {
        let ended = row.ended.as_ref().map(|end| end.version.stamp);
        let accepted = row.accepted.as_ref();
        ended
            .into_iter()
            .chain(accepted.map(|field| field.version.stamp))
    });
    changes.chain(removed).max()
}

/// The rows of one account in one group that no end has cancelled. An end cancels its own row and
/// every row that was created earlier, accepted or not.
pub(super) fn live_rows<'a>(
    rows: impl Iterator<Item = &'a Membership> + Clone,
) -> impl Iterator<Item = &'a Membership> + Clone {
    let ends = rows.clone().filter_map(|row| row.ended.as_ref());
    let last_end = ends.map(|field| field.version.stamp).max();
    rows.filter(move |row| {
        row.ended.is_none() && last_end.is_none_or(|end| row.created.stamp > end)
    })
}

/// The membership row with this id.
pub(super) fn membership<'a>(rows: &'a Rows, id: &RowId) -> Option<&'a Membership> {
    match rows.get(id) {
        Some(Row::Membership(row)) => Some(row),
        _ => None,
    }
}
