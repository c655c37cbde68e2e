//! `pieceful tracker`.

use super::options::{flag, log_level, log_option, option, path, path_option};
use crate::cli::values;
use crate::tracker::Registration;
use crate::wire::HostPort;
use clap::{Arg, ArgMatches, Command, value_parser};
use log::LevelFilter;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// How a tracker shall run.
#[derive(Debug)]
pub(in crate::cli) struct TrackerArguments {
    /// The file that names the trackers.
    pub(in crate::cli) tracker_info: Option<PathBuf>,
    /// Which of its lines, counted from 1.
    pub(in crate::cli) number: u32,
    /// Where to listen instead of that line's address.
    pub(in crate::cli) listen: Option<HostPort>,
    /// The state folder.
    pub(in crate::cli) data: Option<PathBuf>,
    /// The file with the cluster's key, if not in its usual place.
    pub(in crate::cli) cluster: Option<PathBuf>,
    /// Whether anybody may announce.
    pub(in crate::cli) open: bool,
    /// What it grants to its own peers.
    pub(in crate::cli) service: ServiceArguments,
    /// What to do instead of running a tracker.
    pub(in crate::cli) instead: Option<Instead>,
    /// The backup to start from.
    pub(in crate::cli) restore: Option<PathBuf>,
    /// Whether it serves at once, whatever its data.
    pub(in crate::cli) alone: bool,
    /// A closed run instead of a service.
    pub(in crate::cli) closed_run: Option<ClosedRunArguments>,
    /// What goes into the log.
    pub(in crate::cli) log: LevelFilter,
}

/// What a tracker grants to its own peers.
#[derive(Debug)]
pub(in crate::cli) struct ServiceArguments {
    /// How often our own peers announce.
    pub(in crate::cli) interval: Duration,
    /// Who may make an account.
    pub(in crate::cli) registration: Registration,
    /// How long a certificate of a group's member holds.
    pub(in crate::cli) certificate_life: Duration,
}

/// Something else than running a tracker.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Instead {
    /// Print the state of one that does not run.
    Dump,
    /// Take a backup of one that runs, into this file.
    Backup(PathBuf),
    /// Compare the state of two that do not run.
    Check(PathBuf, PathBuf),
}

/// A closed run.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct ClosedRunArguments {
    /// How many clients take part.
    pub(in crate::cli) expect: NonZeroU32,
    /// How long they may take to report.
    pub(in crate::cli) wait: Duration,
}

pub(super) fn definition() -> Command {
    Command::new("tracker")
        .about("Run a tracker: it tells peers of one another")
        .after_help(HELP)
        .args(place_and_service())
        .args(data())
        .args(run())
        .arg(log_option())
}

const HELP: &str = "Examples:\n  \
    pieceful tracker --open                     on 127.0.0.1:5000, for anybody who has a .torrent\n  \
    pieceful tracker tracker_info.txt 2 --open  the second tracker of tracker_info.txt\n  \
    pieceful tracker --listen 0.0.0.0:0         on a free port, which the first line of output tells\n  \
    pieceful tracker --registration closed      accounts by invitation only\n  \
    pieceful tracker --data DIR --dump          the state of a stopped tracker, as JSON\n  \
    pieceful tracker --data DIR --backup FILE   a copy of all that the running tracker of DIR keeps\n  \
    pieceful tracker --check DIR DIR            what differs between two stopped trackers\n  \
    pieceful tracker --expect 3                 a closed run of three clients\n\n\
    While it runs, standard input is its console: status, users, groups, create_user USER, invite, help, quit.\n\n\
    TRACKER_INFO is a text file, one HOST:PORT a line ([::1]:5000 for IPv6); # starts a comment; a line\n\
    fingerprint sha256:HEX, as the tracker prints it, lets peers talk to trackers of that cluster only.\n\
    With --open it takes announces over HTTP and, on the same number, over UDP. GET /stats (JSON) and /metrics\n\
    (Prometheus) tell counts to everybody. Swarms last over a restart, in the state folder.\n\
    Ctrl-C ends the tracker, a second one at once. Exit codes: 0 done; 1 failed; 2 wrong usage; 130 killed by a \
    second Ctrl-C.";

/// Where it is, and whom it serves.
fn place_and_service() -> [Arg; 8] {
    [
        path("tracker_info", "TRACKER_INFO")
            .help("The file that names the trackers; without it this is the only one, on 127.0.0.1:5000"),
        Arg::new("number")
            .value_name("NUMBER")
            .value_parser(values::count(1_000_000))
            .help("Which address line of TRACKER_INFO this tracker is, counted from 1 [default: 1]"),
        option("listen", "ADDR")
            .value_parser(value_parser!(HostPort))
            .help("HOST:PORT to listen on instead of that line's; port 0 takes a free one"),
        path_option("data", "DIR")
            .help("The state folder [default: $XDG_DATA_HOME/pieceful/tracker-PORT; with port 0 a temporary one]"),
        path_option("cluster", "FILE")
            .help("The cluster's key, the same for all its trackers; tracker 1 makes it [default: cluster.pem beside TRACKER_INFO, or in the state folder]"),
        flag("open")
            .help("Serve open swarms: anybody who has a .torrent may announce"),
        option("registration", "open|closed")
            .default_value("open")
            .value_parser(["open", "closed"])
            .help("Who may make an account: anybody who reaches the tracker, or only holders of an invite code"),
        option("certificate-life", "SECONDS")
            .default_value("86400")
            .value_parser(values::whole_seconds)
            .help("How long a certificate of a group's member holds; peers fetch a new one in time"),
    ]
}

/// What it starts from, or what is done with its data instead.
fn data() -> [Arg; 5] {
    [
        flag("dump")
            .conflicts_with_all(["expect", "open"])
            .help("Print all of a stopped tracker's accounts and groups as JSON, without secrets, and leave"),
        path_option("backup", "FILE")
            .conflicts_with_all(["expect", "open", "dump", "restore"])
            .help("Write all that the running tracker of --data keeps to FILE, which then holds secret keys, and leave"),
        path_option("restore", "FILE")
            .conflicts_with_all(["expect", "dump"])
            .help("Start from a backup; it serves once it has caught up with another tracker"),
        flag("alone")
            .conflicts_with_all(["expect", "dump", "backup"])
            .help("Serve at once: no other tracker has newer data"),
        path_option("check", "DIR")
            .num_args(2)
            .conflicts_with_all(["expect", "open", "dump", "backup", "restore", "data"])
            .help("Compare the state folders of two stopped trackers, name each difference, and leave"),
    ]
}

/// How it runs.
fn run() -> [Arg; 3] {
    [
        option("interval", "SECONDS")
            .default_value("20")
            .value_parser(values::whole_seconds)
            .help("How often pieceful peers announce; one that misses two is dropped"),
        option("expect", "N")
            .value_parser(clients)
            .conflicts_with("open")
            .help(
                "A closed run: hold N clients until all have reported, end when all have finished",
            ),
        option("wait", "SECONDS")
            .value_parser(values::seconds)
            .requires("expect")
            .help("How long the clients of a closed run may take to report [default: 60]"),
    ]
}

fn clients(text: &str) -> Result<NonZeroU32, String> {
    let clients = text.parse().ok();
    clients.ok_or_else(|| format!("a number from 1 to {} is asked for", u32::MAX))
}

pub(super) fn read(matches: &ArgMatches) -> TrackerArguments {
    let number = matches.get_one("number").copied().unwrap_or(1usize);
    let wait = matches.get_one("wait").copied();
    TrackerArguments {
        tracker_info: matches.get_one("tracker_info").cloned(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        listen: matches.get_one("listen").cloned(),
        data: matches.get_one("data").cloned(),
        cluster: matches.get_one("cluster").cloned(),
        open: matches.get_flag("open"),
        service: ServiceArguments {
            interval: matches
                .get_one("interval")
                .copied()
                .unwrap_or(crate::tracker::DEFAULT_INTERVAL),
            registration: match matches.get_one::<String>("registration") {
                Some(word) if word == "closed" => Registration::Closed,
                _ => Registration::Open,
            },
            certificate_life: matches
                .get_one("certificate-life")
                .copied()
                .unwrap_or(Duration::from_secs(86_400)),
        },
        instead: instead(matches),
        restore: matches.get_one("restore").cloned(),
        alone: matches.get_flag("alone"),
        closed_run: matches.get_one("expect").map(|expect| ClosedRunArguments {
            expect: *expect,
            wait: wait.unwrap_or(crate::tracker::DEFAULT_WAIT),
        }),
        log: log_level(matches),
    }
}

fn instead(matches: &ArgMatches) -> Option<Instead> {
    let mut folders = matches
        .get_many::<PathBuf>("check")
        .into_iter()
        .flatten()
        .cloned();
    if let (Some(first), Some(second)) = (folders.next(), folders.next()) {
        return Some(Instead::Check(first, second));
    }
    if matches.get_flag("dump") {
        return Some(Instead::Dump);
    }
    let backup = matches.get_one::<PathBuf>("backup");
    backup.map(|file| Instead::Backup(file.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};
    use super::*;

    fn tracker(line: &str) -> TrackerArguments {
        match parse(line) {
            Ok(Invocation::Tracker(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_one_tracker() {
        let plain = tracker("tracker");
        assert_eq!(
            (plain.tracker_info, plain.number, plain.listen),
            (None, 1, None)
        );
        assert_eq!(plain.cluster, None);
        assert_eq!(
            (plain.open, plain.service.interval, plain.log),
            (false, Duration::from_secs(20), LevelFilter::Info)
        );
        assert_eq!(plain.closed_run, None);
        assert_eq!(
            (
                plain.service.registration,
                plain.instead,
                plain.restore,
                plain.alone
            ),
            (Registration::Open, None, None, false)
        );
    }

    #[test]
    fn every_option_is_read() {
        let line = "tracker info.txt 12 --listen [::1]:0 --data d --cluster k.pem --open --interval 5 --log DEBUG";
        let all = tracker(line);
        assert_eq!(
            (all.tracker_info, all.number),
            (Some("info.txt".into()), 12)
        );
        assert_eq!(all.listen.unwrap().to_string(), "[::1]:0");
        assert_eq!((all.data, all.open), (Some("d".into()), true));
        assert_eq!(all.cluster, Some("k.pem".into()));
        assert_eq!(
            (all.service.interval, all.log),
            (Duration::from_secs(5), LevelFilter::Debug)
        );
        let run = tracker("tracker --expect 12 --wait 2.5")
            .closed_run
            .unwrap();
        assert_eq!(
            (run.expect.get(), run.wait),
            (12, Duration::from_millis(2500))
        );
        let closed = tracker("tracker --registration closed --data d --dump");
        assert_eq!(
            (closed.service.registration, closed.instead),
            (Registration::Closed, Some(Instead::Dump))
        );
        let backup = tracker("tracker --data d --backup f");
        assert_eq!(backup.instead, Some(Instead::Backup("f".into())));
        let check = tracker("tracker --check a b");
        assert_eq!(check.instead, Some(Instead::Check("a".into(), "b".into())));
        let restored = tracker("tracker info.txt 2 --data d --restore f --alone");
        assert_eq!((restored.restore, restored.alone), (Some("f".into()), true));
        for bad in ["--check a", "--dump --backup f", "--backup f --restore f"] {
            assert!(parse(&format!("tracker {bad}")).is_err(), "{bad}");
        }
        for bad in ["0", "x", "-1", ""] {
            let told = clients(bad).unwrap_err();
            assert_eq!(told, "a number from 1 to 4294967295 is asked for", "{bad}");
        }
        assert_eq!(
            tracker("tracker --expect 1").closed_run.unwrap().wait,
            Duration::from_secs(60)
        );
    }
}
