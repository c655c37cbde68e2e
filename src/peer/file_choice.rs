//! What of a share is wanted, and in which order.

use crate::torrent::Glob;
use std::path::PathBuf;

/// How a download is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DownloadOptions {
    /// A folder to put it in, or the new file or folder's own path; by default the current folder.
    pub destination: Option<PathBuf>,
    /// What of it is wanted, and in which order.
    pub choice: FileChoice,
}

/// What of a share is wanted, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileChoice {
    /// Files that one of these means; none for all files.
    pub only: Vec<Glob>,
    /// Pieces in their order instead of the rarest first.
    pub sequential: bool,
    /// What stands at its place and is not the share gives way to it once that is whole; what of it
    /// verifies is copied, and files in a folder that are none of the share's are kept.
    pub force: bool,
}

impl FileChoice {
    /// As a record keeps them. Patterns that are none any more mean nothing.
    pub(super) fn from_record(only: &[String], sequential: bool, force: bool) -> Self {
        Self {
            only: only.iter().filter_map(|text| text.parse().ok()).collect(),
            sequential,
            force,
        }
    }

    /// These and others: what either means.
    pub(super) fn union(&self, more: &Self) -> Self {
        // No pattern means everything.
        let mut only = Vec::new();
        if !self.only.is_empty() && !more.only.is_empty() {
            only.clone_from(&self.only);
            let new = more.only.iter().filter(|glob| !self.only.contains(glob));
            only.extend(new.cloned());
        }
        Self {
            only,
            sequential: self.sequential || more.sequential,
            force: self.force || more.force,
        }
    }

    /// The patterns as text.
    pub(super) fn patterns(&self) -> Vec<String> {
        self.only.iter().map(Glob::to_string).collect()
    }
}
