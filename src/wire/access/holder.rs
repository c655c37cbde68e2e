//! Who has a version of a share, and who mirrors a group: the entries of lists.

use super::entry::ListEntry;
use super::fields::{self, ShortText};
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MessageFields, read_parsed};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::MachineName;

/// The id of a holder: of one login of a user, or of one machine. It is the same at all trackers
/// and after a restart. Nobody can log in with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(pub [u8; 16]);

/// Who a holder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderName {
    /// The id of the holder.
    pub id: HolderId,
    /// The user or the machine.
    pub user: SubjectLabel,
    /// The name of the host where the login began. `None` for a machine, and if it is not known.
    pub host: Option<MachineName>,
    /// Whether the request for the list came from this holder.
    pub is_here: bool,
}

/// A holder of a version of a share: it has the version or a part of it, or begins to fetch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderEntry {
    /// The version.
    pub version: NamedVersion,
    /// The holder.
    pub holder: HolderName,
    /// The number of bytes that it lacks. 0 only if all files are complete and at their place.
    pub left: u64,
    /// The length of the version in bytes.
    pub length: u64,
    /// How long ago it announced the version last, in milliseconds. A duration, because the clocks
    /// of trackers differ.
    pub silent_ms: u64,
    /// The bytes that it downloaded in a second between its last two announces.
    pub rate: u64,
    /// Whether it has been silent for so long that the tracker no longer names it to other peers.
    pub is_stale: bool,
    /// Whether it mirrors the group.
    pub mirrors: bool,
}

/// A version of a share in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVersion {
    /// The name that means exactly this version: `NAME@N`.
    pub name: ShortText,
    /// Its number, from 1.
    pub number: u32,
    /// Its swarm.
    pub info_hash: InfoHash,
}

/// A holder that has reported whether it mirrors a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorEntry {
    /// The holder.
    pub holder: HolderName,
    /// Whether it mirrors the group. An entry that ended is sent too: another tracker may not know
    /// of the end.
    pub mirrors: bool,
    /// How long ago it reported that, in milliseconds.
    pub reported_ms: u64,
    /// How long ago the tracker has last heard of it, in milliseconds.
    pub silent_ms: u64,
}

impl HolderEntry {
    /// How much of the version it has, in percent. 100 only if it has all of it.
    pub fn percent(&self) -> u64 {
        let have = self.length.saturating_sub(self.left);
        let percent = u128::from(have) * 100 / u128::from(self.length.max(1));
        match self.left {
            0 => 100,
            _ => u64::try_from(percent).unwrap_or(u64::MAX),
        }
    }
}

impl HolderName {
    fn entries(&self) -> Vec<(&'static str, Item<'static>)> {
        let mut entries = vec![
            ("id", self.id.0.to_vec().into()),
            ("user", self.user.to_string().into()),
        ];
        let host = self.host.as_ref();
        entries.extend(host.map(|host| ("host", host.as_str().to_owned().into())));
        entries.extend(self.is_here.then_some(("here", 1u32.into())));
        entries
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            id: HolderId(fields.array("id")?),
            user: fields.parsed("user")?,
            host: fields.optional("host", read_parsed)?,
            is_here: fields.optional_flag("here")?,
        })
    }
}

impl NamedVersion {
    pub(super) fn item(&self) -> Item<'static> {
        Item::dictionary(self.entries())
    }

    fn entries(&self) -> [(&'static str, Item<'static>); 3] {
        [
            ("info hash", self.info_hash.0.to_vec().into()),
            ("name", self.name.as_str().to_owned().into()),
            ("version", self.number.into()),
        ]
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            name: fields.read_by("name", fields::read_short_text)?,
            number: fields.number("version")?,
            info_hash: fields.info_hash("info hash")?,
        })
    }

    pub(super) fn decode(value: &Value<'_>, key: &'static str) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let version = Self::read(&mut fields)?;
        fields.check_all_read(key)?;
        Ok(version)
    }
}

impl ListEntry for HolderEntry {
    const KIND: &'static str = "holders";

    fn item(&self) -> Item<'static> {
        let mut entries = self.holder.entries();
        entries.extend(self.version.entries());
        entries.extend([
            ("left", self.left.into()),
            ("length", self.length.into()),
            ("rate", self.rate.into()),
            ("silent", self.silent_ms.into()),
        ]);
        entries.extend(self.is_stale.then_some(("stale", 1u32.into())));
        entries.extend(self.mirrors.then_some(("mirrors", 1u32.into())));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            version: NamedVersion::read(fields)?,
            holder: HolderName::read(fields)?,
            left: fields.u63("left")?,
            length: fields.u63("length")?,
            silent_ms: fields.u63("silent")?,
            rate: fields.u63("rate")?,
            is_stale: fields.optional_flag("stale")?,
            mirrors: fields.optional_flag("mirrors")?,
        })
    }
}

impl ListEntry for MirrorEntry {
    const KIND: &'static str = "mirrors";

    fn item(&self) -> Item<'static> {
        let mut entries = self.holder.entries();
        entries.extend([
            ("reported", Item::from(self.reported_ms)),
            ("silent", self.silent_ms.into()),
        ]);
        entries.extend(self.mirrors.then_some(("mirrors", 1u32.into())));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            holder: HolderName::read(fields)?,
            mirrors: fields.optional_flag("mirrors")?,
            reported_ms: fields.u63("reported")?,
            silent_ms: fields.u63("silent")?,
        })
    }
}

/// Entries for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// An entry about the holder `id` and version `number` of `f`.
    pub(crate) fn holder(id: u8, number: u32, left: u64, silent_ms: u64) -> HolderEntry {
        HolderEntry {
            version: NamedVersion {
                name: ShortText::new(format!("f@{number}")).unwrap(),
                number,
                info_hash: InfoHash([u8::try_from(number).unwrap(); 20]),
            },
            holder: name(id),
            left,
            length: 100,
            silent_ms,
            rate: 0,
            is_stale: false,
            mirrors: false,
        }
    }

    /// An entry about the mirror `id`.
    pub(crate) fn mirror(id: u8, silent_ms: u64) -> MirrorEntry {
        MirrorEntry {
            holder: name(id),
            mirrors: true,
            reported_ms: silent_ms,
            silent_ms,
        }
    }

    fn name(id: u8) -> HolderName {
        HolderName {
            id: HolderId([id; 16]),
            user: format!("user{id}").parse().unwrap(),
            host: format!("host{id}").parse().ok(),
            is_here: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_version_has_100_percent() {
        for (left, length, percent) in [
            (0, 0, 100),
            (0, 9, 100),
            (1, 1_000_000, 99),
            (1, 0, 0),
            (55, 100, 45),
            (100, 100, 0),
            (u64::MAX, 100, 0),
        ] {
            let entry = HolderEntry {
                left,
                length,
                ..samples::holder(1, 1, 0, 0)
            };
            assert_eq!(entry.percent(), percent, "{left} of {length}");
        }
    }
}
