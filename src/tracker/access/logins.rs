//! Who is who: log-ins, passwords, sessions and their tokens.

use super::{
    Asker, Changes, Closed, Gate, IdempotencyKey, Passwords, PasswordsError, Session, TokenError,
    TokenKey, Try, name_of, no_randomness, overloaded, refused, told,
};
use crate::certificate::Authority;
use crate::system::since_1970;
use crate::tracker::registry::{Account, PasswordHash, Refusal, Registry, RowId, Stamp, UserName};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{Answer, ErrorKind, Refused, Token};
use crate::wire::control::Line;
use crate::wire::name::Label;
use crate::wire::password::Password;
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Checks passwords, and signs and reads tokens.
#[derive(Debug)]
pub(super) struct Logins {
    store: Arc<RegistryStore>,
    passwords: Passwords,
    tokens: TokenKey,
    gate: Gate,
    random: SystemRandom,
}

impl Logins {
    /// For the cluster of that authority.
    ///
    /// # Errors
    /// When the system gives no threads for hashing.
    pub(super) fn start(store: Arc<RegistryStore>, cluster: &Authority) -> io::Result<Self> {
        Ok(Self {
            store,
            passwords: Passwords::start()?,
            tokens: TokenKey::of(cluster),
            gate: Gate::new(),
            random: SystemRandom::new(),
        })
    }

    /// Ends the threads that hash; log-ins are refused from then on.
    pub(super) fn stop(&self) {
        self.passwords.stop();
    }

    /// What a token says, if this cluster signed it and its time is not over.
    pub(super) fn open(&self, token: &Token) -> Result<Session, TokenError> {
        self.tokens.open(token.as_bytes(), since_1970())
    }

    /// Whether a session holds, as far as the registry knows.
    pub(super) fn check(&self, session: &Session) -> Result<(), Refused> {
        let (account, id, credential) = (session.account, session.session, session.credential);
        let check = |registry: &Registry| registry.check_session(account, id, credential).map(drop);
        self.store.read(check).map_err(told)
    }

    pub(super) fn login(
        &self,
        user: &Label,
        password: &Password,
        from: IpAddr,
    ) -> Result<Answer, Refused> {
        let admitted = self.admit(Some(user), from)?;
        let accounts: Vec<Account> = self.store.read(|registry| named(registry, user));
        // An unknown name takes as long as a wrong password.
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
        let Some(account) = found else {
            admitted.failed();
            log::warn!("log-in as {user} from {from} refused");
            return Err(refused(
                ErrorKind::LoginRefused,
                "there is no user of that name with that password; check both",
            ));
        };
        admitted.succeeded();
        log::info!("{user} at {from} logs in");
        self.session(account.id, account.credential())
    }

    pub(super) fn change_password(
        &self,
        changes: &Changes,
        asker: &Asker<'_>,
        key: &IdempotencyKey,
        old: &Password,
        new: &Password,
    ) -> Result<Answer, Refused> {
        let id = asker.session.account;
        let account = self.account(id)?;
        let label = name_of(&self.store, id)?;
        let admitted = self.admit(Some(&label), asker.from)?;
        if !self.verify(old, Some(&account.password.value))? {
            admitted.failed();
            return Err(refused(
                ErrorKind::LoginRefused,
                "the old password is wrong; nothing was changed",
            ));
        }
        let hash = self.hash(new)?;
        changes.change(asker, key, "changes the password", |registry, now| {
            registry.change_password(id, hash, now)
        })?;
        self.session(id, self.account(id)?.credential())
    }

    /// A session for whoever changed a password and got no answer, if it has not been changed again.
    pub(super) fn password_changed(
        &self,
        id: RowId,
        new: &Password,
        from: IpAddr,
    ) -> Result<Answer, Refused> {
        let account = self.account(id)?;
        let admitted = self.admit(Some(&name_of(&self.store, id)?), from)?;
        if !self.verify(new, Some(&account.password.value))? {
            admitted.failed();
            return Err(told(Refusal::SessionEnded));
        }
        self.session(id, account.credential())
    }

    fn account(&self, id: RowId) -> Result<Account, Refused> {
        let account = self.store.read(|registry| registry.account(id).cloned());
        account.ok_or_else(|| told(Refusal::AccountGone))
    }

    /// Begins a session under `credential`.
    fn session(&self, account: RowId, credential: Stamp) -> Result<Answer, Refused> {
        let (id, now) = (self.draw()?, since_1970());
        let token = self.sign(&Session::begin(account, id, credential, now))?;
        let user = name_of(&self.store, account)?;
        let lost = self.store.read(|registry| registry.lost_name(account));
        let note = lost.then(|| {
            let name = user.name();
            Line::new(&format!(
                "the name {name} was given twice while trackers were apart, and the other account has it: yours is {user}; \
                 log in as {user} from now on, and tell that name to those who look for you"
            ))
        });
        Ok(Answer::Session { token, user, note })
    }

    /// Lets somebody try the password of a user, or with none have a new one hashed.
    pub(super) fn admit(&self, user: Option<&Label>, from: IpAddr) -> Result<Try<'_>, Refused> {
        let entered = self.gate.enter(user.map(Label::name), from);
        entered.map_err(|closed| match closed {
            Closed::Slow(wait) => {
                let seconds = wait.as_secs().max(1);
                let message = format!("too many failed tries; try again in {seconds} s");
                refused(ErrorKind::SlowDown, message)
            }
            Closed::Busy => overloaded(PasswordsError::Busy),
        })
    }

    pub(super) fn hash(&self, password: &Password) -> Result<PasswordHash, Refused> {
        self.passwords.hash(password.clone()).map_err(overloaded)
    }

    fn verify(&self, password: &Password, hash: Option<&PasswordHash>) -> Result<bool, Refused> {
        self.passwords
            .verify(password.clone(), hash)
            .map_err(overloaded)
    }

    pub(super) fn sign(&self, session: &Session) -> Result<Token, Refused> {
        let token = Token::new(&self.tokens.sign(session));
        // A token's length is fixed, and a message takes it.
        token.ok_or_else(|| refused(ErrorKind::Busy, "no session can be made; try again"))
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
fn named(registry: &Registry, user: &Label) -> Vec<Account> {
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
