//! Backups by an operator, and the comparison of the registries of two trackers.

use super::pair::{Pair, create_and_log_in};
use crate::common::control_connection::{User, group_request};
use crate::common::process::Output;
use pieceful::storage::make_or_open_cluster;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The path of the backup that [`take_backup`] writes.
fn backup_path(pair: &Pair) -> PathBuf {
    pair.sandbox.path("all.backup")
}

/// Takes a backup of the first tracker.
fn take_backup(pair: &Pair, more: &[&str]) -> Output {
    let (data, backup) = (pair.data(1), backup_path(pair));
    let mut all = vec!["--data", &data, "--backup", backup.to_str().unwrap()];
    all.extend(more);
    pair.run(&all)
}

/// Two trackers with a group.
fn pair_with_group() -> Pair {
    let pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    nik.perform(group_request("create_group lab"));
    pair
}

#[test]
fn a_backup_is_private_and_replaces_the_previous_one() {
    let pair = pair_with_group();
    let file = backup_path(&pair);
    for _ in 0..2 {
        let taken = take_backup(&pair, &[]);
        assert_eq!(taken.code, Some(0), "{taken:?}");
        let length = file.metadata().unwrap().len();
        assert!(
            taken
                .stdout
                .starts_with(&format!("wrote {length} bytes to ")),
            "{taken:?}"
        );
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_backup_that_cannot_be_written_is_refused_before_it_is_fetched() {
    let pair = pair_with_group();
    let (data, folder) = (pair.data(1), pair.sandbox.folder("taken"));
    let refused = pair.run(&["--data", &data, "--backup", folder.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("taken: it is a folder"),
        "{refused:?}"
    );
}

#[test]
fn a_backup_replaces_only_another_backup() {
    let pair = pair_with_group();
    let file = backup_path(&pair);
    let temporary_file = file.with_extension("backup.new");
    for other in [&file, &temporary_file] {
        fs::write(other, "my thesis\n").unwrap();
        let refused = take_backup(&pair, &[]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let reason = format!(
            "{} exists and is no backup; name another file",
            other.display()
        );
        assert!(refused.stderr.contains(&reason), "{refused:?}");
        assert_eq!(fs::read_to_string(other).unwrap(), "my thesis\n");
        fs::remove_file(other).unwrap();
    }
    // A backup of the previous version, which has no part with the key, is replaced too.
    assert_eq!(take_backup(&pair, &[]).code, Some(0));
    let whole = fs::read(&file).unwrap();
    let line = b"pieceful backup 5\n";
    let at = whole.windows(line.len()).position(|it| it == line).unwrap();
    let old = [b"pieceful backup 1\n", &whole[at + line.len()..]].concat();
    fs::write(&file, old).unwrap();
    assert_eq!(take_backup(&pair, &[]).code, Some(0));
    assert!(fs::read(&file).unwrap().starts_with(b"pieceful backup 2\n"));
}

#[test]
fn a_backup_needs_the_cluster_key_and_a_restore_needs_a_whole_backup_and_an_empty_folder() {
    let mut pair = pair_with_group();
    let (data, file) = (pair.data(1), backup_path(&pair));
    assert_eq!(take_backup(&pair, &[]).code, Some(0));
    // The key of another cluster gets no backup, and the last backup stays.
    let last_backup = fs::read(&file).unwrap();
    let other = pair.sandbox.path("other");
    let other = other.to_str().unwrap();
    let key = pair.sandbox.path("foreign.pem");
    make_or_open_cluster(&key).unwrap();
    let refused = take_backup(&pair, &["--cluster", key.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("fingerprint"), "{refused:?}");
    assert!(fs::read(&file).unwrap() == last_backup);
    // A cut backup is refused.
    let cut = pair.sandbox.path("cut");
    fs::write(&cut, &last_backup[..last_backup.len() - 1]).unwrap();
    let refused = pair.start_refused("1", &["--data", other, "--restore", cut.to_str().unwrap()]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("damaged"),
        "{refused:?}"
    );
    // So is a file that is no backup, however short it is.
    fs::write(&cut, "my thesis").unwrap();
    let refused = pair.start_refused("1", &["--data", other, "--restore", cut.to_str().unwrap()]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("is not a tracker's backup"),
        "{refused:?}"
    );
    // A stopped tracker makes no backup. No backup is restored into a folder with a registry.
    pair.quit(1);
    let refused = take_backup(&pair, &[]);
    assert!(
        refused.stderr.contains("no tracker is running with"),
        "{refused:?}"
    );
    let refused = pair.start_refused("1", &["--data", &data, "--restore", file.to_str().unwrap()]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("exists"),
        "{refused:?}"
    );
}

#[test]
fn a_restored_tracker_belongs_to_the_cluster_that_its_peers_know() {
    let mut pair = Pair::new();
    let mut nik = pair.peer("nik", 1);
    create_and_log_in(&mut nik, "nik");
    nik.run("create_group lab");
    pair.wait_until_in_sync();
    assert_eq!(take_backup(&pair, &[]).code, Some(0));
    let (file, key) = (backup_path(&pair), pair.sandbox.path("cluster/cluster.pem"));
    let file = file.to_str().unwrap();
    let before = fs::read(&key).unwrap();
    // The machines are gone: nothing is left but the backup.
    for number in [1, 2] {
        pair.kill(number);
        fs::remove_dir_all(pair.data(number)).unwrap();
    }
    fs::remove_file(&key).unwrap();
    // The key of another cluster is not replaced.
    make_or_open_cluster(&key).unwrap();
    let other = fs::read(&key).unwrap();
    let refused = pair.start_refused("1", &["--data", &pair.data(1), "--restore", file]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("move the file away"),
        "{refused:?}"
    );
    assert!(fs::read(&key).unwrap() == other);
    fs::remove_file(&key).unwrap();
    pair.start(1, &["--restore", file, "--alone"]);
    assert!(fs::read(&key).unwrap() == before);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // The peer stored this cluster's fingerprint at its first connection. Its login is still valid.
    assert_eq!(nik.run("list_groups")["groups"][0]["name"], "lab");
}

#[test]
fn a_backup_without_the_key_is_restored_only_where_the_key_exists() {
    let mut pair = pair_with_group();
    assert_eq!(take_backup(&pair, &[]).code, Some(0));
    // Backups of an earlier version have no part with the key.
    let whole = fs::read(backup_path(&pair)).unwrap();
    let line = b"pieceful backup 5\n";
    let at = whole.windows(line.len()).position(|it| it == line).unwrap();
    let old = pair.sandbox.path("old.backup");
    fs::write(&old, &whole[at..]).unwrap();
    let old = old.to_str().unwrap();
    pair.kill(1);
    let (key, aside) = (
        pair.sandbox.path("cluster/cluster.pem"),
        pair.sandbox.path("aside.pem"),
    );
    fs::rename(&key, &aside).unwrap();
    fs::remove_dir_all(pair.data(1)).unwrap();
    let refused = pair.start_refused("1", &["--data", &pair.data(1), "--restore", old]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("--new-cluster"),
        "{refused:?}"
    );
    assert!(!key.exists());
    fs::rename(&aside, &key).unwrap();
    pair.start(1, &["--restore", old]);
    pair.wait_until_in_sync();
}

#[test]
fn a_check_names_each_difference() {
    let mut pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    nik.perform(group_request("create_group lab"));
    pair.wait_until_in_sync();
    pair.kill(2);
    nik.perform(group_request("create_group more"));
    nik.perform(group_request("leave_group lab --yes"));
    pair.quit(1);
    let [first, second] = [1, 2].map(|number| pair.data(number));
    let checked = pair.run(&["--check", &first, &second]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for part in [
        "group more (",
        "in the first only",
        "group lab (",
        "owner is ",
        "ended is ",
        "the second lacks 2 writes",
    ] {
        assert!(checked.stdout.contains(part), "{part}: {checked:?}");
    }
    pair.start(1, &[]);
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    let running = pair.run(&["--check", &first, &second]);
    assert!(
        running.code == Some(1) && running.stderr.contains("in use"),
        "{running:?}"
    );
    pair.stop_and_assert_same();
    let without_registry = pair.run(&["--check", &first, "/nowhere"]);
    assert!(
        without_registry
            .stderr
            .contains("has no tracker's registry"),
        "{without_registry:?}"
    );
}

#[test]
fn a_backup_is_a_consistent_snapshot_during_writes() {
    let pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    std::thread::scope(|scope| {
        let stop = pieceful::net::Stop::new();
        let stopping = stop.clone();
        let writer = scope.spawn(move || {
            let mut created = 0;
            while !stopping.is_stopped() {
                nik.perform(group_request(&format!("create_group group{created}")));
                created += 1;
            }
            created
        });
        for _ in 0..10 {
            pair.backup(1);
        }
        stop.stop();
        assert!(writer.join().unwrap() > 0);
    });
    pair.wait_until_in_sync();
    pair.assert_same();
    drop(User::log_in(pair.connect(2), "nik"));
}
