//! Accepts attached clients, and ends their connections when the process stops.

use super::frames::{FrameReceiver, FrameSender, SOCKET};
use super::session::Session;
use crate::cli::output::Output;
use crate::net::{LocalListener, LocalSocketError, Waker};
use crate::storage::StateFolder;
use crate::system::lock;
use crate::wire::attach::{AttachReply, AttachRequest, AttachVersion};
use crate::wire::control::TextLine;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The most clients at a time.
const MAX_ATTACHED: usize = 64;
/// The longest time until the first message of a client.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits until the clients have received the end of their commands.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after an error of accepting, such as a lack of descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// A process to which clients attach.
pub(in crate::cli) trait Host: Send + Sync {
    /// Shows the first lines of the process, then carries out the lines of a client, until the
    /// client or the process ends. Calls [`Session::done`] after the first lines, and after each
    /// line.
    fn serve(&self, session: &Arc<Session>);
}

/// The clients of this process.
#[derive(Debug)]
pub(in crate::cli) struct Attachments {
    waker: Arc<Waker>,
    accepting: JoinHandle<()>,
    clients: Arc<Clients>,
    /// Disconnected when the last thread of a client has ended.
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Clients(Mutex<ClientMap>);

#[derive(Debug, Default)]
struct ClientMap {
    last_number: u64,
    /// The clients by number. A client without a session has not sent its first message.
    open: HashMap<u64, Option<Arc<Session>>>,
    is_ending: bool,
}

/// Binds the socket of a state folder that this process has locked. Shows and logs a warning if
/// that is not possible: then the process runs without it.
pub(in crate::cli) fn bind(folder: &StateFolder, output: &Output) -> Option<LocalListener> {
    let bound = match folder.is_locked() {
        true => LocalListener::bind(folder.path(), SOCKET).map_err(|error| error.to_string()),
        false => Err("the folder cannot be locked".to_owned()),
    };
    let warn = |why: &String| {
        let folder = folder.path().display();
        let warning = format!("no command can be attached to this process in {folder}: {why}");
        output.note(&format!("warning: {warning}"));
        log::warn!("{warning}");
    };
    bound.inspect_err(warn).ok()
}

impl Attachments {
    /// Starts to accept clients.
    ///
    /// # Errors
    /// The system cannot start the thread.
    pub(in crate::cli) fn start(listener: LocalListener, host: Arc<dyn Host>) -> io::Result<Self> {
        let waker = listener.waker();
        let clients = Arc::new(Clients::default());
        let accepting_clients = Arc::clone(&clients);
        let (alive, ended) = bounded(0);
        let thread = thread::Builder::new().name("attach-accept".to_owned());
        let accepting =
            thread.spawn(move || accept(&listener, &host, &accepting_clients, &alive))?;
        Ok(Self {
            waker,
            accepting,
            clients,
            ended,
        })
    }

    /// Ends all commands of clients early, and closes their connections once the clients have the
    /// results. Accepts no others.
    pub(in crate::cli) fn stop(self) {
        self.waker.wake();
        let _ = self.accepting.join();
        self.clients.end_all();
        let _ = self.ended.recv_timeout(END_TIMEOUT);
        for session in self.clients.sessions() {
            session.close();
        }
    }
}

/// Accepts clients until the listener is woken.
fn accept(
    listener: &LocalListener,
    host: &Arc<dyn Host>,
    clients: &Arc<Clients>,
    alive: &Sender<()>,
) {
    loop {
        let refused = |stream: UnixStream, error: LocalSocketError| {
            let why = format!("{error}; only the same user and root may attach");
            refuse(&FrameSender::new(stream), &why);
        };
        let stream = match listener.accept(refused) {
            Ok(Some(stream)) => stream,
            Ok(None) => return,
            Err(error) => {
                log::warn!("cannot accept an attached command: {error}");
                thread::sleep(ERROR_PAUSE);
                continue;
            }
        };
        let Some(number) = clients.enter() else {
            refuse(&FrameSender::new(stream), &too_many());
            continue;
        };
        let (host, clients, alive) = (Arc::clone(host), Arc::clone(clients), alive.clone());
        let entered = Arc::clone(&clients);
        let thread = thread::Builder::new().name("attached".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = serve(stream, host.as_ref(), &clients, number) {
                log::warn!("a command could not attach: {error}");
            }
            clients.leave(number);
            drop(alive);
        });
        if let Err(error) = spawned {
            log::warn!("cannot start a thread for an attached command: {error}");
            entered.leave(number);
        }
    }
}

fn too_many() -> String {
    format!("{MAX_ATTACHED} commands are attached already; try again when one of them has ended")
}

fn refuse(sender: &FrameSender, reason: &str) {
    log::warn!("refused an attached command: {reason}");
    let (version, reason) = (AttachVersion::ours(), TextLine::new(reason));
    let reply = AttachReply::Refused { version, reason };
    sender.send_now(&reply.encode());
}

/// Serves one client to its end.
fn serve(stream: UnixStream, host: &dyn Host, clients: &Clients, number: u64) -> io::Result<()> {
    let mut receiver = FrameReceiver::new(stream.try_clone()?);
    let sender = Arc::new(FrameSender::new(stream));
    receiver.set_limit(Some(FIRST_MESSAGE_TIMEOUT))?;
    let Some(first) = receiver.next()? else {
        return Ok(());
    };
    receiver.set_limit(None)?;
    let version = AttachVersion::of_first_message(&first).map_err(io::Error::other)?;
    let ours = AttachVersion::ours();
    if version.protocol != ours.protocol {
        // The client knows both versions and says what to do.
        refuse(&sender, &format!("it has version {}", version.program));
        return Ok(());
    }
    let caller = match AttachRequest::decode(&first) {
        Ok(AttachRequest::Hello(caller)) => caller,
        Ok(_) => return Err(io::Error::other("the first message is not hello")),
        Err(error) => return Err(io::Error::other(error)),
    };
    let (session, inbox) = Session::new(caller, sender);
    if !session.folder().is_absolute() {
        return Err(io::Error::other(
            "the current folder is not an absolute path",
        ));
    }
    clients.begin(number, &session);
    session.send(&AttachReply::Welcome { version: ours });
    let reading = Arc::clone(&session);
    let thread = thread::Builder::new().name("attached-read".to_owned());
    let reader = thread.spawn(move || reading.read(receiver, inbox))?;
    log::debug!("a command is attached");
    host.serve(&session);
    if session.is_process_ending() {
        session.send(&AttachReply::End);
    }
    session.close();
    let _ = reader.join();
    Ok(())
}

impl Clients {
    /// A number for a new client; `None` if there are too many.
    fn enter(&self) -> Option<u64> {
        let mut map = lock(&self.0);
        if map.open.len() >= MAX_ATTACHED {
            return None;
        }
        map.last_number += 1;
        let number = map.last_number;
        map.open.insert(number, None);
        Some(number)
    }

    /// The client has sent its first message.
    fn begin(&self, number: u64, session: &Arc<Session>) {
        let mut map = lock(&self.0);
        if map.is_ending {
            session.end_process();
        }
        map.open.insert(number, Some(Arc::clone(session)));
    }

    fn leave(&self, number: u64) {
        lock(&self.0).open.remove(&number);
    }

    fn end_all(&self) {
        lock(&self.0).is_ending = true;
        for session in self.sessions() {
            session.end_process();
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.0).open.values().flatten().cloned().collect()
    }
}
