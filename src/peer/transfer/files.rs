//! The open files of a transfer, and what is known of them when they are not what was verified.

use crate::storage::{Download, Stamp, Store};
use crate::system::lock;
use std::sync::{Arc, Mutex};

/// The open files of a transfer.
#[derive(Clone, Debug)]
pub(crate) enum Files {
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
    open: Option<Files>,
    /// How the files of a whole share were when they were verified.
    sealed: Option<Vec<Stamp>>,
    watch: Watch,
}

/// What was found of a share whose files are not what was verified.
#[derive(Debug, Default)]
struct Watch {
    /// How they were at the last look: what is still being written is not worth hashing.
    seen: Option<Vec<Stamp>>,
    /// How they were when they were hashed and were something else.
    wrong: Option<Vec<Stamp>>,
    /// They are being hashed, or the share is just being taken out.
    is_busy: bool,
    /// Files that are opened and looked at, some at a time.
    looking: Option<Looking>,
}

/// A look at all files of a share, which takes several turns.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) store: Store,
    pub(super) stamps: Vec<Stamp>,
    /// The file at which it goes on.
    pub(super) next: usize,
}

/// What a look at all files of a lost share means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// They are as they were when they were verified.
    AsSealed,
    /// They are still being written, or known to be something else.
    Wait,
    /// They have changed and are at rest: they are worth hashing.
    Hash,
}

impl TransferFiles {
    /// Opens them; if they are sealed, that is how they count from now on.
    pub(super) fn open(&self, files: Files) {
        let mut state = lock(&self.state);
        if let Files::Whole(store) = &files
            && let Some(sealed) = store.sealed()
        {
            state.sealed = Some(sealed);
        }
        state.open = Some(files);
    }

    /// What is read from, once they are open.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        lock(&self.state).open.as_ref().map(|files| match files {
            Files::Whole(store) => Arc::clone(store),
            Files::Partial(download) => Arc::clone(download.store()),
        })
    }

    /// What is written to, as long as they are written.
    pub(super) fn download(&self) -> Option<Arc<Download>> {
        match &lock(&self.state).open {
            Some(Files::Partial(download)) => Some(Arc::clone(download)),
            _ => None,
        }
    }

    /// They are no longer written, only read. Returns what was written to.
    pub(super) fn end_writing(&self) -> Option<Arc<Download>> {
        let mut state = lock(&self.state);
        let Some(Files::Partial(download)) = &state.open else {
            return None;
        };
        let download = Arc::clone(download);
        state.open = Some(Files::Whole(Arc::clone(download.store())));
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

    /// They are no longer what was verified. Until [`TransferFiles::end_work`] nobody looks at
    /// them.
    pub(super) fn begin_loss(&self) {
        lock(&self.state).watch = Watch {
            is_busy: true,
            ..Watch::default()
        };
    }

    /// Who has worked on them has done.
    pub(super) fn end_work(&self) {
        lock(&self.state).watch.is_busy = false;
    }

    /// The next turn of a look: what was begun, if anything; `None` while somebody works on them.
    pub(super) fn take_look(&self) -> Option<Option<Looking>> {
        let mut state = lock(&self.state);
        let is_busy = state.watch.is_busy;
        (!is_busy).then(|| state.watch.looking.take())
    }

    /// The look goes on at another turn.
    pub(super) fn put_look(&self, looking: Looking) {
        lock(&self.state).watch.looking = Some(looking);
    }

    /// All files were looked at, and are like this. If they are to be hashed, they count as being
    /// worked on from now on.
    pub(super) fn on_looked(&self, stamps: &[Stamp]) -> Look {
        let mut guard = lock(&self.state);
        let State { sealed, watch, .. } = &mut *guard;
        if sealed.as_deref() == Some(stamps) {
            return Look::AsSealed;
        }
        let before = watch.seen.replace(stamps.to_vec());
        if before.as_deref() != Some(stamps) || watch.wrong.as_deref() == Some(stamps) {
            return Look::Wait;
        }
        watch.is_busy = true;
        Look::Hash
    }

    /// They were hashed like this, and are something else.
    pub(super) fn on_wrong(&self, stamps: Vec<Stamp>) {
        let watch = &mut lock(&self.state).watch;
        watch.is_busy = false;
        watch.wrong = Some(stamps);
    }

    /// What was found so far does not count any more.
    pub(super) fn forget_looks(&self) {
        lock(&self.state).watch = Watch::default();
    }
}
