//! Who gets nothing of a group's swarm: everybody who is no member by his certificate, whatever else he knows. Each is refused,
//! told nothing but why, and logged with the reason.

use crate::service::{Line, Service, User, create_user, group};
use crate::support::Peer;
use crate::team::{log_of, logged, peer, session, share, until, word};
use crate::wire::{BLOCK, Leech, Shown, answer, call, call_tls, certify, handshake, public_key};
use pieceful::certificate::{Authority, GroupAuthority};
use pieceful::wire::access::Ask;
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

/// A tracker, nik's peer that shares in the groups `lab` and `other` and openly, and mayank's session, who is a member of `lab` alone.
struct Scene {
    service: Service,
    nik: Peer,
    mayank: User,
    /// Info-hashes: of `lab`, of `other`, of everybody.
    shares: [String; 3],
    /// mayank's certificate that ended.
    expired: Shown,
    /// nik's certificate of `other`.
    foreign: Shown,
}

fn scene() -> Scene {
    // A certificate of the shortest day there is; later ones last.
    let service = Service::with(&["--certificate-life", "1"]);
    let [mut owner, mut member] = ["nik", "mayank"].map(|name| service.user(name));
    for made in ["lab", "other"] {
        owner.does(group(&format!("create_group {made}")));
    }
    member.does(group("join_group lab"));
    owner.does(group("accept_request lab mayank"));
    let (expired, _) = certify(&mut member, "lab");
    let end = now() + Duration::from_secs(2);
    let (sandbox, _) = service.stop_and_dump();
    let service = Service::with_data(sandbox, &["--interval", "1"]);
    let foreign = certify(&mut session(&service, "nik"), "other").0;
    let mut nik = peer(&service.sandbox, "nik", &[]);
    nik.run("login nik\npw of nik");
    let shares = ["upload_file lab", "upload_file other", "send"].map(|command| {
        let name = command.replace(' ', "-");
        let file = service.sandbox.file(&name, 100_000, name.len() as u64);
        let done = nik.run(&format!("{command} {}", word(&file)));
        done["info_hash"].as_str().unwrap().to_owned()
    });
    until(|| now() > end, || "the clock stands still".to_owned());
    let mayank = session(&service, "mayank");
    Scene {
        service,
        nik,
        mayank,
        shares,
        expired,
        foreign,
    }
}

/// A certificate with its key that has signed itself.
fn self_signed() -> Shown {
    let pem = GroupAuthority::generate("lab").unwrap().to_pem();
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    Shown {
        leaf: leaf.to_vec(),
        pkcs8: key.secret_pkcs8_der().to_vec(),
    }
}

/// What the cluster's key signs for a member of that name.
fn of_the_cluster(service: &Service) -> Shown {
    let pem = fs::read(service.sandbox.path("data/cluster.pem")).unwrap();
    assert!(Authority::from_pem(&pem).is_ok());
    let cluster = GroupAuthority::from_pem(&pem).unwrap();
    let (pkcs8, public) = public_key();
    let day = Duration::from_secs(86_400);
    let leaf = cluster.issue("mayank", &public, now(), day).unwrap();
    Shown { leaf, pkcs8 }
}

/// Calls over TLS with `name` as server name, asks for a swarm and a block; gives our address and all that is said.
fn over_tls(
    address: SocketAddr,
    name: &str,
    shown: Option<&Shown>,
    asked: &str,
) -> (SocketAddr, Vec<u8>) {
    let mut line = call_tls(address, name, shown);
    let local = line.sock.local_addr().unwrap();
    let _ = line.write_all(&handshake(asked, "stranger"));
    let _ = line.flush();
    (local, answer(&mut line))
}

/// The same without TLS.
fn plainly(address: SocketAddr, asked: &str) -> (SocketAddr, Vec<u8>) {
    let mut line = call(address);
    let local = line.local_addr().unwrap();
    line.write_all(&handshake(asked, "stranger")).unwrap();
    (local, answer(&mut line))
}

fn has_line(log: &Path, parts: &[&str]) -> bool {
    let text = fs::read_to_string(log).unwrap();
    text.lines()
        .any(|line| parts.iter().all(|part| line.contains(part)))
}

#[test]
fn who_is_no_member_by_certificate_gets_no_byte_and_is_logged() {
    let mut scene = scene();
    let address = scene.nik.process.address;
    let [lab, other, open] = &scene.shares;
    let (right, _) = certify(&mut scene.mayank, "lab");
    let unknown = lab.replace(|digit: char| digit.is_ascii_digit(), "a");
    let (own, cluster) = (self_signed(), of_the_cluster(&scene.service));
    let tls = |name: &str, shown, asked: &str| over_tls(address, name, shown, asked);
    let table = [
        (
            "no certificate",
            "the other side shows no certificate",
            tls(lab, None, lab),
        ),
        (
            "another group's",
            "it is signed by another authority",
            tls(lab, Some(&scene.foreign), lab),
        ),
        (
            "one that has ended",
            "it held until",
            tls(lab, Some(&scene.expired), lab),
        ),
        (
            "a self-signed one",
            "it is self-signed",
            tls(lab, Some(&own), lab),
        ),
        (
            "one of the cluster",
            "it is signed by a cluster of trackers",
            tls(lab, Some(&cluster), lab),
        ),
        (
            "a member that names a swarm unknown here",
            "which no group has here",
            tls(&unknown, Some(&right), lab),
        ),
        (
            "a member that names another group's swarm",
            "it is signed by another authority",
            tls(other, Some(&right), lab),
        ),
        (
            "a member that asks for another swarm than it named",
            "refused: called for",
            tls(lab, Some(&right), other),
        ),
        (
            "a member that names an open swarm",
            "which no group has here",
            tls(open, Some(&right), open),
        ),
        (
            "plain BEP 3 to a group's swarm",
            "which is not served here",
            plainly(address, lab),
        ),
        (
            "plain BEP 3 to another group's swarm",
            "which is not served here",
            plainly(address, other),
        ),
    ];
    let log = log_of(&scene.service.sandbox, "nik");
    // Whatever was said before has been logged once this one is.
    let (last, _) = plainly(address, &unknown);
    logged(&log, &[&format!("{last}: "), "is not served here"]);
    let mut wrong: Vec<String> = Vec::new();
    for (what, reason, (local, said)) in &table {
        if !said.is_empty() {
            wrong.push(format!("{what} got {} bytes", said.len()));
        }
        // Not by a sleep: what ends the line is logged around that moment.
        let (from, start) = (format!("{local}"), std::time::Instant::now());
        while !has_line(&log, &[&from, reason]) {
            if start.elapsed() > Duration::from_secs(5) {
                wrong.push(format!("{what} is not logged as {reason:?}"));
                break;
            }
            std::thread::yield_now();
        }
    }
    let status = share(&mut scene.nik, "upload_file-lab");
    if status["uploaded"] != 0 || status["peers"] != 0 {
        wrong.push(status.to_string());
    }
    assert_eq!(wrong, Vec::<String>::new());
    // All of it right, and it is served: nothing else kept those out.
    let line = call_tls(address, lab, Some(&right));
    let mut leech = Leech::greet(line, lab, "member").unwrap();
    assert_eq!(leech.fetch(0, 0, BLOCK as u32).unwrap().len(), BLOCK);
    let mut leech = Leech::greet(call(address), open, "anybody").unwrap();
    assert_eq!(leech.fetch(0, 0, BLOCK as u32).unwrap().len(), BLOCK);
}

#[test]
fn whoever_is_removed_loses_its_links_and_gets_no_new_one_though_its_certificate_holds() {
    let mut scene = scene();
    let address = scene.nik.process.address;
    let lab = scene.shares[0].clone();
    let (shown, _) = certify(&mut scene.mayank, "lab");
    let line = call_tls(address, &lab, Some(&shown));
    let mut leech = Leech::greet(line, &lab, "mayank").unwrap();
    assert!(leech.fetch(0, 0, BLOCK as u32).is_some());
    scene.nik.run("remove_member lab mayank");
    // The link ends by itself, once the peer hears of it.
    until(
        || leech.fetch(0, 0, BLOCK as u32).is_none(),
        || "the link goes on".to_owned(),
    );
    let log = log_of(&scene.service.sandbox, "nik");
    logged(&log, &["ended: mayank is no longer a member of the group"]);
    let (local, said) = over_tls(address, &lab, Some(&shown), &lab);
    assert_eq!(said, b"");
    logged(
        &log,
        &[&format!("{local}: refused: mayank is no member any more")],
    );
    // Neither a new certificate nor an address.
    let refused = scene.mayank.ask(Ask::ListFiles {
        group: "lab".parse().unwrap(),
        after: None,
    });
    assert_eq!(refused.unwrap_err().kind.as_str(), "not-a-member");
}

#[test]
fn a_link_ends_with_its_certificate() {
    let service = Service::with(&["--certificate-life", "4", "--interval", "1"]);
    let mut line: Line = service.line();
    line.ask(None, create_user("nik")).unwrap();
    let mut nik = peer(&service.sandbox, "nik", &[]);
    nik.run("login nik\npw of nik");
    nik.run("create_group lab");
    let mut mayank = service.user("mayank");
    mayank.does(group("join_group lab"));
    nik.run("accept_request lab mayank");
    let file = service.sandbox.file("gift", 100_000, 1);
    let lab = nik.run(&format!("upload_file lab {}", word(&file)));
    let lab = lab["info_hash"].as_str().unwrap();
    let greet = |shown: &Shown| {
        let line = call_tls(nik.process.address, lab, Some(shown));
        Leech::greet(line, lab, "mayank")
    };
    let (mut leech, mut shown) = (None, None);
    // Where the machine stands still for longer than a certificate holds, once more.
    until(
        || {
            let (fresh, _) = certify(&mut mayank, "lab");
            leech = greet(&fresh);
            shown = Some(fresh);
            leech.is_some()
        },
        || "no link".to_owned(),
    );
    let mut leech = leech.unwrap();
    until(
        || leech.fetch(0, 0, BLOCK as u32).is_none(),
        || "the link goes on".to_owned(),
    );
    let log = log_of(&service.sandbox, "nik");
    logged(&log, &["ended: the certificate of mayank has expired"]);
    // It holds through its last second.
    let shown = shown.unwrap();
    until(|| greet(&shown).is_none(), || "it never ends".to_owned());
    logged(&log, &["refused: ", "it held until"]);
    // nik's own is renewed in time, so that he goes on serving.
    until(
        || {
            let (fresh, _) = certify(&mut mayank, "lab");
            greet(&fresh).is_some()
        },
        || "no link with a new certificate".to_owned(),
    );
}
