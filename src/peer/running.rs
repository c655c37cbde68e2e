//! A running peer: its start, its threads and its end.

use super::{
    Account, Announcer, Calls, CommandGuard, Context, DamagedRecord, Deadlines, FirstUseNotice,
    Follower, Groups, HookKind, HookOptions, Hooks, IO_STACK, Identity, KnownMembers, Limits,
    LinkLimits, MachineNotice, MachineOptions, Mirrors, PeerError, RunningCommands, Services,
    Sockets, SwarmEntry, Transfers, WaitNotice, announce, group::CatalogueSubscriber,
    group::CatalogueWatch, group::HintReader, group::close_links_of_former_members, incoming,
    machine, restore::Restored, restore::restore, tick, watch,
};
use crate::certificate::MemberKey;
use crate::net::{IncomingConnection, OnThreads, PlaceLimits, Server, Stop, WorkerPool};
use crate::storage::{Records, StateFolder};
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The most incoming connections in all.
const MAX_INCOMING: usize = 1_000;
/// The most incoming connections of one address.
const MAX_INCOMING_OF_ADDRESS: usize = 500;

/// How long a stop waits for announces in progress.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(1);

/// The options of a peer.
#[derive(Debug)]
pub struct PeerOptions {
    /// Address to listen on. Port 0 binds a free port.
    pub listen: SocketAddr,
    /// Path of the TRACKER_INFO file, which need not exist yet.
    pub tracker_info: PathBuf,
    /// The state folder.
    pub folder: StateFolder,
    /// The name that other peers see. It may be empty.
    pub name: String,
    /// The number of pieces that are hashed and written at once.
    pub threads: usize,
    /// The maximum number of links of one share.
    pub max_peers: usize,
    /// Called when the peer meets a cluster for the first time.
    pub first_use: FirstUseNotice,
    /// The token and name of a machine. `None`: the state folder decides whose peer it is.
    pub machine: Option<MachineOptions>,
    /// Called when the state of the machine has changed.
    pub machine_notice: MachineNotice,
    /// Limits on rates, slots and memory.
    pub limits: Limits,
    /// How long remote peers may take.
    pub deadlines: Deadlines,
    /// The programs that it runs after events.
    pub hooks: HookOptions,
}

/// A running peer. Dropping it stops it.
#[derive(Debug)]
pub struct Peer {
    pub(super) context: Arc<Context>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) services: Arc<Services>,
    calls: Arc<Calls>,
    server: Server,
    /// Disconnected when the last thread `announce-N` has ended.
    announcers_ended: Receiver<()>,
    folder: StateFolder,
    restored: Restored,
    pub(super) mirrors: Arc<Mirrors>,
    /// Whether the thread `mirror` runs.
    has_mirror_thread: AtomicBool,
}

impl Peer {
    /// Binds the address, and resumes the recorded transfers in the background.
    ///
    /// # Errors
    /// When the address cannot be bound, the records cannot be opened, the stored login cannot be
    /// read, or the system lacks threads, descriptors or random numbers.
    pub fn start(options: PeerOptions) -> Result<Self, PeerError> {
        let address = options.listen;
        let listener =
            TcpListener::bind(address).map_err(|source| PeerError::Listen { address, source })?;
        let address = listener.local_addr().map_err(PeerError::Thread)?;
        let handshake = options.deadlines.handshake;
        let machine_notice = options.machine_notice.clone();
        let (services, folder) = compose(options, address)?;
        let mirrors = Mirrors::open(Arc::clone(&services.context), folder.path());
        let sockets = Arc::new(Sockets::default());
        let calls = Calls::new(Arc::clone(&services), Arc::clone(&sockets));
        let serving = Arc::clone(&services);
        let accept = move |caller: IncomingConnection| incoming::accept(&serving, &sockets, caller);
        let limits = PlaceLimits::fixed(MAX_INCOMING, MAX_INCOMING_OF_ADDRESS);
        let accept = OnThreads::new(handshake, accept);
        let server = Server::start("link", listener, limits, IO_STACK, accept);
        let server = server.map_err(PeerError::Thread)?;
        let (alive, announcers_ended) = bounded(0);
        let mut peer = Self {
            context: Arc::clone(&services.context),
            transfers: Arc::clone(&services.transfers),
            services,
            calls: Arc::new(calls),
            server,
            announcers_ended,
            folder,
            restored: Restored::default(),
            mirrors: Arc::new(mirrors),
            has_mirror_thread: AtomicBool::new(false),
        };
        peer.spawn_threads(alive).map_err(PeerError::Thread)?;
        peer.restored = restore(&peer.services)?;
        peer.spawn_machine_thread(machine_notice)
            .map_err(PeerError::Thread)?;
        peer.spawn_hook_threads().map_err(PeerError::Thread)?;
        let mirrors: Arc<dyn CatalogueSubscriber> = peer.mirrors.clone();
        peer.services.catalogues.subscribe(mirrors);
        if peer.mirrors.is_active() {
            peer.start_mirror_threads().map_err(PeerError::Thread)?;
        }
        log::info!("listening on {address}");
        Ok(peer)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.context.identity.address
    }

    /// Its state folder.
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// The files in the state folder that could not be used at the start. Leaves out those that
    /// have been removed since, or whose share or download has been added again.
    pub fn damaged(&self) -> Vec<DamagedRecord> {
        let mut damaged = self.restored.damaged.clone();
        damaged.retain(|damaged| {
            let is_here = |hash| self.transfers.entry(hash).is_some();
            let is_here = damaged.info_hash.is_some_and(is_here);
            let records = &self.context.records;
            !is_here && records.is_still_damaged(&damaged.path, damaged.info_hash)
        });
        damaged
    }

    /// The shares and downloads that the start found complete and unchanged. The files of all
    /// others are checked in the background, perhaps still after [`Peer::start`] has returned.
    pub fn unchanged_at_start(&self) -> &HashSet<InfoHash> {
        &self.restored.unchanged
    }

    /// Its user account.
    pub fn account(&self) -> &Account {
        &self.services.account
    }

    /// Begins a command of a person on the calling thread. The command ends when the returned guard
    /// is dropped. A thread runs one command at a time. `notice` is called if the command waits for
    /// a tracker for long.
    pub fn begin_command(&self, notice: Option<WaitNotice>) -> CommandGuard<'_> {
        self.services.commands.begin(notice)
    }

    /// Sets the rate limits in bytes per second; `None` for no limit. The number of upload slots
    /// stays as it was at the start.
    pub fn set_rate_limits(&self, up: Option<u64>, down: Option<u64>) {
        self.context.link_limits.up.set(up);
        self.context.link_limits.down.set(down);
    }

    /// Whether the command that the calling thread runs was interrupted.
    pub fn is_command_interrupted(&self) -> bool {
        self.services.commands.is_interrupted()
    }

    /// Waits until the hooks that run now have ended and, with `all`, those of everything that has
    /// happened so far. When this has taken as long as one hook may take, no further hook begins.
    /// The wait is over when `stop` is raised. Calls `on_wait` with the number of hooks before the
    /// wait, if there is a hook to wait for.
    pub fn finish_hooks(&self, all: bool, stop: &Stop, on_wait: impl FnOnce(usize)) {
        let hooks = &self.services.hooks;
        hooks.finish(&self.transfers, all, stop, on_wait);
    }

    /// Ends the running commands and all hashing of files on disk early. Called when a person asks
    /// the peer to stop.
    pub fn interrupt(&self) {
        self.services.commands.close();
        self.context.tasks.interrupt_all();
        for entry in self.transfers.entries() {
            if let SwarmEntry::Search(search) = entry {
                search.interrupt();
            }
        }
    }

    /// Sends `stopped` to the trackers, and ends all links and threads.
    pub fn stop(&self) {
        self.interrupt();
        let (context, services) = (&self.context, &self.services);
        if context.stop.is_stopped() {
            return;
        }
        context.stop.stop();
        context.ticks.trigger();
        services.account.wake_watching();
        services.catalogues.wake();
        services.hooks.wake();
        context.changes.notify();
        services.web.shut_down();
        services.announcer.send_final_announces(context);
        services
            .group_announcer
            .send_final_announces(services.group_client());
        for transfer in self.transfers.transfers() {
            transfer.close_links("the peer stops");
        }
        self.server.stop();
        self.calls.join();
        context.tasks.join();
        // Longer waiting is not needed: a thread that waits for a silent tracker holds nothing that
        // the stop needs.
        let _ = self.announcers_ended.recv_timeout(ANNOUNCE_WAIT);
        context.changes.notify();
        log::info!("stopped");
    }

    /// Starts the thread that keeps the machine logged in, if this is the peer of a machine.
    fn spawn_machine_thread(&self, notice: MachineNotice) -> io::Result<()> {
        if self.account().machine().is_none() {
            return Ok(());
        }
        let services = Arc::clone(&self.services);
        // Not joined: the thread may wait for a silent tracker, and it holds nothing that the stop
        // needs.
        let thread = thread::Builder::new().name("machine".to_owned());
        thread.spawn(move || {
            let stop = &services.context.stop;
            let on_login = || services.group_announcer.resume();
            machine::run(&services.account, stop, &notice, on_login);
        })?;
        Ok(())
    }

    /// Starts the threads that run hooks and find their events. The hooks know what the start has
    /// found.
    fn spawn_hook_threads(&self) -> io::Result<()> {
        let (services, tasks) = (&self.services, &self.context.tasks);
        let failed = &self.restored.failed;
        let has_failed = |entry: &SwarmEntry| failed.contains(&entry.info_hash());
        services.hooks.begin(&services.transfers, has_failed);
        for kind in services.hooks.kinds() {
            let (hooks, stop) = (Arc::clone(&services.hooks), self.context.stop.clone());
            let run = move || hooks.run(kind, &stop);
            match kind {
                HookKind::Complete => tasks.spawn("hook-complete", run)?,
                HookKind::Error => tasks.spawn("hook-error", run)?,
                HookKind::Share => tasks.spawn("hook-share", run)?,
            }
        }
        if services.hooks.reports_ends() {
            let services = Arc::clone(services);
            tasks.spawn("hook-events", move || {
                let context = &services.context;
                let (changes, stop) = (&context.changes, &context.stop);
                services.hooks.watch(&services.transfers, changes, stop);
            })?;
        }
        if services.hooks.has(HookKind::Share) {
            services.catalogues.subscribe(services.hooks.clone());
        }
        match services.catalogues.is_needed() {
            true => self.start_catalogue_thread(),
            false => Ok(()),
        }
    }

    /// Starts the thread that keeps catalogues current, if it does not run yet.
    fn start_catalogue_thread(&self) -> io::Result<()> {
        if !self.services.catalogues.is_to_be_started() {
            return Ok(());
        }
        let services = Arc::clone(&self.services);
        // Not joined: the thread may wait for a silent tracker, and it holds nothing that the stop
        // needs.
        let thread = thread::Builder::new().name("catalogues".to_owned());
        thread.spawn(move || services.catalogues.run(&services.context.stop))?;
        Ok(())
    }

    /// Starts the threads that mirrors need, if they do not run yet.
    pub(super) fn start_mirror_threads(&self) -> io::Result<()> {
        self.start_catalogue_thread()?;
        self.services.catalogues.wake();
        if self.has_mirror_thread.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let follower = Follower::new(Arc::clone(&self.services), Arc::clone(&self.mirrors));
        // Not joined, for the same reason.
        let thread = thread::Builder::new().name("mirror".to_owned());
        thread.spawn(move || follower.run())?;
        Ok(())
    }

    /// Starts the threads that run until the peer stops. The threads `announce-N` hold `alive`.
    fn spawn_threads(&self, alive: Sender<()>) -> io::Result<()> {
        let tasks = &self.context.tasks;
        let (services, calls) = (Arc::clone(&self.services), Arc::clone(&self.calls));
        tasks.spawn("tick", move || tick::run(&services, &calls))?;
        let (transfers, services) = (Arc::clone(&self.transfers), Arc::clone(&self.services));
        tasks.spawn("watch", move || {
            watch::run(&transfers, || {
                services.account.store_outdated_login();
                services.groups.store_known_members();
                // The thread `group-announce` does this too, but it may wait for a silent tracker.
                close_links_of_former_members(&services.transfers, &services.groups);
            });
        })?;
        let services = Arc::clone(&self.services);
        // Not joined: the thread may wait for a silent tracker, and it holds nothing that the stop
        // needs.
        let thread = thread::Builder::new().name("group-announce".to_owned());
        thread.spawn(move || {
            let group_client = services.group_client();
            let announcer = &services.group_announcer;
            let check_groups = || {
                close_links_of_former_members(&services.transfers, &services.groups);
                let changed_files = announcer.changed_files();
                changed_files.exchange_if_due(&group_client.account, &services.transfers);
            };
            announcer.run(&group_client, &check_groups);
        })?;
        let services = Arc::clone(&self.services);
        // Not joined either, for the same reason.
        let thread = thread::Builder::new().name("hints".to_owned());
        thread.spawn(move || {
            let (account, announcer) = (&services.account, &services.group_announcer);
            let catalogues = &services.catalogues;
            let mut reader = HintReader::new(account, &services.transfers, announcer, catalogues);
            let stop = &services.context.stop;
            account.watch(stop, |hint| {
                reader.on_hint(hint);
                // A command may wait for what the hint is about.
                services.context.changes.notify();
            });
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

/// Opens the records and builds all services. No thread runs yet, except those of the pool.
fn compose(
    options: PeerOptions,
    address: SocketAddr,
) -> Result<(Arc<Services>, StateFolder), PeerError> {
    let records = Records::open(&options.folder)?;
    let info = options.tracker_info.clone();
    let known_members = KnownMembers::open(options.folder.path())?;
    let commands = Arc::new(RunningCommands::default());
    let (folder, first_use) = (options.folder.path(), options.first_use);
    let account = Account::open(
        info,
        folder,
        first_use,
        Arc::clone(&commands),
        options.machine,
    );
    let account = account.map_err(Box::new)?;
    let pool = WorkerPool::start("piece", options.threads).map_err(PeerError::Thread)?;
    let alphanumerics = std::iter::repeat_with(fastrand::alphanumeric);
    let identity = Identity {
        peer_id: PeerId::new(std::array::from_fn(|_| fastrand::alphanumeric() as u8)),
        key: alphanumerics.take(16).collect(),
        address,
        name: options.name,
    };
    let key = MemberKey::generate().map_err(PeerError::Key)?;
    let link_limits = LinkLimits::new(options.max_peers, options.limits, options.deadlines);
    let context = Arc::new(Context::new(identity, link_limits, pool, records));
    let account = Arc::new(account);
    let groups = Arc::new(Groups::new(key, known_members));
    let catalogues = CatalogueWatch::new(Arc::clone(&account), folder);
    let name = context.identity.name.clone();
    let hooks = Hooks::open(options.hooks, folder, address.to_string(), name);
    let services = Arc::new(Services {
        transfers: Arc::new(Transfers::new(Arc::clone(&context))),
        context,
        account,
        groups,
        catalogues: Arc::new(catalogues),
        hooks: Arc::new(hooks),
        announcer: Arc::new(Announcer::new(options.tracker_info, address.ip())),
        group_announcer: Arc::default(),
        web: Arc::default(),
        commands,
        verifies: AtomicBool::new(false),
    });
    Ok((services, options.folder))
}
