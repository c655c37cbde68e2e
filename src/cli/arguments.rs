//! Reads the arguments of the program into types.
//!
//! In scope: the options, their help, and which of them go together; wrong usage becomes one line
//! and exit code 2. Out of scope: acting on them.

mod attach;
mod config;
mod doctor;
mod hooks;
mod join;
mod options;
mod peer;
mod place;
mod torrent;
mod tracker;

pub(super) use attach::AttachArguments;
pub(super) use config::{Change, Configuration};
pub(super) use doctor::DoctorArguments;
pub(super) use join::JoinArguments;
pub(super) use peer::{PeerArguments, ScenarioArguments};
pub(super) use place::DEFAULT_LISTEN;
pub(super) use torrent::{CreateArguments, TorrentArguments};
pub(super) use tracker::{MaintenanceTask, ServiceArguments, TrackerArguments};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};
use std::ffi::OsString;

/// What the program is to do.
#[derive(Debug)]
pub(super) enum Invocation {
    /// Run a tracker.
    Tracker(TrackerArguments),
    /// Run a peer.
    Peer(PeerArguments),
    /// Make this machine a member of groups.
    Join(JoinArguments),
    /// Check what a peer needs.
    Doctor(DoctorArguments),
    /// Work on a `.torrent`.
    Torrent(TorrentArguments),
    /// Print this text, for `--help` and `--version`.
    Print(String),
    /// Print this text without wrapping its lines.
    PrintRaw(String),
}

/// Reads the arguments; the first one is the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = match definition().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    match matches.subcommand() {
        Some((mode @ ("tracker" | "peer" | "join"), matches)) => {
            let config = match mode {
                "tracker" => tracker::definition(),
                _ => peer::definition(),
            };
            if mode != "join" && matches.get_flag("print-config") {
                return Ok(Invocation::PrintRaw(config::print(&config)));
            }
            let read = Configuration::read(matches, &config, &arguments)?;
            if let Some(read) = read.as_ref().filter(|_| mode != "join") {
                read.check_conflicts(&config, matches)?;
            }
            read_process(mode, read, matches)
        }
        Some(("doctor", matches)) => doctor::read(matches).map(Invocation::Doctor),
        Some(("torrent", matches)) => torrent::read(matches)
            .map(Invocation::Torrent)
            .ok_or_else(no_subcommand),
        _ => Err(no_subcommand()),
    }
}

/// Reads the arguments of a mode that has configuration files. `matches` are those without the
/// configuration.
fn read_process(
    mode: &str,
    config: Option<Configuration>,
    matches: &ArgMatches,
) -> Result<Invocation, String> {
    let with_config = match &config {
        None => None,
        Some(config) => {
            let with_settings = definition().mut_subcommand(mode, |mode| config.apply(mode));
            match with_settings.try_get_matches_from(config.typed()) {
                Ok(mut matches) => matches.remove_subcommand().map(|(_, matches)| matches),
                Err(error) => return explain(&error),
            }
        }
    };
    let matches = with_config.as_ref().unwrap_or(matches);
    match mode {
        "tracker" => Ok(Invocation::Tracker(tracker::read(matches, config))),
        "join" => Ok(Invocation::Join(join::read(matches, config))),
        _ => peer::read(matches, config).map(Invocation::Peer),
    }
}

/// Reads the file of a configuration again. Returns the arguments of the process with the settings
/// of now, and what has changed.
///
/// # Errors
/// One line with the file, the line in it, and what is wrong.
pub(super) fn reread(before: &Configuration) -> Result<(Invocation, Vec<Change>), String> {
    let now = read(before.typed().to_vec())?;
    let matches = definition().try_get_matches_from(before.typed());
    let matches = matches.map_err(|error| error.to_string())?;
    let config = match &now {
        Invocation::Peer(peer) => peer.process.config.as_ref(),
        Invocation::Join(join) => join.peer.process.config.as_ref(),
        Invocation::Tracker(tracker) => tracker.client.process.config.as_ref(),
        _ => None,
    };
    let changes = match (config, matches.subcommand()) {
        (Some(config), Some((_, matches))) => config.changes(before, matches),
        _ => Vec::new(),
    };
    Ok((now, changes))
}

pub(super) fn definition() -> Command {
    Command::new("pieceful")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Private BitTorrent for a team: trackers and peers in one program")
        .after_help(
            "Example: on one machine, here 192.168.1.10, a tracker in one terminal:\n  \
             pieceful tracker --listen 192.168.1.10:5000\n\
             and in another terminal a peer, where nik shares a file with a group:\n  \
             echo 192.168.1.10:5000 > tracker_info.txt\n  \
             pieceful peer\n  \
             create_user nik\n  \
             login nik\n  \
             create_group lab\n  \
             upload_file lab disk.img\n\
             and on another machine, where nik downloads it:\n  \
             echo 192.168.1.10:5000 > tracker_info.txt\n  \
             pieceful peer\n  \
             login nik\n  \
             download_file lab disk.img\n  \
             wait\n\
             Other users ask with join_group, and nik lets them in with accept_request.\n\n\
             pieceful SUBCOMMAND --help shows the options of each.",
        )
        .subcommand_required(true)
        .subcommand_value_name("SUBCOMMAND")
        .subcommand_help_heading("Subcommands")
        .disable_help_subcommand(true)
        .subcommand(tracker::definition())
        .subcommand(peer::definition())
        .subcommand(join::definition())
        .subcommand(torrent::definition())
        .subcommand(doctor::definition())
}

/// Turns an error of clap into one line. For clap, `--help` and `--version` are errors too: their
/// text becomes [`Invocation::Print`].
fn explain(error: &clap::Error) -> Result<Invocation, String> {
    let text = error.render().to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Ok(Invocation::Print(text.trim_end().to_owned()));
    }
    let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = text.split("\n\n").map(words);
    let what = parts.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let tip = parts.find_map(|part| {
        part.strip_prefix("tip: a similar ")
            .map(|tip| format!(" (a similar {tip})"))
    });
    Err(format!(
        "{what}{}; --help lists all options",
        tip.unwrap_or_default()
    ))
}

fn no_subcommand() -> String {
    "a subcommand is missing; --help lists them".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parse(line: &str) -> Result<Invocation, String> {
        let words = super::super::words::split(line).unwrap();
        read(
            ["pieceful".to_owned()]
                .into_iter()
                .chain(words)
                .map(OsString::from),
        )
    }

    #[test]
    fn clap_accepts_the_definitions() {
        definition().debug_assert();
    }

    #[test]
    fn help_and_version_are_printed() {
        for line in [
            "--help",
            "-h",
            "tracker --help",
            "peer --help",
            "join --help",
            "torrent --help",
            "doctor --help",
            "torrent create --help",
        ] {
            match parse(line) {
                Ok(Invocation::Print(text)) => assert!(text.contains("Usage:"), "{line}: {text}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(
            matches!(parse("--version"), Ok(Invocation::Print(text)) if text.starts_with("pieceful 0"))
        );
        for subcommand in [
            "tracker",
            "peer",
            "join",
            "doctor",
            "torrent",
            "torrent create",
            "torrent show",
            "torrent check",
        ] {
            let help = parse(&format!("{subcommand} --help"));
            assert!(
                matches!(help, Ok(Invocation::Print(text)) if text.contains("Example")),
                "{subcommand}"
            );
        }
    }

    #[test]
    fn wrong_usage_is_one_line() {
        for (line, part) in [
            ("", "subcommand"),
            (
                "peeer",
                "unrecognized subcommand 'peeer' (a similar subcommand exists: 'peer')",
            ),
            ("peer 127.0.0.1", "127.0.0.1"),
            ("peer --bogus", "--bogus"),
            ("peer --threads 0", "a number from 1 to"),
            ("peer --out x", "--scenario"),
            ("peer -c quit --scenario in1.txt", "cannot be used with"),
            ("peer --log loud", "loud"),
            ("peer a:1 b c", "'c'"),
            ("peer --name ''", "--name"),
            ("tracker info 0", "a number from 1 to"),
            ("tracker --wait 5", "--expect"),
            ("tracker --expect 2 --open", "cannot be used with"),
            ("tracker --interval 0", "a number from 1 to"),
            ("torrent", "subcommand"),
            ("torrent create", "PATH"),
            ("torrent create x --piece-length 3G", "a length in bytes"),
            ("torrent create x -t ftp://x", "an announce URL"),
            ("torrent check x", "PATH"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(
                error.contains(part) && !error.contains('\n'),
                "{line}: {error}"
            );
            assert!(!error.starts_with("error"), "{line}: {error}");
        }
    }
}
