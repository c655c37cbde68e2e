//! The processes of hooks: what they get, and how they are ended.

use super::script::{Script, download, small_torrent, wait_for_result};
use crate::common::log::wait_for_log_line;
use crate::common::peer::Peer;
use crate::common::process::{BINARY, prepared, resident_kib, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{wait_for, wait_until};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A peer whose hook after a complete download is this script.
fn peer_with(sandbox: &Sandbox, script: &Script, arguments: &[&str]) -> Peer {
    let hook = ["--on-complete", &script.command()];
    sandbox.debug_peer("leech", &[&hook, arguments].concat())
}

/// Waits for a file with one line. Returns the line.
fn line_of(path: &Path) -> String {
    wait_for(
        || {
            let text = fs::read_to_string(path).ok()?;
            Some(text.strip_suffix('\n')?.to_owned())
        },
        || format!("there is no {}", path.display()),
    )
}

/// Whether a process runs: it exists and is no zombie.
fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_name_of_others_arrives_unchanged_and_is_not_executed() {
    let sandbox = Sandbox::new();
    let name = r#"it's "$(touch bad)" `touch bad` ; touch bad & | > * ~ %s ü -n"#;
    let said = sandbox.path("said");
    let body = format!("printf '%s\\n' \"$PIECEFUL_NAME\" > '{}'", said.display());
    let script = Script::new(&sandbox, "hook", &body);
    let mut peer = peer_with(&sandbox, &script, &[]);
    download(&sandbox, &mut peer, &small_torrent(name, 1));
    let facts = script.wait_for(name);
    let path = sandbox.path("leech").join(name);
    assert_eq!(facts["PIECEFUL_PATH"], path.to_str().unwrap());
    assert_eq!(line_of(&said), name);
    assert!(!sandbox.path("leech/bad").exists() && !sandbox.path("bad").exists());
}

#[test]
fn a_hook_that_hangs_is_ended_with_its_children_and_the_next_one_runs() {
    let sandbox = Sandbox::new();
    let child = sandbox.path("child");
    let body = format!(
        "test \"$PIECEFUL_NAME\" != first && exit 0\nsleep 1000 & echo $! > '{}'\nwait",
        child.display()
    );
    let script = Script::new(&sandbox, "hook", &body);
    let mut peer = peer_with(&sandbox, &script, &["--hook-time", "1"]);
    download(&sandbox, &mut peer, &small_torrent("first", 1));
    download(&sandbox, &mut peer, &small_torrent("second", 2));
    script.wait_for("second");
    let first = wait_for_log_line(
        &peer.log,
        &["WARN", "--on-complete for first", "--hook-time"],
    );
    assert!(first.contains("ended after 1 s"), "{first}");
    assert!(!runs(&line_of(&child)));
}

#[test]
fn a_hook_that_ignores_sigterm_is_killed() {
    let sandbox = Sandbox::new();
    let script = Script::new(
        &sandbox,
        "hook",
        "trap '' TERM\nwhile :; do sleep 0.1; done",
    );
    let mut peer = peer_with(&sandbox, &script, &["--hook-time", "1"]);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    let result = wait_for_result(&mut peer, "complete");
    assert!(result.contains("ended by SIGKILL"), "{result}");
}

#[test]
fn a_hook_that_cannot_be_started_fails_no_download() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.debug_peer("leech", &["--on-complete", "/no/such/program x"]);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    let result = wait_for_result(&mut peer, "complete");
    let expected = "cannot start /no/such/program: No such file or directory";
    assert_eq!(result, expected);
    wait_for_log_line(&peer.log, &["WARN", "--on-complete for data", expected]);
    assert_eq!(peer.shown_download("data")["state"], "complete");
}

#[test]
fn much_output_fills_neither_the_log_nor_the_memory() {
    let sandbox = Sandbox::new();
    let body = "yes | head -c 50000000\nhead -c 50000000 /dev/zero | tr '\\0' x >&2";
    let script = Script::new(&sandbox, "hook", body);
    let mut peer = peer_with(&sandbox, &script, &[]);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    assert_eq!(wait_for_result(&mut peer, "complete"), "exit code 0");
    wait_for_log_line(&peer.log, &["--on-complete: [24999801 more lines"]);
    assert!(fs::metadata(&peer.log).unwrap().len() < 200_000);
    assert!(resident_kib(peer.process.id()) < 100_000);
}

#[test]
fn what_a_hook_leaves_behind_is_ended() {
    let sandbox = Sandbox::new();
    let child = sandbox.path("child");
    let body = format!("sleep 1000 & echo $! > '{}'", child.display());
    let script = Script::new(&sandbox, "hook", &body);
    let mut peer = peer_with(&sandbox, &script, &[]);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    assert_eq!(wait_for_result(&mut peer, "complete"), "exit code 0");
    assert!(!runs(&line_of(&child)));
}

#[test]
fn a_stop_ends_a_hook_even_if_it_ignores_sigterm() {
    for body in [
        "echo $$ > '%'; exec sleep 1000",
        "trap '' TERM; echo $$ > '%'; while :; do sleep 0.1; done",
    ] {
        let sandbox = Sandbox::new();
        let process = sandbox.path("process");
        let body = body.replace('%', process.to_str().unwrap());
        let script = Script::new(&sandbox, "hook", &body);
        let mut peer = peer_with(&sandbox, &script, &["--stay"]);
        download(&sandbox, &mut peer, &small_torrent("data", 1));
        let process = line_of(&process);
        let begun = Instant::now();
        peer.process.signal("-TERM");
        let (status, errors) = peer.process.wait();
        // A `wait` of the test may have been too short. Then a command has failed.
        assert!(matches!(status.code(), Some(0 | 1)), "{status} {errors}");
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{:?}",
            begun.elapsed()
        );
        assert!(!runs(&process));
    }
}

#[test]
fn two_events_at_once_run_one_after_the_other() {
    let sandbox = Sandbox::new();
    let (lock, overlap) = (sandbox.path("lock"), sandbox.path("overlap"));
    let go = sandbox.path("go");
    let body = format!(
        "mkdir '{0}' || : > '{1}'\nwhile ! test -e '{2}'; do sleep 0.02; done\nrmdir '{0}'",
        lock.display(),
        overlap.display(),
        go.display()
    );
    let script = Script::new(&sandbox, "hook", &body);
    let mut peer = peer_with(&sandbox, &script, &[]);
    for (name, seed) in [("one", 1), ("two", 2), ("three", 3)] {
        download(&sandbox, &mut peer, &small_torrent(name, seed));
    }
    wait_until("two events wait", || {
        peer.run("status")["hooks"][0]["waiting"] == 2
    });
    fs::write(go, "").unwrap();
    for name in ["one", "two", "three"] {
        script.wait_for(name);
    }
    assert!(!overlap.exists());
}

#[test]
fn a_hook_ignores_and_blocks_no_signal_although_its_peer_does() {
    let sandbox = Sandbox::new();
    let signals = sandbox.path("signals");
    let body = format!(
        "grep -E '^Sig(Ign|Blk)' /proc/self/status | cut -f2 | tr '\\n' ' ' > '{0}.new'\n\
         echo >> '{0}.new'; mv '{0}.new' '{0}'",
        signals.display()
    );
    let script = Script::new(&sandbox, "hook", &body);
    let (folder, state) = (sandbox.folder("leech"), sandbox.state("leech"));
    let arguments = ["--on-complete", &script.command(), "--name", "leech"];
    let ignoring = |all: &[&str]| {
        let mut shell = Command::new("sh");
        let script = "trap '' HUP INT QUIT PIPE USR1 USR2 CHLD; exec \"$0\" \"$@\"";
        shell.args(["-c", script, BINARY]);
        prepared(shell, &folder, all)
    };
    let info = sandbox.tracker_info();
    let mut peer = Peer::start_with("127.0.0.1:0", &info, &state, &arguments, ignoring);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    let masks = line_of(&signals);
    for mask in masks.split_whitespace() {
        // The C library uses the signals 32 and 33 itself, and ignores them in processes that it
        // starts.
        let of_library = 0b11 << 31;
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask & !of_library, 0, "{masks}");
    }
    wait_for_result(&mut peer, "complete");
    peer.process.signal("-TERM");
    let status = peer.process.wait().0;
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

#[test]
fn a_bad_command_is_wrong_usage_in_options_and_in_the_configuration() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("peer");
    for bad in ["", "it's", "x \\", "# x"] {
        let arguments = ["peer", "127.0.0.1:0", "--on-share", bad, "-c", "status"];
        let output = run(&folder, &arguments, "");
        assert_eq!(output.code, Some(2), "{bad:?}: {output:?}");
        assert!(output.stderr.contains("--on-share"), "{output:?}");
        let config = sandbox.path("peer.toml");
        fs::write(&config, format!("on-error = {bad:?}\n")).unwrap();
        let config = config.to_str().unwrap();
        let arguments = ["peer", "127.0.0.1:0", "--config", config, "-c", "status"];
        let output = run(&folder, &arguments, "");
        assert_eq!(output.code, Some(2), "{bad:?}: {output:?}");
        assert!(output.stderr.contains("line 1: on-error"), "{output:?}");
    }
}

#[test]
fn a_relative_program_in_the_configuration_belongs_to_the_folder_of_the_file() {
    let sandbox = Sandbox::new();
    let script = Script::new(&sandbox, "hook", "");
    let config = sandbox.path("peer.toml");
    fs::write(&config, "on-complete = \"./hook 'a b'\"\n").unwrap();
    let mut peer = sandbox.debug_peer("leech", &["--config", config.to_str().unwrap()]);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    script.wait_for("data");
}
