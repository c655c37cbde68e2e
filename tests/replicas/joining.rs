//! Trackers that join: empty, from an old backup, with an older copy of their own data. Nobody removed comes back.

use super::pair::Pair;
use crate::common::control_connection::{User, group_request};
use crate::common::waiting::wait_until;
use pieceful::wire::access::Standing;
use std::fs;
use std::path::PathBuf;

/// A pair with a group that eve was a member of when tracker 1's backup was taken, and has been removed from since.
fn removed_since(pair: &mut Pair) -> String {
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

fn eve_is_out(pair: &Pair) {
    for number in [1, 2] {
        let mut eve = User::log_in(pair.connect(number), "eve");
        let groups = eve.groups();
        let standings: Vec<_> = groups
            .iter()
            .map(|entry| (entry.name.to_string(), entry.standing))
            .collect();
        assert_eq!(
            standings,
            [
                ("lab".to_owned(), Standing::Stranger),
                ("later".to_owned(), Standing::Stranger)
            ]
        );
    }
    pair.same();
}

#[test]
fn an_empty_tracker_is_filled_and_a_lost_disk_too() {
    let mut pair = Pair::new();
    removed_since(&mut pair);
    // With 300 groups more it takes several batches.
    let mut owner = User::log_in(pair.connect(1), "owner");
    for number in 0..300 {
        owner.perform(group_request(&format!("create_group group{number}")));
    }
    for lost in [2, 1] {
        pair.kill(lost);
        fs::remove_dir_all(pair.data(lost)).unwrap();
        pair.start(lost, &[]);
        pair.wait_until_in_step();
    }
    let dump = pair.same();
    assert_eq!(dump["groups"].as_array().unwrap().len(), 302);
    let mut owner = User::log_in(pair.connect(2), "owner");
    owner.perform(group_request("create_group more"));
}

#[test]
fn a_tracker_restored_from_an_old_backup_brings_nobody_back() {
    let mut pair = Pair::new();
    let backup = removed_since(&mut pair);
    pair.kill(1);
    fs::remove_dir_all(pair.data(1)).unwrap();
    pair.start(1, &["--restore", &backup]);
    pair.wait_until_in_step();
    eve_is_out(&pair);
    // It is one like any other from then on.
    pair.kill(1);
    pair.start(1, &[]);
    pair.wait_until_in_step();
    let status = pair.console(1, "status");
    assert!(status.starts_with("tracker on "), "{status}");
}

#[test]
fn a_restored_tracker_does_not_serve_before_it_has_caught_up() {
    let mut pair = Pair::new();
    let backup = removed_since(&mut pair);
    pair.kill(1);
    pair.kill(2);
    fs::remove_dir_all(pair.data(1)).unwrap();
    pair.start(1, &["--restore", &backup]);
    let refused = |pair: &Pair| {
        let told = pair.connect(1).ask(
            None,
            crate::common::control_connection::create_user_request("x"),
        );
        told.err()
            .map(|refused| (refused.kind.as_str(), refused.to_string()))
    };
    let (kind, told) = refused(&pair).unwrap();
    assert!(kind == "not-serving" && told.contains("--alone"), "{told}");
    // A restart does not make it forget that.
    pair.kill(1);
    pair.start(1, &[]);
    assert_eq!(refused(&pair).unwrap().0, "not-serving");
    pair.start(2, &[]);
    pair.wait_until_in_step();
    eve_is_out(&pair);
    // Without any other, the operator may say so.
    pair.kill(1);
    pair.kill(2);
    fs::remove_dir_all(pair.data(1)).unwrap();
    pair.start(1, &["--restore", &backup, "--alone"]);
    let mut eve = User::log_in(pair.connect(1), "eve");
    assert_eq!(eve.groups()[0].standing, Standing::Member, "as it was then");
    drop(eve);
    pair.start(2, &[]);
    pair.wait_until_in_step();
    eve_is_out(&pair);
}

/// A user who will write more, the first tracker's folder, and a copy of its registry from before that.
fn copied(pair: &mut Pair) -> (User, String, PathBuf) {
    let nik = pair.user(1, "nik");
    pair.quit(1);
    let (data, copy) = (pair.data(1), pair.sandbox.path("copy"));
    fs::copy(format!("{data}/registry.redb"), &copy).unwrap();
    pair.start(1, &[]);
    pair.wait_until_in_step();
    (User::log_in(pair.connect(1), &nik.name), data, copy)
}

#[test]
fn an_older_copy_of_the_data_does_not_serve() {
    let mut pair = Pair::new();
    let (mut nik, data, copy) = copied(&mut pair);
    nik.perform(group_request("create_group lab"));
    pair.kill(1);
    fs::copy(&copy, format!("{data}/registry.redb")).unwrap();
    pair.start(1, &[]);
    pair.wait_for_log(1, "these data are an older copy");
    let refused = pair.connect(1).ask(
        None,
        crate::common::control_connection::create_user_request("x"),
    );
    assert_eq!(refused.unwrap_err().kind.as_str(), "not-serving");
    // Peers do not notice.
    let mut peer = pair.peer("p", 1);
    peer.run("create_user olga pw-of-olga");
    // Its data are no loss: an empty folder fills itself.
    pair.kill(1);
    fs::remove_dir_all(&data).unwrap();
    pair.start(1, &[]);
    pair.wait_until_in_step();
    pair.same();
}

#[test]
fn an_older_copy_that_serves_alone_loses_nothing_and_gives_no_number_twice() {
    let mut pair = Pair::new();
    let (mut nik, data, copy) = copied(&mut pair);
    for name in ["g1", "g2"] {
        nik.perform(group_request(&format!("create_group {name}")));
    }
    // Both end; the first comes back with the older copy, and with nobody to say that it is one.
    pair.kill(2);
    pair.kill(1);
    fs::copy(&copy, format!("{data}/registry.redb")).unwrap();
    pair.start(1, &[]);
    wait_until("it serves alone", || {
        pair.view(1).is_some_and(|view| view.serving)
    });
    nik = User::log_in(pair.connect(1), &nik.name);
    for name in ["h1", "h2", "h3"] {
        nik.perform(group_request(&format!("create_group {name}")));
    }
    pair.start(2, &[]);
    pair.wait_until_in_step();
    let dump = pair.same_when_stopped();
    let groups = dump["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 5, "{groups:?}");
}

#[test]
fn a_tracker_listed_later_joins_without_a_restart_of_the_others() {
    let mut pair = Pair::none();
    let info = pair.sandbox.path("cluster/info.txt");
    let both = fs::read_to_string(&info).unwrap();
    let first = both.lines().next().unwrap().to_owned();
    fs::write(&info, format!("{first}\n")).unwrap();
    pair.start(1, &[]);
    let mut nik = pair.user(1, "nik");
    assert!(pair.view(1).unwrap().twins.is_empty());
    fs::write(&info, both).unwrap();
    pair.start(2, &[]);
    pair.wait_until_in_step();
    nik.perform(group_request("create_group lab"));
    pair.kill(1);
    let mut nik = User::log_in(pair.connect(2), "nik");
    wait_until("it is there", || nik.groups().len() == 1);
}
