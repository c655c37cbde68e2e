//! A running peer: its start, its threads and its end.

use super::{
    Account, Announcer, Calls, Context, Deadlines, Entry, FirstUseNotice, Groups, IO_STACK,
    Identity, Limits, LinkLimits, OpenFiles, PeerError, Services, Sockets, Transfer, TransferPlan,
    Transfers, already, announce, group::look_at_links, incoming, restore::restore, tick, watch,
};
use crate::certificate::MemberKey;
use crate::net::{Caps, Incoming, Pool, Server};
use crate::storage::{Records, StateFolder};
use crate::torrent::PieceSet;
use crate::wire::PeerId;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

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

/// A running peer. Dropping it stops it.
#[derive(Debug)]
pub struct Peer {
    pub(super) context: Arc<Context>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) services: Arc<Services>,
    calls: Arc<Calls>,
    server: Server,
    /// Disconnected once no thread announces any more.
    announced: Receiver<()>,
    folder: StateFolder,
}

impl Peer {
    /// Binds, and takes up what the folder remembers, in the background.
    ///
    /// # Errors
    /// When the address cannot be bound, the records cannot be opened, or the system gives no
    /// thread.
    pub fn start(options: Options) -> Result<Self, PeerError> {
        let address = options.listen;
        let listener =
            TcpListener::bind(address).map_err(|source| PeerError::Listen { address, source })?;
        let address = listener.local_addr().map_err(PeerError::Thread)?;
        let handshake = options.deadlines.handshake;
        let (services, folder) = compose(options, address)?;
        let sockets = Arc::new(Sockets::default());
        let calls = Calls::new(Arc::clone(&services), Arc::clone(&sockets));
        let serving = Arc::clone(&services);
        let accept = move |caller: Incoming| incoming::accept(&serving, &sockets, caller);
        let server = Server::start("link", listener, CAPS, IO_STACK, handshake, accept);
        let server = server.map_err(PeerError::Thread)?;
        let (announcing, announced) = bounded(0);
        let peer = Self {
            context: Arc::clone(&services.context),
            transfers: Arc::clone(&services.transfers),
            services,
            calls: Arc::new(calls),
            server,
            announced,
            folder,
        };
        peer.spawn_own(announcing).map_err(PeerError::Thread)?;
        restore(&peer.services)?;
        log::info!("listening on {address}");
        Ok(peer)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.context.identity.address
    }

    /// The folder it keeps its state in.
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// Its user at the trackers.
    pub fn account(&self) -> &Account {
        &self.services.account
    }

    /// Ends hashing that a command waits for, at a person's wish to stop.
    pub fn interrupt(&self) {
        self.context.interrupt.store(true, Ordering::SeqCst);
        for entry in self.transfers.entries() {
            if let Entry::Search(search) = entry {
                search.interrupt();
            }
        }
    }

    /// Tells the trackers, ends all links and threads and leaves the records as they should be
    /// found again.
    pub fn stop(&self) {
        self.interrupt();
        let (context, services) = (&self.context, &self.services);
        if context.stop.is_stopped() {
            return;
        }
        context.stop.stop();
        context.ticks.trigger();
        services.web.shut_down();
        services.announcer.farewell(context);
        services.group_announcer.farewell(services.group_client());
        for transfer in self.transfers.transfers() {
            transfer.close_links("the peer stops");
        }
        self.server.stop();
        self.calls.join();
        context.tasks.join();
        // One that waits for a tracker which does not answer holds nothing, and must not hold up
        // the end.
        let _ = self.announced.recv_timeout(ANNOUNCED);
        context.changes.notify();
        log::info!("stopped");
    }

    /// A transfer that is still to be entered into the map.
    pub(super) fn new_transfer(&self, plan: TransferPlan) -> Result<Arc<Transfer>, PeerError> {
        if self.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        Ok(self.services.new_transfer(plan))
    }

    /// Puts a transfer with its open files into the map, keeps it, and begins with it.
    pub(super) fn take_up(
        &self,
        transfer: Arc<Transfer>,
        files: OpenFiles,
        keep: impl FnOnce(&Transfer) -> Result<(), PeerError>,
    ) -> Result<(), PeerError> {
        let entry = Entry::Transfer(Arc::clone(&transfer));
        let entered = self.transfers.enter(entry.clone());
        entered.map_err(|other| already(&other))?;
        let whole = matches!(files, OpenFiles::Whole(_));
        transfer.set_files(files);
        if let Err(error) = keep(&transfer) {
            self.transfers.forget(&entry);
            return Err(error);
        }
        if !whole {
            let nothing = PieceSet::empty(transfer.info().lengths());
            return transfer.check_and_begin(nothing).map_err(PeerError::Thread);
        }
        transfer.begin(PieceSet::full(transfer.info().lengths()), true);
        if transfer.plan.is_download() {
            transfer.update_record();
        }
        Ok(())
    }

    /// Starts the threads that run as long as the peer. Those that announce hold `alive`.
    fn spawn_own(&self, alive: Sender<()>) -> io::Result<()> {
        let tasks = &self.context.tasks;
        let (services, calls) = (Arc::clone(&self.services), Arc::clone(&self.calls));
        tasks.spawn("tick", move || tick::run(&services, &calls))?;
        let transfers = Arc::clone(&self.transfers);
        tasks.spawn("watch", move || watch::run(&transfers))?;
        let services = Arc::clone(&self.services);
        // Not joined: it may wait for a tracker that does not answer, and holds nothing.
        let thread = thread::Builder::new().name("group-announce".to_owned());
        thread.spawn(move || {
            let group_client = services.group_client();
            let look = || look_at_links(&services.transfers, &services.groups);
            services.group_announcer.run(&group_client, &look);
        })?;
        for number in 1..=announce::THREADS {
            let (services, alive) = (Arc::clone(&self.services), alive.clone());
            let thread = thread::Builder::new().name(format!("announce-{number}"));
            thread.spawn(move || {
                services.announcer.run(&services.context);
                drop(alive);
            })?;
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Opens the records and makes everything that has no thread yet.
fn compose(
    options: Options,
    address: SocketAddr,
) -> Result<(Arc<Services>, StateFolder), PeerError> {
    let records = Records::open(&options.folder)?;
    let info = options.tracker_info.clone();
    let account = Account::open(info, options.folder.path(), options.first_use);
    let account = account.map_err(Box::new)?;
    let pool = Pool::start("piece", options.threads).map_err(PeerError::Thread)?;
    let alphanumerics = std::iter::repeat_with(fastrand::alphanumeric);
    let identity = Identity {
        peer_id: PeerId::new(std::array::from_fn(|_| fastrand::alphanumeric() as u8)),
        key: alphanumerics.take(16).collect(),
        address,
        name: options.name,
    };
    let link_limits = LinkLimits::new(options.max_peers, options.limits, options.deadlines);
    let context = Arc::new(Context::new(identity, link_limits, pool, records));
    let services = Arc::new(Services {
        transfers: Arc::new(Transfers::new(Arc::clone(&context))),
        context,
        account: Arc::new(account),
        groups: Arc::new(Groups::new(MemberKey::generate().map_err(PeerError::Key)?)),
        announcer: Arc::new(Announcer::new(options.tracker_info, address.ip())),
        group_announcer: Arc::default(),
        web: Arc::default(),
    });
    Ok((services, options.folder))
}
