//! A peer's part in a closed run: its `inR.txt`, read before anything starts, and how the run is told of.

use super::arguments::{PeerArguments, ScenarioArguments};
use super::output::Output;
use crate::net::Stop;
use crate::peer::{FirstUse, Peer};
use crate::scenario::{Part, Scenario, client_number, run};
use crate::wire::control::ClientNumber;

/// Reads `inR.txt`: the client's number and what it owns and wants.
///
/// # Errors
/// What is wrong, with the file and its line.
pub(super) fn read(arguments: &ScenarioArguments) -> Result<(ClientNumber, Scenario), String> {
    let path = &arguments.file;
    let number = client_number(path).map_err(|error| error.to_string())?;
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let scenario =
        Scenario::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((number, scenario))
}

/// Plays the client's part; says whether it had all it wanted.
pub(super) fn play(
    peer: &Peer,
    arguments: &PeerArguments,
    client: ClientNumber,
    scenario: &Scenario,
    stop: &Stop,
    output: &Output,
) -> bool {
    let Some(files) = &arguments.scenario else {
        return false;
    };
    let first_use = |first: FirstUse<'_>| output.note(&first_use_note(first));
    let part = Part {
        client,
        scenario,
        tracker_info: &arguments.tracker_info,
        out: &files.out,
        first_use: &first_use,
    };
    match run(peer, &part, stop) {
        Ok(()) => {
            output.note(&format!("client {client} has finished"));
            true
        }
        Err(error) => {
            output.error(&format!("client {client}: {error}"));
            false
        }
    }
}

/// What a person is told who may compare the fingerprint with the one that the tracker printed.
pub(super) fn first_use_note(first: FirstUse<'_>) -> String {
    format!(
        "the tracker at {} is new to this peer: fingerprint {}, stored in {}",
        first.address,
        first.fingerprint,
        first.path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_named_with_its_line() {
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
