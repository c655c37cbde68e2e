//! Whether a download has a source, and if not, why.

use crate::swarm::Contacts;
use std::time::Duration;

/// Whether a download has a source for what it misses, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// Some source has a piece that the download still needs, or this machine has all its blocks.
    HasSource,
    /// There are links, but none has a piece that the download still needs.
    NoInterestingLink,
    /// Every known peer is barred for bad data.
    AllPeersBarred,
    /// No peer is known.
    NoPeerKnown,
    /// Peers are known, but none is linked.
    NoLink,
}

impl SourceStatus {
    /// The status of a download none of whose sources has a piece that it needs.
    pub(super) fn without(has_links: bool, contacts: &Contacts, now: Duration) -> Self {
        match (has_links, contacts.unbarred_count()) {
            (true, _) => Self::NoInterestingLink,
            (false, 0) if contacts.has_barred(now) => Self::AllPeersBarred,
            (false, 0) => Self::NoPeerKnown,
            (false, _) => Self::NoLink,
        }
    }
}
