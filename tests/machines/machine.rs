//! A machine as a test uses it, and the owner who makes its join line.

use crate::common::peer::Peer;
use crate::common::process::{Output, Process, command, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::path::Path;

/// Starts the peer of ann. She owns the group `lab` and shares `gift` there.
pub(crate) fn owner(sandbox: &Sandbox) -> Peer {
    make_owner(sandbox.debug_peer("ann", &[]), sandbox)
}

/// Makes ann of a peer. She owns the group `lab` and shares `gift` there.
pub(crate) fn make_owner(mut ann: Peer, sandbox: &Sandbox) -> Peer {
    ann.run("create_user ann\npw of ann");
    ann.run("login ann\npw of ann");
    ann.run("create_group lab");
    let gift = sandbox.file("gift", 300_000, 7);
    ann.run(&format!("upload_file lab '{}'", gift.display()));
    ann
}

/// The line that `create_join` prints.
pub(crate) fn join_line(owner: &mut Peer, options: &str) -> String {
    let created = owner.run(&format!("create_join lab {options}"));
    created["line"].as_str().unwrap().to_owned()
}

/// The arguments of a join that names its machine and goes on as a peer.
fn join_arguments<'a>(state: &'a Path, name: &'a str) -> Vec<&'a str> {
    let mut all = vec![
        "join",
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--log",
        "debug",
    ];
    all.extend(["--name", name, "--dir", state.to_str().unwrap()]);
    all
}

/// One command joins the machine `name` and goes on as its peer. The line is an argument.
pub(crate) fn join_and_run(sandbox: &Sandbox, name: &str, line: &str) -> Peer {
    let state = sandbox.state(name);
    let mut all = join_arguments(&state, name);
    all.extend(["--run", line]);
    let process = Process::launch(command(&sandbox.folder(name), &all));
    after_join(process, &state)
}

/// Like [`join_and_run`]. The line is the first line of standard input.
pub(crate) fn join_from_input(sandbox: &Sandbox, name: &str, line: &str) -> Peer {
    let state = sandbox.state(name);
    let mut all = join_arguments(&state, name);
    all.push("--run");
    let mut process = Process::launch(command(&sandbox.folder(name), &all));
    process.write_line(line);
    after_join(process, &state)
}

fn after_join(mut process: Process, state: &Path) -> Peer {
    let joined: Value = serde_json::from_str(&process.line()).unwrap();
    assert_eq!(joined["ok"], true, "{joined}");
    process.read_address();
    Peer {
        process,
        log: state.join("peer.log"),
    }
}

/// Joins without going on as a peer.
pub(crate) fn join_only(sandbox: &Sandbox, name: &str, line: &str) -> Output {
    let state = sandbox.state(name);
    let mut all = join_arguments(&state, name);
    all.push(line);
    run(&sandbox.folder(name), &all, "")
}

/// Starts the peer of a machine that has joined.
pub(crate) fn start(sandbox: &Sandbox, name: &str) -> Peer {
    let (folder, state) = (sandbox.folder(name), sandbox.state(name));
    let info = state.join("tracker_info.txt");
    let arguments = ["--stay", "--log", "debug"];
    Peer::start(&folder, "127.0.0.1:0", &info, &state, &arguments)
}

/// Ends a peer by SIGTERM. Returns the text on standard error.
pub(crate) fn end(peer: Peer) -> String {
    peer.process.signal("-TERM");
    peer.process.wait().1
}

/// The counter of starts in the state folder of a machine.
pub(crate) fn starts(state: &Path) -> u64 {
    let bytes = std::fs::read(state.join("machine")).unwrap();
    let key = b"6:startsi";
    let at = bytes.windows(key.len()).position(|part| part == key);
    let digits = &bytes[at.expect("a counter") + key.len()..];
    let end = digits.iter().position(|byte| *byte == b'e').unwrap();
    str::from_utf8(&digits[..end]).unwrap().parse().unwrap()
}

/// Waits until the peer reports this state of its machine.
pub(crate) fn wait_for_machine(peer: &mut Peer, state: &str) -> Value {
    let mut machine = Value::Null;
    wait_until(&format!("the machine is {state}"), || {
        machine = peer.run("status")["machine"].clone();
        machine["state"] == state
    });
    machine
}

/// The machine called `name` in `list_machines` of its maker, or null.
pub(crate) fn listed(maker: &mut Peer, name: &str) -> Value {
    listed_in(maker, "", name)
}

/// The machine called `name` in `list_machines` of a group, or null.
pub(crate) fn listed_in(owner: &mut Peer, group: &str, name: &str) -> Value {
    let listed = owner.run(&format!("list_machines {group}"));
    let machines = listed["machines"].as_array().unwrap();
    let found = machines.iter().find(|machine| machine["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// Waits until the owner has news with this outcome about `subject`.
pub(crate) fn wait_for_news(owner: &mut Peer, outcome: &str, subject: &str) {
    wait_until(&format!("news: {outcome} of {subject}"), || {
        let news = owner.run("list_groups")["news"].clone();
        let news = news.as_array().unwrap().clone();
        news.iter()
            .any(|entry| entry["outcome"] == outcome && entry["user"] == subject)
    });
}

/// Whether the peer has a link with this user or machine.
pub(crate) fn has_link_with(peer: &mut Peer, name: &str) -> bool {
    let shown = peer.run("show_peers");
    let links = shown["peers"].as_array().unwrap();
    links.iter().any(|link| link["name"] == name)
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    let mut cp = std::process::Command::new("cp");
    let status = cp.arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
