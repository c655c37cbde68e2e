//! Answers requests about accounts and groups.
//!
//! In scope: which requests need a login, repeated commands, the creation of users and groups, and
//! the log of all changes. Out of scope: the rules (`registry`), connections and frames
//! (`control_connection`), passwords and tokens (`logins`), lists (`lists`), shares (`shares`), and
//! the texts of refusals (`refusals`).

use super::views::{self, PAGE_LENGTH, log_name};
use super::{
    AccessSettings, BeginOfLogin, ChangedShares, CompletedRequest, GroupShares, Hints, HolderLists,
    IdempotencyKey, IdempotentWrites, InviteCode, Logins, Machines, NewAccounts, OperatorAccess,
    PasswordTurn, PortChecks, Registration, RequestContext, Requester, Watch, check_new_password,
    from_refusal, from_token_error, from_write_error, no_randomness, once, refused,
};
use super::{lists, login_list, own_groups, withdrawals};
use crate::base::AddressPrefix;
use crate::certificate::{Authority, GroupAuthority};
use crate::net::ConnectionHandle;
use crate::system::since_1970;
use crate::tracker::registry::{
    AccountQuotas, Cursor, GroupKey, IfLastMember, NewAccount, NewGroup, Refusal, Registry, RowId,
};
use crate::tracker::store::{Durability, RegistryStore};
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, AccessReplyMessage, AccessRequest,
    AccessRequestMessage, PortCheck, ShortText, Token,
};
use crate::wire::name::{GroupName, UserName};
use crate::wire::password::Password;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

/// Answers requests about accounts and groups.
#[derive(Debug)]
pub(in crate::tracker) struct Registrar {
    store: Arc<RegistryStore>,
    logins: Arc<Logins>,
    writes: IdempotentWrites,
    shares: GroupShares,
    changed_shares: ChangedShares,
    port_checks: PortChecks,
    machines: Machines,
    hints: Arc<Hints>,
    registration: Registration,
    new_accounts: NewAccounts,
    quotas: AccountQuotas,
}

impl Registrar {
    /// Starts the threads that hash passwords, and the thread for hints. Tokens are valid at all
    /// trackers of `cluster`. `folder` is the state folder.
    ///
    /// # Errors
    /// The system cannot start the threads.
    pub(in crate::tracker) fn start(
        store: Arc<RegistryStore>,
        cluster: &Authority,
        folder: &Path,
        settings: AccessSettings,
    ) -> io::Result<Self> {
        let AccessSettings {
            registration,
            announce_interval,
            certificate_lifetime,
            login_life,
            new_accounts,
            quotas,
        } = settings;
        let logins = Arc::new(Logins::start(Arc::clone(&store), cluster, login_life)?);
        let hints = Arc::new(Hints::new(Arc::clone(&store), Arc::clone(&logins)));
        hints.start()?;
        let machines = Machines::new(
            Arc::clone(&store),
            Arc::clone(&logins),
            cluster.fingerprint(),
        );
        Ok(Self {
            logins,
            machines,
            writes: IdempotentWrites::new(Arc::clone(&store)),
            changed_shares: ChangedShares::new(Arc::clone(&store)),
            shares: GroupShares::new(
                Arc::clone(&store),
                Arc::clone(&hints),
                announce_interval,
                certificate_lifetime,
                quotas,
                HolderLists::open(Arc::clone(&store), folder),
            ),
            hints,
            port_checks: PortChecks::default(),
            registration,
            new_accounts: NewAccounts::new(new_accounts),
            quotas,
            store,
        })
    }

    /// The access of the tracker's operator.
    pub(in crate::tracker) fn operator(&self) -> OperatorAccess {
        OperatorAccess {
            store: Arc::clone(&self.store),
            logins: Arc::clone(&self.logins),
            registration: self.registration,
        }
    }

    /// Drops peers from the swarms of groups if they have been silent for too long. Writes down who
    /// mirrors which group, if that is due.
    pub(in crate::tracker) fn expire(&self) {
        self.shares.expire();
    }

    /// Ends the threads that hash passwords. Log-ins are refused afterwards.
    pub(in crate::tracker) fn stop(&self) {
        self.logins.stop();
    }

    /// Writes down who mirrors which group. No request may come afterwards.
    pub(in crate::tracker) fn save(&self) {
        self.shares.holders.save();
    }

    /// Waits until the thread for hints has ended. It ends when the registry store stops.
    pub(in crate::tracker) fn wait_for_hints(&self) {
        self.hints.wait();
    }

    /// Begins to send hints for the login of this token, and returns the new watch. `current` is
    /// the watch that the connection has. Returns `None` if that watch is for this login, if the
    /// login is not valid, or if this tracker does not serve.
    pub(super) fn watch(
        &self,
        token: Option<&Token>,
        current: Option<&Watch>,
        handle: &ConnectionHandle,
    ) -> Option<Watch> {
        self.store.check_serving().ok()?;
        let login = self.logins.read_token(token?).ok()?;
        self.logins.check_login(&login).ok()?;
        let is_new = current.is_none_or(|current| !current.is_for(&login));
        is_new.then(|| self.hints.watch(login, handle.clone()))
    }

    /// Answers one request. If the request has a password, the caller has waited for its turn.
    /// `watch` is the watch of the connection, if there is one.
    pub(super) fn answer(
        &self,
        request: AccessRequestMessage,
        requester: Requester<'_>,
        watch: Option<&Watch>,
    ) -> AccessReplyMessage {
        let from = requester.from;
        let AccessRequestMessage { id, token, ask, .. } = request;
        let kind = ask.kind();
        let (mut renewed, mut only_here) = (None, false);
        let must_be_durable = !matches!(
            ask,
            AccessRequest::Announce(_) | AccessRequest::Cluster | AccessRequest::CheckPort { .. }
        );
        let mut result = self.dispatch(token, ask, requester, watch).map(|done| {
            (renewed, only_here) = (done.renewed, done.durability == Durability::OnlyHere);
            done.answer
        });
        // A reply, even a refusal, must not show anything that a crash could undo.
        let is_serving = !matches!(&result, Err(refused) if refused.kind.refuses_all_requests());
        if must_be_durable
            && is_serving
            && let Err(error) = self.store.wait_until_durable()
        {
            result = Err(from_write_error(error));
        }
        if let Err(refused) = &result {
            let source = AddressPrefix::of(from);
            log::info!(source:%; "refused {from}: {kind}: {}", refused.kind.as_str());
        }
        AccessReplyMessage {
            id,
            renewed,
            only_here,
            result,
        }
    }

    /// The token of a login.
    #[cfg(test)]
    pub(super) fn sign(&self, login: &crate::tracker::registry::Login) -> Token {
        self.logins.sign(login).unwrap()
    }

    fn dispatch(
        &self,
        token: Option<Token>,
        ask: AccessRequest,
        requester: Requester<'_>,
        watch: Option<&Watch>,
    ) -> Result<CompletedRequest, AccessRefusal> {
        let from = requester.from;
        match ask {
            AccessRequest::Cluster => {
                return Ok(AccessAnswer::Cluster(views::cluster(&self.store.status())).into());
            }
            AccessRequest::CheckPort { port } => {
                return Ok(AccessAnswer::Port(self.check_port(from, port)).into());
            }
            _ => {}
        }
        self.store.check_serving().map_err(from_write_error)?;
        Ok(match ask {
            AccessRequest::CreateUser {
                write,
                user,
                password,
                invite,
            } => {
                let key = IdempotencyKey::of_name(&user, write);
                let what = || format!("user {user} was created from {from}");
                let durability = once(
                    || self.writes.confirm_previous(&key, what),
                    || self.create_user(&key, user.clone(), &password, invite.as_ref(), requester),
                )?;
                CompletedRequest {
                    durability,
                    ..CompletedRequest::from(AccessAnswer::Done)
                }
            }
            AccessRequest::Login {
                attempt,
                user,
                password,
                host,
            } => {
                let host = host.as_ref();
                let begin = BeginOfLogin { attempt, host };
                let logged_in = self.logins.log_in(&user, &password, begin, requester);
                logged_in?.into()
            }
            AccessRequest::Machine(request) if !request.needs_login() => {
                self.machines.answer_machine(&request, from)?
            }
            ask => self.dispatch_with_login(token, ask, requester, watch)?,
        })
    }

    fn check_port(&self, address: IpAddr, port: NonZeroU16) -> PortCheck {
        let port = self.port_checks.check((address, port.get()).into());
        // The clock is read after the check, which may take seconds.
        let clock = since_1970().as_millis();
        PortCheck {
            clock_ms: u64::try_from(clock).unwrap_or(u64::MAX),
            address,
            port,
        }
    }

    fn dispatch_with_login(
        &self,
        token: Option<Token>,
        ask: AccessRequest,
        requester: Requester<'_>,
        watch: Option<&Watch>,
    ) -> Result<CompletedRequest, AccessRefusal> {
        let token = token.ok_or_else(|| {
            refused(
                AccessErrorKind::NotLoggedIn,
                "you are not logged in; use login USER",
            )
        })?;
        let login = match ask {
            AccessRequest::Logout { .. } => self.logins.read_token_of_any_time(&token),
            _ => self.logins.read_token(&token),
        };
        let login = login.map_err(from_token_error)?;
        let context = RequestContext::new(&login, &token, requester);
        let Some(write) = ask.write_id() else {
            return self.complete(&context, false, || self.answer_read(&context, ask, watch));
        };
        let key = IdempotencyKey::of_account(login.account, write);
        let ends_login = matches!(
            ask,
            AccessRequest::Logout { .. } | AccessRequest::ChangePassword { .. }
        );
        // A repeated command is answered before the login is checked, because its write may have
        // ended the login.
        once(
            || self.answer_if_done(&context, &key, &ask),
            || {
                self.complete(&context, ends_login, || {
                    self.answer_write(&context, &key, &ask)
                })
            },
        )
    }

    /// Checks the login, answers, and renews the token if that is due.
    fn complete(
        &self,
        context: &RequestContext<'_>,
        ends_login: bool,
        answer: impl FnOnce() -> Result<AccessAnswer, AccessRefusal>,
    ) -> Result<CompletedRequest, AccessRefusal> {
        let login = context.login;
        self.logins.check_login(login)?;
        let answer = answer()?;
        let renewed = match ends_login {
            true => None,
            false => self.logins.renew_if_due(login, context.from)?,
        };
        Ok(CompletedRequest {
            renewed,
            answer,
            durability: context.durability(),
        })
    }

    /// Returns the account of a token that is valid, and whose login has not ended. Records that
    /// the account was logged in at the address `from`.
    pub(super) fn identify(&self, token: Option<&Token>, from: IpAddr) -> Option<RowId> {
        let login = self.logins.read_token(token?).ok()?;
        self.logins.check_login(&login).ok()?;
        self.logins.add_known_address(login.account, from);
        Some(login.account)
    }

    /// See [`Logins::line_up`].
    pub(super) fn line_up(
        &self,
        request: &AccessRequestMessage,
        from: IpAddr,
        handle: ConnectionHandle,
    ) -> PasswordTurn {
        let token = request.token.as_ref();
        self.logins.line_up(token, &request.ask, from, handle)
    }

    fn answer_write(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        ask: &AccessRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let account = context.login.account;
        let writes = &self.writes;
        match ask {
            AccessRequest::Logout { .. } => self.logins.log_out(writes, context, key),
            AccessRequest::ChangePassword { old, new, .. } => {
                self.logins.change_password(writes, context, key, old, new)
            }
            AccessRequest::CreateGroup { group, .. } => {
                self.create_group(context, key, group.clone())
            }
            AccessRequest::JoinGroup { group, .. } => {
                let what = format!("asks to join {group}");
                writes.write(context, key, &what, |registry, now| {
                    let id = key.membership_request(registry.group_id(group)?);
                    registry.request_membership(account, group, id, now)
                })
            }
            AccessRequest::LeaveGroup { group, end, .. } => {
                let if_last_member = match *end {
                    true => IfLastMember::EndGroup,
                    false => IfLastMember::Refuse,
                };
                let what = format!("leaves {group}");
                writes.write(context, key, &what, |registry, now| {
                    registry.leave(account, group, if_last_member, now)
                })
            }
            AccessRequest::Publish { .. } | AccessRequest::Withdraw { .. } => {
                self.shares.catalogues.answer_write(context, key, ask)
            }
            AccessRequest::Logins(request) => {
                login_list::answer_write(writes, context, key, request)
            }
            AccessRequest::Machine(request) => {
                self.machines.answer_write(writes, context, key, request)
            }
            _ => self.answer_write_of_owner(context, key, ask),
        }
    }

    /// Answers a request that only owners of a group may make.
    fn answer_write_of_owner(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        ask: &AccessRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let account = context.login.account;
        let writes = &self.writes;
        match ask {
            AccessRequest::AcceptRequest { group, user, .. } => {
                let what = format!("accepts {user} into {group}");
                writes.write(context, key, &what, |registry, now| {
                    registry.accept(account, group, user, now)
                })
            }
            AccessRequest::RejectRequest { group, user, .. } => {
                let what = format!("rejects {user} for {group}");
                writes.write(context, key, &what, |registry, now| {
                    registry.reject(account, group, user, now)
                })
            }
            AccessRequest::RemoveMember { group, user, .. } => {
                let what = format!("removes {user} from {group}");
                writes.write(context, key, &what, |registry, now| {
                    registry.remove_member(account, group, user, now)
                })
            }
            AccessRequest::SetRole {
                group, user, role, ..
            } => {
                let what = format!("gives {user} the role {} in {group}", role.as_str());
                writes.write(context, key, &what, |registry, now| {
                    registry.set_role(account, group, user, *role, now)
                })
            }
            AccessRequest::RenameGroup { group, name, .. } => {
                let what = format!("renames {group} to {name}");
                writes.write(context, key, &what, |registry, now| {
                    registry.rename_group(account, group, name.clone(), now)
                })
            }
            _ => Err(token_not_allowed()),
        }
    }

    fn answer_read(
        &self,
        context: &RequestContext<'_>,
        ask: AccessRequest,
        watch: Option<&Watch>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let (store, account) = (&self.store, context.login.account);
        match ask {
            AccessRequest::ListGroups { after } => {
                lists::list(store, after, views::group, |it, after| {
                    Ok(it.groups(Some(account), after, PAGE_LENGTH))
                })
                .map(AccessAnswer::Groups)
            }
            AccessRequest::OwnGroups { after } => {
                own_groups::own_groups(store, account, self.hints.connections(), after)
            }
            AccessRequest::ListMembers { group, after } => {
                let query = |it: &Registry, after: Option<&Cursor>| {
                    it.members(account, &group, after, PAGE_LENGTH)
                };
                lists::list(store, after, views::member, query).map(AccessAnswer::Members)
            }
            AccessRequest::ListRequests { group, after } => {
                let query = |it: &Registry, after: Option<&Cursor>| {
                    it.requests(account, &group, after, PAGE_LENGTH)
                };
                lists::list(store, after, views::request, query).map(AccessAnswer::Requests)
            }
            AccessRequest::Certify { group, request } => {
                self.shares.certify(context, &group, &request)
            }
            AccessRequest::ListFiles { .. }
            | AccessRequest::Metainfo { .. }
            | AccessRequest::FindVersion { .. } => {
                self.shares.catalogues.answer_read(account, &ask)
            }
            AccessRequest::Withdrawals { group, shares } => {
                withdrawals::withdrawals(store, account, &group, &shares)
            }
            AccessRequest::Announce(announces) => self.shares.announce(context, &announces, watch),
            AccessRequest::ChangedShares { group, changed } => {
                self.changed_shares.exchange(context, &group, &changed)
            }
            AccessRequest::ListDecisions {
                seen,
                with_requests,
                after,
            } => lists::news(store, account, &seen, with_requests, after),
            AccessRequest::Logins(request) => login_list::answer_read(store, context, request),
            AccessRequest::Machine(request) => self.machines.answer_read(account, request),
            AccessRequest::Holders(request) => self.shares.holders.answer(context, &request),
            _ => Err(token_not_allowed()),
        }
    }

    fn create_group(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        name: GroupName,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let what = format!("makes group {name}");
        let id = key.group(name.as_str().as_bytes());
        let no_key = |error: &dyn Display| {
            log::error!("cannot make a key for group {name}: {error}");
            no_randomness()
        };
        // Members show the certificate of the authority to every peer that connects, even to
        // strangers. So the certificate contains the group's id, not its name.
        let authority =
            GroupAuthority::generate(&id.to_string()).map_err(|error| no_key(&error))?;
        let secret = GroupKey::new(authority.to_pem()).map_err(|error| no_key(&error))?;
        let new = NewGroup {
            id,
            membership: key.creator_membership(id),
            name,
            key: secret,
        };
        let account = context.login.account;
        self.writes.write(context, key, &what, |registry, now| {
            registry.check_group_quota(account, &self.quotas)?;
            registry.create_group(account, new, now)
        })
    }

    fn create_user(
        &self,
        key: &IdempotencyKey,
        name: UserName,
        password: &Password,
        invite: Option<&ShortText>,
        requester: Requester<'_>,
    ) -> Result<Durability, AccessRefusal> {
        let code = match (invite, self.registration) {
            (None, Registration::Closed) => {
                return Err(refused(
                    AccessErrorKind::InviteNeeded,
                    "this tracker creates accounts only with an invite code; ask its operator for \
                     one, then create_user USER --invite CODE",
                ));
            }
            (None, Registration::Open) => None,
            (Some(code), _) => {
                let code: Option<InviteCode> = code.as_str().parse().ok();
                Some(code.ok_or_else(|| from_refusal(Refusal::UnknownInvite))?)
            }
        };
        check_new_password(password)?;
        // The code and the name are checked before the expensive hashing, and again by the write.
        // If a code is required, nobody without a valid one learns which names are taken.
        self.store.read(|registry| {
            if let Some(code) = &code {
                registry
                    .check_invite(&code.hash(), since_1970())
                    .map_err(from_refusal)?;
            }
            registry.check_user_name(&name).map_err(from_refusal)
        })?;
        let is_counted = code.is_none();
        if is_counted {
            let counted = self.new_accounts.count(requester.from);
            counted.map_err(|error| refused(AccessErrorKind::Quota, error))?;
        }
        let created = self.hash_and_create_user(key, name, password, code, requester);
        if is_counted && created.is_err() {
            self.new_accounts.uncount(requester.from);
        }
        created
    }

    fn hash_and_create_user(
        &self,
        key: &IdempotencyKey,
        name: UserName,
        password: &Password,
        code: Option<InviteCode>,
        requester: Requester<'_>,
    ) -> Result<Durability, AccessRefusal> {
        let what = format!("user {name} is created from {}", requester.from);
        let new = NewAccount {
            id: key.account(),
            name,
            password: self.logins.hash(password)?,
        };
        requester.end_turn();
        self.writes.write_once(
            key,
            requester.from,
            &what,
            None,
            |registry, now| match code {
                None => registry.create_account(new, now),
                Some(code) => registry.redeem_invite(code.hash(), new, now),
            },
        )
    }

    /// The answer to a repeated command, if its write was already made.
    fn answer_if_done(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        ask: &AccessRequest,
    ) -> Result<Option<CompletedRequest>, AccessRefusal> {
        let (login, from) = (context.login, context.from);
        let what = || {
            format!(
                "{} of {} at {from}",
                ask.kind(),
                log_name(&self.store, login.account)
            )
        };
        let Some(durability) = self.writes.confirm_previous(key, what)? else {
            return Ok(None);
        };
        let answer = match ask {
            AccessRequest::ChangePassword { new, .. } => self
                .logins
                .log_in_after_password_change(context, key, new)?,
            _ => AccessAnswer::Done,
        };
        Ok(Some(CompletedRequest {
            durability,
            ..CompletedRequest::from(answer)
        }))
    }
}

/// The refusal of a request that needs no login. Not reached: [`Registrar::dispatch`] answers these
/// requests.
fn token_not_allowed() -> AccessRefusal {
    refused(
        AccessErrorKind::BadRequest,
        "this request must be sent without a token",
    )
}
