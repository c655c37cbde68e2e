//! The answer to the question which version a name in a catalogue means.

use super::fields::{self, ShortText};
use crate::bencode::Item;
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MessageFields};

/// The version of a share that a name means. A tracker knows this also if it lacks the info
/// dictionary of the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeantVersion {
    /// The info-hash of the version.
    pub info_hash: InfoHash,
    /// The number of the version, from 1.
    pub version: u32,
    /// The name of the share in the catalogue, without the number of a version.
    pub share: ShortText,
}

impl MeantVersion {
    /// Whether `name`, which means this version, names it, and not just the share.
    pub fn is_named_version(&self, name: &str) -> bool {
        name != self.share.as_str()
    }

    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        entries.extend([
            ("info hash", Item::from(&self.info_hash.0[..])),
            ("share", self.share.as_str().into()),
            ("version", self.version.into()),
        ]);
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            info_hash: InfoHash(fields.array("info hash")?),
            version: fields.number("version")?,
            share: fields.read_by("share", fields::read_short_text)?,
        })
    }
}
