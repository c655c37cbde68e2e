//! The user of a peer: its login, and what it asks of trackers.
//!
//! In scope: who is logged in, across restarts; taking a renewed token from a tracker; forgetting a
//! login when the trackers say that it is over. Out of scope: what a person types, and what a
//! tracker decides.
//!
//! Locks: `login`, held while its file is written, so that changes stay in order; never during a
//! request.

mod connection;
mod error;
mod groups;
mod round;
mod shares;
mod trackers;

use super::ControlStatus;
pub use error::AccountError;
pub use trackers::FirstUseNotice;

use crate::storage::{LoginFile, StoredLogin};
use crate::system::lock;
use crate::wire::access::{AccessAnswer, AccessRequest, ListPage, ShortText, Token, WriteId};
use crate::wire::name::{Label, UserName};
use crate::wire::password::Password;
use error::ConnectionError;
use ring::rand::{SecureRandom, SystemRandom};
use round::{Round, is_no_answer};
use round::{RoundReply, ends_login};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use trackers::ClusterTrackers;

/// The user of a peer.
#[derive(Debug)]
pub struct Account {
    trackers: ClusterTrackers,
    file: LoginFile,
    login: Mutex<Option<StoredLogin>>,
    /// Whether something was written at only one tracker so far.
    only_one: AtomicBool,
}

/// A login that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The name of the account.
    pub user: Label,
    /// Something that the tracker wants the person to know.
    pub note: Option<String>,
}

/// Where a log-out took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// Here and at the trackers.
    Everywhere,
    /// Only at this peer.
    HereOnly,
}

/// A copy of the login.
struct Login {
    user: Label,
    token: Token,
}

impl Account {
    /// Opens the account of a state folder.
    ///
    /// # Errors
    /// When the stored login cannot be read.
    pub(super) fn open(
        tracker_info: PathBuf,
        folder: &Path,
        first_use: FirstUseNotice,
    ) -> Result<Self, AccountError> {
        let file = LoginFile::new(folder);
        let login = file.load()?;
        Ok(Self {
            trackers: ClusterTrackers::new(tracker_info, folder, first_use),
            file,
            login: Mutex::new(login),
            only_one: AtomicBool::new(false),
        })
    }

    /// Who is logged in here.
    pub fn user(&self) -> Option<Label> {
        self.current().ok().map(|login| login.user)
    }

    /// Whether anything since the last call was written at only one tracker. The others get it
    /// when they are back.
    pub fn take_only_one(&self) -> bool {
        self.only_one.swap(false, Ordering::Relaxed)
    }

    /// The state of each tracker of TRACKER_INFO, asked now.
    pub(super) fn trackers(&self) -> Vec<ControlStatus> {
        self.trackers.status()
    }

    /// Creates an account. It does not log in.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_user(
        &self,
        user: UserName,
        password: Password,
        invite: Option<ShortText>,
    ) -> Result<(), AccountError> {
        let ask = AccessRequest::CreateUser {
            write: draw()?,
            user,
            password,
            invite,
        };
        done(&ask, self.ask(&ask, None)?)
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`AccountError::LoggedIn`] if another user is, else see [`AccountError`].
    pub(super) fn login(&self, user: &Label, password: Password) -> Result<LoggedIn, AccountError> {
        if let Some(other) = self.user().filter(|other| other != user) {
            return Err(AccountError::LoggedIn(other));
        }
        let ask = AccessRequest::Login {
            user: user.clone(),
            password,
        };
        let before = self.current();
        let begun = self.begin(&ask, None)?;
        // Its token is not stored any more: it is ended now, not only when its time is over.
        if let Ok(before) = before {
            let ended = draw().and_then(|write| {
                let ask = AccessRequest::Logout { write };
                self.trackers.ask(&ask, Some(&before.token))
            });
            if let Err(error) = ended {
                log::warn!("cannot end the login before: {error}; it ends by itself");
            }
        }
        Ok(begun)
    }

    /// Ends the login: here in any case, and at the trackers if one answers. Without an answer it
    /// ends there by itself later; nothing keeps its token until then.
    ///
    /// # Errors
    /// See [`AccountError`]; the login is as it was.
    pub(super) fn logout(&self) -> Result<LoggedOut, AccountError> {
        let login = self.current()?;
        let logged_out = match self.ask_done(&AccessRequest::Logout { write: draw()? }) {
            Ok(()) => LoggedOut::Everywhere,
            // The login was over already, and is forgotten by now.
            Err(AccountError::Refused(refused)) if ends_login(refused.kind) => {
                LoggedOut::Everywhere
            }
            Err(error @ AccountError::Login(_)) => return Err(error),
            Err(error) => {
                log::warn!("no tracker knows of the log-out: {error}");
                LoggedOut::HereOnly
            }
        };
        self.replace(&login.token, None)?;
        Ok(logged_out)
    }

    /// Changes the password. All other logins of the user end.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn change_password(&self, old: Password, new: Password) -> Result<(), AccountError> {
        let login = self.current()?;
        let write = draw()?;
        let ask = AccessRequest::ChangePassword { write, old, new };
        self.begin(&ask, Some(&login)).map(drop)
    }

    /// Makes a request that returns nothing.
    ///
    /// # Errors
    /// See [`AccountError`].
    fn ask_done(&self, ask: &AccessRequest) -> Result<(), AccountError> {
        let login = self.current()?;
        done(ask, self.ask(ask, Some(&login))?)
    }

    fn pages<T>(
        &self,
        ask: impl Fn(Option<ShortText>) -> AccessRequest,
        mut page: impl FnMut(AccessAnswer) -> Option<ListPage<T>>,
    ) -> Result<Vec<T>, AccountError> {
        let login = self.current()?;
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let ask = ask(after);
            let found =
                page(self.ask(&ask, Some(&login))?).ok_or(AccountError::OtherAnswer(ask.kind()))?;
            let empty = found.entries.is_empty();
            entries.extend(found.entries);
            after = found.next;
            // An empty page with a next one could go on without end.
            if after.is_none() || empty {
                return Ok(entries);
            }
        }
    }

    /// Makes a request that begins a login, and stores the login.
    fn begin(&self, ask: &AccessRequest, login: Option<&Login>) -> Result<LoggedIn, AccountError> {
        let AccessAnswer::LoggedIn { token, user, note } = self.ask(ask, login)? else {
            return Err(AccountError::OtherAnswer(ask.kind()));
        };
        let mut stored = lock(&self.login);
        let login = StoredLogin::begin(user.clone(), token, stored.take());
        let lasts = self.file.store(&login);
        // Not only if it was stored: the login before may be over, as after a new password.
        *stored = Some(login);
        lasts.map_err(AccountError::Unstored)?;
        log::info!("{user} is logged in");
        Ok(LoggedIn {
            user,
            note: note.map(|note| note.to_string()),
        })
    }

    /// Asks the trackers, and takes over what the reply says about the login.
    fn ask(
        &self,
        ask: &AccessRequest,
        login: Option<&Login>,
    ) -> Result<AccessAnswer, AccountError> {
        let token = login.map(|login| &login.token);
        let RoundReply { reply, unanimous } = self.trackers.ask(ask, token)?;
        if reply.only_here {
            self.only_one.store(true, Ordering::Relaxed);
        }
        let is_over = matches!(&reply.result, Err(refused) if ends_login(refused.kind));
        if let Some(token) = token
            && (reply.renewed.is_some() || is_over && unanimous)
        {
            self.replace(token, reply.renewed.as_ref())?;
        }
        Ok(reply.result?)
    }

    fn current(&self) -> Result<Login, AccountError> {
        let stored = lock(&self.login);
        let login = stored.as_ref().and_then(|stored| {
            Some(Login {
                user: stored.user.clone(),
                token: stored.token.clone()?,
            })
        });
        login.ok_or(AccountError::NotLoggedIn)
    }

    /// Replaces a token by a renewed one, or by none when the login is over. What its user has
    /// seen is kept.
    fn replace(&self, token: &Token, by: Option<&Token>) -> Result<(), AccountError> {
        let mut stored = lock(&self.login);
        if let Some(login) = stored.as_mut()
            && login.token.as_ref() == Some(token)
        {
            login.token = by.cloned();
            self.file.store(login)?;
        }
        Ok(())
    }
}

/// The number of a new write. Trackers carry out one write once, however often they get it.
fn draw() -> Result<WriteId, AccountError> {
    let mut id = [0; 16];
    let filled = SystemRandom::new().fill(&mut id);
    filled.map_err(|_| AccountError::NoRandomness)?;
    Ok(WriteId(id))
}

/// Checks the answer to a request that returns nothing.
fn done(ask: &AccessRequest, answer: AccessAnswer) -> Result<(), AccountError> {
    match answer {
        AccessAnswer::Done => Ok(()),
        _ => Err(AccountError::OtherAnswer(ask.kind())),
    }
}
