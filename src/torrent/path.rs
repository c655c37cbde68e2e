//! Names and relative paths of shared files. All of them are safe to create in a folder.

use super::InfoHash;
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest name of a file or folder, in bytes. Common file systems accept this length.
const MAX_NAME: usize = 255;
/// The largest number of folders above a file inside a share.
const MAX_FOLDERS: usize = 100;

/// One component of a path: the name of a file or folder in the current folder, and nothing that
/// leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

/// Why text is not a [`FileName`] or [`FilePath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters, or no components.
    #[error("an empty name")]
    Empty,
    /// `.` or `..`.
    #[error("the name {0:?} leads to another folder")]
    Dots(String),
    /// A slash or a backslash.
    #[error("the name {0:?} contains a path separator")]
    Separator(String),
    /// A letter and a colon at the start. Windows reads them as a drive.
    #[error("the name {0:?} starts like a drive letter")]
    Drive(String),
    /// NUL or another control character.
    #[error("the name {0:?} contains a control character")]
    Control(String),
    /// More than 255 bytes.
    #[error("a name of {0} bytes is longer than {MAX_NAME}")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("a name is not UTF-8 text")]
    NotText,
    /// More than 100 folders deep.
    #[error("a path of {0} components is deeper than {MAX_FOLDERS} folders")]
    TooDeep(usize),
}

impl FileName {
    /// Checks that `name` can only be the name of a file in the current folder.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn new(name: &str) -> Result<Self, NameError> {
        let shortened = || name.chars().take(80).collect();
        match name.as_bytes() {
            [] => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots(shortened())),
            [letter, b':', ..] if letter.is_ascii_alphabetic() => {
                Err(NameError::Drive(shortened()))
            }
            bytes if bytes.len() > MAX_NAME => Err(NameError::TooLong(bytes.len())),
            _ if name.contains(['/', '\\']) => Err(NameError::Separator(shortened())),
            _ if name.contains(char::is_control) => Err(NameError::Control(shortened())),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An info-hash in hex digits is always a valid name.
impl From<InfoHash> for FileName {
    fn from(hash: InfoHash) -> Self {
        Self(hash.to_string())
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// A path in the folder of a share: at least one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilePath(Vec<FileName>);

impl FilePath {
    /// The path of these components.
    ///
    /// # Errors
    /// [`NameError::Empty`] if there are no components. [`NameError::TooDeep`] if there are more
    /// than 101.
    pub fn new(components: Vec<FileName>) -> Result<Self, NameError> {
        match components.len() {
            0 => Err(NameError::Empty),
            length if length > MAX_FOLDERS + 1 => Err(NameError::TooDeep(length)),
            _ => Ok(Self(components)),
        }
    }

    /// The components from the outermost folder to the file.
    pub fn components(&self) -> &[FileName] {
        &self.0
    }

    /// The path as the operating system writes it.
    pub fn to_path(&self) -> PathBuf {
        self.0.iter().collect()
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if at == 0 { "" } else { "/" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "x".repeat(256);
        type Check = fn(&NameError) -> bool;
        let table: &[(&str, Check)] = &[
            ("", |error| *error == NameError::Empty),
            (".", |error| matches!(error, NameError::Dots(_))),
            ("..", |error| matches!(error, NameError::Dots(_))),
            ("/etc", |error| matches!(error, NameError::Separator(_))),
            ("a/b", |error| matches!(error, NameError::Separator(_))),
            ("..\\x", |error| matches!(error, NameError::Separator(_))),
            ("C:", |error| matches!(error, NameError::Drive(_))),
            ("c:x", |error| matches!(error, NameError::Drive(_))),
            ("a\0b", |error| matches!(error, NameError::Control(_))),
            ("\u{1b}[2J", |error| matches!(error, NameError::Control(_))),
            ("a\u{9b}b", |error| matches!(error, NameError::Control(_))),
            (&long, |error| *error == NameError::TooLong(256)),
        ];
        for (name, expected) in table {
            assert!(
                FileName::new(name).is_err_and(|error| expected(&error)),
                "{name:?}"
            );
        }
        for name in ["a", "...", ".hidden", "aux.c", "x ", "ü", &long[1..]] {
            assert!(FileName::new(name).is_ok(), "{name:?}");
        }
    }
}
