//! Chooses the state folder of a tracker or peer.

use super::exit::{EarlyExit, Exit};
use super::output::Output;
use crate::storage::{StateFolder, StateFolderError, StateKind};
use std::path::PathBuf;

/// Opens the folder that an option names (`named`). Without that option, opens a temporary folder
/// for port 0, else the default folder of `port`.
///
/// # Errors
/// See [`StateFolderError`]; [`StateFolderError::NoHome`] is wrong usage.
pub(super) fn open(
    kind: StateKind,
    named: Option<PathBuf>,
    port: u16,
) -> Result<StateFolder, EarlyExit> {
    let opened = match (named, port) {
        (Some(named), _) => StateFolder::open(&named),
        (None, 0) => StateFolder::temporary(),
        (None, port) => default_path(kind, port).and_then(|path| StateFolder::open(&path)),
    };
    opened.map_err(|error| match &error {
        StateFolderError::NoHome(_) => (error.to_string(), Exit::Usage),
        _ => (error.to_string(), Exit::Failure),
    })
}

/// Shows and logs what the file system of the folder cannot do.
pub(super) fn warn(folder: &StateFolder, output: &Output) {
    for warning in folder.warnings() {
        output.note(&format!("warning: {warning}"));
        log::warn!("{warning}");
    }
}

/// The default state folder of `port`.
///
/// # Errors
/// [`StateFolderError::NoHome`].
pub(super) fn default_path(kind: StateKind, port: u16) -> Result<PathBuf, StateFolderError> {
    let (data, home) = (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"));
    StateFolder::default_for(kind, port, data.as_deref(), home.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_refused_and_a_temporary_one_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let named = || open(StateKind::Peer, Some(folder.path().join("state")), 0);
        let first = named().unwrap();
        assert!(matches!(named(), Err((message, Exit::Failure)) if message.contains("in use")));
        drop(first);
        named().unwrap();
        let temporary = open(StateKind::Tracker, None, 0).unwrap();
        let path = temporary.path().to_owned();
        assert!(path.is_dir());
        drop(temporary);
        assert!(!path.exists());
    }
}
