//! What somebody hears who records the line between two members: neither the file's name nor a byte of it.

use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const LENGTH: usize = 300_000;

/// A peer that listens at another address of this machine than the tracker tells others of.
fn hidden(service: &AccountTracker, name: &str, address: &str) -> Peer {
    let mut peer = service.sandbox.peer_at(address, name, &[]);
    peer.run(&format!("create_user {name}\npw"));
    peer.run(&format!("login {name}\npw"));
    peer
}

type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A peer that listens at another address than others look for it. Whoever stands there passes on and keeps what goes over
/// the line, one direction of a connection each.
fn recorded(service: &AccountTracker, name: &str, ip: &str, heard: &Heard) -> Peer {
    // The port that is free where everybody listens comes first: nobody else listens at the other address.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = hidden(service, name, &format!("{ip}:{port}"));
    let hidden = peer.process.address;
    let heard = Arc::clone(heard);
    // These threads end with the test's process, or with their connections.
    thread::spawn(move || {
        for near in listener.incoming() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(hidden)) else {
                continue;
            };
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            for (from, to) in [(near, far), back] {
                let heard = Arc::clone(&heard);
                thread::spawn(move || pass(from, to, &heard));
            }
        }
    });
    peer
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<Vec<u8>>>) {
    let at = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        heard.lock().unwrap()[at].extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    let first = part[0];
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    let mut starts = starts.map(|(at, _)| at);
    starts.any(|at| bytes[at..].starts_with(part))
}

#[test]
fn a_recorded_line_between_members_holds_neither_name_nor_content() {
    let service = AccountTracker::new();
    let heard = Heard::default();
    let mut nik = recorded(&service, "niklas", "127.0.0.2", &heard);
    let mut mayank = recorded(&service, "mayank", "127.0.0.3", &heard);
    nik.run("create_group laboratory");
    mayank.run("join_group laboratory");
    nik.run("accept_request laboratory mayank");
    let file = service.sandbox.file("secret-plans.bin", LENGTH, 1);
    let uploaded = nik.run(&format!("upload_file laboratory {}", quoted(&file)));
    mayank.run("download_file laboratory secret-plans.bin");
    mayank.run("wait");
    let content = fs::read(&file).unwrap();
    assert!(fs::read(service.sandbox.path("mayank/secret-plans.bin")).unwrap() == content);
    let heard = heard.lock().unwrap();
    let all: usize = heard.iter().map(Vec::len).sum();
    assert!(all > LENGTH, "all of it went by here: {all} bytes");
    let words = [
        "secret-plans",
        "laboratory",
        "niklas",
        "mayank",
        "BitTorrent",
    ];
    let mut secrets: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).to_vec();
    let samples = content
        .chunks(4096)
        .map(|chunk| chunk[..24.min(chunk.len())].to_vec());
    secrets.extend(samples);
    for bytes in heard.iter().filter(|bytes| !bytes.is_empty()) {
        assert_eq!(bytes[0], 0x16, "TLS from the first byte");
        for secret in &secrets {
            assert!(!holds(bytes, secret), "{} was heard", secret.escape_ascii());
        }
    }
    // This is what is heard: which swarm it is.
    let info_hash = uploaded["info_hash"].as_str().unwrap().as_bytes();
    assert!(heard.iter().any(|bytes| holds(bytes, info_hash)));
}
