//! Running a tracker until it is told to end, or until its closed run has ended.

mod instead;

use super::arguments::{ClosedRunArguments, Instead, TrackerArguments};
use super::console::Console;
use super::exit::{Exit, Refused, failure};
use super::output::Output;
use super::signals::Stopped;
use super::{logging, signals, state};
use crate::certificate::{Authority, Fingerprint};
use crate::net::{ClusterTls, Purpose, Stop, TRACKER_NAME, TlsServer, TlsStream};
use crate::storage::{
    CLUSTER_FILE, CLUSTER_WAIT, Database, Running, StateKind, SwarmsFile, make_or_open_cluster,
    wait_for_cluster,
};
use crate::tracker::{
    ClosedSwarms, ClusterWatch, MAX_TRACKERS, Options, Position, Registrar, RegistryStore,
    RunningRun, Terms, Tracker, Twins, bind, bind_with_udp, numbers, serve_operator, serve_twin,
};
use crate::wire::twin::TrackerNumber;
use crate::wire::{HostPort, TrackerInfo, TrackerInfoError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often silent peers of groups' swarms are looked for.
const EXPIRE: Duration = Duration::from_secs(1);

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
    if let Some(Instead::Check(first, second)) = &arguments.instead {
        return instead::check(first, second, output);
    }
    let info = trackers(arguments.tracker_info.as_deref())?;
    let line = address(&info, arguments.tracker_info.as_deref(), number)?;
    let address = arguments.listen.unwrap_or(line);
    let (data, port) = (arguments.data.clone(), address.port);
    match &arguments.instead {
        Some(Instead::Dump) => return instead::dump(data, port, output),
        Some(Instead::Backup(file)) => {
            return instead::backup(data, port, arguments.cluster, file, output);
        }
        Some(Instead::Check(..)) | None => {}
    }
    let is_temporary = arguments.data.is_none() && address.port == 0;
    let folder = state::open(StateKind::Tracker, arguments.data, address.port)?;
    logging::start(folder.path(), "tracker.log", arguments.log).map_err(failure)?;
    let signals = signals::watch().map_err(failure)?;
    if is_temporary {
        signals.remove_when_killed(folder.path());
    }
    let stop = signals.stop;
    let (listener, udp) = match arguments.open {
        true => bind_with_udp(&address).map(|(listener, udp)| (listener, Some(udp))),
        false => bind(&address).map(|listener| (listener, None)),
    }
    .map_err(failure)?;
    let bound = listener
        .local_addr()
        .map_err(|error| failure(format!("cannot listen on {address}: {error}")))?;
    let key = match (arguments.cluster, &arguments.tracker_info) {
        (Some(named), _) => named,
        (None, Some(info)) => info.with_file_name(CLUSTER_FILE),
        (None, None) => folder.path().join(CLUSTER_FILE),
    };
    let cluster = cluster(&key, number, &stop)?;
    check_pin(&cluster, &key, info.fingerprint)?;
    let identity = cluster.issue(TRACKER_NAME).map_err(failure)?;
    let members = ClusterTls::new(&identity).map_err(failure)?;
    let tls = TlsServer::new(identity).and_then(|tls| tls.with_members(&members));
    let tls = tls.map_err(failure)?;
    let service = match arguments.closed_run {
        // It serves nothing else.
        Some(_) => None,
        None => Some(service(
            folder.path(),
            &cluster,
            arguments.restore.as_deref(),
            position(&info, number, arguments.alone)?,
            Terms {
                registration: arguments.registration,
                interval: arguments.interval,
                certificate: arguments.certificate_life,
            },
        )?),
    };
    output.result(&format!("tracker {number} listening on {bound}"));
    output.result(&format!("fingerprint {}", cluster.fingerprint()));
    let running = Running {
        address: bound,
        cluster: key,
    };
    if let Err(error) = running.store(folder.path()) {
        log::warn!("no backup can be asked for: {error}");
    }
    let mut options = Options::new(listener);
    options.number = number;
    options.interval = arguments.interval;
    options.open = arguments.open;
    options.udp = udp;
    options.swarms = Some(SwarmsFile::new(folder.path()));
    options.tls = Some(tls);
    options.stop = stop.clone();
    let ended = match (arguments.closed_run, service) {
        (Some(closed_run), _) => run_closed(&closed_run, options, &stop, output),
        (None, Some(service)) => {
            // Without the file there is nobody else.
            let others = arguments.tracker_info.map(|info| (info, members));
            run_service(options, &service, others, &stop, output)
        }
        (None, None) => Ok(Exit::Failure),
    };
    Running::remove(folder.path());
    ended
}

/// What answers about accounts and groups.
struct Service {
    store: Arc<RegistryStore>,
    registrar: Arc<Registrar>,
    number: TrackerNumber,
}

/// Which tracker of the listed ones this is.
fn position(info: &TrackerInfo, number: u32, alone: bool) -> Result<Position, Refused> {
    let count = info.addresses.len();
    if count > MAX_TRACKERS {
        return Err(failure(format!(
            "TRACKER_INFO names {count} trackers; a cluster has {MAX_TRACKERS} at most"
        )));
    }
    Ok(Position {
        number: TrackerNumber::new(number).unwrap_or(TrackerNumber::MIN),
        listed: numbers(count),
        alone,
    })
}

fn service(
    folder: &Path,
    cluster: &Authority,
    restore: Option<&Path>,
    position: Position,
    terms: Terms,
) -> Result<Service, Refused> {
    if let Some(backup) = restore {
        Database::restore(folder, backup).map_err(failure)?;
    }
    let number = position.number;
    let store = Arc::new(RegistryStore::open(folder, position).map_err(failure)?);
    let registrar = Registrar::start(Arc::clone(&store), cluster, terms);
    let registrar = registrar.map(Arc::new).map_err(no_thread)?;
    Ok(Service {
        store,
        registrar,
        number,
    })
}

fn no_thread(error: io::Error) -> Refused {
    failure(format!("cannot start a thread: {error}"))
}

fn run_service(
    mut options: Options,
    service: &Service,
    others: Option<(PathBuf, ClusterTls)>,
    stop: &Stop,
    output: &Output,
) -> Result<Exit, Refused> {
    let (store, registrar) = (&service.store, &service.registrar);
    let (kept, serving) = (Arc::clone(store), Arc::clone(registrar));
    options.control = Some(Arc::new(
        move |line: &TlsStream, from: SocketAddr, purpose| match purpose {
            Purpose::Peer => serving.serve(line, from),
            Purpose::Twin => serve_twin(&kept, line, from),
            Purpose::Operator => serve_operator(&kept, line, from),
        },
    ));
    let watched = Arc::clone(store);
    options.cluster = Some(ClusterWatch::new(move || watched.status()));
    let known = Arc::clone(registrar);
    options.closed_swarms = Some(ClosedSwarms::new(move |swarm| known.is_shared(swarm)));
    let open = options.open;
    let tracker = Tracker::start(options).map_err(failure)?;
    let twins =
        others.map(|(info, tls)| Twins::start(Arc::clone(store), tls, info, service.number));
    let twins = twins.transpose().map_err(no_thread)?;
    let console = Console {
        registrar: Arc::clone(registrar),
        address: tracker.address(),
        open,
        stop: stop.clone(),
    };
    let console = console.start(output.is_interactive()).map_err(no_thread)?;
    while !stop.wait(EXPIRE) {
        registrar.expire();
    }
    // Whoever waits for a password to be checked is told of the end, and its line then ends.
    registrar.stop();
    // Whoever waits for another tracker is answered.
    if let Some(twins) = &twins {
        twins.stop();
    }
    store.close_lines();
    tracker.stop();
    store.stop();
    let _ = console.join();
    Ok(Exit::Success)
}

/// What the file says; without it there is one tracker, on loopback.
fn trackers(tracker_info: Option<&Path>) -> Result<TrackerInfo, Refused> {
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
        .map_err(|error| failure(format!("{}: {error}", path.display())))?;
    text.parse::<TrackerInfo>()
        .map_err(|error| failure(format!("{}: {error}", path.display())))
}

/// Where tracker `number` listens.
fn address(
    info: &TrackerInfo,
    tracker_info: Option<&Path>,
    number: u32,
) -> Result<HostPort, Refused> {
    let address = info.address(number).cloned();
    address.map_err(|error| match (error, tracker_info) {
        (error @ TrackerInfoError::NoSuchTracker { .. }, Some(path)) => {
            (format!("{}: {error}", path.display()), Exit::Usage)
        }
        (error, _) => (error.to_string(), Exit::Usage),
    })
}

/// The cluster that this tracker is of: number 1 makes it, others wait for it.
fn cluster(key: &Path, number: u32, stop: &Stop) -> Result<Authority, Refused> {
    let opened = match number {
        1 => make_or_open_cluster(key),
        _ => wait_for_cluster(key, CLUSTER_WAIT, |pause| stop.wait(pause)),
    };
    opened.map_err(failure)
}

fn check_pin(cluster: &Authority, key: &Path, pinned: Option<Fingerprint>) -> Result<(), Refused> {
    let found = cluster.fingerprint();
    match pinned.filter(|pinned| *pinned != found) {
        None => Ok(()),
        Some(pinned) => Err(failure(format!(
            "{} has the fingerprint {found}, but TRACKER_INFO pins {pinned}: put the key of that cluster there, or \
             correct the fingerprint line",
            key.display()
        ))),
    }
}

fn run_closed(
    closed_run: &ClosedRunArguments,
    mut options: Options,
    stop: &Stop,
    output: &Output,
) -> Result<Exit, Refused> {
    let run = RunningRun::start(closed_run.expect, closed_run.wait).map_err(no_thread)?;
    let run = Arc::new(run);
    let serving = Arc::clone(&run);
    options.closed_run = true;
    options.control = Some(Arc::new(
        move |line: &TlsStream, from: SocketAddr, purpose| match purpose {
            Purpose::Peer => serving.serve(line, from),
            Purpose::Twin | Purpose::Operator => line.hang_up(),
        },
    ));
    let tracker = Tracker::start(options).map_err(failure)?;
    let (ending, aborting) = (stop.clone(), Arc::clone(&run));
    let watcher = thread::Builder::new().name("stop".into()).spawn(move || {
        Stopped::wait(&ending);
        aborting.abort("the tracker was stopped");
    });
    let watcher = watcher.map_err(no_thread)?;
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

    fn address(path: Option<&Path>, number: u32) -> Result<HostPort, Refused> {
        super::address(&trackers(path)?, path, number)
    }

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
        std::fs::write(&path, "localhost:1\n".repeat(6)).unwrap();
        let six = trackers(Some(&path)).unwrap();
        let (message, _) = position(&six, 1, false).unwrap_err();
        assert!(message.contains("a cluster has 5 at most"), "{message}");
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
