//! The entries of lists.

use super::fields::{self, Place};
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, Fields, parsed};
use crate::wire::name::Label;
use crate::wire::words::words;

/// What the asker is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing.
    Stranger,
    /// It has asked and has not been answered.
    Requester,
    /// A member.
    Member,
    /// The member that owns it.
    Owner,
}

/// What became of the asker's request or membership by the act of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request was accepted.
    Accepted,
    /// The request was rejected.
    Rejected,
    /// The owner removed the member.
    Removed,
    /// The group ended before the request was answered.
    GroupEnded,
}

words!(Standing { Stranger => "stranger", Requester => "requester", Member => "member", Owner => "owner" });
words!(Outcome { Accepted => "accepted", Rejected => "rejected", Removed => "removed", GroupEnded => "group-ended" });

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its name.
    pub name: Label,
    /// Who owns it; none while that is not known to the tracker.
    pub owner: Option<Label>,
    /// How many members it has.
    pub members: u32,
    /// What the asker is to it.
    pub standing: Standing,
}

/// A member in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEntry {
    /// Its name.
    pub name: Label,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Whether it owns the group.
    pub owner: bool,
}

/// A request in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEntry {
    /// Who asks.
    pub name: Label,
    /// When it asked, in milliseconds since 1970.
    pub at: u64,
}

/// A decision about the asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewsEntry {
    /// The group; if it has ended, by the name it had.
    pub group: Label,
    /// What was decided.
    pub outcome: Outcome,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// A share in the catalogue of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name: what it is asked for by.
    pub name: Place,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// Who shared it; none while that is not known to the tracker.
    pub publisher: Option<Label>,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How many peers that are there now have all of it.
    pub complete: u32,
    /// How many peers that are there now have a part of it or none.
    pub partial: u32,
}

/// An entry of a list of one kind.
pub(super) trait Entry: Sized {
    /// The kind of the message it comes in.
    const KIND: &'static str;

    fn item(&self) -> Item<'static>;
    fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError>;

    fn decode(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = Fields::new(value)?;
        let entry = Self::read(&mut fields)?;
        fields.end(Self::KIND)?;
        Ok(entry)
    }
}

fn text(label: &Label) -> Item<'static> {
    label.to_string().into()
}

impl Entry for GroupEntry {
    const KIND: &'static str = "groups";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("members", Item::from(self.members)),
            ("name", text(&self.name)),
            ("standing", self.standing.as_str().into()),
        ];
        entries.extend(self.owner.as_ref().map(|owner| ("owner", text(owner))));
        Item::dictionary(entries)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            owner: fields.optional("owner", parsed)?,
            members: fields.number("members")?,
            standing: fields.word("standing", Standing::parse)?,
        })
    }
}

impl Entry for MemberEntry {
    const KIND: &'static str = "members";

    fn item(&self) -> Item<'static> {
        Item::dictionary([
            ("name", text(&self.name)),
            ("owner", u32::from(self.owner).into()),
            ("since", self.since.into()),
        ])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            since: fields.large("since")?,
            owner: fields.flag("owner")?,
        })
    }
}

impl Entry for RequestEntry {
    const KIND: &'static str = "requests";

    fn item(&self) -> Item<'static> {
        Item::dictionary([("at", self.at.into()), ("name", text(&self.name))])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            at: fields.large("at")?,
        })
    }
}

impl Entry for NewsEntry {
    const KIND: &'static str = "news";

    fn item(&self) -> Item<'static> {
        Item::dictionary([
            ("at", self.at.into()),
            ("group", text(&self.group)),
            ("outcome", self.outcome.as_str().into()),
        ])
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            group: fields.parsed("group")?,
            outcome: fields.word("outcome", Outcome::parse)?,
            at: fields.large("at")?,
        })
    }
}

impl Entry for FileEntry {
    const KIND: &'static str = "files";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("at", self.at.into()),
            ("complete", Item::from(self.complete)),
            ("info hash", self.info_hash.0.to_vec().into()),
            ("length", self.length.into()),
            ("name", self.name.as_str().to_owned().into()),
            ("partial", self.partial.into()),
        ];
        let publisher = self.publisher.as_ref();
        entries.extend(publisher.map(|publisher| ("publisher", text(publisher))));
        Item::dictionary(entries)
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.with("name", fields::place)?,
            info_hash: fields.info_hash("info hash")?,
            length: fields.large("length")?,
            publisher: fields.optional("publisher", parsed)?,
            at: fields.large("at")?,
            complete: fields.number("complete")?,
            partial: fields.number("partial")?,
        })
    }
}
