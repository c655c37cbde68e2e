//! The commands of a peer: one table for reading, help and completion.
//!
//! In scope: a line of words becomes a [`Command`]. Out of scope: running it (`execute`).

mod account;
mod command;
mod command_words;
mod entry;
mod holder;
mod machine;
mod mirror;
mod nearest;
mod table;

pub(super) use account::{AccountCommand, LoginCommand};
pub(super) use command::{Command, DownloadSource, FileCommand, OPEN_SWARMS};
pub(super) use entry::{ArgumentKind, CommandEntry};
pub(super) use holder::{HolderCommand, WaitForCommand, WantedMachines};
pub(super) use machine::MachineCommand;
pub(super) use mirror::MirrorCommand;
pub(super) use nearest::nearest;
pub(super) use table::{AREAS, entries};

use super::command_error::CommandError;
use super::words;
use crate::base::escape;

/// A line of input as a command.
pub(super) struct ParsedLine {
    /// The command's name in the table and in JSON; if the line is not a command, its first word as
    /// typed.
    pub(super) name: String,
    /// The command, or why the line is not one.
    pub(super) command: Result<Command, CommandError>,
}

/// Parses a line; `None` if it has no words. `home` is for `~/` (see [`words::split_with_home`]).
pub(super) fn parse_line(line: &str, home: Option<&str>) -> Option<ParsedLine> {
    let words = match words::split_with_home(line, home) {
        Ok(words) => words,
        Err(error) => {
            let name = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            return Some(ParsedLine {
                name,
                command: Err(error.into()),
            });
        }
    };
    let typed = words.first()?;
    let (name, arguments) = resolve_aliases(&words)?;
    let command = find(name).and_then(|entry| entry.parse(arguments).and_then(check_help_argument));
    // A line that is not a command is reported under the name that was typed.
    let name = match &command {
        Ok(Command::Help(_)) => "help",
        Ok(_) => name,
        Err(_) => typed,
    };
    Some(ParsedLine {
        name: name.to_owned(),
        command,
    })
}

/// The name and the arguments of the command that the words stand for: `torrent ...` and `exit` are
/// other ways to type commands.
fn resolve_aliases(words: &[String]) -> Option<(&str, &[String])> {
    let (name, arguments) = words.split_first()?;
    let is = |at: usize, word: &str| arguments.get(at).is_some_and(|typed| typed == word);
    let after = |count: usize| arguments.get(count..).unwrap_or_default();
    let mode = arguments.get(1).map(String::as_str);
    Some(match name.as_str() {
        "exit" => ("quit", arguments),
        "torrent" if is(0, "exit") => ("quit", after(1)),
        "torrent" if is(0, "-setMode") => match mode {
            Some("send" | "upload") => ("send", after(2)),
            Some("download") => ("download", after(2)),
            Some("exit") => ("quit", after(2)),
            _ => (name, arguments),
        },
        _ => (name, arguments),
    })
}

/// Refuses `help NAME` for a name that is not in the table.
fn check_help_argument(command: Command) -> Result<Command, CommandError> {
    if let Command::Help(Some(name)) = &command {
        find(name)?;
    }
    Ok(command)
}

fn find(name: &str) -> Result<&'static CommandEntry, CommandError> {
    let entry = entries().find(|entry| entry.name == name);
    entry.ok_or_else(|| CommandError::Unknown {
        word: escape(&name.chars().take(60).collect::<String>()).into_owned(),
        nearest: nearest(name, entries().map(|entry| entry.name)),
    })
}

/// Whether a line contains a password.
pub(super) fn holds_password(line: &ParsedLine) -> bool {
    matches!(&line.command, Ok(Command::Account(command)) if command.holds_password())
}

/// The number of lines with passwords that follow this line, if standard input is not a terminal:
/// one for each password of the command, or none if this line has passwords itself. They are
/// consumed even if the command fails before it asks for them. Otherwise they would be read as
/// commands, shown and logged.
pub(super) fn passwords_that_follow(line: &str) -> usize {
    // A line with an open quote is split at its blanks instead.
    let words =
        words::split(line).unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect());
    let Some((name, words)) = words.split_first() else {
        return 0;
    };
    let Ok(entry) = find(name) else {
        return 0;
    };
    let count = entry.count_arguments(words);
    let all = entry.arguments.iter();
    let secrets = all
        .filter(|argument| argument.kind == ArgumentKind::Secret)
        .count();
    let others = entry.arguments.len() - secrets;
    if count > others { 0 } else { secrets }
}

/// The line as it may be kept in the history: without passwords. A line with a mistyped name is
/// treated like the command that was probably meant. `None` if the name is like no command: it may
/// be a password.
pub(super) fn without_passwords(line: &str) -> Option<String> {
    // A line with an open quote is split at its blanks instead.
    let words =
        words::split(line).unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect());
    let entry = known_or_nearest(resolve_aliases(&words)?.0)?;
    let arguments = entry.arguments.iter();
    let argument_count = match entry.name {
        // The words after `help COMMAND` may be arguments of that command, with a password.
        "help" => 1,
        _ if !entry.takes_secrets() => return Some(line.to_owned()),
        _ => arguments
            .take_while(|argument| argument.kind != ArgumentKind::Secret)
            .count(),
    };
    let plain =
        |word: &&String| !word.starts_with("--") && !word.contains([' ', '\t', '\'', '"', '\\']);
    let words: Vec<&str> = words
        .iter()
        .take(argument_count + 1)
        .take_while(plain)
        .map(String::as_str)
        .collect();
    Some(words.join(" "))
}

/// The command of this name, or the one that was probably meant. An unknown name with a character
/// that no command name has may be a password, so it stays unknown.
fn known_or_nearest(name: &str) -> Option<&'static CommandEntry> {
    let is_like_a_name = |name: &&str| name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let names = entries().map(|entry| entry.name);
    let nearest = || nearest(name, names).filter(|_| is_like_a_name(&name));
    let found = find(name).ok();
    found.or_else(|| find(nearest()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::StopScope;
    use crate::peer::{DownloadOptions, FileChoice, WantedPlace};
    use crate::wire::role::Role;
    use std::path::PathBuf;
    use std::time::Duration;

    fn ok(line: &str) -> (String, Command) {
        let line = parse_line(line, None).unwrap();
        (line.name, line.command.unwrap())
    }

    fn failure(line: &str) -> (String, CommandError) {
        let line = parse_line(line, None).unwrap();
        (line.name, line.command.unwrap_err())
    }

    #[test]
    fn every_command_is_read() {
        let send = |torrent: Option<&str>| Command::Send {
            path: "a b".into(),
            torrent: torrent.map(PathBuf::from),
            follow_links: false,
        };
        let options = |destination: Option<&str>, choice| DownloadOptions {
            destination: WantedPlace {
                named: destination.map(PathBuf::from),
                ..WantedPlace::default()
            },
            choice,
        };
        let download = |destination: Option<&str>| Command::Download {
            source: DownloadSource::Torrent("x.torrent".into()),
            options: options(destination, FileChoice::default()),
        };
        let choice = || FileChoice {
            only: vec!["*.a".parse().unwrap(), "b/**".parse().unwrap()],
            sequential: true,
            force: true,
        };
        let chosen = |destination| Command::Download {
            source: DownloadSource::Torrent("x.torrent".into()),
            options: options(Some(destination), choice()),
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
                chosen("d"),
            ),
            (
                "torrent -setMode download --only=*.a --only=b/** --sequential --force -- x.torrent --d",
                "download",
                chosen("--d"),
            ),
            (
                "torrent -setMode download MAGNET:?x=1&y",
                "download",
                Command::Download {
                    source: DownloadSource::Magnet("MAGNET:?x=1&y".into()),
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
                    scope: StopScope::Everywhere,
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
            ("stop", "stop", Command::Stop),
            ("torrent exit", "quit", Command::Quit),
            ("torrent -setMode exit", "quit", Command::Quit),
            ("exit", "quit", Command::Quit),
        ] {
            assert_eq!(ok(line), (name.to_owned(), command), "{line}");
        }
        assert!(matches!(ok("help send").1, Command::Help(Some(name)) if name == "send"));
        for empty in [" \t", "# a comment", "#'"] {
            assert!(parse_line(empty, None).is_none(), "{empty}");
        }
    }

    #[test]
    fn neither_the_history_nor_an_error_contains_a_password() {
        for (line, kept) in [
            ("login nik secret", Some("login nik")),
            ("login  'n k' secret", Some("login")),
            ("login nik", Some("login nik")),
            ("create_user --invite AB nik secret", Some("create_user")),
            ("create_user --invite=AB nik secret", Some("create_user")),
            ("login nik -- --secret", Some("login nik")),
            ("login -- nik --secret", Some("login")),
            ("login nik --secret", Some("login nik")),
            ("# login nik secret", None),
            ("change_password old new", Some("change_password")),
            ("list_members 'a b'", Some("list_members 'a b'")),
            ("logn nik secret", Some("logn nik")),
            ("sned x 'y", Some("sned x 'y")),
            ("send", Some("send")),
            ("send 'a b", Some("send 'a b")),
            ("secret", None),
            ("status1", None),
            ("signin nik secret", None),
            ("help login nik secret", Some("help login")),
            ("login 'x", Some("login")),
            ("login nik 'x", Some("login nik")),
            ("", None),
        ] {
            assert_eq!(without_passwords(line).as_deref(), kept, "{line}");
        }
        for line in [
            "login nik a b",
            "change_password a b c",
            "login nik --secret",
        ] {
            let (_, failure) = failure(line);
            let shown = failure.to_string();
            assert!(!shown.contains('"') && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn numbers_of_tokens_have_bounds() {
        let new = |line: &str| match ok(line).1 {
            Command::Machine(
                MachineCommand::CreateToken(new) | MachineCommand::CreateJoin(new),
            ) => new,
            other => panic!("{line}: {other:?}"),
        };
        let plain = new("create_token lab club");
        assert_eq!(
            (plain.groups.len(), plain.machines, plain.enrol_seconds),
            (2, 1, None)
        );
        assert_eq!((plain.role, plain.name), (Role::Reader, None));
        let line = "create_token lab --days 3650 --machines 1000 --role publisher --name x";
        let all = new(line);
        assert_eq!(
            (all.machines, all.enrol_seconds),
            (1_000, Some(3_650 * 86_400))
        );
        assert_eq!(
            (all.role, all.name),
            (Role::Publisher, Some("x".parse().unwrap()))
        );
        let join = new("create_join lab");
        assert_eq!((join.machines, join.enrol_seconds), (1, Some(86_400)));
        for line in [
            "create_token lab --days 0",
            "create_token lab --days 3651",
            "create_token lab --days +1",
            "create_token lab --machines 1001",
            "create_token lab --role owner",
            "create_join lab --hours 87601",
            "create_join lab --uses x",
            "create_join lab club",
            "create_token",
        ] {
            assert_eq!(failure(line).1.kind(), "arguments", "{line}");
        }
        for line in ["create_token lab --name a/b", "revoke_machine gpu1"] {
            assert_eq!(failure(line).1.kind(), "bad-name", "{line}");
        }
    }

    #[test]
    fn options_are_read_anywhere_in_the_line() {
        let leave = |may_end_group| {
            let group = "lab".parse().unwrap();
            let end = may_end_group;
            Command::Account(AccountCommand::LeaveGroup { group, end })
        };
        for (line, may_end_group) in [
            ("leave_group lab", false),
            ("leave_group lab --yes", true),
            ("leave_group --yes lab", true),
        ] {
            assert_eq!(ok(line).1, leave(may_end_group), "{line}");
        }
        for line in ["create_user nik --invite", "create_user nik --invite --"] {
            let (_, failure) = failure(line);
            assert!(failure.to_string().starts_with("--invite needs a value"));
        }
    }

    #[test]
    fn help_is_an_option_of_every_command() {
        for entry in entries() {
            let expected = Command::Help(Some(entry.name.to_owned()));
            let (name, command) = ok(&format!("{} --help", entry.name));
            assert_eq!((name.as_str(), command), ("help", expected));
        }
        let (_, command) = ok("torrent -setMode send x --help");
        assert_eq!(command, Command::Help(Some("send".to_owned())));
    }

    #[test]
    fn every_example_is_a_command() {
        for entry in entries() {
            let examples = entry.details.lines();
            for example in examples.filter_map(|line| line.strip_prefix("Example: ")) {
                assert_eq!(ok(example).0, entry.name, "{example}");
            }
        }
    }

    #[test]
    fn each_bad_line_has_its_kind_and_message() {
        for (line, name, kind, message) in [
            (
                "send",
                "send",
                "arguments",
                "PATH is missing; usage: send PATH [OUT.torrent]",
            ),
            ("send ''", "send", "arguments", "an argument is empty"),
            (
                "quit now",
                "quit",
                "arguments",
                "too many arguments: \"now\"; usage: quit",
            ),
            (
                "send a b c",
                "send",
                "arguments",
                "too many arguments: \"c\"",
            ),
            (
                "wait soon",
                "wait",
                "arguments",
                "expected a time in seconds",
            ),
            ("wait -1", "wait", "arguments", "expected a time in seconds"),
            (
                "sned x",
                "sned",
                "unknown-command",
                "unknown command \"sned\"; did you mean send?",
            ),
            (
                "Show_Download",
                "Show_Download",
                "unknown-command",
                "unknown command \"Show_Download\"; did you mean show_downloads?",
            ),
            (
                " # x",
                "#",
                "unknown-command",
                "unknown command \"#\"; help lists all commands",
            ),
            (
                "download x --sequental",
                "download",
                "arguments",
                "download has no option --sequental, the nearest is --sequential; usage: download ",
            ),
            (
                "send f --private",
                "send",
                "arguments",
                "send has no option --private (if a name begins with --, type -- before it); usage: send ",
            ),
            (
                "upload_file lab x --only=a",
                "upload_file",
                "arguments",
                "upload_file has no option --only",
            ),
            (
                "leave_group lab --yes=no",
                "leave_group",
                "arguments",
                "--yes takes no value; usage: ",
            ),
            (
                "change_password --invite x",
                "change_password",
                "arguments",
                "change_password has no such option (if a password begins with --, type -- before it)",
            ),
            (
                "create_user nik --invit=secret",
                "create_user",
                "arguments",
                "create_user has no such option, the nearest is --invite; usage: ",
            ),
            (
                "help me",
                "help",
                "unknown-command",
                "unknown command \"me\"",
            ),
            ("send 'x", "send", "syntax", "the quote ' is not closed"),
            (
                "create_group -",
                "create_group",
                "bad-name",
                "a name must not begin with '-'",
            ),
            (
                "create_group -- --help",
                "create_group",
                "bad-name",
                "a name must not begin with '-'",
            ),
            (
                "create_user -nik",
                "create_user",
                "bad-name",
                "a name must not begin with '-'",
            ),
            (
                "download x --only",
                "download",
                "arguments",
                "--only needs a value",
            ),
            (
                "download x --only=",
                "download",
                "arguments",
                "the pattern is empty",
            ),
            (
                "download x --only /a",
                "download",
                "arguments",
                "a pattern is compared with paths inside the share",
            ),
            (
                "torrent -setMode fly x",
                "torrent",
                "arguments",
                "the mode must be",
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
            let (command, failure) = failure(line);
            assert_eq!((command.as_str(), failure.kind()), (name, kind), "{line}");
            assert!(
                failure.to_string().starts_with(message),
                "{line}: {failure}"
            );
        }
    }
}
