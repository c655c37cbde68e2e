//! Shares whose files change or vanish: the peer sends no wrong byte, it is no longer listed as a
//! seed, `status` shows the reason, and the share is served again when the files are back.

use super::fake_member::{BLOCK, Connection, FakeLeech, call, call_tls, certify};
use super::team::{catalogue_entry, second_login, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::bytes;
use crate::common::waiting::{wait_for, wait_until};
use pieceful::torrent::InfoHash;
use pieceful::wire::access::{AccessAnswer, AccessRequest};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

const PIECE: usize = 512 << 10;
const LENGTH: usize = 3 * PIECE + 12_345;

/// A change to a file that can be undone.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// Other bytes inside the file.
    InPlace,
    Cut,
    /// Another file under the same name.
    Replaced,
    Deleted,
}

impl Harm {
    fn apply(self, file: &Path) {
        let open = || File::options().write(true).open(file).unwrap();
        match self {
            Self::InPlace => open().write_all_at(&[0xff; 3 * BLOCK], 100_000).unwrap(),
            Self::Cut => open().set_len(50_000).unwrap(),
            Self::Replaced => {
                fs::hard_link(file, aside(file)).unwrap();
                let new = file.with_extension("new");
                fs::write(&new, vec![0xff; fs::metadata(file).unwrap().len() as usize]).unwrap();
                fs::rename(new, file).unwrap();
            }
            Self::Deleted => {
                fs::hard_link(file, aside(file)).unwrap();
                fs::remove_file(file).unwrap();
            }
        }
    }

    fn undo(self, file: &Path, content: &[u8]) {
        match self {
            Self::InPlace | Self::Cut => fs::write(file, content).unwrap(),
            Self::Replaced | Self::Deleted => fs::rename(aside(file), file).unwrap(),
        }
    }
}

fn aside(file: &Path) -> PathBuf {
    file.with_extension("aside")
}

/// A share and the file in it that is harmed.
struct HarmedShare {
    info_hash: String,
    name: &'static str,
    path: PathBuf,
    content: Vec<u8>,
    harmed: PathBuf,
    /// The offset of the harmed file in the content.
    offset: usize,
}

impl HarmedShare {
    /// A share of one file, or of a folder with two files.
    fn new(tracker: &AccountTracker, name: &'static str, is_folder: bool) -> Self {
        let (content, path) = (bytes(LENGTH, 7), tracker.sandbox.path(name));
        let (harmed, offset) = if is_folder {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("a"), &content[..BLOCK]).unwrap();
            (path.join("b"), BLOCK)
        } else {
            (path.clone(), 0)
        };
        fs::write(&harmed, &content[offset..]).unwrap();
        Self {
            info_hash: String::new(),
            name,
            path,
            content,
            harmed,
            offset,
        }
    }

    /// Fetches a block, harms the file, and fetches blocks until the link ends. No byte may be
    /// wrong.
    fn harm_and_fetch_until_end<B: Connection>(&self, leech: &mut FakeLeech<B>, harm: Harm) {
        self.fetch(leech, 0).expect("the share is served");
        harm.apply(&self.harmed);
        let mut block = 1;
        let mut ends = || {
            let end = self.fetch(leech, block).is_none();
            block = block % (LENGTH / BLOCK) + 1;
            end
        };
        wait_for(
            || ends().then_some(()),
            || format!("{harm:?} is not noticed"),
        );
    }

    fn fetch<B: Connection>(&self, leech: &mut FakeLeech<B>, block: usize) -> Option<()> {
        let start = block * BLOCK;
        let length = BLOCK.min(LENGTH - start);
        let (piece, begin) = (start / PIECE, start % PIECE);
        let received = leech.fetch(piece as u32, begin as u32, length as u32)?;
        assert!(
            received == self.content[start..start + length],
            "wrong bytes of block {block}"
        );
        Some(())
    }

    /// Waits until `status` shows the trouble of the share. Asserts that the trouble names the
    /// harmed file or the path of the share.
    fn wait_for_trouble(&self, peer: &mut Peer) {
        let mut trouble = Value::Null;
        wait_until("status shows trouble", || {
            trouble = share_in_status(peer, self.name)["trouble"].clone();
            !trouble.is_null()
        });
        let trouble = trouble.as_str().unwrap().to_owned();
        let harmed = self.harmed.display().to_string();
        assert!(
            trouble.contains(&harmed) || trouble.contains(&self.path.display().to_string()),
            "{trouble}"
        );
    }

    /// Waits until the share is served again.
    fn wait_until_served(&self, peer: &mut Peer) {
        wait_until("the share is served again", || {
            share_in_status(peer, self.name)["trouble"].is_null()
        });
    }
}

/// Each harm, and whether the share is a folder.
const HARMS: [(Harm, bool); 5] = [
    (Harm::InPlace, false),
    (Harm::Cut, false),
    (Harm::Replaced, false),
    (Harm::Deleted, false),
    (Harm::InPlace, true),
];

/// Runs the test for each harm at the same time, because most of the time is waiting.
fn for_each_harm(test: impl Fn(Harm, bool) + Sync) {
    thread::scope(|scope| {
        for (harm, is_folder) in HARMS {
            let test = &test;
            scope.spawn(move || test(harm, is_folder));
        }
    });
}

#[test]
fn an_open_share_is_served_only_while_its_files_are_unchanged() {
    for_each_harm(|harm, is_folder| {
        let tracker = AccountTracker::new();
        let mut shared = HarmedShare::new(&tracker, "open", is_folder);
        let mut seed = tracker.sandbox.debug_peer("seed", &[]);
        let sent = seed.run(&format!("send {} x.torrent", quoted(&shared.path)));
        shared.info_hash = sent["info_hash"].as_str().unwrap().to_owned();
        let address = seed.process.address;
        let connect = || FakeLeech::greet(call(address), &shared.info_hash, "leech");
        let mut leech = connect().unwrap();
        shared.harm_and_fetch_until_end(&mut leech, harm);
        shared.wait_for_trouble(&mut seed);
        assert!(connect().is_none(), "{harm:?}: the link was not refused");
        harm.undo(&shared.harmed, &shared.content[shared.offset..]);
        shared.wait_until_served(&mut seed);
        let mut leech = connect().unwrap();
        shared
            .fetch(&mut leech, 8)
            .expect("the share is served again");
    });
}

#[test]
fn a_group_share_is_served_only_while_its_files_are_unchanged() {
    for_each_harm(|harm, is_folder| {
        let tracker = AccountTracker::new();
        let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
        let mut shared = HarmedShare::new(&tracker, "gift", is_folder);
        let uploaded = nik.run(&format!("upload_file lab {}", quoted(&shared.path)));
        shared.info_hash = uploaded["info_hash"].as_str().unwrap().to_owned();
        let complete = |peer: &mut Peer| catalogue_entry(peer, "gift")["complete"].clone();
        wait_until("the share has a seed", || complete(&mut mayank) == 1);
        let (identity, _) = certify(&mut second_login(&tracker, "mayank"), "lab");
        let address = nik.process.address;
        let connect = || {
            let connection = call_tls(address, &shared.info_hash, Some(&identity));
            FakeLeech::greet(connection, &shared.info_hash, "leech")
        };
        let mut leech = connect().unwrap();
        shared.harm_and_fetch_until_end(&mut leech, harm);
        shared.wait_for_trouble(&mut nik);
        assert!(connect().is_none(), "{harm:?}: the link was not refused");
        wait_until("the share has no seed", || complete(&mut mayank) == 0);
        harm.undo(&shared.harmed, &shared.content[shared.offset..]);
        shared.wait_until_served(&mut nik);
        let mut leech = connect().unwrap();
        shared
            .fetch(&mut leech, 8)
            .expect("the share is served again");
        wait_until("the share has a seed again", || complete(&mut mayank) == 1);
    });
}

#[test]
fn a_download_waits_until_the_files_of_its_seed_are_back() {
    let tracker = AccountTracker::new();
    let [mut nik, _] = team(&tracker, ["nik", "uma"]);
    let path = tracker.sandbox.file("gift", 8 << 20, 3);
    nik.run(&format!("upload_file lab {}", quoted(&path)));
    let mut mayank = super::team::logged_in_peer(&tracker, "mayank", &["--down", "4M"]);
    super::team::join(&mut nik, &mut mayank, "mayank");
    mayank.run("download_file lab gift copy");
    mayank.wait_for_download("gift", |download| {
        download["bytes_done"].as_u64().unwrap() >= 1 << 20
    });
    let content = fs::read(&path).unwrap();
    Harm::InPlace.apply(&path);
    wait_until("status shows trouble", || {
        !share_in_status(&mut nik, "gift")["trouble"].is_null()
    });
    fs::write(&path, &content).unwrap();
    mayank.run("wait 50");
    assert!(fs::read(tracker.sandbox.path("mayank/copy")).unwrap() == content);
    let log = fs::read_to_string(tracker.sandbox.log("mayank")).unwrap();
    assert!(!log.contains("not verify"), "a bad piece came: {log}");
}

#[test]
fn a_download_of_a_member_shows_that_the_owner_s_files_have_changed() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let path = tracker.sandbox.file("gift", LENGTH, 7);
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&path)));
    let original = fs::read(&path).unwrap();
    Harm::InPlace.apply(&path);
    wait_until("the publisher notices it", || {
        !share_in_status(&mut nik, "gift")["trouble"].is_null()
    });
    mayank.run("download_file lab gift copy");
    mayank.wait_for_download("gift", |download| {
        download["trouble"] == "the owner's files have changed"
    });
    // Only the publisher can report that a share has changed, and only members learn of it.
    let info_hash = uploaded["info_hash"].as_str().unwrap();
    let info_hash = InfoHash(pieceful::base::hex::read(info_hash).unwrap());
    let ask = |changed: Vec<InfoHash>| AccessRequest::ChangedShares {
        group: "lab".parse().unwrap(),
        changed,
    };
    let mut member = second_login(&tracker, "mayank");
    let reported = Ok(AccessAnswer::ChangedShares(vec![info_hash]));
    assert_eq!(member.ask(ask(Vec::new())), reported);
    let mut stranger = tracker.user("eve");
    let refused = stranger.ask(ask(vec![info_hash])).unwrap_err();
    assert_eq!(refused.kind.as_str(), "not-a-member");
    fs::write(&path, &original).unwrap();
    mayank.wait_for_state("gift", "complete");
    wait_until("the report expires although a member repeats it", || {
        member.ask(ask(vec![info_hash])) == Ok(AccessAnswer::ChangedShares(Vec::new()))
    });
}

/// Lets a peer share `gift` with `lab`, then ends the peer. Returns the path of the file.
fn share_and_stop(tracker: &AccountTracker) -> PathBuf {
    let [mut nik] = team(tracker, ["nik"]);
    let path = tracker.sandbox.file("gift", LENGTH, 7);
    nik.run(&format!("upload_file lab {}", quoted(&path)));
    nik.process.close_stdin();
    assert!(nik.process.wait().0.success());
    path
}

#[test]
fn after_a_restart_a_changed_file_is_checked_and_not_served() {
    let tracker = AccountTracker::new();
    let path = share_and_stop(&tracker);
    Harm::InPlace.apply(&path);
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    wait_until("status shows trouble", || {
        let trouble = share_in_status(&mut nik, "gift")["trouble"].to_string();
        trouble.contains("was changed after it was complete")
    });
    let log = tracker.sandbox.log("nik");
    wait_for_log_line(
        &log,
        &["gift: changed or not known to be whole; checking it"],
    );
    // A file with the old content and new times is served after the check.
    nik.process.close_stdin();
    nik.process.wait();
    fs::write(&path, bytes(LENGTH, 7)).unwrap();
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    wait_until("the share is served again", || {
        share_in_status(&mut nik, "gift")["trouble"].is_null()
    });
}

#[test]
fn after_a_restart_a_file_of_the_same_length_time_and_inode_is_not_hashed_again() {
    let tracker = AccountTracker::new();
    let path = share_and_stop(&tracker);
    // Only reading the file could show that its content has changed.
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    Harm::InPlace.apply(&path);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    assert!(share_in_status(&mut nik, "gift")["trouble"].is_null());
    let log = fs::read_to_string(tracker.sandbox.log("nik")).unwrap();
    assert!(!log.contains("checking it"), "{log}");
}

#[test]
fn status_shows_a_person_which_share_is_not_served_and_why() {
    let tracker = AccountTracker::new();
    let path = tracker.sandbox.file("gift", LENGTH, 7);
    let (state, info) = (
        tracker.sandbox.path("state"),
        tracker.sandbox.tracker_info(),
    );
    let (state, info) = (state.to_str().unwrap(), info.to_str().unwrap());
    let all = ["peer", "127.0.0.1:0", info, "--dir", state];
    let mut seed = Process::start(&tracker.sandbox.folder("seed"), &all);
    seed.write_line(&format!("send {} x.torrent", quoted(&path)));
    assert!(seed.line().starts_with("sharing gift"));
    fs::remove_file(&path).unwrap();
    let mut line = String::new();
    wait_until("status shows the missing file", || {
        seed.write_line("status");
        loop {
            line = seed.line();
            if line.starts_with("share ") {
                return line.contains("is missing");
            }
        }
    });
    assert!(
        line.starts_with("share gift  1.5 MiB") && line.contains(&path.display().to_string()),
        "{line}"
    );
}
