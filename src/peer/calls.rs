//! The calls of this peer: a thread for each, which then is the link's reading thread.

use super::{Entry, Greeted, LinkStream, STACK, Sockets, Transfers, join, magnet};
use crate::net::{GroupTlsError, Refusal as Alert, read_exact_by, write_all_by};
use crate::swarm::{Contacts, Unreached};
use crate::system::lock;
use crate::wire::handshake::{HANDSHAKE, Handshake, NotBitTorrent};
use log::Level;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many calls of ours may be under way or have become links at once.
const MAX_CALLS: usize = 1_000;
/// How long a connection may take, which also bounds how long a stop waits for it.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The calling threads.
#[derive(Debug)]
pub(super) struct Calls {
    transfers: Arc<Transfers>,
    sockets: Arc<Sockets>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Calls {
    pub(super) fn new(transfers: Arc<Transfers>, sockets: Arc<Sockets>) -> Self {
        Self {
            transfers,
            sockets,
            threads: Mutex::default(),
        }
    }

    /// Calls an address on a thread of its own.
    pub(super) fn spawn(&self, entry: &Entry, address: SocketAddr) {
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        let call = Call {
            transfers: Arc::clone(&self.transfers),
            sockets: Arc::clone(&self.sockets),
            entry: entry.clone(),
            address,
        };
        if threads.len() >= MAX_CALLS || self.transfers.context.stop.is_stopped() {
            drop(threads);
            return drop(call);
        }
        let thread = thread::Builder::new()
            .name("call".to_owned())
            .stack_size(STACK);
        match thread.spawn(move || call.run()) {
            Ok(thread) => threads.push(thread),
            Err(error) => log::warn!("{}: cannot call {address}: {error}", entry.name()),
        }
    }

    /// Ends calls under way and waits for all threads; links must have been closed.
    pub(super) fn join(&self) {
        self.sockets.shut();
        let ended = std::mem::take(&mut *lock(&self.threads));
        for thread in ended {
            let _ = thread.join();
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Group(#[from] GroupTlsError),
    #[error(transparent)]
    Handshake(#[from] NotBitTorrent),
    #[error(
        "it hung up at the handshake; it does not share this, or accepts encrypted connections only, which are not \
         understood here"
    )]
    HungUp,
    #[error("it answers for another swarm")]
    OtherSwarm,
    #[error("{0} is no member any more")]
    Barred(String),
    #[error("nobody of the group is logged in here")]
    Suspended,
}

/// One call. The address is free for another when it is dropped.
struct Call {
    transfers: Arc<Transfers>,
    sockets: Arc<Sockets>,
    entry: Entry,
    address: SocketAddr,
}

impl Call {
    /// Calls the address and serves the link until it ends.
    fn run(&self) {
        let address = self.address;
        match self.greet() {
            Ok(greeted) if greeted.theirs.peer_id == self.transfers.context.identity.peer_id => {
                log::debug!("{address} is this peer itself");
                self.entry
                    .contacts(|contacts| contacts.bar(address, Duration::MAX));
            }
            Ok(greeted) => {
                self.entry.contacts(Contacts::on_answer);
                self.begin(greeted);
            }
            Err(error) => {
                let why = Unreached {
                    reason: format!("{address}: {error}"),
                    hung_up: matches!(error, CallError::HungUp),
                };
                let now = self.transfers.context.now();
                let is_first = self
                    .entry
                    .contacts(|contacts| contacts.on_unreached(address, now, why));
                // A person may do something about this one; but an address that is called in vain
                // is called many times.
                let level = if is_first { Level::Info } else { Level::Debug };
                log::log!(level, "{}: calling {address}: {error}", self.entry.name());
            }
        }
    }

    fn begin(&self, greeted: Greeted) {
        match (&self.entry, &greeted.stream) {
            (Entry::Transfer(transfer), _) => join(transfer, greeted),
            (Entry::Search(search), LinkStream::Plain(stream)) => {
                let _registered = self.sockets.register(stream);
                let metadata = magnet::fetch(search, stream, self.address, true, &greeted.theirs);
                if let Some(metadata) = metadata {
                    magnet::learn(&self.transfers, search, metadata);
                }
            }
            // No magnet link names a swarm of a group.
            (Entry::Search(_), LinkStream::Group { .. }) => {}
        }
    }

    /// Connects, and exchanges handshakes.
    fn greet(&self) -> Result<Greeted, CallError> {
        let socket = Arc::new(TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)?);
        let _registered = self.sockets.register(&socket);
        let group = match &self.entry {
            Entry::Transfer(transfer) => {
                let group = transfer.plan.group.as_ref();
                group.map(|group| (transfer, group))
            }
            Entry::Search(_) => None,
        };
        let context = &self.transfers.context;
        let limit = context.bounds.deadlines.handshake;
        let ours = context.handshake(self.entry.info_hash()).encode();
        let mut answer = [0; HANDSHAKE];
        let (stream, member) = match group {
            Some((transfer, group)) => {
                let tls = group.tls(transfer.authority());
                let tls = tls.ok_or(CallError::Suspended)?;
                let doubted = |error: &GroupTlsError| {
                    if matches!(error, GroupTlsError::Refused(Alert::Group)) {
                        group.doubt();
                    }
                };
                let line = tls.connect(Arc::clone(&socket), self.entry.info_hash(), limit);
                let line = line.inspect_err(doubted)?;
                if group.is_barred(&line.member.user) {
                    return Err(CallError::Barred(line.member.user));
                }
                let exchanged = line.exchange(&ours, &mut answer, limit);
                exchanged.inspect_err(doubted)?;
                let (line, member) = (Box::new(line.stream), line.member);
                (LinkStream::Group { line, socket }, Some(member))
            }
            None => {
                let exchanged = write_all_by(&socket, &ours, limit)
                    .and_then(|()| read_exact_by(&socket, &mut answer, limit));
                exchanged.map_err(no_answer)?;
                (LinkStream::Plain(socket), None)
            }
        };
        let theirs = Handshake::parse(&answer)?;
        if theirs.info_hash != self.entry.info_hash() {
            return Err(CallError::OtherSwarm);
        }
        Ok(Greeted {
            stream,
            member,
            address: self.address,
            outgoing: true,
            theirs,
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (address, now) = (self.address, self.transfers.context.now());
        match &self.entry {
            Entry::Search(search) => {
                search.contacts(|contacts| contacts.on_call_ended(address, false, now));
            }
            Entry::Transfer(transfer) => transfer.on_call_ended(address),
        }
    }
}

fn no_answer(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => CallError::HungUp,
        _ => error.into(),
    }
}
