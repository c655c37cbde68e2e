//! The operations of the tracker's operator: list users and groups, show the state of the cluster,
//! create accounts and invites, set passwords, end logins, remove users, groups and shares.
//!
//! In scope: the operations. Out of scope: reading the operator's input, and printing results.

use super::{
    INVITE_LIFETIME, InviteCode, Logins, Registration, check_new_password, from_refusal,
    from_write_error, no_randomness,
};
use crate::tracker::registry::{
    AuditAction, AuditView, Author, Cursor, Done, GroupView, Label, NewAccount, Page, Refusal,
    Registry, RowId, Update, Usage, UserName, removal_step,
};
use crate::tracker::replication::ClusterStatus;
use crate::tracker::store::{Durability, RegistryStore};
use crate::wire::access::{AccessErrorKind, AccessRefusal};
use crate::wire::password::Password;
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of shares or memberships that one write ends. Without a limit, the write for
/// a large group would be too large to send to another tracker.
const REMOVED_PER_WRITE: usize = 600;

/// The size of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryCounts {
    /// The number of accounts.
    pub users: usize,
    /// The number of groups that have members.
    pub groups: usize,
}

/// The operator's access to the tracker.
#[derive(Clone, Debug)]
pub struct OperatorAccess {
    pub(super) store: Arc<RegistryStore>,
    pub(super) logins: Arc<Logins>,
    pub(super) registration: Registration,
}

impl OperatorAccess {
    /// Who may create an account.
    pub fn registration(&self) -> Registration {
        self.registration
    }

    /// All users, sorted by name.
    pub fn users(&self) -> Vec<Label> {
        let users = self.all_pages(|registry, after| registry.accounts(after, usize::MAX));
        users.into_iter().map(|(_, label)| label).collect()
    }

    /// All groups, sorted by name.
    pub fn groups(&self) -> Vec<GroupView> {
        self.all_pages(|registry, after| registry.groups(None, after, usize::MAX))
    }

    /// All entries of a list. It is read in pages, because the registry limits the length of a page
    /// even if `usize::MAX` entries are requested.
    fn all_pages<T>(&self, page: impl Fn(&Registry, Option<&Cursor>) -> Page<T>) -> Vec<T> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.read(|registry| page(registry, after.as_ref()));
            all.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    }

    /// The accounts that use anything, with what they use. The accounts with the most metadata come
    /// first.
    pub fn usage(&self) -> Vec<(Label, Usage)> {
        let mut all: Vec<(Label, Usage)> = self.store.read(|registry| {
            let usage = registry.usage();
            usage
                .filter_map(|(account, usage)| Some((registry.account_label(account)?, usage)))
                .collect()
        });
        all.sort_by_cached_key(|(user, usage)| {
            let amounts = (usage.metadata_bytes, usage.shares, usage.groups);
            (std::cmp::Reverse(amounts), user.to_string())
        });
        all
    }

    /// The state of this tracker and of its replication with the others.
    pub fn cluster(&self) -> ClusterStatus {
        self.store.status()
    }

    /// The size of the registry.
    pub fn counts(&self) -> RegistryCounts {
        RegistryCounts {
            users: self.users().len(),
            groups: self.groups().len(),
        }
    }

    /// Creates an account, even if registration is closed.
    ///
    /// # Errors
    /// See [`AccessRefusal`].
    pub fn create_user(
        &self,
        name: UserName,
        password: &Password,
    ) -> Result<Durability, AccessRefusal> {
        check_new_password(password)?;
        let free = self.store.read(|registry| registry.check_user_name(&name));
        free.map_err(from_refusal)?;
        let what = format!("user {name} is created on the console");
        let new = NewAccount {
            id: self.logins.random_id()?,
            name,
            password: self.logins.hash(password)?,
        };
        self.write(&what, |registry, now| registry.create_account(new, now))
    }

    /// Gives an account another password. All its logins end.
    ///
    /// # Errors
    /// See [`AccessRefusal`].
    pub fn set_password(
        &self,
        user: &Label,
        password: &Password,
    ) -> Result<Durability, AccessRefusal> {
        check_new_password(password)?;
        let account = self.account_id(user)?;
        let hash = self.logins.hash(password)?;
        self.write(
            &format!("the password of {user} is set on the console"),
            |registry, now| registry.change_password(account, hash, now),
        )
    }

    /// Ends all logins of an account.
    ///
    /// # Errors
    /// See [`AccessRefusal`].
    pub fn end_all_logins(&self, user: &Label) -> Result<Durability, AccessRefusal> {
        let account = self.account_id(user)?;
        self.write(
            &format!("all logins of {user} are ended on the console"),
            |registry, now| registry.end_all_logins(account, now),
        )
    }

    /// Removes a share with all its versions, or one version, from the catalogue of a group.
    ///
    /// # Errors
    /// See [`AccessRefusal`]. Some versions may have been removed before the error.
    pub fn remove_share(&self, group: &Label, share: &str) -> Result<Durability, AccessRefusal> {
        let what = format!("versions of {share} are removed from {group} on the console");
        let mut worst_durability = Durability::Safe;
        loop {
            let step = |registry: &Registry| registry.step_of_withdrawal(group, share);
            let is_last = self.store.read(step).is_none();
            let durability = self.write(&what, |registry, now| {
                registry.withdraw_as_operator(group, share, now)
            })?;
            if durability == Durability::OnlyHere {
                worst_durability = durability;
            }
            if is_last {
                return Ok(worst_durability);
            }
        }
    }

    /// Ends a group: removes all its shares and members, and rejects all requests to join it.
    ///
    /// # Errors
    /// See [`AccessRefusal`]. Some shares and members may have been removed before the error.
    pub fn remove_group(&self, group: &Label) -> Result<Durability, AccessRefusal> {
        let find = |registry: &Registry| registry.group_id(group).map_err(from_refusal);
        let id = self.store.read(find)?;
        let what = format!("shares and members of {group} are removed on the console");
        let mut worst_durability = Durability::Safe;
        while self
            .store
            .read(|registry| registry.has_shares_or_members(id))
        {
            let done = |_: &Update| Some((AuditAction::EndedGroup, None, Some(id)));
            let durability = self.write_audited(&what, done, |registry, now| {
                registry.end_group_as_operator(id, REMOVED_PER_WRITE, now)
            })?;
            if durability == Durability::OnlyHere {
                worst_durability = durability;
            }
        }
        Ok(worst_durability)
    }

    /// Removes an account for good, with all its shares. It leaves all groups, and its name is free
    /// again.
    ///
    /// # Errors
    /// See [`AccessRefusal`]. Some shares may be removed already.
    pub fn remove_user(&self, user: &Label) -> Result<Durability, AccessRefusal> {
        let id = self.account_id(user)?;
        let what = format!("{user} or shares of {user} are removed on the console");
        let mut worst_durability = Durability::Safe;
        let done = |step: &Update| Some(removal_step(step, id));
        while self.store.read(|registry| registry.account(id).is_some()) {
            let step = self.write_audited(&what, done, |registry, now| {
                registry.remove_account_as_operator(id, REMOVED_PER_WRITE, now)
            });
            let durability = match step {
                // Another operator has removed the account meanwhile.
                Err(refused) if refused.kind == AccessErrorKind::AccountGone => break,
                step => step?,
            };
            if durability == Durability::OnlyHere {
                worst_durability = durability;
            }
        }
        Ok(worst_durability)
    }

    fn account_id(&self, user: &Label) -> Result<RowId, AccessRefusal> {
        let found = self.store.read(|registry| registry.account_id(user));
        found.map_err(from_refusal)
    }

    /// Makes a write. If it succeeds, logs `what`.
    fn write(
        &self,
        what: &str,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Durability, AccessRefusal> {
        self.write_audited(what, |_| None, operation)
    }

    /// Makes a write, with an entry in the audit log. `done` returns what the operator does with
    /// it, if its rows do not show that.
    fn write_audited(
        &self,
        what: &str,
        done: impl FnOnce(&Update) -> Option<Done>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Durability, AccessRefusal> {
        let (id, author) = (self.logins.random_id()?, Author::OPERATOR);
        let durability = self.store.write(|registry, now| {
            let update = operation(registry, now)?;
            Ok(match done(&update) {
                None => registry.with_audit(update, id, author, now),
                Some(done) => registry.with_audit_of(update, id, author, done, now),
            })
        });
        let durability = durability.map_err(from_write_error)?;
        log::info!("{what}");
        Ok(durability)
    }

    /// The last entries of the audit log, at most `limit`, the oldest first.
    pub fn audit(&self, limit: usize) -> Vec<AuditView> {
        self.store.read(|registry| registry.audit(limit))
    }

    /// Creates an invite code. One account can be created with it in the next 7 days.
    ///
    /// # Errors
    /// See [`AccessRefusal`].
    pub fn create_invite(&self) -> Result<(InviteCode, Durability), AccessRefusal> {
        let code = InviteCode::generate().map_err(|_| no_randomness())?;
        let id = self.logins.random_id()?;
        let what = format!("invite {id} is created on the console");
        let durability = self.write(&what, |registry, now| {
            registry.create_invite(id, code.hash(), now + INVITE_LIFETIME, now)
        })?;
        Ok((code, durability))
    }
}
