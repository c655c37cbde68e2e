//! What a tracker reports about a group to a peer that keeps the catalogue of the group current.

use super::entry::{ListEntry, label_item};
use crate::base::hex::Hex;
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields};
use crate::wire::name::Label;
use std::fmt;
use std::time::Duration;

/// The identity of a group, also after it was renamed. A later group of the same name has another
/// one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub [u8; 16]);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In which state a tracker has the catalogue of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The group.
    pub id: GroupId,
    /// See [`super::GroupNumbers::added`].
    pub added: u64,
    /// See [`super::GroupNumbers::ended`].
    pub ended: u64,
    /// The time in milliseconds over which the peers of the members are to spread their requests
    /// for the catalogue after a change, so that the tracker gets a bounded number in a second.
    pub spread_ms: u32,
}

impl GroupState {
    /// Both change numbers. Catalogues with the same numbers are equal.
    pub fn numbers(&self) -> (u64, u64) {
        (self.added, self.ended)
    }

    /// See [`GroupState::spread_ms`].
    pub fn spread(&self) -> Duration {
        Duration::from_millis(self.spread_ms.into())
    }

    pub(super) fn item(&self) -> Item<'static> {
        Item::dictionary(self.entries())
    }

    fn entries(&self) -> [(&'static str, Item<'static>); 4] {
        [
            ("added", self.added.into()),
            ("ended", self.ended.into()),
            ("id", self.id.0.to_vec().into()),
            ("spread", self.spread_ms.into()),
        ]
    }

    pub(super) fn read(value: &Value<'_>, _: &'static str) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let state = Self::read_fields(&mut fields)?;
        fields.check_all_read("state")?;
        Ok(state)
    }

    fn read_fields(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            id: GroupId(fields.array("id")?),
            added: fields.u63("added")?,
            ended: fields.u63("ended")?,
            spread_ms: fields.number("spread")?,
        })
    }
}

/// A group of the user or machine that receives the list, as an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnGroup {
    /// The present name of the group.
    pub name: Label,
    /// The state of its catalogue.
    pub state: GroupState,
}

impl ListEntry for OwnGroup {
    const KIND: &'static str = "own-groups";

    fn item(&self) -> Item<'static> {
        let name = [("name", label_item(&self.name))];
        Item::dictionary(self.state.entries().into_iter().chain(name))
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.parsed("name")?,
            state: GroupState::read_fields(fields)?,
        })
    }
}
