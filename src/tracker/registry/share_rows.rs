//! The rows of shares. Each version of a share is a row of its own.

use super::{Register, RowId, Stamp, Version, merge_optional};
use crate::torrent::{FileName, InfoHash};
use crate::wire::note::Note;
use std::cmp::Reverse;

/// A version of a file or folder in the catalogue of a group. Its contents never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The id of the row.
    pub id: RowId,
    /// The group.
    pub group: RowId,
    /// The account that published the version.
    pub publisher: RowId,
    /// The write that created the row.
    pub created: Version,
    /// The claimed name in the catalogue: the share with the earliest claim holds it.
    pub name: FileName,
    /// The info-hash of the swarm of the version. The info dictionary is stored separately, under
    /// this hash.
    pub info_hash: InfoHash,
    /// The length of the version in bytes.
    pub length: u64,
    /// What the publisher says about the version.
    pub note: Option<Note>,
    /// Which version of which share it is. Of two editions of known shares, the one of the share
    /// with the earlier claim wins.
    pub edition: Register<Edition>,
    /// The account that withdrew the version; the last writer wins.
    pub withdrawn: Option<Register<RowId>>,
}

/// Which version of which share a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edition {
    /// The id of the share: that of the row of its first version.
    pub first: RowId,
    /// Since when the share claims its name: the stamp of its first version.
    pub since: Stamp,
    /// The number of the version, from 1. Two trackers that cannot reach each other may give two
    /// versions one number.
    pub number: u32,
}

/// A share: the set of all rows with one group, name and first version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShareKey {
    pub(super) group: RowId,
    pub(super) name: FileName,
    pub(super) first: RowId,
}

impl Edition {
    /// The first version of a share, in the row `id` that the write `created` creates.
    pub fn first(id: RowId, created: Version) -> Register<Self> {
        let edition = Self {
            first: id,
            since: created.stamp,
            number: 1,
        };
        Register::new(created, edition)
    }
}

impl Share {
    /// Whether it is the first version of its share. Rows of earlier versions of the program are.
    /// The edition of a first version always follows from its id and its creation.
    pub fn is_first_version(&self) -> bool {
        self.edition.value.first == self.id
    }

    pub(super) fn key(&self) -> ShareKey {
        ShareKey {
            group: self.group,
            name: self.name.clone(),
            first: self.edition.value.first,
        }
    }

    /// The version, withdrawn by `by`.
    pub(super) fn withdrawn_by(&self, by: RowId, version: Version) -> Self {
        Self {
            withdrawn: Some(Register::new(version, by)),
            ..self.clone()
        }
    }

    pub(super) fn merge(self, other: Self) -> Self {
        let is_kept = self.edition_rank() >= other.edition_rank();
        Self {
            created: self.created.max(other.created),
            edition: if is_kept { self.edition } else { other.edition },
            withdrawn: merge_optional(self.withdrawn, other.withdrawn, Ord::max),
            ..self
        }
    }

    /// A repeated command may be carried out at two trackers that know different versions. Of the
    /// two editions, the one with the greater rank wins:
    ///
    /// 1. An update of a known share wins over a first version, so no tracker takes an update out
    ///    of its share. Of two first versions the later one wins, like the creation.
    /// 2. Of two known shares, the one with the earlier claim to the name wins.
    /// 3. Then the greater number wins.
    fn edition_rank(&self) -> (Option<Reverse<(Stamp, RowId)>>, u32, Version) {
        let Edition {
            first,
            since,
            number,
        } = self.edition.value;
        let claim = (!self.is_first_version()).then_some(Reverse((since, first)));
        (claim, number, self.edition.version)
    }

    /// Whether both rows have the same attributes, apart from those of the creation.
    pub(super) fn is_same_row(&self, other: &Self) -> bool {
        let attributes = |it: &Self| (it.group, it.publisher, it.info_hash, it.length);
        attributes(self) == attributes(other)
            && (&self.name, &self.note) == (&other.name, &other.note)
    }
}
