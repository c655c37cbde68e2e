//! Announces to trackers: a peer reports what it has and receives the addresses of other peers.
//!
//! `schedule` decides what is announced and when. There is one schedule for open swarms and one for
//! the swarms of groups (`crate::peer::group`), each with its own `pace`. For open swarms (BEP 3,
//! BEP 15), `tiers` chooses among the trackers of a torrent, and `plan` puts the chosen ones and
//! those of TRACKER_INFO into the schedule. `announcer` runs the threads that make the announces,
//! over `http` and `udp`, from an address that `source` chooses. `announced` is the trait of
//! everything that is announced in open swarms. `named_peers` looks up peers that are named by host
//! name.

mod announced;
mod announcer;
mod bound;
mod finals;
mod http;
pub(super) mod named_peers;
mod pace;
mod plan;
mod schedule;
mod source;
#[cfg(test)]
mod testing;
mod tiers;
mod tracker_info;
mod udp;

pub(super) use announced::Announced;
pub(super) use announcer::{Announcer, THREADS};
pub(super) use http::{AUTHORITIES_VARIABLE, guarded, trusted_tls};
pub(super) use pace::{
    AnnounceNotice, AnnounceOutcome, IN_PROGRESS_WAIT, Pace, TrackerAnswer, random_part,
};
pub(super) use schedule::{DueAnnounce, Schedule};
pub(super) use tiers::TierPolicy;
pub(super) use tracker_info::{read_tracker_info, url_of};

use super::{Context, TrackerStatus, Trackers};
use source::{AnnounceFailure, AnnounceSource, canonical};
use tracker_info::TrackerInfoFile;
