//! The names and lists of tokens and machines, and the news about them.

use super::{Cursor, MachineName, Page};
use super::{
    DecisionOutcome, GroupName, Label, Machine, MachineToken, News, Refusal, Registry, Role, Row,
    RowId, Stamp, Version, VersionVector, tag_of,
};
use crate::wire::access::{MachineState, TokenState};
use crate::wire::machine::{MachineLabel, SubjectLabel};
use std::collections::BTreeSet;
use std::time::Duration;

/// A token in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Its name.
    pub label: MachineLabel,
    /// Its groups, with the role of its machines in each.
    pub groups: Vec<(Label, Role)>,
    /// Whether machines can enrol with it.
    pub state: TokenState,
    /// The number of machines that have enrolled.
    pub enrolled: usize,
    /// The largest number of machines.
    pub machines: u64,
    /// When it was made.
    pub at: Stamp,
    /// Until when machines can enrol, in milliseconds since 1970.
    pub enrols_until: Option<u64>,
}

/// A machine in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineView {
    /// Its name.
    pub label: MachineLabel,
    /// The name of its token.
    pub token: Option<MachineLabel>,
    /// Its role in the group of the list.
    pub role: Option<Role>,
    /// What it may do.
    pub state: MachineState,
    /// When it enrolled.
    pub at: Stamp,
    /// When it started last.
    pub started: Option<Stamp>,
}

/// An entry of the lists of news. The key is the name of a group and the row of the event.
pub(super) type NewsEntry = ((GroupName, RowId), News);

impl Registry {
    /// The name of a user or a machine that may do something.
    pub fn subject_label(&self, id: RowId) -> Option<SubjectLabel> {
        match self.row(id) {
            Some(Row::Machine(_)) => self.label_of_machine(id).map(SubjectLabel::from),
            _ => self.account_label(id).map(SubjectLabel::from),
        }
    }

    /// The name of a machine. `None` while its token or its maker is not known.
    pub fn label_of_machine(&self, id: RowId) -> Option<MachineLabel> {
        let machine = self.machine(id)?;
        let maker = self.token(machine.token)?.maker;
        let names = &self.index.machines.names_of(maker)?.machines;
        let name = names.label(&machine.name.value, id);
        let maker = self.label_of_any(maker)?;
        Some(MachineLabel { maker, name })
    }

    /// The name of a token. `None` while its maker is not known.
    pub fn label_of_token(&self, id: RowId) -> Option<MachineLabel> {
        let token = self.token(id)?;
        let names = &self.index.machines.names_of(token.maker)?.tokens;
        let name = match token.revoked {
            None => names.label(&token.name, id),
            Some(_) => Label::from(&token.name).tagged(tag_of(id)),
        };
        let maker = self.label_of_any(token.maker)?;
        Some(MachineLabel { maker, name })
    }

    /// The machine with this name. A revoked machine keeps its name.
    pub(super) fn machine_id(&self, label: &MachineLabel) -> Option<RowId> {
        let maker = self.account_id(&label.maker).ok()?;
        self.index
            .machines
            .names_of(maker)?
            .machines
            .find(&label.name)
    }

    /// The token with this name. A revoked token has none.
    pub(super) fn token_id(&self, label: &MachineLabel) -> Option<RowId> {
        let maker = self.account_id(&label.maker).ok()?;
        self.index
            .machines
            .names_of(maker)?
            .tokens
            .find(&label.name)
    }

    /// The tokens of a group, for its owners. Without a group: the tokens that `actor` has made.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::UnknownGroup`],
    /// [`Refusal::NotMember`], [`Refusal::NotOwner`].
    pub fn tokens(
        &self,
        actor: RowId,
        group: Option<&Label>,
        after: Option<&Cursor>,
        (now, limit): (Duration, usize),
    ) -> Result<Page<TokenView>, Refusal> {
        self.acting_account(actor)?;
        let ids: Vec<RowId> = match group {
            None => self.index.machines.made_by(actor).collect(),
            Some(group) => {
                let group = self.group_as_owner(actor, group)?;
                self.index.machines.tokens_of(group).collect()
            }
        };
        let tokens = ids.into_iter().filter_map(|id| self.token(id));
        let sorted = tokens.map(|token| (token.name.clone(), token.id)).collect();
        let view = |id| self.token_view(self.token(id)?, now);
        Ok(page_of(&sorted, after, limit, view))
    }

    /// The machines of a group, for its members. Without a group: the machines that have enrolled
    /// with the tokens of `actor`.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::UnknownGroup`],
    /// [`Refusal::NotMember`].
    pub fn machines(
        &self,
        actor: RowId,
        group: Option<&Label>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<MachineView>, Refusal> {
        let group = match group {
            Some(group) => Some(self.group_as_member(actor, group)?),
            None => self.acting_account(actor).map(|_| None)?,
        };
        let machines: Vec<&Machine> = match group {
            Some(group) => self.machines_in(group).collect(),
            None => {
                let index = &self.index.machines;
                let tokens = index.made_by(actor);
                let ids = tokens.flat_map(|token| index.machines_of(token));
                ids.filter_map(|id| self.machine(id)).collect()
            }
        };
        let machines = machines.into_iter();
        let sorted = machines
            .map(|machine| (machine.name.value.clone(), machine.id))
            .collect();
        let view = |id| self.machine_view(self.machine(id)?, group);
        Ok(page_of(&sorted, after, limit, view))
    }

    /// The events about machines and tokens that an account has not seen: its spent tokens that
    /// another machine wanted to use, and the suspended machines that it may allow again.
    pub(super) fn machine_news(&self, account: RowId, seen: &VersionVector) -> Vec<NewsEntry> {
        let index = &self.index.machines;
        let mut news = Vec::new();
        let mut tokens: BTreeSet<RowId> = index.made_by(account).collect();
        for token in tokens.iter().filter_map(|id| self.token(*id)) {
            let refused = token.refused.as_ref().map(|field| field.version);
            let label = self.label_of_token(token.id);
            let outcome = DecisionOutcome::TokenRefused;
            let group = token.groups.keys().next();
            news.extend(self.event(outcome, group, token.id, label, (refused, seen)));
        }
        let owned: Vec<RowId> = self.groups_owned_by(account).collect();
        tokens.extend(owned.iter().flat_map(|group| index.tokens_of(*group)));
        for token in tokens.iter().filter_map(|id| self.token(*id)) {
            let groups = || token.groups.keys();
            let group = groups().find(|group| owned.contains(group));
            let group = group.or_else(|| groups().next());
            let machines = index.machines_of(token.id);
            let machines = machines.filter_map(|id| self.machine(id));
            for machine in machines.filter(|row| row.revoked.is_none()) {
                // Most machines are not suspended. Looking up their names would take long.
                if let Some(suspended) = machine.suspension() {
                    let label = self.label_of_machine(machine.id);
                    let outcome = DecisionOutcome::MachineSuspended;
                    let event = (Some(suspended), seen);
                    news.extend(self.event(outcome, group, machine.id, label, event));
                }
            }
        }
        news
    }

    fn event(
        &self,
        outcome: DecisionOutcome,
        group: Option<&RowId>,
        row: RowId,
        label: Option<MachineLabel>,
        (version, seen): (Option<Version>, &VersionVector),
    ) -> Option<NewsEntry> {
        let (version, group) = (version?, *group?);
        if seen.of(version.stamp.origin()) >= version.sequence {
            return None;
        }
        let news = News {
            group,
            label: self.group_label(group)?,
            outcome,
            user: label.map(SubjectLabel::from),
            role: None,
            at: version.stamp,
        };
        Some(((self.group_name(group)?.clone(), row), news))
    }

    fn groups_owned_by(&self, account: RowId) -> impl Iterator<Item = RowId> {
        let groups = self.index.past_or_current_groups(account);
        groups.filter(move |group| self.role_of(*group, account) == Some(Role::Owner))
    }

    fn token_view(&self, token: &MachineToken, now: Duration) -> Option<TokenView> {
        let enrolled = self.index.machines.machines_of(token.id).count();
        let is_spent = u64::try_from(enrolled).is_ok_and(|enrolled| enrolled >= token.machines);
        let state = if token.revoked.is_some() {
            TokenState::Revoked
        } else if self.granted_roles(token).next().is_none() {
            TokenState::MakerLeft
        } else if is_spent {
            TokenState::Spent
        } else if token.is_enrolling(now) {
            TokenState::Open
        } else {
            TokenState::Expired
        };
        let groups = token.groups.iter();
        Some(TokenView {
            label: self.label_of_token(token.id)?,
            groups: groups
                .filter_map(|(group, role)| Some((self.group_label(*group)?, *role)))
                .collect(),
            state,
            enrolled,
            machines: token.machines,
            at: token.created.stamp,
            enrols_until: token.enrols_until,
        })
    }

    fn machine_view(&self, machine: &Machine, group: Option<RowId>) -> Option<MachineView> {
        let state = match self.check_machine(machine) {
            Err(Refusal::MachineRevoked) => MachineState::Revoked,
            Err(Refusal::MachineSuspended) => MachineState::Suspended,
            Err(_) => MachineState::TokenEnded,
            Ok(()) if machine.present_starts().is_some() => MachineState::Started,
            Ok(()) => MachineState::Enrolled,
        };
        let starts = machine.starts.iter().flat_map(|it| it.nonces.values());
        Some(MachineView {
            label: self.label_of_machine(machine.id)?,
            token: self.label_of_token(machine.token),
            role: group.and_then(|group| self.role_of_machine(group, machine)),
            state,
            at: machine.name.version.stamp,
            started: starts.map(|version| version.stamp).max(),
        })
    }
}

/// A page of a list that is sorted by name.
pub(super) fn page_of<T>(
    sorted: &BTreeSet<(MachineName, RowId)>,
    after: Option<&Cursor>,
    limit: usize,
    view: impl Fn(RowId) -> Option<T>,
) -> Page<T> {
    let keys = super::queries::entries_after(sorted, after);
    Page::collect(keys, limit, |_, id| view(id))
}
