//! Hashes the pieces of a share on disk and finds the good ones.

use super::holes::is_hole_in_file;
use super::layout::Segment;
use super::parallel::run_jobs;
use super::{Store, StoreError};
use crate::system::{lock, recover};
use crate::torrent::{Hasher, PieceIndex, PieceSet, Sha1};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// Hashes `pieces` on up to `threads` threads and returns the good ones, whose hash is the one in
/// the torrent. A piece that cannot be read counts as missing. Holes in sparse files are not read.
/// Memory use does not depend on the piece length. `progress` is called from any thread with the
/// number of bytes done so far; its calls may arrive slightly out of order.
///
/// # Errors
/// [`StoreError::Stopped`] once `stop` is set.
pub fn verify(
    store: &Store,
    pieces: impl Iterator<Item = PieceIndex> + Send,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PieceSet, StoreError> {
    let good = Mutex::new(PieceSet::empty(store.info().lengths()));
    let warned = AtomicBool::new(false);
    let jobs = pieces.map(HashJob::Piece);
    hash_jobs(store, jobs, threads, stop, progress, |job, hash| {
        match (job, hash) {
            (HashJob::Piece(piece), Ok(hash)) if hash == store.info().piece_hash(piece) => {
                let mut good = lock(&good);
                good.insert(piece);
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                if !warned.swap(true, Ordering::Relaxed) {
                    log::warn!("cannot read a piece, so it counts as missing: {error}");
                }
            }
        }
        Ok(())
    })?;
    Ok(recover(good.into_inner()))
}

/// A file or a piece that is hashed by one thread.
#[derive(Clone, Copy, Debug)]
pub(super) enum HashJob {
    /// The file with this index in [`crate::torrent::Info::files`].
    File(usize),
    Piece(PieceIndex),
}

/// Hashes files and pieces on up to `threads` threads. Calls `on_hash` with each SHA-1, or with the
/// error of reading. See [`verify`] for `progress`.
///
/// # Errors
/// The first error of `on_hash`. [`StoreError::Stopped`] once `stop` is set.
pub(super) fn hash_jobs(
    store: &Store,
    jobs: impl Iterator<Item = HashJob> + Send,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
    on_hash: impl Fn(HashJob, Result<Sha1, StoreError>) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let lengths = store.info().lengths();
    let zeros = ZeroHashes::new(lengths.piece_length().into());
    let done = AtomicU64::new(0);
    let advance = |bytes| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
    run_jobs(jobs, threads, stop, |job, buffer| {
        let hashed = match job {
            HashJob::File(index) => {
                let offset = store
                    .info()
                    .files()
                    .get(index)
                    .map_or(0, |file| file.offset);
                let length = store.layout().length(index);
                hash(store, offset, length, buffer, stop, &advance)
            }
            HashJob::Piece(piece) => {
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
            hashed => on_hash(job, hashed),
        }
    })
}

/// The SHA-1 of `length` bytes of the share from `offset` on. Calls `on_read` with the number of
/// bytes after each read.
///
/// # Errors
/// When reading fails, or [`StoreError::Stopped`].
fn hash(
    store: &Store,
    mut offset: u64,
    mut length: u64,
    buffer: &mut [u8],
    stop: &AtomicBool,
    on_read: &dyn Fn(u64),
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
        on_read(size as u64);
    }
    Ok(hasher.finish())
}

/// SHA-1 of zeros. Computed once for pieces of full length.
#[derive(Debug)]
struct ZeroHashes {
    piece_length: u64,
    piece: OnceLock<Sha1>,
}

impl ZeroHashes {
    /// For shares with pieces of `piece_length` bytes.
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

/// Whether these bytes are in a hole, so that all are zeros. Returns `false` if this is unknown.
fn is_hole(store: &Store, offset: u64, length: u64) -> bool {
    let segments = store.layout().segments(offset, length);
    segments.is_ok_and(|mut segments| segments.all(|segment| is_hole_in_segment(store, &segment)))
}

fn is_hole_in_segment(store: &Store, segment: &Segment) -> bool {
    match store.file(segment) {
        Ok(Some(file)) => is_hole_in_file(&file, segment.offset, segment.length),
        // Padding consists of zeros.
        Ok(None) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::FileLayout;
    use super::super::testing::{Sample, sample, share};
    use super::*;
    use std::os::unix::fs::FileExt;

    fn good_pieces(store: &Store) -> PieceSet {
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
    fn only_good_pieces_are_returned() {
        let Sample { folder, info, .. } = sample();
        let store = share(&info, &folder.path().join("set"));
        assert!(good_pieces(&store).is_full());
        let big = std::fs::File::options()
            .write(true)
            .open(folder.path().join("set/sub/big"))
            .unwrap();
        // One flipped byte in the second piece, which is completely in `big`.
        let piece = info.lengths().piece(1).unwrap();
        let at = info.lengths().offset(piece) - info.files()[2].offset;
        big.write_all_at(b"\xff", at).unwrap();
        let good = good_pieces(&store);
        assert_eq!(good.count(), info.lengths().pieces() - 1);
        assert!(!good.contains(piece));
        // If the file is truncated, the pieces after its end do not count, and nothing fails.
        big.set_len(at).unwrap();
        assert!(good_pieces(&store).count() < info.lengths().pieces() - 1);
        // If the file is missing, only pieces in other files count.
        std::fs::remove_file(folder.path().join("set/sub/big")).unwrap();
        let layout = FileLayout::all(info.clone());
        let unchecked = Store::open(layout, &folder.path().join("set")).unwrap();
        assert!(good_pieces(&unchecked).count() <= 1);
        let stop = AtomicBool::new(true);
        let stopped = verify(&store, info.lengths().all_pieces(), 2, &stop, &|_| ());
        assert!(matches!(stopped, Err(StoreError::Stopped)));
    }

    #[test]
    fn a_piece_in_a_hole_is_good_only_where_the_share_has_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(40 << 20).unwrap();
        file.write_all_at(b"in the middle", 20 << 20).unwrap();
        let info = super::super::testing::info_of(&path);
        let store = share(&info, &path);
        assert!(good_pieces(&store).is_full());
        // If the file system stores holes, exactly the holes are found.
        if std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) < 1 << 10 {
            assert!(is_hole(&store, 1 << 20, 8 << 20) && is_hole(&store, 30 << 20, 10 << 20));
        }
        assert!(!is_hole(&store, 16 << 20, 8 << 20));
        // A file of the same length that is one hole.
        let other = folder.path().join("hole");
        std::fs::File::create(&other)
            .unwrap()
            .set_len(40 << 20)
            .unwrap();
        let store = share(&info, &other);
        assert_eq!(good_pieces(&store).count(), info.lengths().pieces() - 1);
        // The range after the new end of the file is not a hole.
        let cut = std::fs::File::options().write(true).open(&other).unwrap();
        cut.set_len(1 << 20).unwrap();
        assert!(!is_hole(&store, 30 << 20, 1 << 20) && !is_hole(&store, 0, 2 << 20));
        assert_eq!(good_pieces(&store).count(), 2);
    }
}
