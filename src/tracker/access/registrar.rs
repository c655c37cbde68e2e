//! Who may have what: answers requests about accounts and groups.
//!
//! In scope: which request needs which session, passwords, tokens, the log of what was changed by whom. The rules
//! themselves are the registry's. Out of scope: lines and frames, what is looked at only (`lists`, `catalogue`), and how a
//! refusal is told (`refusals`).

use super::code::InviteCode;
use super::dictionaries::Dictionaries;
use super::gate::Gate;
use super::once::Once;
use super::passwords::Passwords;
use super::refusals::{no_randomness, refused, told, unwritten};
use super::token::{LIFETIME, Session, TokenKey};
use super::uploads::Uploads;
use super::views;
use crate::certificate::{Authority, GroupAuthority};
use crate::tracker::clock::since_1970;
use crate::tracker::quotas::Limits;
use crate::tracker::registry::{
    Account, GroupKey, Leaving, NewAccount, NewGroup, Refusal, Registry, RowId,
};
use crate::tracker::store::{RegistryStore, Written};
use crate::tracker::swarms::Swarms;
use crate::wire::access::{Answer, Ask, ErrorKind, Place, Refused, Reply, Request, Token};
use crate::wire::name::{GroupName, Label, UserName};
use crate::wire::password::Password;
use ring::rand::{SecureRandom, SystemRandom};
use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an invite is good.
pub const INVITE: Duration = Duration::from_secs(7 * 86_400);

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Whoever reaches the tracker.
    #[default]
    Open,
    /// Whoever has an invite code; others only by the tracker's console.
    Closed,
}

/// What a tracker grants.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Who may make an account.
    pub registration: Registration,
    /// How often peers announce to the swarms of groups; one that misses two is dropped.
    pub interval: Duration,
    /// How long a member's certificate holds.
    pub certificate: Duration,
}

/// Somebody who asks: with a session that holds, and from where.
pub(super) struct Asker<'a> {
    pub(super) session: &'a Session,
    pub(super) token: &'a Token,
    pub(super) from: IpAddr,
    /// Whether something was written that is only here so far.
    pub(super) only_here: Cell<bool>,
}

/// What came of a request.
pub(super) struct Done {
    pub(super) renewed: Option<Token>,
    pub(super) answer: Answer,
    pub(super) written: Written,
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self {
            renewed: None,
            answer,
            written: Written::Safe,
        }
    }
}

/// Answers requests about accounts and groups.
#[derive(Debug)]
pub struct Registrar {
    pub(super) store: Arc<RegistryStore>,
    pub(super) passwords: Passwords,
    pub(super) tokens: TokenKey,
    pub(super) uploads: Uploads,
    pub(super) dictionaries: Dictionaries,
    /// The swarms of groups: nobody else's, whatever is announced over HTTP.
    pub(super) swarms: Swarms,
    /// How long a certificate of a member holds.
    pub(super) certificate: Duration,
    pub(super) gate: Gate,
    pub(super) epoch: Instant,
    pub(super) registration: Registration,
    pub(super) random: SystemRandom,
}

impl Registrar {
    /// For the cluster of that authority, over that registry.
    ///
    /// # Errors
    /// When the system gives no threads for hashing.
    pub fn start(store: Arc<RegistryStore>, cluster: &Authority, terms: Terms) -> io::Result<Self> {
        let Terms {
            registration,
            interval,
            certificate,
        } = terms;
        Ok(Self {
            uploads: Uploads::default(),
            dictionaries: Dictionaries::default(),
            swarms: Swarms::new(interval, Limits::of_groups()),
            certificate,
            store,
            passwords: Passwords::start()?,
            tokens: TokenKey::of(cluster),
            gate: Gate::new(),
            epoch: Instant::now(),
            registration,
            random: SystemRandom::new(),
        })
    }

    /// Answers one request that came from that address.
    pub fn answer(&self, request: Request, from: IpAddr) -> Reply {
        let Request { id, token, ask } = request;
        let kind = ask.kind();
        let (mut renewed, mut only_here) = (None, false);
        let lasts = !matches!(ask, Ask::Announce(_) | Ask::Cluster);
        let mut result = self.dispatch(token, ask, from).map(|done| {
            (renewed, only_here) = (done.renewed, done.written == Written::OnlyHere);
            done.answer
        });
        // Nobody is told what a crash could undo, in a refusal neither.
        let serves = !matches!(&result, Err(refused) if refused.kind.is_unserved());
        if lasts
            && serves
            && let Err(error) = self.store.settle()
        {
            result = Err(unwritten(error));
        }
        if let Err(refused) = &result {
            log::info!("refused {from}: {kind}: {}", refused.kind.as_str());
        }
        Reply {
            id,
            renewed,
            only_here,
            result,
        }
    }

    fn dispatch(&self, token: Option<Token>, ask: Ask, from: IpAddr) -> Result<Done, Refused> {
        if ask == Ask::Cluster {
            return Ok(Answer::Cluster(views::cluster(&self.store.status())).into());
        }
        self.store.serving().map_err(unwritten)?;
        Ok(match ask {
            Ask::CreateUser {
                write,
                user,
                password,
                invite,
            } => {
                let once = Once::of_name(&user, write);
                let before = self.before(&once, || format!("user {user} was made from {from}"))?;
                let written = match before {
                    Some(written) => written,
                    None => self.create_user(&once, user, &password, invite.as_ref(), from)?,
                };
                Done {
                    written,
                    ..Done::from(Answer::Done)
                }
            }
            Ask::Login { user, password } => self.login(&user, &password, from)?.into(),
            ask => self.dispatch_member(token, ask, from)?,
        })
    }

    fn dispatch_member(
        &self,
        token: Option<Token>,
        ask: Ask,
        from: IpAddr,
    ) -> Result<Done, Refused> {
        let token = token.ok_or_else(|| {
            refused(
                ErrorKind::NOT_LOGGED_IN,
                "you are not logged in; login USER does that",
            )
        })?;
        let now = since_1970();
        let session = self.tokens.open(token.as_bytes(), now);
        let session =
            session.map_err(|error| refused(ErrorKind::SESSION_ENDED, &error.to_string()))?;
        // Before the session is looked at: the write may have ended it.
        if let Some(done) = self.done_before(&session, &ask, from)? {
            return Ok(done);
        }
        self.store.read(|registry| self.check(registry, &session))?;
        let asker = Asker {
            session: &session,
            token: &token,
            from,
            only_here: Cell::new(false),
        };
        let ends_session = matches!(ask, Ask::Logout { .. } | Ask::ChangePassword { .. });
        let answer = self.answer_member(&asker, ask)?;
        let renewed = (!ends_session && session.is_due(now))
            .then(|| self.sign(&session.renewed(now)))
            .transpose()?;
        Ok(Done {
            renewed,
            answer,
            written: match asker.only_here.get() {
                true => Written::OnlyHere,
                false => Written::Safe,
            },
        })
    }

    /// Whether that is the token of a session that holds.
    pub(super) fn holds(&self, token: Option<&Token>) -> bool {
        let session = token.map(|token| self.tokens.open(token.as_bytes(), since_1970()));
        let Some(Ok(session)) = session else {
            return false;
        };
        self.store
            .read(|registry| self.check(registry, &session).is_ok())
    }

    fn check(&self, registry: &Registry, session: &Session) -> Result<(), Refused> {
        let found = registry.check_session(session.account, session.session, session.credential);
        found.map(drop).map_err(told)
    }

    fn answer_member(&self, asker: &Asker<'_>, ask: Ask) -> Result<Answer, Refused> {
        let account = asker.session.account;
        let once = |write| Once::of_account(account, write);
        match ask {
            // Answered above.
            Ask::CreateUser { .. } | Ask::Login { .. } | Ask::Cluster => Err(refused(
                ErrorKind::BAD_REQUEST,
                "this is asked without a session",
            )),
            Ask::Logout { write } => {
                let session = asker.session.session;
                self.change(asker, &once(write), "logs out", |registry, now| {
                    registry.log_out(account, session, now + LIFETIME, now)
                })
            }
            Ask::ChangePassword { write, old, new } => {
                self.change_password(asker, &once(write), &old, &new)
            }
            Ask::CreateGroup { write, group } => self.create_group(asker, &once(write), group),
            Ask::JoinGroup { write, group } => {
                let (once, what) = (once(write), format!("asks to join {group}"));
                self.change(asker, &once, &what, |registry, now| {
                    let id = once.request(registry.group_id(&group)?);
                    registry.request_membership(account, &group, id, now)
                })
            }
            Ask::LeaveGroup { write, group, end } => {
                let leaving = if end {
                    Leaving::EndGroup
                } else {
                    Leaving::KeepGroup
                };
                let (once, what) = (once(write), format!("leaves {group}"));
                self.change(asker, &once, &what, |registry, now| {
                    registry.leave(account, &group, leaving, now)
                })
            }
            Ask::AcceptRequest { write, group, user } => {
                let what = format!("accepts {user} into {group}");
                self.change(asker, &once(write), &what, |registry, now| {
                    registry.accept(account, &group, &user, now)
                })
            }
            Ask::RejectRequest { write, group, user } => {
                let what = format!("rejects {user} for {group}");
                self.change(asker, &once(write), &what, |registry, now| {
                    registry.reject(account, &group, &user, now)
                })
            }
            Ask::RemoveMember { write, group, user } => {
                let what = format!("removes {user} from {group}");
                self.change(asker, &once(write), &what, |registry, now| {
                    registry.remove_member(account, &group, &user, now)
                })
            }
            Ask::ListGroups { after } => self.list_groups(account, after.as_ref()),
            Ask::ListMembers { group, after } => self.list_members(account, &group, after.as_ref()),
            Ask::ListRequests { group, after } => {
                self.list_requests(account, &group, after.as_ref())
            }
            Ask::Certify { group, request } => self.certify(asker, &group, &request),
            Ask::Publish { write, group, part } => self.publish(asker, &once(write), &group, &part),
            Ask::ListFiles { group, after } => self.list_files(account, &group, after.as_ref()),
            Ask::Metainfo {
                group,
                name,
                offset,
            } => self.metainfo(account, &group, &name, offset),
            Ask::Withdraw { write, group, name } => {
                let what = format!("takes {} off {group}", name.as_str());
                self.change(asker, &once(write), &what, |registry, now| {
                    registry.withdraw(account, &group, name.as_str(), now)
                })
            }
            Ask::Announce(announce) => self.announce(asker, &announce),
            Ask::News { seen, after } => self.news(account, &seen, after.as_ref()),
        }
    }

    fn create_group(
        &self,
        asker: &Asker<'_>,
        once: &Once,
        name: GroupName,
    ) -> Result<Answer, Refused> {
        let what = format!("makes group {name}");
        let id = once.group(name.as_str().as_bytes());
        // Its id, not its name: whoever calls a member sees what its authority is called.
        let authority = GroupAuthority::generate(&id.to_string()).map_err(|error| {
            log::error!("no key for group {name}: {error}");
            no_randomness()
        })?;
        let key = GroupKey::new(authority.to_pem()).map_err(|error| {
            log::error!("no key for group {name}: {error}");
            no_randomness()
        })?;
        let new = NewGroup {
            id,
            membership: once.making(id),
            name,
            key,
        };
        let account = asker.session.account;
        self.change(asker, once, &what, |registry, now| {
            registry.create_group(account, new, now)
        })
    }

    fn create_user(
        &self,
        once: &Once,
        name: UserName,
        password: &Password,
        invite: Option<&Place>,
        from: IpAddr,
    ) -> Result<Written, Refused> {
        let code = match (invite, self.registration) {
            (None, Registration::Closed) => {
                return Err(refused(
                    ErrorKind::INVITE_NEEDED,
                    "accounts are made here with an invite code only: ask the tracker's operator for one, then \
                     create_user USER --invite CODE",
                ));
            }
            (None, Registration::Open) => None,
            (Some(code), _) => {
                let code: Option<InviteCode> = code.as_str().parse().ok();
                Some(code.ok_or_else(|| told(Refusal::UnknownInvite))?)
            }
        };
        // Told before the work of hashing; the write looks again. Without a good code nobody learns who has an account.
        let label = Label::from(&name);
        self.store.read(|registry| {
            if let Some(code) = &code {
                registry
                    .check_invite(&code.hash(), since_1970())
                    .map_err(told)?;
            }
            match registry.account_id(&label) {
                Ok(_) => Err(told(Refusal::NameTaken(label))),
                Err(_) => Ok(()),
            }
        })?;
        let _turn = self.admit(None, from)?;
        let what = format!("user {name} is made from {from}");
        let new = NewAccount {
            id: once.account(),
            name,
            password: self.hash(password)?,
        };
        self.write_once(once, &what, None, |registry, now| match code {
            None => registry.create_account(new, now),
            Some(code) => registry.redeem(code.hash(), new, now),
        })
    }

    pub(super) fn name_of(&self, account: RowId) -> Result<Label, Refused> {
        let label = self.store.read(|registry| registry.account_label(account));
        label.ok_or_else(|| told(Refusal::AccountGone))
    }

    /// How the log names an account.
    pub(super) fn shown(&self, account: RowId) -> String {
        let label = self.store.read(|registry| registry.account_label(account));
        label.map_or_else(|| account.to_string(), |label| label.to_string())
    }

    /// Who may make an account.
    pub fn registration(&self) -> Registration {
        self.registration
    }

    /// Ends the threads that hash; log-ins are refused from then on.
    pub fn stop(&self) {
        self.passwords.stop();
    }

    /// A random id.
    pub(super) fn draw(&self) -> Result<RowId, Refused> {
        let mut id = [0; 16];
        match self.random.fill(&mut id) {
            Ok(()) => Ok(RowId(id)),
            Err(_) => Err(no_randomness()),
        }
    }
}

/// The accounts that a log-in under that label may mean.
pub(super) fn named(registry: &Registry, user: &Label) -> Vec<Account> {
    if user.tag().is_some() {
        let id = registry.account_id(user).ok();
        return id
            .and_then(|id| registry.account(id))
            .cloned()
            .into_iter()
            .collect();
    }
    let name: Option<UserName> = user.name().parse().ok();
    let accounts = name.map(|name| registry.accounts_named(&name));
    accounts.unwrap_or_default().into_iter().cloned().collect()
}
