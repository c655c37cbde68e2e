//! Which files of a share to download, in which order, and whether they replace other content.

use crate::torrent::{FilePattern, Magnet};
use std::path::{Path, PathBuf};

/// The options of a download.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DownloadOptions {
    /// Where the download goes.
    pub destination: WantedPlace,
    /// Which files to download, and how.
    pub choice: FileChoice,
}

/// Where the user wants a download to go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedPlace {
    /// An existing folder into which the download goes, or a path that does not exist yet and that
    /// becomes the path of the downloaded file or folder. `None`: the user has named no place.
    pub named: Option<PathBuf>,
    /// The current folder of the user, into which the download goes if no place is named. If empty,
    /// the current folder of this process.
    pub current_folder: PathBuf,
    /// Whether the named path is always that of the file or folder itself, even if a folder has
    /// this path.
    pub is_exact: bool,
}

impl WantedPlace {
    /// The same user, and this path as the place.
    pub(super) fn at(&self, path: PathBuf) -> Self {
        Self {
            named: Some(path),
            current_folder: self.current_folder.clone(),
            is_exact: true,
        }
    }

    /// The path that is meant.
    pub(super) fn path(&self) -> &Path {
        match &self.named {
            Some(named) => named,
            None if self.current_folder.as_os_str().is_empty() => Path::new("."),
            None => &self.current_folder,
        }
    }
}

/// Which files of a share to download, in which order, and whether they replace other content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileChoice {
    /// Patterns of the wanted files. If empty, all files are wanted.
    pub only: Vec<FilePattern>,
    /// Fetches pieces in ascending order instead of rarest first.
    pub sequential: bool,
    /// Replaces other content at the destination when the download is complete. Before that, the
    /// good pieces of the old content are copied into the download. In a folder, files that do not
    /// belong to the share are kept.
    pub force: bool,
}

impl FileChoice {
    /// The choice in a record. Patterns that are no longer valid are ignored.
    pub(super) fn from_record(only: &[String], sequential: bool, force: bool) -> Self {
        Self {
            only: only.iter().filter_map(|text| text.parse().ok()).collect(),
            sequential,
            force,
        }
    }

    /// The choice for the download of a magnet link. If this choice has no patterns, the wanted
    /// files are those that the link selects (BEP 53).
    pub(super) fn or_selected_by(mut self, magnet: &Magnet) -> Self {
        if self.only.is_empty() {
            let numbers = magnet.select_only.iter().cloned();
            self.only.extend(numbers.map(FilePattern::Numbers));
        }
        self
    }

    /// The union of two choices.
    pub(super) fn union(&self, more: &Self) -> Self {
        // An empty list means all files.
        let mut only = Vec::new();
        if !self.only.is_empty() && !more.only.is_empty() {
            only.clone_from(&self.only);
            let new = more
                .only
                .iter()
                .filter(|pattern| !self.only.contains(pattern));
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
        self.only.iter().map(FilePattern::to_string).collect()
    }
}
