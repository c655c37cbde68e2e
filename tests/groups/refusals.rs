//! Callers that may not have the shares of a group: the peer sends them nothing of a swarm and logs
//! the reason.

use super::fake_member::{
    BLOCK, FakeLeech, MemberIdentity, call, call_tls, certify, first_bytes, generate_key_pair,
    handshake,
};
use super::team::{second_login, share_in_status};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, create_user_request, group_request,
};
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use pieceful::certificate::{AccountId, Authority, GroupAuthority};
use pieceful::wire::access::AccessRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

/// nik's peer shares in the groups `lab` and `other` and in an open swarm. mayank is a member of
/// `lab` alone.
struct TwoGroups {
    tracker: AccountTracker,
    nik: Peer,
    mayank: User,
    /// The info-hashes of the shares of `lab`, of `other` and of the open swarm.
    shares: [String; 3],
    /// A certificate of mayank that has expired.
    expired: MemberIdentity,
    /// nik's certificate for `other`.
    foreign: MemberIdentity,
}

fn set_up() -> TwoGroups {
    // The first certificate is valid for one second. Later ones are valid for the usual time.
    let tracker = AccountTracker::with(&["--certificate-life", "1"]);
    let [mut owner, mut member] = ["nik", "mayank"].map(|name| tracker.user(name));
    for group in ["lab", "other"] {
        owner.perform(group_request(&format!("create_group {group}")));
    }
    member.perform(group_request("join_group lab"));
    owner.perform(group_request("accept_request lab mayank"));
    let (expired, _) = certify(&mut member, "lab");
    let end = now() + Duration::from_secs(2);
    let (sandbox, _) = tracker.stop_and_dump();
    let tracker = AccountTracker::with_data(sandbox, &["--interval", "1"]);
    let foreign = certify(&mut second_login(&tracker, "nik"), "other").0;
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    nik.run("login nik\npw of nik");
    let shares = ["upload_file lab", "upload_file other", "send"].map(|command| {
        let name = command.replace(' ', "-");
        let file = tracker.sandbox.file(&name, 100_000, name.len() as u64);
        let done = nik.run(&format!("{command} {}", quoted(&file)));
        done["info_hash"].as_str().unwrap().to_owned()
    });
    wait_until("the certificate has expired", || now() > end);
    let mayank = second_login(&tracker, "mayank");
    TwoGroups {
        tracker,
        nik,
        mayank,
        shares,
        expired,
        foreign,
    }
}

/// A self-signed certificate.
fn self_signed() -> MemberIdentity {
    let pem = GroupAuthority::generate("lab").unwrap().to_pem();
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    MemberIdentity {
        leaf: leaf.to_vec(),
        pkcs8: key.secret_pkcs8_der().to_vec(),
    }
}

/// A certificate for mayank that the key of the cluster has signed.
fn issued_by_cluster(tracker: &AccountTracker) -> MemberIdentity {
    let pem = fs::read(tracker.sandbox.path("data/cluster.pem")).unwrap();
    assert!(Authority::from_pem(&pem).is_ok());
    let cluster = GroupAuthority::from_pem(&pem).unwrap();
    let (pkcs8, public) = generate_key_pair();
    let day = Duration::from_secs(86_400);
    let account = AccountId::of_name("mayank");
    let leaf = cluster
        .issue("mayank", account, &public, now(), day)
        .unwrap();
    MemberIdentity { leaf, pkcs8 }
}

/// Connects over TLS with the server name `name` and asks for the swarm `requested`. Returns our
/// address and the answer.
fn ask_over_tls(
    address: SocketAddr,
    name: &str,
    identity: Option<&MemberIdentity>,
    requested: &str,
) -> (SocketAddr, Vec<u8>) {
    let mut connection = call_tls(address, name, identity);
    let local = connection.sock.local_addr().unwrap();
    let _ = connection.write_all(&handshake(requested, "stranger"));
    let _ = connection.flush();
    (local, first_bytes(&mut connection))
}

/// Like [`ask_over_tls`], without TLS.
fn ask_over_tcp(address: SocketAddr, requested: &str) -> (SocketAddr, Vec<u8>) {
    let mut connection = call(address);
    let local = connection.local_addr().unwrap();
    connection
        .write_all(&handshake(requested, "stranger"))
        .unwrap();
    (local, first_bytes(&mut connection))
}

fn has_line(log: &Path, parts: &[&str]) -> bool {
    let text = fs::read_to_string(log).unwrap();
    text.lines()
        .any(|line| parts.iter().all(|part| line.contains(part)))
}

/// A caller, what the log must say about it, and its address with the bytes that it received.
type RefusedCall = (&'static str, &'static str, (SocketAddr, Vec<u8>));

/// Calls in every way that must be refused. `valid` is a valid certificate for `lab`.
fn refused_calls(scene: &TwoGroups, valid: &MemberIdentity, unknown: &str) -> Vec<RefusedCall> {
    let address = scene.nik.process.address;
    let [lab, other, open] = &scene.shares;
    let (self_signed, by_cluster) = (self_signed(), issued_by_cluster(&scene.tracker));
    let tls =
        |name: &str, identity, requested: &str| ask_over_tls(address, name, identity, requested);
    vec![
        (
            "no certificate",
            "the other side shows no certificate",
            tls(lab, None, lab),
        ),
        (
            "another group's certificate",
            "it is signed by another authority",
            tls(lab, Some(&scene.foreign), lab),
        ),
        (
            "an expired certificate",
            "it expired on",
            tls(lab, Some(&scene.expired), lab),
        ),
        (
            "a self-signed certificate",
            "it is self-signed",
            tls(lab, Some(&self_signed), lab),
        ),
        (
            "a certificate of the cluster",
            "it is signed by a cluster of trackers",
            tls(lab, Some(&by_cluster), lab),
        ),
        (
            "a member that names a swarm unknown here",
            "which no group of this peer has",
            tls(unknown, Some(valid), lab),
        ),
        (
            "a member that names another group's swarm",
            "it is signed by another authority",
            tls(other, Some(valid), lab),
        ),
        (
            "a member that asks for another swarm than it named",
            "refused: it named",
            tls(lab, Some(valid), other),
        ),
        (
            "a member that names an open swarm",
            "which no group of this peer has",
            tls(open, Some(valid), open),
        ),
        (
            "plain BEP 3 to a group's swarm",
            "which is not served here",
            ask_over_tcp(address, lab),
        ),
        (
            "plain BEP 3 to another group's swarm",
            "which is not served here",
            ask_over_tcp(address, other),
        ),
    ]
}

/// The calls that got an answer or are not in the log with their reason.
fn wrong_calls(calls: &[RefusedCall], log: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, reason, (local, answer)) in calls {
        if !answer.is_empty() {
            wrong.push(format!("{what} got {} bytes", answer.len()));
        }
        // The peer may write the log line a little after the end of the connection.
        let (from, start) = (format!("{local}"), std::time::Instant::now());
        while !has_line(log, &[&from, reason]) {
            if start.elapsed() > Duration::from_secs(5) {
                wrong.push(format!("{what} is not logged as {reason:?}"));
                break;
            }
            std::thread::yield_now();
        }
    }
    wrong
}

#[test]
fn refused_callers_get_no_byte_and_are_logged() {
    let mut scene = set_up();
    let address = scene.nik.process.address;
    let (valid, _) = certify(&mut scene.mayank, "lab");
    let [lab, _, open] = scene.shares.clone();
    let unknown = lab.replace(|digit: char| digit.is_ascii_digit(), "a");
    let calls = refused_calls(&scene, &valid, &unknown);
    let log = scene.tracker.sandbox.log("nik");
    // When this last call is in the log, most lines of the earlier calls are there too.
    let (last, _) = ask_over_tcp(address, &unknown);
    wait_for_log_line(&log, &[&format!("{last}: "), "is not served here"]);
    let mut wrong = wrong_calls(&calls, &log);
    let status = share_in_status(&mut scene.nik, "upload_file-lab");
    if status["uploaded"] != 0 || status["peers"] != 0 {
        wrong.push(status.to_string());
    }
    assert_eq!(wrong, Vec::<String>::new());
    // A call with a valid certificate is served.
    let connection = call_tls(address, &lab, Some(&valid));
    let mut leech = FakeLeech::greet(connection, &lab, "member").unwrap();
    assert_eq!(leech.fetch(0, 0, BLOCK as u32).unwrap().len(), BLOCK);
    let mut leech = FakeLeech::greet(call(address), &open, "anybody").unwrap();
    assert_eq!(leech.fetch(0, 0, BLOCK as u32).unwrap().len(), BLOCK);
}

#[test]
fn a_removed_member_loses_its_links_and_gets_no_new_one_although_its_certificate_is_valid() {
    let mut scene = set_up();
    let address = scene.nik.process.address;
    let lab = scene.shares[0].clone();
    let (identity, _) = certify(&mut scene.mayank, "lab");
    let connection = call_tls(address, &lab, Some(&identity));
    let mut leech = FakeLeech::greet(connection, &lab, "mayank").unwrap();
    assert!(leech.fetch(0, 0, BLOCK as u32).is_some());
    scene.nik.run("remove_member lab mayank");
    // The link ends when nik's peer learns from the tracker that mayank is no longer a member.
    wait_until("the link ends", || {
        leech.fetch(0, 0, BLOCK as u32).is_none()
    });
    let log = scene.tracker.sandbox.log("nik");
    wait_for_log_line(&log, &["ended: mayank is no longer a member of the group"]);
    let (local, answer) = ask_over_tls(address, &lab, Some(&identity), &lab);
    assert_eq!(answer, b"");
    wait_for_log_line(
        &log,
        &[&format!("{local}: refused: mayank is no member any more")],
    );
    // The tracker does not show mayank the catalogue any more.
    let refused = scene.mayank.ask(AccessRequest::ListFiles {
        group: "lab".parse().unwrap(),
        versions: false,
        after: None,
    });
    assert_eq!(refused.unwrap_err().kind.as_str(), "not-a-member");
}

#[test]
fn a_link_ends_when_its_certificate_expires() {
    let tracker = AccountTracker::with(&["--certificate-life", "4", "--interval", "1"]);
    let mut connection: ControlConnection = tracker.connect();
    connection.ask(None, create_user_request("nik")).unwrap();
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    nik.run("login nik\npw of nik");
    nik.run("create_group lab");
    let mut mayank = tracker.user("mayank");
    mayank.perform(group_request("join_group lab"));
    nik.run("accept_request lab mayank");
    let file = tracker.sandbox.file("gift", 100_000, 1);
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&file)));
    let info_hash = uploaded["info_hash"].as_str().unwrap();
    let greet = |identity: &MemberIdentity| {
        let connection = call_tls(nik.process.address, info_hash, Some(identity));
        FakeLeech::greet(connection, info_hash, "mayank")
    };
    let (mut leech, mut identity) = (None, None);
    // On a slow machine a certificate may expire before its use: then the test tries a new one.
    wait_until("a link is made", || {
        let (fresh, _) = certify(&mut mayank, "lab");
        leech = greet(&fresh);
        identity = Some(fresh);
        leech.is_some()
    });
    let mut leech = leech.unwrap();
    wait_until("the link ends", || {
        leech.fetch(0, 0, BLOCK as u32).is_none()
    });
    let log = tracker.sandbox.log("nik");
    wait_for_log_line(&log, &["ended: the certificate of mayank has expired"]);
    // A certificate is valid until the end of its last second.
    let identity = identity.unwrap();
    wait_until("the certificate is refused", || greet(&identity).is_none());
    wait_for_log_line(&log, &["refused: ", "it expired on"]);
    // nik's peer renews its own certificate in time and goes on serving.
    wait_until("a link with a new certificate is made", || {
        let (fresh, _) = certify(&mut mayank, "lab");
        greet(&fresh).is_some()
    });
}
