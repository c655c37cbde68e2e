//! A peer's user at the trackers: the session, and what is asked in its name.
//!
//! In scope: who is logged in, across restarts; renewing a token when a tracker gives another; giving a session up when a
//! tracker says it is over. Out of scope: what a person types, and what a tracker decides.
//!
//! Locks: `session`, held over the writing of its file, which puts changes in order; never over a request.

mod error;
mod groups;
mod line;
mod round;
mod shares;
mod trackers;

use super::TrackerLine;
pub use error::AccountError;
pub use trackers::FirstUseNotice;

use crate::storage::{SessionFile, StoredSession};
use crate::system::lock;
use crate::wire::access::{Answer, Ask, Page, Place, Token, WriteId};
use crate::wire::name::{Label, UserName};
use crate::wire::password::Password;
use error::TrackerLineError;
use ring::rand::{SecureRandom, SystemRandom};
use round::{Round, is_no_answer};
use round::{Told, ends_session};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use trackers::Trackers;

/// The user of a peer.
#[derive(Debug)]
pub struct Account {
    trackers: Trackers,
    file: SessionFile,
    session: Mutex<Option<StoredSession>>,
    /// Whether something asked for is at one tracker only so far.
    only_one: AtomicBool,
}

/// What a log-in gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// How the account is named.
    pub user: Label,
    /// What the tracker says that the person should know.
    pub note: Option<String>,
}

/// Who knows of a log-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// The trackers, too.
    Everywhere,
    /// Nobody but this peer.
    HereOnly,
}

/// A session that is here, as it was when it was looked at.
struct Session {
    user: Label,
    token: Token,
}

impl Account {
    /// The one of a state folder.
    ///
    /// # Errors
    /// When the stored session cannot be read.
    pub(super) fn open(
        tracker_info: PathBuf,
        folder: &Path,
        first_use: FirstUseNotice,
    ) -> Result<Self, AccountError> {
        let file = SessionFile::new(folder);
        let session = file.load()?;
        Ok(Self {
            trackers: Trackers::new(tracker_info, folder, first_use),
            file,
            session: Mutex::new(session),
            only_one: AtomicBool::new(false),
        })
    }

    /// Who is logged in here.
    pub fn user(&self) -> Option<Label> {
        self.current().ok().map(|session| session.user)
    }

    /// Whether anything done since this was last asked is at one tracker only so far: the others are told of it when they
    /// are back.
    pub fn take_only_one(&self) -> bool {
        self.only_one.swap(false, Ordering::Relaxed)
    }

    /// How each tracker of TRACKER_INFO does, asked now.
    pub(super) fn trackers(&self) -> Vec<TrackerLine> {
        self.trackers.status()
    }

    /// Makes an account; nobody is logged in by that.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_user(
        &self,
        user: UserName,
        password: Password,
        invite: Option<Place>,
    ) -> Result<(), AccountError> {
        let ask = Ask::CreateUser {
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
        let ask = Ask::Login {
            user: user.clone(),
            password,
        };
        let before = self.current();
        let begun = self.begin(&ask, None)?;
        // Nobody has its token any more: it need not stand until its time is over.
        if let Ok(before) = before {
            let ended = draw().and_then(|write| {
                let ask = Ask::Logout { write };
                self.trackers.ask(&ask, Some(&before.token))
            });
            if let Err(error) = ended {
                log::warn!("the session before was not ended: {error}");
            }
        }
        Ok(begun)
    }

    /// Ends the session, here in any case and at the trackers if one answers. A session that they were not told of ends by
    /// itself; until then nobody has its token.
    ///
    /// # Errors
    /// See [`AccountError`]; the session is as it was.
    pub(super) fn logout(&self) -> Result<LoggedOut, AccountError> {
        let session = self.current()?;
        let logged_out = match self.ask_done(&Ask::Logout { write: draw()? }) {
            Ok(()) => LoggedOut::Everywhere,
            // A session that is over was forgotten by that.
            Err(AccountError::Refused(refused)) if ends_session(refused.kind) => {
                LoggedOut::Everywhere
            }
            Err(error @ AccountError::Session(_)) => return Err(error),
            Err(error) => {
                log::warn!("no tracker was told of the log-out: {error}");
                LoggedOut::HereOnly
            }
        };
        self.replace(&session.token, None)?;
        Ok(logged_out)
    }

    /// Changes the password. All other sessions of the user end.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn change_password(&self, old: Password, new: Password) -> Result<(), AccountError> {
        let session = self.current()?;
        let write = draw()?;
        let ask = Ask::ChangePassword { write, old, new };
        self.begin(&ask, Some(&session)).map(drop)
    }

    /// Asks for something that gives nothing back.
    ///
    /// # Errors
    /// See [`AccountError`].
    fn ask_done(&self, ask: &Ask) -> Result<(), AccountError> {
        let session = self.current()?;
        done(ask, self.ask(ask, Some(&session))?)
    }

    fn pages<T>(
        &self,
        ask: impl Fn(Option<Place>) -> Ask,
        mut page: impl FnMut(Answer) -> Option<Page<T>>,
    ) -> Result<Vec<T>, AccountError> {
        let session = self.current()?;
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let ask = ask(after);
            let found = page(self.ask(&ask, Some(&session))?)
                .ok_or(AccountError::OtherAnswer(ask.kind()))?;
            let empty = found.entries.is_empty();
            entries.extend(found.entries);
            after = found.next;
            // One that goes on without end is no list.
            if after.is_none() || empty {
                return Ok(entries);
            }
        }
    }

    /// Asks for what begins a session, and stores that.
    fn begin(&self, ask: &Ask, session: Option<&Session>) -> Result<LoggedIn, AccountError> {
        let Answer::Session { token, user, note } = self.ask(ask, session)? else {
            return Err(AccountError::OtherAnswer(ask.kind()));
        };
        let mut stored = lock(&self.session);
        let session = StoredSession::begin(user.clone(), token, stored.take());
        let lasts = self.file.store(&session);
        // The one before may be over by now, as after a change of the password.
        *stored = Some(session);
        lasts.map_err(AccountError::Unstored)?;
        log::info!("{user} is logged in");
        Ok(LoggedIn {
            user,
            note: note.map(|note| note.to_string()),
        })
    }

    /// Asks the trackers, and takes note of what the reply says of the session.
    fn ask(&self, ask: &Ask, session: Option<&Session>) -> Result<Answer, AccountError> {
        let token = session.map(|session| &session.token);
        let Told { reply, unanimous } = self.trackers.ask(ask, token)?;
        if reply.only_here {
            self.only_one.store(true, Ordering::Relaxed);
        }
        let is_over = matches!(&reply.result, Err(refused) if ends_session(refused.kind));
        if let Some(token) = token
            && (reply.renewed.is_some() || is_over && unanimous)
        {
            self.replace(token, reply.renewed.as_ref())?;
        }
        Ok(reply.result?)
    }

    fn current(&self) -> Result<Session, AccountError> {
        let stored = lock(&self.session);
        let session = stored.as_ref().and_then(|stored| {
            Some(Session {
                user: stored.user.clone(),
                token: stored.token.clone()?,
            })
        });
        session.ok_or(AccountError::NotLoggedIn)
    }

    /// The session of that token has another one, or is over; what its user has seen is kept.
    fn replace(&self, token: &Token, by: Option<&Token>) -> Result<(), AccountError> {
        let mut stored = lock(&self.session);
        if let Some(session) = stored.as_mut()
            && session.token.as_ref() == Some(token)
        {
            session.token = by.cloned();
            self.file.store(session)?;
        }
        Ok(())
    }
}

/// A new write. However often it is asked for, at whichever tracker, it is done once.
fn draw() -> Result<WriteId, AccountError> {
    let mut id = [0; 16];
    let filled = SystemRandom::new().fill(&mut id);
    filled.map_err(|_| AccountError::NoRandomness)?;
    Ok(WriteId(id))
}

/// The end of a request that gives nothing back.
fn done(ask: &Ask, answer: Answer) -> Result<(), AccountError> {
    match answer {
        Answer::Done => Ok(()),
        _ => Err(AccountError::OtherAnswer(ask.kind())),
    }
}
