//! News for an account: decisions of other users about it, the roles that they gave it, and
//! requests to join the groups that it owns.

use super::page::{Cursor, Page};
use crate::tracker::registry::{
    DecisionOutcome, EndReason, GroupMembers, GroupName, Label, Membership, MembershipState,
    Registry, Role, Row, RowId, Stamp, Version, VersionVector, first_accepted, live_rows,
};
use crate::wire::machine::SubjectLabel;
use std::collections::BTreeMap;

/// Something that other users did and that concerns an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The group.
    pub group: RowId,
    /// The name of the group; if the group has ended, the name it had.
    pub label: Label,
    /// What was done.
    pub outcome: DecisionOutcome,
    /// The user who asks to join, or the machine or token of the event; `None` for a decision about
    /// the account.
    pub user: Option<SubjectLabel>,
    /// The role that the account has now, if it was given one.
    pub role: Option<Role>,
    /// When it was done.
    pub at: Stamp,
}

/// News. The key is the name of a group and a row id: of the group (for a decision), of the
/// account's membership (for its role), of the request, or of the token or machine.
type NewsByKey = BTreeMap<(GroupName, RowId), News>;

impl Registry {
    /// The decisions of other users about an account, without those that `seen` covers.
    ///
    /// The caller keeps `seen` for the account. Before the first page it takes the version vector
    /// of the registry. After the last page it joins this vector to `seen`. Each decision is then
    /// reported once, whichever tracker is asked, and a decision that arrives late from another
    /// tracker is not missed.
    pub fn decisions(
        &self,
        account: RowId,
        seen: &VersionVector,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<News> {
        page_of(&self.new_decisions(account, seen), after, limit)
    }

    /// The decisions, the events about machines, and the open requests to join a group that the
    /// account owns. A request is also new for an account that has just become an owner.
    pub fn decisions_and_requests(
        &self,
        account: RowId,
        seen: &VersionVector,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<News> {
        let mut news = self.new_decisions(account, seen);
        for group in self.index.past_or_current_groups(account) {
            if self.role_of(group, account) == Some(Role::Owner) {
                news.extend(self.new_requests(group, account, seen));
            }
        }
        news.extend(self.machine_news(account, seen));
        page_of(&news, after, limit)
    }

    fn new_decisions(&self, account: RowId, seen: &VersionVector) -> NewsByKey {
        let groups = self.index.past_or_current_groups(account);
        let decisions = groups.filter_map(|group| {
            let (outcome, version) = self.outcome(group, account)?;
            let news = News {
                group,
                label: self.group_label(group)?,
                outcome,
                user: None,
                role: None,
                at: version.stamp,
            };
            let is_new = !is_covered(seen, version);
            is_new.then_some(((self.group_name(group)?.clone(), group), news))
        });
        let groups = self.index.past_or_current_groups(account);
        let roles = groups.filter_map(|group| self.new_role(group, account, seen));
        decisions.chain(roles).collect()
    }

    /// The role of an account in a group, if another user gave it to the account.
    fn new_role(
        &self,
        group: RowId,
        account: RowId,
        seen: &VersionVector,
    ) -> Option<((GroupName, RowId), News)> {
        let given = self.given_role(group, account)?;
        let is_new = given.value.by != account && !is_covered(seen, given.version);
        let news = News {
            group,
            label: self.group_label(group)?,
            outcome: DecisionOutcome::GotRole,
            user: None,
            role: self.role_of(group, account),
            at: given.version.stamp,
        };
        let membership = first_accepted(self.memberships(group, account))?.id;
        is_new.then_some(((self.group_name(group)?.clone(), membership), news))
    }

    fn new_requests(&self, group: RowId, owner: RowId, seen: &VersionVector) -> NewsByKey {
        let members = self.index.members.get(&group).into_iter();
        let requests = members.flat_map(|members| &members.requests);
        let ownership_was_seen = self
            .ownership_write(group, owner)
            .is_none_or(|version| is_covered(seen, version));
        let news = requests.filter_map(|(_, user)| {
            let rows = self.memberships(group, *user);
            let first = live_rows(rows.clone()).min_by_key(|row| (row.created, row.id))?;
            let request_was_seen = live_rows(rows).any(|row| is_covered(seen, row.created));
            let news = News {
                group,
                label: self.group_label(group)?,
                outcome: DecisionOutcome::Requested,
                user: Some(self.account_label(*user)?.into()),
                role: None,
                at: first.created.stamp,
            };
            let is_new = !(request_was_seen && ownership_was_seen);
            is_new.then_some(((self.group_name(group)?.clone(), first.id), news))
        });
        news.collect()
    }

    /// The write that made this member an owner of the group; `None` for the creator. That is the
    /// write that gave it this role. If nobody was given this role, the member is an owner because
    /// of its seniority. Then it is the last write that ended an earlier membership, or that took
    /// the role from an owner.
    fn ownership_write(&self, group: RowId, owner: RowId) -> Option<Version> {
        let given = self.given_role(group, owner);
        if self.was_given_ownership(group, owner) {
            let membership = first_accepted(self.memberships(group, owner))?;
            let given = given.map(|given| given.version);
            return given.filter(|version| *version != membership.created);
        }
        let Some(MembershipState::Member(since)) = self.index.state_of(group, owner) else {
            return None;
        };
        let rows = self.memberships_of_group(group).filter(|row| {
            let accepted = row.accepted.as_ref();
            let was_owner = row
                .role
                .as_ref()
                .is_some_and(|it| it.value.role == Role::Owner);
            let is_senior = accepted.is_some_and(|it| it.version.stamp < since);
            row.account != owner && (is_senior || was_owner)
        });
        let departures = rows.filter_map(|row| self.departure(row));
        let members = self.index.members.get(&group).into_iter();
        let members = members.flat_map(GroupMembers::member_ids);
        let demotions = members.filter_map(|member| self.given_role(group, member));
        departures.chain(demotions.map(|given| given.version)).max()
    }

    /// The write that ended a membership or removed its account.
    fn departure(&self, row: &Membership) -> Option<Version> {
        let removed = match self.row(row.account) {
            Some(Row::Account(account)) => account.removed.as_ref(),
            _ => None,
        };
        let ended = row.ended.as_ref().map(|field| field.version);
        ended.max(removed.map(|field| field.version))
    }

    pub(in crate::tracker::registry) fn group_name(&self, id: RowId) -> Option<&GroupName> {
        match self.row(id) {
            Some(Row::Group(row)) => Some(&row.name.value),
            _ => None,
        }
    }

    /// The decision of other users about an account in a group, and the write that made it.
    fn outcome(&self, group: RowId, account: RowId) -> Option<(DecisionOutcome, Version)> {
        let rows = self.memberships(group, account);
        let mut live = live_rows(rows.clone());
        let accepted = live.clone().filter_map(|row| {
            let accepted = row.accepted.as_ref()?;
            Some((accepted.version, accepted.value))
        });
        if let Some((accepted, by)) = accepted.min() {
            // The creator of a group is accepted by itself. No other user decided this.
            return (by != account).then_some((DecisionOutcome::Accepted, accepted));
        }
        if live.next().is_some() {
            // The request is open. Without an owner, the group has ended.
            if self.owner(group).is_some() {
                return None;
            }
            let all = self.memberships_of_group(group);
            let version = all.filter_map(|row| self.departure(row)).max()?;
            return Some((DecisionOutcome::GroupEnded, version));
        }
        let ends = rows.filter_map(|row| row.ended.as_ref());
        let last_end = ends.map(|ended| (ended.version, ended.value.reason)).max();
        match last_end? {
            (version, EndReason::Rejected) => Some((DecisionOutcome::Rejected, version)),
            (version, EndReason::Removed) => Some((DecisionOutcome::Removed, version)),
            (_, EndReason::Left) => None,
        }
    }
}

fn is_covered(seen: &VersionVector, version: Version) -> bool {
    seen.of(version.stamp.origin()) >= version.sequence
}

fn page_of(news: &NewsByKey, after: Option<&Cursor>, limit: usize) -> Page<News> {
    let after = Cursor::key::<GroupName>(after);
    let keys = news
        .keys()
        .filter(|key| after.as_ref().is_none_or(|after| *key > after));
    let keys = keys.map(|(name, id)| (name, *id));
    Page::collect(keys, limit, |name, id| {
        news.get(&(name.clone(), id)).cloned()
    })
}
