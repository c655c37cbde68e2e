//! What the tracker's operator may do: see everything but secrets, make accounts, give out invites.
//!
//! In scope: the operations. Out of scope: reading what is typed, and showing it.

use super::{INVITE, InviteCode, Logins, Registration, no_randomness, told, unwritten};
use crate::tracker::registry::{
    Cursor, GroupView, Label, NewAccount, Page, Refusal, Registry, UserName,
};
use crate::tracker::replication::ClusterStatus;
use crate::tracker::store::{RegistryStore, Written};
use crate::wire::access::Refused;
use crate::wire::password::Password;
use std::sync::Arc;

/// How much there is in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Accounts.
    pub users: usize,
    /// Groups that have members.
    pub groups: usize,
}

/// What the tracker's operator works with.
#[derive(Clone, Debug)]
pub struct Operator {
    pub(super) store: Arc<RegistryStore>,
    pub(super) logins: Arc<Logins>,
    pub(super) registration: Registration,
}

impl Operator {
    /// Who may make an account.
    pub fn registration(&self) -> Registration {
        self.registration
    }

    /// All users, sorted by name.
    pub fn users(&self) -> Vec<Label> {
        let users = self.all(|registry, after| registry.accounts(after, usize::MAX));
        users.into_iter().map(|(_, label)| label).collect()
    }

    /// All groups, sorted by name.
    pub fn groups(&self) -> Vec<GroupView> {
        self.all(|registry, after| registry.groups(None, after, usize::MAX))
    }

    fn all<T>(&self, page: impl Fn(&Registry, Option<&Cursor>) -> Page<T>) -> Vec<T> {
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

    /// How it stands with the other trackers.
    pub fn cluster(&self) -> ClusterStatus {
        self.store.status()
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            users: self.users().len(),
            groups: self.groups().len(),
        }
    }

    /// Makes an account, whoever may else.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn make_user(&self, name: UserName, password: &Password) -> Result<Written, Refused> {
        let label = Label::from(&name);
        let taken = self
            .store
            .read(|registry| registry.account_id(&label).is_ok());
        if taken {
            return Err(told(Refusal::NameTaken(label)));
        }
        let said = format!("user {name} is made on the console");
        let new = NewAccount {
            id: self.logins.draw()?,
            name,
            password: self.logins.hash(password)?,
        };
        let written = self
            .store
            .write(|registry, now| registry.create_account(new, now));
        let written = written.map_err(unwritten)?;
        log::info!("{said}");
        Ok(written)
    }

    /// Makes an invite: a code that one account may be made with in the next 7 days.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn invite(&self) -> Result<(InviteCode, Written), Refused> {
        let code = InviteCode::generate().map_err(|_| no_randomness())?;
        let id = self.logins.draw()?;
        let written = self
            .store
            .write(|registry, now| registry.invite(id, code.hash(), now + INVITE, now));
        let written = written.map_err(unwritten)?;
        log::info!("invite {id} is given out on the console");
        Ok((code, written))
    }
}
