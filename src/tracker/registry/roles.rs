//! The roles of members, and the operations that only owners may do on a group as a whole.
//!
//! A member has the role that it was given last. A member that was given none is a publisher. A
//! group with members always has an owner: if no member was given the role of an owner, it is the
//! member who was accepted first and is no reader, or the first reader if all are readers. That is
//! derived, not stored. So if two owners demote each other at two trackers, the group still has an
//! owner. And the groups in databases of earlier versions, which have no roles, keep their owners.
//! A user may have been made a reader so that it can do no harm: it does not become an owner as
//! long as another member is a publisher.

use super::{
    GivenRole, Group, GroupMembers, GroupName, GroupRole, Label, Membership, MembershipState,
    Refusal, Register, Registry, Role, Row, RowId, Stamp, Update, Version, first_accepted, members,
};
use crate::wire::machine::SubjectLabel;
use std::time::Duration;

impl Registry {
    /// The role of a member or a machine in a group. `None` if `subject` is neither. Every rule
    /// about who may do what in a group calls this.
    pub fn role_of(&self, group: RowId, subject: RowId) -> Option<Role> {
        let members = self.index.members.get(&group)?;
        match self.machine(subject) {
            Some(machine) => self.role_of_machine(group, machine),
            None => members.role_of(subject),
        }
    }

    /// The relation of an account to a group, for lists.
    pub fn role(&self, group: RowId, account: RowId) -> GroupRole {
        match (
            self.role_of(group, account),
            self.index.state_of(group, account),
        ) {
            (Some(Role::Owner), _) => GroupRole::Owner,
            (Some(Role::Publisher | Role::Reader), _) => GroupRole::Member,
            (None, Some(_)) if self.owner(group).is_some() => GroupRole::Requester,
            (None, _) => GroupRole::Stranger,
        }
    }

    /// The most senior owner of a group; `None` if the group has ended.
    pub fn owner(&self, group: RowId) -> Option<RowId> {
        self.index.members.get(&group)?.owners().next()
    }

    /// Gives a member of a group, or a machine, a role. If a member has this role already, the
    /// write changes no row.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotOwner`], [`Refusal::UnknownUser`], [`Refusal::UnknownMember`];
    /// [`Refusal::LastOwner`] if the group would have no owner; for a machine also
    /// [`Refusal::UnknownMachine`], [`Refusal::TokenRole`].
    pub fn set_role(
        &self,
        actor: RowId,
        group: &Label,
        subject: &SubjectLabel,
        role: Role,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let user = match subject {
            SubjectLabel::User(user) => user,
            SubjectLabel::Machine(machine) => {
                return self.set_machine_role(actor, group, machine, role, now);
            }
        };
        let id = self.group_as_owner(actor, group)?;
        let member = self.account_id(user)?;
        let Some(present) = self.role_of(id, member) else {
            return Err(Refusal::UnknownMember(user.clone()));
        };
        if role != Role::Owner && self.is_only_owner(id, member) {
            return Err(Refusal::LastOwner(group.clone()));
        }
        let version = self.next_version(now);
        // A role that the member has already is no news. But an owner who was given no role can be
        // given this one.
        if present == role && (role != Role::Owner || self.was_given_ownership(id, member)) {
            return self.write(version, &[], []);
        }
        let given = |account, role| {
            let row = first_accepted(self.memberships(id, account))?;
            let given = GivenRole { role, by: actor };
            Some(Row::Membership(Membership {
                role: Some(Register::new(version, given)),
                ..row.clone()
            }))
        };
        // An owner who was not given this role would lose it to the first owner who was.
        let keeps_own = member != actor && !self.was_given_ownership(id, actor);
        let own = keeps_own.then(|| given(actor, Role::Owner)).flatten();
        self.write(version, &[], own.into_iter().chain(given(member, role)))
    }

    /// Renames a group. Its old name is free afterwards. The new name may differ from the old one
    /// only in letter case.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotOwner`], [`Refusal::BadName`], [`Refusal::NameUnchanged`],
    /// [`Refusal::NameTaken`].
    pub fn rename_group(
        &self,
        actor: RowId,
        group: &Label,
        name: GroupName,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.group_as_owner(actor, group)?;
        let Some(Row::Group(row)) = self.row(id) else {
            return Err(Refusal::UnknownGroup(group.clone()));
        };
        name.check_new()?;
        if name == row.name.value {
            return Err(Refusal::NameUnchanged(group.clone()));
        }
        self.index.group_names.check_free_for(id, &name)?;
        let version: Version = self.next_version(now);
        let renamed = Group {
            name: Register::new(version, name),
            ..row.clone()
        };
        self.write(version, &[], [Row::Group(renamed)])
    }

    /// When a group got its present name.
    pub fn named_at(&self, group: RowId) -> Option<Stamp> {
        match self.row(group) {
            Some(Row::Group(row)) => Some(row.name.version.stamp),
            _ => None,
        }
    }

    /// Checks that `actor` may publish shares in a group.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotPublishing`].
    pub fn check_may_publish(&self, actor: RowId, group: &Label) -> Result<(), Refusal> {
        self.group_with_role(actor, group, Role::Publisher)
            .map(drop)
    }

    /// The group that the label names, if `actor` is a member of it.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn group_as_member(&self, actor: RowId, group: &Label) -> Result<RowId, Refusal> {
        self.group_with_role(actor, group, Role::Reader)
    }

    /// The group that the label names, if `actor` owns it.
    pub(super) fn group_as_owner(&self, actor: RowId, group: &Label) -> Result<RowId, Refusal> {
        self.group_with_role(actor, group, Role::Owner)
    }

    /// The group that the label names, if `actor` has this role or a greater one in it.
    pub(super) fn group_with_role(
        &self,
        actor: RowId,
        group: &Label,
        least: Role,
    ) -> Result<RowId, Refusal> {
        self.acting_subject(actor)?;
        let id = self.group_id(group)?;
        match (self.role_of(id, actor), least) {
            (None, _) => Err(Refusal::NotMember(group.clone())),
            (Some(role), _) if role >= least => Ok(id),
            (Some(_), Role::Owner) => Err(Refusal::NotOwner(group.clone())),
            (Some(_), _) => Err(Refusal::NotPublishing(group.clone())),
        }
    }

    fn is_only_owner(&self, group: RowId, account: RowId) -> bool {
        let owners = self.index.members.get(&group);
        owners
            .into_iter()
            .flat_map(GroupMembers::owners)
            .eq([account])
    }

    /// Whether a member is an owner because it was given this role.
    pub(super) fn was_given_ownership(&self, group: RowId, account: RowId) -> bool {
        let members = self.index.members.get(&group);
        members.is_some_and(|members| members.given_role(account) == Some(Role::Owner))
    }

    /// The role that a member was given last, and the write that gave it.
    pub(super) fn given_role(&self, group: RowId, account: RowId) -> Option<&Register<GivenRole>> {
        match self.index.state_of(group, account)? {
            MembershipState::Member(_) => members::given_role(self.memberships(group, account)),
            MembershipState::Requested(_) => None,
        }
    }
}
