//! Trackers that join: empty, from an old backup, or with an older copy of their own data. No
//! removed member comes back.

use super::pair::Pair;
use crate::common::control_connection::{User, create_user_request, group_request};
use crate::common::waiting::wait_until;
use pieceful::wire::access::GroupRole;
use std::fs;
use std::path::PathBuf;

/// Makes eve a member of a group, takes a backup of tracker 1 and removes eve. Returns the path of
/// the backup.
fn remove_eve_after_backup(pair: &mut Pair) -> String {
    let mut owner = pair.user(1, "owner");
    let mut eve = pair.user(1, "eve");
    owner.perform(group_request("create_group lab"));
    eve.perform(group_request("join_group lab"));
    owner.perform(group_request("accept_request lab eve"));
    let backup = pair.sandbox.path("old.backup").to_str().unwrap().to_owned();
    let taken = pair.run(&["--data", &pair.data(1), "--backup", &backup]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    owner.perform(group_request("remove_member lab eve"));
    owner.perform(group_request("create_group later"));
    backup
}

/// Asserts that eve is not a member of any group at either tracker, and that both have the same
/// registry.
fn assert_eve_is_removed(pair: &Pair) {
    for number in [1, 2] {
        let mut eve = User::log_in(pair.connect(number), "eve");
        let groups = eve.groups();
        let roles: Vec<_> = groups
            .iter()
            .map(|entry| (entry.name.to_string(), entry.role))
            .collect();
        assert_eq!(
            roles,
            [
                ("lab".to_owned(), GroupRole::Stranger),
                ("later".to_owned(), GroupRole::Stranger)
            ]
        );
    }
    pair.assert_same();
}

#[test]
fn a_tracker_with_an_empty_disk_is_filled_from_the_other() {
    let mut pair = Pair::new();
    remove_eve_after_backup(&mut pair);
    // 300 more groups need several batches.
    let mut owner = User::log_in(pair.connect(1), "owner");
    for number in 0..300 {
        owner.perform(group_request(&format!("create_group group{number}")));
    }
    for lost in [2, 1] {
        pair.kill(lost);
        fs::remove_dir_all(pair.data(lost)).unwrap();
        pair.start(lost, &[]);
        pair.wait_until_in_sync();
    }
    let dump = pair.assert_same();
    assert_eq!(dump["groups"].as_array().unwrap().len(), 302);
    let mut owner = User::log_in(pair.connect(2), "owner");
    owner.perform(group_request("create_group more"));
}

#[test]
fn a_tracker_restored_from_an_old_backup_brings_no_removed_member_back() {
    let mut pair = Pair::new();
    let backup = remove_eve_after_backup(&mut pair);
    pair.kill(1);
    fs::remove_dir_all(pair.data(1)).unwrap();
    pair.start(1, &["--restore", &backup]);
    pair.wait_until_in_sync();
    assert_eve_is_removed(&pair);
    // From now on the tracker starts like any other.
    pair.kill(1);
    pair.start(1, &[]);
    pair.wait_until_in_sync();
    let status = pair.console(1, "status");
    assert!(status.starts_with("tracker on "), "{status}");
}

#[test]
fn a_restored_tracker_does_not_serve_before_it_has_caught_up() {
    let mut pair = Pair::new();
    let backup = remove_eve_after_backup(&mut pair);
    pair.kill(1);
    pair.kill(2);
    fs::remove_dir_all(pair.data(1)).unwrap();
    pair.start(1, &["--restore", &backup]);
    let refusal = |pair: &Pair| {
        let answer = pair.connect(1).ask(None, create_user_request("x"));
        answer
            .err()
            .map(|refused| (refused.kind.as_str(), refused.to_string()))
    };
    let (kind, message) = refusal(&pair).unwrap();
    assert!(
        kind == "not-serving" && message.contains("--alone"),
        "{message}"
    );
    // The tracker does not serve after a restart either.
    pair.kill(1);
    pair.start(1, &[]);
    assert_eq!(refusal(&pair).unwrap().0, "not-serving");
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    assert_eve_is_removed(&pair);
    // Without another tracker, the operator may start the restored tracker with `--alone`.
    pair.kill(1);
    pair.kill(2);
    fs::remove_dir_all(pair.data(1)).unwrap();
    pair.start(1, &["--restore", &backup, "--alone"]);
    let mut eve = User::log_in(pair.connect(1), "eve");
    assert_eq!(eve.groups()[0].role, GroupRole::Member, "as in the backup");
    drop(eve);
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    assert_eve_is_removed(&pair);
}

/// Creates the user nik at the first tracker and copies this tracker's registry. Returns nik, the
/// tracker's data folder and the path of the copy.
fn copy_registry(pair: &mut Pair) -> (User, String, PathBuf) {
    let nik = pair.user(1, "nik");
    pair.quit(1);
    let (data, copy) = (pair.data(1), pair.sandbox.path("copy"));
    fs::copy(format!("{data}/registry.redb"), &copy).unwrap();
    pair.start(1, &[]);
    pair.wait_until_in_sync();
    (User::log_in(pair.connect(1), &nik.name), data, copy)
}

#[test]
fn a_tracker_with_an_older_copy_of_its_data_does_not_serve() {
    let mut pair = Pair::new();
    let (mut nik, data, copy) = copy_registry(&mut pair);
    nik.perform(group_request("create_group lab"));
    pair.kill(1);
    fs::copy(&copy, format!("{data}/registry.redb")).unwrap();
    pair.start(1, &[]);
    pair.wait_for_log(1, "these data are an older copy");
    let refused = pair.connect(1).ask(None, create_user_request("x"));
    assert_eq!(refused.unwrap_err().kind.as_str(), "not-serving");
    // Peers use the other tracker.
    let mut peer = pair.peer("p", 1);
    peer.run("create_user olga pw-of-olga");
    // The tracker may start with an empty folder. It gets the registry from the other tracker.
    pair.kill(1);
    fs::remove_dir_all(&data).unwrap();
    pair.start(1, &[]);
    pair.wait_until_in_sync();
    pair.assert_same();
}

#[test]
fn a_tracker_with_an_older_copy_that_serves_alone_loses_no_write_and_reuses_no_write_number() {
    let mut pair = Pair::new();
    let (mut nik, data, copy) = copy_registry(&mut pair);
    for name in ["g1", "g2"] {
        nik.perform(group_request(&format!("create_group {name}")));
    }
    // The first tracker comes back with the older copy. The second tracker does not run and cannot
    // report that.
    pair.kill(2);
    pair.kill(1);
    fs::copy(&copy, format!("{data}/registry.redb")).unwrap();
    pair.start(1, &[]);
    wait_until("the first tracker serves alone", || {
        pair.view(1).is_some_and(|view| view.serving)
    });
    nik = User::log_in(pair.connect(1), &nik.name);
    for name in ["h1", "h2", "h3"] {
        nik.perform(group_request(&format!("create_group {name}")));
    }
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    let dump = pair.stop_and_assert_same();
    let groups = dump["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 5, "{groups:?}");
}

#[test]
fn a_tracker_listed_later_joins_without_a_restart_of_the_other() {
    let mut pair = Pair::stopped();
    let info = pair.sandbox.path("cluster/info.txt");
    let both = fs::read_to_string(&info).unwrap();
    let first = both.lines().next().unwrap().to_owned();
    fs::write(&info, format!("{first}\n")).unwrap();
    pair.start(1, &[]);
    let mut nik = pair.user(1, "nik");
    assert!(pair.view(1).unwrap().replicas.is_empty());
    fs::write(&info, both).unwrap();
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    nik.perform(group_request("create_group lab"));
    pair.kill(1);
    let mut nik = User::log_in(pair.connect(2), "nik");
    wait_until("the group is replicated", || nik.groups().len() == 1);
}
