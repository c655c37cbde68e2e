//! The commands of a peer: one table that drives reading, help and completion.
//!
//! In scope: words to [`Command`]. Out of scope: doing it (`execute`).

mod account;
mod command;
mod entry;
mod nearest;
mod table;
mod typed;

pub(super) use account::AccountCommand;
pub(super) use command::{Command, FileCommand, OPEN_SWARMS, Source};
pub(super) use entry::{Entry, What};
pub(super) use table::{AREAS, entries};

use super::escape::escape;
use super::failure::Failure;
use super::words;

/// A line read: the command's name as JSON has it, and the command.
pub(super) struct Line {
    /// The name of the table, else the first word as typed.
    pub(super) name: String,
    /// What is to be done, or why the line means nothing.
    pub(super) command: Result<Command, Failure>,
}

/// Reads a line; `None` if it holds no words.
pub(super) fn read(line: &str) -> Option<Line> {
    let words = match words::split(line) {
        Ok(words) => words,
        Err(error) => {
            let name = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            return Some(Line {
                name,
                command: Err(error.into()),
            });
        }
    };
    let (name, arguments) = words.split_first()?;
    Some(match find(name) {
        Ok(entry) => {
            let command = entry.read(arguments, read_as).and_then(known_in_help);
            let usual = command.as_ref().ok().and_then(Command::usual_name);
            let name = usual.unwrap_or(entry.name);
            Line {
                name: name.to_owned(),
                command,
            }
        }
        Err(failure) => Line {
            name: name.clone(),
            command: Err(failure),
        },
    })
}

/// Reads `words` as the arguments of the command called `name`.
fn read_as(name: &str, words: &[String]) -> Result<Command, Failure> {
    find(name)?.read(words, read_as)
}

/// Help tells of commands that exist only.
fn known_in_help(command: Command) -> Result<Command, Failure> {
    if let Command::Help(Some(name)) = &command {
        find(name)?;
    }
    Ok(command)
}

fn find(name: &str) -> Result<&'static Entry, Failure> {
    let entry = entries().find(|entry| entry.name == name);
    entry.ok_or_else(|| Failure::Unknown {
        word: escape(&name.chars().take(60).collect::<String>()).into_owned(),
        nearest: nearest::nearest(name),
    })
}

/// Whether a line holds a password.
pub(super) fn holds_password(line: &Line) -> bool {
    matches!(&line.command, Ok(Command::Account(command)) if command.holds_password())
}

/// How many lines of standard input belong to a line, off a terminal: the passwords that it leaves out. So many are taken even
/// if the command fails before it asks for them: read as commands, they would be shown and logged.
pub(super) fn passwords_that_follow(line: &str) -> usize {
    // A line with a quote too many is split as well as can be.
    let words =
        words::split(line).unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect());
    let Some((name, words)) = words.split_first() else {
        return 0;
    };
    let Ok(entry) = find(name) else {
        return 0;
    };
    let given = entry.sort(words).map_or(0, |(words, _)| words.len());
    let all = entry.arguments.iter();
    let secrets = all.filter(|argument| argument.what == What::Secret).count();
    let others = entry.arguments.len() - secrets;
    if given > others { 0 } else { secrets }
}

/// A line as it may be kept and shown again: without passwords. None if nothing of it may: where no command is known, it may
/// be one that takes passwords mistyped, or a password alone.
pub(super) fn without_passwords(line: &str) -> Option<String> {
    let words = words::split(line).ok()?;
    let entry = find(words.first()?).ok()?;
    let arguments = entry.arguments.iter();
    let kept = match entry.name {
        // What is asked about is a word; what follows may be all that the person was about to type.
        "help" => 1,
        _ if !entry.takes_secrets() => return Some(line.to_owned()),
        _ => arguments
            .take_while(|argument| argument.what != What::Secret)
            .count(),
    };
    let plain =
        |word: &&String| !word.starts_with("--") && !word.contains([' ', '\t', '\'', '"', '\\']);
    let kept: Vec<&str> = words
        .iter()
        .take(kept + 1)
        .take_while(plain)
        .map(String::as_str)
        .collect();
    Some(kept.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{DownloadOptions, FileChoice};
    use std::path::PathBuf;
    use std::time::Duration;

    fn ok(line: &str) -> (String, Command) {
        let line = read(line).unwrap();
        (line.name, line.command.unwrap())
    }

    fn failure(line: &str) -> (String, Failure) {
        let line = read(line).unwrap();
        (line.name, line.command.unwrap_err())
    }

    #[test]
    fn every_command_is_read() {
        let send = |torrent: Option<&str>| Command::Send {
            path: "a b".into(),
            torrent: torrent.map(PathBuf::from),
        };
        let options = |destination: Option<&str>, choice| DownloadOptions {
            destination: destination.map(PathBuf::from),
            choice,
        };
        let download = |destination: Option<&str>| Command::Download {
            source: Source::Torrent("x.torrent".into()),
            options: options(destination, FileChoice::default()),
        };
        let part = FileChoice {
            only: vec!["*.a".parse().unwrap(), "b/**".parse().unwrap()],
            sequential: true,
            force: true,
        };
        for (line, name, command) in [
            ("send 'a b'", "send", send(None)),
            ("send a\\ b out.torrent", "send", send(Some("out.torrent"))),
            ("torrent -setMode send 'a b'", "send", send(None)),
            ("torrent -setMode upload 'a b'", "send", send(None)),
            ("download x.torrent", "download", download(None)),
            ("download x.torrent d", "download", download(Some("d"))),
            (
                "torrent -setMode download x.torrent",
                "download",
                download(None),
            ),
            (
                "download x.torrent --only *.a d --sequential --force --only b/**",
                "download",
                Command::Download {
                    source: Source::Torrent("x.torrent".into()),
                    options: options(Some("d"), part),
                },
            ),
            (
                "torrent -setMode download MAGNET:?x=1&y",
                "download",
                Command::Download {
                    source: Source::Magnet("MAGNET:?x=1&y".into()),
                    options: DownloadOptions::default(),
                },
            ),
            ("show_downloads", "show_downloads", Command::ShowDownloads),
            ("show_peers", "show_peers", Command::ShowPeers),
            ("cancel x", "cancel", Command::Cancel("x".into())),
            (
                "stop_share - 'a b'",
                "stop_share",
                Command::File(FileCommand::Stop {
                    group: None,
                    name: "a b".into(),
                }),
            ),
            ("wait", "wait", Command::Wait(None)),
            (
                "wait 1.5",
                "wait",
                Command::Wait(Some(Duration::from_millis(1500))),
            ),
            ("status", "status", Command::Status),
            ("help", "help", Command::Help(None)),
            ("quit", "quit", Command::Quit),
            ("torrent exit", "quit", Command::Quit),
            ("torrent -setMode exit", "quit", Command::Quit),
        ] {
            assert_eq!(ok(line), (name.to_owned(), command), "{line}");
        }
        assert!(matches!(ok("help send").1, Command::Help(Some(name)) if name == "send"));
        assert!(read(" \t").is_none());
    }

    #[test]
    fn passwords_are_taken_out_of_what_is_kept() {
        for (line, kept) in [
            ("login nik secret", Some("login nik")),
            ("login  'n k' secret", Some("login")),
            ("login nik", Some("login nik")),
            ("create_user --invite AB nik secret", Some("create_user")),
            ("change_password old new", Some("change_password")),
            ("list_members 'a b'", Some("list_members 'a b'")),
            ("logn nik secret", None),
            ("sned x", None),
            ("secret", None),
            ("signin nik secret", None),
            ("help login nik secret", Some("help login")),
            ("login 'x", None),
            ("", None),
        ] {
            assert_eq!(without_passwords(line).as_deref(), kept, "{line}");
        }
        for line in ["login nik a b", "change_password a b c"] {
            let (_, failure) = failure(line);
            assert!(!failure.to_string().contains('"'), "{failure}");
        }
    }

    #[test]
    fn flags_stand_anywhere() {
        let leave = |end| {
            let group = "lab".parse().unwrap();
            Command::Account(AccountCommand::LeaveGroup { group, end })
        };
        for (line, end) in [
            ("leave_group lab", false),
            ("leave_group lab --yes", true),
            ("leave_group --yes lab", true),
        ] {
            assert_eq!(ok(line).1, leave(end), "{line}");
        }
        let (_, failure) = failure("create_user nik --invite");
        assert!(failure.to_string().starts_with("nothing follows --invite"));
    }

    #[test]
    fn each_bad_line_has_its_kind_and_says_what_is_wrong() {
        for (line, name, kind, message) in [
            (
                "send",
                "send",
                "arguments",
                "PATH is missing; usage: send PATH [OUT.torrent]",
            ),
            ("send ''", "send", "arguments", "a name is empty"),
            (
                "quit now",
                "quit",
                "arguments",
                "\"now\" is one word too many; usage: quit",
            ),
            (
                "send a b c",
                "send",
                "arguments",
                "\"c\" is one word too many",
            ),
            (
                "wait soon",
                "wait",
                "arguments",
                "a time in seconds is asked for",
            ),
            (
                "wait -1",
                "wait",
                "arguments",
                "a time in seconds is asked for",
            ),
            (
                "sned x",
                "sned",
                "unknown-command",
                "there is no command \"sned\", did you mean send?",
            ),
            (
                "Show_Download",
                "Show_Download",
                "unknown-command",
                "there is no command \"Show_Download\", did you mean show_downloads?",
            ),
            (
                "# x",
                "#",
                "unknown-command",
                "there is no command \"#\"; help lists all",
            ),
            (
                "help me",
                "help",
                "unknown-command",
                "there is no command \"me\"",
            ),
            ("send 'x", "send", "syntax", "the quote ' is not closed"),
            (
                "create_group -",
                "create_group",
                "bad-name",
                "- stands for open swarms",
            ),
            (
                "download x --only",
                "download",
                "arguments",
                "nothing follows --only",
            ),
            (
                "download x --only /a",
                "download",
                "arguments",
                "a pattern is held against paths inside the share",
            ),
            (
                "torrent -setMode fly x",
                "torrent",
                "arguments",
                "the mode is one of",
            ),
            (
                "torrent",
                "torrent",
                "arguments",
                "-setMode|exit is missing",
            ),
            (
                "torrent -setMode send",
                "torrent",
                "arguments",
                "PATH is missing; usage: send PATH",
            ),
        ] {
            let (found, failure) = failure(line);
            assert_eq!((found.as_str(), failure.kind()), (name, kind), "{line}");
            assert!(
                failure.to_string().starts_with(message),
                "{line}: {failure}"
            );
        }
    }
}
