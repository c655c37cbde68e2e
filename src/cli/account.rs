//! Runs the commands about accounts and groups.
//!
//! In scope: passwords and answers that a command asks for, and its result. Out of scope: talking
//! to trackers (`peer::account`).

use super::answers::Answers;
use super::command_error::CommandError;
use super::commands::{AccountCommand, LoginCommand};
use super::outcome::AccountOutcome;
use super::output::Output;
use super::passwords;
use super::prompt::NextInput;
use crate::base::command_text;
use crate::peer::{AccountError, LoggedIn, LoggedOut, Peer};
use crate::wire::access::{AccessErrorKind, ShortText};
use crate::wire::name::{Label, UserName};
use crate::wire::password::Password;

/// Runs a command on `peer`; reads passwords and answers from `lines`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccountRunner<'a> {
    /// The command's name.
    pub(super) name: &'a str,
    pub(super) peer: &'a Peer,
    pub(super) lines: &'a dyn Answers,
    pub(super) output: &'a Output,
}

impl AccountRunner<'_> {
    /// Asks for the passwords that the command leaves out.
    ///
    /// # Errors
    /// A password is missing or not allowed, or Ctrl-C was pressed. Or the command cannot succeed,
    /// so no password was asked for.
    pub(super) fn ask_passwords(&self, command: &mut AccountCommand) -> Result<(), CommandError> {
        match command {
            AccountCommand::CreateUser { user, password, .. } if password.is_none() => {
                self.check_before_asking()?;
                *password = Some(self.new_password(&format!("password for {user}: "))?);
            }
            AccountCommand::Login { user, password } if password.is_none() => {
                if self.lines.can_ask() {
                    self.peer.account().check_is_of_a_person()?;
                }
                self.check_before_asking()?;
                *password = Some(self.password(&format!("password of {user}: "))?);
            }
            AccountCommand::ChangePassword { old, new } if old.is_none() => {
                self.check_before_asking()?;
                let Some(user) = self.peer.account().user() else {
                    // Without a terminal, the next two lines are the passwords, not commands.
                    self.lines.drop_passwords(2);
                    return Err(AccountError::NotLoggedIn.into());
                };
                let typed = self.password(&format!("old password of {user}: "));
                if typed.is_err() {
                    self.lines.drop_passwords(1);
                }
                *old = Some(typed?);
                *new = Some(self.new_password(&format!("new password of {user}: "))?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks that TRACKER_INFO lists a tracker, before a person types a password. Without a
    /// terminal, checks nothing: the next line is the password, which must be read even if the
    /// command fails. Otherwise it would be read as a command.
    fn check_before_asking(&self) -> Result<(), AccountError> {
        match self.lines.can_ask() {
            true => self.peer.account().check_tracker_info(),
            false => Ok(()),
        }
    }

    /// Runs a command, after [`Self::ask_passwords`] has asked for its passwords.
    ///
    /// # Errors
    /// No tracker answers, the tracker refuses, a password is missing, or Ctrl-C was pressed at a
    /// question.
    pub(super) fn run(&self, command: AccountCommand) -> Result<AccountOutcome, CommandError> {
        let account = self.peer.account();
        let message = match command {
            AccountCommand::CreateUser {
                user,
                password,
                invite,
            } => {
                let password = password.ok_or(CommandError::NoPassword)?;
                self.create_user(user, password, invite)?
            }
            AccountCommand::Login { user, password } => {
                let password = password.ok_or(CommandError::NoPassword)?;
                return Ok(self.logged_in(self.peer.login(&user, password)?));
            }
            AccountCommand::Logout => return self.log_out(),
            AccountCommand::ChangePassword { old, new } => {
                let old = old.ok_or(CommandError::NoPassword)?;
                self.change_password(old, new.ok_or(CommandError::NoPassword)?)?
            }
            AccountCommand::CreateGroup(group) => {
                account.create_group(group.clone())?;
                format!("group {group} created; you own it")
            }
            AccountCommand::JoinGroup(group) => {
                account.join_group(group.clone())?;
                format!("asked to join {group}; its owners accept or reject the request")
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
            AccountCommand::SetRole { group, user, role } => {
                account.set_role(group.clone(), user.clone(), role)?;
                format!("the role of {user} in {group} is now {}", role.as_str())
            }
            AccountCommand::RenameGroup { group, name } => {
                account.rename_group(group.clone(), name.clone())?;
                format!("group {group} is now called {name}")
            }
            AccountCommand::Logins(command) => return self.run_on_logins(command),
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
        Ok(AccountOutcome::Done(message))
    }

    fn log_out(&self) -> Result<AccountOutcome, CommandError> {
        let user = self.peer.account().user();
        let user = user.ok_or(AccountError::NotLoggedIn)?;
        let at_trackers = self.peer.logout()? == LoggedOut::AtTrackers;
        Ok(AccountOutcome::LoggedOut { user, at_trackers })
    }

    fn run_on_logins(&self, command: LoginCommand) -> Result<AccountOutcome, CommandError> {
        let account = self.peer.account();
        match command {
            LoginCommand::List => Ok(AccountOutcome::Logins(account.logins()?)),
            LoginCommand::End(login) => {
                account.end_login(login.clone())?;
                Ok(AccountOutcome::Done(format!(
                    "ended the login {login}; the peer there must log in again"
                )))
            }
        }
    }

    fn create_user(
        &self,
        user: UserName,
        password: Password,
        invite: Option<ShortText>,
    ) -> Result<String, CommandError> {
        password.check_new()?;
        let account = self.peer.account();
        account.create_user(user.clone(), password, invite)?;
        let login = command_text("login", &[&user.to_string()], &[]);
        Ok(format!("user {user} created; to log in, type: {login}"))
    }

    fn change_password(&self, old: Password, new: Password) -> Result<String, CommandError> {
        let account = self.peer.account();
        let user = account.user().ok_or(AccountError::NotLoggedIn)?;
        new.check_new()?;
        account.change_password(old, new)?;
        Ok(format!(
            "password of {user} changed; all other logins of {user} have ended"
        ))
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

    /// Leaves a group. If that would end the group, a person at a terminal is asked.
    fn leave(&self, group: &Label, end: bool) -> Result<(), CommandError> {
        let result = self.peer.leave_group(group, end);
        let Err(AccountError::Refused(refused)) = &result else {
            return Ok(result?);
        };
        let question =
            format!("you are the last member of {group}; leaving ends the group. Leave? [y/N] ");
        if refused.kind != AccessErrorKind::LastMember || !self.lines.can_ask() {
            return Ok(result?);
        }
        match self.lines.ask(&question) {
            NextInput::Line(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => {
                Ok(self.peer.leave_group(group, true)?)
            }
            NextInput::Quit | NextInput::Stopped => Err(CommandError::cut_short(self.name)),
            _ => Ok(result?),
        }
    }

    fn new_password(&self, question: &str) -> Result<Password, CommandError> {
        passwords::ask_new(self.lines, self.name, question)
    }

    fn password(&self, question: &str) -> Result<Password, CommandError> {
        passwords::ask(self.lines, self.name, question)
    }
}
