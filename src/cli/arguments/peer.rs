//! `pieceful peer`.

use super::options::{flag, log_level, log_option, option, path, path_option};
use crate::cli::commands::entries;
use crate::cli::failure::kinds;
use crate::cli::values;
use crate::net::Pool;
use crate::peer::Limits;
use crate::wire::HostPort;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use log::LevelFilter;
use std::path::PathBuf;

/// Peers a download is connected to at most, unless asked otherwise.
const MAX_PEERS: usize = 50;

/// How a peer shall run.
#[derive(Debug)]
pub(in crate::cli) struct PeerArguments {
    /// Where to listen.
    pub(in crate::cli) listen: HostPort,
    /// The file that names the trackers; it may come to be later.
    pub(in crate::cli) tracker_info: PathBuf,
    /// The state folder.
    pub(in crate::cli) dir: Option<PathBuf>,
    /// Commands instead of standard input, if any.
    pub(in crate::cli) commands: Vec<String>,
    /// Whether it shares on after the last command.
    pub(in crate::cli) stay: bool,
    /// Whether results are JSON.
    pub(in crate::cli) json: bool,
    /// What its owner calls it; empty if not named.
    pub(in crate::cli) name: String,
    /// Workers that fetch pieces at one time.
    pub(in crate::cli) threads: usize,
    /// Links of a download at most.
    pub(in crate::cli) max_peers: usize,
    /// How much it gives and takes.
    pub(in crate::cli) limits: Limits,
    /// A closed run instead of commands.
    pub(in crate::cli) scenario: Option<ScenarioArguments>,
    /// What goes into the log.
    pub(in crate::cli) log: LevelFilter,
}

/// The part of one client in a closed run.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct ScenarioArguments {
    /// Its `inR.txt`.
    pub(in crate::cli) file: PathBuf,
    /// The folder for what it fetches.
    pub(in crate::cli) out: PathBuf,
}

pub(super) fn definition() -> Command {
    Command::new("peer")
        .about("Run a peer: it shares files and downloads them")
        .after_help(examples())
        .args(general_options())
        .args(limits())
        .args([
            path_option("scenario", "FILE")
                .conflicts_with("command")
                .help(
                    "Take part in a closed run as this inR.txt says, R being the client's number",
                ),
            path_option("out", "DIR")
                .requires("scenario")
                .help("Where a closed run writes clientR_NAME [default: the current folder]"),
            log_option(),
        ])
}

fn general_options() -> [Arg; 9] {
    let threads = format!(
        "How many pieces are worked on at one time [default: 2 x cores, at least 4; here {}]",
        Pool::default_size()
    );
    [
        Arg::new("listen")
            .value_name("LISTEN")
            .default_value("0.0.0.0:6881")
            .value_parser(value_parser!(HostPort))
            .help("HOST:PORT to listen on; port 0 takes a free one"),
        path("tracker_info", "TRACKER_INFO").default_value("tracker_info.txt")
            .help("The file that names the trackers; it may be written or changed later"),
        path_option("dir", "DIR")
            .help("The state folder [default: $XDG_DATA_HOME/pieceful/peer-PORT; with port 0 a temporary one]"),
        Arg::new("command")
            .short('c')
            .value_name("COMMAND")
            .action(ArgAction::Append)
            .help("Run one command instead of reading standard input; repeat it for more"),
        flag("stay")
            .help("Share on after the last command, until SIGINT or SIGTERM"),
        flag("json")
            .help("Print one JSON object a command, on one line each"),
        option("name", "NAME")
            .value_parser(values::peer_name)
            .help("What this peer is called, shown by other peers' show_peers and in logs"),
        option("threads", "N")
            .value_parser(values::count(1_024))
            .help(threads),
        option("max-peers", "N")
            .value_parser(values::count(2_000))
            .help(format!("How many peers a download is connected to at most [default: {MAX_PEERS}]")),
    ]
}

fn limits() -> [Arg; 4] {
    let rate = |name: &'static str| option(name, "RATE").value_parser(values::rate);
    [
        option("upload-slots", "N")
            .value_parser(values::count(2_000))
            .help("How many peers are served at one time, for each share [default: as many as the rate allows, at least 8]"),
        rate("up").help("The most that is sent, in bytes of files a second, such as 500K, 10MB/s or 1.5MiB; K, KB and KiB are 1024, M and G likewise [default: no limit]"),
        rate("down").help("The most that is received, likewise [default: no limit]"),
        option("memory", "SIZE")
            .value_parser(values::memory)
            .help("The most memory for what is being received, such as 64M or 1G; far, fast links need it [default: an eighth of the machine's, at most 256M]"),
    ]
}

fn examples() -> String {
    let rows = |rows: Vec<(String, &str)>| {
        let width = rows
            .iter()
            .map(|(left, _)| left.len())
            .max()
            .unwrap_or_default();
        let rows = rows
            .iter()
            .map(|(left, right)| format!("  {left:width$}  {right}\n"));
        rows.collect::<String>()
    };
    let commands = rows(
        entries()
            .map(|entry| (entry.usage(), entry.summary))
            .collect(),
    );
    let kinds = rows(
        kinds()
            .map(|(kind, meaning)| ((*kind).to_owned(), *meaning))
            .collect(),
    );
    format!(
        "Examples:\n  \
         pieceful peer                                            a prompt\n  \
         pieceful peer -c 'send disk.img' --stay                  share a file until Ctrl-C\n  \
         pieceful peer -c 'download disk.img.torrent' -c 'wait'   download it and leave\n  \
         echo status | pieceful peer 127.0.0.1:0 --json           for scripts\n\n\
         Commands (blanks separate words; quotes and backslash as in sh):\n{commands}\n\
         With --json each command prints {{\"command\":...,\"ok\":true,...}} or\n\
         {{\"command\":...,\"ok\":false,\"error\":{{\"kind\":...,\"message\":...}}}}, where kind is one of:\n{kinds}\n\
         Beside ok stands \"copies\":1 where one tracker of several has it so far; the others get it when they are back.\n\
         Ctrl-C ends the peer gracefully, a second one at once. Exit codes: 0 all commands succeeded; 1 one or more \
         failed; 2 wrong usage; 130 killed by a second Ctrl-C."
    )
}

pub(super) fn read(matches: &ArgMatches) -> PeerArguments {
    let any = || HostPort {
        host: "0.0.0.0".into(),
        port: 6881,
    };
    let out = matches.get_one::<PathBuf>("out").cloned();
    PeerArguments {
        listen: matches.get_one("listen").cloned().unwrap_or_else(any),
        tracker_info: matches.get_one("tracker_info").cloned().unwrap_or_default(),
        dir: matches.get_one("dir").cloned(),
        commands: matches
            .get_many("command")
            .unwrap_or_default()
            .cloned()
            .collect(),
        stay: matches.get_flag("stay"),
        json: matches.get_flag("json"),
        name: matches.get_one("name").cloned().unwrap_or_default(),
        threads: matches
            .get_one("threads")
            .copied()
            .unwrap_or_else(Pool::default_size),
        max_peers: matches.get_one("max-peers").copied().unwrap_or(MAX_PEERS),
        limits: Limits {
            upload_slots: matches.get_one("upload-slots").copied(),
            up: matches.get_one("up").copied(),
            down: matches.get_one("down").copied(),
            memory: matches.get_one("memory").copied(),
        },
        scenario: matches
            .get_one::<PathBuf>("scenario")
            .map(|file| ScenarioArguments {
                file: file.clone(),
                out: out.unwrap_or_else(|| ".".into()),
            }),
        log: log_level(matches),
    }
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
    fn the_defaults_are_those_of_a_plain_peer() {
        let plain = peer("peer");
        assert_eq!(plain.listen.to_string(), "0.0.0.0:6881");
        assert_eq!(plain.tracker_info, PathBuf::from("tracker_info.txt"));
        assert_eq!((plain.dir, plain.stay, plain.json), (None, false, false));
        assert!(plain.commands.is_empty() && plain.scenario.is_none());
        let limits = plain.limits;
        assert!(limits.up.is_none() && limits.down.is_none() && limits.upload_slots.is_none());
        assert!(limits.memory.is_none());
        assert_eq!(
            (plain.threads, plain.max_peers),
            (Pool::default_size(), MAX_PEERS)
        );
    }

    #[test]
    fn every_option_is_read() {
        let line = "peer [::1]:5000 t.txt --dir d -c 'send a' -c wait --stay --json --name 'Lab 3' --threads 7 --max-peers 9";
        let all = peer(line);
        assert_eq!(
            (all.listen.to_string(), all.tracker_info),
            ("[::1]:5000".into(), "t.txt".into())
        );
        assert_eq!(
            (all.dir, all.stay, all.json),
            (Some("d".into()), true, true)
        );
        assert_eq!(
            (all.commands, all.name),
            (vec!["send a".into(), "wait".into()], "Lab 3".into())
        );
        assert_eq!((all.threads, all.max_peers), (7, 9));
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
