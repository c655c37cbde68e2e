//! One client of a closed run.

use super::events::{Refused, RunConnectionId, not_wanted};
use crate::torrent::{FileName, InfoHash};
use crate::wire::control::{InfoAssembly, InfoPart, RunErrorKind};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// Maximum number of files that one client may own, and of files that it may want.
const MAX_FILES: usize = 100_000;

/// State of a client, living or dead.
#[derive(Debug)]
pub(super) struct Client {
    /// Its connection. `None` if the client is dead.
    pub(super) connection: Option<RunConnectionId>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    progress: Progress,
    /// The received parts of the info dictionary that it is reporting.
    parts: InfoAssembly,
    /// Files that it has whole: those it reported and those it completed.
    pub(super) owned: HashSet<InfoHash>,
    /// Files that it has looked up, to download them.
    pub(super) fetching: HashSet<InfoHash>,
    wanted: HashMap<FileName, WantedFile>,
}

/// Progress of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Reporting,
    Reported,
    Finished,
}

/// State of a wanted file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WantedFile {
    Pending,
    Complete,
    Failed,
}

impl Client {
    pub(super) fn new(connection: RunConnectionId, address: SocketAddr) -> Self {
        Self {
            connection: Some(connection),
            address,
            progress: Progress::Reporting,
            parts: InfoAssembly::new(),
            owned: HashSet::new(),
            fetching: HashSet::new(),
            wanted: HashMap::new(),
        }
    }

    /// Whether it is alive and has the file or downloads it.
    pub(super) fn shares(&self, info_hash: &InfoHash) -> bool {
        self.connection.is_some()
            && (self.owned.contains(info_hash) || self.fetching.contains(info_hash))
    }

    pub(super) fn has_reported_or_is_dead(&self) -> bool {
        self.connection.is_none() || self.progress != Progress::Reporting
    }

    pub(super) fn has_finished_or_is_dead(&self) -> bool {
        self.connection.is_none() || self.progress == Progress::Finished
    }

    /// The client reports a part of an info dictionary. Returns the whole dictionary after the last
    /// part.
    pub(super) fn report_part(&mut self, part: &InfoPart) -> Result<Option<Vec<u8>>, Refused> {
        self.check_still_reporting("own")?;
        let raw = self.parts.add(part);
        let raw = raw.map_err(|error| (RunErrorKind::BadInfo, error.to_string()))?;
        if raw.is_some() && self.owned.len() >= MAX_FILES {
            return Err(too_many_files());
        }
        Ok(raw)
    }

    /// The client reports what it wants.
    pub(super) fn want(&mut self, names: Vec<FileName>) -> Result<(), Refused> {
        self.check_still_reporting("want")?;
        if self.wanted.len().saturating_add(names.len()) > MAX_FILES {
            return Err(too_many_files());
        }
        let pending = names.into_iter().map(|name| (name, WantedFile::Pending));
        self.wanted.extend(pending);
        Ok(())
    }

    /// The client has reported everything.
    pub(super) fn end_report(&mut self) -> Result<(), Refused> {
        self.check_still_reporting("reported")?;
        if self.parts.offset() > 0 {
            let message = "the last info dictionary is incomplete".into();
            return Err((RunErrorKind::BadInfo, message));
        }
        self.progress = Progress::Reported;
        Ok(())
    }

    /// The client has completed a wanted file.
    pub(super) fn complete(&mut self, name: &FileName, info_hash: InfoHash) -> Result<(), Refused> {
        self.settle(name, WantedFile::Complete)?;
        self.owned.insert(info_hash);
        Ok(())
    }

    /// The client cannot get a wanted file.
    pub(super) fn give_up(&mut self, name: &FileName) -> Result<(), Refused> {
        self.settle(name, WantedFile::Failed)
    }

    /// The client reports that it has finished. Returns `false`, and changes nothing, if it may not
    /// finish yet.
    pub(super) fn finish(&mut self) -> bool {
        let has_pending = self
            .wanted
            .values()
            .any(|want| *want == WantedFile::Pending);
        let may_finish = self.progress == Progress::Reported && !has_pending;
        if may_finish {
            self.progress = Progress::Finished;
        }
        may_finish
    }

    /// Refuses a request of this kind (its name on the wire) if the client has already reported
    /// everything.
    fn check_still_reporting(&self, request_kind: &str) -> Result<(), Refused> {
        if self.progress == Progress::Reporting {
            return Ok(());
        }
        let message = format!("the request {request_kind:?} came after the end of the report");
        Err((RunErrorKind::OutOfOrder, message))
    }

    /// Sets the final state of a wanted file. Refuses if the file is not wanted, or if its
    /// state is already final.
    fn settle(&mut self, name: &FileName, end: WantedFile) -> Result<(), Refused> {
        let want = self.wanted.get_mut(name);
        let want = want.filter(|want| **want == WantedFile::Pending);
        *want.ok_or_else(|| not_wanted(name))? = end;
        Ok(())
    }
}

fn too_many_files() -> Refused {
    (
        RunErrorKind::TooMuch,
        format!("more than {MAX_FILES} files"),
    )
}
