//! The answer to a request for the info dictionary of a share.

use super::fields::{self, ShortText};
use crate::bencode::Item;
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, InfoPart, MessageFields};

/// A part of the info dictionary of one version of a share, and what the tracker says about this
/// version. All parts of one dictionary have the same info-hash, but the counts of peers may
/// differ. [`super::MetainfoAssembly`] joins the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetainfoPart {
    /// The part.
    pub part: InfoPart,
    /// The info-hash of the version.
    pub info_hash: InfoHash,
    /// The number of the version, from 1.
    pub version: u32,
    /// The name of the share in the catalogue, without the number of a version.
    pub share: ShortText,
    /// The number of peers in the swarm that have the whole version.
    pub complete: u32,
    /// The number of peers in the swarm that have a part of the version or nothing.
    pub partial: u32,
}

impl MetainfoPart {
    /// The number of peers in the swarm.
    pub fn peers(&self) -> u64 {
        u64::from(self.complete).saturating_add(self.partial.into())
    }

    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        entries.extend(self.part.entries());
        entries.extend([
            ("complete", Item::from(self.complete)),
            ("info hash", Item::from(&self.info_hash.0[..])),
            ("partial", self.partial.into()),
            ("share", self.share.as_str().into()),
            ("version", self.version.into()),
        ]);
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            part: fields.info_part()?,
            info_hash: InfoHash(fields.array("info hash")?),
            version: fields.number("version")?,
            share: fields.read_by("share", fields::read_short_text)?,
            complete: fields.number("complete")?,
            partial: fields.number("partial")?,
        })
    }
}
