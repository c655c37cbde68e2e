//! The options that name hooks: programs that a peer runs after events.

use super::config::Configuration;
use super::options::option;
use crate::cli::{values, words};
use crate::peer::{HookCommand, HookKind, HookOptions};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use std::time::Duration;

/// The default of `--hook-time`.
const HOOK_TIME: Duration = Duration::from_secs(600);

/// The names of all options about hooks.
pub(super) const HOOK_OPTIONS: [&str; 4] = ["on-complete", "on-error", "on-share", "hook-time"];

/// The options about hooks.
pub(super) fn hook_options() -> [Arg; 4] {
    let [complete, error, share, time] = HOOK_OPTIONS;
    let hook = |name| option(name, "CMD").value_parser(hook_command);
    [
        hook(complete).help("Run this program when a download is complete; CMD is split as at the prompt, and no shell is used"),
        hook(error).help("Run this program when a share or download has failed, or its files have changed"),
        hook(share).help("Run this program when a group of this user or machine has a new share"),
        option(time, "SECONDS")
            .value_parser(values::whole_seconds)
            .help(format!(
                "How long such a program may run; then the peer ends it [default: {}]",
                HOOK_TIME.as_secs()
            )),
    ]
}

/// The values of [`hook_options`]. A program in the configuration file that has a relative path
/// belongs to the folder of the file.
pub(super) fn hook_settings(matches: &ArgMatches, config: Option<&Configuration>) -> HookOptions {
    let command = |kind: HookKind| {
        let mut command = matches.get_one::<HookCommand>(kind.option())?.clone();
        let is_of_file = matches.value_source(kind.option()) == Some(ValueSource::DefaultValue);
        if let Some(config) = config.filter(|_| is_of_file && command.program.contains('/'))
            && let Some(program) = config.folder().join(&command.program).to_str()
        {
            program.clone_into(&mut command.program);
        }
        Some((kind, command))
    };
    HookOptions {
        commands: HookKind::ALL.into_iter().filter_map(command).collect(),
        time: matches.get_one("hook-time").copied().unwrap_or(HOOK_TIME),
    }
}

/// Splits the text of an option into a program and its arguments.
fn hook_command(text: &str) -> Result<HookCommand, String> {
    if text.contains('\0') {
        return Err("it contains a NUL, which no argument of a program can have".to_owned());
    }
    let home = std::env::var("HOME").ok();
    let words = words::split_with_home(text, home.as_deref());
    let mut words = words.map_err(|error| error.to_string())?.into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    let program = program.ok_or("it names no program; write the program and its arguments")?;
    Ok(HookCommand {
        program,
        arguments: words.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};
    use super::*;

    #[test]
    fn a_command_is_split_into_words_and_none_is_for_a_shell() {
        let command = hook_command(r#"notify 'a b' "c\"d" $HOME * ; e\ f ''"#).unwrap();
        assert_eq!(command.program, "notify");
        let arguments = ["a b", "c\"d", "$HOME", "*", ";", "e f", ""];
        assert_eq!(command.arguments, arguments);
        for bad in ["", "  ", "# comment", "'open", "x \\", "'' x", "a\0b"] {
            assert!(hook_command(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hooks_have_a_time_limit_and_are_not_for_closed_runs() {
        let hooks = |line: &str| match parse(line) {
            Ok(Invocation::Peer(arguments)) => arguments.hooks,
            other => panic!("{line}: {other:?}"),
        };
        let none = hooks("peer");
        assert!(none.commands.is_empty());
        assert_eq!(none.time, HOOK_TIME);
        let all = hooks("peer --on-complete a --on-error 'b c' --on-share d --hook-time 7");
        let programs = all.commands.values().map(|command| &*command.program);
        assert_eq!(programs.collect::<Vec<_>>(), ["a", "b", "d"]);
        assert_eq!(all.time, Duration::from_secs(7));
        for bad in [
            "peer --on-complete ''",
            "peer --on-error \"it's\"",
            "peer --hook-time 0",
            "peer --on-share x --scenario in1.txt",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
