//! The file to which bytes of a download are written. A file that is linked to a file of an older
//! version is never written: if it must change, a copy takes its place first.

use super::gather::Gather;
use super::layout::{FileKind, Segment};
use super::tree::Access;
use super::{Store, StoreError};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;
use std::fs::File;
use std::os::fd::AsRawFd;
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
    let file = store.file(segment)?;
    let (Some(linked), true) = (&file, store.is_linked(index)) else {
        return Ok(file);
    };
    let is_same = blocks.are_in(linked, segment.offset, segment.length);
    if is_same.map_err(|error| StoreError::io("read", &store.file_path(index), error))? {
        return Ok(None);
    }
    let mut sharing = store.linked_files().lock();
    // Another thread may have replaced the file meanwhile.
    if sharing.linked.contains_key(&index) {
        let copy = unlink_and_copy(store, index)?;
        store.set_open_file(index, Arc::new(copy));
        sharing.linked.remove(&index);
    }
    drop(sharing);
    store.file(segment)
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
        let copied = match rustix::fs::ioctl_ficlone(&copy, &linked) {
            Ok(()) => Ok(()),
            Err(_) => std::io::copy(&mut &linked, &mut &copy).map(drop),
        };
        match copied {
            Ok(()) => Ok(copy),
            Err(error) => {
                parent.remove_file(name)?;
                let open = format!("/proc/self/fd/{}", linked.as_raw_fd());
                let follow = AtFlags::AT_SYMLINK_FOLLOW;
                if let Err(errno) = linkat(AT_FDCWD, &*open, parent.as_file(), name, follow) {
                    log::error!("cannot link {} again: {errno}", shown.display());
                }
                Err(StoreError::io("write", &shown, error))
            }
        }
    })
}
