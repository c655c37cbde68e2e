//! News for an account: decisions of other users about it, and requests to join the groups that it
//! owns.

use super::page::{Cursor, Page};
use crate::tracker::registry::{
    DecisionOutcome, EndReason, GroupName, Label, Membership, MembershipState, Registry, Row,
    RowId, Stamp, Version, VersionVector, live_rows,
};
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
    /// The user who asks to join; `None` for a decision about the account.
    pub user: Option<Label>,
    /// When it was done.
    pub at: Stamp,
}

/// News. The key is the name of a group and a row id: of the group (for a decision) or of the
/// request.
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

    /// The decisions, and the open requests to join a group that the account owns. A request is
    /// also new for an account that has just become the owner.
    pub fn decisions_and_requests(
        &self,
        account: RowId,
        seen: &VersionVector,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<News> {
        let mut news = self.new_decisions(account, seen);
        for group in self.index.past_or_current_groups(account) {
            if self.owner(group) == Some(account) {
                news.extend(self.new_requests(group, account, seen));
            }
        }
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
                at: version.stamp,
            };
            let is_new = !is_covered(seen, version);
            is_new.then_some(((self.group_name(group)?.clone(), group), news))
        });
        decisions.collect()
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
                user: Some(self.account_label(*user)?),
                at: first.created.stamp,
            };
            let is_new = !(request_was_seen && ownership_was_seen);
            is_new.then_some(((self.group_name(group)?.clone(), first.id), news))
        });
        news.collect()
    }

    /// The write that made this member the owner of the group, `None` for the creator. The owner is
    /// the one of the present members who was accepted first. All who were accepted earlier have
    /// left, and the write that ended the last of these memberships made this member the owner.
    fn ownership_write(&self, group: RowId, owner: RowId) -> Option<Version> {
        let Some(MembershipState::Member(since)) = self.index.state_of(group, owner) else {
            return None;
        };
        let rows = self.memberships_of_group(group).filter(|row| {
            let accepted = row.accepted.as_ref();
            row.account != owner && accepted.is_some_and(|it| it.version.stamp < since)
        });
        rows.filter_map(|row| self.departure(row)).max()
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

    fn group_name(&self, id: RowId) -> Option<&GroupName> {
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
