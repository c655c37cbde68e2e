//! A peer's user at the trackers: the session, and what is asked in its name.
//!
//! In scope: who is logged in, across restarts; renewing a token when a tracker gives another; giving a session up when a
//! tracker says it is over. Out of scope: what a person types, and what a tracker decides.
//!
//! Locks: `session`, held over the writing of its file, which puts changes in order; never over a request.

mod error;
mod line;
mod round;
mod trackers;

pub use error::AccountError;
pub use trackers::FirstUseNotice;

use super::group::sent_name;
use super::status::TrackerLine;
use crate::certificate::MemberKey;
use crate::storage::{SessionFile, StoredSession};
use crate::torrent::Info;
use crate::wire::access::{
    Announces, Answer, Ask, ErrorKind, FileEntry, GroupEntry, KeyRequest, MemberEntry, NewsEntry,
    Page, Peers, Place, Reply, RequestEntry, Seen, Token, WriteId,
};
use crate::wire::control::{InfoPart, InfoParts};
use crate::wire::name::{GroupName, Label, UserName};
use crate::wire::password::Password;
use error::TrackerLineError;
use ring::rand::{SecureRandom, SystemRandom};
use round::Told;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use trackers::Trackers;

/// How often an upload is begun, as trackers that go take its parts with them.
const UPLOADS: u32 = 4;

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
        self.forget(&session.token)?;
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

    /// Makes a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_group(&self, group: GroupName) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::CreateGroup { write, group })
    }

    /// Asks to be let into a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn join_group(&self, group: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::JoinGroup { write, group })
    }

    /// Leaves a group; as its last member only if `end` says so, which ends the group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(super) fn leave_group(&self, group: Label, end: bool) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::LeaveGroup { write, group, end })
    }

    /// Lets somebody in who has asked.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn accept_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::AcceptRequest { write, group, user })
    }

    /// Turns somebody away who has asked.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn reject_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::RejectRequest { write, group, user })
    }

    /// Puts a member out of a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn remove_member(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::RemoveMember { write, group, user })
    }

    /// All groups, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn groups(&self) -> Result<Vec<GroupEntry>, AccountError> {
        self.pages(
            |after| Ask::ListGroups { after },
            |answer| match answer {
                Answer::Groups(page) => Some(page),
                _ => None,
            },
        )
    }

    /// The members of a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn members(&self, group: &Label) -> Result<Vec<MemberEntry>, AccountError> {
        self.pages(
            |after| Ask::ListMembers {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                Answer::Members(page) => Some(page),
                _ => None,
            },
        )
    }

    /// Who waits to be let into a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn requests(&self, group: &Label) -> Result<Vec<RequestEntry>, AccountError> {
        self.pages(
            |after| Ask::ListRequests {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                Answer::Requests(page) => Some(page),
                _ => None,
            },
        )
    }

    /// What others decided about the user that it has not been told here; each is given once.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn news(&self) -> Result<Vec<NewsEntry>, AccountError> {
        let before = self.stored().as_ref().map(|session| session.seen.clone());
        let before = before.unwrap_or_default();
        // What held when the first page was read has been seen once the last was.
        let mut now_seen: Option<Seen> = None;
        let news = self.pages(
            |after| Ask::News {
                seen: before.clone(),
                after,
            },
            |answer| match answer {
                Answer::News { page, seen } => {
                    now_seen.get_or_insert(seen);
                    Some(page)
                }
                _ => None,
            },
        )?;
        let mut stored = self.stored();
        if let (Some(session), Some(seen)) = (stored.as_mut(), now_seen)
            && session.seen == before
            && seen != before
        {
            session.seen = seen;
            // What is news has to be told all the same; after a restart it is told once more.
            if let Err(error) = self.file.store(session) {
                log::warn!("what was told as new is not kept: {error}");
            }
        }
        Ok(news)
    }

    /// A certificate (DER) of a group's authority for our key, and that of the authority itself (PEM).
    pub(super) fn certify(
        &self,
        group: &Label,
        key: &MemberKey,
    ) -> Result<(Vec<u8>, Vec<u8>), AccountError> {
        let session = self.current()?;
        let request = key.request(session.token.as_bytes());
        let request = request.map_err(|error| AccountError::Certificate(error.to_string()))?;
        let ask = Ask::Certify {
            group: group.clone(),
            request: KeyRequest(request),
        };
        match self.ask(&ask, Some(&session))?.reply.result? {
            Answer::Certificate { leaf, authority } => Ok((leaf, authority)),
            _ => Err(AccountError::OtherAnswer(ask.kind())),
        }
    }

    /// Puts a share into a group's catalogue.
    pub(super) fn publish(&self, group: &Label, info: &Info) -> Result<(), AccountError> {
        let write = draw()?;
        let (mut offset, mut begun) = (0, 1);
        loop {
            let part = InfoPart::of(info.raw(), offset);
            let part = part.map_err(|error| AccountError::Certificate(error.to_string()))?;
            let (end, total) = (part.end(), part.total());
            let group = group.clone();
            match self.ask_done(&Ask::Publish { write, group, part }) {
                // Another tracker than that of the parts before.
                Err(AccountError::Refused(refused))
                    if refused.kind == ErrorKind::BAD_REQUEST && offset > 0 && begun < UPLOADS =>
                {
                    (offset, begun) = (0, begun + 1);
                    continue;
                }
                result => result?,
            }
            if end >= total {
                return Ok(());
            }
            offset = end;
        }
    }

    /// The bytes of a share's info dictionary.
    pub(super) fn raw_metainfo(&self, group: &Label, name: &str) -> Result<Vec<u8>, AccountError> {
        let session = self.current()?;
        let mut parts = InfoParts::new();
        loop {
            let ask = Ask::Metainfo {
                group: group.clone(),
                name: sent_name(name)?,
                offset: parts.offset(),
            };
            let Answer::Metainfo(part) = self.ask(&ask, Some(&session))?.reply.result? else {
                return Err(AccountError::OtherAnswer(ask.kind()));
            };
            let whole = parts.add(&part);
            let whole = whole.map_err(|error| AccountError::Certificate(error.to_string()))?;
            if let Some(whole) = whole {
                return Ok(whole);
            }
        }
    }

    /// Takes a share off a group's catalogue.
    pub(super) fn withdraw(&self, group: &Label, name: &str) -> Result<(), AccountError> {
        self.ask_done(&Ask::Withdraw {
            write: draw()?,
            group: group.clone(),
            name: sent_name(name)?,
        })
    }

    /// Announces to a group's swarms at every tracker; hands on what each answers. It is done if any tracker answered; what
    /// keeps others from it, if anything does, is given back.
    pub(super) fn announce(
        &self,
        announces: Announces,
        mut found: impl FnMut(Peers),
    ) -> Result<Option<String>, AccountError> {
        let session = self.current()?;
        let asked = announces.swarms().len();
        let ask = Ask::Announce(announces);
        let (mut taken, mut refused, mut troubles) = (false, None, Vec::new());
        self.trackers
            .ask_all(&ask, Some(&session.token), |told| match told {
                Ok(reply) => {
                    if let Some(renewed) = &reply.renewed
                        && let Err(error) = self.renew(&session.token, renewed)
                    {
                        troubles.push(error.to_string());
                    }
                    match reply.result {
                        Ok(Answer::Peers(peers)) if peers.swarms.len() == asked => {
                            taken = true;
                            found(peers);
                        }
                        Ok(_) => {
                            troubles.push(AccountError::OtherAnswer(ask.kind()).to_string());
                        }
                        // It says nothing of the session, nor of what is asked for.
                        Err(error) if round::is_no_answer(error.kind) => {
                            troubles.push(error.to_string());
                        }
                        Err(error) => refused = Some(error),
                    }
                }
                Err(trouble) => troubles.push(trouble),
            })?;
        match refused {
            refused if taken => {
                troubles.extend(refused.map(|refused| refused.to_string()));
                Ok(Some(troubles.join("; ")).filter(|troubles| !troubles.is_empty()))
            }
            // A tracker that does not answer may know better.
            Some(refused) if troubles.is_empty() => {
                if ends_session(refused.kind) {
                    self.forget(&session.token)?;
                }
                Err(AccountError::Refused(refused))
            }
            refused => {
                troubles.extend(refused.map(|refused| refused.to_string()));
                Err(AccountError::NoTracker {
                    troubles: troubles.join("; "),
                    sent: false,
                })
            }
        }
    }

    /// The catalogue of a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn files(&self, group: &Label) -> Result<Vec<FileEntry>, AccountError> {
        self.pages(
            |after| Ask::ListFiles {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                Answer::Files(page) => Some(page),
                _ => None,
            },
        )
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
            let told = self.ask(&ask, Some(&session))?;
            let found = told.reply.result.map_err(AccountError::Refused)?;
            let found = page(found).ok_or(AccountError::OtherAnswer(ask.kind()))?;
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
        let told = self.ask(ask, session)?;
        let Answer::Session { token, user, note } = told.reply.result? else {
            return Err(AccountError::OtherAnswer(ask.kind()));
        };
        let mut stored = self.stored();
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
    fn ask(&self, ask: &Ask, session: Option<&Session>) -> Result<Told, AccountError> {
        let token = session.map(|session| &session.token);
        let told = self.trackers.ask(ask, token)?;
        if told.reply.only_here {
            self.only_one.store(true, Ordering::Relaxed);
        }
        if let Some(token) = token {
            match &told.reply {
                Reply {
                    renewed: Some(renewed),
                    ..
                } => self.renew(token, renewed)?,
                Reply {
                    result: Err(refused),
                    ..
                } if ends_session(refused.kind) && told.unanimous => self.forget(token)?,
                _ => {}
            }
        }
        Ok(told)
    }

    fn current(&self) -> Result<Session, AccountError> {
        let stored = self.stored();
        let session = stored.as_ref().and_then(|stored| {
            Some(Session {
                user: stored.user.clone(),
                token: stored.token.clone()?,
            })
        });
        session.ok_or(AccountError::NotLoggedIn)
    }

    fn renew(&self, token: &Token, renewed: &Token) -> Result<(), AccountError> {
        self.replace(token, Some(renewed))
    }

    /// The session of that token is over; what its user has seen is kept.
    fn forget(&self, token: &Token) -> Result<(), AccountError> {
        self.replace(token, None)
    }

    fn replace(&self, token: &Token, by: Option<&Token>) -> Result<(), AccountError> {
        let mut stored = self.stored();
        if let Some(session) = stored.as_mut()
            && session.token.as_ref() == Some(token)
        {
            session.token = by.cloned();
            self.file.store(session)?;
        }
        Ok(())
    }

    fn stored(&self) -> MutexGuard<'_, Option<StoredSession>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ends_session(kind: ErrorKind) -> bool {
    kind == ErrorKind::SESSION_ENDED || kind == ErrorKind::ACCOUNT_GONE
}

/// A new write. However often it is asked for, at whichever tracker, it is done once.
fn draw() -> Result<WriteId, AccountError> {
    let mut id = [0; 16];
    let filled = SystemRandom::new().fill(&mut id);
    filled.map_err(|_| AccountError::NoRandomness)?;
    Ok(WriteId(id))
}

/// The end of a request that gives nothing back.
fn done(ask: &Ask, told: Told) -> Result<(), AccountError> {
    match told.reply.result? {
        Answer::Done => Ok(()),
        _ => Err(AccountError::OtherAnswer(ask.kind())),
    }
}
