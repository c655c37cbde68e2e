//! The record of one share or download in a peer's state folder, and its encoding.
//!
//! The encoding also contains the SHA-1 of the `.torrent` file that belongs to the record.

use super::record_codec::{decode_record, encode_record, path_item, read_path, read_texts, texts};
use super::record_group::RecordedGroup;
use super::torrent_sum::TorrentSum;
use super::unfinished_record::{UnfinishedRecord, read_flag};
use super::{Destination, FileStamp, RecordError};
use crate::bencode::{Dictionary, Item, Value};
use crate::torrent::{FileName, InfoHash};
use std::path::{Path, PathBuf};

/// What a peer stores about one share or download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The info-hash of the share.
    pub info_hash: InfoHash,
    /// Whether it is the user's own share or a download, and where the files are.
    pub kind: RecordKind,
    /// Whether it was complete, has failed, or was stopped.
    pub state: RecordState,
    /// How a download stores its files until it is complete.
    pub unfinished: UnfinishedRecord,
    /// Announce URLs in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Verified bytes per source: the address and the number of bytes.
    pub sources: Vec<(String, u64)>,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
    /// The group, the user or machine that shares or downloads it, and the version. `None` in an
    /// open swarm.
    pub group: Option<RecordedGroup>,
    /// Patterns of the wanted files. Empty: all files.
    pub only: Vec<String>,
    /// Whether to fetch the pieces in order.
    pub sequential: bool,
    /// Addresses of peers from a magnet link.
    pub peers: Vec<String>,
    /// Web seeds. Empty in a record of an earlier version: then those of the `.torrent` are used.
    pub web_seeds: Vec<String>,
}

/// Where the files of a record are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The user's own file or folder. It is never moved.
    Share(SharedPath),
    /// The destination of a download. It exists when the download is complete.
    Download(Destination),
}

/// The user's own file or folder that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPath {
    /// Its path.
    pub path: PathBuf,
    /// Whether symbolic links inside the folder are followed.
    pub follows_links: bool,
}

impl RecordKind {
    /// The user's own file or folder at `path`, without links inside.
    pub fn share(path: PathBuf) -> Self {
        Self::Share(SharedPath {
            path,
            follows_links: false,
        })
    }

    /// Whether symbolic links inside the folder are followed.
    pub fn follows_links(&self) -> bool {
        matches!(self, Self::Share(shared) if shared.follows_links)
    }

    /// Where the files are, or will be when the download is complete.
    pub fn place(&self) -> PathBuf {
        match self {
            Self::Share(shared) => shared.path.clone(),
            Self::Download(destination) => destination.path(),
        }
    }
}

/// Whether a share or download was complete, has failed, or was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Not known to be complete. Hashing finds the pieces that exist.
    Partial,
    /// It was complete at the time when its files had these stamps.
    Complete {
        /// The stamps of the files, see [`super::Store::stamps`].
        stamps: Vec<FileStamp>,
    },
    /// It failed. The next start of the peer checks its files again.
    Failed {
        /// The message for the user.
        reason: String,
    },
    /// The user ended the download. The record only says which partial file is left on disk.
    Stopped,
}

impl Record {
    /// Encodes the record. `torrent` is the SHA-1 of its `.torrent` file.
    pub(super) fn encode(&self, torrent: TorrentSum) -> Vec<u8> {
        let source = |(address, bytes): &(String, u64)| {
            Item::List(vec![address.clone().into(), (*bytes).into()])
        };
        let mut entries = vec![
            ("info hash", Item::from(&self.info_hash.0[..])),
            ("torrent", torrent.encode().into()),
            (
                "trackers",
                Item::List(self.trackers.iter().map(|tier| texts(tier)).collect()),
            ),
            (
                "sources",
                Item::List(self.sources.iter().map(source).collect()),
            ),
            ("added", self.added_ms.into()),
        ];
        entries.extend(self.unfinished.entries());
        entries.extend(self.group.iter().flat_map(RecordedGroup::entries));
        for (key, list) in [
            ("only", &self.only),
            ("peers", &self.peers),
            ("web seeds", &self.web_seeds),
        ] {
            if !list.is_empty() {
                entries.push((key, texts(list)));
            }
        }
        if self.sequential {
            entries.push(("sequential", Item::Integer(1)));
        }
        match &self.kind {
            RecordKind::Share(shared) => {
                entries.push(("share", path_item(&shared.path)));
                if shared.follows_links {
                    entries.push(("links", Item::Integer(1)));
                }
            }
            RecordKind::Download(destination) => {
                entries.push(("folder", path_item(&destination.folder)));
                entries.push(("name", destination.name.as_str().into()));
            }
        }
        match &self.state {
            RecordState::Partial => {}
            RecordState::Complete { stamps } => {
                let stamps: Vec<u8> = stamps.iter().flat_map(FileStamp::encode).collect();
                entries.push(("complete", stamps.into()));
            }
            RecordState::Failed { reason } => entries.push(("failed", reason.as_str().into())),
            RecordState::Stopped => entries.push(("stopped", 1u32.into())),
        }
        encode_record(entries)
    }

    /// Reads the bytes that [`Record::encode`] wrote. `path` is for errors.
    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<(Self, TorrentSum), RecordError> {
        decode_record(bytes, path, read)
    }
}

fn read(fields: &Dictionary<'_>) -> Option<(Record, TorrentSum)> {
    let hash = |key| <[u8; 20]>::try_from(fields.value(key)?.bytes()?).ok();
    let list = |key| fields.value(key).map_or(Some(Vec::new()), read_texts);
    let source = |source: &Value<'_>| match source.list()? {
        [address, bytes] => {
            let bytes = u64::try_from(bytes.integer()?).ok()?;
            Some((address.text()?.to_owned(), bytes))
        }
        _ => None,
    };
    let record = Record {
        info_hash: InfoHash(hash("info hash")?),
        group: RecordedGroup::read(fields)?,
        kind: read_kind(fields)?,
        state: match read_flag(fields, "stopped")? {
            true => RecordState::Stopped,
            false => read_state(fields)?,
        },
        unfinished: UnfinishedRecord::read(fields)?,
        trackers: fields
            .value("trackers")?
            .list()?
            .iter()
            .map(read_texts)
            .collect::<Option<_>>()?,
        sources: fields
            .value("sources")?
            .list()?
            .iter()
            .map(source)
            .collect::<Option<_>>()?,
        added_ms: u64::try_from(fields.value("added")?.integer()?).ok()?,
        only: list("only")?,
        peers: list("peers")?,
        web_seeds: list("web seeds")?,
        sequential: match fields.value("sequential") {
            None => false,
            Some(number) => number.integer()? != 0,
        },
    };
    let torrent = TorrentSum::read(fields.value("torrent")?.bytes()?)?;
    Some((record, torrent))
}

fn read_kind(fields: &Dictionary<'_>) -> Option<RecordKind> {
    Some(match (fields.value("share"), fields.value("folder")) {
        (Some(share), None) => RecordKind::Share(SharedPath {
            path: read_path(share)?,
            follows_links: read_flag(fields, "links")?,
        }),
        (None, Some(folder)) => {
            let name = fields.value("name")?.text()?;
            let name = FileName::new(name).ok()?.as_str().to_owned();
            let folder = read_path(folder)?;
            RecordKind::Download(Destination { folder, name })
        }
        _ => return None,
    })
}

fn read_state(fields: &Dictionary<'_>) -> Option<RecordState> {
    Some(match (fields.value("complete"), fields.value("failed")) {
        (None, None) => RecordState::Partial,
        (Some(stamps), None) => {
            let (stamps, []) = stamps.bytes()?.as_chunks::<{ FileStamp::ENCODED_LENGTH }>() else {
                return None;
            };
            RecordState::Complete {
                stamps: stamps.iter().map(FileStamp::decode).collect(),
            }
        }
        (None, Some(reason)) => RecordState::Failed {
            reason: reason.text()?.to_owned(),
        },
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{RenameSteps, ShareVersion};
    use super::*;
    use crate::bencode::KeyOrder;
    use crate::torrent::Sha1;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    pub(in crate::storage) fn records() -> Vec<Record> {
        let stamp = FileStamp {
            length: 7,
            modified_ns: -1,
            inode: 9,
        };
        let partial = Record {
            group: Some(RecordedGroup {
                user: "nik".parse().unwrap(),
                group: "lab".parse().unwrap(),
                version: Some(ShareVersion {
                    share: "set~0a0b0c0d".into(),
                    number: 3,
                }),
                supersedes: vec![InfoHash([8; 20]), InfoHash([9; 20])],
                forced: true,
                left: Some("set.part".into()),
            }),
            info_hash: InfoHash([7; 20]),
            kind: RecordKind::Download(Destination {
                folder: PathBuf::from(OsStr::from_bytes(b"/not \xff text")),
                name: "set".into(),
            }),
            state: RecordState::Partial,
            unfinished: UnfinishedRecord {
                replaces: true,
                extends: true,
                partial: Some("set.part".into()),
                steps: Some(RenameSteps::SetAside {
                    aside: "set.part.replaced".into(),
                }),
            },
            trackers: vec![
                vec!["http://a/announce".into()],
                vec!["b".into(), "c".into()],
            ],
            sources: vec![("[::1]:6881".into(), 1 << 40), ("10.0.0.1:1".into(), 0)],
            added_ms: 1_700_000_000_000,
            only: vec!["*.txt".into()],
            sequential: true,
            peers: vec!["[::1]:1".into()],
            web_seeds: vec!["http://w/".into()],
        };
        let share = RecordKind::Share(SharedPath {
            path: "/a/b".into(),
            follows_links: true,
        });
        let complete = Record {
            group: None,
            kind: share,
            state: RecordState::Complete {
                stamps: vec![stamp; 3],
            },
            unfinished: UnfinishedRecord::default(),
            trackers: vec![],
            only: vec![],
            sequential: false,
            peers: vec![],
            web_seeds: vec![],
            ..partial.clone()
        };
        let failed = Record {
            state: RecordState::Failed {
                reason: "the disk is full".into(),
            },
            sources: vec![],
            unfinished: UnfinishedRecord {
                steps: Some(RenameSteps::New),
                ..partial.unfinished.clone()
            },
            ..partial.clone()
        };
        let stopped = Record {
            state: RecordState::Stopped,
            // As earlier versions of this program wrote it.
            group: partial.group.clone().map(|group| RecordedGroup {
                version: None,
                supersedes: vec![],
                forced: false,
                ..group
            }),
            ..partial.clone()
        };
        let with_steps = |steps| Record {
            unfinished: UnfinishedRecord {
                steps: Some(steps),
                ..partial.unfinished.clone()
            },
            ..partial.clone()
        };
        let replacing = with_steps(RenameSteps::Replace { inode: u64::MAX });
        let replaced = with_steps(RenameSteps::Done);
        vec![partial, complete, failed, stopped, replacing, replaced]
    }

    /// These are the bytes that the first version of the format had.
    #[test]
    fn the_format_on_disk_does_not_change() {
        let hash = "h".repeat(20);
        let body = format!(
            "d5:addedi5e6:folder2:/a9:info hash20:{hash}4:name1:x4:onlyl5:*.txte8:replacesi1e\
             7:sourcesll4:diski7eee7:torrent20:{hash}8:trackersll3:urlee7:versioni1e6:widensi1ee"
        );
        let bytes = [body.as_bytes(), &Sha1::of(body.as_bytes()).0].concat();
        let (record, torrent) = Record::decode(&bytes, Path::new("x")).unwrap();
        let destination = Destination {
            folder: "/a".into(),
            name: "x".into(),
        };
        assert_eq!(record.kind, RecordKind::Download(destination));
        let unfinished = &record.unfinished;
        assert!(unfinished.extends && unfinished.replaces);
        assert!(unfinished.partial.is_none() && record.state == RecordState::Partial);
        assert_eq!(record.only, ["*.txt"]);
        assert_eq!(record.encode(torrent), bytes);
    }

    #[test]
    fn a_decoded_value_equals_the_encoded_one() {
        for record in records() {
            let bytes = record.encode(Sha1([1; 20]).into());
            let read = Record::decode(&bytes, Path::new("x")).unwrap();
            assert_eq!(read, (record, Sha1([1; 20]).into()));
        }
    }

    #[test]
    fn a_truncated_record_or_a_flipped_bit_is_an_error() {
        for record in records() {
            let mut bytes = record.encode(Sha1([1; 20]).into());
            for length in 0..bytes.len() {
                let cut = Record::decode(&bytes[..length], Path::new("x"));
                assert!(matches!(cut, Err(RecordError::Damaged { .. })), "{length}");
            }
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let flipped = Record::decode(&bytes, Path::new("x"));
                assert!(matches!(flipped, Err(RecordError::Damaged { .. })), "{bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn bytes_that_are_not_a_record_are_an_error_even_with_a_correct_checksum() {
        let with_checksum = |body: &[u8]| [body, &Sha1::of(body).0].concat();
        for body in [
            &b""[..],
            b"le",
            b"i1e",
            b"de",
            b"d7:versioni1ee",
            b"d7:version1:1e",
        ] {
            let read = Record::decode(&with_checksum(body), Path::new("x"));
            assert!(matches!(read, Err(RecordError::Damaged { .. })), "{body:?}");
        }
        let newer = Record::decode(&with_checksum(b"d7:versioni2ee"), Path::new("x"));
        assert!(matches!(
            newer,
            Err(RecordError::Version { version: 2, .. })
        ));
        // Records that are valid except for a missing field or a field of another type.
        let bytes = records()[1].encode(Sha1([1; 20]).into());
        let body = &bytes[..bytes.len() - 20];
        let value = Value::parse(body, KeyOrder::Sorted).unwrap();
        let fields = value.dictionary().unwrap();
        for (broken, _) in fields.entries() {
            for is_replaced in [false, true] {
                let entries = fields.entries().filter_map(|(key, value)| {
                    let name = std::str::from_utf8(key).unwrap();
                    match (key == broken, is_replaced) {
                        (false, _) => Some((name, Item::Raw(value.raw()))),
                        (true, true) => Some((name, Item::dictionary([]))),
                        (true, false) => None,
                    }
                });
                let bytes = with_checksum(&Item::dictionary(entries).encode());
                // A record without stamps is valid: the share is partial. One without `links` is
                // valid too: no links are followed.
                let is_optional = [&b"complete"[..], b"links"].contains(&broken);
                let is_valid = is_optional && !is_replaced;
                assert_eq!(
                    Record::decode(&bytes, Path::new("x")).is_ok(),
                    is_valid,
                    "{broken:?}"
                );
            }
        }
    }
}
