//! `export_torrent`: the files that it writes and replaces, and who may use it.

use super::team::{logged_in_peer, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use pieceful::certificate::{GroupCertificate, MemberKey, Use};
use pieceful::torrent::Metainfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Waits until the trackers know that the share of the group `lab` has one seed.
fn wait_for_one_seed(peer: &mut Peer) {
    wait_until("the share has a seed", || {
        peer.run("list_files lab")["files"][0]["complete"] == 1
    });
}

/// The folder has the torrent of an export, so an export replaces files. Each other file must be of
/// an export too.
fn assert_other_files_are_not_replaced(peer: &mut Peer, export: &str, folder: &Path) {
    let read = |kind: &str| fs::read(folder.join(format!("gift.{kind}"))).unwrap();
    let exported = ["torrent", "crt", "key", "dh"].map(|kind| (kind, read(kind)));
    let foreign_key = MemberKey::generate().unwrap().to_pem();
    for (kind, foreign) in [
        ("key", foreign_key.as_str()),
        ("key", "a letter"),
        ("crt", foreign_key.as_str()),
        ("dh", "other parameters"),
    ] {
        let path = folder.join(format!("gift.{kind}"));
        let own = fs::read(&path).unwrap();
        fs::write(&path, foreign).unwrap();
        peer.assert_refused(export, "file", "is of no earlier export of this share");
        assert_eq!(fs::read(&path).unwrap(), foreign.as_bytes());
        fs::write(&path, own).unwrap();
        for (kind, bytes) in &exported {
            assert_eq!(read(kind), *bytes, "{kind} was replaced");
        }
    }
    // A key without its certificate may be anybody's.
    fs::remove_file(folder.join("gift.crt")).unwrap();
    peer.assert_refused(export, "file", "gift.key");
    // A failure can leave a certificate without its key, which is no reason to refuse.
    fs::write(folder.join("gift.crt"), &exported[1].1).unwrap();
    fs::remove_file(folder.join("gift.key")).unwrap();
    peer.run(export);
    assert!(folder.join("gift.key").exists());
}

#[test]
fn an_export_has_a_new_key_with_a_certificate_and_replaces_only_its_own_files() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let file = tracker.sandbox.file("gift", 100_000, 1);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    wait_for_one_seed(&mut mayank);
    let folder = tracker.sandbox.folder("exported");
    let export = format!("export_torrent lab gift {}", quoted(&folder));
    let exported = mayank.run(&export);
    let expected = ["gift.crt", "gift.dh", "gift.key", "gift.torrent"];
    assert!(names(&folder).iter().eq(expected), "{exported}");
    assert_eq!(exported["peers"][0], nik.process.address.to_string());
    let listed = mayank.run("list_files lab");
    assert_eq!(listed["files"][0]["partial"], 0, "the export is no peer");
    let torrent = Metainfo::parse(&fs::read(folder.join("gift.torrent")).unwrap()).unwrap();
    let pem = fs::read(folder.join("gift.crt")).unwrap();
    let leaf = CertificateDer::from_pem_slice(&pem).unwrap();
    let group = torrent.info().ssl_cert().unwrap();
    let group = GroupCertificate::from_pem(group.as_bytes()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let member = group.check(&leaf, Use::Client, now.unwrap()).unwrap();
    assert_eq!(member.user, "mayank");
    let end = member.validity.not_after.to_string();
    let valid_until = exported["valid_until"].as_str().unwrap();
    assert_eq!(valid_until.replace('T', " ").replace('Z', " UTC"), end);
    let key = fs::read(folder.join("gift.key")).unwrap();
    let permissions = fs::metadata(folder.join("gift.key")).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    // The next export replaces the files.
    mayank.run(&export);
    assert_ne!(fs::read(folder.join("gift.key")).unwrap(), key);
    assert_other_files_are_not_replaced(&mut mayank, &export, &folder);
    // Other files are not replaced, and then nothing is written.
    fs::remove_file(folder.join("gift.torrent")).unwrap();
    let key = fs::read(folder.join("gift.key")).unwrap();
    mayank.assert_refused(&export, "file", "is of no earlier export of this share");
    assert_eq!(fs::read(folder.join("gift.key")).unwrap(), key);
    assert!(!folder.join("gift.torrent").exists());
    fs::write(folder.join("gift.torrent"), "a letter").unwrap();
    mayank.assert_refused(&export, "file", "gift.torrent");
    let missing = format!("export_torrent lab gift {}", quoted(&folder.join("no")));
    mayank.assert_refused(&missing, "file", "its folder does not exist");
    let nothing = export.replace(" gift ", " nothing ");
    mayank.assert_refused(&nothing, "unknown-share", "nothing");
    let mut kim = logged_in_peer(&tracker, "kim", &[]);
    kim.assert_refused(&export, "not-a-member", "");
}
