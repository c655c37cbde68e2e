//! One client's part in a closed run, from its report to the end that the tracker gives.
//!
//! In scope: what is owned is laid out as files, what is wanted is fetched, both by the same peer and the same swarm code
//! as any share. Out of scope: the tracker's side (`tracker::RunningRun`).

use super::{Scenario, output_name};
use crate::certificate::Fingerprint;
use crate::net::Stop;
use crate::peer::{
    DownloadState, FirstUse, Missing, Peer, PeerError, RunConnection, RunConnectionError, Trust,
};
use crate::storage::Place;
use crate::torrent::{FileName, Info, InfoHash, MetainfoError};
use crate::wire::TrackerInfo;
use crate::wire::control::{ClientNumber, ErrorKind};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A client asks again who owns a file each time it has verified so many more pieces of it.
const PIECES_PER_REFRESH: u32 = 10;
/// It also asks again after so long without that.
const REFRESH: Duration = Duration::from_millis(500);
/// How long the state of downloads is left alone while nothing changes.
const LOOK: Duration = Duration::from_millis(20);
/// How long a tracker is looked for before the client gives up.
const TRACKER: Duration = Duration::from_secs(60);
/// The pause between two looks for a tracker.
const TRACKER_PAUSE: Duration = Duration::from_millis(100);
/// An owner that lives but cannot be linked is given up when nothing else has come for so long.
const UNREACHABLE: Duration = Duration::from_secs(20);

/// What a client is to do.
pub struct Part<'a> {
    /// Its number.
    pub client: ClientNumber,
    /// What it owns and wants.
    pub scenario: &'a Scenario,
    /// The TRACKER_INFO file, which may be written later.
    pub tracker_info: &'a Path,
    /// Where `clientR_NAME` is written for each wanted file.
    pub out: &'a Path,
    /// Is told of a cluster met for the first time.
    pub first_use: &'a (dyn Fn(FirstUse<'_>) + Sync),
}

/// Why a client's part failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file or folder of its own.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// TRACKER_INFO names no tracker that answers.
    #[error("no tracker answers: {0}")]
    NoTracker(String),
    /// The tracker refused, or the line to it is lost.
    #[error(transparent)]
    Line(#[from] RunConnectionError),
    /// The peer could not offer or fetch.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// An owned file makes no share.
    #[error(transparent)]
    Info(#[from] MetainfoError),
    /// Wanted files that could not be had, each with its reason.
    #[error("{}", .0.join("; "))]
    NotHad(Vec<String>),
    /// The tracker ended the run.
    #[error("the run has failed: {}", .0.join("; "))]
    Ended(Vec<String>),
    /// The person ended it.
    #[error("stopped before the end of the run")]
    Stopped,
}

/// Plays the part; returns when the tracker ends the run. A raised `stop` ends it early.
///
/// # Errors
/// When not every wanted file was had, or the run ended before.
pub fn run(peer: &Peer, part: &Part<'_>, stop: &Stop) -> Result<(), RunError> {
    let owned = offer(peer, part)?;
    fs::create_dir_all(part.out).map_err(|source| RunError::File {
        path: part.out.to_owned(),
        source,
    })?;
    let line = Arc::new(reach_tracker(peer, part, stop)?);
    let done = Stop::new();
    let watcher = {
        let (line, stop, done) = (Arc::clone(&line), stop.clone(), done.clone());
        thread::Builder::new()
            .name("scenario-stop".to_owned())
            .spawn(move || {
                // Two flags, one of them not ours: the end of the run is looked for now and then.
                while !done.is_stopped() && !stop.wait(Duration::from_millis(50)) {}
                if stop.is_stopped() {
                    line.stop();
                }
            })
    };
    let played = play(peer, part, &line, &owned);
    done.stop();
    if let Ok(watcher) = watcher {
        let _ = watcher.join();
    }
    match played {
        Err(RunError::Line(RunConnectionError::Ended(failures))) => Err(RunError::Ended(
            failures.iter().map(ToString::to_string).collect(),
        )),
        Err(RunError::Line(RunConnectionError::Stopped)) => Err(RunError::Stopped),
        played => played,
    }
}

fn play(
    peer: &Peer,
    part: &Part<'_>,
    line: &RunConnection,
    owned: &HashMap<FileName, PathBuf>,
) -> Result<(), RunError> {
    let infos = part.scenario.owned.iter().map(|file| file.info());
    line.report(
        &infos.collect::<Result<Vec<Info>, _>>()?,
        &part.scenario.wanted,
    )?;
    line.wait_released()?;
    let mut failures = Vec::new();
    let mut fetches = Vec::new();
    for name in &part.scenario.wanted {
        let begun = begin(peer, part, line, owned, name);
        match begun {
            Ok(Some(fetch)) => fetches.push(fetch),
            Ok(None) => line.complete(name)?,
            Err(BeginError::This(reason)) => give_up(line, name, &reason, &mut failures)?,
            Err(BeginError::Run(error)) => return Err(error),
        }
    }
    while !fetches.is_empty() {
        let seen = peer.changes();
        let mut running = Vec::with_capacity(fetches.len());
        for mut fetch in fetches {
            match fetch.look(peer, line)? {
                Look::Running => running.push(fetch),
                Look::Complete => line.complete(&fetch.name)?,
                Look::Failed(reason) => give_up(line, &fetch.name, &reason, &mut failures)?,
            }
        }
        fetches = running;
        if !fetches.is_empty() {
            peer.wait_for_change(seen, LOOK);
        }
        if let Some(error) = line.ended() {
            return Err(error.into());
        }
    }
    line.finished()?;
    line.wait_end()?;
    if failures.is_empty() {
        Ok(())
    } else {
        Err(RunError::NotHad(failures))
    }
}

fn give_up(
    line: &RunConnection,
    name: &FileName,
    reason: &str,
    failures: &mut Vec<String>,
) -> Result<(), RunConnectionError> {
    log::warn!("{name}: given up: {reason}");
    failures.push(format!("{name}: {reason}"));
    line.failed(name, reason)
}

/// Lays the owned files out and offers them.
fn offer(peer: &Peer, part: &Part<'_>) -> Result<HashMap<FileName, PathBuf>, RunError> {
    let folder = peer.folder().path().join("owned");
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| RunError::File { path, source }
    };
    fs::create_dir_all(&folder).map_err(file(&folder))?;
    let mut owned = HashMap::new();
    for shared in &part.scenario.owned {
        let path = folder.join(&shared.name);
        fs::write(&path, &shared.content).map_err(file(&path))?;
        peer.offer_unlisted(shared.info()?, &path)?;
        owned.insert(shared.name.clone(), path);
    }
    Ok(owned)
}

/// Looks for a tracker, reading TRACKER_INFO anew each time: it may be written after the start.
fn reach_tracker(peer: &Peer, part: &Part<'_>, stop: &Stop) -> Result<RunConnection, RunError> {
    let port = NonZeroU16::new(peer.address().port());
    let port = port.ok_or_else(|| RunError::NoTracker("this peer has no port".to_owned()))?;
    let begun = Instant::now();
    loop {
        let trouble = match trackers(part.tracker_info) {
            Err(trouble) => trouble,
            Ok((addresses, pinned)) => {
                let trust = Trust::new(pinned, peer.folder().path(), part.first_use);
                let mut trouble = format!("{} names none", part.tracker_info.display());
                for address in addresses {
                    match RunConnection::connect(address, part.client, port, &trust) {
                        Ok(line) => return Ok(line),
                        Err(RunConnectionError::NoLine(error)) if error.is_transient() => {
                            trouble = error.to_string();
                        }
                        Err(
                            error @ (RunConnectionError::Refused { .. }
                            | RunConnectionError::NoLine(_)),
                        ) => return Err(error.into()),
                        Err(error) => trouble = error.to_string(),
                    }
                }
                trouble
            }
        };
        if begun.elapsed() > TRACKER {
            return Err(RunError::NoTracker(trouble));
        }
        if stop.wait(TRACKER_PAUSE) {
            return Err(RunError::Stopped);
        }
    }
}

/// Where the trackers are, and which cluster they must be of.
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

/// Why a wanted file could not be begun: a matter of this file, or the end of the run.
enum BeginError {
    This(String),
    Run(RunError),
}

impl From<RunConnectionError> for BeginError {
    fn from(error: RunConnectionError) -> Self {
        match error {
            RunConnectionError::Refused {
                kind: ErrorKind::NoOwner,
                ..
            } => Self::This("no living owner".to_owned()),
            other => Self::Run(other.into()),
        }
    }
}

/// Begins to fetch a file; `None` for one that is owned already, which is written at once.
fn begin(
    peer: &Peer,
    part: &Part<'_>,
    line: &RunConnection,
    owned: &HashMap<FileName, PathBuf>,
    name: &FileName,
) -> Result<Option<Fetch>, BeginError> {
    let this = |error: &dyn std::fmt::Display| BeginError::This(error.to_string());
    let written = output_name(part.client, name).map_err(|error| this(&error))?;
    let path = part.out.join(&written);
    // What an earlier run wrote under this name gives way to this run's.
    if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        fs::remove_file(&path).map_err(|error| this(&format!("{}: {error}", path.display())))?;
    }
    if let Some(own) = owned.get(name) {
        fs::copy(own, &path).map_err(|error| this(&format!("{}: {error}", path.display())))?;
        return Ok(None);
    }
    let info = line.lookup(name)?;
    let info_hash = info.info_hash();
    let place = Place {
        folder: part.out.to_owned(),
        name: written.to_string(),
    };
    let mut fetch = Fetch {
        name: name.clone(),
        info_hash,
        owners: Vec::new(),
        asked_at: 0,
        asked: Instant::now(),
        verified: 0,
        moved: Instant::now(),
    };
    peer.fetch_unlisted(info, place)
        .map_err(|error| this(&error))?;
    fetch.refresh(peer, line)?;
    Ok(Some(fetch))
}

/// A wanted file that is being fetched.
struct Fetch {
    name: FileName,
    info_hash: InfoHash,
    /// The living owners as last told, without ourselves.
    owners: Vec<SocketAddr>,
    /// How many pieces were verified when the owners were last asked for, and when that was.
    asked_at: u32,
    asked: Instant,
    /// How many pieces are verified, and when that last changed.
    verified: u32,
    moved: Instant,
}

enum Look {
    Running,
    Complete,
    Failed(String),
}

impl Fetch {
    fn look(&mut self, peer: &Peer, line: &RunConnection) -> Result<Look, RunConnectionError> {
        let Some(now) = peer.unlisted(self.info_hash, &self.owners) else {
            return Ok(Look::Failed("it is gone from this peer".to_owned()));
        };
        match now.state {
            DownloadState::Complete => return Ok(Look::Complete),
            DownloadState::Failed(reason) => return Ok(Look::Failed(reason)),
            DownloadState::Checking | DownloadState::Downloading => {}
        }
        if now.verified != self.verified {
            (self.verified, self.moved) = (now.verified, Instant::now());
        }
        let due =
            self.verified >= self.asked_at + PIECES_PER_REFRESH || self.asked.elapsed() > REFRESH;
        if !due {
            return Ok(Look::Running);
        }
        self.refresh(peer, line)?;
        // With the owners of this moment: a piece that none of them has will never be had, since owners only ever get
        // pieces from each other.
        let missing = peer
            .unlisted(self.info_hash, &self.owners)
            .map(|now| now.missing);
        Ok(match missing {
            Some(Missing::Owners(count)) => {
                Look::Failed(format!("no living owner of {count} of its segments"))
            }
            Some(Missing::Links(owners)) if self.moved.elapsed() > UNREACHABLE => {
                let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
                Look::Failed(format!(
                    "its owners cannot be reached: {}",
                    owners.join(", ")
                ))
            }
            _ => Look::Running,
        })
    }

    fn refresh(&mut self, peer: &Peer, line: &RunConnection) -> Result<(), RunConnectionError> {
        self.owners = line.owners(self.info_hash)?.addresses;
        self.owners.retain(|owner| *owner != peer.address());
        (self.asked_at, self.asked) = (self.verified, Instant::now());
        peer.name_owners(self.info_hash, &self.owners);
        Ok(())
    }
}
