//! Commands about accounts and groups, carried out: what is asked of a person on the way, and what came of it.

use super::commands::AccountCommand;
use super::failure::Failure;
use super::outcome::AccountOutcome;
use super::output::Output;
use super::prompt::{Input, Lines};
use crate::peer::{AccountError, LoggedIn, LoggedOut, Peer};
use crate::wire::access::ErrorKind;
use crate::wire::name::Label;
use crate::wire::password::Password;

/// Who carries a command out, and whom may be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller<'a> {
    pub(super) peer: &'a Peer,
    pub(super) lines: &'a Lines,
    pub(super) output: &'a Output,
}

impl Teller<'_> {
    /// Carries out a command.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) fn run(&self, command: AccountCommand) -> Result<AccountOutcome, Failure> {
        let account = self.peer.account();
        let said = match command {
            AccountCommand::CreateUser {
                user,
                password,
                invite,
            } => {
                let password = self.new_password(password, &format!("password for {user}: "))?;
                account.create_user(user.clone(), password, invite)?;
                format!("user {user} is made; login {user} logs in")
            }
            AccountCommand::Login { user, password } => {
                let password = self.password(password, &format!("password of {user}: "))?;
                return Ok(self.logged_in(self.peer.login(&user, password)?));
            }
            AccountCommand::Logout => {
                let user = account.user().ok_or(AccountError::NotLoggedIn)?;
                let everywhere = self.peer.logout()? == LoggedOut::Everywhere;
                return Ok(AccountOutcome::LoggedOut { user, everywhere });
            }
            AccountCommand::ChangePassword { old, new } => {
                let user = self.change_password(old, new)?;
                format!("the password of {user} is changed; other sessions have ended")
            }
            AccountCommand::CreateGroup(group) => {
                account.create_group(group.clone())?;
                format!("group {group} is made; you own it")
            }
            AccountCommand::JoinGroup(group) => {
                account.join_group(group.clone())?;
                format!("asked to join {group}; its owner decides")
            }
            AccountCommand::LeaveGroup { group, end } => {
                self.leave(&group, end)?;
                format!("left {group}")
            }
            AccountCommand::AcceptRequest { group, user } => {
                account.accept_request(group.clone(), user.clone())?;
                format!("{user} is a member of {group}")
            }
            AccountCommand::RejectRequest { group, user } => {
                account.reject_request(group.clone(), user.clone())?;
                format!("the request of {user} to join {group} is rejected")
            }
            AccountCommand::RemoveMember { group, user } => {
                account.remove_member(group.clone(), user.clone())?;
                format!("{user} is no member of {group} any more")
            }
            AccountCommand::ListGroups => {
                let groups = account.groups()?;
                let news = self.peer.news()?;
                return Ok(AccountOutcome::Groups { groups, news });
            }
            AccountCommand::ListMembers(group) => {
                return Ok(AccountOutcome::Members(account.members(&group)?));
            }
            AccountCommand::ListRequests(group) => {
                return Ok(AccountOutcome::Requests(account.requests(&group)?));
            }
        };
        Ok(AccountOutcome::Said(said))
    }

    fn logged_in(&self, session: LoggedIn) -> AccountOutcome {
        if let Some(note) = &session.note {
            self.output.note(note);
        }
        // The session stands, whatever becomes of this.
        let news = self.peer.news().unwrap_or_else(|error| {
            log::warn!("what is new could not be asked: {error}");
            Vec::new()
        });
        AccountOutcome::LoggedIn {
            user: session.user,
            news,
        }
    }

    /// Asks for what was left out, and says whose password is another now.
    fn change_password(
        &self,
        old: Option<Password>,
        new: Option<Password>,
    ) -> Result<Label, Failure> {
        let account = self.peer.account();
        let Some(user) = account.user() else {
            self.lines.drop_passwords(if old.is_none() { 2 } else { 0 });
            return Err(AccountError::NotLoggedIn.into());
        };
        let old = self.password(old, &format!("old password of {user}: "));
        if old.is_err() && new.is_none() {
            self.lines.drop_passwords(1);
        }
        let old = old?;
        let new = self.new_password(new, &format!("new password of {user}: "))?;
        account.change_password(old, new)?;
        Ok(user)
    }

    /// Leaves a group; whether it shall end is asked of a person at a terminal.
    fn leave(&self, group: &Label, end: bool) -> Result<(), Failure> {
        let left = self.peer.leave_group(group, end);
        let Err(AccountError::Refused(refused)) = &left else {
            return Ok(left?);
        };
        let question =
            format!("you are the last member of {group}: leaving ends the group. Go on? [y/N] ");
        if refused.kind != ErrorKind::LastMember || !self.lines.can_ask() {
            return Ok(left?);
        }
        match self.lines.ask(&question) {
            Input::Line(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => {
                Ok(self.peer.leave_group(group, true)?)
            }
            _ => Ok(left?),
        }
    }

    /// A password that is chosen now: on a terminal it is asked for twice.
    fn new_password(&self, given: Option<Password>, question: &str) -> Result<Password, Failure> {
        let was_given = given.is_some();
        let password = self.password(given, question)?;
        if was_given || !self.lines.can_ask() {
            return Ok(password);
        }
        if self.password(None, "the same again: ")? == password {
            Ok(password)
        } else {
            Err(Failure::PasswordsDiffer)
        }
    }

    fn password(&self, given: Option<Password>, question: &str) -> Result<Password, Failure> {
        if let Some(given) = given {
            return Ok(given);
        }
        match self.lines.hidden(question) {
            Input::Line(line) => Ok(Password::new(line.trim_end_matches('\r'))?),
            Input::Stopped => Err(Failure::cut_short("the question for a password")),
            _ => Err(Failure::NoPassword),
        }
    }
}
