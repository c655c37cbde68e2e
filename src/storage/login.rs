//! The login of a peer: one small file in its state folder, with mode 0600.

use super::{FileError, whole_file};
use crate::bencode::{Item, KeyOrder, Value};
use crate::wire::access::{SeenDecisions, Token};
use crate::wire::machine::SubjectLabel;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE_NAME: &str = "session";
/// Longest accepted file, in bytes.
const MAX_FILE_LENGTH: u64 = 1 << 20;
/// Number of earlier users whose [`SeenDecisions`] is kept.
const MAX_EARLIER_USERS: usize = 16;

/// The stored login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLogin {
    /// The name of the account, or of the machine.
    pub user: SubjectLabel,
    /// The token that proves the login. `None` after the login has ended.
    pub token: Option<Token>,
    /// The times of the token. `None` if it was received by an earlier version of this program.
    pub times: Option<TokenTimes>,
    /// Whether the trackers have ended the login, and not the user.
    pub was_ended: bool,
    /// Which decisions about this user the peer has seen.
    pub seen: SeenDecisions,
    /// The same for users who were logged in earlier, the most recent first.
    pub earlier_users: Vec<(SubjectLabel, SeenDecisions)>,
}

/// When a token was received, by the clock of this machine, and when it expires, by the clock of
/// the tracker that made it. In milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTimes {
    /// When it was received.
    pub received: u64,
    /// When it expires.
    pub expires: u64,
}

impl StoredLogin {
    /// Starts a login. Copies from the `previous` login the [`SeenDecisions`] of this user, and
    /// those of the latest 16 other users.
    pub fn begin(
        user: SubjectLabel,
        token: Token,
        times: TokenTimes,
        previous: Option<Self>,
    ) -> Self {
        let mut earlier_users = Vec::new();
        if let Some(previous) = previous {
            earlier_users.push((previous.user, previous.seen));
            earlier_users.extend(previous.earlier_users);
        }
        let position = earlier_users.iter().position(|(other, _)| *other == user);
        let seen = position.map(|at| earlier_users.remove(at).1);
        earlier_users.truncate(MAX_EARLIER_USERS);
        Self {
            user,
            token: Some(token),
            times: Some(times),
            was_ended: false,
            seen: seen.unwrap_or_default(),
            earlier_users,
        }
    }
}

impl StoredLogin {
    /// Replaces the token by another one of the same login.
    pub fn renew(&mut self, token: Token, times: TokenTimes) {
        self.token = Some(token);
        self.times = Some(times);
    }

    /// Ends the login. `was_ended`: the trackers have ended it, and not the user.
    pub fn end(&mut self, was_ended: bool) {
        self.token = None;
        self.times = None;
        self.was_ended = was_ended;
    }
}

/// The file with a peer's login.
#[derive(Clone, Debug)]
pub struct LoginFile {
    path: PathBuf,
}

/// Why the login cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LoginFileError {
    /// This program did not write the file, or it was changed.
    #[error("{} is damaged: remove it and log in again", .0.display())]
    Damaged(PathBuf),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl LoginFile {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE_NAME),
        }
    }

    /// Whether somebody has logged in with this folder.
    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// The stored login. `None` before the first login.
    ///
    /// # Errors
    /// See [`LoginFileError`]. The file is not changed.
    pub fn load(&self) -> Result<Option<StoredLogin>, LoginFileError> {
        let read = whole_file::read(&self.path, MAX_FILE_LENGTH);
        let bytes = read.map_err(FileError::at("read", &self.path))?;
        let damaged = || LoginFileError::Damaged(self.path.clone());
        bytes
            .map(|bytes| decode(&bytes).ok_or_else(damaged))
            .transpose()
    }

    /// Replaces the stored login. The new one survives a crash.
    ///
    /// # Errors
    /// [`LoginFileError::Io`].
    pub fn store(&self, login: &StoredLogin) -> Result<(), LoginFileError> {
        let result = whole_file::replace(&self.path, &encode(login));
        Ok(result.map_err(FileError::at("write", &self.path))?)
    }
}

fn encode(login: &StoredLogin) -> Vec<u8> {
    let mut entries = vec![
        ("seen", Item::from(login.seen.as_bytes())),
        ("user", login.user.to_string().into()),
    ];
    if !login.earlier_users.is_empty() {
        let users = login.earlier_users.iter();
        let users = users.map(|(user, seen)| {
            Item::List(vec![user.to_string().into(), Item::from(seen.as_bytes())])
        });
        entries.push(("others", Item::List(users.collect())));
    }
    let token = login.token.as_ref();
    entries.extend(token.map(|token| ("token", Item::from(token.as_bytes()))));
    if let Some(TokenTimes { received, expires }) = login.times {
        entries.push(("received", received.into()));
        entries.push(("expires", expires.into()));
    }
    entries.extend(login.was_ended.then_some(("ended", 1u32.into())));
    Item::dictionary(entries).encode()
}

fn decode(bytes: &[u8]) -> Option<StoredLogin> {
    let value = Value::parse(bytes, KeyOrder::Sorted).ok()?;
    let entries = value.dictionary()?;
    let token = match entries.value("token") {
        None => None,
        Some(token) => Some(Token::new(token.bytes()?)?),
    };
    let number = |key| {
        let number = entries.value(key)?.integer()?;
        u64::try_from(number).ok()
    };
    let times = number("received").zip(number("expires"));
    let earlier_users = entries.value("others").map(|list| {
        let users = list.list()?.iter();
        users.map(read_earlier_user).collect::<Option<Vec<_>>>()
    });
    Some(StoredLogin {
        user: entries.value("user")?.text()?.parse().ok()?,
        token,
        times: times.map(|(received, expires)| TokenTimes { received, expires }),
        was_ended: number("ended") == Some(1),
        seen: SeenDecisions::new(entries.value("seen")?.bytes()?.to_vec())?,
        earlier_users: match earlier_users {
            None => Vec::new(),
            Some(users) => users?,
        },
    })
}

fn read_earlier_user(value: &Value<'_>) -> Option<(SubjectLabel, SeenDecisions)> {
    match value.list()? {
        [user, seen] => Some((
            user.text()?.parse().ok()?,
            SeenDecisions::new(seen.bytes()?.to_vec())?,
        )),
        _ => None,
    }
}

/// The fuzz function of the decoder: what is written is read back.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(bytes: &[u8]) {
    if let Some(login) = decode(bytes) {
        assert_eq!(decode(&encode(&login)), Some(login));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TIMES: TokenTimes = TokenTimes {
        received: 1 << 40,
        expires: 1 << 41,
    };

    #[test]
    fn a_stored_login_is_loaded_again_and_its_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = LoginFile::new(folder.path());
        assert_eq!(file.load().unwrap(), None);
        let mut login = StoredLogin {
            user: "nik~00ab12ff".parse().unwrap(),
            token: Token::new(b"secret"),
            times: Some(TIMES),
            was_ended: false,
            seen: SeenDecisions::new(vec![1, 2]).unwrap(),
            earlier_users: vec![("uma".parse().unwrap(), SeenDecisions::new(vec![3]).unwrap())],
        };
        file.store(&login).unwrap();
        assert_eq!(file.load().unwrap().as_ref(), Some(&login));
        login.token = None;
        login.times = None;
        login.was_ended = true;
        file.store(&login).unwrap();
        assert_eq!(file.load().unwrap(), Some(login));
        let mode = file.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn seen_decisions_of_each_user_survive_logins_of_other_users() {
        let label = |name: &str| name.parse::<SubjectLabel>().unwrap();
        let token = || Token::new(b"secret").unwrap();
        let mut login = StoredLogin::begin(label("nik"), token(), TIMES, None);
        assert_eq!(login.seen, SeenDecisions::default());
        login.seen = SeenDecisions::new(vec![1]).unwrap();
        let uma = StoredLogin::begin(label("uma"), token(), TIMES, Some(login));
        assert_eq!(uma.seen, SeenDecisions::default());
        let nik = StoredLogin::begin(label("nik"), token(), TIMES, Some(uma));
        assert_eq!(nik.seen, SeenDecisions::new(vec![1]).unwrap());
        let mut latest = nik;
        for number in 0..2 * MAX_EARLIER_USERS {
            let user = label(&format!("user{number}"));
            latest = StoredLogin::begin(user, token(), TIMES, Some(latest));
        }
        assert_eq!(latest.earlier_users.len(), MAX_EARLIER_USERS);
    }

    #[test]
    fn a_damaged_file_is_reported_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = LoginFile::new(folder.path());
        for bytes in [
            &b""[..],
            b"hello",
            b"de",
            b"d4:seen0:5:token0:4:user3:nike",
            b"d6:othersl3:umae4:seen0:4:user3:nike",
        ] {
            std::fs::write(&file.path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, LoginFileError::Damaged(_)), "{error}");
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
        }
    }
}
