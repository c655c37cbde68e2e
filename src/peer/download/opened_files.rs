//! The open files of a download that is about to start.

use crate::peer::{OpenFiles, Transfer};
use crate::storage::Download;
use crate::torrent::{Info, PieceSet, Selection};
use std::sync::Arc;

/// The open files of a download that is about to start.
pub(crate) struct OpenedFiles {
    pub(super) files: OpenFiles,
    pub(super) selection: Arc<Selection>,
    /// They replace the existing files under the final name once they are complete.
    pub(crate) replaces: bool,
    /// Good pieces of the replaced files are copied first.
    pub(super) copies_replaced: bool,
    /// The files under the final name are a part of this download.
    pub(super) extends: bool,
    /// Pieces that are known to be good.
    pub(super) known: PieceSet,
    /// Unfinished downloads of other versions, which end when this one is recorded.
    pub(super) ends: Vec<Arc<Transfer>>,
}

impl OpenedFiles {
    pub(crate) fn new(files: OpenFiles, info: &Info, selection: &Arc<Selection>) -> Self {
        Self {
            files,
            selection: Arc::clone(selection),
            replaces: false,
            copies_replaced: false,
            extends: false,
            known: PieceSet::empty(info.lengths()),
            ends: Vec::new(),
        }
    }

    /// The name of the partial file or folder, if the files are not complete.
    pub(crate) fn partial_name(&self) -> Option<String> {
        match &self.files {
            OpenFiles::Partial(download) => Some(download.partial_name().to_owned()),
            OpenFiles::Whole(_) => None,
        }
    }

    pub(crate) fn partial(download: Download, selection: &Arc<Selection>) -> Self {
        let info = Arc::clone(download.store().info());
        Self::new(OpenFiles::Partial(Arc::new(download)), &info, selection)
    }

    /// A download that replaces other files. `copies`: good pieces of these are copied first.
    pub(crate) fn replacement(
        download: Download,
        selection: &Arc<Selection>,
        copies: bool,
    ) -> Self {
        Self {
            replaces: true,
            copies_replaced: copies,
            ..Self::partial(download, selection)
        }
    }

    /// Unfinished downloads of other versions end when this one is recorded.
    pub(crate) fn ending(self, ends: Vec<Arc<Transfer>>) -> Self {
        Self { ends, ..self }
    }

    /// These pieces are known to be good.
    pub(super) fn knowing(self, known: PieceSet) -> Self {
        Self { known, ..self }
    }

    /// No piece of these files is known to be good.
    pub(super) fn without_files(mut self, info: &Info, files: &[usize]) -> Self {
        for piece in files.iter().flat_map(|file| info.pieces_of_file(*file)) {
            self.known.remove(piece);
        }
        self
    }

    /// Restores what was there before, because the download does not start.
    pub(super) fn undo(self) {
        if let OpenFiles::Partial(download) = self.files {
            download.undo();
        }
    }
}
