//! The file with a token, and the two files that a join writes into the state folder:
//! `tracker_info.txt` and `token`.

use super::{FileError, whole_file};
use crate::wire::{JoinLine, JoinTextError, MAX_JOIN_TEXT, MachineToken, TrackerInfo};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The names of the files in the state folder.
const TRACKER_INFO: &str = "tracker_info.txt";
const TOKEN: &str = "token";
/// Longest file that is read, in bytes.
const MAX_FILE_LENGTH: u64 = 2 * MAX_JOIN_TEXT as u64;
/// The first line of a TRACKER_INFO that a join writes.
const HEADING: &str = "# written by pieceful join\n";

/// A token that was read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadToken {
    /// The token.
    pub token: MachineToken,
    /// Whether other users of this machine may read the file.
    pub is_exposed: bool,
}

/// The files that a join writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinFiles {
    /// The path of the TRACKER_INFO.
    pub tracker_info: PathBuf,
    /// The path of the token.
    pub token: PathBuf,
}

/// Why the file of a token cannot be read, or the files of a join cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum JoinFileError {
    /// The file holds no token.
    #[error("{} holds no token: {source}", .path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        source: JoinTextError,
    },
    /// There is no such file.
    #[error(
        "there is no file {}: write the line that create_token printed into it",
        .0.display()
    )]
    Missing(PathBuf),
    /// An earlier join, or a person, has written something else into a file.
    #[error(
        "{} has other contents than the join line: to use this line, name another folder with \
         --dir, or remove that file",
        .0.display()
    )]
    OtherContents(PathBuf),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Reads the token in the file at `path`.
///
/// # Errors
/// See [`JoinFileError`].
pub fn read_token(path: &Path) -> Result<ReadToken, JoinFileError> {
    let text = read(path)?.ok_or_else(|| JoinFileError::Missing(path.to_owned()))?;
    let token = text.parse().map_err(|source| JoinFileError::NoToken {
        path: path.to_owned(),
        source,
    })?;
    let examined = path.metadata().map_err(FileError::at("read", path))?;
    Ok(ReadToken {
        token,
        is_exposed: examined.mode() & 0o077 != 0,
    })
}

impl JoinFiles {
    /// The files in this state folder.
    pub fn of(folder: &Path) -> Self {
        Self {
            tracker_info: folder.join(TRACKER_INFO),
            token: folder.join(TOKEN),
        }
    }

    /// Writes what `line` says, with mode 0600. Keeps a file that says the same. `replaces`:
    /// whether it replaces what an earlier join has written.
    ///
    /// # Errors
    /// See [`JoinFileError`]. A file with other contents is not changed.
    pub fn write(&self, line: &JoinLine, replaces: bool) -> Result<(), JoinFileError> {
        let info = line.tracker_info();
        let keeps_info = |text: &str| text.parse().as_ref() == Ok(&info);
        let has_old_info = |text: &str| replaces && text.starts_with(HEADING);
        let text = format!("{HEADING}{info}");
        write(&self.tracker_info, &text, keeps_info, has_old_info)?;
        let token = line.token();
        let keeps_token = |text: &str| text.parse().as_ref() == Ok(token);
        let has_old_token = |text: &str| replaces && text.parse::<MachineToken>().is_ok();
        let text = format!("{token}\n");
        write(&self.token, &text, keeps_token, has_old_token)
    }

    /// The trackers in the TRACKER_INFO. `None` if there is none, or it cannot be read.
    pub fn tracker_info(&self) -> Option<TrackerInfo> {
        read(&self.tracker_info).ok().flatten()?.parse().ok()
    }
}

/// Writes a file, unless there is one whose text `is_same`. Replaces one whose text `is_old`.
fn write(
    path: &Path,
    text: &str,
    is_same: impl Fn(&str) -> bool,
    is_old: impl Fn(&str) -> bool,
) -> Result<(), JoinFileError> {
    let written = match read(path)? {
        Some(found) if is_same(&found) => return Ok(()),
        Some(found) if is_old(&found) => whole_file::replace(path, text.as_bytes()),
        Some(_) => return Err(JoinFileError::OtherContents(path.to_owned())),
        None => whole_file::create_new(path, text.as_bytes()),
    };
    Ok(written.map_err(FileError::at("write", path))?)
}

/// The text of a file. `None` if there is no file. Bytes that are not UTF-8 are replaced.
fn read(path: &Path) -> Result<Option<String>, FileError> {
    let bytes = whole_file::read(path, MAX_FILE_LENGTH).map_err(FileError::at("read", path))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Fingerprint;
    use crate::wire::machine::MachineSecret;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn line(secret: u8, tracker: &str) -> JoinLine {
        let token = MachineToken {
            cluster: Fingerprint::of(b"cluster"),
            secret: MachineSecret([secret; 16]),
        };
        JoinLine::new(token, vec![tracker.parse().unwrap()]).unwrap()
    }

    #[test]
    fn a_join_writes_private_files_keeps_equal_ones_and_refuses_others() {
        let folder = tempfile::tempdir().unwrap();
        let files = JoinFiles::of(folder.path());
        let first = line(1, "127.0.0.1:5000");
        files.write(&first, false).unwrap();
        let read_back = read_token(&files.token).unwrap();
        assert_eq!(
            (&read_back.token, read_back.is_exposed),
            (first.token(), false)
        );
        assert_eq!(files.tracker_info(), Some(first.tracker_info()));
        // A person may have changed the comments.
        let text = fs::read_to_string(&files.tracker_info).unwrap();
        fs::write(&files.tracker_info, text.replace("written", "made")).unwrap();
        files.write(&first, false).unwrap();
        for (other, path) in [
            (line(1, "127.0.0.1:5001"), &files.tracker_info),
            (line(2, "127.0.0.1:5000"), &files.token),
        ] {
            let before = fs::read(path).unwrap();
            let error = files.write(&other, false).unwrap_err();
            let shown = error.to_string();
            assert!(
                shown.contains(path.to_str().unwrap()) && shown.contains("--dir"),
                "{shown}"
            );
            assert_eq!(fs::read(path).unwrap(), before);
        }
        // What an earlier join has written is replaced, but nothing else.
        let other = line(2, "127.0.0.1:5001");
        let person = "127.0.0.1:5002\n";
        fs::write(&files.tracker_info, person).unwrap();
        assert!(files.write(&other, true).is_err());
        assert_eq!(fs::read_to_string(&files.tracker_info).unwrap(), person);
        fs::write(&files.tracker_info, format!("{HEADING}{person}")).unwrap();
        files.write(&other, true).unwrap();
        assert_eq!(files.tracker_info(), Some(other.tracker_info()));
        assert_eq!(read_token(&files.token).unwrap().token, *other.token());
    }

    #[test]
    fn the_file_of_a_token_says_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        let shown = |error: JoinFileError| error.to_string();
        assert!(shown(read_token(&path).unwrap_err()).contains("create_token"));
        for (text, part) in [
            (line(1, "a:1").to_string(), "pieceful join"),
            ("token".to_owned(), "a part of it is missing"),
            ("\u{fffd}x".repeat(20_000), "too long"),
        ] {
            fs::write(&path, text).unwrap();
            let error = shown(read_token(&path).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        fs::write(&path, format!("{}\n", line(1, "a:1").token())).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(read_token(&path).unwrap().is_exposed);
        assert!(read_token(folder.path()).is_err());
    }
}
