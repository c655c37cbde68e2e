//! The open files of a transfer, and what is known of them when they are not what was verified.

use crate::storage::{Download, Stamp, Store};
use crate::system::lock;
use std::sync::{Arc, Mutex};

/// The open files of a transfer.
#[derive(Clone, Debug)]
pub(crate) enum OpenFiles {
    /// All that is wanted is there.
    Whole(Arc<Store>),
    /// Some is still to be written.
    Partial(Arc<Download>),
}

/// The files of one transfer, behind a lock that is held for a look or a change only.
#[derive(Debug, Default)]
pub(super) struct TransferFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<OpenFiles>,
    /// How the files of a whole share were when they were verified.
    sealed: Option<Vec<Stamp>>,
    lost: LostFiles,
}

/// What was found of a share whose files are not what was verified.
#[derive(Debug, Default)]
struct LostFiles {
    /// How they were at the last look: what is still being written is not worth hashing.
    seen: Option<Vec<Stamp>>,
    /// How they were when they were hashed and were something else.
    mismatch: Option<Vec<Stamp>>,
    /// They are being hashed, or the share is just being taken out.
    is_busy: bool,
    /// Files that are opened and looked at, some at a time.
    scan: Option<StampScan>,
}

/// A look at all files of a share, which takes several turns.
#[derive(Debug)]
pub(super) struct StampScan {
    pub(super) store: Store,
    pub(super) stamps: Vec<Stamp>,
    /// The file at which it goes on.
    pub(super) next: usize,
}

/// What a look at all files of a lost share means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanResult {
    /// They are as they were when they were verified.
    AsSealed,
    /// They are still being written, or known to be something else.
    Wait,
    /// They have changed and are at rest: they are worth hashing.
    Hash,
}

impl TransferFiles {
    /// Opens them; if they are sealed, that is how they count from now on.
    pub(super) fn open(&self, files: OpenFiles) {
        let mut state = lock(&self.state);
        if let OpenFiles::Whole(store) = &files
            && let Some(sealed) = store.sealed()
        {
            state.sealed = Some(sealed);
        }
        state.open = Some(files);
    }

    /// What is read from, once they are open.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        lock(&self.state).open.as_ref().map(|files| match files {
            OpenFiles::Whole(store) => Arc::clone(store),
            OpenFiles::Partial(download) => Arc::clone(download.store()),
        })
    }

    /// What is written to, as long as they are written.
    pub(super) fn download(&self) -> Option<Arc<Download>> {
        match &lock(&self.state).open {
            Some(OpenFiles::Partial(download)) => Some(Arc::clone(download)),
            _ => None,
        }
    }

    /// They are no longer written, only read. Returns what was written to.
    pub(super) fn end_writing(&self) -> Option<Arc<Download>> {
        let mut state = lock(&self.state);
        let Some(OpenFiles::Partial(download)) = &state.open else {
            return None;
        };
        let download = Arc::clone(download);
        state.open = Some(OpenFiles::Whole(Arc::clone(download.store())));
        Some(download)
    }

    /// Lets go of them, so that another transfer may have them.
    pub(super) fn close(&self) {
        // Closing may take long on some file systems: not under the lock.
        let _files = lock(&self.state).open.take();
    }

    /// How they were when they were verified.
    pub(super) fn sealed(&self) -> Option<Vec<Stamp>> {
        lock(&self.state).sealed.clone()
    }

    /// They were verified, and were like this.
    pub(super) fn set_sealed(&self, sealed: Option<Vec<Stamp>>) {
        lock(&self.state).sealed = sealed;
    }

    /// They are no longer what was verified. Until [`TransferFiles::set_idle`] nobody looks at
    /// them.
    pub(super) fn begin_loss(&self) {
        lock(&self.state).lost = LostFiles {
            is_busy: true,
            ..LostFiles::default()
        };
    }

    /// Who has worked on them has done.
    pub(super) fn set_idle(&self) {
        lock(&self.state).lost.is_busy = false;
    }

    /// The next turn of a look: what was begun, if anything; `None` while somebody works on them.
    pub(super) fn take_scan(&self) -> Option<Option<StampScan>> {
        let mut state = lock(&self.state);
        let is_busy = state.lost.is_busy;
        (!is_busy).then(|| state.lost.scan.take())
    }

    /// The look goes on at another turn.
    pub(super) fn put_scan(&self, scan: StampScan) {
        lock(&self.state).lost.scan = Some(scan);
    }

    /// All files were looked at, and are like this. If they are to be hashed, they count as being
    /// worked on from now on.
    pub(super) fn on_scanned(&self, stamps: &[Stamp]) -> ScanResult {
        let mut guard = lock(&self.state);
        let State { sealed, lost, .. } = &mut *guard;
        if sealed.as_deref() == Some(stamps) {
            return ScanResult::AsSealed;
        }
        let before = lost.seen.replace(stamps.to_vec());
        if before.as_deref() != Some(stamps) || lost.mismatch.as_deref() == Some(stamps) {
            return ScanResult::Wait;
        }
        lost.is_busy = true;
        ScanResult::Hash
    }

    /// They were hashed like this, and are something else.
    pub(super) fn on_mismatch(&self, stamps: Vec<Stamp>) {
        let lost = &mut lock(&self.state).lost;
        lost.is_busy = false;
        lost.mismatch = Some(stamps);
    }

    /// What was found so far does not count any more.
    pub(super) fn forget_scans(&self) {
        lock(&self.state).lost = LostFiles::default();
    }
}
