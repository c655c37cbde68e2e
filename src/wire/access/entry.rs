//! The entries of the lists that a tracker returns.

use super::fields::{self, ShortText};
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MessageFields, read_parsed};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use crate::wire::note::Note;
use crate::wire::role::Role;
use crate::wire::words::words;

/// The relation of a user to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupRole {
    /// The user has no relation to the group.
    Stranger,
    /// The user has an open request to join.
    Requester,
    /// The user is a member.
    Member,
    /// The user is a member that owns the group.
    Owner,
}

/// A decision by another user about a request or a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// An owner accepted the request.
    Accepted,
    /// An owner rejected the request.
    Rejected,
    /// An owner removed the member.
    Removed,
    /// The group ended before the request was answered.
    GroupEnded,
    /// Not a decision: another user asks to join a group that the receiving user owns. Sent only to
    /// peers that ask for such entries.
    Requested,
    /// An owner gave the member a role.
    GotRole,
    /// Not a decision: a machine was suspended, because copies of its files may be in use. Sent to
    /// the maker and to the owners of its groups.
    MachineSuspended,
    /// Not a decision: another machine tried to enrol with a token that is used up. Sent to
    /// the maker of the token.
    TokenRefused,
}

words!(GroupRole { Stranger => "stranger", Requester => "requester", Member => "member", Owner => "owner" });
words!(DecisionOutcome { Accepted => "accepted", Rejected => "rejected", Removed => "removed", GroupEnded => "group-ended", Requested => "requested", GotRole => "role", MachineSuspended => "machine-suspended", TokenRefused => "token-refused" });

/// A group, as an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// The name of the group.
    pub name: Label,
    /// The most senior owner of the group. `None` while the tracker does not know it.
    pub owner: Option<Label>,
    /// The number of members.
    pub members: u32,
    /// The relation between the group and the user who receives the list.
    pub role: GroupRole,
    /// The role of the user who receives the list. `None` if the user is not a member.
    pub own_role: Option<Role>,
}

/// A member of a group, as an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEntry {
    /// The name of the member.
    pub name: Label,
    /// When the user became a member, in milliseconds since 1970.
    pub since: u64,
    /// The role of the member.
    pub role: Role,
}

/// A request to join a group, as an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEntry {
    /// The name of the user who asks.
    pub name: Label,
    /// The time of the request, in milliseconds since 1970.
    pub asked_at: u64,
}

/// A decision about the user who receives the list, or a request to join a group that this user
/// owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionEntry {
    /// The name of the group. If the group has ended, the name that it had at its end.
    pub group: Label,
    /// What was decided.
    pub outcome: DecisionOutcome,
    /// The user who asks to join, the suspended machine, or the token. `None` for a decision.
    pub user: Option<SubjectLabel>,
    /// The role that the receiving user has now. Only for [`DecisionOutcome::GotRole`].
    pub role: Option<Role>,
    /// The time of the decision, the request or the event, in milliseconds since 1970.
    pub decided_at: u64,
}

/// A share, or a version of a share, in the catalogue of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The name by which peers request the share. In a list of versions it ends with the number of
    /// the version: `NAME@N`.
    pub name: ShortText,
    /// The number of the version, from 1. In a list of shares: that of the newest version.
    pub version: u32,
    /// The number of versions of the share that are in the catalogue.
    pub versions: u32,
    /// The note of the publisher.
    pub note: Option<Note>,
    /// The swarm of the share.
    pub info_hash: InfoHash,
    /// The length of the share in bytes.
    pub length: u64,
    /// The user or machine that published the share. `None` while the tracker does not know it.
    pub publisher: Option<SubjectLabel>,
    /// The time of publication, in milliseconds since 1970.
    pub published_at: u64,
    /// The number of peers in the swarm that have the whole share.
    pub complete: u32,
    /// The number of peers in the swarm that have a part of the share or nothing.
    pub partial: u32,
}

/// An entry of a list. Each kind of list has one type of entries.
pub(super) trait ListEntry: Sized {
    /// The kind of the message that carries the list.
    const KIND: &'static str;

    fn item(&self) -> Item<'static>;
    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError>;

    fn decode(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let entry = Self::read(&mut fields)?;
        fields.check_all_read(Self::KIND)?;
        Ok(entry)
    }
}

pub(super) fn label_item(label: &Label) -> Item<'static> {
    label.to_string().into()
}

fn role_entry(role: Option<Role>) -> Option<(&'static str, Item<'static>)> {
    role.map(|role| ("role", role.as_str().into()))
}

fn read_role(fields: &mut MessageFields<'_>) -> Result<Option<Role>, ControlError> {
    fields.optional("role", fields::read_role)
}

impl ListEntry for GroupEntry {
    const KIND: &'static str = "groups";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("members", Item::from(self.members)),
            ("name", label_item(&self.name)),
            ("standing", self.role.as_str().into()),
        ];
        entries.extend(
            self.owner
                .as_ref()
                .map(|owner| ("owner", label_item(owner))),
        );
        entries.extend(role_entry(self.own_role));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            owner: fields.optional("owner", read_parsed)?,
            members: fields.number("members")?,
            role: fields.keyword("standing", GroupRole::parse)?,
            own_role: read_role(fields)?,
        })
    }
}

impl ListEntry for MemberEntry {
    const KIND: &'static str = "members";

    fn item(&self) -> Item<'static> {
        Item::dictionary([
            ("name", label_item(&self.name)),
            ("role", self.role.as_str().into()),
            ("since", self.since.into()),
        ])
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            since: fields.u63("since")?,
            role: fields.keyword("role", Role::parse)?,
        })
    }
}

impl ListEntry for RequestEntry {
    const KIND: &'static str = "requests";

    fn item(&self) -> Item<'static> {
        Item::dictionary([
            ("at", self.asked_at.into()),
            ("name", label_item(&self.name)),
        ])
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            asked_at: fields.u63("at")?,
        })
    }
}

impl ListEntry for DecisionEntry {
    const KIND: &'static str = "news";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("at", self.decided_at.into()),
            ("group", label_item(&self.group)),
            ("outcome", self.outcome.as_str().into()),
        ];
        let user = self.user.as_ref();
        entries.extend(user.map(|user| ("user", user.to_string().into())));
        entries.extend(role_entry(self.role));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            group: fields.parsed("group")?,
            outcome: fields.keyword("outcome", DecisionOutcome::parse)?,
            user: fields.optional("user", read_parsed)?,
            role: read_role(fields)?,
            decided_at: fields.u63("at")?,
        })
    }
}

impl ListEntry for FileEntry {
    const KIND: &'static str = "files";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("at", self.published_at.into()),
            ("complete", Item::from(self.complete)),
            ("info hash", self.info_hash.0.to_vec().into()),
            ("length", self.length.into()),
            ("name", self.name.as_str().to_owned().into()),
            ("partial", self.partial.into()),
            ("version", self.version.into()),
            ("versions", self.versions.into()),
        ];
        let note = self.note.as_ref();
        entries.extend(note.map(|note| ("note", note.as_str().to_owned().into())));
        let publisher = self.publisher.as_ref();
        entries.extend(publisher.map(|publisher| ("publisher", publisher.to_string().into())));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.read_by("name", fields::read_short_text)?,
            version: fields.number("version")?,
            versions: fields.number("versions")?,
            note: fields.optional("note", read_parsed)?,
            info_hash: fields.info_hash("info hash")?,
            length: fields.u63("length")?,
            publisher: fields.optional("publisher", read_parsed)?,
            published_at: fields.u63("at")?,
            complete: fields.number("complete")?,
            partial: fields.number("partial")?,
        })
    }
}
