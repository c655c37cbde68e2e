//! The tracker's console: commands that the operator types or pipes into standard input.
//!
//! In scope: reading commands and printing the answers. The tracker keeps running after the end of
//! input. Out of scope: the work of the commands (`tracker::OperatorAccess`).

use super::answers::Answers;
use super::audit;
use super::command_error::CommandError;
use super::output::Output;
use super::prompt::{Greeting, InputLines, NextInput};
use super::units::{self, counted};
use super::{passwords, words, wrap};
use crate::base::escape;
use crate::net::Stop;
use crate::tracker::registry::Usage;
use crate::tracker::replication::{ClusterStatus, ReplicaStatus, Serving};
use crate::tracker::{Durability, OperatorAccess, Registration};
use crate::wire::access::AccessRefusal;
use crate::wire::attach::Ending;
use crate::wire::name::{Label, LabelError, NameError, UserName};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The entries that `audit` shows if no number is given.
const DEFAULT_AUDIT: usize = 20;

/// The commands, each with its help.
pub(super) const CONSOLE_COMMANDS: &[(&str, &str)] = &[
    ("status", "show the state of this tracker and of the others"),
    ("users", "list all users"),
    ("groups", "list all groups with their owners"),
    (
        "usage",
        "list how much each user uses: metadata, shares, groups",
    ),
    (
        "create_user USER",
        "create an account; the password is the next line",
    ),
    (
        "invite",
        "make an invite code for one account, valid for 7 days",
    ),
    (
        "set_password USER",
        "set a password (the next line) and end all logins",
    ),
    ("end_sessions USER", "end all logins of a user"),
    (
        "remove_share GROUP NAME",
        "remove a share from a group; the files stay",
    ),
    (
        "remove_group GROUP --yes",
        "end a group: remove all its members",
    ),
    (
        "remove_user USER --yes",
        "remove an account with its shares, for good",
    ),
    (
        "audit [N]",
        "show the last N changes: who, what, from where",
    ),
    ("help", "list these commands"),
    ("quit", "end the tracker, or the attachment to it"),
    ("exit", "the same as quit"),
    ("stop", "end the tracker"),
];

/// The console of a running tracker.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) operator: OperatorAccess,
    pub(super) address: SocketAddr,
    /// Whether open swarms are served.
    pub(super) open: bool,
    pub(super) started: Instant,
    pub(super) stop: Stop,
}

/// A command of the console failed, and its error was printed.
#[derive(Debug)]
pub(super) struct Failed;

/// Why a command of the console failed.
#[derive(Debug, thiserror::Error)]
enum ConsoleError {
    #[error(transparent)]
    Words(#[from] words::SplitWordsError),
    #[error("unknown command {0:?}; help lists all commands")]
    Unknown(String),
    #[error("usage: {0}")]
    Usage(&'static str),
    #[error("this command has no arguments; type it alone")]
    TakesNoArguments,
    #[error("this ends the group {0} for all its members; add --yes to confirm")]
    NotConfirmed(Label),
    #[error("this removes the user {0} and all shares of {0} for good; add --yes to confirm")]
    RemovalNotConfirmed(Label),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error(transparent)]
    Password(CommandError),
    #[error(transparent)]
    Refused(#[from] AccessRefusal),
}

impl Console {
    /// Starts a thread that reads commands until standard input ends, `quit` is typed, or the
    /// tracker stops.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(self: Arc<Self>, is_interactive: bool) -> io::Result<JoinHandle<()>> {
        let greeting = is_interactive.then_some(Greeting {
            text: "help lists all commands; Ctrl-C ends the tracker",
            notices: None,
        });
        let input = InputLines::standard_input(greeting, &self.stop)?;
        thread::Builder::new()
            .name("console".into())
            .spawn(move || {
                let output = Output::new(false);
                while let Some(line) = next_line(&input, &output) {
                    let ran = self.run(&line, &input, &output);
                    if ran.is_ok_and(|ending| ending != Ending::Nothing) {
                        self.stop.stop();
                    }
                }
            })
    }

    /// Carries out a line, and prints its answer or its error. Returns what ends with the line.
    ///
    /// # Errors
    /// The command failed; the error was printed.
    pub(super) fn run(
        &self,
        line: &str,
        input: &dyn Answers,
        output: &Output,
    ) -> Result<Ending, Failed> {
        let ran = self.answer(line, input, output);
        ran.map_err(|error| {
            output.error(&error.to_string());
            Failed
        })
    }

    fn answer(
        &self,
        line: &str,
        input: &dyn Answers,
        output: &Output,
    ) -> Result<Ending, ConsoleError> {
        let words = words::split(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer: Vec<String> = match words.as_slice() {
            [] => Vec::new(),
            ["status"] => {
                let mut lines = vec![self.status_line()];
                lines.extend(cluster_lines(&self.operator.cluster()));
                lines
            }
            ["users"] => {
                let users = self.operator.users();
                users.iter().map(ToString::to_string).collect()
            }
            ["groups"] => {
                let groups = self.operator.groups();
                let lines = groups.iter().map(|group| {
                    let owner = group.owner.as_ref().map(ToString::to_string);
                    let owner = owner.unwrap_or_else(|| "-".to_owned());
                    let members = counted(group.members, "member");
                    format!("{}  owner {owner}  {members}", group.label)
                });
                lines.collect()
            }
            ["usage"] => self.operator.usage().iter().map(usage_line).collect(),
            ["audit"] => self.audit_lines(DEFAULT_AUDIT),
            ["audit", count] => match count.parse() {
                Ok(count) => self.audit_lines(count),
                Err(_) => return Err(usage_of(&words)),
            },
            ["help"] => {
                let commands = CONSOLE_COMMANDS.iter();
                let lines = commands.map(|(usage, what)| format!("{usage:24}  {what}"));
                let columns = output.columns();
                lines.flat_map(|line| wrap::fit(&line, columns)).collect()
            }
            ["quit" | "exit"] => return Ok(Ending::Attachment),
            ["stop"] => return Ok(Ending::Process),
            words => {
                let (answer, durability) = self.run_change(words, input)?;
                note_if_only_here(durability, output);
                vec![answer]
            }
        };
        for line in answer {
            output.result(&line);
        }
        Ok(Ending::Nothing)
    }

    /// Runs a command that changes the registry, or returns why there is no such command. Returns
    /// the answer of the command.
    fn run_change(
        &self,
        words: &[&str],
        input: &dyn Answers,
    ) -> Result<(String, Durability), ConsoleError> {
        match *words {
            ["create_user", name] => self.create_user(name, input),
            ["set_password", name] => self.set_password(name, input),
            ["create_user" | "set_password", ..] => {
                input.drop_passwords(1);
                Err(usage_of(words))
            }
            ["invite"] => {
                let (code, durability) = self.operator.create_invite()?;
                Ok((format!("invite {code}"), durability))
            }
            ["end_sessions", name] => {
                let user = name.parse()?;
                let durability = self.operator.end_all_logins(&user)?;
                Ok((format!("all logins of {user} have ended"), durability))
            }
            ["remove_share", group, share] => {
                let group = group.parse()?;
                let durability = self.operator.remove_share(&group, share)?;
                let share = escape(share);
                Ok((format!("{share} is removed from {group}"), durability))
            }
            ["remove_group", group, "--yes"] => {
                let group = group.parse()?;
                let durability = self.operator.remove_group(&group)?;
                Ok((format!("group {group} has ended"), durability))
            }
            ["remove_group", group] => Err(ConsoleError::NotConfirmed(group.parse()?)),
            ["remove_user", user, "--yes"] => {
                let user = user.parse()?;
                let durability = self.operator.remove_user(&user)?;
                Ok((format!("user {user} is removed"), durability))
            }
            ["remove_user", user] => Err(ConsoleError::RemovalNotConfirmed(user.parse()?)),
            [
                "end_sessions" | "remove_share" | "remove_group" | "remove_user" | "audit",
                ..,
            ] => Err(usage_of(words)),
            [
                "status" | "users" | "groups" | "usage" | "invite" | "help" | "quit" | "exit"
                | "stop",
                ..,
            ] => Err(ConsoleError::TakesNoArguments),
            [other, ..] => Err(ConsoleError::Unknown(other.chars().take(60).collect())),
            [] => Err(ConsoleError::Unknown(String::new())),
        }
    }

    fn create_user(
        &self,
        name: &str,
        input: &dyn Answers,
    ) -> Result<(String, Durability), ConsoleError> {
        let name = name.parse().and_then(|name: UserName| {
            name.check_new()?;
            Ok(name)
        });
        let name = name.inspect_err(|_| input.drop_passwords(1))?;
        let question = format!("password for {name}: ");
        let password = passwords::ask_new(input, "create_user", &question);
        let password = password.map_err(ConsoleError::Password)?;
        let durability = self.operator.create_user(name.clone(), &password)?;
        Ok((format!("user {name} created"), durability))
    }

    fn set_password(
        &self,
        name: &str,
        input: &dyn Answers,
    ) -> Result<(String, Durability), ConsoleError> {
        let user = name.parse::<Label>();
        let user = user.inspect_err(|_| input.drop_passwords(1))?;
        let question = format!("new password for {user}: ");
        let password = passwords::ask_new(input, "set_password", &question);
        let password = password.map_err(ConsoleError::Password)?;
        let durability = self.operator.set_password(&user, &password)?;
        Ok((
            format!("{user} has another password; all logins of {user} have ended"),
            durability,
        ))
    }

    fn audit_lines(&self, count: usize) -> Vec<String> {
        self.operator.audit(count).iter().map(audit::line).collect()
    }

    fn status_line(&self) -> String {
        let counts = self.operator.counts();
        let registration = match self.operator.registration() {
            Registration::Open => "open",
            Registration::Closed => "closed",
        };
        let open = if self.open { "served" } else { "not served" };
        format!(
            "tracker on {}  {}  {}  registration {registration}  open swarms {open}  up {}",
            self.address,
            counted(counts.users, "user"),
            counted(counts.groups, "group"),
            super::units::duration(self.started.elapsed()),
        )
    }
}

/// The error for wrong arguments of a command, whose name is the first of `words`.
fn usage_of(words: &[&str]) -> ConsoleError {
    let name = words.first().copied().unwrap_or_default();
    let usages = CONSOLE_COMMANDS.iter().map(|(usage, _)| *usage);
    let mut of_name = usages.filter(|usage| usage.split(' ').next() == Some(name));
    ConsoleError::Usage(of_name.next().unwrap_or("help"))
}

/// A user, and how much the user uses.
fn usage_line((user, usage): &(Label, Usage)) -> String {
    format!(
        "{user}  {} of metadata  {}  {}",
        units::size(usage.metadata_bytes),
        counted(usage.shares, "share"),
        counted(usage.groups, "group"),
    )
}

/// Writes a note if other trackers are listed, but none of them has stored the write yet.
fn note_if_only_here(durability: Durability, output: &Output) {
    if durability == Durability::OnlyHere {
        output.note(
            "only this tracker has stored this so far; the others copy it when they are back",
        );
    }
}

/// Lines about problems, then one line per other tracker.
fn cluster_lines(status: &ClusterStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if status.serving != Serving::Yes {
        lines.push(format!("not serving: {}", status.serving));
    }
    if status.missing_blobs > 0 {
        let count = counted(status.missing_blobs, "share");
        lines.push(format!(
            "{count} cannot be downloaded: no tracker has the metainfo"
        ));
    }
    lines.extend(status.others.iter().map(replica_line));
    lines
}

fn replica_line(other: &ReplicaStatus) -> String {
    let state = match (other.is_up(), other.current) {
        (false, _) => "unreachable",
        (true, true) => "up to date",
        (true, false) => "catching up",
    };
    let lacks = match other.it_lacks {
        Some(lacks) => format!("lacks {}", counted(lacks, "write")),
        None => "lacks an unknown number of writes".to_owned(),
    };
    let mut line = format!("tracker {}  {state}  {lacks}", other.number);
    if other.we_lack > 0 {
        line.push_str(&format!(
            "  has {} that this tracker lacks",
            counted(other.we_lack, "write")
        ));
    }
    if let Some(age) = other.silent_for {
        line.push_str(&format!("  last contact {:.1} s ago", age.as_secs_f64()));
    }
    if let Some(ahead) = other.clock_ahead {
        let seconds = Duration::from_millis(ahead.unsigned_abs()).as_secs_f64();
        let sign = if ahead < 0 { '-' } else { '+' };
        line.push_str(&format!("  clock {sign}{seconds:.3} s"));
    }
    line
}

/// The next line; `None` at the end of input.
fn next_line(input: &InputLines, output: &Output) -> Option<String> {
    loop {
        match input.next() {
            NextInput::Line(line) => return Some(line),
            NextInput::NotText => output.error(&CommandError::NotText.to_string()),
            NextInput::End | NextInput::Quit | NextInput::Stopped => return None,
            NextInput::Failed(why) => {
                output.error(&format!("cannot read commands: {why}"));
                return None;
            }
        }
    }
}
