//! The open files of all stores, with one limit for the whole process.
//!
//! A share may have more files than a process may have descriptors, and a process may have many
//! shares. The table of open files has a lock, which is not held while a file is opened or closed.
//! An evicted file stays open while a caller still uses it.

use super::StoreError;
use nix::sys::resource::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

/// The maximum number of files that are kept open, in all stores together: a quarter of the
/// descriptors that the process may have, but at least 8 and at most 256. The other descriptors are
/// for connections.
static MAX_OPEN_FILES: LazyLock<usize> = LazyLock::new(|| {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from(limit / 4).map_or(256, |quarter| quarter.clamp(8, 256))
});

static TABLE: Mutex<OpenFileTable> = Mutex::new(OpenFileTable {
    use_count: 0,
    files: BTreeMap::new(),
});
static NEXT_STORE: AtomicU64 = AtomicU64::new(0);

/// The open files of one store. They are closed when this is dropped.
#[derive(Debug)]
pub(super) struct OpenFiles {
    store: u64,
}

#[derive(Debug)]
struct OpenFileTable {
    /// Number of look-ups so far. It serves as the time of `last_use`.
    use_count: u64,
    /// By number of the store and index of the file.
    files: BTreeMap<(u64, usize), CachedFile>,
}

#[derive(Debug)]
struct CachedFile {
    file: Arc<File>,
    last_use: u64,
}

impl OpenFiles {
    /// Registers a store without open files.
    pub(super) fn new() -> Self {
        Self {
            store: NEXT_STORE.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// File `index` of the store. If the file is not open yet, calls `open`. If the process has no
    /// free descriptor, evicts the files of all stores and calls `open` again.
    pub(super) fn file(
        &self,
        index: usize,
        open: impl Fn() -> Result<Arc<File>, StoreError>,
    ) -> Result<Arc<File>, StoreError> {
        let key = (self.store, index);
        if let Some(file) = lock().look_up(key) {
            return Ok(file);
        }
        let opened = match open() {
            Err(error) if error.lacks_descriptor() => {
                let closed = std::mem::take(&mut lock().files);
                drop(closed);
                open()?
            }
            opened => opened?,
        };
        // Closing the evicted file may take long on some file systems, so it happens after the lock
        // is released.
        let (file, _evicted) = {
            let mut table = lock();
            match table.look_up(key) {
                Some(file) => (file, None),
                None => (opened.clone(), table.insert(key, opened)),
            }
        };
        Ok(file)
    }
}

impl OpenFiles {
    /// From now on, file `index` is `file`.
    pub(super) fn replace(&self, index: usize, file: Arc<File>) {
        let _closed_after_the_lock = {
            let mut table = lock();
            let former = table.files.remove(&(self.store, index));
            let evicted = table.insert((self.store, index), file);
            (former, evicted)
        };
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        let _closed_after_the_lock = {
            let mut table = lock();
            let mut mine = table.files.split_off(&(self.store, 0));
            let mut later = mine.split_off(&(self.store + 1, 0));
            table.files.append(&mut later);
            mine
        };
    }
}

impl OpenFileTable {
    fn look_up(&mut self, key: (u64, usize)) -> Option<Arc<File>> {
        self.use_count += 1;
        let cached = self.files.get_mut(&key)?;
        cached.last_use = self.use_count;
        Some(cached.file.clone())
    }

    /// Adds a file. If there are too many, removes and returns the least recently used one.
    fn insert(&mut self, key: (u64, usize), file: Arc<File>) -> Option<CachedFile> {
        let last_use = self.use_count;
        let full = self.files.len() >= *MAX_OPEN_FILES;
        let oldest = full.then(|| self.files.iter().min_by_key(|(_, cached)| cached.last_use));
        let oldest = oldest.flatten().map(|(key, _)| *key);
        let evicted = oldest.and_then(|key| self.files.remove(&key));
        self.files.insert(key, CachedFile { file, last_use });
        evicted
    }
}

fn lock() -> MutexGuard<'static, OpenFileTable> {
    crate::system::lock(&TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use std::cell::Cell;
    use std::path::Path;

    fn opened() -> Result<Arc<File>, StoreError> {
        Ok(Arc::new(tempfile::tempfile().unwrap()))
    }

    #[test]
    fn the_number_of_open_files_is_limited() {
        let files = OpenFiles::new();
        assert!((8..=256).contains(&*MAX_OPEN_FILES));
        for index in 0..3 * *MAX_OPEN_FILES {
            files.file(index, opened).unwrap();
            assert!(lock().files.len() <= *MAX_OPEN_FILES);
        }
        let store = files.store;
        drop(files);
        assert!(lock().files.keys().all(|key| key.0 != store));
    }

    #[test]
    fn without_a_free_descriptor_a_file_is_opened_after_others_were_closed() {
        let (files, tries) = (OpenFiles::new(), Cell::new(0));
        let kept = files.file(0, opened).unwrap();
        let open = |failures, errno: Errno| {
            tries.set(0);
            files.file(1, || {
                tries.set(tries.get() + 1);
                match tries.get() <= failures {
                    true => Err(StoreError::io("open", Path::new("x"), errno)),
                    false => opened(),
                }
            })
        };
        assert!(open(1, Errno::EIO).is_err() && tries.get() == 1);
        assert!(open(2, Errno::EMFILE).is_err() && tries.get() == 2);
        open(1, Errno::ENFILE).unwrap();
        kept.metadata().unwrap();
    }
}
