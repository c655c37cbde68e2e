//! What is known of the files of a share that are not what was verified.

use crate::storage::{Stamp, Store};

/// What was found of a share whose files are not as they were.
#[derive(Debug, Default)]
pub(crate) struct FileWatch {
    /// How they were at the last look: what is still being written is not worth hashing.
    pub(crate) seen: Option<Vec<Stamp>>,
    /// How they were when they were hashed and were something else.
    pub(crate) wrong: Option<Vec<Stamp>>,
    /// They are being hashed, or the share is just being taken out.
    pub(crate) busy: bool,
    /// Files that are opened and looked at, some at a time.
    pub(crate) looking: Option<Looking>,
}

/// A look at all files of a share, which takes several turns.
#[derive(Debug)]
pub(crate) struct Looking {
    pub(crate) store: Store,
    pub(crate) stamps: Vec<Stamp>,
    /// The file at which it goes on.
    pub(crate) next: usize,
}
