//! Announces to trackers: who we are, what we have, who else is there.
//!
//! `schedule` decides when what is announced; it serves open swarms and those of groups
//! (`crate::peer::group`), each with a `pace` of its own. For open swarms (BEP 3, BEP 15), `tiers`
//! chooses among the trackers of a torrent, `plan` joins that and TRACKER_INFO with the schedule,
//! and `announcer` has the threads that make the announces, over `http` and `udp`, from an address
//! that `source` chooses. `announced` is what a swarm is for all of them.

mod announced;
mod announcer;
mod bound;
mod http;
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
pub(super) use pace::{Answer, Notice, Outcome, Pace};
pub(super) use schedule::{Due, Schedule};
pub(super) use tiers::Reading;
pub(super) use tracker_info::{tracker_urls, url_of};

use super::{Context, TrackerStatus, Trackers};
use source::{Failure, Source, canonical};
