//! The arguments of `pieceful peer`.

use super::attach::{self, AttachArguments, no_attach_option};
use super::config::{Configuration, ProcessArguments, config_options};
use super::hooks::{HOOK_OPTIONS, hook_options, hook_settings};
use super::options::{flag, log_options, log_settings, option, path_option};
use super::place::{
    listen_and_tracker_info, listen_argument, names_address, tracker_info_argument,
};
use crate::cli::command_error::kinds;
use crate::cli::commands::entries;
use crate::cli::logging::LogOptions;
use crate::cli::{terminal, values, wrap};
use crate::net::WorkerPool;
use crate::peer::{HookOptions, Limits};
use crate::wire::HostPort;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;

/// The default of `--max-peers`.
const MAX_PEERS: usize = 50;

/// The arguments of a peer.
#[derive(Debug)]
pub(in crate::cli) struct PeerArguments {
    /// The address to listen on.
    pub(in crate::cli) listen: HostPort,
    /// The file that names the trackers; it may be written after the start.
    pub(in crate::cli) tracker_info: PathBuf,
    /// The state folder.
    pub(in crate::cli) dir: Option<PathBuf>,
    /// Who it is.
    pub(in crate::cli) identity: IdentityArguments,
    /// The commands of `-c`, how their results are printed, and when the peer ends.
    pub(in crate::cli) commands: CommandArguments,
    /// The number of worker threads.
    pub(in crate::cli) threads: usize,
    /// The largest number of links of one share.
    pub(in crate::cli) max_peers: usize,
    /// Limits of rate and memory.
    pub(in crate::cli) limits: Limits,
    /// The programs that it runs after events.
    pub(in crate::cli) hooks: HookOptions,
    /// A closed run instead of commands.
    pub(in crate::cli) scenario: Option<ScenarioArguments>,
    /// How the process logs.
    pub(in crate::cli) log: LogOptions,
    /// How the command attaches to a running peer, and the configuration.
    pub(in crate::cli) process: ProcessArguments,
}

/// Who a peer is.
#[derive(Debug, Default)]
pub(in crate::cli) struct IdentityArguments {
    /// Its name; empty if it has none.
    pub(in crate::cli) name: String,
    /// The file with the token of its machine.
    pub(in crate::cli) token: Option<PathBuf>,
}

/// The commands of `-c`, how their results are printed, and when the peer ends.
#[derive(Debug)]
pub(in crate::cli) struct CommandArguments {
    /// The commands; if there are none, commands come from standard input.
    pub(in crate::cli) lines: Vec<String>,
    /// Whether results are JSON.
    pub(in crate::cli) json: bool,
    /// Whether the peer keeps running after the last command.
    pub(in crate::cli) stay: bool,
    /// Whether the peer ends after the first command that fails.
    pub(in crate::cli) fail_fast: bool,
    /// The folder to which relative paths in the commands belong, if the commands are those of a
    /// configuration file. `None`: the current folder.
    pub(in crate::cli) folder: Option<PathBuf>,
}

/// The files of one client in a closed run.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct ScenarioArguments {
    /// Its `inR.txt`.
    pub(in crate::cli) file: PathBuf,
    /// The folder for the wanted files.
    pub(in crate::cli) out: PathBuf,
}

pub(super) fn definition() -> Command {
    Command::new("peer")
        .about("Run a peer, which shares and downloads files")
        .after_help(examples())
        .args([
            listen_argument(),
            tracker_info_argument()
                .help("The file that lists the trackers; it may be written or changed later"),
            folder_option(),
        ])
        .args(command_options())
        .args([
            flag("stay")
                .help("Keep sharing after the last command, until SIGINT, SIGTERM or SIGHUP; a -c command is tried again while no tracker answers; a command that cannot succeed ends the peer"),
            flag("json")
                .help("Print one JSON object per command, each on one line"),
            option("name", "NAME")
                .value_parser(values::peer_name)
                .help("The name of this peer, which other peers show in show_peers and in their logs"),
            path_option("token", "FILE")
                .help("Run the peer of a machine: it enrols with the token in this file, and then logs in by itself"),
            no_attach_option(),
        ])
        .args(config_options())
        .args(limits())
        .args(hook_options())
        .args([
            path_option("scenario", "FILE")
                .conflicts_with_all(["command", "token"].into_iter().chain(HOOK_OPTIONS))
                .help(
                    "Take part in a closed run with this file inR.txt, where R is the client's number",
                ),
            path_option("out", "DIR")
                .requires("scenario")
                .help("The folder in which a closed run writes clientR_NAME [default: the current folder]"),
        ])
        .args(log_options())
}

/// `--dir DIR`.
pub(super) fn folder_option() -> Arg {
    path_option("dir", "DIR")
        .help("The state folder [default: $XDG_DATA_HOME/pieceful/peer-PORT; with port 0 a temporary folder]")
}

/// The options about commands, and the number of threads and links.
pub(super) fn command_options() -> [Arg; 4] {
    let threads = format!(
        "Number of worker threads [default: 2 x cores, at least 4; here {}]",
        WorkerPool::default_size()
    );
    [
        Arg::new("command")
            .short('c')
            .value_name("COMMAND")
            .action(ArgAction::Append)
            .help(
                "Run this command instead of reading standard input; repeat -c for more commands",
            ),
        flag("fail-fast").help("End after the first command that fails"),
        option("threads", "N")
            .value_parser(values::count(1_024))
            .help(threads),
        option("max-peers", "N")
            .value_parser(values::count(2_000))
            .help(format!(
                "The most links of one share [default: {MAX_PEERS}]"
            )),
    ]
}

/// The limits of rate and memory.
pub(super) fn limits() -> [Arg; 4] {
    let rate = |name: &'static str| option(name, "RATE").value_parser(values::rate);
    [
        option("upload-slots", "N")
            .value_parser(values::count(2_000))
            .help("The number of peers that each share serves at a time [default: as many as the rate allows, at least 8]"),
        rate("up").help("The upload limit in bytes of files per second, such as 500K, 10MB/s or 1.5MiB; K, KB and KiB are 1024 bytes, M is 1024 K, G is 1024 M [default: no limit]"),
        rate("down").help("The download limit, written as for --up [default: no limit]"),
        option("memory", "SIZE")
            .value_parser(values::memory)
            .help("The memory limit for data being received, such as 64M or 1G; only fast links over long distances need much [default: an eighth of the machine's memory, at most 256M]"),
    ]
}

fn examples() -> String {
    let rows = |rows: Vec<(String, &str)>| wrap::table(&rows, terminal::columns()).join("\n");
    let commands = entries().map(|entry| (entry.usage(), entry.summary));
    let kinds = kinds().map(|(kind, meaning)| ((*kind).to_owned(), *meaning));
    let (commands, kinds) = (rows(commands.collect()), rows(kinds.collect()));
    format!(
        "Examples:\n  \
         pieceful peer                                    start a prompt\n  \
         pieceful peer -c 'send disk.img' --stay          share a file until Ctrl-C\n  \
         pieceful peer 0.0.0.0:6882 -c 'download disk.img.torrent copy.img' -c wait\n                                                   \
         download it, by a second peer\n  \
         echo status | pieceful peer 127.0.0.1:0 --json   from a script\n  \
         pieceful peer -c status                          ask the peer that runs already\n\n\
         Commands (blanks separate words; quotes and backslash as in sh; # begins a comment line):\n{commands}\n\n\
         With --json each command prints {{\"command\":..., \"ok\":true, ...}} or {{\"command\":..., \
         \"ok\":false, \"error\":{{\"kind\":..., \"message\":...}}}}, where kind is one of:\n{kinds}\n\n\
         \"copies\":1 after ok means that only one of several trackers has stored the change so far; the others copy it when they are back.\n\
         Ctrl-C ends the peer gracefully, a second Ctrl-C at once. Exit codes: 0 all commands succeeded; 1 a command \
         failed; 2 wrong usage; 3 the trackers refuse this machine for good; 130 ended by a second Ctrl-C."
    )
}

/// # Errors
/// A message for the user: TRACKER_INFO is named twice.
pub(super) fn read(
    matches: &ArgMatches,
    config: Option<Configuration>,
) -> Result<PeerArguments, String> {
    let set = config.as_ref().and_then(|config| config.value("listen"));
    let set = set.and_then(|address| address.parse().ok());
    let place = listen_and_tracker_info(matches, set)?;
    let out = matches.get_one::<PathBuf>("out").cloned();
    let mut arguments = read_shared(matches, place, config.as_ref());
    arguments.identity = IdentityArguments {
        name: matches.get_one("name").cloned().unwrap_or_default(),
        token: matches.get_one("token").cloned(),
    };
    arguments.commands.stay = matches.get_flag("stay");
    arguments.scenario = matches
        .get_one::<PathBuf>("scenario")
        .map(|file| ScenarioArguments {
            file: file.clone(),
            out: out.unwrap_or_else(|| ".".into()),
        });
    arguments.process = ProcessArguments {
        attach: attach_arguments(matches),
        config,
    };
    Ok(arguments)
}

/// The arguments of a peer that stays, as far as the mode `join` has them too. `place` is LISTEN
/// and TRACKER_INFO.
pub(super) fn read_shared(
    matches: &ArgMatches,
    (listen, tracker_info): (HostPort, PathBuf),
    config: Option<&Configuration>,
) -> PeerArguments {
    let hooks = hook_settings(matches, config);
    let are_of_file = matches.value_source("command") == Some(ValueSource::DefaultValue);
    let config = config.filter(|_| are_of_file);
    PeerArguments {
        listen,
        tracker_info,
        dir: matches.get_one("dir").cloned(),
        identity: IdentityArguments::default(),
        commands: CommandArguments {
            lines: matches
                .get_many("command")
                .unwrap_or_default()
                .cloned()
                .collect(),
            stay: true,
            json: matches.get_flag("json"),
            fail_fast: matches.get_flag("fail-fast"),
            folder: config.map(|config| config.folder().to_owned()),
        },
        threads: matches
            .get_one("threads")
            .copied()
            .unwrap_or_else(WorkerPool::default_size),
        max_peers: matches.get_one("max-peers").copied().unwrap_or(MAX_PEERS),
        limits: Limits {
            upload_slots: matches.get_one("upload-slots").copied(),
            up: matches.get_one("up").copied(),
            down: matches.get_one("down").copied(),
            memory: matches.get_one("memory").copied(),
        },
        hooks,
        scenario: None,
        log: log_settings(matches),
        process: ProcessArguments::default(),
    }
}

/// LISTEN names the state folder if `--dir` does not.
fn attach_arguments(matches: &ArgMatches) -> AttachArguments {
    let mut anytime = vec!["dir", "command", "fail-fast", "json", "no-attach"];
    let names_folder = matches.value_source("dir") != Some(ValueSource::CommandLine);
    if names_folder && names_address(matches) {
        anytime.push("listen");
    }
    let mut read = attach::read(matches, &definition(), &anytime);
    for argument in &mut read.start_only {
        if argument == "LISTEN" && !names_address(matches) {
            "TRACKER_INFO".clone_into(argument);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};
    use super::*;

    fn peer(line: &str) -> PeerArguments {
        match parse(line) {
            Ok(Invocation::Peer(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_that_are_left_out_have_their_defaults() {
        let plain = peer("peer");
        assert_eq!(plain.listen.to_string(), "0.0.0.0:6881");
        assert_eq!(plain.tracker_info, PathBuf::from("tracker_info.txt"));
        assert_eq!((plain.dir, plain.commands.stay), (None, false));
        assert_eq!(
            (plain.commands.fail_fast, plain.commands.json),
            (false, false)
        );
        assert!(plain.commands.lines.is_empty() && plain.scenario.is_none());
        let limits = plain.limits;
        assert!(limits.up.is_none() && limits.down.is_none() && limits.upload_slots.is_none());
        assert!(limits.memory.is_none());
        assert_eq!(
            (plain.threads, plain.max_peers),
            (WorkerPool::default_size(), MAX_PEERS)
        );
    }

    #[test]
    fn every_option_is_read() {
        let line = "peer [::1]:5000 t.txt --dir d --token k -c 'send a' -c wait --stay --fail-fast --json --name 'Lab 3' --threads 7 --max-peers 9";
        let all = peer(line);
        assert_eq!(
            (all.listen.to_string(), all.tracker_info),
            ("[::1]:5000".into(), "t.txt".into())
        );
        assert_eq!(
            (
                all.dir,
                all.commands.stay,
                all.commands.fail_fast,
                all.commands.json
            ),
            (Some("d".into()), true, true, true)
        );
        assert_eq!(
            (all.commands.lines, all.identity.name),
            (vec!["send a".into(), "wait".into()], "Lab 3".into())
        );
        assert_eq!((all.threads, all.max_peers), (7, 9));
        assert_eq!(all.identity.token, Some("k".into()));
        let limited = peer("peer --upload-slots 3 --up 500K --down 1.5MiB").limits;
        assert_eq!(
            (limited.upload_slots, limited.up, limited.down),
            (Some(3), Some(500 << 10), Some(3 << 19))
        );
        assert_eq!(peer("peer --memory 64M").limits.memory, Some(64 << 20));
        for bad in [
            "--up 0",
            "--down x",
            "--up 0.5K",
            "--upload-slots 0",
            "--memory 1023K",
            "--memory x",
        ] {
            assert!(parse(&format!("peer {bad}")).is_err(), "{bad}");
        }
        let run = peer("peer localhost:0 --scenario in12.txt --out o").scenario;
        assert_eq!(
            run,
            Some(ScenarioArguments {
                file: "in12.txt".into(),
                out: "o".into()
            })
        );
    }

    #[test]
    fn the_help_lists_commands_and_kinds() {
        let Ok(Invocation::Print(help)) = parse("peer --help") else {
            panic!()
        };
        assert!(
            help.contains("show_downloads ") && help.contains("no-such-download "),
            "{help}"
        );
    }
}
