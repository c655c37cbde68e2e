//! Calls to other peers. Each call has its own thread, which becomes the reading thread of the
//! link.

use super::link::{self, CallError, GroupAccess, PeerConnection};
use super::{IO_STACK, LinkStream, Services, Sockets, SwarmEntry, magnet, run_link};
use crate::base::AddressPrefix;
use crate::net::{GroupTlsError, TlsRefusal};
use crate::swarm::{CallFailure, Contacts};
use crate::system::lock;
use log::Level;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The maximum number of calling threads, including those that run a link.
const MAX_CALLS: usize = 1_000;
/// Time limit of a TCP connection attempt. A stop of the peer may wait this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Starts and joins the calling threads.
#[derive(Debug)]
pub(super) struct Calls {
    services: Arc<Services>,
    sockets: Arc<Sockets>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Calls {
    pub(super) fn new(services: Arc<Services>, sockets: Arc<Sockets>) -> Self {
        Self {
            services,
            sockets,
            threads: Mutex::default(),
        }
    }

    /// Calls an address on a new thread. Makes no call while [`MAX_CALLS`] threads run, or while
    /// the peer stops.
    pub(super) fn spawn(&self, entry: &SwarmEntry, address: SocketAddr) {
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        let call = Call {
            services: Arc::clone(&self.services),
            sockets: Arc::clone(&self.sockets),
            entry: entry.clone(),
            address,
        };
        if threads.len() >= MAX_CALLS || self.services.context.stop.is_stopped() {
            drop(threads);
            return drop(call);
        }
        let thread = thread::Builder::new()
            .name("call".to_owned())
            .stack_size(IO_STACK);
        // The thread receives the call only after the thread has started. If it cannot start, this
        // function drops the call. The drop may begin another call, so `threads` must not be locked
        // then.
        let (sender, receiver) = crossbeam::channel::bounded::<Call>(1);
        let run = move || {
            if let Ok(call) = receiver.recv() {
                call.run();
            }
        };
        match thread.spawn(run) {
            Ok(thread) => {
                threads.push(thread);
                drop(threads);
                let _ = sender.send(call);
            }
            Err(error) => {
                drop(threads);
                log::warn!("{}: cannot call {address}: {error}", entry.name());
            }
        }
    }

    /// Aborts calls and joins all threads. The links must be closed already.
    pub(super) fn join(&self) {
        self.sockets.shut();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// One call. Dropping it makes the address available for another call.
struct Call {
    services: Arc<Services>,
    sockets: Arc<Sockets>,
    entry: SwarmEntry,
    address: SocketAddr,
}

impl Call {
    /// Calls the address, if it may be called now, and runs the link until it ends.
    fn run(&self) {
        let (address, now) = (self.address, self.services.context.now());
        let is_private = self.entry.contacts(|contacts| contacts.is_private(address));
        let private_calls = self.services.groups.private_calls();
        if is_private && let Err(until) = private_calls.begin(address, now) {
            let (name, wait) = (self.entry.name(), until.saturating_sub(now).as_secs());
            log::debug!("{name}: the private address {address} is not called for {wait} s");
            return self
                .entry
                .contacts(|contacts| contacts.release_with_pause_until(address, until));
        }
        let connected = self.connect(is_private);
        if is_private {
            private_calls.on_result(address, connected.is_ok());
        }
        match connected {
            Ok(connection)
                if connection.handshake.peer_id == self.services.context.identity.peer_id =>
            {
                log::debug!("{address} is this peer itself");
                self.entry
                    .contacts(|contacts| contacts.bar(address, Duration::MAX));
            }
            Ok(connection) => {
                self.entry.contacts(Contacts::on_answer);
                self.run_link_or_fetch(connection);
            }
            Err(error) => {
                let failure = CallFailure {
                    reason: format!("{address}: {error}"),
                    hung_up: matches!(error, CallError::HungUp),
                };
                let now = self.services.context.now();
                let is_first_hang_up = self
                    .entry
                    .contacts(|contacts| contacts.on_call_failed(address, now, failure));
                // The user may be able to fix the cause of a hang-up, so the first one of each
                // address is logged at info level. Other failures may be frequent.
                let level = match is_first_hang_up {
                    true => Level::Info,
                    false => Level::Debug,
                };
                let source = AddressPrefix::of(address.ip());
                log::log!(level, source:%; "{}: calling {address}: {error}", self.entry.name());
            }
        }
    }

    fn run_link_or_fetch(&self, connection: PeerConnection) {
        match (&self.entry, &connection.stream) {
            (SwarmEntry::Transfer(transfer), _) => run_link(transfer, connection),
            (SwarmEntry::Search(search), LinkStream::Plain(stream)) => {
                let _registered = self.sockets.register(stream);
                let metadata =
                    magnet::fetch(search, stream, self.address, true, &connection.handshake);
                if let Some(metadata) = metadata {
                    magnet::handle_metadata(&self.services, search, metadata);
                }
            }
            // A magnet link never names a group swarm.
            (SwarmEntry::Search(_), LinkStream::Group { .. }) => {}
        }
    }

    /// Connects and exchanges handshakes. The other side of a private address must prove first that
    /// it is a member: it may be any device in the network.
    fn connect(&self, is_private: bool) -> Result<PeerConnection, CallError> {
        let socket = Arc::new(TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)?);
        let _registered = self.sockets.register(&socket);
        let context = &self.services.context;
        let info_hash = self.entry.info_hash();
        let membership = match &self.entry {
            SwarmEntry::Transfer(transfer) => transfer.membership().zip(Some(transfer)),
            SwarmEntry::Search(_) => None,
        };
        let Some((membership, transfer)) = membership else {
            if is_private {
                return Err(CallError::NoCertificate);
            }
            return link::initiate_handshake(context, socket, self.address, info_hash, None);
        };
        let group = self.services.groups.of(&membership);
        let authority = transfer.authority();
        let tls = group.tls(authority);
        let access = GroupAccess {
            tls: tls.ok_or(CallError::NoCertificate)?,
            admit: &|member| group.admit(authority, member),
        };
        let called =
            link::initiate_handshake(context, socket, self.address, info_hash, Some(access));
        if let Err(CallError::Group(GroupTlsError::Refused(TlsRefusal::Group))) = &called {
            group.renew_certificate_soon();
        }
        called
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (address, now) = (self.address, self.services.context.now());
        match &self.entry {
            SwarmEntry::Search(search) => {
                search.contacts(|contacts| contacts.on_call_ended(address, false, now));
            }
            SwarmEntry::Transfer(transfer) => transfer.on_call_ended(address),
        }
    }
}
