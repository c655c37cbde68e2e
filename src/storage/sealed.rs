//! Whole shares that are served: whether their files are still those that were verified, told without reading them.
//!
//! In scope: comparing stamps, of the open file before its bytes go out, and of what stands under its path now and then. A
//! change that leaves length, modification time and inode as they were is not seen; the SHA-1 at the other side sees it.

use super::store::Base;
use super::{Span, Stamp, Store, StoreError};
use std::fs;

impl Store {
    /// From now on the files count as they were when `stamps` were taken, by [`Store::stamps`], for good. To be given stamps
    /// from before the files were verified, so that a change meanwhile is seen.
    pub fn seal(&self, stamps: &[Stamp]) {
        let files = self.info.files().len();
        // What lies beside the files comes last, as its stamp does.
        let mut sealed = vec![None; files + 1];
        let indices = self.stored_files().chain(self.rest.iter().map(|_| files));
        for (index, stamp) in indices.zip(stamps) {
            if let Some(place) = sealed.get_mut(index) {
                *place = Some(*stamp);
            }
        }
        let _ = self.sealed.set(sealed);
    }

    /// What [`Store::seal`] was given; none before.
    pub fn sealed(&self) -> Option<Vec<Stamp>> {
        let sealed = self.sealed.get()?;
        Some(sealed.iter().copied().flatten().collect())
    }

    /// Whether the open file below a span is as it was sealed. Costs one system call.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if it is not; when the file cannot be looked at.
    pub fn vouch(&self, span: &Span) -> Result<(), StoreError> {
        let Span::File { file, index, .. } = span else {
            return Ok(());
        };
        let Some(sealed) = self.sealed_file(*index) else {
            return Ok(());
        };
        let path = || self.file_path(*index);
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| StoreError::io("look at", &path(), error))?;
        if Stamp::of(&metadata) == sealed {
            Ok(())
        } else {
            Err(StoreError::Changed(path()))
        }
    }

    /// Looks at what stands under the paths of up to `count` files from file `start` on; gives the file after them, none
    /// at the end.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Changed`] if one is not as it was sealed; when one cannot be looked at.
    pub fn look(&self, start: usize, count: usize) -> Result<Option<usize>, StoreError> {
        let files = self.info.files().len();
        let end = start.saturating_add(count).min(files);
        for index in start..end {
            let Some(sealed) = self.sealed_file(index).filter(|_| !self.is_left_out(index)) else {
                continue;
            };
            let path = self.file_path(index);
            // The file that a person named may be a link; inside a folder none is followed.
            let metadata = match self.root().base {
                Base::File(_) => fs::metadata(&path),
                Base::Folder(_) => fs::symlink_metadata(&path),
            };
            let metadata = metadata.map_err(|error| StoreError::io("look at", &path, error))?;
            if Stamp::of(&metadata) != sealed {
                return Err(StoreError::Changed(path));
            }
        }
        Ok(Some(end).filter(|end| *end < files))
    }

    fn sealed_file(&self, index: usize) -> Option<Stamp> {
        let index = match self.is_left_out(index) {
            true => self.info.files().len(),
            false => index,
        };
        match self.sealed.get() {
            Some(sealed) => sealed.get(index).copied().flatten(),
            None => self.standing_at(index)?.stamp(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, sample};
    use super::*;
    use std::sync::Arc;

    /// What vouching for all spans and looking at all paths says.
    fn seen(store: &Store) -> (Result<(), StoreError>, Result<Option<usize>, StoreError>) {
        let total = store.info().lengths().total();
        let mut spans = store.spans(0, total).unwrap();
        let vouched = spans.try_for_each(|span| store.vouch(&span?));
        (vouched, store.look(0, usize::MAX))
    }

    #[test]
    fn a_change_is_seen_at_the_open_file_and_a_move_at_its_path() {
        let Sample { folder, info, .. } = sample();
        let top = folder.path().join("set");
        let open = || Store::open_share(Arc::clone(&info), &top).unwrap();
        let store = open();
        assert!(store.sealed().is_none() && seen(&store).0.is_ok());
        let stamps = store.stamps().unwrap();
        store.seal(&stamps);
        assert_eq!(store.sealed(), Some(stamps.clone()));
        assert!(matches!(seen(&store), (Ok(()), Ok(None))));
        assert!(matches!(store.look(0, 2), Ok(Some(2))));
        assert!(matches!(store.look(2, 2), Ok(None)));

        let (big, aside) = (top.join("sub/big"), folder.path().join("aside"));
        fs::rename(&big, &aside).unwrap();
        // What is open is still right.
        let (vouched, looked) = seen(&store);
        assert!(vouched.is_ok() && matches!(looked, Err(StoreError::Missing(path)) if path == big));
        fs::copy(&aside, &big).unwrap();
        let (vouched, looked) = seen(&store);
        assert!(vouched.is_ok() && matches!(looked, Err(StoreError::Changed(path)) if path == big));
        fs::rename(&aside, &big).unwrap();
        assert!(matches!(seen(&store), (Ok(()), Ok(None))));

        let written = fs::File::options().write(true).open(&big).unwrap();
        written.set_modified(std::time::UNIX_EPOCH).unwrap();
        let (vouched, looked) = seen(&store);
        assert!(matches!(vouched, Err(StoreError::Changed(path)) if path == big));
        assert!(matches!(looked, Err(StoreError::Changed(_))));
    }
}
