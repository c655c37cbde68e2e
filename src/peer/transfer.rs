//! One share or download of this peer: its links, its picker, what of it is under way.
//!
//! In scope: what the events of links mean for a swarm. The steps after a run of blocks has arrived are in `pieces.rs`,
//! what happens by the clock in `tick.rs`.

use super::download::Wishes;
use super::group::Group;
use super::link::{Ended, Link};
use super::magnet::Sought;
use super::metadata::Given;
use super::pieces::PieceHash;
use super::shared::Shared;
use super::stock::BlockBuffer;
use super::watch::Found;
use super::web::Server;
use crate::certificate::{Fingerprint, GroupCertificate};
use crate::storage::{FileHashes, Others, Place, Stamp, Store};
use crate::swarm::{Arrival, Candidates, Choker, Gossip, LinkId, Picker, Rate, Run};
use crate::torrent::{BlockRange, Info, InfoHash, Metainfo, PieceIndex, PieceSet, Selection};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::peer::Message;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most blocks asked of one link at a time: 8 MiB.
const LARGEST_WINDOW: u32 = 512;
/// Requests kept by a program that does not say how many it keeps (what libtorrent and others take as given).
const USUAL_REQUEST_QUEUE: u32 = 250;
/// After this long an address that turned out to be linked already, or a fellow seed, may be called again.
const CALL_AGAIN: Duration = Duration::from_secs(60);

/// A link over which no block goes for this long may have to make room for another.
pub(super) const USELESS: Duration = Duration::from_secs(5);

/// Fellow seeds have nothing for each other; they call each other again after so long, should one have lost something.
pub(super) const SEED_AGAIN: Duration = Duration::from_secs(1_800);
/// A line over which nothing went for so long gives way to a new one of the same peer.
const LOST: Duration = Duration::from_secs(10);
/// A link that stood for so long was no failure.
const PROVED: Duration = Duration::from_secs(60);

/// Over how long the rate that a person sees is taken.
const SHOWN_RATE: Duration = Duration::from_secs(3);

/// Why two sides that fetch nothing end their line.
pub(super) const NOTHING_TO_FETCH: &str = "neither side fetches anything";

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

/// Why a peer is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many links")]
    Full,
    #[error("linked already")]
    Linked,
    #[error("barred for bad data")]
    Barred,
    #[error("not served now")]
    NotServed,
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
    store: Mutex<Option<Arc<Store>>>,
    /// Where the metainfo carries the SHA-1 of whole files.
    pub(super) file_hashes: Option<FileHashes>,
    /// When it was first asked for, in milliseconds since 1970.
    pub(super) added_ms: u64,
    uploaded: AtomicU64,
    downloaded: AtomicU64,
    state: Mutex<State>,
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
            group: None,
            wishes: Wishes::default(),
            selection: Arc::new(Selection::all(&info)),
            peers: Vec::new(),
            info,
            store: Mutex::new(None),
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
        self.store_slot().clone()
    }

    /// Opens it; if its files are sealed, that is how they count from now on.
    pub(super) fn set_store(&self, store: Arc<Store>) {
        if let Some(sealed) = store.sealed() {
            self.state().sealed = Some(sealed);
        }
        *self.store_slot() = Some(store);
    }

    /// Lets go of its files, so that another transfer may have them.
    pub(super) fn take_store(&self) -> Option<Arc<Store>> {
        self.store_slot().take()
    }

    fn store_slot(&self) -> MutexGuard<'_, Option<Arc<Store>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Addresses that a tracker or a person names; they are called at once.
    pub(super) fn add_candidates(
        &self,
        shared: &Shared,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) {
        let mut state = self.state();
        addresses
            .into_iter()
            .for_each(|address| state.candidates.add(address));
        drop(state);
        shared.tick_now();
    }

    /// The address is this peer itself.
    pub(super) fn is_ourselves(&self, address: SocketAddr) {
        self.state().candidates.bar(address, Duration::MAX);
    }

    pub(super) fn call_failed(&self, shared: &Shared, address: SocketAddr) {
        self.state()
            .candidates
            .failed(address, shared.now(), &mut fastrand::Rng::new());
    }

    /// The thread that called the address ends; unless another link stands for the address, it may be called again.
    pub(super) fn call_ended(&self, shared: &Shared, address: SocketAddr) {
        let mut state = self.state();
        state.calls.remove(&address);
        let linked = state
            .links
            .values()
            .any(|link| link.listens_at() == Some(address));
        if !linked {
            state
                .candidates
                .released(address, shared.now() + CALL_AGAIN);
        }
    }

    /// Lets a link in. Two peers that call each other at once keep the call of the one with the lower id, on both sides.
    pub(super) fn admit(&self, shared: &Shared, link: &Arc<Link>) -> Result<(), Refusal> {
        let now = shared.now();
        let mut state = self.state();
        if !state.phase.serves() || state.out || shared.stop.is_stopped() {
            return Err(Refusal::NotServed);
        }
        if state.candidates.is_barred(link.address, now) {
            return Err(Refusal::Barred);
        }
        let other = state
            .links
            .values()
            .find(|other| other.peer_id == link.peer_id)
            .cloned();
        if let Some(other) = other {
            let due = |outgoing: bool| outgoing == (shared.peer_id.0 < link.peer_id.0);
            // One that calls again by the same way has lost its former line, though we may not have noticed.
            let lost =
                other.outgoing == link.outgoing && now.saturating_sub(other.last_use()) > LOST;
            if !lost && (due(other.outgoing) || !due(link.outgoing)) {
                if link.outgoing {
                    state.candidates.released(link.address, now + CALL_AGAIN);
                }
                return Err(Refusal::Linked);
            }
            self.detach(&mut state, other.id);
            other.close("another line to the same peer takes its place");
        } else if state.links.len() >= shared.max_peers && !self.make_room(&mut state, now) {
            return Err(Refusal::Full);
        }
        if link.outgoing {
            state.candidates.linked(link.address);
        }
        let window = if link.extensions {
            LARGEST_WINDOW
        } else {
            USUAL_REQUEST_QUEUE
        };
        state.picker.add_link(link.id, window);
        state.choker.add(link.id);
        state.links.insert(link.id, Arc::clone(link));
        Ok(())
    }

    /// A link has ended.
    pub(super) fn dismiss(&self, shared: &Shared, link: &Link, ended: &Ended) {
        let now = shared.now();
        let mut state = self.state();
        if !self.detach(&mut state, link.id) {
            return;
        }
        state.serve(now);
        let Some(address) = link.listens_at() else {
            return;
        };
        // One that was of use and goes is called again soon; one that never was, later each time.
        if now.saturating_sub(link.since) > PROVED || link.moved_anything() {
            state.candidates.proved(address);
        }
        state
            .candidates
            .failed(address, now, &mut fastrand::Rng::new());
        if ended.is_breach() {
            log::warn!("{}: {address}: {ended}", self.name());
        }
    }

    /// When all places are taken, one over which no block went for a while is for another; first one that has nothing we
    /// want and wants nothing, and of those the one that was of no use for longest.
    fn make_room(&self, state: &mut State, now: Duration) -> bool {
        let useless = state
            .links
            .values()
            .filter(|link| now.saturating_sub(link.last_use()) >= USELESS);
        let chosen = useless.min_by_key(|link| {
            let (id, last_use) = (link.id, link.last_use());
            (
                state.picker.is_interesting(id),
                state.choker.is_interested(id),
                last_use,
            )
        });
        let Some(link) = chosen.cloned() else {
            return false;
        };
        if let Some(address) = link.listens_at() {
            state.candidates.released(address, now + CALL_AGAIN);
        }
        self.detach(state, link.id);
        link.close("it makes room for another");
        true
    }

    fn detach(&self, state: &mut State, id: LinkId) -> bool {
        state.picker.remove_link(id);
        state.choker.remove(id);
        state.interested.remove(&id);
        state.stalls.remove(&id);
        state.gossip.remove(&id);
        state.links.remove(&id).is_some()
    }

    /// The other side told of all its pieces.
    pub(super) fn has(&self, shared: &Shared, link: &Link, pieces: PieceSet) {
        let mut state = self.state();
        state.picker.has(link.id, pieces);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side told again of all it owns. Gives whether nothing is taken back; if something is, nothing changes.
    pub(super) fn has_more(&self, shared: &Shared, link: &Link, pieces: &PieceSet) -> bool {
        let mut state = self.state();
        let more = state.picker.has_more(link.id, pieces);
        self.follow_up(shared, &mut state, link);
        more
    }

    /// The other side owns a piece more.
    pub(super) fn have(&self, shared: &Shared, link: &Link, piece: PieceIndex) {
        let mut state = self.state();
        state.picker.have(link.id, piece);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side chokes us, or does so no more.
    pub(super) fn choked(&self, shared: &Shared, link: &Link, choked: bool) {
        let mut state = self.state();
        state.picker.choked(link.id, choked, !link.fast);
        if choked {
            state.choker.owes_nothing(link.id);
        }
        self.follow_up(shared, &mut state, link);
    }

    /// The other side will send a piece even while it chokes us.
    pub(super) fn allowed(&self, shared: &Shared, link: &Link, piece: PieceIndex) {
        let mut state = self.state();
        state.picker.allowed(link.id, piece);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side would like to send a piece before others.
    pub(super) fn suggested(&self, link: &Link, piece: PieceIndex) {
        self.state().picker.suggested(link.id, piece);
    }

    /// The other side will not send a block.
    pub(super) fn rejected(&self, shared: &Shared, link: &Link, range: BlockRange) {
        let mut state = self.state();
        state.picker.rejected(link.id, range);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side told of itself.
    pub(super) fn told(&self, shared: &Shared, link: &Link, handshake: ExtensionHandshake) {
        link.told(handshake);
        let queue = link.request_queue().unwrap_or(USUAL_REQUEST_QUEUE);
        let now = shared.now();
        let mut state = self.state();
        if link
            .listens_at()
            .is_some_and(|address| state.candidates.is_barred(address, now))
        {
            return link.close("it sent bad data a while ago");
        }
        state
            .picker
            .limit_window(link.id, queue.clamp(1, LARGEST_WINDOW));
        if let Some(address) = link.listens_at() {
            state.candidates.add(address);
            state.candidates.linked(address);
        }
        self.follow_up(shared, &mut state, link);
    }

    /// A block arrived. Gives the buffer back if the block is not needed.
    ///
    /// # Errors
    /// When the block was not asked for.
    pub(super) fn block(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        link: &Link,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, ()> {
        let source = Source::Peer(link.shown_address());
        self.arrived(shared, link.id, &source, Some(link), range, buffer)
    }

    /// A block arrived from a source that blocks are asked of under that number.
    pub(super) fn arrived(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        id: LinkId,
        source: &Source,
        link: Option<&Link>,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, ()> {
        let now = shared.now();
        self.downloaded
            .fetch_add(range.length().into(), Ordering::Relaxed);
        let mut guard = self.state();
        let state = &mut *guard;
        let mut completed = None;
        let spare = match state.picker.arrived(id, range, now) {
            Arrival::Unasked => return Err(()),
            Arrival::Late => Some(buffer),
            // What still comes in after a download was ended is nobody's: its buffers were given back.
            Arrival::Fresh { .. } if state.phase != Phase::Active => Some(buffer),
            Arrival::Fresh {
                cancel,
                completed: run,
            } => {
                state.stalls.remove(&id);
                state.last_arrival = now;
                state.rate.add(now, range.length().into());
                if let Some(other) = cancel.and_then(|other| state.links.get(&other)) {
                    other.outbox.send([Message::Cancel(range.into())]);
                }
                let parked = Parked {
                    buffer,
                    source: source.clone(),
                };
                let key = Run::containing(self.info().lengths(), range);
                let blocks = state.parked.entry(key).or_insert_with(|| {
                    std::iter::repeat_with(|| None)
                        .take(key.blocks as usize)
                        .collect()
                });
                if let Some(place) = blocks.get_mut((range.number() - key.first_block()) as usize) {
                    *place = Some(parked);
                }
                if let Some(run) = run {
                    let blocks = state.parked.remove(&run).unwrap_or_default();
                    state.with_pool += run.blocks;
                    completed = Some((run, blocks.into_iter().flatten().collect::<Vec<_>>()));
                }
                None
            }
        };
        if let Some(link) = link {
            self.request(shared, state, link, now);
        }
        drop(guard);
        if let Some((run, blocks)) = completed {
            let (shared, transfer) = (Arc::clone(shared), Arc::clone(self));
            let pool = Arc::clone(&shared);
            pool.pool
                .submit(move || transfer.finish_run(&shared, run, blocks));
        }
        Ok(spare)
    }

    /// Interest and requests after whatever a link told.
    fn follow_up(&self, shared: &Shared, state: &mut State, link: &Link) {
        if state.phase == Phase::Complete && state.fetches_nothing(link) {
            if let Some(address) = link.listens_at() {
                state
                    .candidates
                    .released(address, shared.now() + CALL_AGAIN);
            }
            return link.close(NOTHING_TO_FETCH);
        }
        if state.picker.is_interesting(link.id) && state.interested.insert(link.id) {
            link.outbox.send([Message::Interested]);
        }
        self.request(shared, state, link, shared.now());
    }

    /// Asks a link for as many blocks as its window has room for.
    pub(super) fn request(&self, shared: &Shared, state: &mut State, link: &Link, now: Duration) {
        if state.phase != Phase::Active {
            return;
        }
        let mut blocks = Vec::new();
        let State {
            picker, reserved, ..
        } = state;
        let mut reserve = |count| shared.stock.reserve(reserved, count);
        picker.next_blocks(link.id, now, &mut reserve, &mut blocks);
        if !blocks.is_empty() {
            link.outbox.send(
                blocks
                    .into_iter()
                    .map(|block| Message::Request(block.into())),
            );
        }
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
