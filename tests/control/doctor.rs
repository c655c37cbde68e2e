//! `pieceful doctor`: what it finds with working and broken trackers, ports and files.

use crate::common::peer::Peer;
use crate::common::process::{Output, run};
use crate::common::sandbox::Sandbox;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;

/// The findings of a run: its exit code, and the state and message of each check.
struct Findings {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Findings {
    /// Runs `doctor` in the sandbox for a peer that listens at `address` and has the state folder
    /// `state`.
    fn of(sandbox: &Sandbox, address: &str) -> Self {
        let output = doctor(sandbox, address, &["--json"]);
        let object: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(object["command"], "doctor");
        assert_eq!(object["ok"], output.code == Some(0), "{object}");
        Self {
            code: output.code,
            checks: object["checks"].as_array().unwrap().clone(),
        }
    }

    /// The check of this name and state whose message contains `part`.
    fn find(&self, check: &str, state: &str, part: &str) -> &Value {
        let mut checks = self.checks.iter();
        let found = checks.find(|entry| {
            entry["check"] == check
                && entry["state"] == state
                && entry["message"].as_str().unwrap().contains(part)
        });
        found.unwrap_or_else(|| panic!("no {check}, {state}, {part:?}: {:#?}", self.checks))
    }

    /// The checks whose state is not `ok`.
    fn troubles(&self) -> Vec<&Value> {
        let checks = self.checks.iter();
        // The machine of the test may have little disk space or few descriptors. That is no
        // trouble.
        let troubles = checks.filter(|entry| {
            let message = entry["message"].as_str().unwrap();
            entry["state"] != "ok" && !message.contains("disk") && entry["check"] != "descriptors"
        });
        troubles.collect()
    }
}

fn doctor(sandbox: &Sandbox, address: &str, more: &[&str]) -> Output {
    let state = sandbox.path("state");
    let info = sandbox.tracker_info();
    let mut all = vec!["doctor", address, info.to_str().unwrap(), "--dir"];
    all.push(state.to_str().unwrap());
    all.extend(more);
    run(&sandbox.folder("work"), &all, "")
}

#[test]
fn with_a_running_tracker_there_is_no_fault_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let findings = Findings::of(&sandbox, "127.0.0.1:0");
    assert_eq!(findings.troubles(), Vec::<&Value>::new());
    assert_eq!(findings.code, Some(0));
    findings.find("tracker", "ok", "serves");
    findings.find("fingerprint", "ok", "compare sha256:");
    findings.find("clock", "ok", "agrees");
    findings.find("port", "ok", "reaches TCP port");
    assert!(!sandbox.path("state").exists());
    assert_eq!(fs::read_dir(sandbox.path("work")).unwrap().count(), 0);
}

#[test]
fn the_port_and_the_folder_of_a_running_peer_are_no_faults() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (folder, info) = (sandbox.folder("work"), sandbox.tracker_info());
    let state = sandbox.path("state");
    let peer = Peer::start(&folder, "127.0.0.1:0", &info, &state, &[]);
    let findings = Findings::of(&sandbox, &peer.process.address.to_string());
    assert_eq!(findings.troubles(), Vec::<&Value>::new());
    findings.find("state-folder", "ok", "a running peer uses");
    findings.find("port", "ok", "the running peer uses 127.0.0.1:");
    findings.find("port", "ok", "reaches TCP port");
}

#[test]
fn a_port_of_another_process_and_a_port_that_trackers_cannot_reach_are_found() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let findings = Findings::of(&sandbox, &taken.local_addr().unwrap().to_string());
    let port = findings.find("port", "error", "another process uses 127.0.0.1:");
    assert!(port["advice"].as_str().unwrap().contains("0.0.0.0:6882"));
    assert_eq!(findings.code, Some(1));
    // The tracker sees this machine at 127.0.0.1, where nothing listens on that port.
    let findings = Findings::of(&sandbox, "127.0.0.2:0");
    let port = findings.find("port", "warning", "is refused at TCP port");
    assert!(port["advice"].as_str().unwrap().contains("firewall"));
    assert_eq!(findings.code, Some(0));
}

#[test]
fn a_tracker_info_that_is_missing_wrong_or_empty_is_an_error_that_says_what_to_write() {
    let sandbox = Sandbox::new();
    for (text, part) in [
        (None, "does not exist"),
        (Some("x\n"), "line 1"),
        (Some("# later\n"), "names no tracker"),
    ] {
        if let Some(text) = text {
            fs::write(sandbox.tracker_info(), text).unwrap();
        }
        let findings = Findings::of(&sandbox, "127.0.0.1:0");
        let finding = findings.find("tracker-info", "error", part);
        assert!(finding["advice"].is_string());
        assert_eq!(findings.code, Some(1));
    }
}

#[test]
fn one_reachable_tracker_of_two_is_enough_and_no_reachable_tracker_is_an_error() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    // Nothing listens at this address: the tracker listens at 127.0.0.1.
    let dead_address = format!("127.0.0.3:{}", tracker.address.port());
    let both = format!("{dead_address}\n{}\n", tracker.address);
    fs::write(sandbox.tracker_info(), both).unwrap();
    let findings = Findings::of(&sandbox, "127.0.0.1:0");
    findings.find("tracker", "warning", &dead_address);
    assert_eq!(findings.code, Some(0));
    tracker.kill();
    let findings = Findings::of(&sandbox, "127.0.0.1:0");
    findings.find("tracker", "error", "no tracker can be used");
    assert_eq!(findings.code, Some(1));
    let text = doctor(&sandbox, "127.0.0.1:0", &[]).stdout;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), findings.checks.len(), "{text}");
    assert!(
        text.contains("\nwarning  tracker         cannot reach"),
        "{text}"
    );
}

#[test]
fn a_tracker_of_another_cluster_is_an_error() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let pinned = format!(
        "{}\nfingerprint sha256:{}\n",
        tracker.address,
        "0".repeat(64)
    );
    fs::write(sandbox.tracker_info(), pinned).unwrap();
    let findings = Findings::of(&sandbox, "127.0.0.1:0");
    findings.find("fingerprint", "error", "TRACKER_INFO pins");
    assert_eq!(findings.code, Some(1));
}
