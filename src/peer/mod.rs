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
mod givers;
mod group;
mod link;
mod links;
mod magnet;
mod metadata;
mod owned;
mod pex;
mod pieces;
mod report;
mod restore;
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
mod widen;
mod zone;

pub use account::{Account, AccountError, FirstUseNotice, LoggedIn, LoggedOut};
pub use control_line::{ControlLine, ControlLineError, Owners};
pub use download::{DownloadOptions, Wishes};
pub use error::PeerError;
pub use group::{ListedFile, Uploaded};
pub use link::Deadlines;
pub use serving::Limits;
pub use status::{
    DownloadState, DownloadStatus, LinkStatus, ShareStatus, Status, TrackerLine, TrackerState,
    TrackerStatus,
};
pub use trust::{FirstUse, Trust, TrustError};
pub use unlisted::{Missing, Unlisted};

use crate::certificate::MemberKey;
use crate::net::{Caps, Incoming, Pool, Server};
use crate::storage::{CreateOptions, Place, Records, StateFolder, Store, create_stamped};
use crate::torrent::{InfoHash, MAX_METAINFO, Metainfo, PieceSet};
use crate::wire::PeerId;
use announcer::Announcer;
use crossbeam::channel::{Receiver, Sender, bounded};
use group::Groups;
use shared::Shared;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use transfer::{Kind, Phase, Transfer};
use widen::already;

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

/// What `send` did.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The name of the share.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The `.torrent` that was written.
    pub torrent: PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// Its number of pieces.
    pub pieces: u32,
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

    /// Hashes a file or folder, writes its `.torrent`, remembers and offers it. `progress` is told bytes done and all
    /// bytes. An existing file that is not the same torrent is left alone.
    ///
    /// # Errors
    /// When there is no tracker to name, something cannot be read or written, or the peer is stopping.
    pub fn send(
        &self,
        path: &Path,
        torrent: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Sent, PeerError> {
        let urls = announcer::tracker_urls(self.shared.announcer.tracker_info());
        if urls.is_empty() {
            return Err(PeerError::NoTracker(self.shared.announcer.no_tracker()));
        }
        // Told before the hashing, which may take long; what is there may still turn out to be the same torrent.
        if torrent.symlink_metadata().is_ok() {
            read_torrent(torrent)?;
        }
        let file = |source| PeerError::File {
            path: path.to_owned(),
            source,
        };
        let path = std::path::absolute(path).map_err(file)?;
        let options = CreateOptions {
            piece_length: None,
            private: false,
            file_sha1: false,
            ssl_cert: None,
        };
        let (info, stamps) = create_stamped(&path, &options, progress, &self.shared.interrupt)?;
        let tiers = urls.into_iter().map(|url| vec![url]).collect();
        let metainfo = Metainfo::new(info, tiers);
        let info = metainfo.info();
        let sent = Sent {
            name: info.name().to_string(),
            info_hash: info.info_hash(),
            torrent: torrent.to_owned(),
            length: info.lengths().total(),
            pieces: info.lengths().pieces(),
        };
        let store = Store::open_share(Arc::new(info.clone()), &path)?;
        store.seal(&stamps);
        let transfer = Transfer::new(&self.shared, metainfo, Kind::Share(path.clone()), true);
        match self.enter(transfer)? {
            Ok(transfer) => {
                transfer.set_store(Arc::new(store));
                let written = write_torrent(torrent, &transfer.metainfo);
                if let Err(error) = written.and_then(|()| transfer.save(&self.shared)) {
                    self.shared.forget(&transfer);
                    return Err(error);
                }
                let owned = PieceSet::full(transfer.info().lengths());
                transfer.begin(&self.shared, owned, true);
            }
            // What is offered from that place already goes on as it is.
            Err(other) if other.path() == path => write_torrent(torrent, &other.metainfo)?,
            Err(other) => return Err(already(&other)),
        }
        Ok(sent)
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
            let store = transfer.take_store().or_else(|| transfer.open_part());
            transfer.fail(&self.shared, "cancelled");
            let was_there = self.shared.forget(&transfer);
            self.shared.records.remove(info_hash)?;
            self.shared.records.remove_magnet(info_hash)?;
            transfer.wait_for_pool(&self.shared);
            if let Some(store) = store {
                store.discard()?;
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

    /// All downloads, the oldest first.
    pub fn downloads(&self) -> Vec<DownloadStatus> {
        let transfers = self.sorted_transfers();
        let downloads = transfers
            .iter()
            .filter(|transfer| transfer.is_download() && transfer.listed);
        downloads
            .map(|transfer| transfer.download_status(&self.shared))
            .collect()
    }

    /// All links.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.sorted_transfers()
            .iter()
            .flat_map(|transfer| transfer.link_statuses())
            .collect()
    }

    /// The peer as a whole.
    pub fn status(&self) -> Status {
        let transfers = self.sorted_transfers();
        let shares = transfers
            .iter()
            .filter_map(|transfer| transfer.share_status(&self.shared));
        Status {
            address: self.address(),
            name: self.shared.name.clone(),
            user: self.shared.account.user().map(|user| user.to_string()),
            shares: shares.collect(),
            downloads: self.downloads(),
            trackers: self.trackers(),
            links: transfers
                .iter()
                .map(|transfer| transfer.state().links.len())
                .sum(),
        }
    }

    /// The trackers of TRACKER_INFO, in their order and asked now, then others that are announced to.
    fn trackers(&self) -> Vec<TrackerStatus> {
        let mut announced = self.shared.announcer.status();
        let listed = self.shared.account.trackers().into_iter().map(|line| {
            let url = announcer::url_of(&line.tracker);
            let at = announced.iter().position(|status| status.url == url);
            let status = at.map(|at| announced.remove(at));
            let status = status.unwrap_or(TrackerStatus {
                url,
                reachable: None,
                trouble: None,
                line: None,
            });
            TrackerStatus {
                line: Some(line),
                ..status
            }
        });
        let mut trackers: Vec<_> = listed.collect();
        trackers.append(&mut announced);
        trackers
    }

    /// How many changes of downloads there were; see [`Peer::wait_for_change`].
    pub fn changes(&self) -> u64 {
        self.shared.changes()
    }

    /// Waits until a download changed its state after the count `seen`, `limit` at most.
    pub fn wait_for_change(&self, seen: u64, limit: Duration) {
        self.shared.wait_for_change(seen, limit);
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

/// Writes a `.torrent` whole or not at all. The same torrent is replaced, any other file is not.
fn write_torrent(path: &Path, metainfo: &Metainfo) -> Result<(), PeerError> {
    let file = |source| PeerError::File {
        path: path.to_owned(),
        source,
    };
    if path.symlink_metadata().is_ok() {
        let same = read_torrent(path)
            .is_ok_and(|other| other.info().info_hash() == metainfo.info().info_hash());
        if !same {
            let taken = "exists already and is another; name another file for the torrent";
            return Err(file(io::Error::new(io::ErrorKind::AlreadyExists, taken)));
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    // The temporary file's name is nobody's matter.
    let temporary = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| file(error.kind().into()))?;
    io::Write::write_all(&mut temporary.as_file(), &metainfo.encode()).map_err(file)?;
    // A torrent is to be handed on; the temporary file was the owner's alone.
    let shown = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    temporary.as_file().set_permissions(shown).map_err(file)?;
    temporary.persist(path).map_err(|error| file(error.error))?;
    Ok(())
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
