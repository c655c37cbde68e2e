//! Reserves space on disk: for a download before its first byte arrives, and for a small file
//! before the work that makes its content. Also finds out whether a disk that was full has room
//! again.

use super::optional::{OptionalCall, sync_file, warn_if_missing};
use super::whole_file::with_readable_text;
use super::{StoreError, free_space};
use crate::system::is_full;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, XFS_SUPER_MAGIC,
    fstatfs,
};
use nix::sys::statvfs::fstatvfs;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// [`has_room`] wants this many bytes more than the caller needs, because the file system uses some
/// bytes for itself.
const ROOM_MARGIN: u64 = 256 << 10;

/// Refuses a download if the file system of `folder` has less than `needed` bytes free.
pub(super) fn check_space(folder: &File, path: &Path, needed: u64) -> Result<(), StoreError> {
    let system = match fstatvfs(folder) {
        Ok(system) => system,
        Err(errno) => {
            // If the file system lacks this call, the download starts without the check.
            return warn_if_missing(OptionalCall::MeasureSpace, path, Err(errno.into()))
                .map(drop)
                .map_err(|error| StoreError::io("examine", path, error));
        }
    };
    // The types depend on the platform. Some file systems do not report their size and return 0.
    #[allow(clippy::useless_conversion)]
    let (all_blocks, free_blocks, block_bytes) = (
        u64::from(system.blocks()),
        u64::from(system.blocks_available()),
        u64::from(system.fragment_size()),
    );
    let free = free_blocks.saturating_mul(block_bytes);
    if all_blocks > 0 && needed > free {
        let path = path.to_owned();
        return Err(StoreError::NoSpace { path, needed, free });
    }
    Ok(())
}

/// Whether a folder, whose disk or quota was full, has room for `needed` bytes again. Returns
/// `true` if the folder cannot be examined. Then the caller tries to write, and the error of that
/// attempt says what is wrong.
pub fn has_room(folder: &Path, needed: u64) -> bool {
    let needed = needed.saturating_add(ROOM_MARGIN);
    if free_space(folder).is_some_and(|free| free < needed) {
        return false;
    }
    // The free space does not say how much of a quota is left. So this function writes a small
    // file.
    let written = ReservedSpace::in_folder(folder, ROOM_MARGIN);
    !written.is_err_and(|error| is_full(error.kind()))
}

/// Whether the file system can reserve space without writing. On other file systems, such as
/// `tmpfs`, reserving would cost as much as the download.
pub(super) fn can_reserve_cheaply(folder: &File) -> bool {
    let cheap = [
        BTRFS_SUPER_MAGIC,
        EXT4_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
    ];
    fstatfs(folder).is_ok_and(|system| cheap.contains(&system.filesystem_type()))
}

/// Gives an empty file its length. If reserving space is `cheap`, reserves it first, so that the
/// file stays empty if there is no space.
pub(super) fn reserve(file: &File, path: &Path, length: u64, cheap: bool) -> io::Result<()> {
    let size = i64::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    if cheap && size > 0 {
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let mut result = Err(Errno::EINTR);
        while result == Err(Errno::EINTR) {
            result = fallocate(file, keep, 0, size);
        }
        let result = result.map_err(io::Error::from);
        warn_if_missing(OptionalCall::Reserve, path, result)?;
    }
    file.set_len(length)
}

/// Space on disk for a small file. Dropping this frees the space, so that the file can be written.
#[derive(Debug)]
pub struct ReservedSpace(#[expect(dead_code, reason = "open, so that it keeps its space")] File);

impl ReservedSpace {
    /// Fills a file that has no name, so that nothing is left if this process is killed. Writing
    /// works on every file system; reserving without writing does not. The bytes are random,
    /// because a file system that compresses uses almost no space for zeros.
    pub(super) fn in_folder(folder: &Path, length: u64) -> io::Result<Self> {
        let fill = || {
            let mut file = tempfile::tempfile_in(folder)?;
            io::copy(&mut RandomBytes.take(length), &mut file)?;
            // Some file systems notice only during a sync that there is no space.
            sync_file(&file, folder)?;
            Ok(Self(file))
        };
        fill().map_err(with_readable_text)
    }
}

/// An endless source of random bytes, which cannot be compressed.
struct RandomBytes;

impl Read for RandomBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fastrand::fill(buffer);
        Ok(buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_share_larger_than_the_disk_is_refused_with_both_sizes() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = File::open(temporary.path()).unwrap();
        assert!(check_space(&folder, temporary.path(), 1).is_ok());
        let error = check_space(&folder, temporary.path(), u64::MAX).unwrap_err();
        assert!(matches!(
            error,
            StoreError::NoSpace {
                needed: u64::MAX,
                free: 1..,
                ..
            }
        ));
    }

    #[test]
    fn a_folder_has_room_if_the_bytes_fit_and_the_check_leaves_no_file_in_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        assert!(has_room(folder, 1) && !has_room(folder, u64::MAX));
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
        assert!(has_room(&folder.join("missing"), 1));
    }

    #[test]
    fn random_bytes_cannot_be_compressed() {
        let mut bytes = Vec::new();
        RandomBytes.take(64 << 10).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 64 << 10);
        let count_of = |value| bytes.iter().filter(|byte| **byte == value).count();
        // Each of the 256 values is expected 256 times.
        assert!((0..=u8::MAX).all(|value| (64..1024).contains(&count_of(value))));
        let (first, second) = bytes.split_at(32 << 10);
        assert!(first != second);
    }

    #[test]
    fn reserving_sets_the_length_and_allocates_where_that_is_cheap() {
        let file = tempfile::tempfile().unwrap();
        let cheap = can_reserve_cheaply(&file);
        reserve(&file, Path::new("x"), 1 << 20, cheap).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        if cheap {
            assert!(metadata.blocks() * 512 >= 1 << 20);
        }
    }
}
