//! Commands, their output and their exit codes are the same as at the peer itself.

use super::clients::{attached, attached_with_input, objects, start_attached};
use crate::common::handmade_torrent::Torrent;
use crate::common::peer::quoted;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

#[test]
fn a_command_attaches_to_the_peer_that_holds_the_state_folder() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let socket = sandbox.state("nik").join("attach");
    assert!(socket.metadata().unwrap().file_type().is_socket());
    let folder = sandbox.folder("client");
    let output = attached(&sandbox, "nik", &folder, &["-c", "status"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let address = peer.process.address.to_string();
    let first = format!("peer listening on {address}\npeer nik  on {address}");
    assert!(output.stdout.starts_with(&first), "{output:?}");
    // Each command prints the same JSON object as at the peer itself.
    for (command, ok) in [
        ("show_downloads", true),
        ("cancel x", false),
        ("sned", false),
    ] {
        let own = peer.try_run(command);
        let output = attached(&sandbox, "nik", &folder, &["--json", "-c", command]);
        assert_eq!(objects(&output), [own], "{command}");
        assert_eq!(output.code, Some(i32::from(!ok)), "{command}: {output:?}");
        let first: Value = serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(first["event"], "listening");
    }
    let fast = ["--fail-fast", "--json", "-c", "cancel x", "-c", "status"];
    assert_eq!(objects(&attached(&sandbox, "nik", &folder, &fast)).len(), 1);
    // The peer goes on after `quit`, and reads its own input.
    let input = "status\nquit\nstatus\n";
    let output = attached_with_input(&sandbox, "nik", &folder, &["--json"], input);
    assert_eq!((objects(&output).len(), output.code), (2, Some(0)));
    peer.run("status");
    drop(peer.process.wait());
    assert!(!socket.exists());
}

#[test]
fn commands_attach_to_a_peer_that_was_started_with_commands() {
    let sandbox = Sandbox::new();
    let (folder, state) = (sandbox.folder("work"), sandbox.state("nik"));
    let state = state.to_str().unwrap();
    let all = [
        "peer",
        "127.0.0.1:0",
        "--dir",
        state,
        "-c",
        "status",
        "--stay",
    ];
    let peer = Process::start(&folder, &all);
    let output = attached(&sandbox, "nik", &folder, &["--json", "-c", "stop"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let objects = objects(&output);
    assert_eq!(
        (&objects[0]["command"], &objects[0]["ok"]),
        (&"stop".into(), &true.into())
    );
    // The folder is free as soon as the attached command has ended.
    let next = run(
        &folder,
        &["peer", "127.0.0.1:0", "--dir", state, "-c", "stop"],
        "",
    );
    assert_eq!(next.code, Some(0), "{next:?}");
    assert!(peer.wait().0.success());
}

#[test]
fn six_commands_run_at_a_time() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let torrent = Torrent::new("share", 40_000, 32_768, 1).write(&sandbox, "share.torrent");
    peer.run(&format!("download {}", quoted(&torrent)));
    let begun = Instant::now();
    let start = |_| start_attached(&sandbox, "nik", &["--json", "-c", "wait 3", "-c", "status"]);
    let clients: Vec<_> = (0..6).map(start).collect();
    // The peer's own user is served meanwhile.
    peer.run("status");
    for client in clients {
        let output = client.output();
        let objects = objects(&output);
        assert_eq!(objects[0]["error"]["kind"], "not-complete", "{output:?}");
        assert_eq!(objects[1]["downloads"][0]["name"], "share");
        assert_eq!(output.code, Some(1));
    }
    let taken = begun.elapsed();
    assert!(
        taken < Duration::from_secs(15),
        "one after the other: {taken:?}"
    );
    peer.end();
}

#[test]
fn paths_belong_to_the_folder_of_the_caller() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    // A longer path than the address of a socket can have.
    let name = "n".repeat(150);
    let peer = sandbox.peer_at("127.0.0.1:0", &name, &[]);
    let client = sandbox.folder("client");
    sandbox.file("client/gift", 70_000, 1);
    sandbox.file("client/sub/other", 70_000, 2);
    let sent = attached(
        &sandbox,
        &name,
        &client,
        &["-c", "send gift", "-c", "send sub/other o.t"],
    );
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(client.join("gift.torrent").exists() && client.join("o.t").exists());
    let torrent = Torrent::new("share", 40_000, 32_768, 1);
    torrent.write(&sandbox, "client/share.torrent");
    let elsewhere = sandbox.folder("client/elsewhere");
    let more = [
        "--json",
        "-c",
        "download ../share.torrent",
        "-c",
        "show_downloads",
    ];
    let started = attached(&sandbox, &name, &elsewhere, &more);
    let objects = objects(&started);
    let path = elsewhere.join("share");
    assert_eq!(objects[0]["path"], path.to_str().unwrap(), "{started:?}");
    // Without a destination, a download of a share that the peer already has succeeds, and leaves
    // the share where it is.
    let again = attached(
        &sandbox,
        &name,
        &client,
        &["--json", "-c", "download share.torrent"],
    );
    assert_eq!(
        super::clients::objects(&again)[0]["already"],
        true,
        "{again:?}"
    );
    let working_folder = sandbox.folder(&name);
    assert_eq!(fs::read_dir(working_folder).unwrap().count(), 0);
    peer.end();
}

#[test]
fn passwords_are_the_next_lines_of_the_client() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let peer = sandbox.peer("nik");
    let folder = sandbox.folder("client");
    // The password of the mistyped command is dropped, and not carried out as a command.
    let input =
        "create_user nik\nsecret-1\nlogin nik --bogus\nsecret-1\nlogin nik\nsecret-1\nstatus\n";
    let output = attached_with_input(&sandbox, "nik", &folder, &["--json"], input);
    let objects = objects(&output);
    let ok: Vec<bool> = objects.iter().map(|object| object["ok"] == true).collect();
    assert_eq!(ok, [true, false, true, true], "{output:?}");
    assert_eq!(objects[3]["user"], "nik");
    assert!(!output.stdout.contains("secret-1") && !output.stderr.contains("secret-1"));
    let missing = attached(&sandbox, "nik", &folder, &["--json", "-c", "login nik"]);
    assert_eq!(
        super::clients::objects(&missing)[0]["error"]["kind"],
        "bad-password"
    );
    peer.end();
}
