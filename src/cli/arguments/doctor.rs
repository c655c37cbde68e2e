//! The arguments of `pieceful doctor`.

use super::options::{flag, path_option};
use super::place::{listen_and_tracker_info, listen_argument, tracker_info_argument};
use crate::wire::HostPort;
use clap::{ArgMatches, Command};
use std::path::PathBuf;

/// The arguments of `doctor`: those of the peer that is checked, and `--json`.
#[derive(Debug)]
pub(in crate::cli) struct DoctorArguments {
    /// The address that the peer listens on.
    pub(in crate::cli) listen: HostPort,
    /// The file that lists the trackers.
    pub(in crate::cli) tracker_info: PathBuf,
    /// The peer's state folder.
    pub(in crate::cli) dir: Option<PathBuf>,
    /// Whether the result is JSON.
    pub(in crate::cli) json: bool,
}

pub(super) fn definition() -> Command {
    Command::new("doctor")
        .about("Check what a peer needs: trackers, clock, port, folders, disk, descriptors")
        .after_help(
            "Examples:\n  \
             pieceful doctor                          check what `pieceful peer` needs\n  \
             pieceful doctor 0.0.0.0:6882 --dir DIR   check for a peer with these arguments\n\n\
             Changes nothing, and may run beside the peer. Prints a line per check: ok, warning or \
             error, what was found, and what to do. Exit codes: 0 no error; 1 an error; 2 wrong usage.",
        )
        .args([
            listen_argument(),
            tracker_info_argument().help("The file that lists the trackers"),
            path_option("dir", "DIR")
                .help("The state folder of the peer [default: as for pieceful peer]"),
            flag("json").help("Print one JSON object"),
        ])
}

/// # Errors
/// A message for the user: TRACKER_INFO is named twice.
pub(super) fn read(matches: &ArgMatches) -> Result<DoctorArguments, String> {
    let (listen, tracker_info) = listen_and_tracker_info(matches, None)?;
    Ok(DoctorArguments {
        listen,
        tracker_info,
        dir: matches.get_one("dir").cloned(),
        json: matches.get_flag("json"),
    })
}
