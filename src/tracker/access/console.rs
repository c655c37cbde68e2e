//! What the tracker's operator may do: see everything but secrets, make accounts, give out invites.
//!
//! In scope: the operations. Out of scope: reading what is typed, and showing it.

use super::code::InviteCode;
use super::refusals::{no_randomness, told, unwritten};
use super::registrar::{INVITE, Registrar};
use crate::tracker::registry::{GroupView, Label, NewAccount, Refusal, UserName};
use crate::tracker::replication::Status;
use crate::tracker::store::Written;
use crate::wire::access::Refused;
use crate::wire::password::Password;

/// How much there is in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Accounts.
    pub users: usize,
    /// Groups that have members.
    pub groups: usize,
}

impl Registrar {
    /// All users, sorted by name.
    pub fn users(&self) -> Vec<Label> {
        let mut users = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .read(|registry| registry.accounts(after.as_ref(), usize::MAX));
            users.extend(page.items.into_iter().map(|(_, label)| label));
            match page.next {
                Some(next) => after = Some(next),
                None => return users,
            }
        }
    }

    /// All groups, sorted by name.
    pub fn groups(&self) -> Vec<GroupView> {
        let mut groups = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .read(|registry| registry.groups(None, after.as_ref(), usize::MAX));
            groups.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return groups,
            }
        }
    }

    /// How it stands with the other trackers.
    pub fn cluster(&self) -> Status {
        self.store.status()
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            users: self.users().len(),
            groups: self.groups().len(),
        }
    }

    /// Whether there is an account of that name.
    pub fn knows(&self, name: &UserName) -> bool {
        let label = Label::from(name);
        self.store
            .read(|registry| registry.account_id(&label).is_ok())
    }

    /// Makes an account, whoever may else.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn make_user(&self, name: UserName, password: &Password) -> Result<Written, Refused> {
        if self.knows(&name) {
            return Err(told(Refusal::NameTaken(Label::from(&name))));
        }
        let said = format!("user {name} is made on the console");
        let new = NewAccount {
            id: self.draw()?,
            name,
            password: self.hash(password)?,
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
        let id = self.draw()?;
        let written = self
            .store
            .write(|registry, now| registry.invite(id, code.hash(), now + INVITE, now));
        let written = written.map_err(unwritten)?;
        log::info!("invite {id} is given out on the console");
        Ok((code, written))
    }
}
