//! The operations of the tracker's operator: list users and groups, show the state of the cluster,
//! create accounts and invites.
//!
//! In scope: the operations. Out of scope: reading the operator's input, and printing results.

use super::{
    INVITE_LIFETIME, InviteCode, Logins, Registration, check_new_password, from_refusal,
    from_write_error, no_randomness,
};
use crate::tracker::registry::{
    Cursor, GroupView, Label, NewAccount, Page, Registry, Usage, UserName,
};
use crate::tracker::replication::ClusterStatus;
use crate::tracker::store::{Durability, RegistryStore};
use crate::wire::access::AccessRefusal;
use crate::wire::password::Password;
use std::sync::Arc;

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

    /// What each account uses that uses anything: first those with the most metadata.
    pub fn usage(&self) -> Vec<(Label, Usage)> {
        let mut all: Vec<(Label, Usage)> = self.store.read(|registry| {
            let usage = registry.usage();
            usage
                .filter_map(|(account, usage)| Some((registry.account_label(account)?, usage)))
                .collect()
        });
        all.sort_by_cached_key(|(user, usage)| {
            let most = (usage.metadata_bytes, usage.shares, usage.groups);
            (std::cmp::Reverse(most), user.to_string())
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
        let durability = self
            .store
            .write(|registry, now| registry.create_account(new, now));
        let durability = durability.map_err(from_write_error)?;
        log::info!("{what}");
        Ok(durability)
    }

    /// Creates an invite code. One account can be created with it in the next 7 days.
    ///
    /// # Errors
    /// See [`AccessRefusal`].
    pub fn create_invite(&self) -> Result<(InviteCode, Durability), AccessRefusal> {
        let code = InviteCode::generate().map_err(|_| no_randomness())?;
        let id = self.logins.random_id()?;
        let durability = self.store.write(|registry, now| {
            registry.create_invite(id, code.hash(), now + INVITE_LIFETIME, now)
        });
        let durability = durability.map_err(from_write_error)?;
        log::info!("invite {id} is created on the console");
        Ok((code, durability))
    }
}
