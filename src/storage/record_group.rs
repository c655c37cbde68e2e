//! The part of a record that says to which group a share belongs, and which version of it is
//! recorded.

use super::unfinished_record::read_flag;
use crate::bencode::{Dictionary, Item};
use crate::torrent::{FileName, InfoHash};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::fmt;

/// A version of a share of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareVersion {
    /// The name of the share in the catalogue, without the number of a version.
    pub share: String,
    /// The number of the version, from 1.
    pub number: u32,
}

impl fmt::Display for ShareVersion {
    /// The name by which commands name this version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.share, self.number)
    }
}

/// Whose share of which group a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedGroup {
    /// The user or machine that shares or downloads it.
    pub user: SubjectLabel,
    /// The group.
    pub group: Label,
    /// The version. `None` in a record of an earlier version of this program, and if no tracker
    /// said which version it is.
    pub version: Option<ShareVersion>,
    /// The info-hashes of other versions at the same place. They end when this one is complete.
    pub supersedes: Vec<InfoHash>,
    /// Whether this version also replaces files of those versions that were changed here.
    pub forced: bool,
    /// The name that a replaced file or folder has beside this version, if something of it is left.
    pub left: Option<String>,
}

impl RecordedGroup {
    /// The entries of the record.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, Item<'_>)> {
        let version = self.version.iter().flat_map(|version| {
            [
                ("share name", Item::from(version.share.as_str())),
                ("share version", version.number.into()),
            ]
        });
        let hashes: Vec<u8> = self.supersedes.iter().flat_map(|hash| hash.0).collect();
        let hashes = (!hashes.is_empty()).then(|| ("supersedes", Item::from(hashes)));
        let forced = self.forced.then(|| ("forced", Item::from(1u32)));
        let left = self.left.iter();
        let left = left.map(|name| ("left", Item::from(name.as_str())));
        let member = [
            ("user", self.user.to_string().into()),
            ("group", self.group.to_string().into()),
        ];
        member
            .into_iter()
            .chain(version)
            .chain(hashes)
            .chain(forced)
            .chain(left)
    }

    /// Reads the entries that [`RecordedGroup::entries`] returned. The inner `Option` is `None` for
    /// an open swarm, the outer one if an entry is malformed.
    pub(super) fn read(fields: &Dictionary<'_>) -> Option<Option<Self>> {
        let (user, group) = match (fields.value("user"), fields.value("group")) {
            (None, None) => return Some(None),
            (Some(user), Some(group)) => (user.text()?.parse().ok()?, group.text()?.parse().ok()?),
            _ => return None,
        };
        let version = match (fields.value("share name"), fields.value("share version")) {
            (None, None) => None,
            (Some(share), Some(number)) => Some(ShareVersion {
                share: share.text()?.to_owned(),
                number: u32::try_from(number.integer()?).ok()?,
            }),
            _ => return None,
        };
        let supersedes = match fields.value("supersedes") {
            None => Vec::new(),
            Some(hashes) => match hashes.bytes()?.as_chunks::<20>() {
                (hashes, []) => hashes.iter().copied().map(InfoHash).collect(),
                _ => return None,
            },
        };
        let left = match fields.value("left") {
            None => None,
            Some(name) => Some(FileName::new(name.text()?).ok()?.as_str().to_owned()),
        };
        Some(Some(Self {
            user,
            group,
            version,
            supersedes,
            forced: read_flag(fields, "forced")?,
            left,
        }))
    }
}
