//! The part of a record that says how an unfinished download stores its files.

use super::RenameSteps;
use crate::bencode::{Dictionary, Item, Value};
use crate::torrent::FileName;

/// How an unfinished download stores its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedRecord {
    /// Whether the download may replace a file or folder under its final name.
    pub replaces: bool,
    /// Whether the download adds files to an earlier download, which completed some files of the
    /// share. Then the files under the final name are also files of this download.
    pub extends: bool,
    /// The name of its partial file or folder, in the folder of its destination. The file or folder
    /// was made before its name was recorded. `None` in records of earlier versions, and after
    /// another share has claimed the path (see [`super::Records::claim`]).
    pub partial: Option<String>,
    /// How the download takes its final name, noted before the first step. `None` if nothing was
    /// noted.
    pub steps: Option<RenameSteps>,
}

impl UnfinishedRecord {
    /// The entries of the record. The key of `extends` is `widens`, as in existing records. Of the
    /// steps of a rename, `replacing` has the inode number of the new file, and `replaced` says
    /// that all steps are done.
    pub(super) fn entries<'a>(&'a self) -> impl Iterator<Item = (&'static str, Item<'a>)> {
        let flag = |set: bool, key| set.then(|| (key, Item::from(1u32)));
        let name = |(key, name): (&'static str, Option<&'a String>)| {
            name.map(|name| (key, Item::from(name.as_str())))
        };
        let (is_renaming, aside, inode, is_done) = match &self.steps {
            None => (false, None, None, false),
            Some(RenameSteps::New) => (true, None, None, false),
            Some(RenameSteps::SetAside { aside }) => (true, Some(aside), None, false),
            Some(RenameSteps::Replace { inode }) => (false, None, Some(inode), false),
            Some(RenameSteps::Done) => (false, None, None, true),
        };
        let inode = inode.map(|inode| ("replacing", Item::from(inode.to_be_bytes().to_vec())));
        let entries = [
            flag(self.replaces, "replaces"),
            flag(self.extends, "widens"),
            flag(is_renaming, "renaming"),
            flag(is_done, "replaced"),
            inode,
            name(("partial", self.partial.as_ref())),
            name(("aside", aside)),
        ];
        entries.into_iter().flatten()
    }

    /// Reads the entries that [`UnfinishedRecord::entries`] returned. `None` if one is malformed.
    pub(super) fn read(fields: &Dictionary<'_>) -> Option<Self> {
        let name = |key| match fields.value(key) {
            None => Some(None),
            Some(name) => Some(Some(FileName::new(name.text()?).ok()?.as_str().to_owned())),
        };
        Some(Self {
            replaces: read_flag(fields, "replaces")?,
            extends: read_flag(fields, "widens")?,
            partial: name("partial")?,
            steps: read_steps(fields, name("aside")?)?,
        })
    }
}

fn read_steps(fields: &Dictionary<'_>, aside: Option<String>) -> Option<Option<RenameSteps>> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    let inode = match fields.value("replacing") {
        Some(inode) => Some(inode.bytes().and_then(number)?),
        None => None,
    };
    let flags = (
        read_flag(fields, "renaming")?,
        read_flag(fields, "replaced")?,
    );
    Some(match (flags, aside, inode) {
        ((false, false), None, None) => None,
        ((true, false), None, None) => Some(RenameSteps::New),
        ((true, false), Some(aside), None) => Some(RenameSteps::SetAside { aside }),
        ((false, false), None, Some(inode)) => Some(RenameSteps::Replace { inode }),
        ((false, true), None, None) => Some(RenameSteps::Done),
        _ => return None,
    })
}

/// A flag of a record: 1 if set, absent if not. `None` if the value is something else.
pub(super) fn read_flag(fields: &Dictionary<'_>, key: &str) -> Option<bool> {
    match fields.value(key).map(Value::integer) {
        None => Some(false),
        Some(Some(1)) => Some(true),
        Some(_) => None,
    }
}
