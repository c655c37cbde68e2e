//! Web seeds (BEP 19) as a core knows them: links that have every piece and serve every request.

use super::block::{Source, Sources};
use crate::swarm::LinkId;
use std::collections::HashMap;

/// What is known of a web seed, from its first use to the end of the download: what it gave is
/// blamed on it whenever that turns out.
#[derive(Debug, Default)]
struct Server {
    /// A piece that came from it alone did not verify.
    lied: bool,
    /// A piece that it gave a part of did not verify, and since then none that came from it alone
    /// did.
    doubted: bool,
    /// It was asked for blocks, and is read from or waited for.
    asked: bool,
}

/// Why a web seed is left, if so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing speaks against it.
    Full,
    /// A piece that it gave a part of does not verify.
    Doubted,
    /// It is proven to send bad data.
    Lost,
}

/// The web seeds that were asked so far.
#[derive(Debug, Default)]
pub(super) struct Servers {
    known: HashMap<LinkId, Server>,
}

impl Servers {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn add(&mut self, id: LinkId) {
        self.known.entry(id).or_default();
    }

    pub(super) fn trust(&self, id: LinkId) -> Trust {
        match self.known.get(&id) {
            Some(Server { lied: true, .. }) => Trust::Lost,
            Some(Server { doubted: true, .. }) => Trust::Doubted,
            _ => Trust::Full,
        }
    }

    /// Whether one is read from, or waited for.
    pub(super) fn any_asked(&self) -> bool {
        self.known.values().any(|server| server.asked)
    }

    /// It was asked for blocks, or has nothing to deliver.
    pub(super) fn set_asked(&mut self, id: LinkId, asked: bool) {
        if let Some(server) = self.known.get_mut(&id) {
            server.asked = asked;
        }
    }

    /// A piece was verified. What came from one alone speaks for it.
    pub(super) fn on_verified(&mut self, sources: &Sources) {
        if let [Source::Web(id, _)] = sources.keys().collect::<Vec<_>>().as_slice()
            && let Some(server) = self.known.get_mut(id)
        {
            server.doubted = false;
        }
    }

    /// A piece from these does not verify; `proven`: it came from one alone.
    pub(super) fn on_failed(&mut self, sources: &Sources, proven: bool) {
        for source in sources.keys() {
            if let Source::Web(id, _) = source {
                let server = self.known.entry(*id).or_default();
                server.lied |= proven;
                server.doubted |= !proven;
            }
        }
    }
}
