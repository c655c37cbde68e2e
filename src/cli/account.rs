//! Runs the commands about accounts and groups.
//!
//! In scope: passwords and answers that a command asks for, and its result. Out of scope: talking
//! to trackers (`peer::account`).

use super::command_error::CommandError;
use super::commands::AccountCommand;
use super::outcome::AccountOutcome;
use super::output::Output;
use super::prompt::{InputLines, NextInput};
use crate::peer::{AccountError, LoggedIn, LoggedOut, Peer};
use crate::wire::access::AccessErrorKind;
use crate::wire::name::Label;
use crate::wire::password::Password;

/// Runs a command on `peer`; reads passwords and answers from `lines`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccountRunner<'a> {
    pub(super) peer: &'a Peer,
    pub(super) lines: &'a InputLines,
    pub(super) output: &'a Output,
}

impl AccountRunner<'_> {
    /// Runs a command.
    ///
    /// # Errors
    /// No tracker answers, the tracker refuses, or a password is missing.
    pub(super) fn run(&self, command: AccountCommand) -> Result<AccountOutcome, CommandError> {
        let account = self.peer.account();
        let done = match command {
            AccountCommand::CreateUser {
                user,
                password,
                invite,
            } => {
                let password = self.new_password(password, &format!("password for {user}: "))?;
                account.create_user(user.clone(), password, invite)?;
                format!("user {user} created; to log in, type: login {user}")
            }
            AccountCommand::Login { user, password } => {
                let password = self.password(password, &format!("password of {user}: "))?;
                return Ok(self.logged_in(self.peer.login(&user, password)?));
            }
            AccountCommand::Logout => {
                let user = account.user().ok_or(AccountError::NotLoggedIn)?;
                let at_trackers = self.peer.logout()? == LoggedOut::AtTrackers;
                return Ok(AccountOutcome::LoggedOut { user, at_trackers });
            }
            AccountCommand::ChangePassword { old, new } => {
                let user = self.change_password(old, new)?;
                format!("password of {user} changed; all other logins of {user} have ended")
            }
            AccountCommand::CreateGroup(group) => {
                account.create_group(group.clone())?;
                format!("group {group} created; you own it")
            }
            AccountCommand::JoinGroup(group) => {
                account.join_group(group.clone())?;
                format!("asked to join {group}; its owner accepts or rejects the request")
            }
            AccountCommand::LeaveGroup { group, end } => {
                self.leave(&group, end)?;
                format!("left {group}")
            }
            AccountCommand::AcceptRequest { group, user } => {
                account.accept_request(group.clone(), user.clone())?;
                format!("{user} is now a member of {group}")
            }
            AccountCommand::RejectRequest { group, user } => {
                account.reject_request(group.clone(), user.clone())?;
                format!("rejected the request of {user} to join {group}")
            }
            AccountCommand::RemoveMember { group, user } => {
                account.remove_member(group.clone(), user.clone())?;
                format!("removed {user} from {group}")
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
        Ok(AccountOutcome::Done(done))
    }

    fn logged_in(&self, login: LoggedIn) -> AccountOutcome {
        if let Some(note) = &login.note {
            self.output.note(note);
        }
        // The login has succeeded, even if the tracker returns no news.
        let news = self.peer.news().unwrap_or_else(|error| {
            log::warn!("cannot ask the tracker for news after the login: {error}");
            Vec::new()
        });
        AccountOutcome::LoggedIn {
            user: login.user,
            news,
        }
    }

    /// Changes the password, asks for passwords that were left out, and returns the user.
    fn change_password(
        &self,
        old: Option<Password>,
        new: Option<Password>,
    ) -> Result<Label, CommandError> {
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

    /// Leaves a group. If that would end the group, a person at a terminal is asked.
    fn leave(&self, group: &Label, end: bool) -> Result<(), CommandError> {
        let left = self.peer.leave_group(group, end);
        let Err(AccountError::Refused(refused)) = &left else {
            return Ok(left?);
        };
        let question =
            format!("you are the last member of {group}; leaving ends the group. Leave? [y/N] ");
        if refused.kind != AccessErrorKind::LastMember || !self.lines.can_ask() {
            return Ok(left?);
        }
        match self.lines.ask(&question) {
            NextInput::Line(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => {
                Ok(self.peer.leave_group(group, true)?)
            }
            _ => Ok(left?),
        }
    }

    /// A new password. A terminal asks for it twice.
    fn new_password(
        &self,
        given: Option<Password>,
        question: &str,
    ) -> Result<Password, CommandError> {
        let was_given = given.is_some();
        let password = self.password(given, question)?;
        password.check_new()?;
        if was_given || !self.lines.can_ask() {
            return Ok(password);
        }
        if self.password(None, "the same password again: ")? == password {
            Ok(password)
        } else {
            Err(CommandError::PasswordsDiffer)
        }
    }

    fn password(&self, given: Option<Password>, question: &str) -> Result<Password, CommandError> {
        if let Some(given) = given {
            return Ok(given);
        }
        match self.lines.ask_hidden(question) {
            NextInput::Line(line) => Ok(Password::new(line.trim_end_matches('\r'))?),
            NextInput::Stopped => Err(CommandError::cut_short("reading a password")),
            _ => Err(CommandError::NoPassword),
        }
    }
}
