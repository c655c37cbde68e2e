//! One client of a closed run.

use super::{ConnectionId, Refused, not_wanted};
use crate::torrent::{FileName, InfoHash};
use crate::wire::control::{ErrorKind, InfoParts};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// What is known of a client, living or dead.
#[derive(Debug)]
pub(super) struct Client {
    /// Its connection; `None` once it is dead.
    pub(super) connection: Option<ConnectionId>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    pub(super) stage: Stage,
    /// The info dictionary it is reporting.
    pub(super) parts: InfoParts,
    /// What it has whole: what it reported, and what it completed.
    pub(super) owned: HashSet<InfoHash>,
    /// What it has looked up, of which it has a part by now.
    pub(super) fetching: HashSet<InfoHash>,
    pub(super) wanted: HashMap<FileName, Want>,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Reporting,
    Reported,
    Finished,
}

/// What has become of a wanted file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
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

    pub(super) fn has_open_wants(&self) -> bool {
        self.wanted.values().any(|want| *want == Want::Open)
    }

    pub(super) fn check_reporting(&self, kind: &str) -> Result<(), Refused> {
        if self.stage == Stage::Reporting {
            return Ok(());
        }
        let message = format!("{kind} after everything was reported");
        Err((ErrorKind::OutOfOrder, message))
    }

    /// Notes what has become of a wanted file, once.
    pub(super) fn settle(&mut self, name: &FileName, end: Want) -> Result<(), Refused> {
        let want = self.wanted.get_mut(name);
        let want = want.filter(|want| **want == Want::Open);
        *want.ok_or_else(|| not_wanted(name))? = end;
        Ok(())
    }
}
