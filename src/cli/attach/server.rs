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
use std::time::{Duration, Instant};

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
    /// The clients by number.
    open: HashMap<u64, Client>,
    is_ending: bool,
}

/// A client.
#[derive(Clone, Debug)]
enum Client {
    /// It has not sent its first message.
    New(Arc<FrameSender>),
    Attached(Arc<Session>),
}

/// The place of a client. It becomes free when this is dropped, even if a command panics.
#[derive(Debug)]
struct Place {
    clients: Arc<Clients>,
    number: u64,
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
        for client in self.clients.all() {
            client.close();
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
        let receiver = stream.try_clone().map(FrameReceiver::new);
        let sender = Arc::new(FrameSender::new(stream));
        let Some(place) = Clients::enter(clients, &sender) else {
            refuse(&sender, &too_many());
            continue;
        };
        let (host, alive) = (Arc::clone(host), alive.clone());
        let thread = thread::Builder::new().name("attached".to_owned());
        let spawned = thread.spawn(move || {
            // Dropped last, and also if a command panics.
            let _alive = alive;
            let served =
                receiver.and_then(|receiver| serve(receiver, sender, host.as_ref(), &place));
            if let Err(error) = served {
                log::warn!("a command could not attach: {error}");
            }
        });
        if let Err(error) = spawned {
            log::warn!("cannot start a thread for an attached command: {error}");
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
fn serve(
    mut receiver: FrameReceiver,
    sender: Arc<FrameSender>,
    host: &dyn Host,
    place: &Place,
) -> io::Result<()> {
    let deadline = Instant::now() + FIRST_MESSAGE_TIMEOUT;
    let Some(first) = receiver.next_before(deadline)? else {
        return Ok(());
    };
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
    place.begin(&session);
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
    /// A place for a new client; `None` if there are too many.
    fn enter(clients: &Arc<Self>, sender: &Arc<FrameSender>) -> Option<Place> {
        let mut map = lock(&clients.0);
        if map.open.len() >= MAX_ATTACHED {
            return None;
        }
        map.last_number += 1;
        let number = map.last_number;
        map.open.insert(number, Client::New(Arc::clone(sender)));
        let clients = Arc::clone(clients);
        Some(Place { clients, number })
    }

    fn end_all(&self) {
        lock(&self.0).is_ending = true;
        for client in self.all() {
            match client {
                // It waits for no result.
                Client::New(sender) => sender.close(),
                Client::Attached(session) => session.end_process(),
            }
        }
    }

    fn all(&self) -> Vec<Client> {
        lock(&self.0).open.values().cloned().collect()
    }
}

impl Client {
    /// Closes the connection.
    fn close(&self) {
        match self {
            Self::New(sender) => sender.close(),
            Self::Attached(session) => session.close(),
        }
    }
}

impl Place {
    /// The client has sent its first message.
    fn begin(&self, session: &Arc<Session>) {
        let mut map = lock(&self.clients.0);
        if map.is_ending {
            session.end_process();
        }
        let client = Client::Attached(Arc::clone(session));
        map.open.insert(self.number, client);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = lock(&self.clients.0).open.remove(&self.number);
        left.inspect(Client::close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connect_local;
    use crate::wire::attach::Caller;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// A process with a fault.
    struct Faulty;

    impl Host for Faulty {
        fn serve(&self, _: &Arc<Session>) {
            panic!("a fault in a command");
        }
    }

    #[test]
    fn a_command_that_panics_ends_its_connection_and_frees_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let listener = LocalListener::bind(folder.path(), SOCKET).unwrap();
        let attachments = Attachments::start(listener, Arc::new(Faulty)).unwrap();
        let caller = Caller {
            version: AttachVersion::ours(),
            folder: b"/".to_vec(),
            home: None,
            json: false,
            prompt: false,
            input_terminal: false,
            error_terminal: false,
            plain: false,
            columns: 80,
        };
        for _ in 0..=MAX_ATTACHED {
            let (stream, _) = connect_local(folder.path(), SOCKET).unwrap();
            let mut receiver = FrameReceiver::new(stream.try_clone().unwrap());
            let hello = AttachRequest::Hello(caller.clone()).encode();
            FrameSender::new(stream).send(&hello).unwrap();
            let deadline = Instant::now() + FIRST_MESSAGE_TIMEOUT;
            let welcome = receiver.next_before(deadline).unwrap().unwrap();
            let welcome = AttachReply::decode(&welcome).unwrap();
            assert!(
                matches!(welcome, AttachReply::Welcome { .. }),
                "{welcome:?}"
            );
            assert_eq!(receiver.next_before(deadline).unwrap(), None);
        }
        attachments.stop();
    }
}
