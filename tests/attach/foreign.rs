//! Foreign bytes and other versions, on both sides of the socket.

use super::clients::attached_status;
use crate::common::peer::Peer;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::PATIENCE;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::Backlog;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

/// A frame.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

const HELLO: &[u8] =
    b"d7:columnsi80e14:error_terminali0e6:folder1:/14:input_terminali0e4:jsoni0e5:plaini0e\
    6:prompti0e8:protocoli1e4:type5:hello7:version5:0.1.0e";

fn connect(sandbox: &Sandbox) -> UnixStream {
    UnixStream::connect(sandbox.state("nik").join("attach")).unwrap()
}

/// Sends bytes. Returns what the peer sends until it closes the connection.
fn exchange(sandbox: &Sandbox, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(sandbox);
    // The peer may close the connection before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn assert_goes_on(sandbox: &Sandbox, peer: &mut Peer) {
    peer.run("status");
    let output = attached_status(sandbox);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn foreign_bytes_end_only_their_connection() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let line = b"d6:numberi1e6:source5:input4:text6:status4:type4:linee";
    let twice = [frame(HELLO), frame(HELLO)].concat();
    let answers = [
        frame(HELLO),
        frame(b"d6:answer3:end4:type6:answere").repeat(6),
    ]
    .concat();
    let lines = [frame(HELLO), frame(line).repeat(50)].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 5_000],
        vec![0; 5_000],
        frame(b"le"),
        frame(line),
        frame(&vec![b'd'; 200_000]),
        twice,
        answers,
        lines,
    ] {
        exchange(&sandbox, &bytes);
    }
    // A connection that ends in the middle, and one that sends nothing while others are served.
    connect(&sandbox).write_all(&frame(HELLO)[..20]).unwrap();
    let _silent = connect(&sandbox);
    assert_goes_on(&sandbox, &mut peer);
    peer.end();
}

#[test]
fn a_client_that_sends_lines_in_advance_loses_its_connection() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    // The first line asks for a password. Its answer never comes.
    fs::write(sandbox.tracker_info(), "127.0.0.1:1\n").unwrap();
    let login = b"d6:numberi1e6:source5:input4:text9:login nik4:type4:linee";
    let line = b"d6:numberi2e6:source5:input4:text6:status4:type4:linee";
    let mut stream = connect(&sandbox);
    let bytes = [frame(HELLO), frame(login), frame(line).repeat(20)].concat();
    let _ = stream.write_all(&bytes);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The peer closes the connection, although this side keeps it open.
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let reset = std::io::ErrorKind::ConnectionReset;
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == reset));
    assert_goes_on(&sandbox, &mut peer);
    peer.end();
}

#[test]
fn a_client_of_another_version_is_refused() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let newer = b"d8:protocoli2e5:thing3:new4:type5:hello7:version5:9.8.7e";
    let answer = exchange(&sandbox, &frame(newer));
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.contains("7:refused") && answer.contains("8:protocoli1e"),
        "{answer}"
    );
    assert_goes_on(&sandbox, &mut peer);
    let log = fs::read_to_string(sandbox.log("nik")).unwrap();
    assert!(log.contains("it has version 9.8.7"), "{log}");
    peer.end();
}

#[test]
fn too_many_clients_are_refused() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let mut open: Vec<UnixStream> = Vec::new();
    for _ in 0..64 {
        let mut stream = connect(&sandbox);
        stream.write_all(&frame(HELLO)).unwrap();
        // The peer has accepted it.
        stream.read_exact(&mut [0; 4]).unwrap();
        open.push(stream);
    }
    let output = attached_status(&sandbox);
    assert_eq!(output.code, Some(1), "{output:?}");
    let full = "refuses the command: 64 commands are attached already";
    assert!(output.stderr.contains(full), "{output:?}");
    drop(open);
    crate::common::waiting::wait_until("there is room again", || {
        attached_status(&sandbox).code == Some(0)
    });
    peer.run("status");
    peer.end();
}

/// Holds the state folder, as a running peer does, and binds its socket.
fn hold_folder(sandbox: &Sandbox) -> (Flock<File>, UnixListener) {
    let state = sandbox.state("nik");
    let _ = DirBuilder::new().mode(0o700).create(&state);
    let lock = File::create(state.join("lock")).unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
    let _ = fs::remove_file(state.join("attach"));
    (lock, UnixListener::bind(state.join("attach")).unwrap())
}

/// A process that holds the state folder and answers the first message with these bytes.
fn fake_peer(sandbox: &Sandbox, answer: Vec<u8>) -> Flock<File> {
    let (lock, listener) = hold_folder(sandbox);
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1_000]);
        let _ = stream.write_all(&answer);
    });
    lock
}

#[test]
fn a_peer_of_another_version_and_foreign_bytes_are_reported() {
    let sandbox = Sandbox::new();
    let version = env!("CARGO_PKG_VERSION");
    let both = format!(
        "has version 9.8.7 of pieceful (attach protocol 2), and this program has version {version} (attach protocol 1)"
    );
    let welcome = b"d8:protocoli1e4:type7:welcome7:version5:0.1.0e";
    for (answer, part) in [
        (
            frame(b"d8:protocoli2e4:type7:welcome7:version5:9.8.7e"),
            &*both,
        ),
        (
            b"HTTP/1.1 400 no\r\n".to_vec(),
            "sends what is not an answer",
        ),
        (frame(b"d4:type3:ende"), "sends what is not an answer"),
        (Vec::new(), "has just ended"),
        (
            [frame(welcome), vec![0xff; 100]].concat(),
            "has ended before the command was done",
        ),
    ] {
        let lock = fake_peer(&sandbox, answer);
        let output = attached_status(&sandbox);
        drop(lock);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(part), "{part}: {output:?}");
    }
}

#[test]
fn a_silent_connection_delays_no_stop() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let silent: Vec<UnixStream> = (0..3).map(|_| connect(&sandbox)).collect();
    // Connections are accepted in their order.
    assert_goes_on(&sandbox, &mut peer);
    let begun = Instant::now();
    peer.end();
    // The bound for clients that do not read is 5 s.
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(4), "{taken:?}");
    drop(silent);
}

#[test]
fn a_first_message_in_drops_has_a_bound() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    let mut stream = connect(&sandbox);
    let begun = Instant::now();
    stream.write_all(&100_000_u32.to_be_bytes()).unwrap();
    // A byte from time to time does not keep the connection.
    let pause = Duration::from_millis(200);
    while stream.write_all(b"d").is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(pause);
    }
    peer.end();
}

#[test]
fn a_peer_whose_connections_all_wait_is_reported() {
    let sandbox = Sandbox::new();
    let (_lock, listener) = hold_folder(&sandbox);
    nix::sys::socket::listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let _waiting = connect(&sandbox);
    let output = attached_status(&sandbox);
    assert_eq!(output.code, Some(1), "{output:?}");
    let silent = "does not answer within 10 s; it may be stopped or overloaded";
    assert!(output.stderr.contains(silent), "{output:?}");
}
