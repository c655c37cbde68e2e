//! One share or download of this peer: its links, its picker, what of it is under way.
//!
//! In scope: what it holds. Who comes and goes is in `links`, what links tell and give in `events`, the steps after a run of
//! blocks has arrived in `pieces`, what happens by the clock in `tick`.

use super::download::Wishes;
use super::group::Group;
use super::link::Link;
use super::magnet::Sought;
use super::metadata::Given;
use super::pieces::PieceHash;
use super::shared::Shared;
use super::stock::BlockBuffer;
use super::watch::Found;
use super::web::Server;
use crate::certificate::{Fingerprint, GroupCertificate};
use crate::storage::{Download, FileHashes, Others, Place, Stamp, Store};
use crate::swarm::{Candidates, Choker, Gossip, LinkId, Picker, Rate, Run};
use crate::torrent::{Info, InfoHash, Metainfo, PieceIndex, PieceSet, Selection};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Fellow seeds have nothing for each other; they call each other again after so long, should one have lost something.
pub(super) const SEED_AGAIN: Duration = Duration::from_secs(1_800);

/// Over how long the rate that a person sees is taken.
const SHOWN_RATE: Duration = Duration::from_secs(3);

/// Whether a transfer offers what its user has or fetches what he wants.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The file or folder at this place is offered.
    Share(PathBuf),
    /// It is fetched to this place.
    Download(Place),
    /// Its metadata is sought; what else a transfer has is empty.
    Magnet(Arc<Sought>),
}

/// Where a transfer is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The metadata is sought.
    Seeking,
    /// What is on disk is being checked; nothing is served or fetched yet.
    Checking,
    /// Under way.
    Active,
    /// Every piece is owned; whole files are checked and get their final name.
    Finishing,
    /// Everything is owned.
    Complete,
    /// Everything was owned, but the files are not what was verified any more, for this reason; nothing is served.
    Lost(String),
    /// Stopped for this reason.
    Failed(String),
}

impl Phase {
    /// Whether owned pieces are served.
    pub(super) fn serves(&self) -> bool {
        matches!(self, Self::Active | Self::Finishing | Self::Complete)
    }
}

/// A share or download.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) metainfo: Metainfo,
    pub(super) kind: Kind,
    /// Whether trackers and the state folder are told of it; a closed run does neither.
    pub(super) listed: bool,
    /// Whether, once complete, it may take the place of what stands under its name.
    pub(super) replaces: bool,
    /// Whether files under its final name are a part of it: a choice of files that was finished and has been extended.
    pub(super) extends: bool,
    /// Whose share it is, if it is a group's.
    pub(super) group: Option<Arc<Group>>,
    /// By which authority's certificates its links are made: a group that comes to bear the same name has another one.
    pub(super) authority: Option<Fingerprint>,
    /// What of it is wanted, and how.
    pub(super) wishes: Wishes,
    /// The files that are wanted.
    pub(super) selection: Arc<Selection>,
    /// Peers that a magnet link named.
    pub(super) peers: Vec<String>,
    info: Arc<Info>,
    files: Mutex<Option<Files>>,
    /// Where the metainfo carries the SHA-1 of whole files.
    pub(super) file_hashes: Option<FileHashes>,
    /// When it was first asked for, in milliseconds since 1970.
    pub(super) added_ms: u64,
    uploaded: AtomicU64,
    pub(super) downloaded: AtomicU64,
    state: Mutex<State>,
}

/// The open files of a transfer.
#[derive(Clone, Debug)]
pub(super) enum Files {
    /// All that is wanted is there.
    Whole(Arc<Store>),
    /// Some is still to be written.
    Partial(Arc<Download>),
}

/// What changes, behind the transfer's lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) picker: Picker,
    pub(super) choker: Choker,
    pub(super) links: HashMap<LinkId, Arc<Link>>,
    pub(super) candidates: Candidates,
    /// Addresses being called or linked by a call.
    pub(super) calls: HashSet<SocketAddr>,
    /// Whom the last call did not reach, and why; none if it was answered.
    pub(super) unreached: Option<String>,
    /// Addresses that hung up at our handshake.
    pub(super) hung_up: HashSet<SocketAddr>,
    /// Links that were told of our interest.
    pub(super) interested: HashSet<LinkId>,
    /// How often in a row a link let its requests go stale.
    pub(super) stalls: HashMap<LinkId, u32>,
    /// Web seeds that were asked so far.
    pub(super) servers: HashMap<LinkId, Server>,
    /// How much metadata went to whom.
    pub(super) given: Given,
    /// What links were told of each other.
    pub(super) gossip: HashMap<LinkId, Gossip>,
    /// Blocks of runs that are not complete.
    pub(super) parked: HashMap<Run, Vec<Option<Parked>>>,
    /// Hashes of pieces of several runs.
    pub(super) hashes: HashMap<PieceIndex, PieceHash>,
    /// Blocks reserved of the stock, and how many of them are with the pool.
    pub(super) reserved: u32,
    pub(super) with_pool: u32,
    /// Verified bytes by source.
    pub(super) sources: HashMap<String, u64>,
    pub(super) rate: Rate,
    pub(super) verified_bytes: u64,
    /// When a wanted block last came.
    pub(super) last_arrival: Duration,
    pub(super) started: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) trouble: Option<String>,
    /// Some peer was barred for bad data.
    pub(super) barred: bool,
    /// Complete, but not served: its user may not have it now, or it is off the catalogue.
    pub(super) out: bool,
    /// How the files of a whole share were when they were verified.
    pub(super) sealed: Option<Vec<Stamp>>,
    /// What was found of files that are not as they were.
    pub(super) found: Found,
}

/// A block that arrived, and from where.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) buffer: BlockBuffer,
    pub(super) source: Source,
}

/// Where bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A peer, by the address that stands for it.
    Peer(SocketAddr),
    /// A web seed, by its number, and its URL as it is shown.
    Web(LinkId, Arc<str>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address) => address.fmt(f),
            Self::Web(_, url) => f.write_str(url),
        }
    }
}

impl Transfer {
    /// A transfer that is being checked.
    pub(super) fn new(shared: &Shared, metainfo: Metainfo, kind: Kind, listed: bool) -> Self {
        let info = Arc::new(metainfo.info().clone());
        let lengths = *info.lengths();
        let state = State {
            phase: Phase::Checking,
            picker: Picker::new(lengths, PieceSet::empty(&lengths), fastrand::u64(..)),
            choker: Choker::new(shared.upload_slots, fastrand::u64(..)),
            links: HashMap::new(),
            candidates: Candidates::default(),
            calls: HashSet::new(),
            unreached: None,
            hung_up: HashSet::new(),
            interested: HashSet::new(),
            stalls: HashMap::new(),
            servers: HashMap::new(),
            given: Given::default(),
            gossip: HashMap::new(),
            parked: HashMap::new(),
            hashes: HashMap::new(),
            reserved: 0,
            with_pool: 0,
            sources: HashMap::new(),
            rate: Rate::over(SHOWN_RATE),
            verified_bytes: 0,
            last_arrival: shared.now(),
            started: shared.now(),
            ended: None,
            trouble: None,
            barred: false,
            out: false,
            sealed: None,
            found: Found::default(),
        };
        let authority = info.ssl_cert();
        let authority = authority.and_then(|pem| GroupCertificate::from_pem(pem.as_bytes()).ok());
        Self {
            authority: authority.map(|authority| authority.fingerprint()),
            file_hashes: FileHashes::new(&info),
            added_ms: now_ms(),
            metainfo,
            kind,
            listed,
            replaces: false,
            extends: false,
            group: None,
            wishes: Wishes::default(),
            selection: Arc::new(Selection::all(&info)),
            peers: Vec::new(),
            info,
            files: Mutex::new(None),
            uploaded: AtomicU64::new(0),
            downloaded: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    pub(super) fn info(&self) -> &Arc<Info> {
        &self.info
    }

    pub(super) fn info_hash(&self) -> InfoHash {
        self.info.info_hash()
    }

    pub(super) fn name(&self) -> &str {
        self.info.name().as_str()
    }

    pub(super) fn is_download(&self) -> bool {
        !matches!(self.kind, Kind::Share(_))
    }

    /// Whether it has what is wanted of it, and that is not all (BEP 21, "partial seeds").
    pub(super) fn is_partial_seed(&self, phase: &Phase) -> bool {
        *phase == Phase::Complete && !self.selection.is_all()
    }

    /// Its files, once they are open.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.files_slot().as_ref().map(|files| match files {
            Files::Whole(store) => Arc::clone(store),
            Files::Partial(download) => Arc::clone(download.store()),
        })
    }

    /// Its files, as long as they are written.
    pub(super) fn download(&self) -> Option<Arc<Download>> {
        match &*self.files_slot() {
            Some(Files::Partial(download)) => Some(Arc::clone(download)),
            _ => None,
        }
    }

    /// Opens it; if its files are sealed, that is how they count from now on.
    pub(super) fn set_store(&self, store: Arc<Store>) {
        self.set_files(Files::Whole(store));
    }

    pub(super) fn set_download(&self, download: Arc<Download>) {
        self.set_files(Files::Partial(download));
    }

    pub(super) fn set_files(&self, files: Files) {
        if let Files::Whole(store) = &files
            && let Some(sealed) = store.sealed()
        {
            self.state().sealed = Some(sealed);
        }
        *self.files_slot() = Some(files);
    }

    /// Its files are no longer written, only read.
    pub(super) fn end_writing(&self) -> Option<Arc<Download>> {
        let mut slot = self.files_slot();
        let Some(Files::Partial(download)) = &*slot else {
            return None;
        };
        let download = Arc::clone(download);
        *slot = Some(Files::Whole(Arc::clone(download.store())));
        Some(download)
    }

    /// Lets go of its files, so that another transfer may have them.
    pub(super) fn close_files(&self) {
        // Closing may take long on some file systems: not under the lock.
        let _files = self.files_slot().take();
    }

    fn files_slot(&self) -> MutexGuard<'_, Option<Files>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of what it replaces: whoever insisted on a group's share was told that all of it goes.
    pub(super) fn others(&self) -> Others {
        match self.group {
            Some(_) => Others::Removed,
            None => Others::Kept,
        }
    }

    /// Whether another try may take its place.
    pub(super) fn has_failed(&self) -> bool {
        let state = self.state();
        state.out || matches!(state.phase, Phase::Failed(_) | Phase::Lost(_))
    }

    /// What it was for trackers so far is what another in its place begins with.
    pub(super) fn count_on_from(&self, former: &Self) {
        let (up, down) = (former.uploaded_bytes(), former.downloaded_bytes());
        self.uploaded.store(up, Ordering::Relaxed);
        self.downloaded.store(down, Ordering::Relaxed);
    }

    pub(super) fn uploaded(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that are not here yet.
    pub(super) fn bytes_left(&self) -> u64 {
        let state = self.state();
        match state.phase {
            Phase::Complete if self.selection.is_all() => 0,
            _ => self
                .info
                .lengths()
                .total()
                .saturating_sub(state.verified_bytes),
        }
    }

    /// Bytes taken from others since the start.
    pub(super) fn downloaded_bytes(&self) -> u64 {
        self.downloaded.load(Ordering::Relaxed)
    }

    pub(super) fn uploaded_bytes(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        log::warn!("{}: {trouble}", self.name());
        self.state().trouble = Some(trouble);
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    /// Whether the other side has everything, or says that it only uploads (BEP 21).
    pub(super) fn fetches_nothing(&self, link: &Link) -> bool {
        let full = self.picker.pieces_of(link.id);
        full.is_some_and(PieceSet::is_full)
            || link.only_uploads() && !self.choker.is_interested(link.id)
    }

    /// How many calls are under way, without those whose link stands.
    pub(super) fn calling(&self) -> usize {
        let linked = self
            .links
            .values()
            .filter(|link| self.calls.contains(&link.address))
            .count();
        self.calls.len() - linked.min(self.calls.len())
    }
}
