//! A running tracker: announces and scrapes over HTTP and UDP, its swarms, accounts and groups,
//! replication, closed runs.
//!
//! In scope: everything that one tracker process serves on its port. Out of scope: arguments, and
//! the encoding of messages (see [`crate::wire`]).

mod accepting;
mod access;
mod announcing;
mod closed_run;
mod connection;
mod endpoint;
mod http;
mod monitoring;
mod node;
mod operator;
mod outbox;
mod own_names;
mod place_limits;
mod quotas;
pub mod registry;
mod replicas;
pub mod replication;
mod saved;
mod server;
mod service;
mod store;
mod swarm;
mod swarms;
mod threads;
mod totals;
mod udp;

pub use accepting::{AcceptedTls, ServeTls, ServedBy, TlsService};
pub use access::{
    AccessSettings, DEFAULT_LOGIN_LIFE, DEFAULT_NEW_ACCOUNTS, INVITE_LIFETIME, InviteCode,
    OperatorAccess, Registration, RegistryCounts,
};
pub use announcing::{AnnounceRefusal, AnswerFamilies};
use announcing::{IdHash, PeerAnnounce};
pub use closed_run::{
    CLIENT_TIMEOUT, CLOSED_RUN_ONLY, ClosedRun, DEFAULT_WAIT, HELLO_TIMEOUT, NO_LIVING_OWNER,
    RunConnectionId, RunEffect, RunHost, RunOptions, RunOutcome, RunningRun,
};
pub use connection::HttpDeadlines;
use endpoint::{Endpoint, RunningFile};
pub use endpoint::{EndpointOptions, NewKey, NodeError};
pub use node::{Node, NodeOptions};
use operator::serve_operator;
pub use operator::{OperatorError, fetch_backup};
pub use own_names::OwnNames;
use place_limits::max_connections;
pub use place_limits::{Admission, TrustsAddress};
use quotas::Quotas;
pub use quotas::SwarmLimits;
pub use registry::MAX_LOGIN_LIFE;
pub use replicas::MAX_TRACKERS;
use replicas::{ListedTrackers, ReplicaConnections, serve_replica, tracker_numbers};
pub use saved::SavedError;
use saved::{MAX_SAVED, SavedSwarm, SavedSwarms};
pub use server::{DEFAULT_INTERVAL, Tracker, TrackerError, TrackerOptions, bind, bind_with_udp};
pub use service::AnnouncePolicy;
use service::Service;
pub(crate) use store::blob_named_by;
pub use store::{Durability, OpenError, RegistryStore, StoreOptions, WriteError};
use swarm::{AnswerSize, MAX_PEERS, Renewal, SavedId, Swarm, SwarmSettings, Traffic};
pub use swarms::{Announced, Swarms};
use threads::Threads;
pub use totals::Stats;
use totals::Totals;
use udp::UdpServer;

#[cfg(any(test, fuzzing))]
pub(crate) use self::{http::fuzz as fuzz_http, saved::fuzz as fuzz_saved};
