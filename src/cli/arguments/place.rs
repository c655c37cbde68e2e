//! The first two arguments of the modes `peer` and `doctor`: LISTEN and TRACKER_INFO. LISTEN may be
//! left out.

use super::options::path;
use crate::wire::{HostPort, HostPortError};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, value_parser};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address that a peer listens on, if no other one is named.
pub(in crate::cli) const DEFAULT_LISTEN: &str = "0.0.0.0:6881";

/// The first argument. If it names a file instead of an address, it is TRACKER_INFO.
#[derive(Clone, Debug)]
enum FirstArgument {
    Listen(HostPort),
    TrackerInfo(PathBuf),
}

impl FromStr for FirstArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(address) => Ok(Self::Listen(address)),
            Err(_) if Path::new(text).is_file() => Ok(Self::TrackerInfo(text.into())),
            Err(error @ HostPortError::NoPort(_)) => {
                Err(format!("{error} (and there is no such file)"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The argument LISTEN.
pub(super) fn listen_argument() -> Arg {
    Arg::new("listen")
        .index(1)
        .value_name("LISTEN")
        .default_value(DEFAULT_LISTEN)
        .value_parser(value_parser!(FirstArgument))
        .help("HOST:PORT to listen on; port 0 means any free port; may be left out before TRACKER_INFO")
}

/// The argument TRACKER_INFO, without its help.
pub(super) fn tracker_info_argument() -> Arg {
    path("tracker_info", "TRACKER_INFO")
        .index(2)
        .default_value("tracker_info.txt")
}

/// Whether the first argument, if it was typed, is an address and not TRACKER_INFO.
pub(super) fn names_address(matches: &ArgMatches) -> bool {
    matches!(
        matches.get_one("listen"),
        None | Some(FirstArgument::Listen(_))
    )
}

/// The values of both arguments. `set` is the address of a configuration file, if it has one.
///
/// # Errors
/// A message for the user: TRACKER_INFO is named twice.
pub(super) fn listen_and_tracker_info(
    matches: &ArgMatches,
    set: Option<HostPort>,
) -> Result<(HostPort, PathBuf), String> {
    let default = set.unwrap_or_else(|| HostPort {
        host: "0.0.0.0".into(),
        port: 6881,
    });
    let second: Option<PathBuf> = matches.get_one("tracker_info").cloned();
    let second = second.unwrap_or_default();
    let has_second = matches.value_source("tracker_info") == Some(ValueSource::CommandLine);
    match matches.get_one::<FirstArgument>("listen") {
        None => Ok((default, second)),
        Some(FirstArgument::Listen(address)) => Ok((address.clone(), second)),
        Some(FirstArgument::TrackerInfo(first)) if has_second => Err(format!(
            "{} is a file; before TRACKER_INFO write the address to listen on, such as {default}",
            first.display()
        )),
        Some(FirstArgument::TrackerInfo(first)) => Ok((default, first.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};

    #[test]
    fn a_file_in_the_place_of_the_address_is_tracker_info() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trackers.txt");
        std::fs::write(&file, "").unwrap();
        let shown = file.display();
        for mode in ["peer", "doctor"] {
            let (listen, tracker_info) = match parse(&format!("{mode} {shown} --json")) {
                Ok(Invocation::Peer(peer)) => (peer.listen, peer.tracker_info),
                Ok(Invocation::Doctor(doctor)) => (doctor.listen, doctor.tracker_info),
                other => panic!("{other:?}"),
            };
            assert_eq!(listen.to_string(), "0.0.0.0:6881");
            assert_eq!(tracker_info, file);
            let error = parse(&format!("{mode} {shown} other.txt")).unwrap_err();
            assert!(
                error.ends_with("to listen on, such as 0.0.0.0:6881"),
                "{error}"
            );
            let error = parse(&format!("{mode} {shown}.missing")).unwrap_err();
            assert!(error.contains("and there is no such file"), "{error}");
        }
    }
}
