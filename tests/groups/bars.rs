//! A removed member gets nothing: after a restart of the peer that it calls, with trackers that are
//! silent or lag behind, in a large group, and although its certificate has the name of another
//! member.

use super::fake_member::{BLOCK, FakeLeech, MemberIdentity, call_tls, certify};
use super::team::{logged_in_peer, second_login};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{User, group_request};
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use pieceful::storage::{Batch, Database};
use pieceful::tracker::RegistryStore;
use pieceful::tracker::registry::{
    NewAccount, Origin, PasswordHash, Refusal, Registry, Row, RowId, Stamp, Update,
};
use pieceful::wire::access::preferred_trackers;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// nik's peer shares in a group. mayank and kim are members, and have certificates.
struct Lab {
    tracker: AccountTracker,
    nik: Peer,
    info_hash: String,
    mayank: MemberIdentity,
    kim: MemberIdentity,
}

impl Lab {
    fn new(arguments: &[&str], group: &str) -> Self {
        let tracker = AccountTracker::with(arguments);
        let mut nik = logged_in_peer(&tracker, "nik", &[]);
        nik.run(&format!("create_group {group}"));
        let [mayank, kim] = ["mayank", "kim"].map(|name| {
            let mut user = tracker.user(name);
            user.perform(group_request(&format!("join_group {group}")));
            nik.run(&format!("accept_request {group} {name}"));
            certify(&mut user, group).0
        });
        let file = tracker.sandbox.file("gift", 100_000, 1);
        let uploaded = nik.run(&format!("upload_file {group} {}", quoted(&file)));
        let info_hash = uploaded["info_hash"].as_str().unwrap().to_owned();
        Self {
            tracker,
            nik,
            info_hash,
            mayank,
            kim,
        }
    }

    fn serves(&self, member: &MemberIdentity) -> bool {
        is_served(self.nik.process.address, &self.info_hash, member)
    }

    /// Waits until mayank has had a link that nik's peer knows after a restart.
    fn link_mayank(&self) {
        wait_until("mayank has a link", || self.serves(&self.mayank));
        wait_until("the link is stored", || {
            self.tracker.sandbox.state("nik").join("members").exists()
        });
    }

    /// Waits until nik's peer serves kim. Until then and afterwards, it must not serve mayank.
    fn assert_only_kim_is_served(&self) {
        wait_until("kim is served", || {
            assert!(!self.serves(&self.mayank), "a removed member is served");
            self.serves(&self.kim)
        });
        assert!(!self.serves(&self.mayank), "a removed member is served");
    }
}

/// Whether a peer sends a member a block of the share.
fn is_served(peer: SocketAddr, info_hash: &str, member: &MemberIdentity) -> bool {
    // A peer refuses a second link with the same peer id.
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let id = format!("member{}", CALLS.fetch_add(1, Ordering::Relaxed));
    let connection = call_tls(peer, info_hash, Some(member));
    let mut leech = FakeLeech::greet(connection, info_hash, &id);
    let block = leech.as_mut().and_then(|it| it.fetch(0, 0, BLOCK as u32));
    block.is_some()
}

/// Lists a second tracker, which accepts connections and never answers.
fn add_silent_tracker(tracker: &AccountTracker) -> TcpListener {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [tracker.address(), silent.local_addr().unwrap()];
    let both = format!("{}\n{}\n", addresses[0], addresses[1]);
    fs::write(tracker.sandbox.tracker_info(), both).unwrap();
    silent
}

/// A name of a group whose announces the tracker `asked_first` receives first, of two trackers.
fn group_name(asked_first: u32) -> String {
    let mut groups = (0..).map(|number| format!("lab{number}"));
    let is_asked_first =
        |group: &String| preferred_trackers(&group.parse().unwrap(), [1, 2])[0] == asked_first;
    groups.find(is_asked_first).unwrap()
}

/// mayank is removed while nik's peer does not run. Of two trackers, the second one is silent.
/// `asked_first` is the number of the one that receives the announces of the group first.
fn assert_removed_member_is_refused(asked_first: u32) {
    let group = group_name(asked_first);
    let mut lab = Lab::new(&[], &group);
    lab.link_mayank();
    lab.nik.end();
    let mut nik = second_login(&lab.tracker, "nik");
    nik.perform(group_request(&format!("remove_member {group} mayank")));
    let _silent = add_silent_tracker(&lab.tracker);
    lab.nik = lab.tracker.sandbox.debug_peer("nik", &[]);
    lab.assert_only_kim_is_served();
}

#[test]
fn while_a_silent_tracker_is_asked_first_only_a_member_that_had_a_link_is_served() {
    let mut lab = Lab::new(&[], &group_name(2));
    lab.link_mayank();
    lab.nik.end();
    let _silent = add_silent_tracker(&lab.tracker);
    lab.nik = lab.tracker.sandbox.debug_peer("nik", &[]);
    wait_until("mayank is served", || {
        let is_served = lab.serves(&lab.mayank);
        // The silent tracker has seconds to answer, and only then the other one is asked.
        assert!(!lab.serves(&lab.kim), "kim is unknown here");
        is_served
    });
    wait_until("kim is served", || lab.serves(&lab.kim));
}

#[test]
fn after_a_restart_a_removed_member_is_refused_before_a_silent_tracker_is_asked() {
    assert_removed_member_is_refused(1);
}

#[test]
fn after_a_restart_a_removed_member_is_refused_while_a_silent_tracker_is_asked() {
    assert_removed_member_is_refused(2);
}

#[test]
fn after_a_restart_a_removed_member_is_refused_although_the_tracker_lags_behind() {
    let mut lab = Lab::new(&[], "lab");
    wait_until("mayank has a link", || lab.serves(&lab.mayank));
    let sandbox = lab.tracker.kill();
    let (data, older) = (sandbox.path("data"), sandbox.path("older"));
    copy_folder(&data, &older);
    lab.tracker = AccountTracker::restart(sandbox);
    lab.nik.run("remove_member lab mayank");
    wait_until("mayank is refused", || !lab.serves(&lab.mayank));
    let members = lab.tracker.sandbox.state("nik").join("members");
    wait_until("the bar is stored", || {
        let stored = fs::read(&members).unwrap_or_default();
        // Two bars of 29 bytes: one for the account, one for its name.
        stored.windows(9).any(|bytes| bytes == b"4:bars58:")
    });
    // The peer and the tracker die.
    lab.nik.process.kill();
    let sandbox = lab.tracker.kill();
    // A tracker that does not know of the removal, like one that was cut off before it.
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&older, &data).unwrap();
    lab.tracker = AccountTracker::restart(sandbox);
    let mut mayank = second_login(&lab.tracker, "mayank");
    let _ = certify(&mut mayank, "lab");
    lab.nik = lab.tracker.sandbox.debug_peer("nik", &[]);
    lab.assert_only_kim_is_served();
}

/// Copies a folder with `cp`.
fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

/// The registry in the state folder of a tracker that does not run.
struct StoppedRegistry {
    data: PathBuf,
    registry: Registry,
}

impl StoppedRegistry {
    fn open(sandbox: &Sandbox) -> Self {
        let data = sandbox.path("data");
        let (registry, _) = RegistryStore::read_offline(&data).unwrap();
        Self { data, registry }
    }

    fn apply(&mut self, operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let update = operation(&self.registry, now.unwrap()).unwrap();
        self.registry.apply(update).unwrap();
    }

    /// Writes the registry, with `more` rows.
    fn store(self, more: &[Row]) {
        let (database, _) = Database::open(&self.data).unwrap();
        let mut batch = Batch::new();
        for row in self.registry.rows().chain(more) {
            batch.put_row(row.id().0, row.encode());
        }
        batch.put_versions(self.registry.version_vector().encode());
        database.commit(batch).unwrap();
    }
}

#[test]
fn a_member_who_left_before_1500_others_is_refused() {
    let mut lab = Lab::new(&[], "lab");
    lab.nik.end();
    let mut nik = second_login(&lab.tracker, "nik");
    nik.perform(group_request("remove_member lab mayank"));
    let (sandbox, _) = lab.tracker.stop_and_dump();
    let mut stopped = StoppedRegistry::open(&sandbox);
    let (owner, group) = ("nik".parse().unwrap(), "lab".parse().unwrap());
    let owner = stopped.registry.account_id(&owner).unwrap();
    for number in 0..1_500u16 {
        let id = |kind: u8| {
            let mut id = [kind; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            RowId(id)
        };
        let user = format!("user{number}");
        let new = NewAccount {
            id: id(1),
            name: user.parse().unwrap(),
            password: PasswordHash::new("hash").unwrap(),
        };
        let user = user.parse().unwrap();
        stopped.apply(|registry, now| registry.create_account(new, now));
        stopped.apply(|registry, now| registry.request_membership(id(1), &group, id(2), now));
        stopped.apply(|registry, now| registry.accept(owner, &group, &user, now));
        stopped.apply(|registry, now| registry.remove_member(owner, &group, &user, now));
    }
    stopped.store(&[]);
    lab.tracker = AccountTracker::restart(sandbox);
    lab.nik = lab.tracker.sandbox.debug_peer("nik", &[]);
    lab.assert_only_kim_is_served();
}

/// An account with the name and the password of `user`, whose claim to the name is earlier.
fn earlier_namesake(registry: &Registry, user: &str) -> Row {
    let id = registry.account_id(&user.parse().unwrap()).unwrap();
    let Some(Row::Account(account)) = registry.row(id) else {
        panic!("{user} has no account")
    };
    let mut namesake = account.clone();
    namesake.id = RowId([0xab; 16]);
    let stamp = namesake.name.version.stamp;
    let (wall, origin): (u64, Origin) = (stamp.wall() - 1, stamp.origin());
    namesake.name.version.stamp = Stamp::new(wall, stamp.counter(), origin).unwrap();
    Row::Account(namesake)
}

#[test]
fn of_two_members_with_one_name_in_their_certificates_only_the_removed_one_is_refused() {
    let mut lab = Lab::new(&["--interval", "1"], "lab");
    let (sandbox, _) = lab.tracker.stop_and_dump();
    // An account of the same name arrives from another tracker. It holds the name from now on, and
    // the name of the first account gets a tag. The first account keeps its certificate.
    let stopped = StoppedRegistry::open(&sandbox);
    let namesake = earlier_namesake(&stopped.registry, "mayank");
    stopped.store(&[namesake]);
    lab.tracker = AccountTracker::with_data(sandbox, &["--interval", "1"]);
    let mut second: User = second_login(&lab.tracker, "mayank");
    second.perform(group_request("join_group lab"));
    lab.nik.run("accept_request lab mayank");
    let second = certify(&mut second, "lab").0;
    wait_until("both are served", || {
        lab.serves(&lab.mayank) && lab.serves(&second)
    });
    let members = lab.nik.run("list_members lab");
    let mut names = members["members"].as_array().unwrap().iter();
    let tagged = names
        .find_map(|member| member["user"].as_str().filter(|it| it.contains('~')))
        .unwrap();
    lab.nik.run(&format!("remove_member lab {tagged}"));
    wait_until("the first mayank is refused", || !lab.serves(&lab.mayank));
    wait_for_log_line(
        &lab.tracker.sandbox.log("nik"),
        &["refused: mayank is no member any more"],
    );
    assert!(lab.serves(&second), "a member is refused for his name");
}
