//! The arguments of `pieceful join`.

use super::config::Configuration;
use super::hooks::hook_options;
use super::options::{flag, log_options, option, path_option};
use super::peer::{PeerArguments, command_options, folder_option, limits, read_shared};
use super::place::DEFAULT_LISTEN;
use crate::cli::values;
use crate::wire::HostPort;
use crate::wire::name::MachineName;
use clap::{Arg, ArgMatches, Command, value_parser};
use std::path::PathBuf;

/// The options that only a running peer uses.
const OPTIONS_OF_PEER: [&str; 12] = [
    "command",
    "fail-fast",
    "threads",
    "max-peers",
    "upload-slots",
    "up",
    "down",
    "memory",
    "on-complete",
    "on-error",
    "on-share",
    "hook-time",
];

/// The arguments of `join`.
#[derive(Debug)]
pub(in crate::cli) struct JoinArguments {
    /// The join line. `None`: it is read from standard input.
    pub(in crate::cli) line: Option<String>,
    /// The name of the machine. `None`: that of the host.
    pub(in crate::cli) name: Option<MachineName>,
    /// Whether the process goes on as a peer.
    pub(in crate::cli) run: bool,
    /// The arguments of that peer. Its TRACKER_INFO is not known yet.
    pub(in crate::cli) peer: PeerArguments,
}

pub(super) fn definition() -> Command {
    let of_peer = command_options().into_iter();
    let of_peer = of_peer.chain(limits()).chain(hook_options());
    Command::new("join")
        .about("Make this machine a member of groups, with a line that create_join printed")
        .after_help(
            "Examples:\n  \
             pieceful join --run                           type the line, and go on as a peer\n  \
             pieceful join --dir /srv/pieceful < line.txt  join, and say what to run next\n\n\
             Makes a key for this machine in the state folder, and writes tracker_info.txt and token into it. \
             Other users of this machine can see LINE in the list of processes; on standard input they cannot. \
             A line that was used up, has expired or was revoked is refused. If a join was cut short, run it again. \
             Exit codes: 0 joined, now or before; 1 not joined; 2 wrong usage, or LINE has a typing mistake; \
             3 the trackers refuse LINE for good.",
        )
        .args([
            Arg::new("line")
                .value_name("LINE")
                .num_args(1..)
                .help("The join line; without it, it is read from standard input"),
            folder_option(),
            option("listen", "HOST:PORT")
                .value_parser(value_parser!(HostPort))
                .default_value(DEFAULT_LISTEN)
                .help("The address that the peer listens on; it also decides the default state folder"),
            option("name", "NAME")
                .value_parser(values::machine_name)
                .help("The name of this machine [default: the name of the host]"),
            flag("run").help("Go on as a peer, as pieceful peer --stay does"),
            flag("json").help("Print one JSON object for the join, and with --run one per command"),
            path_option("config", "FILE")
                .help("Read settings of the peer from this TOML file; options override them"),
        ])
        .args(of_peer.map(|argument| argument.requires("run")))
        .args(log_options())
        .mut_args(|argument| match OPTIONS_OF_PEER.contains(&argument.get_id().as_str()) {
            true => argument.help_heading("Options for --run"),
            false => argument,
        })
}

/// Reads the arguments. The name in the configuration may be any name of a peer, as for
/// `pieceful peer --token`.
pub(super) fn read(matches: &ArgMatches, config: Option<Configuration>) -> JoinArguments {
    let words = matches.get_many::<String>("line").unwrap_or_default();
    let words: Vec<&str> = words.map(String::as_str).collect();
    let set = config.as_ref().and_then(|config| config.value("name"));
    let typed: Option<MachineName> = matches.get_one("name").cloned();
    let name = typed.or_else(|| set.as_deref().map(MachineName::nearest));
    let listen = matches.get_one::<HostPort>("listen").cloned();
    let listen = listen.unwrap_or_else(|| HostPort {
        host: "0.0.0.0".into(),
        port: 6881,
    });
    let mut peer = read_shared(matches, (listen, PathBuf::new()), config.as_ref());
    let name_of_peer = name.as_ref().map(ToString::to_string);
    peer.identity.name = name_of_peer.or(set).unwrap_or_default();
    peer.process.config = config;
    JoinArguments {
        // A person may have typed it with blanks.
        line: (!words.is_empty()).then(|| words.join(" ")),
        name,
        run: matches.get_flag("run"),
        peer,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};
    use super::*;

    fn join(line: &str) -> JoinArguments {
        match parse(line) {
            Ok(Invocation::Join(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_line_and_every_option_are_read() {
        let plain = join("join");
        assert_eq!((plain.line, plain.name, plain.run), (None, None, false));
        assert_eq!(plain.peer.listen.to_string(), "0.0.0.0:6881");
        assert!(plain.peer.commands.stay && plain.peer.identity.token.is_none());
        let all = join(
            "join 'join-0 1' --dir d --listen [::1]:7 --name gpu1 --run --json -c 'send a' --up 1M",
        );
        assert_eq!(all.line.as_deref(), Some("join-0 1"));
        let typed = join("join join 0576x vqsr7 --dir d").line;
        assert_eq!(typed.as_deref(), Some("join 0576x vqsr7"));
        let peer = all.peer;
        assert_eq!(
            (all.run, peer.commands.json, peer.identity.name.as_str()),
            (true, true, "gpu1")
        );
        assert_eq!((peer.listen.port, peer.dir), (7, Some("d".into())));
        assert_eq!(
            (peer.commands.lines.len(), peer.limits.up),
            (1, Some(1 << 20))
        );
    }

    #[test]
    fn options_of_a_peer_need_run_and_a_machine_needs_a_plain_name() {
        for option in [
            "-c quit",
            "--up 1M",
            "--threads 2",
            "--memory 64M",
            "--fail-fast",
        ] {
            let error = parse(&format!("join {option}")).unwrap_err();
            assert!(error.contains("--run"), "{option}: {error}");
        }
        for name in ["'Lab 3'", "''", "-x", "a/b"] {
            assert!(parse(&format!("join --name={name}")).is_err(), "{name}");
        }
    }
}
