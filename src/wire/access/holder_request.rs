//! The requests about who has the shares of a group, and who mirrors it. A tracker answers from
//! what it has heard itself, so a peer sends them to every tracker of the group. Only members may
//! ask.

use super::fields::{self, ShortText};
use crate::bencode::Item;
use crate::wire::control::{ControlError, MessageFields};
use crate::wire::name::Label;

/// A request about holders and mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderRequest {
    /// Lists the holders. The answer is [`super::AccessAnswer::Holders`].
    Holders {
        /// The group.
        group: Label,
        /// The name of a share in the catalogue, which means all its versions, or of one version.
        /// `None`: all versions of all shares.
        name: Option<ShortText>,
        /// The position where the previous page ended. Positions are the same at all trackers, and
        /// their order is that of their texts.
        after: Option<ShortText>,
    },
    /// Lists those who have reported whether they mirror the group. The answer is
    /// [`super::AccessAnswer::Mirrors`].
    Mirrors {
        /// The group.
        group: Label,
        /// The position where the previous page ended, as in a list of holders.
        after: Option<ShortText>,
    },
    /// Reports whether the login or the machine that sends this mirrors the group. The answer is
    /// [`super::AccessAnswer::Done`].
    Mirroring {
        /// The group.
        group: Label,
        /// Whether it does.
        on: bool,
    },
}

impl HolderRequest {
    /// Puts the parameters.
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let group = match self {
            Self::Holders { group, name, after } => {
                entries.extend(name.iter().map(|name| ("name", name.as_str().into())));
                entries.extend(fields::after_entry(after));
                group
            }
            Self::Mirrors { group, after } => {
                entries.extend(fields::after_entry(after));
                group
            }
            Self::Mirroring { group, on } => {
                entries.push(("on", u32::from(*on).into()));
                group
            }
        };
        entries.push(("group", group.to_string().into()));
    }

    /// Reads a request of this kind. Returns `None` if `kind` is another kind.
    pub(super) fn read(
        kind: &str,
        fields: &mut MessageFields<'_>,
    ) -> Result<Option<Self>, ControlError> {
        Ok(Some(match kind {
            "list_holders" => Self::Holders {
                group: fields.parsed("group")?,
                name: fields.optional("name", fields::read_short_text)?,
                after: fields::read_after(fields)?,
            },
            "list_mirrors" => Self::Mirrors {
                group: fields.parsed("group")?,
                after: fields::read_after(fields)?,
            },
            "mirroring" => Self::Mirroring {
                group: fields.parsed("group")?,
                on: fields.flag("on")?,
            },
            _ => return Ok(None),
        }))
    }
}
