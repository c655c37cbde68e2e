//! Log-ins, passwords and tokens.

use super::{
    AttemptRefused, HashingError, IdempotencyKey, IdempotentWrites, PasswordAttempt,
    PasswordAttempts, PasswordHasher, PasswordTurn, PasswordTurns, RequestContext, Requester,
    TokenError, TokenKey, account_label, check_new_password, from_hashing_error, from_refusal,
    log_name, login_list, no_randomness, refused,
};
use crate::base::AddressPrefix;
use crate::certificate::Authority;
use crate::net::ConnectionHandle;
use crate::system::since_1970;
use crate::tracker::registry::{
    Account, Login, MAX_LOG_OUTS, MachineName, PasswordHash, Refusal, Registry, RowId, Stamp,
    UserName,
};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, AccessRequest, IssuedToken, Token, WriteId,
};
use crate::wire::control::TextLine;
use crate::wire::name::Label;
use crate::wire::password::Password;
use ring::rand::{SecureRandom, SystemRandom};
use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a peer begins a login.
#[derive(Clone, Copy)]
pub(super) struct BeginOfLogin<'a> {
    /// The same in all requests of one log-in.
    pub(super) attempt: WriteId,
    /// The name of the peer's host.
    pub(super) host: Option<&'a MachineName>,
}

/// Checks passwords, and signs and reads tokens.
#[derive(Debug)]
pub(super) struct Logins {
    store: Arc<RegistryStore>,
    passwords: PasswordHasher,
    tokens: TokenKey,
    attempts: PasswordAttempts,
    turns: Arc<PasswordTurns>,
    random: SystemRandom,
    /// How long a login goes on without being used.
    life: Duration,
}

impl Logins {
    /// Starts the threads for hashing. Tokens are valid at all trackers of `cluster`. A login that
    /// is not used for `life` ends.
    ///
    /// # Errors
    /// The system cannot start the threads for hashing.
    pub(super) fn start(
        store: Arc<RegistryStore>,
        cluster: &Authority,
        life: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            store,
            passwords: PasswordHasher::start()?,
            tokens: TokenKey::of(cluster),
            attempts: PasswordAttempts::new(),
            turns: Arc::new(PasswordTurns::new()),
            random: SystemRandom::new(),
            life,
        })
    }

    /// Ends the threads for hashing. Log-ins are refused afterwards.
    pub(super) fn stop(&self) {
        self.passwords.stop();
        self.turns.admit_all();
    }

    /// Adds a request to the queue of requests whose password is to be checked. If the request has
    /// to wait, `handle` is woken when its turn comes or when it is refused.
    pub(super) fn line_up(
        &self,
        token: Option<&Token>,
        ask: &AccessRequest,
        from: IpAddr,
        handle: ConnectionHandle,
    ) -> PasswordTurn {
        let accounts = match ask {
            AccessRequest::Login { user, .. } => self.ids_of_candidates(user),
            _ => {
                let login = token.and_then(|token| self.read_token(token).ok());
                login.iter().map(|login| login.account).collect()
            }
        };
        let is_known = self.attempts.is_known(&accounts, from);
        self.turns
            .line_up(AddressPrefix::of(from), is_known, handle)
    }

    /// Records that a valid token of this account came from this address.
    pub(super) fn add_known_address(&self, account: RowId, from: IpAddr) {
        self.attempts.add_known(account, from);
    }

    /// The accounts that the name `user` may mean.
    fn ids_of_candidates(&self, user: &Label) -> Vec<RowId> {
        let candidates = self.store.read(|registry| login_candidates(registry, user));
        candidates.into_iter().map(|account| account.id).collect()
    }

    /// The login in a token, if this cluster signed the token and its times allow its use now.
    pub(super) fn read_token(&self, token: &Token) -> Result<Login, TokenError> {
        self.tokens.read(token.as_bytes(), since_1970())
    }

    /// The login in a token, if this cluster signed the token. For a log-out.
    pub(super) fn read_token_of_any_time(&self, token: &Token) -> Result<Login, TokenError> {
        self.tokens.read_any_time(token.as_bytes())
    }

    /// Checks in the registry that a login has not ended. Its credential is not a secret, but a
    /// stamp (see [`Account::credential`]).
    pub(super) fn check_login(&self, login: &Login) -> Result<(), AccessRefusal> {
        let (account, id, credential) = (login.account, login.id, login.credential);
        let check = |registry: &Registry| registry.check_login(account, id, credential).map(drop);
        self.store.read(check).map_err(from_refusal)
    }

    pub(super) fn log_in(
        &self,
        user: &Label,
        password: &Password,
        begin: BeginOfLogin<'_>,
        requester: Requester<'_>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let from = requester.from;
        let accounts: Vec<Account> = self.store.read(|registry| login_candidates(registry, user));
        let ids: Vec<RowId> = accounts.iter().map(|account| account.id).collect();
        let attempt = self.begin_attempt(user, &ids, from)?;
        // One hash is computed for an unknown name too, so that the reply takes as long as for a
        // wrong password.
        let mut found = None;
        if accounts.is_empty() {
            self.verify(password, None)?;
        }
        for account in accounts {
            if self.verify(password, Some(&account.password.value))? {
                found = Some(account);
                break;
            }
        }
        requester.end_turn();
        let Some(account) = found else {
            attempt.record_failure();
            let source = AddressPrefix::of(from);
            log::warn!(source:%; "refused a log-in as {user} from {from}");
            return Err(refused(
                AccessErrorKind::LoginRefused,
                "no user of that name has that password; check both",
            ));
        };
        attempt.record_success(account.id);
        let source = AddressPrefix::of(from);
        log::info!(source:%; "{user} at {from} logs in");
        let key = IdempotencyKey::of_account(account.id, begin.attempt);
        self.begin_login(&account, &key, begin.host, from)
    }

    pub(super) fn log_out(
        &self,
        writes: &IdempotentWrites,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let (login, ends_all) = (context.login, Cell::new(false));
        let answer = writes.write(context, key, "logs out", |registry, now| {
            ends_all.set(registry.has_too_many_log_outs(login.account, now));
            registry.log_out(login.account, login.id, login.log_out_expiry(now), now)
        })?;
        if ends_all.get() {
            let user = log_name(&self.store, login.account);
            log::warn!(
                "all logins of {user} have ended, because that user has logged out {MAX_LOG_OUTS} \
                 times within half a year"
            );
        }
        Ok(answer)
    }

    pub(super) fn change_password(
        &self,
        writes: &IdempotentWrites,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        old: &Password,
        new: &Password,
    ) -> Result<AccessAnswer, AccessRefusal> {
        check_new_password(new)?;
        let id = context.login.account;
        let account = self.account(id)?;
        let label = account_label(&self.store, id)?;
        let attempt = self.begin_attempt(&label, &[id], context.from)?;
        if !self.verify(old, Some(&account.password.value))? {
            attempt.record_failure();
            return Err(refused(
                AccessErrorKind::LoginRefused,
                "the old password is wrong; nothing was changed",
            ));
        }
        let hash = self.hash(new)?;
        context.requester.end_turn();
        writes.write(context, key, "changes the password", |registry, now| {
            registry.change_password(id, hash, now)
        })?;
        self.begin_same_login(context, key, &self.account(id)?)
    }

    /// A new login for a user who changed the password and received no reply. It is refused if the
    /// password has been changed again since.
    pub(super) fn log_in_after_password_change(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        new: &Password,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let id = context.login.account;
        let account = self.account(id)?;
        let label = account_label(&self.store, id)?;
        let attempt = self.begin_attempt(&label, &[id], context.from)?;
        if !self.verify(new, Some(&account.password.value))? {
            attempt.record_failure();
            return Err(from_refusal(Refusal::LoginEnded));
        }
        self.begin_same_login(context, key, &account)
    }

    fn account(&self, id: RowId) -> Result<Account, AccessRefusal> {
        let account = self.store.read(|it| it.acting_account(id).cloned());
        account.map_err(from_refusal)
    }

    /// Begins a login at the host of the present one.
    fn begin_same_login(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        account: &Account,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let host = self.store.read(|registry| registry.host_of(context.login));
        self.begin_login(account, key, host.as_ref(), context.from)
    }

    /// Begins a login, whose id follows from `key`. It ends when the credential of the account
    /// changes: when the password is changed or all logins are ended.
    fn begin_login(
        &self,
        account: &Account,
        key: &IdempotencyKey,
        host: Option<&MachineName>,
        from: IpAddr,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let credential = account.credential();
        let (account, id) = (account.id, key.login(credential));
        let login = Login::begin(account, id, credential, since_1970(), self.life);
        login_list::note_begin(&self.store, &login, host, from)?;
        let IssuedToken { token, expires } = self.issue(&login)?;
        let user = account_label(&self.store, account)?;
        let has_lost_name = self.store.read(|registry| registry.has_lost_name(account));
        let note = has_lost_name.then(|| {
            let name = user.name();
            TextLine::new(&format!(
                "the name {name} was given twice while trackers were disconnected, and another \
                 account holds it; your name is {user} now: log in as {user}, and tell your groups \
                 the new name"
            ))
        });
        Ok(AccessAnswer::LoggedIn {
            token,
            expires,
            user,
            note,
        })
    }

    /// Creates a new login of a machine. `credential` ends it when the machine starts again.
    pub(super) fn begin_machine_login(
        &self,
        machine: RowId,
        credential: Stamp,
    ) -> Result<Token, AccessRefusal> {
        let (id, now) = (self.random_id()?, since_1970());
        self.sign(&Login::begin(machine, id, credential, now, self.life))
    }

    /// Begins an attempt on the password of `user`. `accounts` lists the accounts that the name may
    /// mean.
    fn begin_attempt(
        &self,
        user: &Label,
        accounts: &[RowId],
        from: IpAddr,
    ) -> Result<PasswordAttempt<'_>, AccessRefusal> {
        let attempt = self.attempts.begin(user.name(), accounts, from);
        attempt.map_err(|reason| match reason {
            AttemptRefused::TooManyFailures(wait) => {
                let seconds = wait.as_secs().max(1);
                let message = format!("too many failed attempts; try again in {seconds} s");
                refused(AccessErrorKind::SlowDown, message)
            }
            AttemptRefused::Busy => from_hashing_error(HashingError::Busy),
        })
    }

    pub(super) fn hash(&self, password: &Password) -> Result<PasswordHash, AccessRefusal> {
        self.passwords
            .hash(password.clone())
            .map_err(from_hashing_error)
    }

    fn verify(
        &self,
        password: &Password,
        hash: Option<&PasswordHash>,
    ) -> Result<bool, AccessRefusal> {
        self.passwords
            .verify(password.clone(), hash)
            .map_err(from_hashing_error)
    }

    /// A new token of the login, if its token is old enough.
    pub(super) fn renew_if_due(
        &self,
        login: &Login,
        from: IpAddr,
    ) -> Result<Option<IssuedToken>, AccessRefusal> {
        let now = since_1970();
        if !login.is_renewal_due(now) {
            return Ok(None);
        }
        let renewed = login.renewed(now, self.life);
        // A login without a row began before its present token was issued.
        let noted = Login {
            expires: renewed.expires,
            ..*login
        };
        login_list::note_renewal(&self.store, &noted, from);
        self.issue(&renewed).map(Some)
    }

    fn issue(&self, login: &Login) -> Result<IssuedToken, AccessRefusal> {
        Ok(IssuedToken {
            token: self.sign(login)?,
            expires: u64::try_from(login.expires.as_millis()).unwrap_or(u64::MAX),
        })
    }

    pub(super) fn sign(&self, login: &Login) -> Result<Token, AccessRefusal> {
        let token = Token::new(&self.tokens.sign(login));
        // Cannot happen: all tokens have the same length, which is within the limit of a message.
        token.ok_or_else(|| {
            refused(
                AccessErrorKind::Busy,
                "the tracker cannot make a token; try again",
            )
        })
    }

    pub(super) fn random_id(&self) -> Result<RowId, AccessRefusal> {
        let mut id = [0; 16];
        match self.random.fill(&mut id) {
            Ok(()) => Ok(RowId(id)),
            Err(_) => Err(no_randomness()),
        }
    }
}

/// The accounts that a user may mean by a label.
fn login_candidates(registry: &Registry, user: &Label) -> Vec<Account> {
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
