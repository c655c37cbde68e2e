//! Which folder a tracker or peer keeps its state in.

use crate::storage::{FolderError, StateFolder, StateKind};
use std::path::PathBuf;

/// Opens the folder that an option names, else the one of `port`, else, with port 0, a temporary one.
///
/// # Errors
/// See [`FolderError`]; [`FolderError::NoHome`] is wrong usage.
pub(super) fn open(
    kind: StateKind,
    named: Option<PathBuf>,
    port: u16,
) -> Result<StateFolder, FolderError> {
    let path = match (named, port) {
        (Some(named), _) => named,
        (None, 0) => return StateFolder::temporary(),
        (None, port) => {
            let (data, home) = (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"));
            StateFolder::default_for(kind, port, data.as_deref(), home.as_deref())?
        }
    };
    StateFolder::open(&path)
}
