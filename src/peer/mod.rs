//! A running peer: its listener, links, downloads, uploads and owned pieces, and its connections to
//! trackers.
//!
//! In scope: everything that happens after a command was parsed. Out of scope: the command line
//! (`cli`), and the decisions of a swarm (`swarm`), which this module feeds with events.
//!
//! Layers, from the top:
//! - `doctor`, which checks what a peer needs, and `join`, which enrols a machine; both need no
//!   running peer;
//! - `commands`, and `running`, which starts and stops the peer;
//! - `mirror`, which keeps this machine a copy of groups; `ending`, which ends transfers;
//! - `incoming`, `calls`, `restore`, `magnet`, `download`: events that start links and transfers;
//!   `tick`: the clock;
//! - `services`: the objects that exist once per peer;
//! - `hooks`, which runs programs of the user after events;
//! - `machine`, which keeps a machine logged in; `account`, `announce`, `group`, `web_seed`,
//!   `watch`: work on behalf of transfers;
//! - `superseded`, which ends versions whose place another version has taken; `transfers`: the map
//!   of transfers and magnet searches;
//! - `transfer`: one `swarm::Core` behind a lock, with its files; `search`: a magnet link while its
//!   metadata is being fetched. Both reach their trackers only through the trait in `trackers`;
//! - `link`: the input and output of one connection;
//! - `context`, `buffers`, `owned` and other leaves.

mod account;
mod announce;
mod buffers;
mod calls;
mod changes;
mod commands;
mod context;
mod doctor;
mod download;
mod ending;
mod error;
mod file_choice;
mod group;
mod group_names;
mod hook_options;
mod hooks;
mod incoming;
mod join;
mod limits;
mod link;
mod login_end;
mod machine;
mod magnet;
mod mirror;
mod mirror_status;
mod names;
mod owned;
mod restore;
mod run_connection;
mod running;
mod running_command;
mod search;
mod services;
mod sockets;
mod status;
mod superseded;
mod tasks;
mod tick;
mod trackers;
mod transfer;
mod transfers;
mod trust;
mod watch;
mod web_seed;
mod zone;

pub use account::{
    Account, AccountError, CreatedToken, FirstUseNotice, HolderList, LoggedIn, LoggedOut,
    MachineError, MachineOptions, NewToken, PublishOptions,
};
pub use commands::closed_run::{ClosedRunProgress, Obstacle};
pub use commands::exporting::ExportedTorrent;
pub use commands::group_shares::ListedFile;
pub use commands::groups::StopScope;
pub use commands::mirrors::BegunMirror;
pub use commands::new_share::NewShare;
pub use commands::previewing::DownloadPreview;
pub use commands::sending::Sent;
pub use commands::share_content::{ShareContent, SharedFile};
pub use commands::upload::Uploaded;
pub use commands::verifying::{Repair, Verified};
pub use doctor::{Check, DoctorOptions, Finding, Verdict, examine};
pub use download::place::{Started, TakenOver};
pub use error::PeerError;
pub use file_choice::{DownloadOptions, FileChoice, WantedPlace};
pub use hook_options::{HookCommand, HookKind, HookOptions, HookResult, HookStatus};
pub use join::{JoinError, Joining, joined_before};
pub use limits::{Deadlines, Limits};
pub use login_end::LoginEnd;
pub use machine::MachineNotice;
pub use mirror_status::{MirrorFailure, MirrorStatus};
pub use run_connection::{ClosedRunConnection, ClosedRunConnectionError, Owners};
pub use running::{Peer, PeerOptions};
pub use running_command::{CommandGuard, CommandInterrupter, WaitNotice};
pub use status::{
    AutomaticStatus, ControlStatus, DamagedRecord, DownloadState, DownloadStatus, GroupStatus,
    LinkStatus, MachineLoginState, MachineStatus, ShareStatus, Status, TrackerState, TrackerStatus,
    VersionStatus,
};
pub use trust::{FirstUse, Trust, TrustError};

// Shared inside this module. Its files refer to these items as `super::X` or `crate::peer::X`.
use account::{Certified, check_machine_folder, refuses_for_good};
use announce::Announcer;
use buffers::{BlockBuffer, BufferPool, Reservation};
use calls::Calls;
use context::{Context, Identity, LinkLimits, now_ms};
use download::already::{accept_existing, entry_exists_error, transfer_exists_error};
use download::group_share::{WantedGroupShare, belongs_to};
use download::of_group::{GroupPart, choice_with};
use download::place::{absolute_destination, place, place_of, read_torrent};
use download::planned::PlannedDownload;
use download::recorded_place::{RecordedPlace, check_unused, refuse_if_being_replaced};
use download::repair::repair;
use download::versions::{OpenedUpdate, VersionsHere, open_update};
use ending::Removed;
use group::{GroupAnnouncer, Groups, IssuedCertificate, KnownMembers};
use group_names::GroupNames;
use hooks::Hooks;
use limits::Throttle;
use link::{
    AdmissionError, EndReason, IO_STACK, Link, LinkResources, LinkStream, MAX_WINDOW, METADATA_ID,
    MessageReader, MessageSink, PEX_ID, PeerConnection, ReadError, ReadTimeouts, TIMES_ID,
    Upcoming, UploadSource, extension_handshake,
};
use login_end::ToldEnds;
use mirror::{Follower, Mirrors, NewMirror};
use running_command::{RunningCommand, RunningCommands};
use search::MagnetSearch;
use services::Services;
use sockets::Sockets;
use status::VersionCounts;
use trackers::Trackers;
use transfer::{
    GroupShare, Membership, OpenFiles, Transfer, TransferPlan, download_state, run_link,
};
use transfers::{SwarmEntry, Transfers};
use web_seed::WebClient;
use zone::{ForbiddenZone, ZoneResolver};

#[cfg(any(test, fuzzing))]
pub(crate) use self::{link::fuzz as fuzz_link, web_seed::fuzz as fuzz_web_seed};
