//! Tokens and machines: the operations on them, and what a machine may do.
//!
//! What a machine may do is derived at each request from three rows: the token, the machine and the
//! membership of the maker. So nothing has to be ended when one of them ends, and two trackers with
//! the same rows agree. A token is valid in a group as long as its maker has been a member without
//! a break since before the token was made: a maker who leaves and joins again must make a new
//! token. The role of a machine in a group is the role of the token, or the one that an owner gave
//! to the machine, but never more than the role of the maker.

use super::{
    Change, GivenRole, KeyHash, Label, Machine, MachineName, MachineToken, MembershipState,
    Refusal, Register, Registry, Role, Row, RowId, Stamp, Starts, Update, Version, VersionVector,
    millis, suspension_entry, tag_of,
};
use crate::wire::access::{BAR_LIFE, MAX_TOKEN_GROUPS};
use crate::wire::machine::{MachineLabel, MachineStart, SecretHash};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most tokens of one account that are not revoked, and with which machines can enrol or that
/// are younger than `TOKEN_COUNTS_FOR`.
pub const MAX_TOKENS_OF_ACCOUNT: usize = 100;
/// The most machines that have enrolled with tokens of one account. Those of tokens that were
/// revoked more than [`BAR_LIFE`] ago do not count.
pub const MAX_MACHINES_OF_ACCOUNT: usize = 10_000;
/// How long a token counts at least, so that tokens with a very short time to enrol cannot fill the
/// database.
const TOKEN_COUNTS_FOR: Duration = Duration::from_secs(24 * 3600);
/// How often it is noted, for each token, that another machine wanted to enrol when the token was
/// spent. So a stranger with the secret cannot fill the database.
pub const REFUSAL_NOTE_PAUSE: Duration = Duration::from_secs(3600);

/// The arguments of [`Registry::create_token`].
#[derive(Clone, Debug)]
pub struct NewToken {
    /// A new id: random, or derived from the random id of a write.
    pub id: RowId,
    /// The hash of the secret.
    pub secret: SecretHash,
    /// The name of the token.
    pub name: MachineName,
    /// The groups, with the role of the machines in each.
    pub groups: Vec<(Label, Role)>,
    /// The largest number of machines.
    pub machines: u32,
    /// For how long machines can enrol.
    pub enrols_for: Option<Duration>,
}

/// What became of a start.
#[derive(Clone, Debug)]
pub enum StartResult {
    /// It is the latest one.
    Accepted(Update),
    /// Its counter was used before, with another nonce: the machine is suspended.
    Suspended(Update),
}

impl Registry {
    /// Makes a token with which machines can enrol.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::UnknownGroup`],
    /// [`Refusal::NotMember`], [`Refusal::NotOwner`], [`Refusal::TokenQuota`],
    /// [`Refusal::NameTaken`], [`Refusal::TokenRole`], [`Refusal::IdInUse`].
    pub fn create_token(
        &self,
        actor: RowId,
        new: NewToken,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(actor)?;
        let mut groups = BTreeMap::new();
        for (label, role) in new.groups.iter().take(MAX_TOKEN_GROUPS) {
            if *role == Role::Owner {
                return Err(Refusal::TokenRole);
            }
            groups.insert(self.group_as_owner(actor, label)?, *role);
        }
        new.name.check_new()?;
        let is_counted = |token: &&MachineToken| token.limits_tokens(now);
        let tokens = self.index.machines.made_by(actor);
        let tokens = tokens.filter_map(|id| self.token(id));
        if tokens.filter(is_counted).count() >= MAX_TOKENS_OF_ACCOUNT {
            return Err(Refusal::TokenQuota(MAX_TOKENS_OF_ACCOUNT));
        }
        if let Some(names) = self.index.machines.names_of(actor) {
            names.tokens.check_free(&new.name)?;
        }
        if self
            .index
            .machines
            .with_secret(&new.secret)
            .next()
            .is_some()
        {
            return Err(Refusal::IdInUse(new.id));
        }
        let version = self.next_version(now);
        let token = MachineToken {
            id: new.id,
            created: version,
            maker: actor,
            secret: new.secret,
            name: new.name,
            groups,
            machines: u64::from(new.machines),
            enrols_until: new.enrols_for.map(|life| millis(now.saturating_add(life))),
            revoked: None,
            refused: None,
        };
        self.write(version, &[new.id], [Row::Token(token)])
    }

    /// Checks that a token has this secret.
    ///
    /// # Errors
    /// [`Refusal::UnknownToken`].
    pub fn check_secret(&self, secret: &SecretHash) -> Result<(), Refusal> {
        self.token_with_secret(secret).map(drop)
    }

    /// Checks that a machine has this id.
    ///
    /// # Errors
    /// [`Refusal::UnknownMachine`].
    pub fn check_machine_id(&self, id: RowId) -> Result<(), Refusal> {
        self.machine(id).map(drop).ok_or(Refusal::UnknownMachine)
    }

    /// The machine that has enrolled with this secret and this key. `None` if it can enrol now.
    ///
    /// # Errors
    /// [`Refusal::UnknownToken`], [`Refusal::TokenEnded`], [`Refusal::TokenSpent`],
    /// [`Refusal::MachineRevoked`], [`Refusal::MachineSuspended`], [`Refusal::MachineQuota`].
    pub fn enrolled(
        &self,
        secret: &SecretHash,
        key: &KeyHash,
        now: Duration,
    ) -> Result<Option<RowId>, Refusal> {
        let token = self.token_with_secret(secret)?;
        self.check_granted(token)?;
        if let Some(machine) = self.machine(Machine::id_of(token.id, key)) {
            return self.check_machine(machine).map(|()| Some(machine.id));
        }
        if !token.is_enrolling(now) {
            return Err(Refusal::TokenEnded);
        }
        let count = self.index.machines.machines_of(token.id).count();
        if u64::try_from(count).is_ok_and(|count| count >= token.machines) {
            return Err(Refusal::TokenSpent);
        }
        let tokens = self.index.machines.made_by(token.maker);
        let tokens = tokens.filter_map(|id| self.token(id));
        let tokens = tokens.filter(|token| token.limits_machines(now));
        let machines = tokens.flat_map(|token| self.index.machines.machines_of(token.id));
        match machines.count() >= MAX_MACHINES_OF_ACCOUNT {
            true => Err(Refusal::MachineQuota(MAX_MACHINES_OF_ACCOUNT)),
            false => Ok(None),
        }
    }

    /// Enrols a machine.
    ///
    /// # Errors
    /// Those of [`Registry::enrolled`]; [`Refusal::IdInUse`] if the machine has enrolled already;
    /// [`Refusal::NameTaken`] if another machine has the same name and the same tag.
    pub fn enrol(
        &self,
        secret: &SecretHash,
        key: KeyHash,
        name: MachineName,
        now: Duration,
    ) -> Result<Update, Refusal> {
        name.check_new()?;
        if let Some(id) = self.enrolled(secret, &key, now)? {
            return Err(Refusal::IdInUse(id));
        }
        let MachineToken {
            id: token, maker, ..
        } = *self.token_with_secret(secret)?;
        let id = Machine::id_of(token, &key);
        self.check_tag(maker, &name, id)?;
        let version = self.next_version(now);
        let machine = Machine {
            id,
            created: version,
            token,
            key,
            name: Register::new(version, name),
            starts: None,
            suspended: None,
            answered: None,
            revoked: None,
            roles: BTreeMap::new(),
        };
        self.write(version, &[machine.id], [Row::Machine(machine)])
    }

    /// Notes that another machine wanted to enrol with a spent token. `None` if that was noted
    /// less than [`REFUSAL_NOTE_PAUSE`] ago.
    ///
    /// # Errors
    /// [`Refusal::UnknownToken`].
    pub fn note_refusal(
        &self,
        secret: &SecretHash,
        now: Duration,
    ) -> Result<Option<Update>, Refusal> {
        let token = self.token_with_secret(secret)?;
        let last = token.refused.as_ref().map(|field| field.version.stamp);
        let pause = millis(REFUSAL_NOTE_PAUSE);
        if last.is_some_and(|last| millis(now) < last.wall().saturating_add(pause)) {
            return Ok(None);
        }
        let version = self.next_version(now);
        let noted = MachineToken {
            refused: Some(Register::new(version, ())),
            ..token.clone()
        };
        self.write(version, &[], [Row::Token(noted)]).map(Some)
    }

    /// What a login of this start is bound to, if it is the latest start of the machine. So a
    /// repeated request for it is answered like the first one.
    ///
    /// # Errors
    /// [`Refusal::UnknownMachine`], [`Refusal::MachineRevoked`], [`Refusal::MachineSuspended`],
    /// [`Refusal::TokenEnded`].
    pub fn credential_of_start(
        &self,
        machine: RowId,
        key: &KeyHash,
        start: &MachineStart,
    ) -> Result<Option<Stamp>, Refusal> {
        let machine = self.machine(machine).filter(|it| it.key == *key);
        let machine = machine.ok_or(Refusal::UnknownMachine)?;
        self.check_machine(machine)?;
        let starts = machine.present_starts();
        let latest = starts.filter(|starts| starts.is(start));
        Ok(latest.and_then(|_| machine.credential()))
    }

    /// Records a start of a machine, whose key the caller has checked. If its counter was used
    /// before, the machine is suspended.
    ///
    /// # Errors
    /// Those of [`Registry::credential_of_start`]; [`Refusal::IdInUse`] if this start was recorded
    /// already.
    pub fn start_machine(
        &self,
        id: RowId,
        key: &KeyHash,
        start: &MachineStart,
        now: Duration,
    ) -> Result<StartResult, Refusal> {
        if self.credential_of_start(id, key, start)?.is_some() {
            return Err(Refusal::IdInUse(id));
        }
        let machine = self.machine(id).ok_or(Refusal::UnknownMachine)?;
        let version = self.next_version(now);
        let last = machine.present_starts().map(|starts| starts.counter);
        let is_later = last.is_none_or(|last| start.counter > last);
        let mut row = machine.clone();
        match is_later {
            true => row.starts = Some(Starts::new(machine.answer(), start, version)),
            false => row.suspended = Some(Register::new(version, ())),
        }
        let update = self.write(version, &[], [Row::Machine(row)])?;
        Ok(match is_later {
            true => StartResult::Accepted(update),
            false => StartResult::Suspended(update),
        })
    }

    /// Revokes a token. Its machines may do nothing any more.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::UnknownToken`],
    /// [`Refusal::NotMaker`].
    pub fn revoke_token(
        &self,
        actor: RowId,
        label: &MachineLabel,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(actor)?;
        let token = self.token_id(label).and_then(|id| self.token(id));
        let token = token.ok_or(Refusal::UnknownToken)?;
        self.check_may_revoke(actor, token)?;
        let version = self.next_version(now);
        let revoked = MachineToken {
            revoked: Some(Register::new(version, actor)),
            ..token.clone()
        };
        self.write(version, &[], [Row::Token(revoked)])
    }

    /// Revokes a machine. It may do nothing any more.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::UnknownMachine`],
    /// [`Refusal::NotMaker`].
    pub fn revoke_machine(
        &self,
        actor: RowId,
        label: &MachineLabel,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (machine, token) = self.machine_and_token(actor, label)?;
        self.check_may_revoke(actor, token)?;
        let version = self.next_version(now);
        let revoked = Machine {
            revoked: Some(Register::new(version, actor)),
            ..machine.clone()
        };
        self.write(version, &[], [Row::Machine(revoked)])
    }

    /// Allows a machine again that was suspended. Its next start is accepted, whatever its counter
    /// is, and its earlier logins stay ended.
    ///
    /// # Errors
    /// Those of [`Registry::revoke_machine`]; [`Refusal::NotSuspended`].
    pub fn allow_machine(
        &self,
        actor: RowId,
        label: &MachineLabel,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (machine, token) = self.machine_and_token(actor, label)?;
        self.check_may_allow(actor, token)?;
        if machine.suspension().is_none() {
            return Err(Refusal::NotSuspended(label.clone()));
        }
        let version = self.next_version(now);
        let allowed = Machine {
            answered: Some(Register::new(version, actor)),
            ..machine.clone()
        };
        self.write(version, &[], [Row::Machine(allowed)])
    }

    /// Gives a machine a role in a group of its token.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::UnknownGroup`],
    /// [`Refusal::NotMember`], [`Refusal::NotOwner`], [`Refusal::UnknownMachine`],
    /// [`Refusal::TokenRole`], [`Refusal::MachineRevoked`].
    pub(super) fn set_machine_role(
        &self,
        actor: RowId,
        group: &Label,
        label: &MachineLabel,
        role: Role,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let group = self.group_as_owner(actor, group)?;
        let machine = self.machine_id(label).and_then(|id| self.machine(id));
        let machine = machine.ok_or(Refusal::UnknownMachine)?;
        let token = self.token(machine.token);
        if !token.is_some_and(|token| token.groups.contains_key(&group)) {
            return Err(Refusal::UnknownMachine);
        }
        if role == Role::Owner {
            return Err(Refusal::TokenRole);
        }
        if machine.revoked.is_some() {
            return Err(Refusal::MachineRevoked);
        }
        let version = self.next_version(now);
        let mut row = machine.clone();
        let given = GivenRole { role, by: actor };
        row.roles.insert(group, Register::new(version, given));
        self.write(version, &[], [Row::Machine(row)])
    }

    /// Checks that a machine may do anything at all.
    ///
    /// # Errors
    /// [`Refusal::MachineRevoked`], [`Refusal::MachineSuspended`], [`Refusal::TokenEnded`],
    /// [`Refusal::UnknownToken`].
    pub(super) fn check_machine(&self, machine: &Machine) -> Result<(), Refusal> {
        if machine.revoked.is_some() {
            return Err(Refusal::MachineRevoked);
        }
        if machine.suspension().is_some() {
            return Err(Refusal::MachineSuspended);
        }
        let token = self.token(machine.token).ok_or(Refusal::UnknownToken)?;
        self.check_granted(token)
    }

    /// Checks that a token is valid in a group. It has ended only if a row says so: this tracker
    /// may not have learned yet that the maker is a member.
    ///
    /// # Errors
    /// [`Refusal::TokenEnded`], [`Refusal::UnknownToken`].
    fn check_granted(&self, token: &MachineToken) -> Result<(), Refusal> {
        if self.granted_roles(token).next().is_some() {
            return Ok(());
        }
        let mut groups = token.groups.keys();
        let has_left = |group| self.maker_departure(group, token).is_some();
        match token.revoked.is_some() || groups.all(|group| has_left(*group)) {
            true => Err(Refusal::TokenEnded),
            false => Err(Refusal::UnknownToken),
        }
    }

    /// The latest end or acceptance of a membership of the maker, if he has left the group and that
    /// was after the token was made.
    fn maker_departure(&self, group: RowId, token: &MachineToken) -> Option<Stamp> {
        let members = self.index.members.get(&group)?;
        let at = members.departure_of(token.maker)?.at;
        (at > token.created.stamp).then_some(at)
    }

    /// The role of a machine in a group.
    pub(super) fn role_of_machine(&self, group: RowId, machine: &Machine) -> Option<Role> {
        if machine.revoked.is_some() || machine.suspension().is_some() {
            return None;
        }
        let token = self.token(machine.token)?;
        let of_maker = self.maker_role(group, token)?;
        let of_token = *token.groups.get(&group)?;
        let given = machine.roles.get(&group).map(|given| given.value.role);
        Some(given.unwrap_or(of_token).min(of_maker))
    }

    /// The groups of a machine, with its role in each.
    pub fn groups_of_machine(&self, machine: RowId) -> Vec<(RowId, Role)> {
        let machine = self.machine(machine);
        let token = machine.and_then(|machine| self.token(machine.token));
        let groups = token.into_iter().flat_map(|token| token.groups.keys());
        let role = |group: &RowId| self.role_of_machine(*group, machine?);
        groups
            .filter_map(|group| Some((*group, role(group)?)))
            .collect()
    }

    /// The groups of a machine that may do something, with its role in each: at least one group.
    ///
    /// # Errors
    /// [`Refusal::UnknownMachine`], [`Refusal::MachineRevoked`], [`Refusal::MachineSuspended`],
    /// [`Refusal::TokenEnded`].
    pub fn usable_groups(&self, id: RowId) -> Result<Vec<(RowId, Role)>, Refusal> {
        let machine = self.machine(id).ok_or(Refusal::UnknownMachine)?;
        self.check_machine(machine)?;
        Ok(self.groups_of_machine(id))
    }

    /// The groups in which a token is valid, each with the role of its machines.
    pub(super) fn granted_roles(
        &self,
        token: &MachineToken,
    ) -> impl Iterator<Item = (RowId, Role)> {
        token.groups.iter().filter_map(|(group, role)| {
            let of_maker = self.maker_role(*group, token)?;
            Some((*group, of_maker.min(*role)))
        })
    }

    /// The role of the maker in a group, if the token is valid there.
    fn maker_role(&self, group: RowId, token: &MachineToken) -> Option<Role> {
        if token.revoked.is_some() {
            return None;
        }
        match self.index.state_of(group, token.maker)? {
            MembershipState::Member(since) if since < token.created.stamp => {
                self.role_of(group, token.maker)
            }
            _ => None,
        }
    }

    /// The latest end, suspension or answer that concerns a machine in a group. `None` if there was
    /// none. As trackers merge rows, it only grows.
    pub(super) fn machine_departure(&self, group: RowId, machine: &Machine) -> Option<Stamp> {
        let token = self.token(machine.token)?;
        let of_maker = self.maker_departure(group, token);
        let suspended = machine.suspended.as_ref().map(|it| it.version.stamp);
        let people = [&token.revoked, &machine.revoked, &machine.answered];
        let people = people.into_iter().flatten().map(|it| it.version.stamp);
        people.chain(suspended).chain(of_maker).max()
    }

    /// The machines of a group, valid or not.
    pub(super) fn machines_in(&self, group: RowId) -> impl Iterator<Item = &Machine> {
        let tokens = self.index.machines.tokens_of(group);
        let machines = tokens.flat_map(|token| self.index.machines.machines_of(token));
        machines.filter_map(|id| self.machine(id))
    }

    /// The members of a group and its machines, in no particular order.
    pub fn subject_ids(&self, group: RowId) -> Vec<RowId> {
        let machines = self.machines_in(group);
        let valid = machines.filter(|machine| self.role_of_machine(group, machine).is_some());
        let mut ids = self.member_ids(group);
        ids.extend(valid.map(|machine| machine.id));
        ids
    }

    /// The machine with this id.
    pub(super) fn machine(&self, id: RowId) -> Option<&Machine> {
        match self.row(id) {
            Some(Row::Machine(row)) => Some(row),
            _ => None,
        }
    }

    /// The token with this id.
    pub(super) fn token(&self, id: RowId) -> Option<&MachineToken> {
        match self.row(id) {
            Some(Row::Token(row)) => Some(row),
            _ => None,
        }
    }

    /// Whether a change makes two starts of one machine known that have one counter and different
    /// nonces. A merge then makes own writes.
    pub fn must_suspend_machines(&self, change: &Change) -> bool {
        change.rows().any(|row| match (row, self.row(row.id())) {
            (Row::Machine(theirs), Some(Row::Machine(ours))) => {
                ours.clone().merge(theirs.clone()).must_be_suspended()
            }
            (Row::Machine(theirs), _) => theirs.must_be_suspended(),
            _ => false,
        })
    }

    /// The machines that a merge suspends with writes of its own.
    pub fn suspended_by(&self, merge: &Update) -> Vec<RowId> {
        let (origin, known) = (self.origin(), self.version_vector().of(self.origin()));
        let rows = merge.rows().iter().filter_map(|row| match row {
            Row::Machine(row) => Some((row.id, row.suspended.as_ref()?.version)),
            _ => None,
        });
        rows.filter(|(_, it)| it.stamp.origin() == origin && it.sequence > known)
            .map(|(id, _)| id)
            .collect()
    }

    /// Suspends the machines among the merged rows of which two starts have one counter and
    /// different nonces: two trackers that could not reach each other have each accepted one. Each
    /// suspension is a write of its own, which other trackers learn of when they next catch up. The
    /// write has an entry of the audit log.
    pub(super) fn suspend_machines(
        &self,
        merged: &mut Vec<Row>,
        versions: &mut VersionVector,
        now: Duration,
    ) {
        let mut clock = self.clock_after(merged);
        let mut entries = Vec::new();
        for row in &mut *merged {
            if let Row::Machine(row) = row
                && row.must_be_suspended()
            {
                let origin = self.origin();
                let sequence = versions.of(origin).next();
                let stamp = clock.next(now);
                clock.witness(&stamp);
                versions.note(origin, sequence);
                let version = Version { stamp, sequence };
                row.suspended = Some(Register::new(version, ()));
                entries.push(suspension_entry(row.id, version, now));
            }
        }
        merged.extend(entries);
    }

    /// Checks that no machine of the maker has this name and the tag of `id`. Somebody who tries
    /// many keys could make such an id, and then neither label would mean one machine.
    fn check_tag(&self, maker: RowId, name: &MachineName, id: RowId) -> Result<(), Refusal> {
        let names = self.index.machines.names_of(maker);
        let claimants = names.map(|names| names.machines.claimants(name));
        let mut claimants = claimants.into_iter().flatten();
        match claimants.any(|other| tag_of(other) == tag_of(id)) {
            true => Err(Refusal::NameTaken(Label::from(name))),
            false => Ok(()),
        }
    }

    fn token_with_secret(&self, secret: &SecretHash) -> Result<&MachineToken, Refusal> {
        let tokens = self.index.machines.with_secret(secret);
        let tokens = tokens.filter_map(|id| self.token(id));
        let first = tokens.min_by_key(|token| (token.created, token.id));
        first.ok_or(Refusal::UnknownToken)
    }

    fn machine_and_token(
        &self,
        actor: RowId,
        label: &MachineLabel,
    ) -> Result<(&Machine, &MachineToken), Refusal> {
        self.acting_account(actor)?;
        let machine = self.machine_id(label).and_then(|id| self.machine(id));
        let machine = machine.ok_or(Refusal::UnknownMachine)?;
        let token = self.token(machine.token).ok_or(Refusal::UnknownToken)?;
        Ok((machine, token))
    }

    /// Checks that an account made the token, or owns one of its groups: each owner can keep
    /// machines out of the group.
    fn check_may_revoke(&self, actor: RowId, token: &MachineToken) -> Result<(), Refusal> {
        let mut groups = token.groups.keys();
        let owns_one = groups.any(|group| self.role_of(*group, actor) == Some(Role::Owner));
        match token.maker == actor || owns_one {
            true => Ok(()),
            false => Err(Refusal::NotMaker),
        }
    }

    /// Checks that an account made the token, or owns all its groups that still have members: a
    /// machine that is allowed again may act in all of them.
    fn check_may_allow(&self, actor: RowId, token: &MachineToken) -> Result<(), Refusal> {
        self.check_may_revoke(actor, token)?;
        let groups = token.groups.keys();
        let mut living = groups.filter(|group| self.owner(**group).is_some());
        let owns_all = living.all(|group| self.role_of(*group, actor) == Some(Role::Owner));
        match token.maker == actor || owns_all {
            true => Ok(()),
            false => Err(Refusal::NotMaker),
        }
    }
}

impl MachineToken {
    /// Whether the time to enrol is not over at `now`.
    pub(super) fn is_enrolling(&self, now: Duration) -> bool {
        self.enrols_until.is_none_or(|until| millis(now) < until)
    }

    /// Whether it counts against the limit of its maker.
    fn limits_tokens(&self, now: Duration) -> bool {
        let counts_until = self.created.stamp.wall() + millis(TOKEN_COUNTS_FOR);
        self.revoked.is_none() && (self.is_enrolling(now) || millis(now) < counts_until)
    }

    /// Whether its machines count against the limit of the maker. After it is revoked, its machines
    /// are barred for [`BAR_LIFE`], and the list of bars has a limit.
    fn limits_machines(&self, now: Duration) -> bool {
        let revoked = self.revoked.as_ref();
        revoked.is_none_or(|revoked| {
            let barred_until = revoked.version.stamp.wall() + millis(BAR_LIFE);
            millis(now) < barred_until
        })
    }
}
