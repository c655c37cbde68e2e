//! The groups whose shares this peer has.
//!
//! `groups` holds the certificates and who is barred, `announcer` decides what is announced when,
//! `attempt` makes one announce and acts on its answer, `commands` is what a person does. Out of
//! scope: the handshakes (`net`), and what a tracker decides.

mod announcer;
mod attempt;
mod groups;
mod members;
mod swarm;

pub(super) use announcer::GroupAnnouncer;
pub(super) use attempt::Speaker;
use attempt::{Due, Outcome};
pub(super) use groups::{Group, Groups};
pub(super) use members::look_at_links;
pub(super) use swarm::GroupSwarm;
