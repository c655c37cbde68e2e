//! Renames that never replace anything, and renames that replace an entry of the same kind.
//!
//! On most file systems, each such rename is one call. On others it takes several steps. A rename
//! in several steps, and each replacement, is noted in the record of the download before it begins.
//! So after a crash, the next start can undo or complete the rename (see `replace`).

use super::StoreError;
use super::destination::{MAX_NAME_LENGTH, longest_prefix};
use super::tree::Folder;
use crate::torrent::Layout;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::linkat;

/// The note that [`super::Download::finish`] makes in the record before it replaces something, or
/// gives the download its final name in several steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenameSteps {
    /// The download gets a free name in several steps. If it extends an earlier download, each of
    /// its fetched files gets a free name instead.
    New,
    /// One call replaces a file, or exchanges two folders. The inode number of the partial file or
    /// folder shows afterwards whether it has the final name.
    Replace {
        /// The inode number.
        inode: u64,
    },
    /// A folder, or a file that must not be lost, is replaced in several steps.
    SetAside {
        /// The name that the replaced file or folder has until it is removed.
        aside: String,
    },
    /// All steps were done, and the replaced folder was removed.
    Done,
}

/// A function that notes in the record of a download how it is about to get its final name.
pub type NoteSteps<'a> = &'a dyn Fn(RenameSteps) -> Result<(), StoreError>;

/// The suffix of the name that a replaced folder has until it is removed.
const ASIDE_SUFFIX: &str = ".replaced";
/// How many names are tried for a replaced folder.
const ASIDE_NAMES: u32 = 100;

/// Renames an entry. Fails if the new name is taken.
pub(super) fn rename_new(
    from: (&Folder, &str),
    to: (&Folder, &str),
    layout: Layout,
    note: NoteSteps<'_>,
) -> Result<(), StoreError> {
    let renamed = match rename_in_one_call(from, to, false) {
        Ok(false) => {
            note(RenameSteps::New)?;
            rename_by_placeholder(from, to, layout)
        }
        renamed => renamed.map(|_| ()),
    };
    renamed.map_err(|errno| rename_error(to.0, to.1, errno))
}

/// The same as [`rename_new`], for file systems without `RENAME_NOREPLACE`. First takes the new
/// name with a call that fails if the name exists.
fn rename_by_placeholder(
    (old, from): (&Folder, &str),
    (new, to): (&Folder, &str),
    layout: Layout,
) -> Result<(), Errno> {
    use nix::fcntl::{OFlag, openat};
    use nix::unistd::{UnlinkatFlags, unlinkat};
    let (old, new) = (old.as_file(), new.as_file());
    match layout {
        // The rename below replaces this folder, but fails if the folder is no longer empty.
        Layout::Folder => mkdirat(new, to, Mode::from_bits_truncate(0o700))?,
        Layout::File => match linkat(old, from, new, to, AtFlags::empty()) {
            Ok(()) => return unlinkat(old, from, UnlinkatFlags::NoRemoveDir),
            // This file system has no hard links.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                openat(new, to, flags, Mode::from_bits_truncate(0o600))?;
            }
            Err(errno) => return Err(errno),
        },
    }
    renameat(old, from, new, to)
}

fn rename_error(parent: &Folder, to: &str, errno: Errno) -> StoreError {
    let path = parent.path().join(to);
    match errno {
        Errno::EEXIST | Errno::ENOTEMPTY => StoreError::Exists(path),
        errno => StoreError::io("rename the download to", &path, errno),
    }
}

/// Replaces an entry of the same kind. A replaced folder is kept, and its new name is returned. A
/// replaced file is deleted by the rename, unless `keeps_file` is set.
pub(super) fn rename_over(
    parent: &Folder,
    (from, to): (&str, &str),
    (layout, keeps_file): (Layout, bool),
    note: NoteSteps<'_>,
) -> Result<Option<String>, StoreError> {
    let folder = parent.as_file();
    let entry = parent.entry(from)?;
    let inode = entry.map(|entry| entry.st_ino);
    let inode = inode.ok_or_else(|| StoreError::Moved(parent.path().join(from)))?;
    note(RenameSteps::Replace { inode })?;
    let result = match layout {
        Layout::File if keeps_file => {
            match rename_in_one_call((parent, from), (parent, to), true) {
                Ok(false) => rename_over_linked(parent, (from, to), note)?,
                exchanged => exchanged.map(|_| Some(from.to_owned())),
            }
        }
        Layout::File => renameat(folder, from, folder, to).map(|()| None),
        Layout::Folder => match rename_in_one_call((parent, from), (parent, to), true) {
            Ok(false) => {
                let aside = free_aside_name(parent, from)?;
                note(RenameSteps::SetAside {
                    aside: aside.clone(),
                })?;
                let steps = replacement_steps(from, to, &aside);
                let done = steps.iter().try_for_each(|step| step.run(parent));
                done.map(|()| Some(aside))
            }
            exchanged => exchanged.map(|_| Some(from.to_owned())),
        },
    };
    result.map_err(|errno| rename_error(parent, to, errno))
}

/// Replaces a file, which gets another name first. Where files cannot have two names, the replaced
/// file is deleted.
fn rename_over_linked(
    parent: &Folder,
    (from, to): (&str, &str),
    note: NoteSteps<'_>,
) -> Result<Result<Option<String>, Errno>, StoreError> {
    let folder = parent.as_file();
    let aside = free_aside_name(parent, from)?;
    note(RenameSteps::SetAside {
        aside: aside.clone(),
    })?;
    let kept = match linkat(folder, to, folder, &*aside, AtFlags::empty()) {
        Ok(()) => Some(aside),
        Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS) => None,
        Err(errno) => return Ok(Err(errno)),
    };
    Ok(renameat(folder, from, folder, to).map(|()| kept))
}

/// One step of the replacement of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// Makes an empty folder, so that nothing else can take the name. The next step replaces it: a
    /// rename can replace a folder only if it is empty.
    Make(&'a str),
    /// Renames the first name to the second.
    Rename(&'a str, &'a str),
}

impl Step<'_> {
    pub(super) fn run(self, parent: &Folder) -> Result<(), Errno> {
        let folder = parent.as_file();
        match self {
            Self::Make(name) => mkdirat(folder, name, Mode::from_bits_truncate(0o700)),
            Self::Rename(from, to) => renameat(folder, from, folder, to),
        }
    }
}

/// The steps that replace the folder `to` by `from`. The replaced folder gets the name `aside`.
pub(super) fn replacement_steps<'a>(from: &'a str, to: &'a str, aside: &'a str) -> [Step<'a>; 4] {
    [
        Step::Make(aside),
        Step::Rename(to, aside),
        Step::Make(to),
        Step::Rename(from, to),
    ]
}

/// A free name for a file or folder that is replaced by the partial file or folder `partial`.
fn free_aside_name(parent: &Folder, partial: &str) -> Result<String, StoreError> {
    for number in 1..=ASIDE_NAMES {
        let end = match number {
            1 => ASIDE_SUFFIX.to_owned(),
            number => format!("{ASIDE_SUFFIX}-{number}"),
        };
        let start = longest_prefix(partial, MAX_NAME_LENGTH.saturating_sub(end.len()));
        let name = format!("{start}{end}");
        if parent.entry(&name)?.is_none() {
            return Ok(name);
        }
    }
    let taken = format!("{partial}{ASIDE_SUFFIX}");
    Err(StoreError::Exists(parent.path().join(taken)))
}

/// Renames without replacing anything, or exchanges two entries if `exchange` is set. Returns
/// `false` if the file system cannot do this in one call.
#[cfg(target_env = "gnu")]
fn rename_in_one_call(
    (old, from): (&Folder, &str),
    (new, to): (&Folder, &str),
    exchange: bool,
) -> Result<bool, Errno> {
    use nix::fcntl::{RenameFlags, renameat2};
    let flag = match exchange {
        true => RenameFlags::RENAME_EXCHANGE,
        false => RenameFlags::RENAME_NOREPLACE,
    };
    match renameat2(old.as_file(), from, new.as_file(), to, flag) {
        // Some network file systems do not support these flags.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(false),
        renamed => renamed.map(|()| true),
    }
}

#[cfg(not(target_env = "gnu"))]
fn rename_in_one_call(_: (&Folder, &str), _: (&Folder, &str), _: bool) -> Result<bool, Errno> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{destination, paths_below};
    use super::super::{RecoveredRename, recover_rename};
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_is_replaced_without_an_exchange_keeps_a_name() {
        let target = tempfile::tempdir().unwrap();
        let at = |name: &str| target.path().join(name);
        fs::write(at("x"), "old").unwrap();
        fs::write(at("x.part"), "new").unwrap();
        let parent = Folder::open(target.path()).unwrap();
        let steps = std::cell::RefCell::new(None);
        let note = |noted: RenameSteps| {
            *steps.borrow_mut() = Some(noted);
            Ok(())
        };
        let aside = rename_over_linked(&parent, ("x.part", "x"), &note).unwrap();
        let aside = aside.unwrap().unwrap();
        assert_eq!(fs::read(at("x")).unwrap(), b"new");
        assert_eq!(fs::read(at(&aside)).unwrap(), b"old");
        assert!(!at("x.part").exists());
        // A crash came when the old file had two names.
        fs::rename(at("x"), at("x.part")).unwrap();
        fs::hard_link(at(&aside), at("x")).unwrap();
        let steps = steps.into_inner().unwrap();
        let place = destination(&target, "x");
        let recovered = recover_rename(&place, "x.part", Layout::File, &steps).unwrap();
        assert_eq!(recovered, RecoveredRename::Undone);
        assert_eq!(paths_below(target.path()), ["x", "x.part"]);
        assert_eq!(fs::read(at("x")).unwrap(), b"old");
    }

    #[test]
    fn the_fallback_rename_never_replaces_anything() {
        for layout in [Layout::File, Layout::Folder] {
            let target = tempfile::tempdir().unwrap();
            let parent = Folder::open(target.path()).unwrap();
            let make = |name: &str| match layout {
                Layout::File => fs::write(target.path().join(name), name).unwrap(),
                Layout::Folder => fs::create_dir_all(target.path().join(name).join("in")).unwrap(),
            };
            make("from");
            rename_by_placeholder((&parent, "from"), (&parent, "to"), layout).unwrap();
            let after = paths_below(target.path());
            assert!(
                after[0] == "to" && !after.contains(&"from".to_owned()),
                "{after:?}"
            );
            make("from");
            let taken = rename_by_placeholder((&parent, "from"), (&parent, "to"), layout);
            assert_eq!(taken, Err(Errno::EEXIST));
            assert!(target.path().join("from").exists());
        }
    }
}
