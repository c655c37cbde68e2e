//! Closed runs: each scenario in `testdata` through `run_local.sh`, and the ways in which clients
//! fail.

use super::run_local::run_local;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use std::fs;
use std::path::{Path, PathBuf};

/// The entries of a folder of this checkout. If the folder is missing, reports this and returns no
/// entries.
fn entries(path: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let Ok(entries) = fs::read_dir(&path) else {
        println!("skipped: there is no {}", path.display());
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_scenario_ends_with_the_expected_files() {
    let folders = entries("testdata/scenarios");
    assert!(
        folders
            .iter()
            .any(|folder| fs::read_dir(folder).unwrap().count() > 12),
        "no scenario has 12 clients"
    );
    for folder in folders
        .into_iter()
        .chain(entries("../shared/cases/scenarios"))
    {
        let output = run_local(&folder, &[]);
        assert_eq!(output.code, Some(0), "{}: {output:?}", folder.display());
    }
}

#[test]
fn every_failing_scenario_reports_its_reason_and_other_clients_finish() {
    for folder in entries("testdata/scenarios-failing") {
        let output = run_local(&folder, &[]);
        assert_eq!(output.code, Some(1), "{}: {output:?}", folder.display());
        let expected = fs::read_to_string(folder.join("expected_error.txt")).unwrap();
        assert!(
            output.stderr.contains(expected.trim()),
            "{}: {output:?}",
            folder.display()
        );
        assert!(!output.stdout.contains("not as expected"), "{output:?}");
    }
}

#[test]
fn a_malformed_scenario_is_refused_with_its_line_before_anything_starts() {
    let sandbox = Sandbox::new();
    for file in entries("testdata/scenarios-malformed") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let line = name.split('-').nth(1).unwrap();
        let folder = sandbox.folder(&name);
        fs::copy(&file, folder.join("in1.txt")).unwrap();
        let output = run(
            &folder,
            &[
                "peer",
                "127.0.0.1:0",
                "--scenario",
                "in1.txt",
                "--out",
                "out",
            ],
            "",
        );
        assert_ne!(output.code, Some(0));
        assert!(
            output.stderr.contains(&format!("in1.txt: line {line}")),
            "{name}: {}",
            output.stderr
        );
        assert!(
            output.stdout.is_empty() && !folder.join("out").exists(),
            "{name}"
        );
    }
}

/// A closed run whose tracker is up.
struct Run {
    sandbox: Sandbox,
    tracker: Process,
}

impl Run {
    fn new(count: u32, wait_seconds: &str) -> Self {
        let sandbox = Sandbox::new();
        let arguments = [
            "tracker",
            "--listen",
            "127.0.0.1:0",
            "--expect",
            &count.to_string(),
            "--wait",
            wait_seconds,
        ];
        let tracker = Process::start(&sandbox.folder("tracker"), &arguments);
        fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        Self { sandbox, tracker }
    }

    fn start_client(&self, number: u32, input: &str) -> Process {
        let folder = self.sandbox.folder(&format!("client{number}"));
        fs::write(folder.join(format!("in{number}.txt")), input).unwrap();
        let (file, info) = (format!("in{number}.txt"), self.sandbox.tracker_info());
        let arguments = [
            "peer",
            "127.0.0.1:0",
            info.to_str().unwrap(),
            "--scenario",
            &file,
            "--out",
            "out",
        ];
        Process::start(&folder, &arguments)
    }

    fn output_path(&self, client: u32, name: &str) -> PathBuf {
        self.sandbox
            .path(&format!("client{client}/out/client{client}_{name}"))
    }
}

#[test]
fn a_client_that_never_reports_is_named_and_the_others_finish() {
    let run = Run::new(3, "1");
    let owner = run.start_client(1, "1\na 2\nx\ny\n0\n");
    let leech = run.start_client(2, "0\n1\na\n");
    assert_eq!(leech.wait().0.code(), Some(0));
    assert_eq!(owner.wait().0.code(), Some(0));
    let copy = fs::read_to_string(run.output_path(2, "a")).unwrap();
    assert_eq!(copy, "x\ny\n");
    let (status, errors) = run.tracker.wait();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("client 3"), "{errors}");
}

#[test]
fn a_client_that_dies_is_named_and_nobody_gets_files_that_only_it_owned() {
    let run = Run::new(3, "10");
    let only_owner = run.start_client(1, "1\nalone 1\nx\n0\n");
    let owner = run.start_client(2, "1\na 1\ny\n0\n");
    only_owner.signal("-STOP");
    // Client 1 may have reported already. It answers nothing from now on.
    let leech = run.start_client(3, "0\n2\na\nalone\n");
    only_owner.kill();
    let (status, errors) = leech.wait();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("alone"), "{errors}");
    assert_eq!(fs::read_to_string(run.output_path(3, "a")).unwrap(), "y\n");
    assert!(!run.output_path(3, "alone").exists());
    assert_eq!(owner.wait().0.code(), Some(0));
    let (status, errors) = run.tracker.wait();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("client 1") && errors.contains("client 3"),
        "{errors}"
    );
}

#[test]
fn a_second_client_with_the_same_number_is_refused() {
    let run = Run::new(2, "60");
    let first = run.start_client(1, "1\na 1\nx\n0\n");
    let second = run.start_client(1, "1\na 1\nx\n0\n");
    // The tracker accepts one of the two and refuses the other. Client 2 lets the run end.
    let client_2 = run.start_client(2, "0\n1\na\n");
    assert_eq!(client_2.wait().0.code(), Some(0));
    let mut codes = [first.wait().0.code(), second.wait().0.code()];
    codes.sort();
    assert_eq!(codes, [Some(0), Some(1)]);
    assert_eq!(run.tracker.wait().0.code(), Some(0));
}
