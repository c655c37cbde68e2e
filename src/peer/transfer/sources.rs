//! The sources of a transfer: the trackers, web seeds and peers in its `.torrent` or magnet link.
//! If a user downloads the same share again with another `.torrent` or magnet link, the sources in
//! the other `.torrent` or magnet link are added.

use crate::system::lock;
use crate::torrent::{Metainfo, NamedSources};
use std::sync::Mutex;

/// The sources of one transfer.
#[derive(Debug)]
pub(super) struct TransferSources {
    all: Mutex<NamedSources>,
    /// The web seeds whose threads are to be started.
    due: Mutex<Vec<String>>,
}

impl TransferSources {
    pub(super) fn new(metainfo: &Metainfo, peers: &[String]) -> Self {
        let all = NamedSources {
            peers: peers.to_vec(),
            ..NamedSources::from(metainfo)
        };
        Self {
            all: Mutex::new(all),
            due: Mutex::default(),
        }
    }

    /// All sources.
    pub(super) fn all(&self) -> NamedSources {
        lock(&self.all).clone()
    }

    /// Adds the sources of `more` that are new, and returns the added sources.
    pub(super) fn merge(&self, more: &NamedSources) -> NamedSources {
        lock(&self.all).merge(more)
    }

    /// Notes that the threads of these web seeds are to be started.
    pub(super) fn add_due(&self, web_seeds: &[String]) {
        let mut due = lock(&self.due);
        for url in web_seeds {
            if !due.contains(url) {
                due.push(url.clone());
            }
        }
    }

    /// The web seeds whose threads are to be started. Each is returned once.
    pub(super) fn take_due(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.due))
    }
}
