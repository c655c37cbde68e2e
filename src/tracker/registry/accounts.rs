//! Operations on accounts and invites.

use super::{
    Account, CodeHash, Invite, Label, PasswordHash, Refusal, Register, Registry, Row, RowId,
    Update, UserName, Version, millis,
};
use std::time::Duration;

/// The arguments of [`Registry::create_account`].
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// A new id: random, or derived from a write id.
    pub id: RowId,
    /// The name of the account.
    pub name: UserName,
    /// The hash of the account's password.
    pub password: PasswordHash,
}

impl Registry {
    /// Creates an account.
    ///
    /// # Errors
    /// [`Refusal::BadName`], [`Refusal::NameTaken`], [`Refusal::IdInUse`].
    pub fn create_account(&self, new: NewAccount, now: Duration) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let account = self.new_account(new, version)?;
        self.write(version, &[account.id], [Row::Account(account)])
    }

    /// Checks only that the name is free. [`Registry::create_account`] also checks the name's form.
    ///
    /// # Errors
    /// [`Refusal::NameTaken`].
    pub fn check_user_name(&self, name: &UserName) -> Result<(), Refusal> {
        self.index.account_names.check_free(name)
    }

    /// Creates an invite that expires at `expires` (since 1970).
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if the id or the code is already in use.
    pub fn create_invite(
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

    /// Creates an account with an invite code. The code is used up afterwards.
    ///
    /// # Errors
    /// [`Refusal::UnknownInvite`], [`Refusal::InviteUsed`], [`Refusal::InviteExpired`], and those
    /// of [`Registry::create_account`]. An error does not use up the code.
    pub fn redeem_invite(
        &self,
        code: CodeHash,
        new: NewAccount,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let mut invite = self.usable_invite(&code, now)?.clone();
        let version = self.next_version(now);
        let account = self.new_account(new, version)?;
        invite.used = Some(Register::new(version, account.id));
        let rows = [Row::Invite(invite), Row::Account(account.clone())];
        self.write(version, &[account.id], rows)
    }

    /// Checks that an invite code can be used now.
    ///
    /// # Errors
    /// [`Refusal::UnknownInvite`], [`Refusal::InviteUsed`], [`Refusal::InviteExpired`].
    pub fn check_invite(&self, code: &CodeHash, now: Duration) -> Result<(), Refusal> {
        self.usable_invite(code, now).map(drop)
    }

    /// Changes the password of an account. All its logins end.
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
        let mut account = self.acting_account(account)?.clone();
        account.password = Register::new(version, password);
        self.write(version, &[], [Row::Account(account)])
    }

    /// Ends all logins of an account.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`].
    pub fn end_all_logins(&self, account: RowId, now: Duration) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let mut account = self.acting_account(account)?.clone();
        account.revoked = Some(Register::new(version, ()));
        self.write(version, &[], [Row::Account(account)])
    }

    /// Renames an account that lost its name: two trackers that were disconnected gave one name to
    /// two accounts, and the other account holds it.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::BadName`], [`Refusal::NameTaken`];
    /// [`Refusal::NameKept`] if the account has not lost its name.
    pub fn rename_account(
        &self,
        account: RowId,
        name: UserName,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let mut account = self.acting_account(account)?.clone();
        if self.index.account_names.holder(&account.name.value) == Some(account.id) {
            return Err(Refusal::NameKept(Label::from(&account.name.value)));
        }
        name.check_new()?;
        self.index.account_names.check_free(&name)?;
        let version = self.next_version(now);
        account.name = Register::new(version, name);
        self.write(version, &[], [Row::Account(account)])
    }

    /// The account that makes a request that machines may not make.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`].
    pub fn acting_account(&self, account: RowId) -> Result<&Account, Refusal> {
        match self.row(account) {
            Some(Row::Account(account)) if account.removed.is_none() => Ok(account),
            Some(Row::Machine(_)) => Err(Refusal::OnlyUsers),
            _ => Err(Refusal::AccountGone),
        }
    }

    /// Checks that an account or a machine may do anything.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::MachineRevoked`], [`Refusal::MachineSuspended`],
    /// [`Refusal::TokenEnded`], [`Refusal::UnknownToken`].
    pub(super) fn acting_subject(&self, subject: RowId) -> Result<(), Refusal> {
        match self.machine(subject) {
            Some(machine) => self.check_machine(machine),
            None => self.acting_account(subject).map(drop),
        }
    }

    fn usable_invite(&self, code: &CodeHash, now: Duration) -> Result<&Invite, Refusal> {
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
        new.name.check_new()?;
        self.check_user_name(&new.name)?;
        Ok(Account {
            id: new.id,
            created: version,
            name: Register::new(version, new.name),
            password: Register::new(version, new.password),
            revoked: None,
            removed: None,
        })
    }
}
