//! What a peer keeps about the groups that it mirrors. One file in its state folder.

use super::hook_file::{read_hash, read_number};
use super::kept_file::KeptFile;
use super::{FileError, KeptFileError};
use crate::bencode::{Dictionary, Item, Value};
use crate::torrent::{Glob, InfoHash};
use crate::wire::access::GroupId;
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file in the state folder.
const FILE_NAME: &str = "mirrors";
/// Longest accepted file, in bytes. The file has about 200 bytes for each share.
const MAX_FILE_LENGTH: usize = 256 << 20;

/// What the user has said about a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Only shares whose names match one of these patterns are mirrored. If empty: all shares.
    pub only: Vec<Glob>,
    /// The most bytes of all shares that the mirror keeps. `None`: no limit.
    pub keep: Option<u64>,
    /// How long after its withdrawal a share is removed here. `None`: never.
    pub prune_after: Option<Duration>,
    /// The part of the file system that stays free, in percent: below it no download begins.
    pub min_free: u8,
}

/// Who decides about a share that a mirror has fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOwner {
    /// The mirror.
    Mirror,
    /// A person, who has asked for the share with another command too.
    Person,
    /// Nobody: a person has ended the share here, so it is not fetched again.
    Ended,
    /// A person: the share was withdrawn, and its files stay, because some of them were changed.
    Changed,
}

/// A version of a share that a mirror has begun to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredShare {
    /// The name of the share in the catalogue.
    pub name: String,
    /// The number of the version.
    pub version: u32,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The path of its file or folder.
    pub path: PathBuf,
    /// Who decides about it.
    pub owner: MirrorOwner,
}

/// A group that this peer mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMirror {
    /// The group. A later group of the same name is another one.
    pub id: GroupId,
    /// The member whose peer this is.
    pub user: SubjectLabel,
    /// The name of the group, as it was called last.
    pub group: Label,
    /// The folder that has its shares.
    pub folder: PathBuf,
    /// What the user has said.
    pub settings: MirrorSettings,
    /// What the mirror has begun to fetch.
    pub shares: Vec<MirroredShare>,
    /// When it has removed withdrawn shares lately, in milliseconds since 1970: one entry for each
    /// share.
    pub pruned_ms: Vec<u64>,
}

/// The file of the mirrors of one peer.
#[derive(Clone, Debug)]
pub struct MirrorFile(KeptFile);

impl MirrorFile {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self(KeptFile::new(folder, FILE_NAME, MAX_FILE_LENGTH))
    }

    /// What is stored. Empty if there is no file yet.
    ///
    /// # Errors
    /// See [`KeptFileError`]. The file is not changed.
    pub fn load(&self) -> Result<Vec<StoredMirror>, KeptFileError> {
        Ok(self.0.load(decode)?.unwrap_or_default())
    }

    /// Replaces what is stored. The new content survives a crash.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, mirrors: &[StoredMirror]) -> Result<(), FileError> {
        let mirrors = mirrors.iter().map(StoredMirror::item).collect();
        self.0.store([("mirrors", Item::List(mirrors))])
    }
}

impl MirrorOwner {
    fn word(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Person => "person",
            Self::Ended => "ended",
            Self::Changed => "changed",
        }
    }

    fn read(word: &str) -> Option<Self> {
        let all = [Self::Mirror, Self::Person, Self::Ended, Self::Changed];
        all.into_iter().find(|owner| owner.word() == word)
    }
}

impl MirroredShare {
    fn item(&self) -> Item<'_> {
        Item::dictionary([
            ("info_hash", self.info_hash.0.to_vec().into()),
            ("name", self.name.as_str().into()),
            ("owner", self.owner.word().into()),
            ("path", path_item(&self.path)),
            ("version", self.version.into()),
        ])
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let entries = value.dictionary()?;
        Some(Self {
            name: entries.value("name")?.text()?.to_owned(),
            version: u32::try_from(read_number(entries.value("version")?)?).ok()?,
            info_hash: read_hash(entries.value("info_hash")?)?,
            path: read_path(entries.value("path")?)?,
            owner: MirrorOwner::read(entries.value("owner")?.text()?)?,
        })
    }
}

impl StoredMirror {
    /// The version with this info-hash, if the mirror has begun to fetch it.
    pub fn share(&self, info_hash: InfoHash) -> Option<&MirroredShare> {
        let mut shares = self.shares.iter();
        shares.find(|share| share.info_hash == info_hash)
    }

    /// The versions that the mirror may remove.
    pub fn own(&self) -> Vec<InfoHash> {
        let own = |share: &&MirroredShare| share.owner == MirrorOwner::Mirror;
        let own = self.shares.iter().filter(own);
        own.map(|share| share.info_hash).collect()
    }

    /// The names of the shares with these versions, sorted.
    pub fn names(&self, versions: &BTreeSet<InfoHash>) -> Vec<String> {
        let shares = self.shares.iter();
        let shares = shares.filter(|share| versions.contains(&share.info_hash));
        let mut names: Vec<String> = shares.map(|share| share.name.clone()).collect();
        names.sort();
        names
    }

    /// Notes what is known of a version, or forgets the version (`None`).
    pub fn set_share(&mut self, info_hash: InfoHash, share: Option<MirroredShare>) {
        self.shares.retain(|other| other.info_hash != info_hash);
        self.shares.extend(share);
    }

    /// Gives a version to this owner. Returns whether it had another one.
    pub fn give(&mut self, info_hash: InfoHash, owner: MirrorOwner) -> bool {
        let mut shares = self.shares.iter_mut();
        let found = shares.find(|share| share.info_hash == info_hash && share.owner != owner);
        found.map(|share| share.owner = owner).is_some()
    }

    /// Notes that a withdrawn share is removed at this time, in milliseconds since 1970.
    pub fn note_prune(&mut self, at_ms: u64) {
        self.pruned_ms.push(at_ms);
    }

    /// Forgets which shares were removed before this time, in milliseconds since 1970.
    pub fn forget_prunes_before(&mut self, ms: u64) {
        self.pruned_ms.retain(|at| *at >= ms);
    }

    /// The same mirror under this name of the group, with other settings. Forgets which versions a
    /// person has ended, and whose files were changed.
    pub fn begun_again(self, group: Label, settings: MirrorSettings) -> Self {
        let is_kept = |share: &MirroredShare| {
            matches!(share.owner, MirrorOwner::Mirror | MirrorOwner::Person)
        };
        Self {
            group,
            settings,
            shares: self.shares.into_iter().filter(is_kept).collect(),
            ..self
        }
    }

    fn item(&self) -> Item<'_> {
        let settings = &self.settings;
        let only = settings.only.iter().map(|glob| glob.to_string().into());
        let pruned = self.pruned_ms.iter().map(|at| Item::from(*at));
        let keep = settings.keep.map(|keep| ("keep", keep.into()));
        let prune_after = settings.prune_after.map(|after| {
            let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            ("prune_after", milliseconds.into())
        });
        let entries = [
            ("folder", path_item(&self.folder)),
            ("group", self.group.to_string().into()),
            ("id", self.id.0.to_vec().into()),
            ("min_free", u32::from(settings.min_free).into()),
            ("only", Item::List(only.collect())),
            ("pruned", Item::List(pruned.collect())),
            (
                "shares",
                Item::List(self.shares.iter().map(MirroredShare::item).collect()),
            ),
            ("user", self.user.to_string().into()),
        ];
        Item::dictionary(entries.into_iter().chain(keep).chain(prune_after))
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let entries = value.dictionary()?;
        let text = |key: &str| entries.value(key)?.text();
        let only = entries.value("only")?.list()?.iter();
        let only = only.map(|glob| glob.text()?.parse().ok());
        let pruned = entries.value("pruned")?.list()?.iter().map(read_number);
        let shares = entries.value("shares")?.list()?.iter();
        Some(Self {
            id: GroupId(entries.value("id")?.bytes()?.try_into().ok()?),
            user: text("user")?.parse().ok()?,
            group: text("group")?.parse().ok()?,
            folder: read_path(entries.value("folder")?)?,
            settings: MirrorSettings {
                only: only.collect::<Option<_>>()?,
                keep: optional_number(entries, "keep")?,
                prune_after: optional_number(entries, "prune_after")?.map(Duration::from_millis),
                min_free: u8::try_from(read_number(entries.value("min_free")?)?).ok()?,
            },
            shares: shares.map(MirroredShare::read).collect::<Option<_>>()?,
            pruned_ms: pruned.collect::<Option<_>>()?,
        })
    }
}

fn decode(entries: &Dictionary<'_>) -> Option<Vec<StoredMirror>> {
    let mirrors = entries.value("mirrors")?.list()?.iter();
    mirrors.map(StoredMirror::read).collect()
}

fn path_item(path: &Path) -> Item<'_> {
    path.as_os_str().as_bytes().into()
}

fn read_path(value: &Value<'_>) -> Option<PathBuf> {
    Some(PathBuf::from(OsStr::from_bytes(value.bytes()?)))
}

/// The number under a key. `Some(None)` if there is no such key, `None` if it is no number.
fn optional_number(entries: &Dictionary<'_>, key: &str) -> Option<Option<u64>> {
    match entries.value(key) {
        Some(value) => read_number(value).map(Some),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded_again_and_foreign_bytes_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = MirrorFile::new(folder.path());
        assert_eq!(file.load().unwrap(), []);
        let share = |number: u8, owner| MirroredShare {
            name: "it's $(x)".to_owned(),
            version: u32::MAX,
            info_hash: InfoHash([number; 20]),
            path: OsStr::from_bytes(b"/x/\xff").into(),
            owner,
        };
        let mirror = StoredMirror {
            id: GroupId([3; 16]),
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
            folder: "/srv/lab".into(),
            settings: MirrorSettings {
                only: vec!["*.img".parse().unwrap(), "a?".parse().unwrap()],
                keep: Some(1 << 40),
                prune_after: Some(Duration::from_millis(1_500)),
                min_free: 5,
            },
            shares: vec![
                share(1, MirrorOwner::Mirror),
                share(2, MirrorOwner::Person),
                share(3, MirrorOwner::Ended),
                share(4, MirrorOwner::Changed),
            ],
            pruned_ms: vec![1 << 41],
        };
        let plain = StoredMirror {
            settings: MirrorSettings {
                only: Vec::new(),
                keep: None,
                prune_after: None,
                min_free: 0,
            },
            shares: Vec::new(),
            pruned_ms: Vec::new(),
            ..mirror.clone()
        };
        for stored in [vec![], vec![mirror, plain]] {
            file.store(&stored).unwrap();
            assert_eq!(file.load().unwrap(), stored);
        }
        let path = folder.path().join(FILE_NAME);
        for bytes in ["", "de", "d7:mirrorsli1ee7:versioni1ee"] {
            std::fs::write(&path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, KeptFileError::Damaged(_)), "{error}");
        }
    }
}
