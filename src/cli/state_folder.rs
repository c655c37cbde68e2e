//! Chooses the state folder of a tracker or peer.

use super::exit::{EarlyExit, Exit, early_failure};
use super::output::Output;
use crate::storage::{StateFolder, StateFolderError, StateKind};
use crate::wire::HostPort;
use std::path::PathBuf;

/// A state folder, or the one that another process uses.
#[derive(Debug)]
pub(super) enum OpenedFolder {
    /// This process has locked it.
    Own(StateFolder),
    /// Another process uses the folder `path`. `error` says so.
    InUse { path: PathBuf, error: EarlyExit },
}

/// Opens the folder that an option names (`named`). Without that option, opens a temporary folder
/// for port 0, else the default folder of the port.
///
/// # Errors
/// See [`StateFolderError`]; [`StateFolderError::NoHome`] is wrong usage.
pub(super) fn open(
    kind: StateKind,
    named: Option<PathBuf>,
    listen: &HostPort,
) -> Result<OpenedFolder, EarlyExit> {
    let is_default = named.is_none();
    let opened = match (named, listen.port) {
        (Some(named), _) => StateFolder::open_for(kind, &named),
        (None, 0) => StateFolder::temporary(),
        (None, port) => {
            default_path(kind, port).and_then(|path| StateFolder::open_for(kind, &path))
        }
    };
    match opened {
        Ok(folder) => Ok(OpenedFolder::Own(folder)),
        Err(StateFolderError::InUse(path)) => {
            let text = match is_default {
                true => format!(
                    "{} is in use: another {} has port {}; {}",
                    path.display(),
                    kind.word(),
                    listen.port,
                    another_port_advice(kind, listen)
                ),
                false => StateFolderError::InUse(path.clone()).to_string(),
            };
            let error = early_failure(text);
            Ok(OpenedFolder::InUse { path, error })
        }
        Err(error @ StateFolderError::NoHome(_)) => Err((error.to_string(), Exit::Usage)),
        Err(error) => Err(early_failure(error)),
    }
}

/// Shows and logs what the file system of the folder cannot do.
pub(super) fn warn(folder: &StateFolder, output: &Output) {
    for warning in folder.warnings() {
        output.note(&format!("warning: {warning}"));
        log::warn!("{warning}");
    }
}

/// What to type if the port is taken.
pub(super) fn another_port_advice(kind: StateKind, listen: &HostPort) -> String {
    let other = HostPort {
        host: listen.host.clone(),
        port: listen.port.checked_add(1).unwrap_or(6881),
    };
    let option = match kind {
        StateKind::Peer => "",
        StateKind::Tracker => "--listen ",
    };
    format!(
        "give this one another port: pieceful {} {option}{other}",
        kind.word()
    )
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
        let any: HostPort = "127.0.0.1:0".parse().unwrap();
        let named = || open(StateKind::Peer, Some(folder.path().join("state")), &any);
        let OpenedFolder::Own(first) = named().unwrap() else {
            panic!("nobody else uses it");
        };
        assert!(matches!(
            named(),
            Ok(OpenedFolder::InUse { error: (message, Exit::Failure), .. }) if message.contains("in use")
        ));
        drop(first);
        named().unwrap();
        let OpenedFolder::Own(temporary) = open(StateKind::Tracker, None, &any).unwrap() else {
            panic!("it is new");
        };
        let path = temporary.path().to_owned();
        assert!(path.is_dir());
        drop(temporary);
        assert!(!path.exists());
    }

    #[test]
    fn the_advice_shows_the_arguments_with_another_port() {
        for (kind, address, typed) in [
            (
                StateKind::Peer,
                "0.0.0.0:6881",
                "pieceful peer 0.0.0.0:6882",
            ),
            (StateKind::Peer, "[::1]:65535", "pieceful peer [::1]:6881"),
            (
                StateKind::Tracker,
                "127.0.0.1:5000",
                "pieceful tracker --listen 127.0.0.1:5001",
            ),
        ] {
            let advice = another_port_advice(kind, &address.parse().unwrap());
            assert!(advice.ends_with(typed), "{advice}");
        }
    }
}
