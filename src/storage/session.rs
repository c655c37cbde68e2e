//! Who is logged in at a peer: one small file in its state folder, of mode 0600, replaced whole.

use super::{FileError, whole_file};
use crate::bencode::{Item, KeyOrder, Value};
use crate::wire::access::{Seen, Token};
use crate::wire::name::Label;
use std::path::{Path, PathBuf};

/// The file's name in the state folder.
const FILE: &str = "session";
/// The longest file that may be one, in bytes.
const LONGEST: u64 = 1 << 20;
/// Of how many users who were logged in before it is kept what they have seen.
const MOST_OTHERS: usize = 16;

/// A session as it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// How the account is named.
    pub user: Label,
    /// What proves the session; none once it is over.
    pub token: Option<Token>,
    /// What that user has seen of decisions about it.
    pub seen: Seen,
    /// The same of users who were logged in before, the last one first.
    pub others: Vec<(Label, Seen)>,
}

impl StoredSession {
    /// A new one, which takes over what is known from the one before.
    pub fn begin(user: Label, token: Token, before: Option<Self>) -> Self {
        let mut others = Vec::new();
        if let Some(before) = before {
            others.push((before.user, before.seen));
            others.extend(before.others);
        }
        let known = others.iter().position(|(other, _)| *other == user);
        let seen = known.map(|at| others.remove(at).1);
        others.truncate(MOST_OTHERS);
        Self {
            user,
            token: Some(token),
            seen: seen.unwrap_or_default(),
            others,
        }
    }
}

/// Where a peer's session lies.
#[derive(Clone, Debug)]
pub struct SessionFile {
    path: PathBuf,
}

/// Why the session cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SessionFileError {
    /// It is not what this program wrote.
    #[error("{} is damaged: remove it and log in again", .0.display())]
    Damaged(PathBuf),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl SessionFile {
    /// The one of a state folder, which its process alone uses.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
        }
    }

    /// The session that was stored last; none before the first log-in.
    ///
    /// # Errors
    /// See [`SessionFileError`]; the file is as it was.
    pub fn load(&self) -> Result<Option<StoredSession>, SessionFileError> {
        let read = whole_file::read(&self.path, LONGEST);
        let bytes = read.map_err(FileError::at("read", &self.path))?;
        let damaged = || SessionFileError::Damaged(self.path.clone());
        bytes
            .map(|bytes| decode(&bytes).ok_or_else(damaged))
            .transpose()
    }

    /// Stores a session in place of the one before; it is there after a crash.
    ///
    /// # Errors
    /// See [`SessionFileError`].
    pub fn store(&self, session: &StoredSession) -> Result<(), SessionFileError> {
        let written = whole_file::replace(&self.path, &encode(session));
        Ok(written.map_err(FileError::at("write", &self.path))?)
    }
}

fn encode(session: &StoredSession) -> Vec<u8> {
    let mut entries = vec![
        ("seen", Item::from(session.seen.as_bytes())),
        ("user", session.user.to_string().into()),
    ];
    if !session.others.is_empty() {
        let others = session.others.iter();
        let others = others.map(|(user, seen)| {
            Item::List(vec![user.to_string().into(), Item::from(seen.as_bytes())])
        });
        entries.push(("others", Item::List(others.collect())));
    }
    let token = session.token.as_ref();
    entries.extend(token.map(|token| ("token", Item::from(token.as_bytes()))));
    Item::dictionary(entries).encode()
}

fn decode(bytes: &[u8]) -> Option<StoredSession> {
    let value = Value::parse(bytes, KeyOrder::Sorted).ok()?;
    let entries = value.dictionary()?;
    let token = match entries.value("token") {
        None => None,
        Some(token) => Some(Token::new(token.bytes()?)?),
    };
    let others = entries.value("others").map(|others| {
        let others = others.list()?.iter();
        others.map(other).collect::<Option<Vec<_>>>()
    });
    Some(StoredSession {
        user: entries.value("user")?.text()?.parse().ok()?,
        token,
        seen: Seen::new(entries.value("seen")?.bytes()?.to_vec())?,
        others: match others {
            None => Vec::new(),
            Some(others) => others?,
        },
    })
}

fn other(value: &Value<'_>) -> Option<(Label, Seen)> {
    match value.list()? {
        [user, seen] => Some((
            user.text()?.parse().ok()?,
            Seen::new(seen.bytes()?.to_vec())?,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_found_again_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::new(folder.path());
        assert_eq!(file.load().unwrap(), None);
        let mut session = StoredSession {
            user: "nik~00ab12ff".parse().unwrap(),
            token: Token::new(b"secret"),
            seen: Seen::new(vec![1, 2]).unwrap(),
            others: vec![("uma".parse().unwrap(), Seen::new(vec![3]).unwrap())],
        };
        file.store(&session).unwrap();
        assert_eq!(file.load().unwrap().as_ref(), Some(&session));
        session.token = None;
        file.store(&session).unwrap();
        assert_eq!(file.load().unwrap(), Some(session));
        let mode = file.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_each_user_has_seen_outlives_other_users() {
        let label = |name: &str| name.parse::<Label>().unwrap();
        let token = || Token::new(b"secret").unwrap();
        let mut session = StoredSession::begin(label("nik"), token(), None);
        assert_eq!(session.seen, Seen::default());
        session.seen = Seen::new(vec![1]).unwrap();
        let uma = StoredSession::begin(label("uma"), token(), Some(session));
        assert_eq!(uma.seen, Seen::default());
        let mut nik = StoredSession::begin(label("nik"), token(), Some(uma));
        assert_eq!(nik.seen, Seen::new(vec![1]).unwrap());
        for number in 0..2 * MOST_OTHERS {
            nik = StoredSession::begin(label(&format!("user{number}")), token(), Some(nik));
        }
        assert_eq!(nik.others.len(), MOST_OTHERS);
    }

    #[test]
    fn a_damaged_one_is_told_of_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::new(folder.path());
        for bytes in [
            &b""[..],
            b"hello",
            b"de",
            b"d4:seen0:5:token0:4:user3:nike",
            b"d6:othersl3:umae4:seen0:4:user3:nike",
        ] {
            std::fs::write(&file.path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, SessionFileError::Damaged(_)), "{error}");
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
        }
    }
}
