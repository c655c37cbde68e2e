//! The tracker's console: what its operator types, or pipes, into standard input.
//!
//! In scope: reading and answering, a line at a time; the end of input leaves the tracker running. Out of scope: what the
//! commands do (`tracker::Operator`).

use super::failure::Failure;
use super::output::Output;
use super::prompt::{Input, Lines};
use super::words;
use crate::net::Stop;
use crate::tracker::replication::{ClusterStatus, ReplicaStatus, Serving};
use crate::tracker::{Operator, Registration, Written};
use crate::wire::access::Refused;
use crate::wire::name::{NameError, UserName};
use crate::wire::password::{Password, PasswordError};
use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What can be typed, and what it does.
const COMMANDS: &[(&str, &str)] = &[
    (
        "status",
        "where this tracker listens, how much it holds, and how the others of TRACKER_INFO do",
    ),
    ("users", "all users, one a line"),
    ("groups", "all groups, one a line"),
    (
        "create_user USER",
        "make an account; the password is the next line, hidden on a terminal",
    ),
    (
        "invite",
        "a code that one account may be made with, good for 7 days",
    ),
    ("help", "this list"),
    ("quit", "end the tracker"),
];

/// What the console is for.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) operator: Operator,
    pub(super) address: SocketAddr,
    /// Whether open swarms are served.
    pub(super) open: bool,
    pub(super) stop: Stop,
}

/// Why a line of the console failed.
#[derive(Debug, thiserror::Error)]
enum ConsoleError {
    #[error(transparent)]
    Words(#[from] words::WordsError),
    #[error("there is no command {0:?}; help lists all")]
    Unknown(String),
    #[error("usage: {0}")]
    Usage(&'static str),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("{0}")]
    NoPassword(String),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Console {
    /// Reads standard input on a thread of its own until it ends, `quit` is typed, or the tracker stops.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(self, interactive: bool) -> io::Result<JoinHandle<()>> {
        let lines = Lines::plain(BufReader::new(io::stdin()), &self.stop)?;
        let started = Instant::now();
        thread::Builder::new()
            .name("console".into())
            .spawn(move || {
                let output = Output::new(false);
                if interactive {
                    output.note("help lists the console's commands; Ctrl-C ends the tracker");
                }
                while let Some(line) = next(&lines, &output) {
                    if let Err(error) = self.run(&line, &lines, started, &output) {
                        output.error(&error.to_string());
                    }
                }
            })
    }

    fn run(
        &self,
        line: &str,
        lines: &Lines,
        started: Instant,
        output: &Output,
    ) -> Result<(), ConsoleError> {
        let words = words::split(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let told: Vec<String> = match words.as_slice() {
            [] => Vec::new(),
            ["status"] => {
                let mut told = vec![self.status(started)];
                told.extend(cluster(&self.operator.cluster()));
                told
            }
            ["users"] => {
                let users = self.operator.users();
                users.iter().map(ToString::to_string).collect()
            }
            ["groups"] => {
                let groups = self.operator.groups();
                let shown = groups.iter().map(|group| {
                    let owner = group.owner.as_ref().map(ToString::to_string);
                    let owner = owner.unwrap_or_else(|| "-".to_owned());
                    let members = counted(group.members, "member");
                    format!("{}  owner {owner}  {members}", group.label)
                });
                shown.collect()
            }
            ["create_user", name] => vec![self.create_user(name, lines, output)?],
            ["create_user", ..] => {
                lines.drop_passwords(1);
                return Err(ConsoleError::Usage("create_user USER"));
            }
            ["invite"] => {
                let (code, written) = self.operator.invite()?;
                tell_of(written, output);
                vec![format!("invite {code}")]
            }
            ["help"] => {
                let shown = COMMANDS.iter();
                shown
                    .map(|(usage, what)| format!("{usage:16}  {what}"))
                    .collect()
            }
            ["quit"] => {
                self.stop.stop();
                Vec::new()
            }
            [
                "status" | "users" | "groups" | "invite" | "help" | "quit",
                ..,
            ] => {
                return Err(ConsoleError::Usage("this command takes nothing after it"));
            }
            [other, ..] => {
                let other = other.chars().take(60).collect();
                return Err(ConsoleError::Unknown(other));
            }
        };
        for line in told {
            output.result(&line);
        }
        Ok(())
    }

    fn create_user(
        &self,
        name: &str,
        lines: &Lines,
        output: &Output,
    ) -> Result<String, ConsoleError> {
        let name: UserName = name.parse().inspect_err(|_| lines.drop_passwords(1))?;
        let password = password(lines, &name)?;
        tell_of(self.operator.make_user(name.clone(), &password)?, output);
        Ok(format!("user {name} is made"))
    }

    fn status(&self, started: Instant) -> String {
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
            super::units::duration(started.elapsed()),
        )
    }
}

/// Says so if what was written is only here.
fn tell_of(written: Written, output: &Output) {
    if written == Written::OnlyHere {
        output.note("this tracker alone has it so far; the others get it when they are back");
    }
}

/// A line for each other tracker, and one if this one does not serve.
fn cluster(status: &ClusterStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if status.serving != Serving::Yes {
        lines.push(format!("not serving: {}", status.serving));
    }
    if status.missing_blobs > 0 {
        let count = counted(status.missing_blobs, "info dictionary");
        lines.push(format!("shares whose metainfo is at no tracker: {count}"));
    }
    lines.extend(status.others.iter().map(other));
    lines
}

fn other(other: &ReplicaStatus) -> String {
    let state = match (other.is_up(), other.current) {
        (false, _) => "not reachable",
        (true, true) => "in step",
        (true, false) => "catching up",
    };
    let lacks = match other.it_lacks {
        Some(lacks) => format!("lacks {}", counted_long(lacks, "write")),
        None => "not heard of since the start".to_owned(),
    };
    let mut line = format!("tracker {}  {state}  {lacks}", other.number);
    if other.we_lack > 0 {
        line.push_str(&format!(
            "  has {} more",
            counted_long(other.we_lack, "write")
        ));
    }
    if let Some(silent) = other.last_contact {
        line.push_str(&format!(
            "  last heard of {:.1} s ago",
            silent.as_secs_f64()
        ));
    }
    if let Some(ahead) = other.clock_ahead {
        let seconds = Duration::from_millis(ahead.unsigned_abs()).as_secs_f64();
        let sign = if ahead < 0 { '-' } else { '+' };
        line.push_str(&format!("  clock {sign}{seconds:.3} s"));
    }
    line
}

fn counted_long(count: u64, what: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), what)
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The next line; none at the end.
fn next(lines: &Lines, output: &Output) -> Option<String> {
    loop {
        match lines.next() {
            Input::Line(line) => return Some(line),
            Input::NotText => output.error(&Failure::NotText.to_string()),
            Input::End | Input::Quit | Input::Stopped => return None,
            Input::Failed(why) => {
                output.error(&format!("cannot read the console's input: {why}"));
                return None;
            }
        }
    }
}

fn password(lines: &Lines, user: &UserName) -> Result<Password, ConsoleError> {
    let first = read_password(lines, &format!("password for {user}: "))?;
    if lines.can_ask() && read_password(lines, "the same again: ")? != first {
        return Err(ConsoleError::NoPassword(
            Failure::PasswordsDiffer.to_string(),
        ));
    }
    Ok(first)
}

fn read_password(lines: &Lines, question: &str) -> Result<Password, ConsoleError> {
    match lines.hidden(question) {
        Input::Line(line) => Ok(Password::new(line.trim_end_matches('\r'))?),
        _ => Err(ConsoleError::NoPassword(Failure::NoPassword.to_string())),
    }
}
