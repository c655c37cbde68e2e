//! One share or download of this peer: its links, its picker, what of it is under way.
//!
//! In scope: what it holds. Who comes and goes is in `links`, what links tell and give in `events`, the steps after a run of
//! blocks has arrived in `pieces`, what happens by the clock in `tick`.

use super::{FileWatch, PendingBlock, PieceHash, metadata_quota::MetadataQuota};
use crate::certificate::{Fingerprint, GroupCertificate};
use crate::peer::{
    Contacts, Context, DownloadState, FileChoice, Group, Link, Services, now_ms, web::Server,
};
use crate::storage::{Download, FileHashes, Others, RecordKind, Stamp, Store};
use crate::swarm::{Choker, LinkId, PeerExchange, Picker, Rate, Run};
use crate::system::lock;
use crate::torrent::{Info, InfoHash, Metainfo, PieceIndex, PieceSet, Selection};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Fellow seeds have nothing for each other; they call each other again after so long, should one have lost something.
pub(crate) const SEED_AGAIN: Duration = Duration::from_secs(1_800);

/// Over how long the rate that a person sees is taken.
const SHOWN_RATE: Duration = Duration::from_secs(3);

/// Where a transfer is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
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
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Active | Self::Finishing | Self::Complete)
    }

    /// As a person sees it.
    pub(crate) fn shown(&self) -> DownloadState {
        match self {
            Self::Checking => DownloadState::Checking,
            Self::Active | Self::Finishing => DownloadState::Downloading,
            Self::Complete => DownloadState::Complete,
            Self::Lost(reason) | Self::Failed(reason) => DownloadState::Failed(reason.clone()),
        }
    }
}

/// A share or download.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) context: Arc<Context>,
    pub(crate) services: Arc<Services>,
    pub(crate) metainfo: Metainfo,
    /// Whether it offers what its user has or fetches what he wants.
    pub(crate) kind: RecordKind,
    /// Whether trackers and the state folder are told of it; a closed run does neither.
    pub(crate) listed: bool,
    /// Whether, once complete, it may take the place of what stands under its name.
    pub(crate) replaces: bool,
    /// Whether files under its final name are a part of it: a choice of files that was finished and has been extended.
    pub(crate) extends: bool,
    /// Whose share it is, if it is a group's.
    pub(crate) group: Option<Arc<Group>>,
    /// By which authority's certificates its links are made: a group that comes to bear the same name has another one.
    pub(crate) authority: Option<Fingerprint>,
    /// What of it is wanted, and how.
    pub(crate) choice: FileChoice,
    /// The files that are wanted.
    pub(crate) selection: Arc<Selection>,
    /// Peers that a magnet link named.
    pub(crate) peers: Vec<String>,
    info: Arc<Info>,
    files: Mutex<Option<Files>>,
    /// Where the metainfo carries the SHA-1 of whole files.
    pub(crate) file_hashes: Option<FileHashes>,
    /// When it was first asked for, in milliseconds since 1970.
    pub(crate) added_ms: u64,
    uploaded: AtomicU64,
    pub(crate) downloaded: AtomicU64,
    state: Mutex<State>,
}

/// The open files of a transfer.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// All that is wanted is there.
    Whole(Arc<Store>),
    /// Some is still to be written.
    Partial(Arc<Download>),
}

/// What changes, behind the transfer's lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) picker: Picker,
    pub(crate) choker: Choker,
    pub(crate) links: HashMap<LinkId, Arc<Link>>,
    /// Whom it calls.
    pub(crate) contacts: Contacts,
    /// Links that were told of our interest.
    pub(crate) interested: HashSet<LinkId>,
    /// How often in a row a link let its requests go stale.
    pub(crate) stalls: HashMap<LinkId, u32>,
    /// Web seeds that were asked so far.
    pub(crate) servers: HashMap<LinkId, Server>,
    /// How much metadata went to whom.
    pub(crate) metadata_quota: MetadataQuota,
    /// What links were told of each other.
    pub(crate) gossip: HashMap<LinkId, PeerExchange>,
    /// Blocks of runs that are not complete.
    pub(crate) pending: HashMap<Run, Vec<Option<PendingBlock>>>,
    /// Hashes of pieces of several runs.
    pub(crate) hashes: HashMap<PieceIndex, PieceHash>,
    /// Blocks reserved of the buffers, and how many of them are with the pool.
    pub(crate) reserved: u32,
    pub(crate) with_pool: u32,
    /// Verified bytes by source.
    pub(crate) sources: HashMap<String, u64>,
    pub(crate) rate: Rate,
    pub(crate) verified_bytes: u64,
    /// When a wanted block last came.
    pub(crate) last_arrival: Duration,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) trouble: Option<String>,
    /// Some peer was barred for bad data.
    pub(crate) barred: bool,
    /// Complete, but not served: its user may not have it now, or it is off the catalogue.
    pub(crate) out: bool,
    /// It has left the map of transfers: it does not come back by itself.
    pub(crate) retired: bool,
    /// How the files of a whole share were when they were verified.
    pub(crate) sealed: Option<Vec<Stamp>>,
    /// What was found of files that are not as they were.
    pub(crate) watch: FileWatch,
}

impl Transfer {
    /// A transfer that is being checked.
    pub(crate) fn new(
        context: &Arc<Context>,
        services: &Arc<Services>,
        metainfo: Metainfo,
        kind: RecordKind,
        listed: bool,
    ) -> Self {
        let info = Arc::new(metainfo.info().clone());
        let lengths = *info.lengths();
        let state = State {
            phase: Phase::Checking,
            picker: Picker::new(lengths, PieceSet::empty(&lengths), fastrand::u64(..)),
            choker: Choker::new(context.bounds.upload_slots, fastrand::u64(..)),
            links: HashMap::new(),
            contacts: Contacts::default(),
            interested: HashSet::new(),
            stalls: HashMap::new(),
            servers: HashMap::new(),
            metadata_quota: MetadataQuota::default(),
            gossip: HashMap::new(),
            pending: HashMap::new(),
            hashes: HashMap::new(),
            reserved: 0,
            with_pool: 0,
            sources: HashMap::new(),
            rate: Rate::over(SHOWN_RATE),
            verified_bytes: 0,
            last_arrival: context.now(),
            started: context.now(),
            ended: None,
            trouble: None,
            barred: false,
            out: false,
            retired: false,
            sealed: None,
            watch: FileWatch::default(),
        };
        let authority = info.ssl_cert();
        let authority = authority.and_then(|pem| GroupCertificate::from_pem(pem.as_bytes()).ok());
        Self {
            context: Arc::clone(context),
            services: Arc::clone(services),
            authority: authority.map(|authority| authority.fingerprint()),
            file_hashes: FileHashes::new(&info),
            added_ms: now_ms(),
            metainfo,
            kind,
            listed,
            replaces: false,
            extends: false,
            group: None,
            choice: FileChoice::default(),
            selection: Arc::new(Selection::all(&info)),
            peers: Vec::new(),
            info,
            files: Mutex::new(None),
            uploaded: AtomicU64::new(0),
            downloaded: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn info(&self) -> &Arc<Info> {
        &self.info
    }

    pub(crate) fn info_hash(&self) -> InfoHash {
        self.info.info_hash()
    }

    pub(crate) fn name(&self) -> &str {
        self.info.name().as_str()
    }

    pub(crate) fn is_download(&self) -> bool {
        matches!(self.kind, RecordKind::Download(_))
    }

    /// Whether it has what is wanted of it, and that is not all (BEP 21, "partial seeds").
    pub(crate) fn is_partial_seed(&self, phase: &Phase) -> bool {
        *phase == Phase::Complete && !self.selection.is_all()
    }

    /// Its files, once they are open.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        lock(&self.files).as_ref().map(|files| match files {
            Files::Whole(store) => Arc::clone(store),
            Files::Partial(download) => Arc::clone(download.store()),
        })
    }

    /// Its files, as long as they are written.
    pub(crate) fn download(&self) -> Option<Arc<Download>> {
        match &*lock(&self.files) {
            Some(Files::Partial(download)) => Some(Arc::clone(download)),
            _ => None,
        }
    }

    /// Opens it; if its files are sealed, that is how they count from now on.
    pub(crate) fn set_files(&self, files: Files) {
        if let Files::Whole(store) = &files
            && let Some(sealed) = store.sealed()
        {
            self.state().sealed = Some(sealed);
        }
        *lock(&self.files) = Some(files);
    }

    /// Its files are no longer written, only read.
    pub(crate) fn end_writing(&self) -> Option<Arc<Download>> {
        let mut slot = lock(&self.files);
        let Some(Files::Partial(download)) = &*slot else {
            return None;
        };
        let download = Arc::clone(download);
        *slot = Some(Files::Whole(Arc::clone(download.store())));
        Some(download)
    }

    /// Lets go of its files, so that another transfer may have them.
    pub(crate) fn close_files(&self) {
        // Closing may take long on some file systems: not under the lock.
        let _files = lock(&self.files).take();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What becomes of what it replaces: whoever insisted on a group's share was told that all of it goes.
    pub(crate) fn others(&self) -> Others {
        match self.group {
            Some(_) => Others::Removed,
            None => Others::Kept,
        }
    }

    /// Whether another try may take its place.
    pub(crate) fn has_failed(&self) -> bool {
        let state = self.state();
        state.out || matches!(state.phase, Phase::Failed(_) | Phase::Lost(_))
    }

    /// What it was for trackers so far is what another in its place begins with.
    pub(crate) fn count_on_from(&self, former: &Self) {
        let (up, down) = (former.uploaded_bytes(), former.downloaded_bytes());
        self.uploaded.store(up, Ordering::Relaxed);
        self.downloaded.store(down, Ordering::Relaxed);
    }

    pub(crate) fn uploaded(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that are not here.
    pub(crate) fn bytes_left(&self, state: &State) -> u64 {
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
    pub(crate) fn downloaded_bytes(&self) -> u64 {
        self.downloaded.load(Ordering::Relaxed)
    }

    pub(crate) fn uploaded_bytes(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    pub(crate) fn set_trouble(&self, trouble: String) {
        log::warn!("{}: {trouble}", self.name());
        self.state().trouble = Some(trouble);
    }
}

impl State {
    /// Whether the other side has everything, or says that it only uploads (BEP 21).
    pub(crate) fn fetches_nothing(&self, link: &Link) -> bool {
        let full = self.picker.pieces_of(link.id);
        full.is_some_and(PieceSet::is_full)
            || link.told(|told| told.upload_only == Some(true))
                && !self.choker.is_interested(link.id)
    }

    /// How many calls have become links.
    pub(crate) fn linked_calls(&self) -> usize {
        let links = self.links.values();
        links
            .filter(|link| self.contacts.calls.contains(&link.address))
            .count()
    }
}
