//! What can be asked of the registry. Lists are sorted by name, then id, and come in pages.

mod page;

pub use page::{Cursor, CursorError, MAX_PAGE, Page};

use super::{
    Account, EndReason, GroupMembers, GroupName, Label, Membership, Outcome, Place, Refusal,
    Registry, Row, RowId, Stamp, Standing, UserName, Version, VersionVector, live,
};

/// A group as an account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub id: RowId,
    /// How it is named.
    pub label: Label,
    /// How its owner is named; none while the owner's account has not arrived from another tracker.
    pub owner: Option<Label>,
    /// How many members it has.
    pub members: usize,
    /// What the asking account is to it.
    pub standing: Standing,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The account.
    pub id: RowId,
    /// How it is named.
    pub label: Label,
    /// When it was accepted.
    pub since: Stamp,
    /// Whether it owns the group.
    pub owner: bool,
}

/// A request that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// The account that asks.
    pub id: RowId,
    /// How it is named.
    pub label: Label,
    /// When it asked.
    pub at: Stamp,
}

/// What became of somebody's request or membership by the act of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The group.
    pub group: RowId,
    /// How it is named; if it has ended, the name it had.
    pub label: Label,
    /// What became of it.
    pub outcome: Outcome,
    /// When.
    pub at: Stamp,
}

impl Registry {
    /// The account of that id.
    pub fn account(&self, id: RowId) -> Option<&Account> {
        self.acting(id).ok()
    }

    /// The account a label names.
    ///
    /// # Errors
    /// [`Refusal::UnknownUser`].
    pub fn account_id(&self, label: &Label) -> Result<RowId, Refusal> {
        let id = self.index.accounts.find(label);
        id.ok_or_else(|| Refusal::UnknownUser(label.clone()))
    }

    /// All accounts that claim a name: first the one that holds it, then those that lost it. A log-in tries them in turn.
    pub fn accounts_named(&self, name: &UserName) -> Vec<&Account> {
        let claimants = self.index.accounts.claimants(name);
        claimants
            .into_iter()
            .filter_map(|id| self.account(id))
            .collect()
    }

    /// How an account is named: with a tag if another one holds its name.
    pub fn account_label(&self, id: RowId) -> Option<Label> {
        let account = self.account(id)?;
        Some(self.index.accounts.label(&account.name.value, id))
    }

    /// Whether another account holds the name of this one, of which its user is to be told.
    pub fn lost_name(&self, id: RowId) -> bool {
        self.account_label(id)
            .is_some_and(|label| label.tag().is_some())
    }

    /// The group a label names, if it has members.
    ///
    /// # Errors
    /// [`Refusal::UnknownGroup`].
    pub fn group_id(&self, label: &Label) -> Result<RowId, Refusal> {
        let id = self.index.groups.find(label);
        id.ok_or_else(|| Refusal::UnknownGroup(label.clone()))
    }

    /// How a group is named: with a tag if another one holds its name.
    pub fn group_label(&self, id: RowId) -> Option<Label> {
        match self.row(id) {
            Some(Row::Group(row)) => Some(self.index.groups.label(&row.name.value, id)),
            _ => None,
        }
    }

    /// Who owns a group; nobody if it has ended.
    pub fn owner(&self, group: RowId) -> Option<RowId> {
        self.index.owner(group)
    }

    /// How many members a group has.
    pub(super) fn member_count(&self, group: RowId) -> usize {
        let members = self.index.members.get(&group);
        members.map_or(0, GroupMembers::count)
    }

    /// What an account is to a group.
    pub fn standing(&self, group: RowId, account: RowId) -> Standing {
        match self.index.place_of(group, account) {
            None => Standing::Stranger,
            Some(_) if self.owner(group).is_none() => Standing::Stranger,
            Some(Place::Requested(_)) => Standing::Requester,
            Some(Place::Member(_)) if self.owner(group) == Some(account) => Standing::Owner,
            Some(Place::Member(_)) => Standing::Member,
        }
    }

    /// All accounts, for the tracker's own console.
    pub fn accounts(&self, after: Option<&Cursor>, limit: usize) -> Page<(RowId, Label)> {
        let claims = self.index.accounts.from(Cursor::key(after));
        Page::of(claims, limit, |name, id| {
            Some((id, self.index.accounts.label(name, id)))
        })
    }

    /// All groups, as `account` sees them; nobody in particular if it is none.
    pub fn groups(
        &self,
        account: Option<RowId>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<GroupView> {
        let claims = self.index.groups.from(Cursor::key(after));
        Page::of(claims, limit, |name, id| {
            Some(self.group_view(name, id, account))
        })
    }

    /// The groups in which an account is a member or has asked to be.
    pub fn groups_of(
        &self,
        account: RowId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<GroupView> {
        let Some(joined) = self.index.joined.get(&account) else {
            return Page::empty();
        };
        Page::of(page::from(joined, after), limit, |name, id| {
            self.owner(id)?;
            Some(self.group_view(name, id, Some(account)))
        })
    }

    /// The members of a group; for its members only.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn members(
        &self,
        actor: RowId,
        group: &Label,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<MemberView>, Refusal> {
        let group = self.member_of(actor, group)?;
        let Some(members) = self.index.members.get(&group) else {
            return Ok(Page::empty());
        };
        let owner = self.owner(group);
        let members = page::from(&members.members, after);
        Ok(Page::of(members, limit, |name, id| {
            match self.index.place_of(group, id)? {
                Place::Member(since) => Some(MemberView {
                    id,
                    label: self.index.accounts.label(name, id),
                    since,
                    owner: owner == Some(id),
                }),
                Place::Requested(_) => None,
            }
        }))
    }

    /// The requests that wait for an answer; for the owner only.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::NotOwner`].
    pub fn requests(
        &self,
        actor: RowId,
        group: &Label,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<RequestView>, Refusal> {
        let group = self.owner_of(actor, group)?;
        let Some(members) = self.index.members.get(&group) else {
            return Ok(Page::empty());
        };
        let requests = page::from(&members.requests, after);
        Ok(Page::of(requests, limit, |name, id| {
            match self.index.place_of(group, id)? {
                Place::Requested(at) => Some(RequestView {
                    id,
                    label: self.index.accounts.label(name, id),
                    at,
                }),
                Place::Member(_) => None,
            }
        }))
    }

    /// What others decided about an account by writes that `seen` does not cover. Whoever looks joins the version vector
    /// that held when it began to look, after the last page, to what it has seen: then it is told each answer once, whichever
    /// tracker it asks, and an answer that arrives late from another tracker is not passed over.
    pub fn answers(
        &self,
        account: RowId,
        seen: &VersionVector,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<Answer> {
        let mut groups: Vec<(GroupName, RowId)> = Vec::new();
        for id in self.index.asked(account) {
            if let Some(Row::Group(row)) = self.row(id) {
                groups.push((row.name.value.clone(), id));
            }
        }
        groups.sort_unstable();
        let after = Cursor::key::<GroupName>(after);
        let groups = groups
            .iter()
            .filter(|key| after.as_ref().is_none_or(|after| *key > after))
            .map(|(name, id)| (name, *id));
        Page::of(groups, limit, |name, group| {
            let (outcome, version) = self.outcome(group, account)?;
            let known = seen.of(version.stamp.origin()) >= version.sequence;
            (!known).then(|| Answer {
                group,
                label: self.index.groups.label(name, group),
                outcome,
                at: version.stamp,
            })
        })
    }

    fn group_view(&self, name: &GroupName, id: RowId, account: Option<RowId>) -> GroupView {
        let owner = self.owner(id);
        GroupView {
            id,
            label: self.index.groups.label(name, id),
            owner: owner.and_then(|owner| self.account_label(owner)),
            members: self.member_count(id),
            standing: account.map_or(Standing::Stranger, |account| self.standing(id, account)),
        }
    }

    /// What others made of an account's requests to a group, and by which write.
    fn outcome(&self, group: RowId, account: RowId) -> Option<(Outcome, Version)> {
        let rows = self.memberships(group, account);
        let mut live = live(rows.clone());
        let accepted = live.clone().filter_map(|row| {
            let accepted = row.accepted.as_ref()?;
            Some((accepted.version, accepted.value))
        });
        if let Some((accepted, by)) = accepted.min() {
            // The maker of a group asked nobody.
            return (by != account).then_some((Outcome::Accepted, accepted));
        }
        let last_end = |rows: &mut dyn Iterator<Item = &Membership>| {
            rows.filter_map(|row| row.ended.as_ref())
                .map(|ended| (ended.version, ended.value.reason))
                .max()
        };
        if live.next().is_some() {
            if self.owner(group).is_some() {
                return None;
            }
            let all = &mut self.memberships_of_group(group);
            let (version, _) = last_end(all)?;
            return Some((Outcome::GroupEnded, version));
        }
        match last_end(&mut { rows })? {
            (version, EndReason::Rejected) => Some((Outcome::Rejected, version)),
            (version, EndReason::Removed) => Some((Outcome::Removed, version)),
            (_, EndReason::Left) => None,
        }
    }
}
