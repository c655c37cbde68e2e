//! Tests that `docs/cli.md` lists exactly the modes, options, commands, exit codes, JSON fields and
//! error kinds that the program has.

mod document;
mod json_fields;

use super::arguments::definition;
use super::command_error::{CommandError, PEER_KINDS, Prospect, kinds};
use super::commands::entries;
use super::console::CONSOLE_COMMANDS;
use super::exit::Exit;
use crate::peer::AccountError;
use crate::wire::access::{AccessErrorKind, AccessRefusal, ERROR_KINDS};
use crate::wire::control::TextLine;
use clap::{Arg, ArgAction, Command};
use document::{Item, headings, items};
use std::collections::BTreeSet;

/// Fails if one side has names that the other lacks, or if the document has a name twice.
fn assert_documented(
    what: &str,
    program: impl IntoIterator<Item = String>,
    document: impl IntoIterator<Item = String>,
) {
    let program: BTreeSet<String> = program.into_iter().collect();
    let mut documented = BTreeSet::new();
    for name in document {
        assert!(
            program.contains(&name),
            "{what}: docs/cli.md has {name:?}, the program does not"
        );
        assert!(
            documented.insert(name.clone()),
            "{what}: docs/cli.md has {name:?} twice"
        );
    }
    let missing: Vec<_> = program.difference(&documented).collect();
    assert!(missing.is_empty(), "{what}: docs/cli.md lacks {missing:?}");
}

fn names(items: Vec<Item>) -> Vec<String> {
    items.into_iter().flat_map(|item| item.names).collect()
}

/// The modes of a command, each with its full name: the command itself if it has no subcommands,
/// otherwise the modes of all its subcommands.
fn modes(command: &Command, name: &str) -> Vec<(String, Command)> {
    let subcommands: Vec<_> = command.get_subcommands().collect();
    if subcommands.is_empty() {
        return vec![(name.to_owned(), command.clone())];
    }
    let modes = subcommands
        .iter()
        .map(|command| modes(command, &format!("{name} {}", command.get_name())));
    modes.flatten().collect()
}

/// The options of a mode, without `--help`, which clap adds.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_opts().chain(
        command
            .get_arguments()
            .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue)),
    )
}

/// The spellings of an option, such as `-o FILE` and `--output FILE`.
fn spellings(option: &Arg) -> Vec<String> {
    let takes_value = !matches!(option.get_action(), ArgAction::SetTrue);
    let value = match option.get_value_names() {
        Some([value]) if takes_value => {
            let count = option.get_num_args().map_or(1, |range| range.min_values());
            format!(" {value}").repeat(count.max(1))
        }
        _ => String::new(),
    };
    let short = option.get_short().map(|short| format!("-{short}{value}"));
    let long = option.get_long().map(|long| format!("--{long}{value}"));
    short.into_iter().chain(long).collect()
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn every_mode_is_documented() {
    let mut program = Vec::new();
    for (mut line, command) in modes(&definition(), "pieceful") {
        let (required, optional): (Vec<_>, Vec<_>) = command
            .get_positionals()
            .partition(|arg| arg.is_required_set());
        required
            .iter()
            .for_each(|arg| line.push_str(&format!(" {}", value_name(arg))));
        optional
            .iter()
            .for_each(|arg| line.push_str(&format!(" [{}", value_name(arg))));
        program.push(line + &"]".repeat(optional.len()));
    }
    assert_documented("modes", program, names(items("## Modes")));
}

#[test]
fn every_option_is_documented_with_its_default() {
    for (name, heading) in [
        ("pieceful tracker", "### Options of a tracker"),
        ("pieceful peer", "### Options of a peer"),
        ("pieceful join", "### Options of `join`"),
        ("pieceful doctor", "### Options of `doctor`"),
        ("pieceful torrent create", "### Options of `torrent create`"),
        ("pieceful torrent show", "### `torrent show`"),
        ("pieceful torrent check", "### `torrent check`"),
    ] {
        let modes = modes(&definition(), "pieceful");
        let (_, command) = modes.iter().find(|(mode, _)| mode == name).unwrap();
        let documented = items(heading);
        for option in options(command) {
            let spellings = spellings(option);
            let item = documented.iter().find(|item| item.names == spellings);
            let item = item.unwrap_or_else(|| panic!("{heading} lacks {spellings:?}"));
            if option.get_action().takes_values() {
                assert_default(option, item);
            }
        }
        let program = options(command).flat_map(spellings);
        assert_documented(heading, program, names(documented));
    }
}

#[test]
fn every_argument_is_documented_with_its_default() {
    for (name, heading) in [
        ("tracker", "### Arguments of a tracker"),
        ("peer", "### Arguments of a peer"),
        ("join", "### Arguments of `join`"),
        ("doctor", "### Arguments of `doctor`"),
    ] {
        let definition = definition();
        let command = definition.find_subcommand(name).unwrap();
        let documented = items(heading);
        for (argument, item) in command.get_positionals().zip(&documented) {
            assert_default(argument, item);
        }
        let program = command.get_positionals().map(value_name);
        assert_documented(heading, program, names(documented));
    }
}

fn assert_default(argument: &Arg, item: &Item) {
    for default in argument.get_default_values() {
        let text = format!("Default: `{}`", default.to_str().unwrap());
        assert!(item.text.contains(&text), "{item:?} lacks {text:?}");
    }
}

#[test]
fn every_command_is_documented() {
    let program = entries().map(|entry| entry.usage());
    let document = headings("## Commands of a peer");
    assert_documented("commands", program, document);
}

#[test]
fn every_command_of_the_console_is_documented() {
    let program = CONSOLE_COMMANDS
        .iter()
        .map(|(usage, _)| (*usage).to_owned());
    let document = names(items("### Console of a tracker"));
    assert_documented("console commands", program, document);
}

#[test]
fn every_exit_code_is_documented() {
    // If `Exit` gets a new variant, this match does not compile until the variant is added here.
    let next = |exit: &Exit| match exit {
        Exit::Success => Some(Exit::Failure),
        Exit::Failure => Some(Exit::Usage),
        Exit::Usage => Some(Exit::Refused),
        Exit::Refused => Some(Exit::Killed),
        Exit::Killed => None,
    };
    let program = std::iter::successors(Some(Exit::Success), next);
    let program = program.map(|exit| exit.code().to_string());
    assert_documented("exit codes", program, names(items("### Exit codes")));
}

#[test]
fn the_kinds_that_are_tried_again_are_documented() {
    let refused = ERROR_KINDS.iter().map(|(kind, _)| AccessRefusal {
        kind: AccessErrorKind::parse(kind).unwrap(),
        message: TextLine::new("no"),
        retry_seconds: None,
    });
    let text = || "x".to_owned();
    let others = [
        AccountError::NoFinalAnswer("silence".to_owned()),
        AccountError::NotLoggedIn,
        AccountError::TrackerInfo(text()),
        AccountError::NoSuchName(text()),
    ];
    let mut errors: Vec<CommandError> = others.map(CommandError::Account).into();
    errors.extend(refused.map(|refusal| AccountError::from(refusal).into()));
    errors.extend([
        CommandError::DownloadFailed(Vec::new()),
        CommandError::NotComplete(Vec::new()),
        CommandError::Arguments(text(), text()),
    ]);
    let again = errors
        .iter()
        .filter(|error| error.prospect() == Prospect::TryAgain);
    let program = again.map(|error| error.kind().to_owned());
    assert_documented(
        "kinds that are tried again",
        program,
        names(items("### Kinds that are tried again")),
    );
    // The command may have been carried out, so it is not tried again.
    let not_sure = CommandError::Account(AccountError::UnknownOutcome {
        troubles: text(),
        advice: "x",
    });
    assert_eq!(not_sure.prospect(), Prospect::Never);
}

#[test]
fn every_error_kind_is_documented() {
    let of_peer = |kind: &str| PEER_KINDS.iter().any(|(known, _)| *known == kind);
    let (peer, tracker): (Vec<_>, Vec<_>) = kinds()
        .map(|(kind, _)| (*kind).to_owned())
        .partition(|kind| of_peer(kind));
    let document = names(items("### Kinds that a peer finds"));
    assert_documented("peer kinds", peer, document);
    let document = names(items("### Kinds that a tracker sends"));
    assert_documented("tracker kinds", tracker, document);
}
