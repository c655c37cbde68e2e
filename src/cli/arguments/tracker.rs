//! The arguments of `pieceful tracker`.

use super::attach::{self, AttachArguments, no_attach_option};
use super::config::{Configuration, ProcessArguments, config_options};
use super::options::{flag, log_options, log_settings, option, path, path_option};
use crate::cli::logging::LogOptions;
use crate::cli::values;
use crate::tracker::registry::AccountQuotas;
use crate::tracker::{
    DEFAULT_LOGIN_LIFE, DEFAULT_NEW_ACCOUNTS, MAX_LOGIN_LIFE, Registration, SwarmLimits,
};
use crate::wire::HostPort;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The arguments of a tracker.
#[derive(Debug)]
pub(in crate::cli) struct TrackerArguments {
    /// The file that lists the trackers.
    pub(in crate::cli) tracker_info: Option<PathBuf>,
    /// The address line of this tracker in that file, counted from 1.
    pub(in crate::cli) number: u32,
    /// The address to listen on instead of the one in that line.
    pub(in crate::cli) listen: Option<HostPort>,
    /// The state folder.
    pub(in crate::cli) data: Option<PathBuf>,
    /// The cluster's key.
    pub(in crate::cli) cluster: ClusterArguments,
    /// Settings of the service for peers.
    pub(in crate::cli) service: ServiceArguments,
    /// A task instead of running the tracker.
    pub(in crate::cli) maintenance: Option<MaintenanceTask>,
    /// The backup to start from.
    pub(in crate::cli) restore: Option<PathBuf>,
    /// Whether the tracker serves without first catching up with another one.
    pub(in crate::cli) alone: bool,
    /// A closed run instead of a service.
    pub(in crate::cli) closed_run: Option<ClosedRunArguments>,
    /// How the process logs.
    pub(in crate::cli) log: LogOptions,
    /// What to ask a running tracker.
    pub(in crate::cli) client: TrackerClientArguments,
}

/// What to ask a running tracker.
#[derive(Debug)]
pub(in crate::cli) struct TrackerClientArguments {
    /// Commands for its console.
    pub(in crate::cli) commands: Vec<String>,
    /// How the command attaches to it, and the configuration.
    pub(in crate::cli) process: ProcessArguments,
}

/// The cluster's key.
#[derive(Debug)]
pub(in crate::cli) struct ClusterArguments {
    /// The file with the key; `None` for the default path.
    pub(in crate::cli) file: Option<PathBuf>,
    /// Whether the operator wants a new cluster. Then the file must not exist, and the tracker
    /// creates it even if the state folder has a registry.
    pub(in crate::cli) wants_new: bool,
}

/// Settings of the service for peers.
#[derive(Debug)]
pub(in crate::cli) struct ServiceArguments {
    /// Whether open swarms are served.
    pub(in crate::cli) open: bool,
    /// The announce interval of pieceful's own peers.
    pub(in crate::cli) interval: Duration,
    /// Who may create an account.
    pub(in crate::cli) registration: Registration,
    /// The lifetime of a member's certificate.
    pub(in crate::cli) certificate_life: Duration,
    /// How long a login goes on without being used.
    pub(in crate::cli) login_life: Duration,
    /// The most new accounts that one address may make within a day.
    pub(in crate::cli) new_accounts: u32,
    /// The most that one account may use.
    pub(in crate::cli) quotas: AccountQuotas,
    /// The limits of open swarms.
    pub(in crate::cli) limits: SwarmLimits,
    /// The most connections; `None` for as many as descriptors allow.
    pub(in crate::cli) max_connections: Option<usize>,
    /// Host names that HTTP clients may use for the tracker.
    pub(in crate::cli) host_names: Vec<String>,
}

/// A task on a tracker's data, done instead of running a tracker.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum MaintenanceTask {
    /// Print the registry of a stopped tracker.
    Dump,
    /// Print the audit log of a stopped tracker.
    Audit,
    /// Write a backup of a running tracker to this file.
    Backup(PathBuf),
    /// Compare the registries of two stopped trackers.
    Check(PathBuf, PathBuf),
}

/// A closed run.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct ClosedRunArguments {
    /// The number of clients.
    pub(in crate::cli) expect: NonZeroU32,
    /// The time within which all clients must report.
    pub(in crate::cli) wait: Duration,
}

pub(super) fn definition() -> Command {
    Command::new("tracker")
        .about("Run a tracker, which keeps accounts and groups and lets peers find each other")
        .after_help(HELP)
        .args(address_and_service())
        .args(data())
        .args(config_options())
        .args(accounts())
        .args(open_swarms())
        .args(connections_and_runs())
        .args(log_options())
}

const HELP: &str = "Examples:\n  \
    pieceful tracker                            the only tracker, on 127.0.0.1:5000\n  \
    pieceful tracker --open                     the same, also for open swarms\n  \
    pieceful tracker --listen 0.0.0.0:0         on a free port, which the first line of output shows\n  \
    pieceful tracker --registration closed      new accounts only with an invite code\n  \
    pieceful tracker tracker_info.txt 1         the first tracker of tracker_info.txt\n  \
    pieceful tracker tracker_info.txt 2         the second one; it needs cluster.pem of the first one\n  \
    pieceful tracker --data DIR                 with the state in DIR\n  \
    pieceful tracker --data DIR -c status       ask the running tracker of DIR\n  \
    pieceful tracker --data DIR --backup FILE   back up the running tracker of DIR\n  \
    pieceful tracker --data DIR --dump          print the registry of a stopped tracker as JSON\n  \
    pieceful tracker --data DIR --audit         print who did what, as JSON lines\n  \
    pieceful tracker --check DIR DIR            compare two stopped trackers\n  \
    pieceful tracker --expect 3                 a closed run: an experiment with three clients\n\n\
    A running tracker reads commands from standard input: status, users, groups, usage, create_user USER, invite, help, quit.\n\n\
    TRACKER_INFO is a text file with one HOST:PORT per line ([::1]:5000 for IPv6); # starts a comment. A line of \
    the form fingerprint sha256:HEX, as the tracker prints it, makes peers accept trackers of that cluster only.\n\n\
    With --open the tracker accepts announces over HTTP and UDP on its one port. GET /stats (JSON) and /metrics \
    (Prometheus) show counts to everybody. Open swarms are kept in the state folder over a restart.\n\n\
    Ctrl-C ends the tracker, a second Ctrl-C at once. Exit codes: 0 success; 1 failure; 2 wrong usage; 130 ended by a \
    second Ctrl-C.";

/// The options about addresses and service.
/// The largest value of `--login-life`, in days.
const LONGEST_LOGIN_LIFE: usize = (MAX_LOGIN_LIFE.as_secs() / 86_400) as usize;

fn address_and_service() -> [Arg; 9] {
    [
        path("tracker_info", "TRACKER_INFO")
            .index(1)
            .help("The file that lists the trackers; without it this is the only tracker, on 127.0.0.1:5000"),
        Arg::new("number")
            .index(2)
            .value_name("NUMBER")
            .value_parser(values::count(1_000_000))
            .help("The address line of this tracker in TRACKER_INFO, counted from 1 [default: 1]"),
        option("listen", "ADDR")
            .value_parser(value_parser!(HostPort))
            .help("HOST:PORT to listen on instead of this tracker's address in TRACKER_INFO; port 0 means any free port"),
        path_option("data", "DIR")
            .help("The state folder [default: $XDG_DATA_HOME/pieceful/tracker-PORT; with port 0 a temporary folder]"),
        path_option("cluster", "FILE")
            .help("The file with the cluster's key, the same for all its trackers; tracker 1 creates it [default: cluster.pem beside TRACKER_INFO, or in the state folder]"),
        flag("open")
            .help("Serve open swarms: everybody who has a .torrent may announce"),
        option("registration", "open|closed")
            .default_value("open")
            .value_parser(["open", "closed"])
            .hide_possible_values(true)
            .help("Who may create an account: everybody who reaches the tracker, or only people with an invite code"),
        option("certificate-life", "SECONDS")
            .default_value("86400")
            .value_parser(values::whole_seconds)
            .help("The lifetime of a group member's certificate; peers renew theirs in time"),
        option("login-life", "DAYS")
            .default_value("30")
            .value_parser(values::count(LONGEST_LOGIN_LIFE))
            .help("A login ends if it is not used for this number of days, 1 to 90"),
    ]
}

/// The options about the tracker's data.
fn data() -> [Arg; 9] {
    [
        Arg::new("command")
            .short('c')
            .value_name("COMMAND")
            .action(ArgAction::Append)
            .conflicts_with_all(["expect", "audit", "dump", "backup", "check", "restore"])
            .help("Run this command of the console at the running tracker of --data, and exit; repeat -c for more commands"),
        no_attach_option(),
        flag("audit")
            .conflicts_with_all(["expect", "open", "dump", "backup", "restore", "alone"])
            .conflicts_with_all(["new-cluster", "check"])
            .help("Print the audit log of a stopped tracker, one JSON object per line, and exit"),
        flag("dump")
            .conflicts_with_all(["expect", "open"])
            .help("Print all accounts, groups and shares of a stopped tracker as JSON, without secrets, and exit"),
        path_option("backup", "FILE")
            .conflicts_with_all(["expect", "open", "dump", "restore"])
            .help("Write a backup of the running tracker of --data to FILE, which contains secret keys, and exit"),
        path_option("restore", "FILE")
            .conflicts_with_all(["expect", "dump"])
            .help("Start from a backup; before the tracker serves, it catches up with another tracker"),
        flag("alone")
            .conflicts_with_all(["expect", "dump", "backup"])
            .help("Serve at once; use it only if no other tracker has newer data"),
        flag("new-cluster")
            .conflicts_with_all(["expect", "dump", "backup"])
            .help("Make a new cluster, with a new fingerprint for all users, although the data belong to an existing one; use it only if the cluster.pem of the existing one is lost"),
        path_option("check", "DIR")
            .num_args(2)
            .conflicts_with_all(["expect", "open", "dump", "backup", "restore", "data"])
            .help("Compare the state folders of two stopped trackers, print each difference, and exit"),
    ]
}

/// The options about the number of accounts, and about what one account may use.
fn accounts() -> [Arg; 4] {
    [
        option("max-new-accounts", "N")
            .default_value("1000")
            .value_parser(values::count(1_000_000))
            .help("The most new accounts that one address may make within a day; accounts made with an invite code do not count"),
        option("max-shares", "N")
            .default_value("50000")
            .value_parser(values::count(100_000_000))
            .help("The most shares of one user"),
        option("max-groups", "N")
            .default_value("1000")
            .value_parser(values::count(100_000_000))
            .help("The most groups that one user has made and is still a member of"),
        option("max-metadata", "SIZE")
            .value_parser(values::metadata_size)
            .help("The most bytes of metadata of the shares of one user, such as 1G [default: 256M]"),
    ]
}

fn quotas(matches: &ArgMatches) -> AccountQuotas {
    let default = AccountQuotas::default();
    let count = |name| {
        let count = matches.get_one(name).copied();
        count.and_then(|count: usize| u64::try_from(count).ok())
    };
    let metadata = matches.get_one("max-metadata").copied();
    AccountQuotas {
        shares: count("max-shares").unwrap_or(default.shares),
        groups: count("max-groups").unwrap_or(default.groups),
        metadata_bytes: metadata.unwrap_or(default.metadata_bytes),
    }
}

/// The limits of open swarms.
fn open_swarms() -> [Arg; 4] {
    let limit = |name: &'static str, most, default: &'static str, help: &'static str| {
        option(name, "N")
            .default_value(default)
            .value_parser(values::count(most))
            .help(help)
    };
    [
        limit(
            "max-peers",
            100_000_000,
            "2000000",
            "The most peers of all open swarms; each takes about 64 bytes of memory",
        ),
        limit(
            "max-swarm-peers",
            10_000_000,
            "200000",
            "The most peers of one open swarm; in a full one, peers of the address with the most peers give way to newcomers",
        ),
        limit(
            "max-address-peers",
            10_000_000,
            "2000",
            "The most peers of one address in one open swarm",
        ),
        limit(
            "max-answer-peers",
            200,
            "4",
            "The most peers of one address in one answer; peers at the address of the asking peer may fill half of the answer, and more if there are too few others",
        ),
    ]
}

fn limits(matches: &ArgMatches) -> SwarmLimits {
    let default = SwarmLimits::default();
    let limit = |name, default| matches.get_one(name).copied().unwrap_or(default);
    SwarmLimits {
        peers: limit("max-peers", default.peers),
        peers_per_swarm: limit("max-swarm-peers", default.peers_per_swarm),
        peers_per_swarm_and_address: limit(
            "max-address-peers",
            default.peers_per_swarm_and_address,
        ),
        peers_per_answer_and_address: limit(
            "max-answer-peers",
            default.peers_per_answer_and_address,
        ),
        ..default
    }
}

/// The options about connections, announces and closed runs.
fn connections_and_runs() -> [Arg; 5] {
    [
        option("max-connections", "N")
            .value_parser(values::count(1_000_000))
            .help("The most connections at a time [default: as many as descriptors allow, at most 65536]"),
        option("host-name", "NAME")
            .action(ArgAction::Append)
            .help("A host name that HTTP clients may use for this tracker, besides its addresses and the names in TRACKER_INFO; repeat the option for more names"),
        option("interval", "SECONDS")
            .default_value("20")
            .value_parser(values::whole_seconds)
            .help("The announce interval of pieceful peers; a peer that misses two announces is dropped"),
        option("expect", "N")
            .value_parser(clients)
            .conflicts_with("open")
            .help(
                "Hold a closed run, an experiment that can be repeated: start when N clients have reported, end when all have finished",
            ),
        option("wait", "SECONDS")
            .value_parser(values::seconds)
            .requires("expect")
            .help("The time within which all clients of a closed run must report [default: 60]"),
    ]
}

fn clients(text: &str) -> Result<NonZeroU32, String> {
    let clients = text.parse().ok();
    clients.ok_or_else(|| format!("expected a number from 1 to {}", u32::MAX))
}

pub(super) fn read(matches: &ArgMatches, config: Option<Configuration>) -> TrackerArguments {
    let number = matches.get_one("number").copied().unwrap_or(1usize);
    let wait = matches.get_one("wait").copied();
    TrackerArguments {
        tracker_info: matches.get_one("tracker_info").cloned(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        listen: matches.get_one("listen").cloned(),
        data: matches.get_one("data").cloned(),
        cluster: ClusterArguments {
            file: matches.get_one("cluster").cloned(),
            wants_new: matches.get_flag("new-cluster"),
        },
        service: ServiceArguments {
            open: matches.get_flag("open"),
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
            login_life: matches
                .get_one("login-life")
                .and_then(|days: &usize| u32::try_from(*days).ok())
                .map_or(DEFAULT_LOGIN_LIFE, |days| {
                    Duration::from_secs(86_400) * days
                }),
            new_accounts: matches
                .get_one("max-new-accounts")
                .and_then(|most: &usize| u32::try_from(*most).ok())
                .unwrap_or(DEFAULT_NEW_ACCOUNTS),
            quotas: quotas(matches),
            limits: limits(matches),
            max_connections: matches.get_one("max-connections").copied(),
            host_names: matches
                .get_many::<String>("host-name")
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
        },
        maintenance: maintenance(matches),
        restore: matches.get_one("restore").cloned(),
        alone: matches.get_flag("alone"),
        closed_run: matches.get_one("expect").map(|expect| ClosedRunArguments {
            expect: *expect,
            wait: wait.unwrap_or(crate::tracker::DEFAULT_WAIT),
        }),
        log: log_settings(matches),
        client: TrackerClientArguments {
            commands: matches
                .get_many("command")
                .unwrap_or_default()
                .cloned()
                .collect(),
            process: ProcessArguments {
                attach: attach_arguments(matches),
                config,
            },
        },
    }
}

/// TRACKER_INFO, NUMBER and `--listen` name the state folder if `--data` does not.
fn attach_arguments(matches: &ArgMatches) -> AttachArguments {
    let mut anytime = vec!["data", "command", "no-attach"];
    if matches.value_source("data") != Some(ValueSource::CommandLine) {
        anytime.extend(["tracker_info", "number", "listen"]);
    }
    attach::read(matches, &definition(), &anytime)
}

fn maintenance(matches: &ArgMatches) -> Option<MaintenanceTask> {
    let mut folders = matches
        .get_many::<PathBuf>("check")
        .into_iter()
        .flatten()
        .cloned();
    if let (Some(first), Some(second)) = (folders.next(), folders.next()) {
        return Some(MaintenanceTask::Check(first, second));
    }
    if matches.get_flag("audit") {
        return Some(MaintenanceTask::Audit);
    }
    if matches.get_flag("dump") {
        return Some(MaintenanceTask::Dump);
    }
    let backup = matches.get_one::<PathBuf>("backup");
    backup.map(|file| MaintenanceTask::Backup(file.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};
    use super::*;
    use log::LevelFilter;

    fn tracker(line: &str) -> TrackerArguments {
        match parse(line) {
            Ok(Invocation::Tracker(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_that_are_left_out_have_their_defaults() {
        let plain = tracker("tracker");
        assert_eq!(
            (plain.tracker_info, plain.number, plain.listen),
            (None, 1, None)
        );
        assert!(plain.cluster.file.is_none() && !plain.cluster.wants_new);
        assert_eq!(
            (plain.service.open, plain.service.interval, plain.log.level),
            (false, Duration::from_secs(20), LevelFilter::Info)
        );
        assert_eq!(plain.closed_run, None);
        assert_eq!(plain.service.limits, SwarmLimits::default());
        assert_eq!(
            (
                plain.service.registration,
                plain.maintenance,
                plain.restore,
                plain.alone
            ),
            (Registration::Open, None, None, false)
        );
    }

    #[test]
    fn every_option_is_read() {
        let line = "tracker info.txt 12 --listen [::1]:0 --data d --cluster k.pem --open --interval 5 --log DEBUG \
                    --log-size 1M";
        let all = tracker(line);
        assert_eq!(
            (all.tracker_info, all.number),
            (Some("info.txt".into()), 12)
        );
        assert_eq!(all.listen.unwrap().to_string(), "[::1]:0");
        assert_eq!((all.data, all.service.open), (Some("d".into()), true));
        assert_eq!(all.cluster.file, Some("k.pem".into()));
        assert_eq!(
            (all.service.interval, all.log.level),
            (Duration::from_secs(5), LevelFilter::Debug)
        );
        assert_eq!(all.log.file_size, 1 << 20);
        let run = tracker("tracker --expect 12 --wait 2.5")
            .closed_run
            .unwrap();
        assert_eq!(
            (run.expect.get(), run.wait),
            (12, Duration::from_millis(2500))
        );
        let limited =
            "tracker --max-peers 9 --max-swarm-peers 7 --max-address-peers 5 --max-answer-peers 3";
        let limits = SwarmLimits {
            peers: 9,
            peers_per_swarm: 7,
            peers_per_swarm_and_address: 5,
            peers_per_answer_and_address: 3,
            ..SwarmLimits::default()
        };
        assert_eq!(tracker(limited).service.limits, limits);
        let closed = tracker("tracker --registration closed --data d --dump");
        assert_eq!(
            (closed.service.registration, closed.maintenance),
            (Registration::Closed, Some(MaintenanceTask::Dump))
        );
        let backup = tracker("tracker --data d --backup f");
        assert_eq!(
            backup.maintenance,
            Some(MaintenanceTask::Backup("f".into()))
        );
        let check = tracker("tracker --check a b");
        assert_eq!(
            check.maintenance,
            Some(MaintenanceTask::Check("a".into(), "b".into()))
        );
        let restored = tracker("tracker info.txt 2 --data d --restore f --alone");
        assert_eq!((restored.restore, restored.alone), (Some("f".into()), true));
        assert!(tracker("tracker --new-cluster").cluster.wants_new);
        for bad in [
            "--check a",
            "--dump --backup f",
            "--backup f --restore f",
            "--audit --new-cluster",
        ] {
            assert!(parse(&format!("tracker {bad}")).is_err(), "{bad}");
        }
        for bad in ["0", "x", "-1", ""] {
            let error = clients(bad).unwrap_err();
            assert_eq!(error, "expected a number from 1 to 4294967295", "{bad}");
        }
        assert_eq!(
            tracker("tracker --expect 1").closed_run.unwrap().wait,
            Duration::from_secs(60)
        );
    }
}
