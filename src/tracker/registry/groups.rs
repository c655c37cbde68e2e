//! Operations on groups and memberships.

use super::{
    End, EndReason, Group, GroupKey, GroupName, Label, Membership, Place, Refusal, Register,
    Registry, Row, RowId, Update, Version, live,
};
use std::time::Duration;

/// A group to be made.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// A random id.
    pub id: RowId,
    /// A random id for its maker's membership.
    pub membership: RowId,
    /// Its name.
    pub name: GroupName,
    /// The key of its own authority.
    pub key: GroupKey,
}

/// Whether the last member of a group may leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Refuse: the group would end.
    KeepGroup,
    /// Leave, and let the group end.
    EndGroup,
}

impl Registry {
    /// Makes a group; its maker is its first member and owns it.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::NameTaken`], [`Refusal::IdInUse`].
    pub fn create_group(
        &self,
        actor: RowId,
        new: NewGroup,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting(actor)?;
        self.index.groups.check_free(&new.name)?;
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
        };
        let rows = [Row::Group(group), Row::Membership(membership)];
        self.write(version, &[new.id, new.membership], rows)
    }

    /// Asks the owner of a group to be let in; `id` is a random id for the request.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::AlreadyMember`], [`Refusal::AlreadyRequested`],
    /// [`Refusal::IdInUse`].
    pub fn request_membership(
        &self,
        actor: RowId,
        group: &Label,
        id: RowId,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting(actor)?;
        let group_id = self.group_id(group)?;
        match self.index.place_of(group_id, actor) {
            Some(Place::Member(_)) => return Err(Refusal::AlreadyMember(group.clone())),
            Some(Place::Requested(_)) => return Err(Refusal::AlreadyRequested(group.clone())),
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
        };
        self.write(version, &[id], [Row::Membership(request)])
    }

    /// Lets a requester in.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::NotOwner`],
    /// [`Refusal::UnknownUser`], [`Refusal::NoRequest`].
    pub fn accept(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (group, user) = self.requested(actor, group, user)?;
        let version = self.next_version(now);
        let first = live(self.memberships(group, user)).min_by_key(|row| (row.created, row.id));
        let accepted = first.map(|row| {
            Row::Membership(Membership {
                accepted: Some(Register::new(version, actor)),
                ..row.clone()
            })
        });
        self.write(version, &[], accepted)
    }

    /// Turns a requester away, who may ask again.
    ///
    /// # Errors
    /// Those of [`Registry::accept`].
    pub fn reject(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (group, user) = self.requested(actor, group, user)?;
        self.end(group, user, EndReason::Rejected, actor, now)
    }

    /// Leaves a group. The member of longest standing owns it from then on if the one who leaves did.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::LastMember`].
    pub fn leave(
        &self,
        actor: RowId,
        group: &Label,
        leaving: Leaving,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.member_of(actor, group)?;
        if leaving == Leaving::KeepGroup && self.member_count(id) == 1 {
            return Err(Refusal::LastMember(group.clone()));
        }
        self.end(id, actor, EndReason::Left, actor, now)
    }

    /// Removes a member from a group.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::NotOwner`],
    /// [`Refusal::UnknownUser`], [`Refusal::UnknownMember`], [`Refusal::OwnRemoval`].
    pub fn remove_member(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.owner_of(actor, group)?;
        let member = self.account_id(user)?;
        if member == actor {
            return Err(Refusal::OwnRemoval);
        }
        match self.index.place_of(id, member) {
            Some(Place::Member(_)) => self.end(id, member, EndReason::Removed, actor, now),
            _ => Err(Refusal::UnknownMember(user.clone())),
        }
    }

    /// Gives another name to a group whose name is held by another one.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::NotOwner`],
    /// [`Refusal::NameKept`] if it holds its name, [`Refusal::NameTaken`].
    pub fn rename_group(
        &self,
        actor: RowId,
        group: &Label,
        name: GroupName,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.owner_of(actor, group)?;
        let Some(Row::Group(row)) = self.row(id) else {
            return Err(Refusal::UnknownGroup(group.clone()));
        };
        if self.index.groups.holder(&row.name.value) == Some(id) {
            return Err(Refusal::NameKept(Label::from(&row.name.value)));
        }
        self.index.groups.check_free(&name)?;
        let version = self.next_version(now);
        let renamed = Group {
            name: Register::new(version, name),
            ..row.clone()
        };
        self.write(version, &[], [Row::Group(renamed)])
    }

    /// The group of that label, if `actor` is a member of it.
    pub(super) fn member_of(&self, actor: RowId, group: &Label) -> Result<RowId, Refusal> {
        self.acting(actor)?;
        let id = self.group_id(group)?;
        match self.index.place_of(id, actor) {
            Some(Place::Member(_)) => Ok(id),
            _ => Err(Refusal::NotMember(group.clone())),
        }
    }

    /// The group of that label, if `actor` owns it.
    pub(super) fn owner_of(&self, actor: RowId, group: &Label) -> Result<RowId, Refusal> {
        let id = self.member_of(actor, group)?;
        if self.owner(id) == Some(actor) {
            Ok(id)
        } else {
            Err(Refusal::NotOwner(group.clone()))
        }
    }

    /// The ids of a group that `actor` owns and of a user who has asked to join it.
    fn requested(
        &self,
        actor: RowId,
        group: &Label,
        user: &Label,
    ) -> Result<(RowId, RowId), Refusal> {
        let group = self.owner_of(actor, group)?;
        let requester = self.account_id(user)?;
        match self.index.place_of(group, requester) {
            Some(Place::Requested(_)) => Ok((group, requester)),
            _ => Err(Refusal::NoRequest(user.clone())),
        }
    }

    /// Ends all that an account has in a group, so that a second request, made on another tracker, goes with the first.
    fn end(
        &self,
        group: RowId,
        account: RowId,
        reason: EndReason,
        by: RowId,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version: Version = self.next_version(now);
        let value = End { reason, by };
        let ended = live(self.memberships(group, account)).map(|row| {
            Row::Membership(Membership {
                ended: Some(Register::new(version, value)),
                ..row.clone()
            })
        });
        self.write(version, &[], ended)
    }
}
