//! The folder in which a process stores its state.
//!
//! In scope: its default path, its permissions, whether it is that of a peer or of a tracker, and
//! its lock for one process. Out of scope: its contents (`records`, and the tracker's files).

use super::optional::{OptionalCall, find_missing};
use super::{DATABASE_FILE, FileError};
use nix::fcntl::OFlag;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The action in errors about a folder that cannot be made, opened or locked.
const USE_FOLDER: &str = "use the folder";
/// The name of the locked file in a state folder.
const LOCK_FILE: &str = "lock";
/// The names of two folders in the state folder of a peer.
pub(super) const RECORDS_FOLDER: &str = "records";
pub(super) const TORRENTS_FOLDER: &str = "torrents";

/// A state folder that this process has locked. Other processes cannot use it until this is
/// dropped.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// What its file system cannot do, as warnings.
    warnings: Vec<String>,
    /// Locked while it is open.
    _lock: File,
    is_locked: bool,
    /// Removes the folder when dropped.
    temporary: Option<TempDir>,
}

/// The kind of process that uses a state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// A peer (`--dir`).
    Peer,
    /// A tracker (`--data`).
    Tracker,
}

impl StateKind {
    /// The word for such a process, as in the command that starts it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Tracker => "tracker",
        }
    }

    /// The name of the log in its state folder.
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Peer => "peer.log",
            Self::Tracker => "tracker.log",
        }
    }

    /// The option that names its state folder.
    fn option(self) -> &'static str {
        match self {
            Self::Peer => "--dir",
            Self::Tracker => "--data",
        }
    }

    /// Whether such a process has used the folder at `path`. A folder `torrents` alone does not
    /// show this: a person's own folder may contain one with that name.
    fn has_used(self, path: &Path) -> bool {
        let is_there = |name: &&str| path.join(name).symlink_metadata().is_ok();
        let state: &[&str] = match self {
            Self::Peer => &[RECORDS_FOLDER, TORRENTS_FOLDER],
            Self::Tracker => &[DATABASE_FILE],
        };
        is_there(&self.log_name()) || state.iter().all(is_there)
    }
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    /// The folder is that of a process of the other kind.
    #[error(
        "{} is the state folder of a {}; name another folder with {}",
        .path.display(), .found.word(), .wanted.option()
    )]
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// The kind of process that has used it.
        found: StateKind,
        /// The kind of process that is to use it.
        wanted: StateKind,
    },
    /// Another process uses the folder.
    #[error(
        "{} is in use by another process: stop that one or choose another folder",
        .0.display()
    )]
    InUse(PathBuf),
    /// The folder cannot be made, opened or locked.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The environment does not say where the default state folder is.
    #[error("neither XDG_DATA_HOME nor HOME is set: name a folder with {0}")]
    NoHome(&'static str),
}

impl StateFolder {
    /// Opens the folder at `path` for this process only. Makes it if it does not exist, accessible
    /// by this user only.
    ///
    /// # Errors
    /// When another process uses the folder, or it cannot be made, opened or locked.
    pub fn open(path: &Path) -> Result<Self, StateFolderError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(FileError::at(USE_FOLDER, path))?;
        Self::lock(path.to_owned(), None)
    }

    /// Checks that a process of this kind may use the folder at `path`, then opens it.
    ///
    /// # Errors
    /// See [`StateFolder::check_kind`] and [`StateFolder::open`].
    pub fn open_for(kind: StateKind, path: &Path) -> Result<Self, StateFolderError> {
        Self::check_kind(kind, path)?;
        Self::open(path)
    }

    /// Refuses the folder at `path` if a process of the other kind has used it and none of this
    /// kind has. Earlier versions did not check this, so both kinds may have used a folder. Such a
    /// folder is accepted. Changes nothing.
    ///
    /// # Errors
    /// [`StateFolderError::OtherKind`].
    pub fn check_kind(kind: StateKind, path: &Path) -> Result<(), StateFolderError> {
        let other = match kind {
            StateKind::Peer => StateKind::Tracker,
            StateKind::Tracker => StateKind::Peer,
        };
        if kind.has_used(path) || !other.has_used(path) {
            return Ok(());
        }
        Err(StateFolderError::OtherKind {
            path: path.to_owned(),
            found: other,
            wanted: kind,
        })
    }

    /// Whether a process uses the folder at `path`. Changes nothing.
    pub fn is_in_use(path: &Path) -> bool {
        let lock = File::open(path.join(LOCK_FILE));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Makes a folder that is removed when the returned value is dropped.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn temporary() -> Result<Self, StateFolderError> {
        let temporary = tempfile::Builder::new()
            .prefix("pieceful-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir();
        let temporary = temporary.map_err(FileError::at(USE_FOLDER, &std::env::temp_dir()))?;
        Self::lock(temporary.path().to_owned(), Some(temporary))
    }

    /// The state folder of the process on `port` if no option names one: `pieceful/KIND-PORT` in
    /// `$XDG_DATA_HOME`, or else in `$HOME/.local/share`. Empty and relative values are ignored;
    /// the XDG specification requires that for relative ones.
    ///
    /// # Errors
    /// When neither variable is usable. The error names the option that sets the folder.
    pub fn default_for(
        kind: StateKind,
        port: u16,
        xdg_data_home: Option<&OsStr>,
        home: Option<&OsStr>,
    ) -> Result<PathBuf, StateFolderError> {
        let usable =
            |value: Option<&OsStr>| value.map(PathBuf::from).filter(|path| path.is_absolute());
        let data = usable(xdg_data_home);
        let data = data.or_else(|| usable(home).map(|home| home.join(".local/share")));
        let data = data.ok_or(StateFolderError::NoHome(kind.option()))?;
        let name = format!("{}-{port}", kind.word());
        Ok(data.join("pieceful").join(name))
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder is removed when this value is dropped.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Whether no other process can use the folder. `false` if its file system has no locks.
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// What the file system of the folder cannot do, one sentence each. The caller shows and logs
    /// them, because the log begins after the folder is open.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn lock(path: PathBuf, temporary: Option<TempDir>) -> Result<Self, StateFolderError> {
        let file = path.join(LOCK_FILE);
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&file)
            .map_err(FileError::at(USE_FOLDER, &file))?;
        let locked = match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => return Err(StateFolderError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(error),
        };
        let is_locked = locked.is_ok();
        let synced = File::open(&path).and_then(|folder| folder.sync_all());
        let mut warnings = Vec::new();
        for (call, result) in [
            (OptionalCall::Lock, locked),
            (OptionalCall::SyncFolder, synced),
        ] {
            let missing = find_missing(call, &path, result);
            if let Some(missing) = missing.map_err(FileError::at(USE_FOLDER, &path))? {
                // The caller logs this warning. It is noted, so that the next failure of the same
                // call on this file system is not logged too.
                let _ = missing.note_warning();
                warnings.push(missing.to_string());
            }
        }
        Ok(Self {
            path,
            warnings,
            _lock: lock,
            is_locked,
            temporary,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_is_private_and_used_by_one_process() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        let folder = StateFolder::open(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = StateFolder::open(&path).unwrap_err();
        assert!(matches!(&second, StateFolderError::InUse(used) if *used == path));
        assert!(second.to_string().contains("a/b is in use"));
        assert!(StateFolder::is_in_use(&path));
        drop(folder);
        assert!(!StateFolder::is_in_use(&path));
        StateFolder::open(&path).unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(
            StateFolder::open(&file),
            Err(StateFolderError::Io { .. })
        ));
        assert!(matches!(
            StateFolder::open(&file.join("x")),
            Err(StateFolderError::Io { .. })
        ));
    }

    #[test]
    fn a_folder_that_only_the_other_kind_has_used_is_refused() {
        for (files, peer, tracker) in [
            (&[][..], true, true),
            (&["torrents", "tracker_info.txt", "cluster.pem"], true, true),
            (&["records", "torrents"], true, false),
            (&["peer.log"], true, false),
            (&["registry.redb"], false, true),
            (&["tracker.log"], false, true),
            // Earlier versions have used this folder for both.
            (&["tracker.log", "peer.log"], true, true),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let state = folder.path().join("state");
            if !files.is_empty() {
                std::fs::create_dir(&state).unwrap();
            }
            for name in files {
                std::fs::write(state.join(name), "").unwrap();
            }
            for (kind, expected) in [(StateKind::Peer, peer), (StateKind::Tracker, tracker)] {
                let checked = StateFolder::check_kind(kind, &state);
                assert_eq!(checked.is_ok(), expected, "{files:?}: {checked:?}");
                let Err(error) = checked else { continue };
                let opened = StateFolder::open_for(kind, &state).unwrap_err();
                assert_eq!(opened.to_string(), error.to_string());
                assert_eq!(state.read_dir().unwrap().count(), files.len());
            }
        }
    }

    #[test]
    fn a_temporary_folder_is_removed_with_its_contents() {
        let folder = StateFolder::temporary().unwrap();
        let path = folder.path().to_owned();
        std::fs::write(path.join("x"), "x").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_default_folder_depends_on_the_environment() {
        let os = |text: &'static str| Some(OsStr::new(text));
        let peer = |xdg, home| StateFolder::default_for(StateKind::Peer, 6881, xdg, home);
        for (xdg, home, expected) in [
            (os("/x"), os("/h"), "/x/pieceful/peer-6881"),
            (None, os("/h"), "/h/.local/share/pieceful/peer-6881"),
            (os(""), os("/h"), "/h/.local/share/pieceful/peer-6881"),
            (os("x"), os("/h"), "/h/.local/share/pieceful/peer-6881"),
        ] {
            assert_eq!(peer(xdg, home).unwrap(), Path::new(expected));
        }
        assert!(matches!(
            peer(None, os("")),
            Err(StateFolderError::NoHome("--dir"))
        ));
        let tracker = StateFolder::default_for(StateKind::Tracker, 5000, None, None);
        assert!(matches!(tracker, Err(StateFolderError::NoHome("--data"))));
        let tracker = StateFolder::default_for(StateKind::Tracker, 5000, os("/x"), None);
        assert_eq!(tracker.unwrap(), Path::new("/x/pieceful/tracker-5000"));
    }
}
