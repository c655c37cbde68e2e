//! A running peer: listener, links, downloads, uploads, owned segments, its line to the trackers.
//!
//! In scope: everything that happens after a command was understood. Out of scope: what a person
//! types or sees (`cli`), and the decisions of a swarm (`swarm`), which are taken there from what
//! is handed in here.
//!
//! From the top:
//! - `commands`, and `running`, which starts and stops all of it;
//! - `incoming`, `calls`, `tick`, `restore`, `magnet`, `download`: what begins and what is due;
//! - `services`: everything that a peer has, made once;
//! - `account`, `announce`, `group`, `web_seed`, `watch`: what works for transfers;
//! - `transfers`: the map of transfers and magnet searches;
//! - `transfer`, a lock around one `swarm::Core` and its files; `search`, a magnet link while its
//!   metadata is being fetched. They know their trackers only as the trait in `trackers`;
//! - `link`: the input and output of one connection;
//! - `context`, `buffers`, `owned` and other leaves.

mod account;
mod announce;
mod buffers;
mod calls;
mod changes;
mod commands;
mod context;
mod download;
mod error;
mod file_choice;
mod group;
mod incoming;
mod limits;
mod link;
mod magnet;
mod owned;
mod restore;
mod run_connection;
mod running;
mod search;
mod services;
mod sockets;
mod status;
mod tasks;
mod tick;
mod trackers;
mod transfer;
mod transfers;
mod trust;
mod watch;
mod web_seed;
mod zone;

pub use account::{Account, AccountError, FirstUseNotice, LoggedIn, LoggedOut};
pub use commands::groups::{ListedFile, Uploaded};
pub use commands::sending::Sent;
pub use commands::unlisted::{MissingPieces, UnlistedProgress};
pub use download::place::Started;
pub use error::PeerError;
pub use file_choice::{DownloadOptions, FileChoice};
pub use limits::{Deadlines, Limits};
pub use run_connection::{Owners, RunConnection, RunConnectionError};
pub use running::{Peer, PeerOptions};
pub use status::{
    ControlStatus, DownloadState, DownloadStatus, LinkStatus, ShareStatus, Status, TrackerState,
    TrackerStatus,
};
pub use trust::{FirstUse, Trust, TrustError};

// What most files of this room use: they name it `super::X` or `crate::peer::X`.
use announce::{Announced, Announcer};
use buffers::{BlockBuffer, BufferPool, Reserved};
use calls::Calls;
use context::{Bounds, Context, Identity, now_ms};
use download::already::already;
use download::place::{check_same_kind, place, place_of, read_torrent};
use download::planned::{PlannedDownload, whole_at};
use group::{GroupAnnouncer, Groups};
use limits::Throttle;
use link::{
    Ended, Front, Greeted, LARGEST_WINDOW, Link, LinkStream, METADATA, Means, MessageReader, PEX,
    Patience, ReadError, STACK, Sink, Uploads, extension_handshake,
};
use search::MagnetSearch;
use services::Services;
use sockets::Sockets;
use trackers::Trackers;
use transfer::{Files, Membership, Plan, Transfer, join, shown};
use transfers::{SwarmEntry, Transfers};
use web_seed::WebClient;
use zone::{Guard, Refused, Zone};
