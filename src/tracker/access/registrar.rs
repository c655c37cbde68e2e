//! Who may have what: answers requests about accounts and groups.
//!
//! In scope: which request needs which session, passwords, tokens, the log of what was changed by whom. The rules
//! themselves are the registry's. Out of scope: lines and frames, what is looked at only (`lists`, `catalogue`), and how a
//! refusal is told (`refusals`).

use super::lists;
use super::views::{self, PAGE, shown};
use super::{
    Asker, Changes, Done, GroupShares, IdempotencyKey, InviteCode, LIFETIME, Logins, Operator,
    Registration, Session, Terms, no_randomness, refused, told, unwritten,
};
use crate::certificate::{Authority, GroupAuthority};
use crate::system::since_1970;
use crate::tracker::registry::{
    Cursor, GroupKey, Leaving, NewAccount, NewGroup, Refusal, Registry,
};
use crate::tracker::store::{RegistryStore, Written};
use crate::wire::access::{Answer, Ask, ErrorKind, Place, Refused, Reply, Request, Token};
use crate::wire::name::{GroupName, Label, UserName};
use crate::wire::password::Password;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Answers requests about accounts and groups.
#[derive(Debug)]
pub(in crate::tracker) struct Registrar {
    store: Arc<RegistryStore>,
    logins: Arc<Logins>,
    changes: Changes,
    shares: GroupShares,
    registration: Registration,
}

impl Registrar {
    /// For the cluster of that authority, over that registry.
    ///
    /// # Errors
    /// When the system gives no threads for hashing.
    pub(in crate::tracker) fn start(
        store: Arc<RegistryStore>,
        cluster: &Authority,
        terms: Terms,
    ) -> io::Result<Self> {
        let Terms {
            registration,
            interval,
            certificate,
        } = terms;
        Ok(Self {
            logins: Arc::new(Logins::start(Arc::clone(&store), cluster)?),
            changes: Changes::new(Arc::clone(&store)),
            shares: GroupShares::new(Arc::clone(&store), interval, certificate),
            registration,
            store,
        })
    }

    /// What the tracker's operator works with.
    pub(in crate::tracker) fn operator(&self) -> Operator {
        Operator {
            store: Arc::clone(&self.store),
            logins: Arc::clone(&self.logins),
            registration: self.registration,
        }
    }

    /// Drops peers of groups' swarms that have been silent for too long.
    pub(in crate::tracker) fn expire(&self) {
        self.shares.expire();
    }

    /// Ends the threads that hash; log-ins are refused from then on.
    pub(in crate::tracker) fn stop(&self) {
        self.logins.stop();
    }

    /// Answers one request that came from that address.
    pub(super) fn answer(&self, request: Request, from: IpAddr) -> Reply {
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
            && let Err(error) = self.store.wait_until_durable()
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
        self.store.check_serving().map_err(unwritten)?;
        Ok(match ask {
            Ask::CreateUser {
                write,
                user,
                password,
                invite,
            } => {
                let key = IdempotencyKey::of_name(&user, write);
                let before = self
                    .changes
                    .before(&key, || format!("user {user} was made from {from}"))?;
                let written = match before {
                    Some(written) => written,
                    None => self.create_user(&key, user, &password, invite.as_ref(), from)?,
                };
                Done {
                    written,
                    ..Done::from(Answer::Done)
                }
            }
            Ask::Login { user, password } => self.logins.login(&user, &password, from)?.into(),
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
                ErrorKind::NotLoggedIn,
                "you are not logged in; login USER does that",
            )
        })?;
        let now = since_1970();
        let session = self.logins.open(&token);
        let session = session.map_err(|error| refused(ErrorKind::SessionEnded, error))?;
        // Before the session is looked at: the write may have ended it.
        if let Some(done) = self.done_before(&session, &ask, from)? {
            return Ok(done);
        }
        self.logins.check(&session)?;
        let asker = Asker::new(&session, &token, from);
        let ends_session = matches!(ask, Ask::Logout { .. } | Ask::ChangePassword { .. });
        let answer = self.answer_member(&asker, ask)?;
        let renewed = (!ends_session && session.is_due(now))
            .then(|| self.logins.sign(&session.renewed(now)))
            .transpose()?;
        Ok(Done {
            renewed,
            answer,
            written: asker.written(),
        })
    }

    /// Whether that is the token of a session that holds.
    pub(super) fn holds(&self, token: Option<&Token>) -> bool {
        let session = token.and_then(|token| self.logins.open(token).ok());
        session.is_some_and(|session| self.logins.check(&session).is_ok())
    }

    fn answer_member(&self, asker: &Asker<'_>, ask: Ask) -> Result<Answer, Refused> {
        match ask.write() {
            Some(write) => {
                let key = IdempotencyKey::of_account(asker.session.account, write);
                self.answer_write(asker, &key, ask)
            }
            None => self.answer_read(asker, ask),
        }
    }

    fn answer_write(
        &self,
        asker: &Asker<'_>,
        key: &IdempotencyKey,
        ask: Ask,
    ) -> Result<Answer, Refused> {
        let account = asker.session.account;
        let changes = &self.changes;
        match ask {
            Ask::Logout { .. } => {
                let session = asker.session.session;
                changes.change(asker, key, "logs out", |registry, now| {
                    registry.log_out(account, session, now + LIFETIME, now)
                })
            }
            Ask::ChangePassword { old, new, .. } => {
                self.logins.change_password(changes, asker, key, &old, &new)
            }
            Ask::CreateGroup { group, .. } => self.create_group(asker, key, group),
            Ask::JoinGroup { group, .. } => {
                let what = format!("asks to join {group}");
                changes.change(asker, key, &what, |registry, now| {
                    let id = key.request(registry.group_id(&group)?);
                    registry.request_membership(account, &group, id, now)
                })
            }
            Ask::LeaveGroup { group, end, .. } => {
                let leaving = match end {
                    true => Leaving::EndGroup,
                    false => Leaving::KeepGroup,
                };
                let what = format!("leaves {group}");
                changes.change(asker, key, &what, |registry, now| {
                    registry.leave(account, &group, leaving, now)
                })
            }
            Ask::AcceptRequest { group, user, .. } => {
                let what = format!("accepts {user} into {group}");
                changes.change(asker, key, &what, |registry, now| {
                    registry.accept(account, &group, &user, now)
                })
            }
            Ask::RejectRequest { group, user, .. } => {
                let what = format!("rejects {user} for {group}");
                changes.change(asker, key, &what, |registry, now| {
                    registry.reject(account, &group, &user, now)
                })
            }
            Ask::RemoveMember { group, user, .. } => {
                let what = format!("removes {user} from {group}");
                changes.change(asker, key, &what, |registry, now| {
                    registry.remove_member(account, &group, &user, now)
                })
            }
            Ask::Publish { group, part, .. } => self.shares.publish(asker, key, &group, &part),
            Ask::Withdraw { group, name, .. } => {
                let what = format!("takes {} off {group}", name.as_str());
                changes.change(asker, key, &what, |registry, now| {
                    registry.withdraw(account, &group, name.as_str(), now)
                })
            }
            _ => Err(asked_without_a_session()),
        }
    }

    fn answer_read(&self, asker: &Asker<'_>, ask: Ask) -> Result<Answer, Refused> {
        let (store, account) = (&self.store, asker.session.account);
        match ask {
            Ask::ListGroups { after } => lists::list(store, after, views::group, |it, after| {
                Ok(it.groups(Some(account), after, PAGE))
            })
            .map(Answer::Groups),
            Ask::ListMembers { group, after } => {
                let look = |it: &Registry, after: Option<&Cursor>| {
                    it.members(account, &group, after, PAGE)
                };
                lists::list(store, after, views::member, look).map(Answer::Members)
            }
            Ask::ListRequests { group, after } => {
                let look = |it: &Registry, after: Option<&Cursor>| {
                    it.requests(account, &group, after, PAGE)
                };
                lists::list(store, after, views::request, look).map(Answer::Requests)
            }
            Ask::Certify { group, request } => self.shares.certify(asker, &group, &request),
            Ask::ListFiles { group, after } => self.shares.list_files(account, &group, after),
            Ask::Metainfo {
                group,
                name,
                offset,
            } => self.shares.metainfo(account, &group, &name, offset),
            Ask::Announce(announce) => self.shares.announce(asker, &announce),
            Ask::News { seen, after } => lists::news(store, account, &seen, after),
            _ => Err(asked_without_a_session()),
        }
    }

    fn create_group(
        &self,
        asker: &Asker<'_>,
        key: &IdempotencyKey,
        name: GroupName,
    ) -> Result<Answer, Refused> {
        let what = format!("makes group {name}");
        let id = key.group(name.as_str().as_bytes());
        // Its id, not its name: whoever calls a member sees what its authority is called.
        let unmade = |error: &dyn Display| {
            log::error!("no key for group {name}: {error}");
            no_randomness()
        };
        let authority =
            GroupAuthority::generate(&id.to_string()).map_err(|error| unmade(&error))?;
        let secret = GroupKey::new(authority.to_pem()).map_err(|error| unmade(&error))?;
        let new = NewGroup {
            id,
            membership: key.making(id),
            name,
            key: secret,
        };
        let account = asker.session.account;
        self.changes.change(asker, key, &what, |registry, now| {
            registry.create_group(account, new, now)
        })
    }

    fn create_user(
        &self,
        key: &IdempotencyKey,
        name: UserName,
        password: &Password,
        invite: Option<&Place>,
        from: IpAddr,
    ) -> Result<Written, Refused> {
        let code = match (invite, self.registration) {
            (None, Registration::Closed) => {
                return Err(refused(
                    ErrorKind::InviteNeeded,
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
        let _turn = self.logins.admit(None, from)?;
        let what = format!("user {name} is made from {from}");
        let new = NewAccount {
            id: key.account(),
            name,
            password: self.logins.hash(password)?,
        };
        self.changes
            .write_once(key, &what, None, |registry, now| match code {
                None => registry.create_account(new, now),
                Some(code) => registry.redeem(code.hash(), new, now),
            })
    }

    /// The answer to a write that the holder of a session asks for again.
    pub(super) fn done_before(
        &self,
        session: &Session,
        ask: &Ask,
        from: IpAddr,
    ) -> Result<Option<Done>, Refused> {
        let Some(write) = ask.write() else {
            return Ok(None);
        };
        let key = IdempotencyKey::of_account(session.account, write);
        let what = || {
            format!(
                "{} of {} at {from}",
                ask.kind(),
                shown(&self.store, session.account)
            )
        };
        let Some(written) = self.changes.before(&key, what)? else {
            return Ok(None);
        };
        let answer = match ask {
            Ask::ChangePassword { new, .. } => {
                self.logins.password_changed(session.account, new, from)?
            }
            _ => Answer::Done,
        };
        Ok(Some(Done {
            written,
            ..Done::from(answer)
        }))
    }
}

fn asked_without_a_session() -> Refused {
    refused(ErrorKind::BadRequest, "this is asked without a session")
}
