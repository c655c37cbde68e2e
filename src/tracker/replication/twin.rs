//! What is known of another tracker.

use super::LineId;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Origin, Sequence, VersionVector};
use std::collections::BTreeMap;
use std::time::Duration;

/// A listed tracker, reached or not.
#[derive(Debug, Default)]
pub(super) struct Twin {
    /// The line to it, once it has said who it is.
    pub(super) session: Option<Session>,
    /// What it last told of what it knows; none if it has not been heard of in this run.
    pub(super) told: Option<VersionVector>,
    /// Whether it serves clients, as last told.
    pub(super) serving: bool,
    pub(super) last_contact: Option<Duration>,
    /// How many milliseconds its wall clock is ahead.
    pub(super) offset: Option<i64>,
    pub(super) offset_reported: bool,
    /// Until when it is not asked for anything.
    pub(super) pause: Duration,
    /// What was last wrong with it, so that it is reported once.
    pub(super) complaint: Option<String>,
    /// Whether it was reported as split off, or has never been reached.
    pub(super) split: bool,
}

/// The time from a twin's hello to the end of its line.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) line: LineId,
    pub(super) origin: Origin,
    /// Whether writes are pushed to it: it has all own writes, or is being told them in order.
    pub(super) current: bool,
    /// Up to which of its writes it was told that they are durable here.
    pub(super) confirmed: Sequence,
    /// The ping that has not been answered: its clock, and when it was sent.
    pub(super) ping: Option<(u64, Duration)>,
    pub(super) next_ping: Duration,
    /// Whether both have been seen to know the same.
    pub(super) healed: bool,
    /// Blobs it has not got, and when to ask again.
    pub(super) without: BTreeMap<InfoHash, Duration>,
}
