//! The account of a peer's user: the login, and the requests to trackers.
//!
//! In scope: who is logged in, across restarts; taking a renewed token from a tracker; forgetting a
//! login when the trackers say that it is over. The peer may belong to a machine instead of a user:
//! see `machine`. Out of scope: what a person types, and what a tracker decides.
//!
//! Locks: `login` is held while its file is written, so that changes stay in order. It is never
//! held during a request.

mod attempts;
mod certified;
mod connection;
mod error;
mod found_share;
mod groups;
mod hint_inbox;
mod holder_list;
mod holders;
mod inspection;
mod logins;
mod machine;
mod machine_login;
mod new_token;
mod open_attempts;
mod round;
mod shares;
mod tokens;
mod trackers;
mod withdrawals;

use super::{ControlStatus, LoginEnd, RunningCommands, ToldEnds, now_ms};
pub(super) use certified::Certified;
pub use error::{AccountError, MachineError};
pub(super) use found_share::FoundShare;
pub use found_share::PublishOptions;
pub use holder_list::HolderList;
pub(super) use inspection::{Inspection, inspect};
pub use machine::MachineOptions;
pub(super) use machine::{check_machine_folder, refuses_for_good};
pub use new_token::{CreatedToken, NewToken};
pub use trackers::FirstUseNotice;

use crate::net::Stop;
use crate::storage::{LoginFile, LoginFileError, StoredLogin, TokenTimes};
use crate::system::{host_name, lock, since_1970};
use crate::wire::access::{
    AccessAnswer, AccessRefusal, AccessRequest, Hint, IssuedToken, ListPage, ShortText, Token,
    WriteId,
};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::{Label, MachineName, UserName};
use crate::wire::password::Password;
use attempts::{Attempts, NextRound};
use error::ConnectionError;
use machine::{Machine, ends_machine_login};
use open_attempts::OpenAttempts;
use ring::rand::{SecureRandom, SystemRandom};
use round::{Round, RoundReply, cannot_answer_now, ends_login};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use trackers::{AskedTracker, ClusterTrackers};

/// The user of a peer.
#[derive(Debug)]
pub struct Account {
    trackers: Arc<ClusterTrackers>,
    /// An interruption of a command ends its wait for a reply.
    commands: Arc<RunningCommands>,
    file: LoginFile,
    login: Mutex<Option<StoredLogin>>,
    /// The machine that this peer belongs to. `None` if the peer is that of a person.
    machine: Option<Machine>,
    /// Whether the file lacks the last change of the login, because writing the file failed.
    is_file_outdated: AtomicBool,
    /// Whether a tracker has hinted at news for the user, since the last call of
    /// [`Account::take_news_hint`].
    has_news: AtomicBool,
    /// Which ends of logins [`Account::take_login_end`] has returned.
    told: Mutex<ToldEnds>,
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
    AtTrackers,
    /// Only at this peer.
    HereOnly,
}

/// The user or machine and the token of the login, copied so that no request needs the lock.
struct Login {
    user: SubjectLabel,
    token: Token,
}

impl Account {
    /// Opens the account of a state folder. With `machine`, the folder is that of a machine, or
    /// becomes one. Without it, the folder decides.
    ///
    /// # Errors
    /// When the stored login or machine cannot be read, or the folder is not that of this machine.
    pub(super) fn open(
        tracker_info: PathBuf,
        folder: &Path,
        first_use: FirstUseNotice,
        commands: Arc<RunningCommands>,
        machine: Option<MachineOptions>,
    ) -> Result<Self, AccountError> {
        let machine = Machine::open(folder, machine)?;
        let file = LoginFile::new(folder);
        // A machine proves its key at each start, so that a copy of its files is found out.
        let login = match &machine {
            Some(_) => None,
            None => file.load()?,
        };
        let cluster = machine.as_ref().map(Machine::cluster);
        let trackers = ClusterTrackers::new(tracker_info, folder, first_use, cluster);
        Ok(Self {
            trackers: Arc::new(trackers.map_err(AccountError::NoDescriptor)?),
            commands,
            file,
            login: Mutex::new(login),
            machine,
            is_file_outdated: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    /// Who is logged in here. A machine has its first label here, also after it got another one.
    pub fn user(&self) -> Option<SubjectLabel> {
        self.current_login().ok().map(|login| login.user)
    }

    /// When the token of the login expires, in milliseconds since 1970, if this peer knows it.
    pub fn login_expires(&self) -> Option<u64> {
        let stored = lock(&self.login);
        let login = stored.as_ref().filter(|login| login.token.is_some())?;
        Some(login.times?.expires)
    }

    /// What a person should know now about the end of the login. `None` for a machine: it logs in
    /// again by itself.
    pub fn login_end(&self) -> Option<LoginEnd> {
        let stored = lock(&self.login);
        let login = stored.as_ref()?;
        let SubjectLabel::User(user) = &login.user else {
            return None;
        };
        match (&login.token, login.times) {
            (None, _) => login.was_ended.then(|| LoginEnd::Over(user.clone())),
            (Some(_), times) => LoginEnd::of(user, times?, since_1970()),
        }
    }

    /// Like [`Account::login_end`], but returns each end only once.
    pub fn take_login_end(&self) -> Option<LoginEnd> {
        let end = self.login_end();
        lock(&self.told).on_end(end.as_ref())
    }

    /// Whether a write of the command that the calling thread runs was saved by one tracker only,
    /// since the last call. The other trackers receive it when they are reachable again.
    pub fn take_saved_by_one_tracker(&self) -> bool {
        self.commands.take_saved_by_one_tracker()
    }

    /// The state of each tracker of TRACKER_INFO, asked now. Empty if the command was interrupted.
    pub(super) fn trackers(&self) -> Vec<ControlStatus> {
        let trackers = Arc::clone(&self.trackers);
        let statuses = self.commands.wait_for(move || trackers.status(), || None);
        statuses.ok().flatten().unwrap_or_default()
    }

    /// Checks that TRACKER_INFO can be read and lists a tracker.
    ///
    /// # Errors
    /// [`AccountError::TrackerInfo`].
    pub fn check_tracker_info(&self) -> Result<(), AccountError> {
        self.trackers.info().map(drop)
    }

    /// Creates an account, and does not log in.
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
            write: new_write_id()?,
            user,
            password,
            invite,
        };
        expect_done(&ask, self.ask(&ask, None)?)
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`AccountError::LoggedIn`] if another user is logged in; otherwise see [`AccountError`].
    pub(super) fn login(&self, user: &Label, password: Password) -> Result<LoggedIn, AccountError> {
        self.check_is_of_a_person()?;
        let is_other = |other: &SubjectLabel| *other != SubjectLabel::from(user.clone());
        if let Some(other) = self.user().filter(is_other) {
            return Err(AccountError::LoggedIn(other));
        }
        let ask = AccessRequest::Login {
            attempt: new_write_id()?,
            user: user.clone(),
            password,
            host: host_name().map(|name| MachineName::nearest(&name)),
        };
        let former = self.current_login();
        let begun = self.begin_login(&ask, None)?;
        // This peer no longer stores the token of the former login. So it ends that login now,
        // instead of letting it expire.
        if let Ok(former) = former {
            let ended = new_write_id().and_then(|write| {
                let ask = AccessRequest::Logout { write };
                self.ask_trackers(&ask, Some(&former.token), OpenAttempts::default())
            });
            if let Err(error) = ended {
                log::warn!("cannot end the former login: {error}; it expires by itself");
            }
        }
        Ok(begun)
    }

    /// Ends the login: always at this peer, and at the trackers if one answers. Without an answer
    /// it expires there later. This peer deletes its token at once.
    ///
    /// # Errors
    /// [`AccountError::NotLoggedIn`] and [`AccountError::NoRandomness`]: nothing has changed.
    /// [`AccountError::Login`]: the login has ended, but its file cannot be written. The peer tries
    /// again. If the peer stops before the file is written, it may load the old token at its next
    /// start.
    pub(super) fn logout(&self) -> Result<LoggedOut, AccountError> {
        self.check_is_of_a_person()?;
        let login = self.current_login()?;
        let logged_out = match self.ask_done(&AccessRequest::Logout {
            write: new_write_id()?,
        }) {
            Ok(()) => LoggedOut::AtTrackers,
            // The login had ended already.
            Err(AccountError::Refused(refused)) if ends_login(refused.kind) => {
                LoggedOut::AtTrackers
            }
            Err(error @ AccountError::Login(_)) => return Err(error),
            Err(error) => {
                log::warn!("no tracker knows of the log-out: {error}");
                LoggedOut::HereOnly
            }
        };
        self.replace_token(&login.token, None, false)?;
        Ok(logged_out)
    }

    /// Changes the password. All other logins of the user end.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn change_password(&self, old: Password, new: Password) -> Result<(), AccountError> {
        self.check_is_of_a_person()?;
        let login = self.current_login()?;
        let write = new_write_id()?;
        let ask = AccessRequest::ChangePassword { write, old, new };
        self.begin_login(&ask, Some(&login)).map(drop)
    }

    /// Receives hints while a user is logged in, and passes them to `on_hint`, until the stop.
    pub(super) fn watch(&self, stop: &Stop, on_hint: impl FnMut(Hint)) {
        let token = || Some(self.current_login().ok()?.token);
        self.trackers.watch(stop, token, on_hint);
    }

    /// There is news about the user.
    pub(super) fn on_news(&self) {
        self.has_news.store(true, Ordering::Relaxed);
    }

    /// Whether a tracker has hinted at news for the user, since the last call.
    pub fn take_news_hint(&self) -> bool {
        self.has_news.swap(false, Ordering::Relaxed)
    }

    /// Whether a tracker sends hints to this peer.
    pub fn is_watching(&self) -> bool {
        self.trackers.is_watching()
    }

    /// Makes [`Account::watch`] check whether it should end, and whether a user has logged in.
    pub(super) fn wake_watching(&self) {
        self.trackers.wake_watching();
    }

    /// Refuses what only persons do, if this peer belongs to a machine.
    ///
    /// # Errors
    /// [`AccountError::OfAMachine`].
    pub fn check_is_of_a_person(&self) -> Result<(), AccountError> {
        match &self.machine {
            Some(_) => Err(AccountError::OfAMachine),
            None => Ok(()),
        }
    }

    /// Makes a request that returns nothing.
    ///
    /// # Errors
    /// See [`AccountError`].
    fn ask_done(&self, ask: &AccessRequest) -> Result<(), AccountError> {
        let login = self.current_login()?;
        expect_done(ask, self.ask(ask, Some(&login))?)
    }

    /// Requests all pages of a list. `request_after` builds the request for the page after a
    /// position; `page` takes the page out of an answer.
    fn pages<T>(
        &self,
        request_after: impl Fn(Option<ShortText>) -> AccessRequest,
        mut page: impl FnMut(AccessAnswer) -> Option<ListPage<T>>,
    ) -> Result<Vec<T>, AccountError> {
        let login = self.current_login()?;
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let ask = request_after(after);
            let found =
                page(self.ask(&ask, Some(&login))?).ok_or(AccountError::OtherAnswer(ask.kind()))?;
            let is_empty = found.entries.is_empty();
            entries.extend(found.entries);
            after = found.next;
            // Stops at an empty page too: otherwise a tracker could name further pages forever.
            if after.is_none() || is_empty {
                return Ok(entries);
            }
        }
    }

    /// Makes a request that begins a login, and stores the login.
    fn begin_login(
        &self,
        ask: &AccessRequest,
        login: Option<&Login>,
    ) -> Result<LoggedIn, AccountError> {
        let AccessAnswer::LoggedIn {
            token,
            expires,
            user,
            note,
        } = self.ask(ask, login)?
        else {
            return Err(AccountError::OtherAnswer(ask.kind()));
        };
        let mut stored = lock(&self.login);
        let received = now_ms();
        let times = TokenTimes { received, expires };
        let login = StoredLogin::begin(user.clone().into(), token, times, stored.take());
        let stored_in_file = self.store(&login);
        // The new login counts even if storing it failed: the former login may have ended, for
        // example by a new password.
        *stored = Some(login);
        drop(stored);
        self.wake_watching();
        stored_in_file.map_err(AccountError::Unstored)?;
        log::info!("{user} is logged in");
        Ok(LoggedIn {
            user,
            note: note.map(|note| note.to_string()),
        })
    }

    /// Asks the trackers, and updates the login if the reply renews or ends it. If the login of a
    /// machine has ended, it logs in again and repeats the request once.
    fn ask(
        &self,
        ask: &AccessRequest,
        login: Option<&Login>,
    ) -> Result<AccessAnswer, AccountError> {
        let answered = self.ask_with_attempts(ask, login, OpenAttempts::default())?;
        let result = answered.reply.result;
        let logs_in_again = login.is_some() && self.machine.is_some();
        if logs_in_again && matches!(&result, Err(refused) if ends_login(refused.kind)) {
            self.log_in_machine()?;
            let login = self.current_login()?;
            let again = self.ask_with_attempts(ask, Some(&login), answered.open)?;
            return Ok(again.reply.result?);
        }
        Ok(result?)
    }

    /// Like [`Account::ask`], for a write that consists of several requests: sends one of them.
    /// `open` are the earlier attempts that may have carried out the write. A refusal is not an
    /// error here.
    fn ask_with_attempts(
        &self,
        ask: &AccessRequest,
        login: Option<&Login>,
        open: OpenAttempts,
    ) -> Result<RoundReply, AccountError> {
        let token = login.map(|login| &login.token);
        let answered = self.ask_trackers(ask, token, open)?;
        let reply = &answered.reply;
        if reply.only_here {
            self.commands.on_saved_by_one_tracker();
        }
        let Some(token) = token else {
            return Ok(answered);
        };
        let refused = reply.result.as_ref().err();
        let over = refused.filter(|refused| self.is_login_over(refused, answered.unanimous));
        let stored = match (over, &reply.renewed) {
            (Some(refused), _) => self.on_login_over(token, refused),
            (None, Some(renewed)) => self.replace_token(token, Some(renewed), false),
            (None, None) => Ok(()),
        };
        // The answer of the tracker is returned even if the file cannot be written.
        if let Err(error) = stored {
            log::warn!("{error}");
        }
        Ok(answered)
    }

    /// Asks the trackers. An interruption of the running command ends the wait for the reply.
    fn ask_trackers(
        &self,
        ask: &AccessRequest,
        token: Option<&Token>,
        open: OpenAttempts,
    ) -> Result<RoundReply, AccountError> {
        let trackers = Arc::clone(&self.trackers);
        let (request, token) = (ask.clone(), token.cloned());
        // `work` sets this to the tracker that it asks. The notice of a long wait names that
        // tracker.
        let asked_tracker = AskedTracker::default();
        let set_by_work = asked_tracker.clone();
        let work = move || trackers.ask(&request, token.as_ref(), open, &set_by_work);
        let reply = self.commands.wait_for(work, || asked_tracker.get());
        reply.map_err(AccountError::Thread)?.unwrap_or_else(|| {
            Err(match ask.is_write() {
                true => open_attempts::unknown_outcome(ask, AccountError::Interrupted.to_string()),
                false => AccountError::Interrupted,
            })
        })
    }

    /// Runs `work`, which asks trackers. An interruption of the running command ends the wait for
    /// it. `work` then goes on by itself.
    ///
    /// # Errors
    /// [`AccountError::Interrupted`], [`AccountError::Thread`].
    pub(crate) fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let result = self.commands.wait_for(work, || None);
        result
            .map_err(AccountError::Thread)?
            .ok_or(AccountError::Interrupted)
    }

    /// A copy of the login of this peer, if somebody is logged in.
    fn current_login(&self) -> Result<Login, AccountError> {
        let stored = lock(&self.login);
        let login = stored.as_ref().and_then(|stored| {
            Some(Login {
                user: stored.user.clone(),
                token: stored.token.clone()?,
            })
        });
        login.ok_or(AccountError::NotLoggedIn)
    }

    /// Replaces a token by a renewed one, or by none when the login is over. Keeps
    /// [`StoredLogin::seen`]. Changes nothing if the login has another token by now. `was_ended`:
    /// the trackers say that the login is over.
    fn replace_token(
        &self,
        token: &Token,
        by: Option<&IssuedToken>,
        was_ended: bool,
    ) -> Result<(), AccountError> {
        let mut stored = lock(&self.login);
        if let Some(login) = stored.as_mut()
            && login.token.as_ref() == Some(token)
        {
            match by.cloned() {
                None => login.end(was_ended),
                Some(IssuedToken { token, expires }) => {
                    let received = now_ms();
                    login.renew(token, TokenTimes { received, expires });
                }
            }
            self.store(login)?;
        }
        Ok(())
    }

    /// Whether a refusal ends the login here. `unanimous`: see [`RoundReply::unanimous`].
    fn is_login_over(&self, refused: &AccessRefusal, unanimous: bool) -> bool {
        let is_machine_over = self.machine.is_some() && ends_machine_login(refused.kind);
        is_machine_over || unanimous && ends_login(refused.kind)
    }

    /// Forgets the token of a login that is over.
    fn on_login_over(&self, token: &Token, refused: &AccessRefusal) -> Result<(), AccountError> {
        self.on_machine_refused(refused);
        self.replace_token(token, None, true)
    }

    /// Writes the login to its file, except that of a machine. The caller has locked the login.
    fn store(&self, login: &StoredLogin) -> Result<(), LoginFileError> {
        if self.machine.is_some() {
            return Ok(());
        }
        let stored = self.file.store(login);
        self.is_file_outdated
            .store(stored.is_err(), Ordering::Relaxed);
        stored
    }

    /// Writes the login again, if its last change could not be written.
    pub(super) fn store_outdated_login(&self) {
        if !self.is_file_outdated.load(Ordering::Relaxed) {
            return;
        }
        if let Some(login) = lock(&self.login).as_ref() {
            match self.store(login) {
                Ok(()) => log::info!("the login is stored"),
                Err(error) => log::debug!("the login cannot be stored yet: {error}"),
            }
        }
    }
}

/// A random id for a new write. Trackers carry out a write once, however often they receive it.
fn new_write_id() -> Result<WriteId, AccountError> {
    let mut id = [0; 16];
    let filled = SystemRandom::new().fill(&mut id);
    filled.map_err(|_| AccountError::NoRandomness)?;
    Ok(WriteId(id))
}

/// Checks the answer to a request that returns nothing.
fn expect_done(ask: &AccessRequest, answer: AccessAnswer) -> Result<(), AccountError> {
    match answer {
        AccessAnswer::Done => Ok(()),
        _ => Err(AccountError::OtherAnswer(ask.kind())),
    }
}
