//! Bytes that a tracker gets together, although its caller has sent them one after the other.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::ControlConnection;
use pieceful::wire::access::AccessRequest;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Forwards one connection to `target`. What the caller sends after its first message waits for
/// `release`, and is then sent in one write.
fn forward_together(listener: &TcpListener, target: SocketAddr, release: &Receiver<()>) {
    let (mut caller, _) = listener.accept().unwrap();
    let mut target = TcpStream::connect(target).unwrap();
    target.set_nodelay(true).unwrap();
    let (mut from, mut to) = (target.try_clone().unwrap(), caller.try_clone().unwrap());
    let answers = thread::spawn(move || {
        // The test ends the connection.
        let _ = io::copy(&mut from, &mut to);
    });
    let mut bytes = vec![0; 64 << 10];
    let hello = caller.read(&mut bytes).unwrap();
    target.write_all(&bytes[..hello]).unwrap();
    release.recv().unwrap();
    let held = caller.read(&mut bytes).unwrap();
    target.write_all(&bytes[..held]).unwrap();
    let _ = io::copy(&mut caller, &mut target);
    let _ = target.shutdown(std::net::Shutdown::Both);
    answers.join().unwrap();
}

#[test]
fn a_request_that_arrives_with_the_end_of_the_handshake_is_answered() {
    let tracker = AccountTracker::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let target = tracker.address();
    let (release, released) = channel();
    let forwarding = thread::spawn(move || forward_together(&listener, target, &released));
    // The caller has ended its handshake as soon as it has sent its last message.
    let mut connection = ControlConnection::open(address).unwrap();
    connection.send(AccessRequest::Cluster);
    let begun = Instant::now();
    release.send(()).unwrap();
    let reply = connection.next_reply().unwrap();
    assert!(reply.result.is_ok(), "{reply:?}");
    // The deadline of a newcomer, ten seconds, would wake a tracker that waits for more bytes.
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    drop(connection);
    forwarding.join().unwrap();
}
