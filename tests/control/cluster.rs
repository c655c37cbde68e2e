//! The key of a cluster, `cluster.pem`: one tracker creates it, only its owner can read it, and no
//! tracker changes it.

use crate::common::process::{Output, Process, run};
use crate::common::sandbox::Sandbox;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

/// The arguments of tracker `number` with the TRACKER_INFO `info` and the state folder `data`.
fn arguments<'a>(info: &'a Path, number: &'a str, data: &'a Path) -> [&'a str; 7] {
    let (info, data) = (info.to_str().unwrap(), data.to_str().unwrap());
    [
        "tracker",
        info,
        number,
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
    ]
}

/// A sandbox whose TRACKER_INFO names two trackers.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.tracker_info(), "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
    sandbox
}

/// Starts a tracker. Returns it and the second line of its output, which has the fingerprint.
fn start(sandbox: &Sandbox, number: &str, data: &str) -> (Process, String) {
    let (info, data) = (sandbox.tracker_info(), sandbox.path(data));
    let mut tracker = Process::start(&sandbox.folder("work"), &arguments(&info, number, &data));
    let fingerprint = tracker.line();
    (tracker, fingerprint)
}

/// The output of a tracker that refuses to start.
fn refused(sandbox: &Sandbox, number: &str) -> Output {
    let (info, data) = (sandbox.tracker_info(), sandbox.path("refused"));
    let output = run(
        &sandbox.folder("work"),
        &arguments(&info, number, &data),
        "",
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(output.stdout, "");
    output
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_key_is_private_and_the_tracker_prints_its_fingerprint() {
    let sandbox = sandbox();
    let (tracker, first) = start(&sandbox, "1", "data");
    let hex = first.strip_prefix("fingerprint sha256:").unwrap();
    assert!(hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(mode(&sandbox.path("cluster.pem")), 0o600);
    tracker.kill();
    let (_tracker, after_restart) = start(&sandbox, "1", "data");
    assert_eq!(after_restart, first);
    let (_second, second) = start(&sandbox, "2", "second");
    assert_eq!(second, first);
    assert!(!sandbox.path("second/cluster.pem").exists());
}

#[test]
fn without_tracker_info_the_key_is_in_the_state_folder_or_where_an_option_says() {
    let sandbox = Sandbox::new();
    let work = sandbox.folder("work");
    let (data, named) = (sandbox.path("data"), sandbox.path("named.pem"));
    let mut all = vec!["tracker", "--listen", "127.0.0.1:0", "--data"];
    all.push(data.to_str().unwrap());
    let mut tracker = Process::start(&work, &all);
    assert!(tracker.line().starts_with("fingerprint sha256:"));
    assert_eq!(mode(&data.join("cluster.pem")), 0o600);
    tracker.kill();
    let other = sandbox.path("other");
    *all.last_mut().unwrap() = other.to_str().unwrap();
    all.extend(["--cluster", named.to_str().unwrap()]);
    Process::start(&work, &all).kill();
    assert_eq!(mode(&named), 0o600);
}

#[test]
fn a_tracker_that_has_a_registry_but_not_its_key_starts_only_with_new_cluster() {
    let sandbox = sandbox();
    let (tracker, first) = start(&sandbox, "1", "data");
    tracker.kill();
    let (key, data) = (sandbox.path("cluster.pem"), sandbox.path("data"));
    let in_folder = data.join("cluster.pem");
    fs::rename(&key, &in_folder).unwrap();
    let info = sandbox.tracker_info();
    let work = sandbox.folder("work");
    let again = |more: &[&str]| {
        let all = [&arguments(&info, "1", &data), more].concat();
        run(&work, &all, "")
    };
    // The key is now where it would be if the operator had started the tracker without
    // TRACKER_INFO.
    let refused = again(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let advice = format!("{}: copy it to {}", in_folder.display(), key.display());
    assert!(refused.stderr.contains(&advice), "{refused:?}");
    let aside = sandbox.path("aside.pem");
    fs::rename(&in_folder, &aside).unwrap();
    let refused = again(&[]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("from another tracker"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--new-cluster"), "{refused:?}");
    assert!(!key.exists());
    fs::copy(&aside, &key).unwrap();
    let (tracker, second) = start(&sandbox, "1", "data");
    assert_eq!(second, first);
    tracker.kill();
    // `--new-cluster` replaces no key, and is for tracker 1 only.
    let refused = again(&["--new-cluster"]);
    let reason = format!("{} exists, so", key.display());
    assert!(
        refused.code == Some(1) && refused.stderr.contains(&reason),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("move the file away"), "{refused:?}");
    assert_eq!(fs::read(&key).unwrap(), fs::read(&aside).unwrap());
    fs::remove_file(&key).unwrap();
    let second = [&arguments(&info, "2", &data)[..], &["--new-cluster"]].concat();
    let refused = run(&work, &second, "");
    assert!(
        refused.code == Some(1)
            && refused
                .stderr
                .contains("start tracker 1 with --new-cluster"),
        "{refused:?}"
    );
    assert!(!key.exists());
    // With `--new-cluster`, the tracker creates a new key, which has another fingerprint.
    let all = [&arguments(&info, "1", &data)[..], &["--new-cluster"]].concat();
    let mut tracker = Process::start(&work, &all);
    assert_ne!(tracker.line(), first);
    assert_eq!(mode(&key), 0o600);
}

#[test]
fn two_trackers_that_start_at_once_share_one_key() {
    for _ in 0..20 {
        let sandbox = sandbox();
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| start(&sandbox, "1", "one").1);
            let other = scope.spawn(|| start(&sandbox, "1", "other").1);
            (one.join().unwrap(), other.join().unwrap())
        });
        assert_eq!(one, other);
        let temporary_files = fs::read_dir(sandbox.path("")).unwrap();
        let temporary_files = temporary_files.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains("cluster-")
        });
        assert_eq!(temporary_files.count(), 0, "a temporary file is left");
    }
}

#[test]
fn a_second_tracker_waits_until_the_first_has_created_the_key() {
    let sandbox = sandbox();
    thread::scope(|scope| {
        let second = scope.spawn(|| start(&sandbox, "2", "second").1);
        let first = start(&sandbox, "1", "first").1;
        assert_eq!(second.join().unwrap(), first);
    });
}

#[test]
fn a_second_tracker_without_the_key_says_how_to_copy_it() {
    let sandbox = sandbox();
    let errors = refused(&sandbox, "2").stderr;
    assert!(
        errors.contains("cluster.pem") && errors.contains("scp -p"),
        "{errors}"
    );
    assert!(!sandbox.path("cluster.pem").exists());
}

#[test]
fn a_key_that_others_can_read_or_that_is_damaged_is_refused_and_not_changed() {
    let sandbox = sandbox();
    let key = sandbox.path("cluster.pem");
    start(&sandbox, "1", "data").0.kill();
    let valid = fs::read(&key).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let errors = refused(&sandbox, "1").stderr;
    assert!(
        errors.contains("0640") && errors.contains("chmod 600"),
        "{errors}"
    );
    assert_eq!(
        (fs::read(&key).unwrap(), mode(&key)),
        (valid.clone(), 0o640)
    );
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    for content in [
        &valid[..valid.len() / 2],
        b"not a key\n",
        b"",
        &[0xff; 1000],
    ] {
        fs::write(&key, content).unwrap();
        for number in ["1", "2"] {
            let errors = refused(&sandbox, number).stderr;
            assert!(errors.contains("cannot be used"), "{errors}");
        }
        assert_eq!(fs::read(&key).unwrap(), content);
    }
}

#[test]
fn a_tracker_does_not_start_if_its_key_has_another_fingerprint_than_the_pinned_one() {
    let sandbox = sandbox();
    let (tracker, fingerprint) = start(&sandbox, "1", "data");
    tracker.kill();
    let pin = |line: &str| {
        fs::write(sandbox.tracker_info(), format!("127.0.0.1:1\n{line}\n")).unwrap();
    };
    pin(&fingerprint);
    start(&sandbox, "1", "data").0.kill();
    let other = format!("sha256:{}", "ab".repeat(32));
    pin(&format!("fingerprint {other}"));
    let errors = refused(&sandbox, "1").stderr;
    let own = fingerprint.strip_prefix("fingerprint ").unwrap();
    assert!(errors.contains(own) && errors.contains(&other), "{errors}");
}
