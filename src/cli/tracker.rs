//! `pieceful tracker`: runs a tracker until it is stopped or its closed run has ended, or does a
//! task on a tracker's data.

mod host;
mod maintenance;

use super::arguments::{MaintenanceTask, ServiceArguments, TrackerArguments};
use super::attach::{self, Attachments};
use super::client::{self, ClientOptions};
use super::console::Console;
use super::exit::{EarlyExit, Exit, early_failure};
use super::output::Output;
use super::reload::Reload;
use super::{logging, signals, state_folder};
use crate::net::LocalListener;
use crate::storage::{CLUSTER_FILE, StateFolder, StateKind};
use crate::system::cause;
use crate::tracker::{
    AccessSettings, EndpointOptions, MAX_TRACKERS, NewKey, Node, NodeOptions, RunHost, RunOptions,
};
use crate::wire::replica::TrackerNumber;
use crate::wire::{HostPort, TrackerInfo, TrackerInfoError};
use host::{TrackerHost, print_first_lines};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs the tracker that the arguments describe.
pub(super) fn run(arguments: TrackerArguments) -> Exit {
    let output = Output::new(false);
    let exit = serve(arguments, &output).unwrap_or_else(|(message, exit)| {
        output.error(&message);
        exit
    });
    if output.finish() { exit } else { Exit::Failure }
}

fn serve(arguments: TrackerArguments, output: &Output) -> Result<Exit, EarlyExit> {
    let number = arguments.number;
    if let Some(MaintenanceTask::Check(first, second)) = &arguments.maintenance {
        return maintenance::check(first, second, output);
    }
    let info = read_tracker_info(arguments.tracker_info.as_deref())?;
    let listed = address(&info, arguments.tracker_info.as_deref(), number)?;
    let address = arguments.listen.clone().unwrap_or(listed);
    let (data, port) = (arguments.data.clone(), address.port);
    match &arguments.maintenance {
        Some(MaintenanceTask::Dump) => return maintenance::dump(data, port, output),
        Some(MaintenanceTask::Audit) => return maintenance::audit(data, port, output),
        Some(MaintenanceTask::Backup(file)) => {
            return maintenance::backup(data, port, arguments.cluster.file, file, output);
        }
        Some(MaintenanceTask::Check(..)) | None => {}
    }
    if !arguments.client.commands.is_empty() {
        let path = maintenance::folder(data.clone(), port)?;
        if !StateFolder::is_in_use(&path) {
            return Err(early_failure(maintenance::not_running(&path)));
        }
    }
    let opened = state_folder::open(StateKind::Tracker, data, &address)?;
    let client = ClientOptions {
        kind: StateKind::Tracker,
        attach: &arguments.client.process.attach,
        commands: &arguments.client.commands,
        fail_fast: false,
    };
    let folder = match client::open_or_attach(opened, &client, output)? {
        // The running tracker has ended meanwhile.
        ControlFlow::Continue(folder) if !arguments.client.commands.is_empty() => {
            return Err(early_failure(maintenance::not_running(folder.path())));
        }
        ControlFlow::Continue(folder) => folder,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    run_tracker(arguments, address, info, &folder, output)
}

/// Runs the tracker in its state folder, until it is stopped.
fn run_tracker(
    arguments: TrackerArguments,
    address: HostPort,
    info: TrackerInfo,
    folder: &StateFolder,
    output: &Output,
) -> Result<Exit, EarlyExit> {
    let log = logging::start(folder.path(), StateKind::Tracker.log_name(), arguments.log)
        .map_err(early_failure)?;
    state_folder::warn(folder, output);
    let reload = Reload::new(log, arguments.client.process.config.clone());
    let signals = signals::watch(move || reload.run()).map_err(early_failure)?;
    if arguments.data.is_none() && address.port == 0 {
        signals.remove_when_killed(folder.path());
    }
    // The tracker of a closed run has no console.
    let listener = match arguments.closed_run {
        Some(_) => None,
        None => attach::bind(folder, output),
    };
    let key = match (arguments.cluster.file, &arguments.tracker_info) {
        (Some(named), _) => named,
        (None, Some(path)) => path.with_file_name(CLUSTER_FILE),
        (None, None) => folder.path().join(CLUSTER_FILE),
    };
    let endpoint = EndpointOptions {
        number: TrackerNumber::new(arguments.number).unwrap_or(TrackerNumber::MIN),
        address,
        udp: arguments.service.open,
        folder: folder.path().to_owned(),
        key,
        new_key: match arguments.cluster.wants_new {
            true => NewKey::Wanted,
            false => NewKey::OnlyWithoutRegistry,
        },
        pinned: info.fingerprint,
        stop: signals.stop,
    };
    if let Some(closed_run) = arguments.closed_run {
        let (expected, wait) = (closed_run.expect, closed_run.wait);
        let options = RunOptions {
            endpoint,
            expected,
            wait,
        };
        return serve_closed_run(options, output);
    }
    let options = NodeOptions {
        tracker_count: tracker_count(&info)?,
        tracker_info: arguments.tracker_info,
        alone: arguments.alone,
        restore: arguments.restore,
        access: access_settings(&arguments.service),
        open: arguments.service.open,
        limits: arguments.service.limits,
        max_connections: arguments.service.max_connections,
        host_names: host_names(arguments.service.host_names, &info),
        endpoint,
    };
    serve_cluster(options, listener, output)
}

/// The names that the operator has chosen, and the hosts of TRACKER_INFO. The running tracker reads
/// TRACKER_INFO itself, but requests may arrive before that.
fn host_names(mut chosen: Vec<String>, info: &TrackerInfo) -> Vec<String> {
    chosen.extend(info.addresses.iter().map(|address| address.host.clone()));
    chosen
}

fn access_settings(service: &ServiceArguments) -> AccessSettings {
    AccessSettings {
        registration: service.registration,
        announce_interval: service.interval,
        certificate_lifetime: service.certificate_life,
        login_life: service.login_life,
        new_accounts: service.new_accounts,
        quotas: service.quotas,
    }
}

fn serve_cluster(
    options: NodeOptions,
    listener: Option<LocalListener>,
    output: &Output,
) -> Result<Exit, EarlyExit> {
    let (number, stop) = (options.endpoint.number, options.endpoint.stop.clone());
    let open = options.open;
    let mut fingerprint = None;
    let node = Node::start(options, |address, cluster| {
        fingerprint = Some(cluster);
        print_first_lines(number, address, cluster, output)
    });
    let node = node.map_err(early_failure)?;
    let console = Arc::new(Console {
        operator: node.operator(),
        address: node.address(),
        open,
        started: Instant::now(),
        stop,
    });
    let no_thread = |error: io::Error| early_failure(format!("cannot start a thread: {error}"));
    let host = TrackerHost {
        number,
        fingerprint,
        console: Arc::clone(&console),
    };
    let attach = |listener| Attachments::start(listener, Arc::new(host));
    let attachments = listener.map(attach).transpose().map_err(no_thread)?;
    let console = console.start(output.is_interactive()).map_err(no_thread)?;
    node.run();
    attachments.into_iter().for_each(Attachments::stop);
    let _ = console.join();
    Ok(Exit::Success)
}

/// Serves one closed run and nothing else.
fn serve_closed_run(options: RunOptions, output: &Output) -> Result<Exit, EarlyExit> {
    let (number, expected) = (options.endpoint.number, options.expected);
    let host = RunHost::start(options, |address, cluster| {
        print_first_lines(number, address, cluster, output)
    });
    let host = host.map_err(early_failure)?;
    let outcome = host.wait_until_ended();
    for failure in &outcome.failures {
        output.error(&failure.to_string());
    }
    if outcome.failures.is_empty() {
        output.note(&match expected.get() {
            1 => "the client has finished".to_owned(),
            _ => format!("all {expected} clients have finished"),
        });
    }
    Ok(Exit::of(outcome.failures.is_empty()))
}

/// The number of trackers that TRACKER_INFO lists.
///
/// # Errors
/// There are more than [`MAX_TRACKERS`].
fn tracker_count(info: &TrackerInfo) -> Result<usize, EarlyExit> {
    let count = info.addresses.len();
    if count > MAX_TRACKERS {
        return Err(early_failure(format!(
            "TRACKER_INFO lists {count} trackers; a cluster has at most {MAX_TRACKERS}"
        )));
    }
    Ok(count)
}

/// The contents of TRACKER_INFO. Without the file there is one tracker, on loopback.
fn read_tracker_info(tracker_info: Option<&Path>) -> Result<TrackerInfo, EarlyExit> {
    let Some(path) = tracker_info else {
        return Ok(TrackerInfo {
            addresses: vec![HostPort {
                host: "127.0.0.1".into(),
                port: 5000,
            }],
            fingerprint: None,
        });
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| early_failure(format!("{}: {}", path.display(), cause(&error))))?;
    text.parse::<TrackerInfo>()
        .map_err(|error| early_failure(format!("{}: {error}", path.display())))
}

/// The address of tracker `number`.
fn address(
    info: &TrackerInfo,
    tracker_info: Option<&Path>,
    number: u32,
) -> Result<HostPort, EarlyExit> {
    let address = info.address(number).cloned();
    address.map_err(|error| match (error, tracker_info) {
        (error @ TrackerInfoError::NoSuchTracker { .. }, Some(path)) => {
            (format!("{}: {error}", path.display()), Exit::Usage)
        }
        (error, _) => (error.to_string(), Exit::Usage),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: Option<&Path>, number: u32) -> Result<HostPort, EarlyExit> {
        super::address(&read_tracker_info(path)?, path, number)
    }

    #[test]
    fn each_tracker_listens_on_its_address_in_the_file() {
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
        std::fs::write(&path, "localhost:1\n".repeat(6)).unwrap();
        let six = read_tracker_info(Some(&path)).unwrap();
        let (message, _) = tracker_count(&six).unwrap_err();
        assert!(message.contains("a cluster has at most 5"), "{message}");
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
