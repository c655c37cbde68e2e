//! What an eavesdropper and other users of the machine see: nothing that is anybody's secret.

use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes connections on to a tracker and keeps what went over them, both ways.
struct Recorder {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    fn start(tracker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::default();
        let recorder = Self {
            address,
            heard: Arc::clone(&heard),
        };
        // These threads end with the test's process, or with their connections.
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(tracker).unwrap());
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                for (from, to) in [(near, far), back] {
                    let heard = Arc::clone(&heard);
                    thread::spawn(move || pass(from, to, &heard));
                }
            }
        });
        recorder
    }

    /// What was heard, one direction of a connection each.
    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<Vec<u8>>>) {
    let at = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        heard.lock().unwrap()[at].extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_recorded_tour_holds_no_password_no_token_and_no_group_name() {
    let service = AccountTracker::new();
    let recorder = Recorder::start(service.address());
    fs::write(
        service.sandbox.tracker_info(),
        format!("{}\n", recorder.address),
    )
    .unwrap();
    let [mut nik, mut mayank]: [Peer; 2] = ["nik", "mayank"].map(|name| {
        let mut peer = service.sandbox.peer(name);
        peer.run(&format!("create_user {name} password-of-{name}"));
        peer.run(&format!("login {name} password-of-{name}"));
        peer
    });
    nik.run("create_group laboratory");
    mayank.run("join_group laboratory");
    nik.run("list_requests laboratory");
    nik.run("accept_request laboratory mayank");
    mayank.run("list_groups");
    mayank.run("list_members laboratory");
    let mut secrets = vec![service.token("nik"), service.token("mayank")];
    nik.run("change_password password-of-nik password-new");
    nik.run("remove_member laboratory mayank");
    secrets.push(service.token("nik"));
    nik.run("leave_group laboratory --yes");
    mayank.run("logout");
    let words = [
        "password-of-nik",
        "password-of-mayank",
        "password-new",
        "laboratory",
        "mayank",
        "accept_request",
    ];
    secrets.extend(words.map(|word| word.as_bytes().to_vec()));
    let heard = recorder.heard();
    assert!(heard.len() >= 4, "both peers, both ways");
    for bytes in &heard {
        assert!(
            bytes.len() > 500 && bytes[0] == 0x16,
            "TLS from the first byte"
        );
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{:?} was heard", String::from_utf8_lossy(secret));
        }
    }
}

#[test]
fn files_that_hold_secrets_are_their_owners_alone() {
    let service = AccountTracker::new();
    let mut peer = service.sandbox.peer("nik");
    peer.run("create_user nik pw");
    peer.run("login nik pw");
    let data = service.sandbox.path("data");
    let registry = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let registry = registry
        .filter(|path| path.extension().is_some_and(|ending| ending == "redb"))
        .collect::<Vec<_>>();
    assert_eq!(registry.len(), 1, "{registry:?}");
    for path in [
        data.join("cluster.pem"),
        service.sandbox.path("nik.state/session"),
        registry[0].clone(),
    ] {
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn what_a_log_tells_is_who_did_what_from_where() {
    let service = AccountTracker::new();
    let [mut nik, mut uma]: [Peer; 2] = ["nik", "uma"].map(|name| {
        let mut peer = service.sandbox.peer(name);
        peer.run(&format!("create_user {name} password-of-{name}"));
        peer.run(&format!("login {name} password-of-{name}"));
        peer
    });
    nik.run("create_group lab");
    uma.run("join_group lab");
    nik.run("reject_request lab uma");
    uma.run("join_group lab");
    nik.run("accept_request lab uma");
    nik.run("remove_member lab uma");
    nik.run("change_password password-of-nik another");
    nik.run("leave_group lab --yes");
    nik.run("logout");
    let log = service.sandbox.path("data/tracker.log");
    let log = fs::read_to_string(log).unwrap();
    for told in [
        "user nik is made from 127.0.0.1",
        "nik at 127.0.0.1 logs in",
        "nik at 127.0.0.1 makes group lab",
        "uma at 127.0.0.1 asks to join lab",
        "nik at 127.0.0.1 rejects uma for lab",
        "nik at 127.0.0.1 accepts uma into lab",
        "nik at 127.0.0.1 removes uma from lab",
        "nik at 127.0.0.1 changes the password",
        "nik at 127.0.0.1 leaves lab",
        "nik at 127.0.0.1 logs out",
    ] {
        assert!(
            log.lines().any(|line| line.ends_with(told)),
            "{told}: {log}"
        );
    }
}
