//! What a person asks of a peer about the shares of groups.

use crate::wire::name::Label;
use std::path::PathBuf;

/// A command about what groups share.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum FileCommand {
    /// Share a file or folder.
    Upload { group: Label, path: PathBuf },
    /// List the catalogue.
    List { group: Label },
    /// Start a download.
    Download {
        group: Label,
        name: String,
        /// A folder to put it in, or the new file or folder's own path.
        destination: Option<PathBuf>,
        /// Whether something else that stands there is replaced.
        force: bool,
    },
    /// End the sharing.
    Stop {
        /// Whose it is; none for an open swarm.
        group: Option<Label>,
        name: String,
    },
}

impl FileCommand {
    /// What is typed for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Upload { .. } => "upload_file",
            Self::List { .. } => "list_files",
            Self::Download { .. } => "download_file",
            Self::Stop { .. } => "stop_share",
        }
    }
}
