//! Operations on groups and memberships.

use super::{
    End, EndReason, GivenRole, Group, GroupKey, GroupName, Label, Membership, MembershipState,
    Refusal, Register, Registry, Role, Row, RowId, Update, Version, live_rows,
};
use std::time::Duration;

/// The arguments of [`Registry::create_group`].
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// A new id: random, or derived from the random id of a write.
    pub id: RowId,
    /// A new id for the membership of the creator.
    pub membership: RowId,
    /// The name of the group.
    pub name: GroupName,
    /// The key of the group's certificate authority.
    pub key: GroupKey,
}

/// What happens if the member who leaves is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLastMember {
    /// The operation is refused, because the group would end.
    Refuse,
    /// The member leaves and the group ends.
    EndGroup,
}

impl Registry {
    /// Creates a group. Its creator is its first member and owns it.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::BadName`], [`Refusal::NameTaken`],
    /// [`Refusal::IdInUse`].
    pub fn create_group(
        &self,
        actor: RowId,
        new: NewGroup,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(actor)?;
        new.name.check_new()?;
        self.index.group_names.check_free(&new.name)?;
        let version = self.next_version(now);
        let group = Group {
            id: new.id,
            created: version,
            name: Register::new(version, new.name),
            key: new.key,
        };
        let membership = Membership {
            id: new.membership,
            group: new.id,
            account: actor,
            created: version,
            accepted: Some(Register::new(version, actor)),
            ended: None,
            role: Some(Register::new(
                version,
                GivenRole {
                    role: Role::Owner,
                    by: actor,
                },
            )),
        };
        let rows = [Row::Group(group), Row::Membership(membership)];
        self.write(version, &[new.id, new.membership], rows)
    }

    /// Asks the owners of a group for membership. `id` is a new id for the request.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::AlreadyMember`],
    /// [`Refusal::AlreadyRequested`], [`Refusal::IdInUse`].
    pub fn request_membership(
        &self,
        actor: RowId,
        group: &Label,
        id: RowId,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(actor)?;
        let group_id = self.group_id(group)?;
        match self.index.state_of(group_id, actor) {
            Some(MembershipState::Member(_)) => return Err(Refusal::AlreadyMember(group.clone())),
            Some(MembershipState::Requested(_)) => {
                return Err(Refusal::AlreadyRequested(group.clone()));
            }
            None => {}
        }
        let version = self.next_version(now);
        let request = Membership {
            id,
            group: group_id,
            account: actor,
            created: version,
            accepted: None,
            ended: None,
            role: None,
        };
        self.write(version, &[id], [Row::Membership(request)])
    }

    /// Accepts the request of a user.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotOwner`], [`Refusal::UnknownUser`], [`Refusal::NoRequest`].
    pub fn accept(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (group, user) = self.owned_group_and_requester(actor, group, user)?;
        let version = self.next_version(now);
        let first =
            live_rows(self.memberships(group, user)).min_by_key(|row| (row.created, row.id));
        let accepted = first.map(|row| {
            Row::Membership(Membership {
                accepted: Some(Register::new(version, actor)),
                ..row.clone()
            })
        });
        self.write(version, &[], accepted)
    }

    /// Rejects the request of a user, who may ask again.
    ///
    /// # Errors
    /// The same as for [`Registry::accept`].
    pub fn reject(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (group, user) = self.owned_group_and_requester(actor, group, user)?;
        self.end_memberships(group, user, EndReason::Rejected, actor, now)
    }

    /// Leaves a group. If the only owner leaves, then the remaining member who was accepted first
    /// and is no reader owns the group. If all are readers, the reader who was accepted first owns
    /// it.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::LastMember`].
    pub fn leave(
        &self,
        actor: RowId,
        group: &Label,
        if_last_member: IfLastMember,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(actor)?;
        let id = self.group_as_member(actor, group)?;
        if if_last_member == IfLastMember::Refuse && self.member_count(id) == 1 {
            return Err(Refusal::LastMember(group.clone()));
        }
        self.end_memberships(id, actor, EndReason::Left, actor, now)
    }

    /// Removes a member from a group.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotOwner`], [`Refusal::UnknownUser`], [`Refusal::UnknownMember`],
    /// [`Refusal::OwnRemoval`].
    pub fn remove_member(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.group_as_owner(actor, group)?;
        let member = self.account_id(user)?;
        if member == actor {
            return Err(Refusal::OwnRemoval);
        }
        match self.index.state_of(id, member) {
            Some(MembershipState::Member(_)) => {
                self.end_memberships(id, member, EndReason::Removed, actor, now)
            }
            _ => Err(Refusal::UnknownMember(user.clone())),
        }
    }

    /// The ids of a group that `actor` owns and of a user who has an open request for it.
    fn owned_group_and_requester(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
    ) -> Result<(RowId, RowId), Refusal> {
        let group = self.group_as_owner(actor, group)?;
        let requester = self.account_id(user)?;
        match self.index.state_of(group, requester) {
            Some(MembershipState::Requested(_)) => Ok((group, requester)),
            _ => Err(Refusal::NoRequest(user.clone())),
        }
    }

    /// Ends all live membership rows of an account in a group. There is more than one if the
    /// account made requests at two trackers that were disconnected from each other.
    fn end_memberships(
        &self,
        group: RowId,
        account: RowId,
        reason: EndReason,
        by: RowId,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version: Version = self.next_version(now);
        let end = End { reason, by };
        let ended = live_rows(self.memberships(group, account)).map(|row| {
            Row::Membership(Membership {
                ended: Some(Register::new(version, end)),
                ..row.clone()
            })
        });
        self.write(version, &[], ended)
    }
}
