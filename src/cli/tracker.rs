//! Running a tracker until it is told to end, or until its closed run has ended.

use super::arguments::{ClosedRunArguments, TrackerArguments};
use super::output::Output;
use super::signals::Stopped;
use super::{Exit, Refused, failure, logging, signals, state};
use crate::net::{Incoming, Stop};
use crate::storage::StateKind;
use crate::tracker::{Options, RunningRun, Tracker, bind};
use crate::wire::{HostPort, TrackerInfo, TrackerInfoError};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Runs the tracker that the arguments describe.
pub(super) fn run(arguments: TrackerArguments) -> Exit {
    let output = Output::new(false);
    let exit = serve(arguments, &output).unwrap_or_else(|(message, exit)| {
        output.error(&message);
        exit
    });
    if output.finish() { exit } else { Exit::Failure }
}

fn serve(arguments: TrackerArguments, output: &Output) -> Result<Exit, Refused> {
    let number = arguments.number;
    let line = address(arguments.tracker_info.as_deref(), number)?;
    let address = arguments.listen.unwrap_or(line);
    let is_temporary = arguments.data.is_none() && address.port == 0;
    let folder = state::open(StateKind::Tracker, arguments.data, address.port)?;
    logging::start(folder.path(), "tracker.log", arguments.log).map_err(failure)?;
    let signals = signals::watch().map_err(failure)?;
    if is_temporary {
        signals.remove_when_killed(folder.path());
    }
    let stop = signals.stop;
    let listener = bind(&address).map_err(failure)?;
    let bound = listener
        .local_addr()
        .map_err(|error| failure(format!("cannot listen on {address}: {error}")))?;
    output.result(&format!("tracker {number} listening on {bound}"));
    let mut options = Options::new(listener);
    options.number = number;
    options.interval = arguments.interval;
    options.open = arguments.open;
    options.stop = stop.clone();
    match arguments.closed_run {
        None => {
            let tracker = Tracker::start(options).map_err(failure)?;
            tracker.wait_until_stopped();
            Ok(Exit::Success)
        }
        Some(closed_run) => run_closed(&closed_run, options, &stop, output),
    }
}

/// Where tracker `number` listens, as the file says; without a file there is one, on loopback.
fn address(tracker_info: Option<&Path>, number: u32) -> Result<HostPort, Refused> {
    let info = match tracker_info {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| failure(format!("{}: {error}", path.display())))?;
            text.parse::<TrackerInfo>()
                .map_err(|error| failure(format!("{}: {error}", path.display())))?
        }
        None => TrackerInfo {
            addresses: vec![HostPort {
                host: "127.0.0.1".into(),
                port: 5000,
            }],
            fingerprint: None,
        },
    };
    let address = info.address(number).cloned();
    address.map_err(|error| match (error, tracker_info) {
        (error @ TrackerInfoError::NoSuchTracker { .. }, Some(path)) => {
            (format!("{}: {error}", path.display()), Exit::Usage)
        }
        (error, _) => (error.to_string(), Exit::Usage),
    })
}

fn run_closed(
    closed_run: &ClosedRunArguments,
    mut options: Options,
    stop: &Stop,
    output: &Output,
) -> Result<Exit, Refused> {
    let thread = |error| failure(format!("cannot start a thread: {error}"));
    let run = RunningRun::start(closed_run.expect, closed_run.wait).map_err(thread)?;
    let run = Arc::new(run);
    let serving = Arc::clone(&run);
    options.closed_run = Some(Arc::new(move |incoming: Incoming| {
        serving.serve(&incoming.stream, incoming.address);
    }));
    let tracker = Tracker::start(options).map_err(failure)?;
    let (ending, aborting) = (stop.clone(), Arc::clone(&run));
    let watcher = thread::Builder::new().name("stop".into()).spawn(move || {
        Stopped::wait(&ending);
        aborting.abort("the tracker was stopped");
    });
    let watcher = watcher.map_err(thread)?;
    let outcome = run.wait_until_ended();
    tracker.stop();
    stop.stop();
    let _ = watcher.join();
    for failure in &outcome.failures {
        output.error(&failure.to_string());
    }
    if outcome.failures.is_empty() {
        output.note(&format!("all {} clients have finished", closed_run.expect));
    }
    Ok(Exit::of(outcome.failures.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_where_each_tracker_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("info.txt");
        std::fs::write(&path, "# ours\nlocalhost:5000\n[::1]:5001\n").unwrap();
        assert_eq!(address(Some(&path), 2).unwrap().to_string(), "[::1]:5001");
        assert_eq!(address(None, 1).unwrap().to_string(), "127.0.0.1:5000");
        let (message, exit) = address(Some(&path), 3).unwrap_err();
        assert!(
            message.contains("info.txt: there is no tracker 3") && exit == Exit::Usage,
            "{message}"
        );
        assert_eq!(address(None, 2).unwrap_err().1, Exit::Usage);
        std::fs::write(&path, "localhost\n").unwrap();
        let (message, exit) = address(Some(&path), 1).unwrap_err();
        assert!(
            message.contains("info.txt: line 1:") && exit == Exit::Failure,
            "{message}"
        );
        let (message, _) = address(Some(&folder.path().join("none")), 1).unwrap_err();
        assert!(message.contains("none: "), "{message}");
    }
}
