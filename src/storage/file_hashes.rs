//! The SHA-1 of each file (BEP 47 `sha1`), compared before a download counts as complete. The files
//! are hashed one after another while the transfer runs.
//!
//! This costs little, because the bytes were written shortly before: the piece that was verified
//! last is still in memory, and earlier bytes are in the page cache. If the torrent has no such
//! hashes, it costs nothing, see [`FileHashes::new`].

use super::parallel::BUFFER_LENGTH;
use super::{Store, StoreError};
use crate::system::lock;
use crate::torrent::{Hasher, Info, PieceIndex, Sha1};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, TryLockError};

/// A call of [`FileHashes::advance`] ends once it has hashed this many bytes, or as many as two
/// pieces have if that is more. With one call per piece, hashing keeps up with the transfer.
const MAX_ADVANCE: u64 = 4 << 20;

/// Bytes of a share that are verified, written, and still in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct CachedBlocks<'a> {
    /// Offset of the first byte in the share.
    pub offset: u64,
    /// The bytes, in consecutive blocks.
    pub blocks: &'a [&'a [u8]],
}

/// Computes the hashes of the files of one download.
#[derive(Debug)]
pub struct FileHashes {
    cursor: Mutex<Cursor>,
}

/// A file whose pieces verify but whose own SHA-1 is not the one in the torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// The file.
    pub path: PathBuf,
    /// The SHA-1 of its content.
    pub found: Sha1,
    /// The SHA-1 in the torrent.
    pub expected: Sha1,
}

#[derive(Debug)]
struct Cursor {
    /// The file that is being hashed, an index into [`Info::files`].
    file: usize,
    /// The number of bytes of this file that have been hashed.
    hashed_bytes: u64,
    hasher: Hasher,
    /// The index, the computed SHA-1 and the expected SHA-1 of each file whose SHA-1 is wrong.
    bad: Vec<(usize, Sha1, Sha1)>,
    buffer: Vec<u8>,
}

impl FileHashes {
    /// Prepares for the files of `info`. Returns `None` if the torrent has no SHA-1 of any file.
    pub fn new(info: &Info) -> Option<Self> {
        let any = info.files().iter().any(|file| file.sha1.is_some());
        any.then(|| Self {
            cursor: Mutex::new(Cursor {
                file: 0,
                hashed_bytes: 0,
                hasher: Hasher::new(),
                bad: Vec::new(),
                buffer: Vec::new(),
            }),
        })
    }

    /// Hashes the next bytes, up to a limit. Stops at the first piece that is not `owned`. Takes
    /// bytes from `cached` where it has them, instead of reading them again. Returns at once if
    /// another thread is doing this.
    ///
    /// # Errors
    /// When reading fails.
    pub fn advance(
        &self,
        store: &Store,
        cached: CachedBlocks<'_>,
        owned: impl Fn(PieceIndex) -> bool,
    ) -> Result<(), StoreError> {
        let mut cursor = match self.cursor.try_lock() {
            Ok(cursor) => cursor,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        let piece_length = u64::from(store.info().lengths().piece_length());
        let mut left = MAX_ADVANCE.max(piece_length.saturating_mul(2));
        while left > 0 {
            let hashed = cursor.step(store, cached, &owned)?;
            if hashed == 0 {
                break;
            }
            left = left.saturating_sub(hashed);
        }
        Ok(())
    }

    /// Hashes the rest of a download whose needed pieces are all owned. Returns the files whose
    /// SHA-1 differs from the one in the torrent.
    ///
    /// # Errors
    /// When reading fails. [`StoreError::Stopped`] once `stop` is set.
    pub fn finish(&self, store: &Store, stop: &AtomicBool) -> Result<Vec<BadFile>, StoreError> {
        let mut cursor = lock(&self.cursor);
        while cursor.step(store, CachedBlocks::default(), &|_| true)? > 0 {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
        }
        let bad = cursor.bad.iter().map(|(index, found, expected)| BadFile {
            path: store.file_path(*index),
            found: *found,
            expected: *expected,
        });
        Ok(bad.collect())
    }
}

impl Cursor {
    /// Hashes the next bytes, at most up to the end of their piece. Returns their number. It is 0
    /// if the piece is not owned, or if all files have been hashed.
    fn step(
        &mut self,
        store: &Store,
        cached: CachedBlocks<'_>,
        owned: &dyn Fn(PieceIndex) -> bool,
    ) -> Result<u64, StoreError> {
        let lengths = store.info().lengths();
        while let Some(file) = store.info().files().get(self.file) {
            // A file that is not wanted is not on disk. A linked file is verified already. Both are
            // skipped like a file without a SHA-1.
            let is_hashed = store.layout().is_wanted(self.file) && !store.is_linked(self.file);
            let sha1 = file.sha1.filter(|_| is_hashed);
            let left_in_file = match sha1 {
                Some(_) => file.length.saturating_sub(self.hashed_bytes),
                None => 0,
            };
            if left_in_file == 0 {
                let found = std::mem::take(&mut self.hasher).finish();
                if let Some(expected) = sha1.filter(|expected| *expected != found) {
                    self.bad.push((self.file, found, expected));
                }
                self.file += 1;
                self.hashed_bytes = 0;
                continue;
            }
            let offset = file.offset + self.hashed_bytes;
            let number = offset / u64::from(lengths.piece_length());
            let piece = u32::try_from(number)
                .ok()
                .and_then(|number| lengths.piece(number));
            let Some(piece) = piece.filter(|piece| owned(*piece)) else {
                return Ok(0);
            };
            let left_in_piece = lengths.offset(piece) + u64::from(lengths.length(piece)) - offset;
            let most = left_in_file.min(left_in_piece);
            let size = match cached.hash(offset, most, &mut self.hasher) {
                0 => self.hash_from_disk(store, offset, most)?,
                hashed => hashed,
            };
            self.hashed_bytes += size;
            return Ok(size);
        }
        self.buffer = Vec::new();
        Ok(0)
    }

    /// Reads and hashes up to `most` bytes from `offset` on. Returns their number.
    fn hash_from_disk(&mut self, store: &Store, offset: u64, most: u64) -> Result<u64, StoreError> {
        let size = most.min(BUFFER_LENGTH as u64);
        self.buffer.resize(BUFFER_LENGTH, 0);
        let part = self.buffer.get_mut(..size as usize).unwrap_or_default();
        store.read(offset, part)?;
        self.hasher.update(part);
        Ok(size)
    }
}

impl CachedBlocks<'_> {
    /// Hashes up to `most` bytes from `offset` on, if they are in these blocks. Returns their
    /// number.
    fn hash(&self, offset: u64, most: u64, hasher: &mut Hasher) -> u64 {
        let Some(mut to_skip) = offset.checked_sub(self.offset) else {
            return 0;
        };
        let mut left = most;
        for block in self.blocks {
            let length = block.len() as u64;
            let start = to_skip.min(length);
            let end = (start + left).min(length);
            let part = block.get(start as usize..end as usize);
            hasher.update(part.unwrap_or_default());
            to_skip -= start;
            left -= end - start;
        }
        most - left
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, info_of, sample, share};
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    const NONE: CachedBlocks<'static> = CachedBlocks {
        offset: 0,
        blocks: &[],
    };

    #[test]
    fn files_are_hashed_in_order_up_to_the_first_missing_piece() {
        let Sample { folder, info, .. } = sample();
        let store = share(&info, &folder.path().join("set"));
        let hashes = FileHashes::new(&info).unwrap();
        let at = |hashes: &FileHashes| {
            let cursor = hashes.cursor.lock().unwrap();
            (cursor.file, cursor.hashed_bytes)
        };
        hashes.advance(&store, NONE, |_| false).unwrap();
        assert_eq!(at(&hashes), (0, 0));
        hashes
            .advance(&store, NONE, |piece| piece.number() == 0)
            .unwrap();
        assert_eq!(at(&hashes), (2, (256 << 10) - 100_000));
        let stop = AtomicBool::new(false);
        assert_eq!(hashes.finish(&store, &stop).unwrap(), []);
        assert_eq!(at(&hashes), (4, 0));
    }

    #[test]
    fn finish_returns_the_files_with_a_wrong_sha1() {
        let Sample { folder, info, .. } = sample();
        let top = folder.path().join("set");
        std::fs::write(top.join("sub/deep/z"), vec![9; 100_000]).unwrap();
        let store = share(&info, &top);
        let hashes = FileHashes::new(&info).unwrap();
        let bad = hashes.finish(&store, &AtomicBool::new(false)).unwrap();
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].path, top.join("sub/deep/z"));
        assert_eq!(bad[0].found, Sha1::of(&[9; 100_000]));
    }

    #[test]
    fn one_advance_is_bounded_and_finish_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let big = folder.path().join("big");
        std::fs::File::create(&big)
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        assert!(FileHashes::new(&info_of(&big)).is_none());
        let options = super::super::CreateOptions {
            file_sha1: true,
            ..Default::default()
        };
        let info = super::super::testing::create(&big, &options, &|_, _| (), &stop).unwrap();
        let store = share(&Arc::new(info.clone()), &big);
        let hashes = FileHashes::new(&info).unwrap();
        let steps = AtomicUsize::new(0);
        let owned = |_| {
            steps.fetch_add(1, Ordering::Relaxed);
            true
        };
        hashes.advance(&store, NONE, owned).unwrap();
        assert_eq!(steps.into_inner() * BUFFER_LENGTH, MAX_ADVANCE as usize);
        stop.store(true, Ordering::Relaxed);
        let stopped = hashes.finish(&store, &stop);
        assert!(matches!(stopped, Err(StoreError::Stopped)));
    }

    #[test]
    fn cached_blocks_are_hashed_from_memory_at_their_own_offset_only() {
        let Sample { folder, info, .. } = sample();
        let store = share(&info, &folder.path().join("set"));
        let first = info.lengths().length(info.lengths().piece(0).unwrap());
        let mut bytes = vec![0; first as usize];
        store.read(0, &mut bytes).unwrap();
        let blocks: Vec<&[u8]> = bytes.chunks(16_384).collect();
        let hash_all = |offset: u64, blocks: &[&[u8]]| {
            let hashes = FileHashes::new(&info).unwrap();
            let cached = CachedBlocks { offset, blocks };
            hashes.advance(&store, cached, |_| true).unwrap();
            hashes.finish(&store, &AtomicBool::new(false)).unwrap()
        };
        assert_eq!(hash_all(0, &blocks), []);
        // Blocks are used only if they contain the next byte to be hashed. That is byte 0 at first,
        // and later the start of `sub/big`. This block contains neither.
        assert_eq!(hash_all(7, &blocks[..1]), []);
        // These blocks start after the end of the share.
        assert_eq!(hash_all(u64::MAX, &blocks), []);
        // These bytes differ from those on disk, so the wrong hash shows where they were used: at
        // the start of `sub/big`.
        let others = [1; 16_384];
        let bad = hash_all(100_000, &[&others, &others]);
        let paths: Vec<_> = bad.into_iter().map(|bad| bad.path).collect();
        assert_eq!(paths, [folder.path().join("set/sub/big")]);
    }
}
