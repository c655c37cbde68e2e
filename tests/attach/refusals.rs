//! Commands that may not attach, and peers that cannot be attached to.

use super::clients::{attached, attached_status};
use crate::common::odd_disk::{OddDisk, report_skipped};
use crate::common::process::{BINARY, Process, prepared, run, run_command};
use crate::common::sandbox::Sandbox;
use nix::unistd::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn arguments_that_make_sense_only_at_a_start_are_named() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    let folder = sandbox.folder("client");
    fs::write(folder.join("info.txt"), "").unwrap();
    for (typed, named) in [
        (&["--up", "1M"][..], "--up"),
        (&["--down", "1M"], "--down"),
        (&["--name", "x"], "--name"),
        (&["--threads", "2"], "--threads"),
        (&["--max-peers", "2"], "--max-peers"),
        (&["--upload-slots", "2"], "--upload-slots"),
        (&["--memory", "2M"], "--memory"),
        (&["--log", "info"], "--log"),
        (&["--log-size", "1M"], "--log-size"),
        (&["--stay"], "--stay"),
        (&["127.0.0.1:0"], "LISTEN"),
        (&["127.0.0.1:0", "info.txt"], "LISTEN, TRACKER_INFO"),
        (&["info.txt"], "TRACKER_INFO"),
        (&["--up", "1M", "--stay"], "--stay, --up"),
    ] {
        let typed = [typed, &["-c", "status"]].concat();
        let output = attached(&sandbox, "nik", &folder, &typed);
        assert_eq!(output.code, Some(1), "{typed:?}: {output:?}");
        let error = format!("{named} can only be used when a peer starts");
        assert!(output.stderr.contains(&error), "{typed:?}: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.lines().count() == 1);
    }
    let refused = attached(&sandbox, "nik", &folder, &["--no-attach", "-c", "status"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("in use by another process: stop that one"),
        "{refused:?}"
    );
    peer.end();
}

#[test]
fn without_dir_a_command_attaches_to_the_peer_with_the_same_port() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    let free = Process::start(&folder, &["peer", "127.0.0.1:0"]);
    let address = free.address.to_string();
    assert!(free.wait().0.success());
    let first = Process::start(&folder, &["peer", &address]);
    let output = run(&folder, &["peer", &address, "-c", "status"], "");
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains(&format!("peer on {address}")),
        "{output:?}"
    );
    let other = run(
        &folder,
        &["peer", &address, "--up", "1M", "-c", "status"],
        "",
    );
    assert!(
        other.code == Some(1) && other.stderr.contains("--up"),
        "{other:?}"
    );
    drop(first);
}

#[test]
fn another_user_may_not_attach() {
    if !geteuid().is_root() {
        return report_skipped("only root can act for another user");
    }
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    let state = sandbox.state("nik");
    if Command::new("setpriv").arg("--version").output().is_err() {
        return report_skipped("no setpriv here");
    }
    // Even if the permissions were wrong: the peer checks who is on the other side.
    for path in [sandbox.path(""), state.clone()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    for path in [state.join("attach"), state.join("lock")] {
        fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    }
    let binary = sandbox.path("pieceful");
    fs::copy(BINARY, &binary).unwrap();
    let attach = ["peer", "--dir", state.to_str().unwrap(), "-c", "status"];
    let other = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let other = [&other[..], &[binary.to_str().unwrap()], &attach].concat();
    let output = run_command(prepared(Command::new("setpriv"), &sandbox.path(""), &other));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(
        output
            .stderr
            .contains("only the same user and root may attach"),
        "{output:?}"
    );
    let log = fs::read_to_string(sandbox.log("nik")).unwrap();
    assert!(log.contains("belongs to another user (65534)"), "{log}");
    peer.end();
}

#[test]
fn root_may_attach_to_the_peer_of_a_user_but_a_user_may_not_use_the_folder_of_another() {
    if !geteuid().is_root() {
        return report_skipped("only root can act for another user");
    }
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
    let home = sandbox.folder("home");
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let binary = sandbox.path("pieceful");
    fs::copy(BINARY, &binary).unwrap();
    let state = home.join("state");
    let all = ["peer", "127.0.0.1:0", "--dir", state.to_str().unwrap()];
    let setpriv = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let user = [&setpriv[..], &[binary.to_str().unwrap()], &all].concat();
    if Command::new("setpriv").arg("--version").output().is_err() {
        return report_skipped("no setpriv here");
    }
    let peer = Process::spawn(prepared(Command::new("setpriv"), &home, &user));
    let attach = ["peer", "--dir", state.to_str().unwrap(), "-c", "status"];
    let output = run(&home, &attach, "");
    assert_eq!(output.code, Some(0), "{output:?}");
    // Another user cannot use the folder at all.
    let stranger = ["--reuid=65533", "--regid=65533", "--clear-groups"];
    let stranger = [&stranger[..], &[binary.to_str().unwrap()], &attach].concat();
    let output = run_command(prepared(Command::new("setpriv"), &home, &stranger));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(peer.wait().0.success());
}

#[test]
fn a_folder_that_others_can_change_has_no_socket() {
    let sandbox = Sandbox::new();
    let state = sandbox.state("nik");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o775)).unwrap();
    let peer = sandbox.peer("nik");
    assert!(!state.join("attach").exists());
    let output = attached_status(&sandbox);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("chmod 700"), "{output:?}");
    let (status, errors) = peer.process.wait();
    assert!(status.success());
    let warnings = errors.lines().filter(|line| line.starts_with("warning: "));
    assert_eq!(warnings.count(), 1, "{errors}");
    assert!(errors.contains("no command can be attached") && errors.contains("chmod 700"));
}

#[test]
fn a_file_system_without_sockets_means_one_warning() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "nik.state") else {
        return;
    };
    // EPERM and EOPNOTSUPP, as different file systems report it.
    for errno in [1, 95] {
        let peer = disk.peer(&sandbox, "nik", &format!("bind={errno}"));
        let output = attached_status(&sandbox);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stderr.contains("accepts no commands from outside"),
            "{output:?}"
        );
        let (status, errors) = peer.process.wait();
        assert!(status.success());
        let warnings = errors.lines().filter(|line| line.starts_with("warning: "));
        assert_eq!(warnings.count(), 1, "{errors}");
    }
}

#[test]
fn something_else_with_the_name_of_the_socket_stays() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder("nik.state").join("attach");
    fs::write(&file, "mine").unwrap();
    let peer = sandbox.peer("nik");
    let (status, errors) = peer.process.wait();
    assert!(
        status.success() && errors.contains("is in the way and is not a socket"),
        "{errors}"
    );
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}
