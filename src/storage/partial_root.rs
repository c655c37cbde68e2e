//! Which partial file or folder a download uses. If a record of this peer names one, the download
//! continues it. Otherwise a new one is made under a free name, so that the download never writes
//! to files of others.
//!
//! Some peers lose their records when they end: those with a temporary state folder, and those of a
//! closed run. Such a peer prefers the name with the info-hash. If a file or folder has that name
//! already, the peer continues it: the name is the best proof that it is ours. If the peer did not
//! continue it, each start would need a further name.

use super::root::Root;
use super::tree::{Access, Folder, has_layout, is_locked};
use super::{Destination, StoreError};
use crate::torrent::{Info, Layout};
use std::path::Path;

/// What the records of this peer say about the files of a download.
#[derive(Clone, Copy)]
pub struct RecordedFiles<'a> {
    /// The name of the partial file or folder, if a record names one. It must exist.
    pub partial: Option<&'a str>,
    /// Whether a record has this share at this place. Then its parts file is known to be ours.
    pub is_recorded: bool,
    /// Whether another transfer of this peer uses a path.
    pub is_used: &'a dyn Fn(&Path) -> bool,
    /// Whether the records outlive this process.
    pub records_are_kept: bool,
}

impl RecordedFiles<'_> {
    /// There is no record.
    pub const NONE: RecordedFiles<'static> = RecordedFiles {
        partial: None,
        is_recorded: false,
        is_used: &|_| false,
        records_are_kept: true,
    };
}

/// The open partial file or folder of a download.
#[derive(Debug)]
pub(super) struct PartialRoot {
    pub(super) root: Root,
    pub(super) name: String,
    /// Whether it was made now. Then it is empty.
    pub(super) is_new: bool,
    /// Other names of a partial file of this download, under which an entry exists. No record names
    /// these entries, so they are only read.
    pub(super) others: Vec<String>,
}

impl PartialRoot {
    /// Opens the recorded partial file or folder, or makes a new one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the recorded one does not exist. [`StoreError::InUse`] if another
    /// process downloads to the same place. [`StoreError::Foreign`] if all names are taken.
    pub(super) fn open(
        parent: &Folder,
        destination: &Destination,
        info: &Info,
        recorded: RecordedFiles<'_>,
    ) -> Result<Self, StoreError> {
        let layout = info.layout();
        let is_unused = |name: &&str| !(recorded.is_used)(&parent.path().join(name));
        if let Some(name) = recorded.partial.filter(is_unused) {
            return Ok(Self {
                root: Root::open_to_write(parent, name, layout)?,
                name: name.to_owned(),
                is_new: false,
                others: Vec::new(),
            });
        }
        let mut names = destination.partial_names(info.info_hash());
        names.retain(|name| is_unused(&name.as_str()));
        for name in &names {
            refuse_if_locked(parent, name, layout)?;
        }
        if !recorded.records_are_kept {
            names.reverse();
        }
        let with_hash = destination.partial_name_with_hash(info.info_hash());
        let mut others = Vec::new();
        for name in &names {
            let made = Root::create_new(parent, name, layout)?;
            let is_new = made.is_some();
            let may_continue = !is_new && !recorded.records_are_kept && *name == with_hash;
            let continued = match may_continue && has_form_of_partial(parent, name, info)? {
                true => Root::open_to_write(parent, name, layout).ok(),
                false => None,
            };
            if let Some(root) = made.or(continued) {
                return Ok(Self {
                    root,
                    name: name.clone(),
                    is_new,
                    others,
                });
            }
            others.push(name.clone());
        }
        let last = names.last().unwrap_or(&destination.name);
        Err(StoreError::Foreign(parent.path().join(last)))
    }
}

/// Whether an entry can be a partial file or folder of the share.
fn has_form_of_partial(parent: &Folder, name: &str, info: &Info) -> Result<bool, StoreError> {
    let Some(entry) = parent.entry(name)? else {
        return Ok(false);
    };
    let length = u64::try_from(entry.st_size).unwrap_or_default();
    let is_partial_file = entry.st_nlink == 1 && (length == 0 || length == info.lengths().total());
    Ok(has_layout(&entry, info.layout()) && (info.layout() == Layout::Folder || is_partial_file))
}

/// Fails if another download has locked the entry. The entry is not changed.
fn refuse_if_locked(parent: &Folder, name: &str, layout: Layout) -> Result<(), StoreError> {
    let has_same_kind = |entry| has_layout(&entry, layout);
    if !parent.entry(name)?.is_some_and(has_same_kind) {
        return Ok(());
    }
    let locked = match layout {
        Layout::File => parent.file(name, Access::Read).map(|file| is_locked(&file)),
        Layout::Folder => parent
            .folder(name)
            .map(|folder| is_locked(folder.as_file())),
    };
    match locked {
        Ok(true) => Err(StoreError::InUse(parent.path().join(name))),
        // An entry that cannot be opened is not read later either.
        Ok(false) | Err(_) => Ok(()),
    }
}
