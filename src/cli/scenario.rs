//! `pieceful peer --scenario`: reads `inR.txt`, runs the client, and reports how it ended.

use super::arguments::{PeerArguments, ScenarioArguments};
use super::output::Output;
use crate::net::Stop;
use crate::peer::{FirstUse, Peer};
use crate::scenario::{ClientTask, Scenario, client_number, run};
use crate::system::cause;
use crate::wire::control::ClientNumber;

/// Reads `inR.txt` and returns the client's number, and the files that it owns and wants.
///
/// # Errors
/// A message for the user with the file and the line.
pub(super) fn read(arguments: &ScenarioArguments) -> Result<(ClientNumber, Scenario), String> {
    let path = &arguments.file;
    let number = client_number(path).map_err(|error| error.to_string())?;
    let text = std::fs::read(path);
    let text = text.map_err(|error| format!("{}: {}", path.display(), cause(&error)))?;
    let scenario =
        Scenario::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((number, scenario))
}

/// Runs the client; returns whether it got all wanted files.
pub(super) fn run_client(
    peer: &Peer,
    arguments: &PeerArguments,
    client: ClientNumber,
    scenario: &Scenario,
    stop: &Stop,
    output: &Output,
) -> bool {
    let Some(paths) = &arguments.scenario else {
        return false;
    };
    let first_use = |first: FirstUse<'_>| output.note(&first_use_note(first));
    let task = ClientTask {
        client,
        scenario,
        tracker_info: &arguments.tracker_info,
        out: &paths.out,
        first_use: &first_use,
    };
    match run(peer, &task, stop) {
        Ok(()) => {
            output.note(&format!("client {client} has got all its files"));
            true
        }
        Err(error) => {
            output.error(&format!("client {client}: {error}"));
            false
        }
    }
}

/// The note that this peer has stored the fingerprint of a tracker that is new to it. The user can
/// compare this fingerprint with the one that the tracker printed.
pub(super) fn first_use_note(first: FirstUse<'_>) -> String {
    format!(
        "the tracker at {} is new to this peer; its fingerprint {} is stored in {}, compare it with the one that the \
         tracker printed",
        first.address,
        first.fingerprint,
        first.path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            super::read(&ScenarioArguments {
                file,
                out: folder.path().into(),
            })
        };
        let (number, scenario) = read("in12.txt", "1\na 1\nx\n1\nb\n").unwrap();
        assert_eq!(
            (number.get(), scenario.owned.len(), scenario.wanted.len()),
            (12, 1, 1)
        );
        let error = read("in1.txt", "1\na 2\nx\n").unwrap_err();
        assert!(error.contains("in1.txt: line "), "{error}");
        assert!(read("input.txt", "0\n0\n").unwrap_err().contains("inR.txt"));
    }
}
