use super::super::{
    ConnectionHandle, IncomingConnection, Interest, Job, Lane, Next, OnThreads, Session, Turn,
    Wait, receive_now, send_now,
};
use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

const LONG: Duration = Duration::from_secs(60);
const LARGE: PlaceLimits = PlaceLimits {
    total: 10,
    per_address: 10,
    for_newcomers: 0,
    per_account: 0,
    reserved: 0,
    replaces_silent: true,
};

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn start_echo_server(limits: PlaceLimits, silence_limit: Duration) -> Server {
    let serve = |incoming: IncomingConnection| {
        let (mut byte, mut stream) = ([0], &*incoming.stream);
        while matches!(stream.read(&mut byte), Ok(1)) {
            stream.write_all(&byte).unwrap();
        }
    };
    let serve = OnThreads::new(silence_limit, serve);
    Server::start("echo", listener(), limits, 64 << 10, serve).unwrap()
}

fn is_echoed(mut stream: &TcpStream) -> bool {
    let mut answer = [0];
    stream
        .write_all(b"x")
        .and_then(|()| stream.read_exact(&mut answer))
        .is_ok()
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).unwrap()
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG);
        thread::yield_now();
    }
}

/// Asserts that a stop ends within a limit that is shorter than each time limit of a server.
fn assert_stops_at_once(server: Server) {
    let (sender, stopped) = channel();
    // If the stop hangs, the thread stays behind, and the test fails.
    thread::spawn(move || {
        server.stop();
        sender.send(()).unwrap();
    });
    let ended = stopped.recv_timeout(STOP_LIMIT / 2);
    assert!(ended.is_ok(), "the server does not stop");
}

#[test]
fn a_stop_wakes_a_server_without_connections() {
    let server = start_echo_server(LARGE, LONG);
    // An answer shows that the event thread runs. Then it waits, without any deadline.
    assert!(is_echoed(&connect(&server)));
    wait_until(|| server.connections() == 0);
    assert_stops_at_once(server);
}

#[test]
fn a_stop_shuts_the_sockets_of_threads_that_wait_for_a_caller() {
    let server = start_echo_server(LARGE, LONG);
    let caller = connect(&server);
    assert!(is_echoed(&caller));
    assert_stops_at_once(server);
    assert!(!is_echoed(&caller));
}

#[test]
fn a_connection_beyond_the_limit_is_refused_and_a_stop_closes_open_connections() {
    let server = start_echo_server(PlaceLimits::fixed(2, 2), LONG);
    let (first, second) = (connect(&server), connect(&server));
    assert!(is_echoed(&first) && is_echoed(&second));
    assert!(!is_echoed(&connect(&server)), "the third is refused");
    server.stop();
    assert!(!is_echoed(&first) && server.connections() == 0);
}

#[test]
fn a_silent_connection_gives_way_and_one_with_a_thread_does_not() {
    let server = start_echo_server(PlaceLimits { total: 2, ..LARGE }, LONG);
    let served = connect(&server);
    assert!(is_echoed(&served));
    let mut silent = connect(&server);
    wait_until(|| server.connections() == 2);
    let next = connect(&server);
    assert!(is_echoed(&next) && is_echoed(&served));
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    assert!(!is_echoed(&connect(&server)), "both are served");
    server.stop();
}

#[test]
fn a_silent_connection_is_closed_and_delays_no_other() {
    let silence_limit = Duration::from_millis(300);
    let server = start_echo_server(LARGE, silence_limit);
    let started = Instant::now();
    let mut silent = connect(&server);
    let other = connect(&server);
    assert!(is_echoed(&other));
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert!(started.elapsed() >= silence_limit);
    let late = connect(&server);
    wait_until(|| server.connections() == 2);
    server.stop();
    let read = (&late).read(&mut [0]).unwrap();
    assert_eq!(read, 0, "a stop closes silent connections too");
}

#[test]
fn a_connection_that_has_ended_no_longer_counts_against_the_limits() {
    let server = start_echo_server(PlaceLimits::fixed(1, 1), LONG);
    for _ in 0..20 {
        let mut stream = connect(&server);
        assert!(is_echoed(&stream));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        wait_until(|| server.connections() == 0);
    }
}

/// Sends each byte back: `w` from a worker, `p` from a worker of [`Lane::Patient`], `t` from a
/// thread of its own. At `n` it sends its handle to the test instead, and at `q` it ends. Whenever
/// it runs, it first sends the bytes in `notified`.
struct TestSession {
    stream: Arc<TcpStream>,
    handle: ConnectionHandle,
    handles: Sender<ConnectionHandle>,
    notified: Arc<Mutex<Vec<u8>>>,
    pending: Option<u8>,
}

impl TestSession {
    fn thread_job(&self) -> Job {
        let stream = Arc::clone(&self.stream);
        Box::new(move || {
            let _ = (&*stream).write_all(b"t");
        })
    }
}

impl Session for TestSession {
    fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
        let sent = send_now(&self.stream, &std::mem::take(&mut *lock(&self.notified)));
        assert!(sent.is_ok());
        let byte = match self.pending.take() {
            Some(byte) => Some(byte),
            None => match receive_now(&self.stream, &mut turn.scratch[..1]) {
                Ok(Some(1)) => Some(turn.scratch[0]),
                Ok(None) => None,
                _ => return Next::End,
            },
        };
        let wanted = match byte {
            Some(b'w') => Lane::Worker,
            Some(b'p') => Lane::Patient,
            _ => turn.lane,
        };
        if turn.lane != wanted {
            self.pending = byte;
            return Next::Move(wanted);
        }
        match byte {
            Some(b't') => return Next::Thread(self.thread_job()),
            Some(b'q') => return Next::End,
            Some(b'n') => self.handles.send(self.handle.clone()).unwrap(),
            Some(byte) => drop(send_now(&self.stream, &[byte])),
            None => {}
        }
        Next::Wait(Wait {
            interest: Interest::Read,
            until: Instant::now() + LONG,
            lane: Lane::Event,
        })
    }
}

struct TestService {
    handles: Sender<ConnectionHandle>,
    notified: Arc<Mutex<Vec<u8>>>,
}

impl super::Serve for TestService {
    fn begin(
        &self,
        incoming: IncomingConnection,
        handle: ConnectionHandle,
    ) -> (Box<dyn Session>, Instant) {
        let session = TestSession {
            stream: incoming.stream,
            handle,
            handles: self.handles.clone(),
            notified: Arc::clone(&self.notified),
            pending: None,
        };
        (Box::new(session), Instant::now() + LONG)
    }
}

fn start_test_server() -> (Server, Receiver<ConnectionHandle>, Arc<Mutex<Vec<u8>>>) {
    let (sender, handles) = channel();
    let notified = Arc::default();
    let serve = TestService {
        handles: sender,
        notified: Arc::clone(&notified),
    };
    let server = Server::start("steps", listener(), LARGE, 64 << 10, serve).unwrap();
    (server, handles, notified)
}

#[test]
fn a_session_moves_between_threads_and_goes_on() {
    let (server, ..) = start_test_server();
    let mut stream = connect(&server);
    for step in [b"x", b"w", b"x", b"p", b"w", b"x", b"t"] {
        stream.write_all(step).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, step);
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "its thread has ended");
    let mut other = connect(&server);
    other.write_all(b"q").unwrap();
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    server.stop();
}

#[test]
fn any_thread_can_notify_a_session_that_waits() {
    let (server, handles, notified) = start_test_server();
    let mut stream = connect(&server);
    stream.write_all(b"n").unwrap();
    let handle = handles.recv_timeout(LONG).unwrap();
    let mut answer = [0];
    for byte in [b'1', b'2', b'3'] {
        lock(&notified).push(byte);
        handle.notify();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [byte]);
    }
    // After notifications, the socket is still watched.
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"x");
    drop(stream);
    wait_until(|| server.connections() == 0);
    handle.notify();
    server.stop();
}

#[test]
fn accepted_sockets_have_a_write_timeout_and_keep_alive_from_the_first_moment() {
    let listener = listener();
    prepare(&listener).unwrap();
    let _near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut far = None;
    wait_until(|| {
        far = listener.accept().ok();
        far.is_some()
    });
    let far = far.unwrap().0;
    assert_eq!(far.write_timeout().unwrap(), Some(WRITE_LIMIT));
    assert!(socket::getsockopt(&far, KeepAlive).unwrap());
    assert_eq!(socket::getsockopt(&far, TcpKeepIdle).unwrap(), KEEP_ALIVE.0);
}
