//! The tracker's port as strangers and eavesdroppers see it. A connection is TLS 1.3 or HTTP, and
//! an eavesdropper sees nothing of what a control connection carries.

use super::trust::Run;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::PATIENCE;
use pieceful::certificate::Authority;
use pieceful::net::{TRACKER_NAME, TlsServer};
use pieceful::tracker::{HttpDeadlines, TlsService, Tracker, TrackerOptions, bind};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All bytes until the other side closes or resets the connection.
fn answer(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    all
}

#[test]
fn one_port_serves_tls_and_http_and_answers_nothing_to_other_bytes() {
    let sandbox = Sandbox::new();
    let run = Run::new(&sandbox, "ours.pem");
    let address = run.tracker.address;
    for invalid in [
        // A frame of a control connection without TLS.
        &b"\0\0\0\x15d2:idi7e4:type4:pinge"[..],
        // The start of a TLS record that is not part of a handshake.
        b"\x17\x03\x03",
    ] {
        let mut stream = connect(address);
        stream.write_all(invalid).unwrap();
        assert_eq!(answer(&stream), b"");
    }
    let mut http = connect(address);
    http.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(answer(&http).starts_with(b"HTTP/1.1 200 "));
    assert_eq!(run.run_client().code, Some(0), "the run goes on");
    run.wait();
}

/// The hello of a client that knows TLS 1.2 and nothing newer (RFC 5246, section 7.4.1.2).
fn tls12_hello() -> Vec<u8> {
    let extensions = [
        // supported_groups: secp256r1; signature_algorithms: ecdsa_secp256r1_sha256.
        &b"\x00\x0a\x00\x04\x00\x02\x00\x17"[..],
        b"\x00\x0d\x00\x04\x00\x02\x04\x03",
    ]
    .concat();
    let mut body = b"\x03\x03".to_vec();
    body.extend([7; 32]);
    // No session; ECDHE-ECDSA with AES-128-GCM; no compression.
    body.extend(b"\x00\x00\x02\xc0\x2b\x01\x00");
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![0x16, 3, 1];
    hello.extend(u16::try_from(body.len() + 4).unwrap().to_be_bytes());
    hello.extend([1, 0]);
    hello.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    hello.extend(body);
    hello
}

#[test]
fn a_client_that_knows_only_tls_1_2_is_refused_with_an_alert() {
    let sandbox = Sandbox::new();
    let run = Run::new(&sandbox, "ours.pem");
    let mut stream = connect(run.tracker.address);
    stream.write_all(&tls12_hello()).unwrap();
    let answer = answer(&stream);
    // A fatal alert, protocol_version (RFC 8446, section 6.2).
    assert!(
        answer.len() == 7 && answer[0] == 0x15 && answer[5..] == [2, 70],
        "{answer:?}"
    );
}

#[test]
fn a_tls_handshake_that_stalls_or_trickles_is_ended() {
    let identity = Authority::generate("test")
        .unwrap()
        .issue(TRACKER_NAME)
        .unwrap();
    let tracker = Tracker::start(TrackerOptions {
        tls_service: Some(TlsService::on_threads(
            TlsServer::new(identity).unwrap(),
            |connection, _, _| connection.hang_up(),
        )),
        deadlines: HttpDeadlines {
            head: Duration::from_millis(300),
            ..HttpDeadlines::default()
        },
        ..TrackerOptions::new(bind(&"127.0.0.1:0".parse().unwrap()).unwrap())
    });
    let tracker = tracker.unwrap();
    let hello = tls12_hello();
    let started = Instant::now();
    // The first byte shows that the connection is TLS.
    let mut first_byte_only = connect(tracker.address());
    first_byte_only.write_all(&hello[..1]).unwrap();
    let mut part_of_hello = connect(tracker.address());
    part_of_hello.write_all(&hello[..30]).unwrap();
    let trickling = connect(tracker.address());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = &trickling;
            // The head of a handshake record of 16 KiB, and fewer bytes than that: the record never
            // ends.
            for byte in b"\x16\x03\x01\x40\x00".iter().chain([0; 16_000].iter()) {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        for stream in [&first_byte_only, &part_of_hello, &trickling] {
            assert_eq!(answer(stream), b"");
        }
    });
    assert!(started.elapsed() < PATIENCE / 4);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

/// Accepts one connection, connects it to `to`, and returns the bytes of each direction.
fn record(listener: &TcpListener, to: SocketAddr) -> (Vec<u8>, Vec<u8>) {
    let (near, far) = (listener.accept().unwrap().0, connect(to));
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            all.extend_from_slice(&buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        all
    };
    thread::scope(|scope| {
        let up = scope.spawn(|| pass(&near, &far));
        let down = pass(&far, &near);
        (up.join().unwrap(), down)
    })
}

#[test]
fn a_recorded_control_connection_shows_nothing_of_its_frames() {
    let sandbox = Sandbox::new();
    let run = Run::new(&sandbox, "ours.pem");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, tracker) = (proxy.local_addr().unwrap(), run.tracker.address);
    fs::write(sandbox.tracker_info(), format!("{address}\n")).unwrap();
    let (up, down) = thread::scope(|scope| {
        let recorded = scope.spawn(|| record(&proxy, tracker));
        assert_eq!(run.run_client().code, Some(0));
        recorded.join().unwrap()
    });
    run.wait();
    assert!(up.len() > 500 && down.len() > 500);
    assert_eq!((up[0], down[0]), (0x16, 0x16), "TLS from the first byte");
    for bytes in [up, down] {
        // The name of the client's file, and words of the frames.
        for word in ["secret-name", "hello", "reported", "4:type", "2:id"] {
            let found = bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes());
            assert!(!found, "{word} can be read");
        }
    }
}
