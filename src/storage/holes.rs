//! Holes in sparse files: ranges of zeros that take no space. The download of a sparse file is also
//! sparse, if the file system supports holes.

use super::gather::Gather;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;

/// Writes the next `length` bytes of `blocks` to `file` from `offset` on. Blocks of zeros become
/// holes. This also frees the space that was reserved for them.
///
/// # Errors
/// See [`Gather::write`].
pub(super) fn write_sparse(
    blocks: &mut Gather<'_>,
    file: &File,
    mut offset: u64,
    mut length: u64,
) -> io::Result<()> {
    while length > 0 {
        let (count, is_zeros) = blocks.next_of_one_kind(length);
        if is_zeros && make_hole(file, offset, count) {
            blocks.skip(count);
        } else {
            blocks.write(file, offset, count)?;
        }
        offset += count;
        length -= count;
    }
    Ok(())
}

/// In a complete file, frees the space that was reserved but never written. `lseek` reports this
/// space as holes. It belongs to pieces of zeros: they verify before anything is fetched, because a
/// new file reads as zeros. So they are never written, and [`write_sparse`] does not free their
/// space.
pub(super) fn release_holes(file: &File, length: u64) {
    let mut at = 0;
    // Stops at the first error: then the file takes more space than it needs.
    while let Some(hole) = next(file, at, Whence::SeekHole).filter(|hole| *hole < length) {
        let end = next(file, hole, Whence::SeekData).unwrap_or(length);
        let is_released = end > hole && make_hole(file, hole, end - hole);
        if !is_released || end >= length {
            return;
        }
        at = end;
    }
}

/// The start of the next hole, or of the next data, from `at` on. `None` if there is none, or if
/// that is unknown.
fn next(file: &File, at: u64, what: Whence) -> Option<u64> {
    let found = lseek(file, i64::try_from(at).ok()?, what).ok()?;
    u64::try_from(found).ok()
}

/// Makes a range a hole. Returns whether it is one now.
fn make_hole(file: &File, offset: u64, length: u64) -> bool {
    let (Ok(start), Ok(size)) = (i64::try_from(offset), i64::try_from(length)) else {
        return false;
    };
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    // Even if no hole can be made, the range may be a hole already, because it was never written.
    fallocate(file, flags, start, size).is_ok() || is_hole_in_file(file, offset, length)
}

/// Whether a range is a hole, so that all its bytes are zeros. Returns `false` if this is unknown.
pub(super) fn is_hole_in_file(file: &File, offset: u64, length: u64) -> bool {
    let Ok(start) = i64::try_from(offset) else {
        return false;
    };
    let end = offset.saturating_add(length);
    // The file may have been truncated since it was opened. There is no hole after its end.
    if file.metadata().map_or(0, |metadata| metadata.len()) < end {
        return false;
    }
    // `lseek` moves the file's position, which this program does not use.
    match lseek(file, start, Whence::SeekData) {
        Ok(data) => u64::try_from(data).is_ok_and(|data| data >= end),
        // There is no data from `start` to the end of the file.
        Err(errno) => errno == Errno::ENXIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn space_that_is_reserved_for_holes_is_released() {
        let file = tempfile::tempfile().unwrap();
        let length = 8 << 20;
        if fallocate(&file, FallocateFlags::empty(), 0, length as i64).is_err() {
            return;
        }
        file.write_all_at(b"in the middle", 4 << 20).unwrap();
        release_holes(&file, length);
        assert_eq!(file.metadata().unwrap().len(), length);
        let mut read = [0; 13];
        file.read_exact_at(&mut read, 4 << 20).unwrap();
        assert_eq!(&read, b"in the middle");
        // Only if the file system can make holes, and `lseek` reports space that was never written
        // as a hole.
        if make_hole(&file, 1 << 20, 1 << 20) && next(&file, 0, Whence::SeekHole) == Some(0) {
            let allocated = file.metadata().unwrap().blocks() * 512;
            assert!(allocated < 1 << 20, "{allocated} bytes allocated");
        }
    }

    #[test]
    fn blocks_of_zeros_become_holes_and_old_bytes_under_them_are_gone() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        // Bytes of an earlier attempt.
        file.write_all_at(&vec![7; 1 << 20], 1 << 20).unwrap();
        let mut content = vec![0; 4 << 20];
        content[100] = 1;
        content[(3 << 20) + 5] = 2;
        let blocks: Vec<&[u8]> = content.chunks(16 << 10).collect();
        let length = content.len() as u64;
        write_sparse(&mut Gather::new(&blocks), &file, 0, length).unwrap();
        let mut read = vec![9; content.len()];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == content);
        // Only if the file system can make holes.
        if make_hole(&file, 1 << 20, 1 << 20) {
            let allocated = file.metadata().unwrap().blocks() * 512;
            assert!(
                allocated <= 2 * (16 << 10) + 8192,
                "{allocated} bytes allocated"
            );
        }
    }
}
