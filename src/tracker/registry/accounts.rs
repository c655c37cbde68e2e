//! Operations on accounts, sessions and invites.

use super::{
    Account, CodeHash, Invite, Label, PasswordHash, Refusal, Register, Registry, Revocation, Row,
    RowId, Stamp, Update, UserName, Version, millis,
};
use std::time::Duration;

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// A random id.
    pub id: RowId,
    /// Its name.
    pub name: UserName,
    /// The hash of its password.
    pub password: PasswordHash,
}

impl Registry {
    /// Makes an account.
    ///
    /// # Errors
    /// [`Refusal::NameTaken`], [`Refusal::IdInUse`].
    pub fn create_account(&self, new: NewAccount, now: Duration) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let account = self.new_account(new, version)?;
        self.write(version, &[account.id], [Row::Account(account)])
    }

    /// Makes an invite code good until `expires` (since 1970).
    ///
    /// # Errors
    /// [`Refusal::IdInUse`], also where the code is known already.
    pub fn invite(
        &self,
        id: RowId,
        code: CodeHash,
        expires: Duration,
        now: Duration,
    ) -> Result<Update, Refusal> {
        if self.index.invites.contains_key(&code) {
            return Err(Refusal::IdInUse(id));
        }
        let version = self.next_version(now);
        let invite = Invite {
            id,
            created: version,
            code,
            expires: millis(expires),
            used: None,
        };
        self.write(version, &[id], [Row::Invite(invite)])
    }

    /// Makes an account with an invite code, and uses the code up.
    ///
    /// # Errors
    /// [`Refusal::UnknownInvite`], [`Refusal::InviteUsed`], [`Refusal::InviteExpired`], and those of
    /// [`Registry::create_account`], which leave the code good.
    pub fn redeem(
        &self,
        code: CodeHash,
        new: NewAccount,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let mut invite = self.good_invite(&code, now)?.clone();
        let version = self.next_version(now);
        let account = self.new_account(new, version)?;
        invite.used = Some(Register::new(version, account.id));
        let rows = [Row::Invite(invite), Row::Account(account.clone())];
        self.write(version, &[account.id], rows)
    }

    /// Whether an account may be made with an invite code now.
    ///
    /// # Errors
    /// [`Refusal::UnknownInvite`], [`Refusal::InviteUsed`], [`Refusal::InviteExpired`].
    pub fn check_invite(&self, code: &CodeHash, now: Duration) -> Result<(), Refusal> {
        self.good_invite(code, now).map(drop)
    }

    /// Gives an account another password. All its sessions end.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`].
    pub fn change_password(
        &self,
        account: RowId,
        password: PasswordHash,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let mut account = self.acting(account)?.clone();
        account.password = Register::new(version, password);
        self.write(version, &[], [Row::Account(account)])
    }

    /// Ends all sessions of an account.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`].
    pub fn revoke_tokens(&self, account: RowId, now: Duration) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let mut account = self.acting(account)?.clone();
        account.revoked = Some(Register::new(version, ()));
        self.write(version, &[], [Row::Account(account)])
    }

    /// Ends one session of an account. At `expires` (since 1970) no token of it may be valid any more, were the log-out
    /// known everywhere now.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::SessionEnded`] if it has ended.
    pub fn log_out(
        &self,
        account: RowId,
        session: RowId,
        expires: Duration,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting(account)?;
        if matches!(self.row(session), Some(Row::Revocation(_))) {
            return Err(Refusal::SessionEnded);
        }
        let version = self.next_version(now);
        let revocation = Revocation {
            id: session,
            account,
            created: version,
            expires: millis(expires),
        };
        self.write(version, &[session], [Row::Revocation(revocation)])
    }

    /// Gives another name to an account whose name is held by another one.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::NameKept`] if it holds its name, [`Refusal::NameTaken`].
    pub fn rename_account(
        &self,
        account: RowId,
        name: UserName,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let mut account = self.acting(account)?.clone();
        if self.index.accounts.holder(&account.name.value) == Some(account.id) {
            return Err(Refusal::NameKept(Label::from(&account.name.value)));
        }
        self.index.accounts.check_free(&name)?;
        let version = self.next_version(now);
        account.name = Register::new(version, name);
        self.write(version, &[], [Row::Account(account)])
    }

    /// Whether a session is good that was begun under `credential` (see [`Account::credential`]), its dates apart.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::SessionEnded`].
    pub fn check_session(
        &self,
        account: RowId,
        session: RowId,
        credential: Stamp,
    ) -> Result<&Account, Refusal> {
        let account = self.acting(account)?;
        let ended = matches!(self.row(session), Some(Row::Revocation(_)));
        if ended || account.credential() != credential {
            return Err(Refusal::SessionEnded);
        }
        Ok(account)
    }

    pub(super) fn acting(&self, account: RowId) -> Result<&Account, Refusal> {
        match self.row(account) {
            Some(Row::Account(account)) => Ok(account),
            _ => Err(Refusal::AccountGone),
        }
    }

    fn good_invite(&self, code: &CodeHash, now: Duration) -> Result<&Invite, Refusal> {
        let id = self.index.invites.get(code);
        let Some(Row::Invite(invite)) = id.and_then(|id| self.row(*id)) else {
            return Err(Refusal::UnknownInvite);
        };
        if invite.used.is_some() {
            return Err(Refusal::InviteUsed);
        }
        if invite.expires <= millis(now) {
            return Err(Refusal::InviteExpired);
        }
        Ok(invite)
    }

    fn new_account(&self, new: NewAccount, version: Version) -> Result<Account, Refusal> {
        self.index.accounts.check_free(&new.name)?;
        Ok(Account {
            id: new.id,
            created: version,
            name: Register::new(version, new.name),
            password: Register::new(version, new.password),
            revoked: None,
        })
    }
}
