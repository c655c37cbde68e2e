//! What all threads of a peer share.

use super::account::Account;
use super::announcer::Announcer;
use super::group::{GroupAnnouncer, Groups};
use super::link::{self, Deadlines, REQUEST_QUEUE, STACK};
use super::metadata::METADATA;
use super::owned::Owned;
use super::serving::{Limits, Throttle};
use super::stock::Stock;
use super::transfer::Transfer;
use super::web::WebClient;
use crate::net::{Pool, Stop};
use crate::storage::Records;
use crate::swarm::{LinkId, UploadSlots};
use crate::torrent::InfoHash;
use crate::wire::extension::ExtensionHandshake;
use crate::wire::handshake::Handshake;
use crate::wire::{Event, PeerId};
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many calls of ours may be under way or stand at once.
const MAX_CALLS: usize = 1_000;

/// One of it lives as long as the peer.
///
/// Order of locks, outermost first: `transfers`, a transfer's own state, `owned`, an outbox, a limit, `changes`. No lock is held
/// over I/O.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) peer_id: PeerId,
    /// What only trackers learn, by which they know us at another address (BEP 7).
    pub(super) key: String,
    pub(super) address: SocketAddr,
    pub(super) name: String,
    pub(super) max_peers: usize,
    pub(super) upload_slots: UploadSlots,
    pub(super) deadlines: Deadlines,
    /// What is sent and what is read, if that is limited.
    pub(super) up: Option<Throttle>,
    pub(super) down: Option<Throttle>,
    pub(super) owned: Owned,
    pub(super) stock: Arc<Stock>,
    pub(super) pool: Pool,
    pub(super) records: Records,
    pub(super) announcer: Announcer,
    pub(super) groups: Groups,
    pub(super) group_announcer: GroupAnnouncer,
    pub(super) account: Account,
    pub(super) web: WebClient,
    pub(super) stop: Stop,
    epoch: Instant,
    transfers: Mutex<HashMap<InfoHash, Arc<Transfer>>>,
    links: AtomicU64,
    callers: Mutex<Vec<JoinHandle<()>>>,
    /// Sockets of calls whose handshake is under way, so that a stop can end them.
    calling: Mutex<HashMap<u64, Arc<TcpStream>>>,
    /// Threads for one task each: checking, restoring, finishing.
    helpers: Mutex<Vec<JoinHandle<()>>>,
    /// Raised to end hashing early.
    pub(super) interrupt: AtomicBool,
    changes: Mutex<u64>,
    changed: Condvar,
    /// Addresses came in: the next tick is due now.
    early_tick: Mutex<bool>,
    tick_due: Condvar,
}

impl Shared {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        peer_id: PeerId,
        address: SocketAddr,
        name: String,
        max_peers: usize,
        limits: Limits,
        deadlines: Deadlines,
        pool: Pool,
        records: Records,
        announcer: Announcer,
        groups: Groups,
        account: Account,
    ) -> Self {
        Self {
            peer_id,
            key: std::iter::repeat_with(fastrand::alphanumeric)
                .take(16)
                .collect(),
            address,
            name,
            max_peers,
            upload_slots: limits.slots(),
            deadlines,
            up: limits.up.map(Throttle::new),
            down: limits.down.map(Throttle::new),
            owned: Owned::default(),
            stock: Stock::new(),
            pool,
            records,
            announcer,
            groups,
            group_announcer: GroupAnnouncer::default(),
            account,
            web: WebClient::default(),
            stop: Stop::new(),
            epoch: Instant::now(),
            transfers: Mutex::default(),
            links: AtomicU64::new(0),
            callers: Mutex::default(),
            calling: Mutex::default(),
            helpers: Mutex::default(),
            interrupt: AtomicBool::new(false),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            early_tick: Mutex::new(false),
            tick_due: Condvar::new(),
        }
    }

    /// The time as the decisions of `swarm` take it.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(super) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn handshake(&self, info_hash: InfoHash) -> Handshake {
        Handshake {
            info_hash,
            peer_id: self.peer_id,
            fast: true,
            extensions: true,
        }
    }

    pub(super) fn extension_handshake(&self, upload_only: bool) -> ExtensionHandshake {
        ExtensionHandshake {
            client: Some(concat!("pieceful ", env!("CARGO_PKG_VERSION")).to_owned()),
            name: Some(self.name.clone()).filter(|name| !name.is_empty()),
            request_queue: Some(REQUEST_QUEUE),
            port: Some(self.address.port()),
            upload_only: upload_only.then_some(true),
            metadata: Some(METADATA),
            metadata_size: None,
            pex: None,
        }
    }

    /// Tells the trackers of a transfer, and goes on telling them.
    pub(super) fn announce(&self, transfer: &Arc<Transfer>, event: Option<Event>) {
        if transfer.group.is_some() {
            self.group_announcer.announce(transfer, event);
        } else {
            self.announcer.announce(transfer, event);
        }
    }

    /// Whether a transfer is announced anywhere.
    pub(super) fn announces(&self, info_hash: InfoHash) -> bool {
        self.announcer.announces(info_hash) || self.group_announcer.announces(info_hash)
    }

    /// A transfer ends here.
    pub(super) fn leave(&self, transfer: &Transfer) {
        if transfer.group.is_some() {
            self.group_announcer.leave(transfer.info_hash());
        } else {
            self.announcer.leave(transfer.info_hash());
        }
    }

    /// All shares and downloads.
    pub(super) fn transfers(&self) -> Vec<Arc<Transfer>> {
        self.transfer_map().values().cloned().collect()
    }

    pub(super) fn transfer(&self, info_hash: InfoHash) -> Option<Arc<Transfer>> {
        self.transfer_map().get(&info_hash).cloned()
    }

    /// Takes a transfer in; gives the one of that info-hash that is here already, if it still lives.
    pub(super) fn enter(&self, transfer: Arc<Transfer>) -> Result<(), Arc<Transfer>> {
        let mut transfers = self.transfer_map();
        match transfers.get(&transfer.info_hash()) {
            Some(other) if !other.has_failed() => Err(Arc::clone(other)),
            _ => {
                transfers.insert(transfer.info_hash(), transfer);
                Ok(())
            }
        }
    }

    /// Puts a transfer in the place of another; gives what is there, if that is another by now.
    pub(super) fn replace(
        &self,
        former: &Arc<Transfer>,
        transfer: Arc<Transfer>,
    ) -> Result<(), Arc<Transfer>> {
        let mut transfers = self.transfer_map();
        match transfers.get(&former.info_hash()) {
            Some(there) if !Arc::ptr_eq(there, former) => Err(Arc::clone(there)),
            // Behind the lock of all transfers: whoever cancels the former one from now on finds the other here.
            Some(_) if !former.has_failed() => {
                transfers.insert(transfer.info_hash(), transfer);
                Ok(())
            }
            // It was cancelled.
            _ => Err(Arc::clone(former)),
        }
    }

    /// Takes a transfer out; `false` if another has its place, or none.
    pub(super) fn forget(&self, transfer: &Arc<Transfer>) -> bool {
        let mut transfers = self.transfer_map();
        let there = transfers.get(&transfer.info_hash());
        let is_there = there.is_some_and(|there| Arc::ptr_eq(there, transfer));
        if is_there {
            transfers.remove(&transfer.info_hash());
        }
        is_there
    }

    /// Calls an address on a thread of its own, which then is the link's reading thread.
    pub(super) fn spawn_call(self: &Arc<Self>, transfer: &Arc<Transfer>, address: SocketAddr) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|caller| !caller.is_finished());
        let ended = CallEnded {
            shared: Arc::clone(self),
            transfer: Arc::clone(transfer),
            address,
        };
        if callers.len() >= MAX_CALLS || self.stop.is_stopped() {
            drop(callers);
            return drop(ended);
        }
        let thread = thread::Builder::new()
            .name("call".to_owned())
            .stack_size(STACK);
        let spawned = thread.spawn(move || {
            link::call(&ended.shared, &ended.transfer, ended.address);
            drop(ended);
        });
        match spawned {
            Ok(caller) => callers.push(caller),
            Err(error) => log::warn!("{}: cannot call {address}: {error}", transfer.name()),
        }
    }

    /// Keeps the socket of a call in reach of a stop until the guard is dropped.
    pub(super) fn register_call(&self, stream: &Arc<TcpStream>) -> RegisteredCall<'_> {
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        self.calling_map().insert(number, Arc::clone(stream));
        if self.stop.is_stopped() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        RegisteredCall {
            shared: self,
            number,
        }
    }

    fn calling_map(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.calling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something on a thread of its own, which [`Shared::join`] waits for.
    pub(super) fn spawn(
        self: &Arc<Self>,
        name: &str,
        run: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || run(&shared))?;
        let mut helpers = self.helpers.lock().unwrap_or_else(PoisonError::into_inner);
        helpers.retain(|helper| !helper.is_finished());
        helpers.push(thread);
        Ok(())
    }

    /// Ends calls under way and waits for all calling threads and helpers; links must have been closed.
    pub(super) fn join(&self) {
        for stream in self.calling_map().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for threads in [&self.callers, &self.helpers] {
            let threads =
                std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                let _ = thread.join();
            }
        }
    }

    /// Has the next tick come at once.
    pub(super) fn tick_now(&self) {
        *self
            .early_tick
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.tick_due.notify_all();
    }

    /// Waits for the next tick; `false` at the end.
    pub(super) fn wait_for_tick(&self, pause: Duration) -> bool {
        let early = self
            .early_tick
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .tick_due
            .wait_timeout_while(early, pause, |early| !*early);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        !self.stop.is_stopped()
    }

    /// A download changed its state.
    pub(super) fn notify_change(&self) {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// How many changes there were so far.
    pub(super) fn changes(&self) -> u64 {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there were more than `seen` changes, `limit` at most.
    pub(super) fn wait_for_change(&self, seen: u64, limit: Duration) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.changed
                .wait_timeout_while(changes, limit, |changes| *changes <= seen),
        );
    }

    fn transfer_map(&self) -> MutexGuard<'_, HashMap<InfoHash, Arc<Transfer>>> {
        self.transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees an address when the call to it ends, however it ends.
struct CallEnded {
    shared: Arc<Shared>,
    transfer: Arc<Transfer>,
    address: SocketAddr,
}

impl Drop for CallEnded {
    fn drop(&mut self) {
        self.transfer.call_ended(&self.shared, self.address);
    }
}

/// See [`Shared::register_call`].
pub(super) struct RegisteredCall<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for RegisteredCall<'_> {
    fn drop(&mut self) {
        self.shared.calling_map().remove(&self.number);
    }
}
