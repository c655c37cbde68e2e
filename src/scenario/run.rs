//! The client's side of a closed run, from its report to the end of the run.
//!
//! In scope: owned files are written to the state folder and served, wanted files are downloaded,
//! both with the same peer and swarm code as any share. Out of scope: the tracker's side
//! (`tracker::closed_run`).

use super::{Scenario, output_name};
use crate::certificate::Fingerprint;
use crate::net::Stop;
use crate::peer::{
    ClosedRunConnection, ClosedRunConnectionError, DownloadState, FirstUse, Obstacle, Peer,
    PeerError, Trust,
};
use crate::storage::Destination;
use crate::system::cause;
use crate::torrent::{FileName, Info, InfoHash, MetainfoError};
use crate::wire::TrackerInfo;
use crate::wire::control::{ClientNumber, RunErrorKind};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The client asks for a file's owners again each time it has verified this many more pieces.
const PIECES_PER_REFRESH: u32 = 10;
/// The client also asks again when this time has passed since its last request.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);
/// The longest time between two checks of the downloads.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The client gives up if it cannot reach a tracker within this time.
const TRACKER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two attempts to reach a tracker.
const TRACKER_PAUSE: Duration = Duration::from_millis(100);
/// If pieces are missing because no link to their owners comes up, the client gives the file up
/// when no piece has arrived for this time.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(20);

/// The client's number, files and folders in a closed run.
pub struct ClientTask<'a> {
    /// The client's number.
    pub client: ClientNumber,
    /// The files that it owns and wants.
    pub scenario: &'a Scenario,
    /// The TRACKER_INFO file, which may be written later.
    pub tracker_info: &'a Path,
    /// The folder in which `clientR_NAME` is written for each wanted file.
    pub out: &'a Path,
    /// Called when the fingerprint of an unknown cluster is stored.
    pub first_use: &'a (dyn Fn(FirstUse<'_>) + Sync),
}

/// Why a client did not finish its part of a closed run.
#[derive(Debug, thiserror::Error)]
pub enum ClientRunError {
    /// A file or folder cannot be written.
    #[error("{}: {}", path.display(), cause(.source))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No tracker of TRACKER_INFO answers.
    #[error("no tracker answers: {0}")]
    NoTracker(String),
    /// The tracker refused a request, or the control connection failed.
    #[error(transparent)]
    Control(#[from] ClosedRunConnectionError),
    /// The peer cannot serve an owned file or start a download.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// An owned file cannot be a share.
    #[error(transparent)]
    Info(#[from] MetainfoError),
    /// Wanted files that could not be downloaded, each with its reason.
    #[error("{}", .0.join("; "))]
    NotDownloaded(Vec<String>),
    /// The tracker ended the run early, because of these failures.
    #[error("the run has failed: {}", .0.join("; "))]
    Ended(Vec<String>),
    /// `stop` was raised.
    #[error("stopped before the end of the run")]
    Stopped,
}

/// Runs the client. Returns when the tracker ends the run, or early if `stop` is raised.
///
/// # Errors
/// A file cannot be written or served, no tracker answers, a wanted file could not be downloaded,
/// or the run ended early.
pub fn run(peer: &Peer, task: &ClientTask<'_>, stop: &Stop) -> Result<(), ClientRunError> {
    let owned = serve_owned_files(peer, task)?;
    fs::create_dir_all(task.out).map_err(|source| ClientRunError::File {
        path: task.out.to_owned(),
        source,
    })?;
    let connection = Arc::new(reach_tracker(peer, task, stop)?);
    let done = Stop::new();
    let watcher = {
        let (connection, stop, done) = (Arc::clone(&connection), stop.clone(), done.clone());
        thread::Builder::new()
            .name("scenario-stop".to_owned())
            .spawn(move || {
                // Waits until one of the two flags is raised: sleeps on `stop` and polls `done`.
                while !done.is_stopped() && !stop.wait(Duration::from_millis(50)) {}
                if stop.is_stopped() {
                    connection.stop();
                }
            })
    };
    let result = report_and_download(peer, task, &connection, &owned);
    done.stop();
    if let Ok(watcher) = watcher {
        let _ = watcher.join();
    }
    match result {
        Err(ClientRunError::Control(ClosedRunConnectionError::Ended(failures))) => {
            let failures = failures.iter().map(ToString::to_string);
            Err(ClientRunError::Ended(failures.collect()))
        }
        Err(ClientRunError::Control(ClosedRunConnectionError::Stopped)) => {
            Err(ClientRunError::Stopped)
        }
        result => result,
    }
}

/// Reports the owned and wanted files, waits until the tracker releases all clients together,
/// downloads the wanted files, and waits for the end of the run.
fn report_and_download(
    peer: &Peer,
    task: &ClientTask<'_>,
    connection: &ClosedRunConnection,
    owned: &HashMap<FileName, PathBuf>,
) -> Result<(), ClientRunError> {
    let infos = task.scenario.owned.iter().map(|file| file.info());
    connection.report(
        &infos.collect::<Result<Vec<Info>, _>>()?,
        &task.scenario.wanted,
    )?;
    connection.wait_released()?;
    let mut failures = Vec::new();
    let mut downloads = Vec::new();
    for name in &task.scenario.wanted {
        match start_download(peer, task, connection, owned, name) {
            Ok(Some(download)) => downloads.push(download),
            Ok(None) => connection.report_complete(name)?,
            Err(StartError::File(reason)) => give_up(connection, name, &reason, &mut failures)?,
            Err(StartError::Run(error)) => return Err(error),
        }
    }
    while !downloads.is_empty() {
        let change_count = peer.change_count();
        let mut running = Vec::with_capacity(downloads.len());
        for mut download in downloads {
            match download.check(peer, connection)? {
                WantedState::Running => running.push(download),
                WantedState::Complete => connection.report_complete(&download.name)?,
                WantedState::Failed(reason) => {
                    give_up(connection, &download.name, &reason, &mut failures)?;
                }
            }
        }
        downloads = running;
        if !downloads.is_empty() {
            peer.wait_for_change(change_count, CHECK_INTERVAL);
        }
        if let Some(error) = connection.end_error() {
            return Err(error.into());
        }
    }
    connection.report_finished()?;
    connection.wait_end()?;
    if failures.is_empty() {
        Ok(())
    } else {
        Err(ClientRunError::NotDownloaded(failures))
    }
}

/// Reports to the tracker that a wanted file cannot be downloaded.
fn give_up(
    connection: &ClosedRunConnection,
    name: &FileName,
    reason: &str,
    failures: &mut Vec<String>,
) -> Result<(), ClosedRunConnectionError> {
    log::warn!("{name}: cannot be downloaded: {reason}");
    failures.push(format!("{name}: {reason}"));
    connection.report_failed(name, reason)
}

/// Writes the owned files to the state folder and serves them.
fn serve_owned_files(
    peer: &Peer,
    task: &ClientTask<'_>,
) -> Result<HashMap<FileName, PathBuf>, ClientRunError> {
    let folder = peer.folder().path().join("owned");
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| ClientRunError::File { path, source }
    };
    fs::create_dir_all(&folder).map_err(file_error(&folder))?;
    let mut owned = HashMap::new();
    for shared in &task.scenario.owned {
        let path = folder.join(&shared.name);
        fs::write(&path, &shared.content).map_err(file_error(&path))?;
        peer.offer_in_closed_run(shared.info()?, &path)?;
        owned.insert(shared.name.clone(), path);
    }
    Ok(owned)
}

/// Connects to a tracker. Reads TRACKER_INFO again before each attempt, because it may be written
/// after the start.
fn reach_tracker(
    peer: &Peer,
    task: &ClientTask<'_>,
    stop: &Stop,
) -> Result<ClosedRunConnection, ClientRunError> {
    let port = NonZeroU16::new(peer.address().port());
    let port = port.ok_or_else(|| ClientRunError::NoTracker("this peer has no port".to_owned()))?;
    let started = Instant::now();
    loop {
        let trouble = match trackers(task.tracker_info) {
            Err(trouble) => trouble,
            Ok((addresses, pinned)) => {
                let trust = Trust::new(pinned, peer.folder().path(), task.first_use);
                let mut trouble = format!("{} lists no tracker", task.tracker_info.display());
                for address in addresses {
                    match ClosedRunConnection::connect(address, task.client, port, &trust) {
                        Ok(connection) => return Ok(connection),
                        Err(ClosedRunConnectionError::NoConnection(error))
                            if error.is_transient() =>
                        {
                            trouble = error.to_string();
                        }
                        Err(
                            error @ (ClosedRunConnectionError::Refused { .. }
                            | ClosedRunConnectionError::NoConnection(_)),
                        ) => return Err(error.into()),
                        Err(error) => trouble = error.to_string(),
                    }
                }
                trouble
            }
        };
        if started.elapsed() > TRACKER_TIMEOUT {
            return Err(ClientRunError::NoTracker(trouble));
        }
        if stop.wait(TRACKER_PAUSE) {
            return Err(ClientRunError::Stopped);
        }
    }
}

/// The addresses of the trackers, and the fingerprint of their cluster if TRACKER_INFO has it.
type Trackers = (Vec<SocketAddr>, Option<Fingerprint>);

fn trackers(tracker_info: &Path) -> Result<Trackers, String> {
    let shown = tracker_info.display();
    let text = fs::read_to_string(tracker_info).map_err(|error| format!("{shown}: {error}"))?;
    let info: TrackerInfo = text.parse().map_err(|error| format!("{shown}: {error}"))?;
    let mut addresses = Vec::new();
    for tracker in &info.addresses {
        let found = (tracker.host.as_str(), tracker.port).to_socket_addrs();
        addresses.extend(found.map_err(|error| format!("{shown}: {tracker}: {error}"))?);
    }
    Ok((addresses, info.fingerprint))
}

/// Why the download of a wanted file did not start.
enum StartError {
    /// The reason concerns this file only.
    File(String),
    /// The run cannot go on.
    Run(ClientRunError),
}

impl From<ClosedRunConnectionError> for StartError {
    fn from(error: ClosedRunConnectionError) -> Self {
        match error {
            ClosedRunConnectionError::Refused {
                kind: RunErrorKind::NoOwner,
                ..
            } => Self::File("no living owner".to_owned()),
            other => Self::Run(other.into()),
        }
    }
}

/// Starts the download of a wanted file. If the client owns the file, copies it instead and returns
/// `None`.
fn start_download(
    peer: &Peer,
    task: &ClientTask<'_>,
    connection: &ClosedRunConnection,
    owned: &HashMap<FileName, PathBuf>,
    name: &FileName,
) -> Result<Option<WantedFile>, StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::File(error.to_string());
    let file_name = output_name(task.client, name).map_err(|error| failed(&error))?;
    let path = task.out.join(&file_name);
    // Removes the output of an earlier run.
    if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        fs::remove_file(&path).map_err(|error| failed(&format!("{}: {error}", path.display())))?;
    }
    if let Some(own) = owned.get(name) {
        fs::copy(own, &path).map_err(|error| failed(&format!("{}: {error}", path.display())))?;
        return Ok(None);
    }
    let info = connection.lookup(name)?;
    let info_hash = info.info_hash();
    let place = Destination {
        folder: task.out.to_owned(),
        name: file_name.to_string(),
    };
    let mut download = WantedFile {
        name: name.clone(),
        info_hash,
        owners: Vec::new(),
        verified_at_refresh: 0,
        refreshed: Instant::now(),
        verified: 0,
        last_piece: Instant::now(),
    };
    peer.fetch_in_closed_run(info, place)
        .map_err(|error| failed(&error))?;
    download.refresh_owners(peer, connection)?;
    Ok(Some(download))
}

/// A wanted file that is being downloaded.
struct WantedFile {
    name: FileName,
    info_hash: InfoHash,
    /// The living owners at the last refresh, without this peer.
    owners: Vec<SocketAddr>,
    /// The number of verified pieces at the last refresh of the owners.
    verified_at_refresh: u32,
    /// The time of the last refresh.
    refreshed: Instant,
    /// The number of verified pieces.
    verified: u32,
    /// The time at which `verified` last changed.
    last_piece: Instant,
}

/// The state of a [`WantedFile`].
enum WantedState {
    Running,
    Complete,
    Failed(String),
}

impl WantedFile {
    /// Returns the state of the download, and asks the tracker for the owners if that is due.
    fn check(
        &mut self,
        peer: &Peer,
        connection: &ClosedRunConnection,
    ) -> Result<WantedState, ClosedRunConnectionError> {
        let Some(status) = peer.closed_run_progress(self.info_hash, &self.owners) else {
            let reason = "this peer has no such download any more";
            return Ok(WantedState::Failed(reason.to_owned()));
        };
        match status.state {
            DownloadState::Complete => return Ok(WantedState::Complete),
            DownloadState::Failed(reason) => return Ok(WantedState::Failed(reason)),
            DownloadState::Checking(_) | DownloadState::Downloading => {}
        }
        if status.verified != self.verified {
            (self.verified, self.last_piece) = (status.verified, Instant::now());
        }
        let is_due = self.verified >= self.verified_at_refresh + PIECES_PER_REFRESH
            || self.refreshed.elapsed() > REFRESH_INTERVAL;
        if !is_due {
            return Ok(WantedState::Running);
        }
        self.refresh_owners(peer, connection)?;
        // A piece that none of the present owners has cannot appear later: owners get pieces only
        // from each other.
        let obstacle = peer
            .closed_run_progress(self.info_hash, &self.owners)
            .map(|status| status.obstacle);
        Ok(match obstacle {
            Some(Obstacle::NoOwnerOf(pieces)) => {
                WantedState::Failed(format!("no living owner of {pieces} of its segments"))
            }
            Some(Obstacle::NoLinkTo(owners)) if self.last_piece.elapsed() > UNREACHABLE_AFTER => {
                let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
                WantedState::Failed(format!(
                    "its owners cannot be reached: {}",
                    owners.join(", ")
                ))
            }
            _ => WantedState::Running,
        })
    }

    /// Asks the tracker for the living owners and passes them to the peer.
    fn refresh_owners(
        &mut self,
        peer: &Peer,
        connection: &ClosedRunConnection,
    ) -> Result<(), ClosedRunConnectionError> {
        self.owners = connection.owners(self.info_hash)?.addresses;
        self.owners.retain(|owner| *owner != peer.address());
        (self.verified_at_refresh, self.refreshed) = (self.verified, Instant::now());
        peer.add_owners(self.info_hash, &self.owners);
        Ok(())
    }
}
