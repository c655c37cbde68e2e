//! A running peer: listener, links, downloads, uploads, owned segments, its line to the trackers.
//!
//! In scope: everything that happens after a command was understood. Out of scope: what a person types or sees (`cli`),
//! and the decisions of a swarm (`swarm`), which are taken there from what is handed in here.

mod account;
mod announcer;
mod control_line;
mod download;
mod error;
mod events;
mod extend;
mod givers;
mod group;
mod link;
mod links;
mod looking;
mod magnet;
mod metadata;
mod owned;
mod pex;
mod pieces;
mod report;
mod restore;
mod sending;
mod serving;
mod shared;
mod status;
mod stock;
mod stopping;
mod tick;
mod transfer;
mod trust;
mod unlisted;
mod watch;
mod web;
mod zone;

pub use account::{Account, AccountError, FirstUseNotice, LoggedIn, LoggedOut};
pub use control_line::{ControlLine, ControlLineError, Owners};
pub use download::{DownloadOptions, Wishes};
pub use error::PeerError;
pub use group::{ListedFile, Uploaded};
pub use link::Deadlines;
pub use sending::Sent;
pub use serving::Limits;
pub use status::{
    DownloadState, DownloadStatus, LinkStatus, ShareStatus, Status, TrackerLine, TrackerState,
    TrackerStatus,
};
pub use trust::{FirstUse, Trust, TrustError};
pub use unlisted::{Missing, Unlisted};

use crate::certificate::MemberKey;
use crate::net::{Caps, Incoming, Pool, Server};
use crate::storage::{Place, Records, StateFolder};
use crate::torrent::{InfoHash, MAX_METAINFO, Metainfo};
use crate::wire::PeerId;
use announcer::Announcer;
use crossbeam::channel::{Receiver, Sender, bounded};
use extend::already;
use group::Groups;
use shared::Shared;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use transfer::{Phase, Transfer};

/// How many connections others may hold, in all and from one address.
const CAPS: Caps = Caps {
    total: 1_000,
    per_address: 500,
};

/// How long a stop waits for announces that are under way.
const ANNOUNCED: Duration = Duration::from_secs(1);

/// What a peer is started with.
#[derive(Debug)]
pub struct Options {
    /// Where to listen; port 0 binds a free one.
    pub listen: SocketAddr,
    /// The TRACKER_INFO file, which need not exist yet.
    pub tracker_info: PathBuf,
    /// Where the peer keeps what it must remember.
    pub folder: StateFolder,
    /// What others see it called; may be empty.
    pub name: String,
    /// How many pieces are hashed and written at once.
    pub threads: usize,
    /// The most links of one share.
    pub max_peers: usize,
    /// Is told of a cluster that is met for the first time.
    pub first_use: FirstUseNotice,
    /// How much it gives and takes.
    pub limits: Limits,
    /// How long the other sides of its links may take.
    pub deadlines: Deadlines,
}

/// What `download` began.
#[derive(Clone, Debug)]
pub struct Started {
    /// The name of the share.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Where it will stand.
    pub path: PathBuf,
}

/// A running peer. Dropping it stops it.
#[derive(Debug)]
pub struct Peer {
    shared: Arc<Shared>,
    server: Server,
    /// Disconnected once no thread announces any more.
    announced: Receiver<()>,
    folder: StateFolder,
}

impl Peer {
    /// Binds, and takes up what the folder remembers, in the background.
    ///
    /// # Errors
    /// When the address cannot be bound, the records cannot be opened, or the system gives no thread.
    pub fn start(options: Options) -> Result<Self, PeerError> {
        let address = options.listen;
        let listener =
            TcpListener::bind(address).map_err(|source| PeerError::Listen { address, source })?;
        let address = listener.local_addr().map_err(PeerError::Thread)?;
        let records = Records::open(&options.folder)?;
        let info = options.tracker_info.clone();
        let account = Account::open(info, options.folder.path(), options.first_use);
        let account = account.map_err(Box::new)?;
        let pool = Pool::start("piece", options.threads).map_err(PeerError::Thread)?;
        let peer_id = PeerId::new(std::array::from_fn(|_| fastrand::alphanumeric() as u8));
        let announcer = Announcer::new(options.tracker_info, address.ip());
        let shared = Shared::new(
            peer_id,
            address,
            options.name,
            options.max_peers.max(1),
            options.limits,
            options.deadlines,
            pool,
            records,
            announcer,
            Groups::new(MemberKey::generate().map_err(PeerError::Key)?),
            account,
        );
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        let server = Server::start(
            "link",
            listener,
            CAPS,
            link::STACK,
            options.deadlines.handshake,
            move |incoming: Incoming| {
                link::accept(&serving, incoming);
            },
        );
        let server = server.map_err(PeerError::Thread)?;
        let (announcing, announced) = bounded(0);
        let peer = Self {
            shared,
            server,
            announced,
            folder: options.folder,
        };
        peer.spawn("tick", tick::run)?;
        peer.spawn("watch", watch::run)?;
        let shared = Arc::clone(&peer.shared);
        // Not joined: it may wait for a tracker that does not answer, and holds nothing.
        thread::Builder::new()
            .name("group-announce".to_owned())
            .spawn(move || shared.group_announcer.run(&shared))
            .map_err(PeerError::Thread)?;
        for number in 1..=announcer::THREADS {
            peer.spawn_announcer(number, announcing.clone())?;
        }
        peer.restore()?;
        log::info!("listening on {address}");
        Ok(peer)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The folder it keeps its state in.
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// Its user at the trackers.
    pub fn account(&self) -> &Account {
        &self.shared.account
    }

    /// Ends a download and removes what is there of it; a complete one or a share is not touched.
    ///
    /// # Errors
    /// When there is no unfinished download of that name.
    pub fn cancel(&self, name: &str) -> Result<(), PeerError> {
        let transfers = self.shared.transfers();
        let mut found = transfers
            .into_iter()
            .filter(|transfer| transfer.is_download() && transfer.is_called(name));
        let transfer = found.find(|transfer| {
            let phase = transfer.wait_until_finished(&self.shared);
            !matches!(phase, Phase::Complete | Phase::Lost(_))
        });
        let mut transfer = transfer.ok_or_else(|| PeerError::NoSuchDownload(name.to_owned()))?;
        let info_hash = transfer.info_hash();
        loop {
            let download = transfer.download().or_else(|| transfer.open_part());
            transfer.fail(&self.shared, "cancelled");
            let was_there = self.shared.forget(&transfer);
            self.shared.records.remove(info_hash)?;
            self.shared.records.remove_magnet(info_hash)?;
            transfer.wait_for_pool(&self.shared);
            if let Some(download) = download {
                download.discard()?;
            }
            // The download that a magnet link's metadata was made into has come in its place: that is meant too.
            match self.shared.transfer(info_hash) {
                Some(next) if !was_there && transfer.sought().is_some() => transfer = next,
                _ => break,
            }
        }
        self.shared.notify_change();
        Ok(())
    }

    /// Ends hashing that a command waits for, at a person's wish to stop.
    pub fn interrupt(&self) {
        self.shared.interrupt.store(true, Ordering::SeqCst);
        let transfers = self.shared.transfers();
        let sought = transfers.iter().filter_map(|transfer| transfer.sought());
        sought.for_each(|sought| sought.interrupt.store(true, Ordering::Relaxed));
    }

    /// Tells the trackers, ends all links and threads and leaves the records as they should be found again.
    pub fn stop(&self) {
        self.interrupt();
        if self.shared.stop.is_stopped() {
            return;
        }
        self.shared.stop.stop();
        self.shared.tick_now();
        self.shared.web.shut_down();
        self.shared.announcer.farewell(&self.shared);
        self.shared.group_announcer.farewell(&self.shared);
        for transfer in self.shared.transfers() {
            transfer.close_links("the peer stops");
        }
        self.server.stop();
        self.shared.join();
        self.shared.pool.stop();
        // One that waits for a tracker which does not answer holds nothing, and must not hold up the end.
        let _ = self.announced.recv_timeout(ANNOUNCED);
        self.shared.notify_change();
        log::info!("stopped");
    }

    /// Runs something on a thread of its own, which [`Peer::stop`] waits for.
    fn spawn(
        &self,
        name: &str,
        run: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> Result<(), PeerError> {
        self.shared.spawn(name, run).map_err(PeerError::Thread)
    }

    /// Starts an announcing thread; it holds `alive` as long as it runs.
    fn spawn_announcer(&self, number: usize, alive: Sender<()>) -> Result<(), PeerError> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(format!("announce-{number}"));
        let spawned = thread.spawn(move || {
            shared.announcer.run(&shared);
            drop(alive);
        });
        spawned.map(drop).map_err(PeerError::Thread)
    }

    fn enter(&self, transfer: Transfer) -> Result<Result<Arc<Transfer>, Arc<Transfer>>, PeerError> {
        if self.shared.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        let transfer = Arc::new(transfer);
        Ok(self.shared.enter(Arc::clone(&transfer)).map(|()| transfer))
    }

    fn sorted_transfers(&self) -> Vec<Arc<Transfer>> {
        let mut transfers = self.shared.transfers();
        transfers.sort_by_key(|transfer| (transfer.added_ms, transfer.info_hash()));
        transfers
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_torrent(path: &Path) -> Result<Metainfo, PeerError> {
    let file = |source| PeerError::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).map_err(file)?;
    // One byte more than is taken, so that a larger file is seen to be one.
    opened
        .take(MAX_METAINFO as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(file)?;
    Metainfo::parse(&bytes).map_err(|source| PeerError::Torrent {
        path: path.to_owned(),
        source,
    })
}

fn place(metainfo: &Metainfo, destination: Option<&Path>) -> Result<Place, PeerError> {
    let name = metainfo.info().name().as_str();
    let destination = destination.unwrap_or(Path::new("."));
    let file = |source| PeerError::File {
        path: destination.to_owned(),
        source,
    };
    let ends_as_folder = destination.as_os_str().as_encoded_bytes().ends_with(b"/");
    let absolute = std::path::absolute(destination).map_err(file)?;
    if ends_as_folder || absolute.is_dir() {
        return Ok(Place {
            folder: absolute,
            name: name.to_owned(),
        });
    }
    let unusable = || {
        file(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no name for a file or folder",
        ))
    };
    let folder = absolute.parent().ok_or_else(unusable)?.to_owned();
    let name = absolute
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(unusable)?;
    Ok(Place {
        folder,
        name: name.to_owned(),
    })
}
