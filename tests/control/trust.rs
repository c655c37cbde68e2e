//! The fingerprint of a cluster: a peer trusts the first one that it sees, or the one that
//! TRACKER_INFO pins, and no other.

use crate::common::process::{Output, Process, run};
use crate::common::sandbox::Sandbox;
use std::fs;

/// A closed run of one client.
pub(crate) struct Run<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) tracker: Process,
    pub(crate) fingerprint: String,
}

impl<'a> Run<'a> {
    /// Starts the tracker. Its key is in the sandbox's file `key_file`.
    pub(crate) fn new(sandbox: &'a Sandbox, key_file: &str) -> Self {
        let key = sandbox.path(key_file);
        let mut all = vec!["tracker", "--listen", "127.0.0.1:0", "--expect", "1"];
        all.extend(["--cluster", key.to_str().unwrap()]);
        let mut tracker = Process::start(&sandbox.folder("work"), &all);
        let line = tracker.line();
        let fingerprint = line.strip_prefix("fingerprint ").unwrap().to_owned();
        let run = Self {
            sandbox,
            tracker,
            fingerprint,
        };
        run.write_info("");
        run
    }

    /// Writes TRACKER_INFO with the line `pin`.
    fn write_info(&self, pin: &str) {
        let text = format!("{}\n{pin}\n", self.tracker.address);
        fs::write(self.sandbox.tracker_info(), text).unwrap();
    }

    /// Runs client 1 to its end, with the sandbox's folder `state` as its state folder.
    pub(crate) fn run_client(&self) -> Output {
        let folder = self.sandbox.folder("client");
        fs::write(folder.join("in1.txt"), "1\nsecret-name 1\nx\n0\n").unwrap();
        let (info, state) = (self.sandbox.tracker_info(), self.sandbox.path("state"));
        let mut all = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
        all.extend(["--dir", state.to_str().unwrap(), "--scenario", "in1.txt"]);
        run(&folder, &all, "")
    }

    /// Waits for the end of the tracker, which must be a success.
    pub(crate) fn wait(self) {
        let (status, errors) = self.tracker.wait();
        assert!(status.success(), "{errors}");
    }
}

#[test]
fn the_first_fingerprint_is_reported_once_and_stored_and_is_required_from_then_on() {
    let sandbox = Sandbox::new();
    let stored = sandbox.path("state/cluster_fingerprint");
    let first = Run::new(&sandbox, "ours.pem");
    let ours = first.fingerprint.clone();
    let output = first.run_client();
    assert_eq!(output.code, Some(0), "{output:?}");
    let reports: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.contains(&ours) && !line.starts_with("error"))
        .collect();
    assert_eq!(reports.len(), 1, "{output:?}");
    assert_eq!(fs::read_to_string(&stored).unwrap().trim(), ours);
    first.wait();

    let second = Run::new(&sandbox, "ours.pem");
    let output = second.run_client();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.stderr.contains("sha256:"), "{output:?}");
    second.wait();

    let other = Run::new(&sandbox, "other.pem");
    let output = other.run_client();
    assert_eq!(output.code, Some(1), "{output:?}");
    for part in [&ours, &other.fingerprint, stored.to_str().unwrap()] {
        assert!(output.stderr.contains(part), "{output:?}");
    }
    assert_eq!(fs::read_to_string(&stored).unwrap().trim(), ours);
    // The error says to remove the stored fingerprint.
    fs::remove_file(&stored).unwrap();
    assert_eq!(other.run_client().code, Some(0));
    other.wait();
}

#[test]
fn a_pinned_fingerprint_is_required_and_nothing_is_stored() {
    let sandbox = Sandbox::new();
    let run = Run::new(&sandbox, "ours.pem");
    let wrong = format!("sha256:{}", "0123456789abcdef".repeat(4));
    run.write_info(&format!("fingerprint {wrong}"));
    let output = run.run_client();
    assert_eq!(output.code, Some(1), "{output:?}");
    for part in [&wrong, &run.fingerprint] {
        assert!(output.stderr.contains(part), "{output:?}");
    }
    run.write_info(&format!("fingerprint {}", run.fingerprint));
    let output = run.run_client();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.stderr.contains("sha256:"), "{output:?}");
    assert!(!sandbox.path("state/cluster_fingerprint").exists());
    run.wait();
}
