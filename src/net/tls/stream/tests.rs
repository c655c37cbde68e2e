use super::super::testing::{pair, server};
use super::*;
use crate::certificate::{Authority, Fingerprint};
use crate::net::{Stop, TRACKER_NAME, TlsError, TlsServer, connect_tls};
use std::net::TcpListener;
use std::thread;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

fn long_deadline() -> Instant {
    Instant::now() + LONG
}

fn short_deadline() -> Instant {
    Instant::now() + SHORT
}

/// Both ends of a connection.
fn sockets() -> (Arc<TcpStream>, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Arc::new(near), Arc::new(listener.accept().unwrap().0))
}

fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| rng.u8(..)).collect()
}

fn read_all(stream: &TlsStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 50_000]);
    loop {
        match stream.read_until(&mut buffer, long_deadline()).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn both_sides_read_and_write_at_the_same_time() {
    let (near, far, _) = pair();
    let (there, back) = (bytes(5_000_000, 1), bytes(7_000_000, 2));
    thread::scope(|scope| {
        for (stream, sent) in [(&near, &there), (&far, &back)] {
            scope.spawn(move || {
                for part in sent.chunks(99_999) {
                    stream.write_all_until(part, long_deadline()).unwrap();
                }
                stream.finish(LONG);
            });
        }
        let got = scope.spawn(|| read_all(&near));
        assert!(read_all(&far) == there);
        assert!(got.join().unwrap() == back);
    });
}

#[test]
fn a_vectored_read_fills_the_buffers_in_order() {
    let (near, far, _) = pair();
    let sent = bytes(3_000_000, 3);
    thread::scope(|scope| {
        scope.spawn(|| {
            far.write_all_until(&sent, long_deadline()).unwrap();
            far.finish(LONG);
        });
        let (mut got, mut block, mut header) = (Vec::new(), vec![0; 16_384], [0; 13]);
        let mut both = 0;
        loop {
            let mut slices = [IoSliceMut::new(&mut block), IoSliceMut::new(&mut header)];
            let read = near
                .read_vectored_until(&mut slices, long_deadline())
                .unwrap();
            if read == 0 {
                break;
            }
            let (first, second) = (read.min(16_384), read.saturating_sub(16_384));
            both += usize::from(second > 0);
            got.extend_from_slice(&block[..first]);
            got.extend_from_slice(&header[..second]);
        }
        assert!(got == sent && both > 0);
    });
    assert_eq!(near.read_until(&mut [0], long_deadline()).unwrap(), 0);
}

#[test]
fn the_write_buffer_shrinks_after_a_large_write() {
    let (near, far, _) = pair();
    let sent = bytes(2 * BURST_BYTES + 77, 4);
    thread::scope(|scope| {
        scope.spawn(|| {
            far.write_all_until(&sent, long_deadline()).unwrap();
            far.write_all_until(b"last", long_deadline()).unwrap();
        });
        let mut got = vec![0; sent.len()];
        near.read_exact_until(&mut got, long_deadline()).unwrap();
        assert!(got == sent);
        let mut last = [0; 4];
        near.read_exact_until(&mut last, long_deadline()).unwrap();
        assert_eq!(&last, b"last");
    });
    assert!(far.outbound.lock().unwrap().ready.capacity() <= CHUNK_BYTES);
    far.hang_up();
    let error = near
        .read_exact_until(&mut [0], long_deadline())
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_cut_connection_is_distinguished_from_a_closed_one() {
    let (near, far, _) = pair();
    far.write_all_until(b"last", long_deadline()).unwrap();
    far.hang_up();
    assert_eq!(read_all(&near), b"last");
    let (near, _far, far_socket) = pair();
    far_socket.shutdown(Shutdown::Both).unwrap();
    let error = near.read_until(&mut [0], long_deadline()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn bytes_that_are_not_tls_end_the_connection() {
    let (near, far, far_socket) = pair();
    (&*far_socket)
        .write_all(b"\x17\x03\x03\0\x20 this was not encrypted by us..")
        .unwrap();
    (&*far_socket).write_all(&[0; 100]).unwrap();
    let error = near.read_until(&mut [0], long_deadline()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let error = far.read_until(&mut [0], long_deadline()).unwrap_err();
    assert!(error.to_string().contains("alert"), "the reason: {error}");
}

#[test]
fn a_read_times_out_even_if_a_record_trickles_in() {
    let (near, far, _) = pair();
    let error = near.read_until(&mut [0], short_deadline()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    far.write_all_until(b"x", long_deadline()).unwrap();
    assert_eq!(near.read_until(&mut [0], long_deadline()).unwrap(), 1);
    // A record that arrives byte by byte and never ends.
    let (near, _far, far_socket) = pair();
    let stop = Stop::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&*far_socket).write_all(b"\x17\x03\x03\x40\0").unwrap();
            while !stop.wait(Duration::from_millis(20)) {
                let _ = (&*far_socket).write_all(b"x");
            }
        });
        let error = near.read_until(&mut [0], short_deadline()).unwrap_err();
        stop.stop();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn writes_fail_after_an_earlier_one_has_timed_out() {
    let (near, _far, _) = pair();
    let large = vec![0; 1 << 20];
    let error = (0..100).find_map(|_| near.write_all_until(&large, short_deadline()).err());
    assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
    let error = near.write_all_until(b"x", long_deadline()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    near.hang_up();
}

#[test]
fn hang_up_wakes_a_reader() {
    let (near, _far, _) = pair();
    let started = Instant::now();
    thread::scope(|scope| {
        let reading = scope.spawn(|| near.read_until(&mut [0], long_deadline()));
        near.hang_up();
        assert!(matches!(reading.join().unwrap(), Ok(0) | Err(_)));
    });
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn a_handshake_that_stalls_or_trickles_times_out() {
    let (near, far) = sockets();
    let started = Instant::now();
    let stop = Stop::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&*near).write_all(b"\x16\x03\x01\x02\0\x01").unwrap();
            while !stop.wait(Duration::from_millis(20)) {
                let _ = (&*near).write_all(b"\0");
            }
        });
        let error = server().accept(Arc::clone(&far), SHORT).unwrap_err();
        stop.stop();
        assert!(
            matches!(&error, TlsError::Handshake(error) if error.kind() == io::ErrorKind::TimedOut),
            "{error}"
        );
    });
    let (near, _far) = sockets();
    let error = connect_tls(near, None, SHORT).unwrap_err();
    assert!(
        matches!(&error, TlsError::Handshake(error) if error.kind() == io::ErrorKind::TimedOut)
    );
    // The message rounds `SHORT` up to whole seconds.
    assert!(
        error.to_string().ends_with("failed: no answer within 1 s"),
        "{error}"
    );
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn a_handshake_fails_if_the_client_closes_the_connection() {
    let (near, far) = sockets();
    drop(near);
    let error = server().accept(far, LONG).unwrap_err();
    assert!(matches!(error, TlsError::Handshake(_)));
}

/// Connects to a server that has `identity`. Returns the fingerprint that the client found.
fn connect_to(
    identity: crate::certificate::Identity,
    expected: Option<Fingerprint>,
) -> Result<Fingerprint, TlsError> {
    let (near, far) = sockets();
    let server = TlsServer::new(identity).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || server.accept(far, LONG));
        connect_tls(near, expected, LONG).map(|(_, found)| found)
    })
}

#[test]
fn a_client_accepts_only_a_tracker_of_the_expected_cluster() {
    let (ours, other) = (
        Authority::generate("a").unwrap(),
        Authority::generate("a").unwrap(),
    );
    let pin = Some(ours.fingerprint());
    let issue = |authority: &Authority| authority.issue(TRACKER_NAME).unwrap();
    assert_eq!(connect_to(issue(&ours), None).unwrap(), ours.fingerprint());
    assert_eq!(connect_to(issue(&ours), pin).unwrap(), ours.fingerprint());
    let refused = connect_to(issue(&other), pin).unwrap_err();
    assert!(matches!(refused, TlsError::OtherCluster { expected, found }
            if expected == ours.fingerprint() && found == other.fingerprint()));
    // The server copied the public certificate of the authority but does not have its key.
    let mut forged = issue(&other);
    forged.chain[1] = issue(&ours).chain[1].clone();
    assert!(matches!(
        connect_to(forged, pin),
        Err(TlsError::Handshake(_))
    ));
    let misnamed = ours.issue("peer").unwrap();
    assert!(matches!(
        connect_to(misnamed, pin),
        Err(TlsError::Handshake(_))
    ));
    let mut without_authority = issue(&ours);
    without_authority.chain.truncate(1);
    assert!(matches!(
        connect_to(without_authority, pin),
        Err(TlsError::Handshake(_))
    ));
}
