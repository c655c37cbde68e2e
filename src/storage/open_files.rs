//! The open files of all stores together, at most so many at once.
//!
//! A share may have more files than a process may have descriptors, and a process many shares: so the bound is one for
//! the whole process. Opening and closing happen outside the lock; whoever holds a file keeps it open beyond its eviction.

use super::StoreError;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// How many files are kept open over all stores.
const CAPACITY: usize = 128;

static OPEN: Mutex<Open> = Mutex::new(Open {
    uses: 0,
    slots: BTreeMap::new(),
});
static NEXT_STORE: AtomicU64 = AtomicU64::new(0);

/// One store's part of the open files; dropping it lets go of them.
#[derive(Debug)]
pub(super) struct OpenFiles {
    store: u64,
}

#[derive(Debug)]
struct Open {
    uses: u64,
    slots: BTreeMap<(u64, usize), Slot>,
}

#[derive(Debug)]
struct Slot {
    file: Arc<File>,
    used: u64,
}

impl OpenFiles {
    /// None open so far.
    pub(super) fn new() -> Self {
        Self {
            store: NEXT_STORE.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// File `index` of the store, opened by `open` unless it is open already.
    pub(super) fn file(
        &self,
        index: usize,
        open: impl FnOnce() -> Result<Arc<File>, StoreError>,
    ) -> Result<Arc<File>, StoreError> {
        let key = (self.store, index);
        if let Some(file) = lock().look_up(key) {
            return Ok(file);
        }
        let opened = open()?;
        // Closing the evicted file may take long on some file systems: not under the lock.
        let (file, _evicted) = {
            let mut all = lock();
            match all.look_up(key) {
                Some(file) => (file, None),
                None => (opened.clone(), all.insert(key, opened)),
            }
        };
        Ok(file)
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        let _closed_after_the_lock = {
            let mut all = lock();
            let mut mine = all.slots.split_off(&(self.store, 0));
            let mut later = mine.split_off(&(self.store + 1, 0));
            all.slots.append(&mut later);
            mine
        };
    }
}

impl Open {
    fn look_up(&mut self, key: (u64, usize)) -> Option<Arc<File>> {
        self.uses += 1;
        let slot = self.slots.get_mut(&key)?;
        slot.used = self.uses;
        Some(slot.file.clone())
    }

    /// Adds a file and gives the one that was not used for longest, if there are too many.
    fn insert(&mut self, key: (u64, usize), file: Arc<File>) -> Option<Slot> {
        let used = self.uses;
        let full = self.slots.len() >= CAPACITY;
        let oldest = full.then(|| self.slots.iter().min_by_key(|(_, slot)| slot.used));
        let oldest = oldest.flatten().map(|(key, _)| *key);
        let evicted = oldest.and_then(|key| self.slots.remove(&key));
        self.slots.insert(key, Slot { file, used });
        evicted
    }
}

fn lock() -> MutexGuard<'static, Open> {
    crate::system::lock(&OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_files_stay_open_than_the_bound() {
        let files = OpenFiles::new();
        for index in 0..3 * CAPACITY {
            files
                .file(index, || Ok(Arc::new(tempfile::tempfile().unwrap())))
                .unwrap();
            assert!(lock().slots.len() <= CAPACITY);
        }
        let store = files.store;
        drop(files);
        assert!(lock().slots.keys().all(|key| key.0 != store));
    }
}
