//! Which pieces of a share lie on disk and are right.

use super::layout::Segment;
use super::parallel::for_each;
use super::{Store, StoreError};
use crate::system::{lock, recover};
use crate::torrent::{Hasher, PieceIndex, PieceSet, Sha1};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// Hashes `pieces` on up to `threads` threads and returns those that verify. A piece that cannot be
/// read does not count, as if it were not there; holes are not read. Memory is bounded whatever the
/// piece length. `progress` is called from any thread with the bytes done so far; now and then a
/// smaller number comes after a larger one.
///
/// # Errors
/// [`StoreError::Stopped`], once `stop` is set.
pub fn verify(
    store: &Store,
    pieces: impl Iterator<Item = PieceIndex> + Send,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PieceSet, StoreError> {
    let good = Mutex::new(PieceSet::empty(store.info().lengths()));
    let told = AtomicBool::new(false);
    let jobs = pieces.map(Job::Piece);
    hash_jobs(store, jobs, threads, stop, progress, |job, found| {
        match (job, found) {
            (Job::Piece(piece), Ok(found)) if found == store.info().piece_hash(piece) => {
                let mut good = lock(&good);
                good.insert(piece);
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                if !told.swap(true, Ordering::Relaxed) {
                    log::warn!("a piece does not count: {error}");
                }
            }
        }
        Ok(())
    })?;
    Ok(recover(good.into_inner()))
}

/// What is hashed in one go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// A file, by its index in [`crate::torrent::Info::files`].
    File(usize),
    Piece(PieceIndex),
}

/// Hashes files and pieces as they are on disk, on up to `threads` threads, and calls `found` with
/// each SHA-1, or with the error of reading. See [`verify`] for `progress`.
///
/// # Errors
/// The first error of `found`; [`StoreError::Stopped`].
pub(super) fn hash_jobs(
    store: &Store,
    jobs: impl Iterator<Item = Job> + Send,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
    found: impl Fn(Job, Result<Sha1, StoreError>) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let lengths = store.info().lengths();
    let zeros = Zeros::new(lengths.piece_length().into());
    let done = AtomicU64::new(0);
    let advance = |bytes| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
    for_each(jobs, threads, stop, |job, buffer| {
        let hashed = match job {
            Job::File(index) => {
                let offset = store
                    .info()
                    .files()
                    .get(index)
                    .map_or(0, |file| file.offset);
                let length = store.layout().length(index);
                hash(store, offset, length, buffer, stop, &advance)
            }
            Job::Piece(piece) => {
                let (offset, length) = (lengths.offset(piece), lengths.length(piece).into());
                if is_hole(store, offset, length) {
                    advance(length);
                    Ok(zeros.hash(length))
                } else {
                    hash(store, offset, length, buffer, stop, &advance)
                }
            }
        };
        match hashed {
            Err(StoreError::Stopped) => Err(StoreError::Stopped),
            hashed => found(job, hashed),
        }
    })
}

/// SHA-1 of `length` bytes of the share from `offset` on; `read` is called with the bytes of each
/// part that was read.
///
/// # Errors
/// When reading fails; [`StoreError::Stopped`].
fn hash(
    store: &Store,
    mut offset: u64,
    mut length: u64,
    buffer: &mut [u8],
    stop: &AtomicBool,
    read: &dyn Fn(u64),
) -> Result<Sha1, StoreError> {
    let mut hasher = Hasher::new();
    while length > 0 {
        if stop.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped);
        }
        let size = usize::try_from(length).map_or(buffer.len(), |length| length.min(buffer.len()));
        let (part, _) = buffer.split_at_mut(size);
        store.read(offset, part)?;
        hasher.update(part);
        offset += size as u64;
        length -= size as u64;
        read(size as u64);
    }
    Ok(hasher.finish())
}

/// SHA-1 of nothing but zeros, computed once for whole pieces.
#[derive(Debug)]
struct Zeros {
    piece_length: u64,
    piece: OnceLock<Sha1>,
}

impl Zeros {
    /// For pieces of `piece_length` bytes.
    fn new(piece_length: u64) -> Self {
        Self {
            piece_length,
            piece: OnceLock::new(),
        }
    }

    fn hash(&self, length: u64) -> Sha1 {
        let compute = || {
            let block = [0; 16 << 10];
            let mut hasher = Hasher::new();
            for _ in 0..length / block.len() as u64 {
                hasher.update(&block);
            }
            let rest = length % block.len() as u64;
            hasher.update(block.get(..rest as usize).unwrap_or_default());
            hasher.finish()
        };
        if length == self.piece_length {
            *self.piece.get_or_init(compute)
        } else {
            compute()
        }
    }
}

/// Whether these bytes are stored nowhere, so that they are all zeros. In doubt they are not.
fn is_hole(store: &Store, offset: u64, length: u64) -> bool {
    let segments = store.layout().segments(offset, length);
    segments.is_ok_and(|mut segments| segments.all(|segment| is_hole_in_file(store, &segment)))
}

fn is_hole_in_file(store: &Store, segment: &Segment) -> bool {
    let file = match store.file(segment) {
        Ok(Some(file)) => file,
        Ok(None) => return true,
        Err(_) => return false,
    };
    let Ok(start) = i64::try_from(segment.offset) else {
        return false;
    };
    let end = segment.offset.saturating_add(segment.length);
    // The file may have been cut since it was opened; past its end there is no hole either.
    if file.metadata().map_or(0, |metadata| metadata.len()) < end {
        return false;
    }
    // It moves the file's own position, which nothing here uses.
    match lseek(&file, start, Whence::SeekData) {
        Ok(data) => u64::try_from(data).is_ok_and(|data| data >= end),
        // No data up to the end of the file.
        Err(errno) => errno == Errno::ENXIO,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::FileLayout;
    use super::super::testing::{Sample, sample, share};
    use super::*;
    use std::os::unix::fs::FileExt;

    fn all(store: &Store) -> PieceSet {
        let stop = AtomicBool::new(false);
        let largest = AtomicU64::new(0);
        let good = verify(
            store,
            store.info().lengths().all_pieces(),
            3,
            &stop,
            &|done| {
                largest.fetch_max(done, Ordering::Relaxed);
            },
        );
        let good = good.unwrap();
        if good.is_full() {
            assert_eq!(largest.into_inner(), store.info().lengths().total());
        }
        good
    }

    #[test]
    fn only_what_verifies_is_owned() {
        let Sample { folder, info, .. } = sample();
        let store = share(&info, &folder.path().join("set"));
        assert!(all(&store).is_full());
        let big = std::fs::File::options()
            .write(true)
            .open(folder.path().join("set/sub/big"))
            .unwrap();
        // One flipped byte in the second piece of the share, which `big` alone fills.
        let piece = info.lengths().piece(1).unwrap();
        let at = info.lengths().offset(piece) - info.files()[2].offset;
        big.write_all_at(b"\xff", at).unwrap();
        let good = all(&store);
        assert_eq!(good.count(), info.lengths().pieces() - 1);
        assert!(!good.contains(piece));
        // Cut short, what lies past the end is not owned, and nothing fails.
        big.set_len(at).unwrap();
        assert!(all(&store).count() < info.lengths().pieces() - 1);
        // Gone, only what lies in other files remains.
        std::fs::remove_file(folder.path().join("set/sub/big")).unwrap();
        let layout = FileLayout::all(info.clone());
        let unchecked = Store::open(layout, &folder.path().join("set")).unwrap();
        assert!(all(&unchecked).count() <= 1);
        let stop = AtomicBool::new(true);
        let stopped = verify(&store, info.lengths().all_pieces(), 2, &stop, &|_| ());
        assert!(matches!(stopped, Err(StoreError::Stopped)));
    }

    #[test]
    fn a_sparse_file_of_zeros_is_owned_and_a_hole_in_other_content_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(40 << 20).unwrap();
        file.write_all_at(b"in the middle", 20 << 20).unwrap();
        let info = super::super::testing::info_of(&path);
        let store = share(&info, &path);
        assert!(all(&store).is_full());
        // Where the file system keeps holes, they are found, and only they.
        if std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) < 1 << 10 {
            assert!(is_hole(&store, 1 << 20, 8 << 20) && is_hole(&store, 30 << 20, 10 << 20));
        }
        assert!(!is_hole(&store, 16 << 20, 8 << 20));
        // The same length, all hole.
        let other = folder.path().join("hole");
        std::fs::File::create(&other)
            .unwrap()
            .set_len(40 << 20)
            .unwrap();
        let store = share(&info, &other);
        assert_eq!(all(&store).count(), info.lengths().pieces() - 1);
        // What was cut off is no hole.
        let cut = std::fs::File::options().write(true).open(&other).unwrap();
        cut.set_len(1 << 20).unwrap();
        assert!(!is_hole(&store, 30 << 20, 1 << 20) && !is_hole(&store, 0, 2 << 20));
        assert_eq!(all(&store).count(), 2);
    }
}
