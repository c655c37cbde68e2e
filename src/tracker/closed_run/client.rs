//! One client of a closed run.

use super::events::{ConnectionId, Refused, not_wanted};
use crate::torrent::{FileName, InfoHash};
use crate::wire::control::{ErrorKind, InfoPart, InfoParts};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// The most files one client may own, and the most it may want.
const MAX_FILES: usize = 100_000;

/// What is known of a client, living or dead.
#[derive(Debug)]
pub(super) struct Client {
    /// Its connection; `None` once it is dead.
    pub(super) connection: Option<ConnectionId>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    stage: Stage,
    /// The info dictionary it is reporting.
    parts: InfoParts,
    /// What it has whole: what it reported, and what it completed.
    pub(super) owned: HashSet<InfoHash>,
    /// What it has looked up, of which it has a part by now.
    pub(super) fetching: HashSet<InfoHash>,
    wanted: HashMap<FileName, Want>,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reporting,
    Reported,
    Finished,
}

/// What has become of a wanted file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Open,
    Complete,
    Failed,
}

impl Client {
    pub(super) fn new(connection: ConnectionId, address: SocketAddr) -> Self {
        Self {
            connection: Some(connection),
            address,
            stage: Stage::Reporting,
            parts: InfoParts::new(),
            owned: HashSet::new(),
            fetching: HashSet::new(),
            wanted: HashMap::new(),
        }
    }

    /// Whether it lives and has that file, whole or in part.
    pub(super) fn has(&self, info_hash: &InfoHash) -> bool {
        self.connection.is_some()
            && (self.owned.contains(info_hash) || self.fetching.contains(info_hash))
    }

    pub(super) fn is_reported_or_ended(&self) -> bool {
        self.connection.is_none() || self.stage != Stage::Reporting
    }

    pub(super) fn is_ended(&self) -> bool {
        self.connection.is_none() || self.stage == Stage::Finished
    }

    /// It reports a part of an info dictionary; returns the whole if it was the last one.
    pub(super) fn report_part(&mut self, part: &InfoPart) -> Result<Option<Vec<u8>>, Refused> {
        self.check_reporting("own")?;
        let raw = self.parts.add(part);
        let raw = raw.map_err(|error| (ErrorKind::BadInfo, error.to_string()))?;
        if raw.is_some() && self.owned.len() >= MAX_FILES {
            return Err(too_many_files());
        }
        Ok(raw)
    }

    /// It reports what it wants.
    pub(super) fn want(&mut self, names: Vec<FileName>) -> Result<(), Refused> {
        self.check_reporting("want")?;
        if self.wanted.len().saturating_add(names.len()) > MAX_FILES {
            return Err(too_many_files());
        }
        let open = names.into_iter().map(|name| (name, Want::Open));
        self.wanted.extend(open);
        Ok(())
    }

    /// It has reported everything.
    pub(super) fn end_report(&mut self) -> Result<(), Refused> {
        self.check_reporting("reported")?;
        if self.parts.offset() > 0 {
            let message = "the last info dictionary is not whole".into();
            return Err((ErrorKind::BadInfo, message));
        }
        self.stage = Stage::Reported;
        Ok(())
    }

    /// It has completed a wanted file.
    pub(super) fn complete(&mut self, name: &FileName, info_hash: InfoHash) -> Result<(), Refused> {
        self.settle(name, Want::Complete)?;
        self.owned.insert(info_hash);
        Ok(())
    }

    /// It cannot get a wanted file.
    pub(super) fn give_up(&mut self, name: &FileName) -> Result<(), Refused> {
        self.settle(name, Want::Failed)
    }

    /// It has finished; returns whether that makes sense at this point.
    pub(super) fn finish(&mut self) -> bool {
        let open = self.wanted.values().any(|want| *want == Want::Open);
        let makes_sense = self.stage == Stage::Reported && !open;
        if makes_sense {
            self.stage = Stage::Finished;
        }
        makes_sense
    }

    fn check_reporting(&self, kind: &str) -> Result<(), Refused> {
        if self.stage == Stage::Reporting {
            return Ok(());
        }
        let message = format!("{kind} after everything was reported");
        Err((ErrorKind::OutOfOrder, message))
    }

    /// Notes what has become of a wanted file, once.
    fn settle(&mut self, name: &FileName, end: Want) -> Result<(), Refused> {
        let want = self.wanted.get_mut(name);
        let want = want.filter(|want| **want == Want::Open);
        *want.ok_or_else(|| not_wanted(name))? = end;
        Ok(())
    }
}

fn too_many_files() -> Refused {
    (ErrorKind::TooMuch, format!("more than {MAX_FILES} files"))
}
