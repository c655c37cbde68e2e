//! The entries of the lists of tokens and machines.

use super::entry::{ListEntry, label_item};
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields, read_parsed, read_u63};
use crate::wire::machine::MachineLabel;
use crate::wire::name::Label;
use crate::wire::role::Role;
use crate::wire::words::words;

/// The most groups of one token.
pub const MAX_TOKEN_GROUPS: usize = 16;
/// The most tokens in one page of a list. A page of the longest entries fits into a frame.
pub const MAX_TOKENS_IN_PAGE: usize = 100;

/// A group, with the role that a token or a machine has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGroup {
    /// The group.
    pub group: Label,
    /// For a token: the largest role that a machine gets. For a machine: its role now.
    pub role: Role,
}

/// Whether machines can enrol with a token, and what its machines may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenState {
    /// Machines can enrol.
    Open,
    /// The largest number of machines has enrolled. They go on.
    Spent,
    /// The time to enrol is over. The enrolled machines go on.
    Expired,
    /// The token was revoked. Its machines may do nothing.
    Revoked,
    /// Its maker has left all its groups since the token was made. Its machines may do nothing.
    MakerLeft,
}

/// What a machine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MachineState {
    /// It has enrolled and may start. It has not started yet, or not since it was allowed again.
    Enrolled,
    /// It has started.
    Started,
    /// It may do nothing until somebody allows it again: two copies of its files were in use.
    Suspended,
    /// It was revoked.
    Revoked,
    /// Its token was revoked, or the token's maker has left.
    TokenEnded,
}

words!(TokenState { Open => "open", Spent => "spent", Expired => "expired", Revoked => "revoked", MakerLeft => "maker-left" });
words!(MachineState { Enrolled => "enrolled", Started => "started", Suspended => "suspended", Revoked => "revoked", TokenEnded => "token-ended" });

/// A token, as an entry of a list. It has no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// The name of the token.
    pub label: MachineLabel,
    /// The groups of the token.
    pub groups: Vec<TokenGroup>,
    /// Whether machines can enrol with it.
    pub state: TokenState,
    /// The number of machines that have enrolled, also revoked ones.
    pub enrolled: u32,
    /// The largest number of machines.
    pub machines: u32,
    /// When it was made, in milliseconds since 1970.
    pub made_at: u64,
    /// Until when machines can enrol, in milliseconds since 1970. `None`: until it is revoked.
    pub enrols_until: Option<u64>,
}

/// A machine, as an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineEntry {
    /// The name of the machine.
    pub label: MachineLabel,
    /// The token with which it enrolled. `None` while the tracker does not know it.
    pub token: Option<MachineLabel>,
    /// The role of the machine in the group of the list. `None` if it has none, or if the list is
    /// not of one group.
    pub role: Option<Role>,
    /// What the machine may do.
    pub state: MachineState,
    /// When it enrolled, in milliseconds since 1970.
    pub enrolled_at: u64,
    /// When it started last, in milliseconds since 1970. `None` if it has not started.
    pub started_at: Option<u64>,
}

pub(super) fn groups_item(groups: &[TokenGroup]) -> Item<'static> {
    let items = groups.iter().map(|entry| {
        Item::dictionary([
            ("group", label_item(&entry.group)),
            ("role", entry.role.as_str().into()),
        ])
    });
    Item::List(items.collect())
}

/// The entries `label` and `groups` of an answer to a machine.
pub(super) fn label_and_groups(
    label: &MachineLabel,
    groups: &[TokenGroup],
) -> [(&'static str, Item<'static>); 2] {
    let groups = groups_item(groups);
    [("label", label.to_string().into()), ("groups", groups)]
}

/// Reads what [`groups_item`] wrote, under the key `groups`.
pub(super) fn read_groups(fields: &mut MessageFields<'_>) -> Result<Vec<TokenGroup>, ControlError> {
    let groups = fields.list("groups", |value: &Value<'_>| {
        let mut fields = MessageFields::new(value)?;
        let entry = TokenGroup {
            group: fields.parsed("group")?,
            role: fields.keyword("role", Role::parse)?,
        };
        fields.check_all_read("groups")?;
        Ok(entry)
    })?;
    match groups.len() {
        1..=MAX_TOKEN_GROUPS => Ok(groups),
        _ => Err(ControlError::WrongValue("groups")),
    }
}

impl ListEntry for TokenEntry {
    const KIND: &'static str = "tokens";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("at", Item::from(self.made_at)),
            ("enrolled", self.enrolled.into()),
            ("groups", groups_item(&self.groups)),
            ("label", self.label.to_string().into()),
            ("machines", self.machines.into()),
            ("state", self.state.as_str().into()),
        ];
        entries.extend(self.enrols_until.map(|until| ("until", until.into())));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            label: fields.parsed("label")?,
            groups: read_groups(fields)?,
            state: fields.keyword("state", TokenState::parse)?,
            enrolled: fields.number("enrolled")?,
            machines: fields.number("machines")?,
            made_at: fields.u63("at")?,
            enrols_until: fields.optional("until", read_u63)?,
        })
    }
}

impl ListEntry for MachineEntry {
    const KIND: &'static str = "machines";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("at", Item::from(self.enrolled_at)),
            ("label", self.label.to_string().into()),
            ("state", self.state.as_str().into()),
        ];
        let token = self.token.as_ref();
        entries.extend(token.map(|token| ("token", token.to_string().into())));
        entries.extend(self.role.map(|role| ("role", role.as_str().into())));
        entries.extend(self.started_at.map(|at| ("started", at.into())));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            label: fields.parsed("label")?,
            token: fields.optional("token", read_parsed)?,
            role: fields.optional("role", |value, key| {
                let role = value.text().and_then(Role::parse);
                role.ok_or(ControlError::WrongValue(key))
            })?,
            state: fields.keyword("state", MachineState::parse)?,
            enrolled_at: fields.u63("at")?,
            started_at: fields.optional("started", read_u63)?,
        })
    }
}
