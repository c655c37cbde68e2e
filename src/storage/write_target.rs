//! The file to which bytes of a download are written. A file that is linked to a file of an older
//! version is never written: if it must change, a copy takes its place first.

use super::gather::Gather;
use super::layout::{FileKind, Segment};
use super::reserve::check_space;
use super::tree::{Access, metadata};
use super::{Store, StoreError};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;
use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// The open file to which the next bytes of `blocks` are written. `None` if nothing is to be
/// written there: to padding, to a file in place, and to a linked file that has these bytes. A
/// linked file that has other bytes is replaced by a copy.
pub(super) fn file_to_write(
    store: &Store,
    segment: &Segment,
    blocks: &Gather<'_>,
) -> Result<Option<Arc<File>>, StoreError> {
    let index = segment.index;
    if segment.kind == FileKind::Wanted && store.is_in_place(index) {
        return Ok(None);
    }
    // Asked before the file is opened: another thread may replace the link by a copy in between.
    let is_linked = store.is_linked(index);
    let file = store.file(segment)?;
    let (Some(linked), true) = (&file, is_linked) else {
        return Ok(file);
    };
    let is_same = blocks.are_in(linked, segment.offset, segment.length);
    if is_same.map_err(|error| StoreError::io("read", &store.file_path(index), error))? {
        return Ok(None);
    }
    replace_link(store, index)?;
    store.file(segment)
}

/// Replaces each linked file by a copy, unless its other name is that of one of the files `going`,
/// which will be removed: device and inode number. So no file stays linked to a file that a person
/// has kept.
pub(super) fn replace_links_except(
    store: &Store,
    going: &HashSet<(u64, u64)>,
) -> Result<(), StoreError> {
    let linked: Vec<usize> = store.linked_files().lock().linked.keys().copied().collect();
    for index in linked {
        let file = store.open_file(index, Access::Read)?;
        let found = metadata(&file, || store.file_path(index))?;
        if !going.contains(&(found.dev(), found.ino())) {
            replace_link(store, index)?;
        }
    }
    Ok(())
}

/// Replaces a linked file by a copy, unless another thread has done it.
fn replace_link(store: &Store, index: usize) -> Result<(), StoreError> {
    let mut sharing = store.linked_files().lock();
    if !sharing.linked.contains_key(&index) {
        return Ok(());
    }
    let copy = unlink_and_copy(store, index)?;
    store.set_open_file(index, Arc::new(copy));
    sharing.linked.remove(&index);
    Ok(())
}

/// Replaces a linked file by a copy, so that it can be written. The older version keeps its file.
/// If the copy cannot be made, the link is made again.
fn unlink_and_copy(store: &Store, index: usize) -> Result<File, StoreError> {
    let (Some(folder), Some(path)) = (store.root().folder(), store.layout().path(index)) else {
        return Err(StoreError::Missing(store.file_path(index)));
    };
    folder.with_parent(path, false, |parent, name| {
        let linked = parent.file(name, Access::Read)?;
        let shown = parent.path().join(name);
        parent.remove_file(name)?;
        let copy = parent.create_new_file(name)?;
        let copy = copy.ok_or_else(|| StoreError::Foreign(shown.clone()))?;
        let copy_all = || {
            check_space(&copy, &shown, store.layout().length(index))?;
            let copied = std::io::copy(&mut &linked, &mut &copy);
            let copied = copied.map_err(|error| StoreError::io("write", &shown, error));
            copied.map(drop)
        };
        let cloned = rustix::fs::ioctl_ficlone(&copy, &linked);
        match cloned.or_else(|_| copy_all()) {
            Ok(()) => Ok(copy),
            Err(error) => {
                parent.remove_file(name)?;
                let open = format!("/proc/self/fd/{}", linked.as_raw_fd());
                let follow = AtFlags::AT_SYMLINK_FOLLOW;
                if let Err(errno) = linkat(AT_FDCWD, &*open, parent.as_file(), name, follow) {
                    log::error!("cannot link {} again: {errno}", shown.display());
                }
                Err(error)
            }
        }
    })
}
