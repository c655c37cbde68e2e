//! Queries. Lists are sorted by name, then id, and are returned in pages.

mod news;
mod page;

pub use news::News;
pub(super) use page::entries_after;
pub use page::{Cursor, CursorError, MAX_PAGE, Page};

use super::{
    Account, GroupMembers, GroupName, GroupRole, Label, MembershipState, Refusal, Registry, Role,
    Row, RowId, Stamp, UserName,
};

/// A group as an account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub id: RowId,
    /// Its name, with a tag if another group holds the name.
    pub label: Label,
    /// The name of its most senior owner; `None` until the owner's account has arrived from another
    /// tracker.
    pub owner: Option<Label>,
    /// The number of its members.
    pub members: usize,
    /// The relation of the account that asks to the group.
    pub role: GroupRole,
    /// The role of the account that asks, if it is a member.
    pub own_role: Option<Role>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The account.
    pub id: RowId,
    /// Its name, with a tag if another account holds the name.
    pub label: Label,
    /// When it was accepted.
    pub since: Stamp,
    /// Its role.
    pub role: Role,
}

/// A request that is not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// The account that made the request.
    pub id: RowId,
    /// Its name, with a tag if another account holds the name.
    pub label: Label,
    /// When it made the request.
    pub at: Stamp,
}

impl Registry {
    /// The account with this id.
    pub fn account(&self, id: RowId) -> Option<&Account> {
        self.acting_account(id).ok()
    }

    /// The account that a label names.
    ///
    /// # Errors
    /// [`Refusal::UnknownUser`].
    pub fn account_id(&self, label: &Label) -> Result<RowId, Refusal> {
        let id = self.index.account_names.find(label);
        id.ok_or_else(|| Refusal::UnknownUser(label.clone()))
    }

    /// All accounts that claim a name. The account that holds it comes first. A log-in tries them
    /// in this order.
    pub fn accounts_named(&self, name: &UserName) -> Vec<&Account> {
        let claimants = self.index.account_names.claimants(name);
        claimants
            .into_iter()
            .filter_map(|id| self.account(id))
            .collect()
    }

    /// The name of an account that may be removed, with a tag if another account holds the name.
    pub fn label_of_any(&self, id: RowId) -> Option<Label> {
        match self.row(id) {
            Some(Row::Account(row)) => Some(self.index.account_names.label(&row.name.value, id)),
            _ => None,
        }
    }

    /// The name of an account, with a tag if another account holds the name.
    pub fn account_label(&self, id: RowId) -> Option<Label> {
        let account = self.account(id)?;
        Some(self.index.account_names.label(&account.name.value, id))
    }

    /// Whether another account holds the name of this account. A log-in informs the user of this.
    pub fn has_lost_name(&self, id: RowId) -> bool {
        self.account_label(id)
            .is_some_and(|label| label.tag().is_some())
    }

    /// The group that a label names, if it has members.
    ///
    /// # Errors
    /// [`Refusal::UnknownGroup`].
    pub fn group_id(&self, label: &Label) -> Result<RowId, Refusal> {
        let id = self.index.group_names.find(label);
        id.ok_or_else(|| Refusal::UnknownGroup(label.clone()))
    }

    /// The name of a group, with a tag if another group holds the name.
    pub fn group_label(&self, id: RowId) -> Option<Label> {
        match self.row(id) {
            Some(Row::Group(row)) => Some(self.index.group_names.label(&row.name.value, id)),
            _ => None,
        }
    }

    /// The number of members of a group.
    pub(super) fn member_count(&self, group: RowId) -> usize {
        let members = self.index.members.get(&group);
        members.map_or(0, GroupMembers::count)
    }

    /// The size of a group: the number of its members and machines, also of machines that have
    /// ended; and the number of shares in its catalogue.
    pub fn sizes(&self, group: RowId) -> (usize, usize) {
        let machines = &self.index.machines;
        let counts = machines.tokens_of(group);
        let machine_count: usize = counts.map(|token| machines.machine_count(token)).sum();
        let subjects = self.member_count(group) + machine_count;
        (subjects, self.index.catalogue.share_count(group))
    }

    /// The members of a group, in no particular order.
    pub fn member_ids(&self, group: RowId) -> Vec<RowId> {
        let members = self.index.members.get(&group).into_iter();
        members.flat_map(GroupMembers::member_ids).collect()
    }

    /// All accounts, for the tracker's console.
    pub fn accounts(&self, after: Option<&Cursor>, limit: usize) -> Page<(RowId, Label)> {
        let claims = self.index.account_names.entries_after(Cursor::key(after));
        Page::collect(claims, limit, |name, id| {
            Some((id, self.index.account_names.label(name, id)))
        })
    }

    /// All groups, with the role of `account` in each. Without an account the role is
    /// always [`GroupRole::Stranger`].
    pub fn groups(
        &self,
        account: Option<RowId>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<GroupView> {
        let claims = self.index.group_names.entries_after(Cursor::key(after));
        Page::collect(claims, limit, |name, id| {
            Some(self.group_view(name, id, account))
        })
    }

    /// The groups in which an account is a member or has an open request, or the groups of a
    /// machine.
    pub fn groups_of(
        &self,
        account: RowId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Page<GroupView> {
        if self.machine(account).is_some() {
            let groups = self.groups_of_machine(account).into_iter();
            let names = groups.filter_map(|(id, _)| Some((self.group_name(id)?.clone(), id)));
            let sorted = names.collect();
            return Page::collect(page::entries_after(&sorted, after), limit, |name, id| {
                Some(self.group_view(name, id, Some(account)))
            });
        }
        let Some(current_groups) = self.index.current_groups.get(&account) else {
            return Page::empty();
        };
        Page::collect(
            page::entries_after(current_groups, after),
            limit,
            |name, id| {
                self.owner(id)?;
                Some(self.group_view(name, id, Some(account)))
            },
        )
    }

    /// The members of a group. Only members may ask.
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
        let group = self.group_as_member(actor, group)?;
        let Some(members) = self.index.members.get(&group) else {
            return Ok(Page::empty());
        };
        let members = page::entries_after(&members.members, after);
        Ok(Page::collect(members, limit, |name, id| {
            match self.index.state_of(group, id)? {
                MembershipState::Member(since) => Some(MemberView {
                    id,
                    label: self.index.account_names.label(name, id),
                    since,
                    role: self.role_of(group, id)?,
                }),
                MembershipState::Requested(_) => None,
            }
        }))
    }

    /// The open requests of a group. Only owners may ask.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotOwner`].
    pub fn requests(
        &self,
        actor: RowId,
        group: &Label,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<RequestView>, Refusal> {
        let group = self.group_as_owner(actor, group)?;
        let Some(members) = self.index.members.get(&group) else {
            return Ok(Page::empty());
        };
        let requests = page::entries_after(&members.requests, after);
        Ok(Page::collect(requests, limit, |name, id| {
            match self.index.state_of(group, id)? {
                MembershipState::Requested(at) => Some(RequestView {
                    id,
                    label: self.index.account_names.label(name, id),
                    at,
                }),
                MembershipState::Member(_) => None,
            }
        }))
    }

    fn group_view(&self, name: &GroupName, id: RowId, account: Option<RowId>) -> GroupView {
        let owner = self.owner(id);
        GroupView {
            id,
            label: self.index.group_names.label(name, id),
            owner: owner.and_then(|owner| self.account_label(owner)),
            members: self.member_count(id),
            role: account.map_or(GroupRole::Stranger, |account| self.role(id, account)),
            own_role: account.and_then(|account| self.role_of(id, account)),
        }
    }
}
