//! The examples that `--help` prints.

use super::typist::Typist;
use crate::common::process::run;
use std::fs;

/// The lines of the examples in a help text. Lines that follow each other are one block.
fn examples(arguments: &[&str]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &[arguments, &["--help"]].concat(), "");
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines = output.stdout.lines();
    let mut blocks = vec![Vec::new()];
    for line in lines.skip_while(|line| !line.starts_with("Example")) {
        match line.strip_prefix("  ") {
            // At least two spaces separate an example from its explanation.
            Some(line) if !line.starts_with(' ') => {
                let example = line.split("  ").next().unwrap_or_default();
                blocks.last_mut().unwrap().push(example.to_owned());
            }
            Some(_) => {}
            None if line.is_empty() => break,
            None => blocks.push(Vec::new()),
        }
    }
    blocks.retain(|block: &Vec<String>| !block.is_empty());
    assert!(!blocks.is_empty(), "{arguments:?}: {}", output.stdout);
    blocks
}

fn type_block(typist: &mut Typist, terminal: &str, block: &[String]) {
    typist.type_lines(terminal, block.iter().map(String::as_str));
}

#[test]
fn the_example_for_two_machines_works() {
    let mut typist = Typist::new();
    let blocks = examples(&[]);
    let [tracker, first, second] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };
    type_block(&mut typist, "tracker@192.168.1.10", tracker);
    type_block(&mut typist, "nik@192.168.1.10", first);
    // The second machine downloads this file, so its own copy is removed.
    let copy = typist.folder("second").join("disk.img");
    fs::remove_file(&copy).unwrap();
    type_block(&mut typist, "nik@second", second);
    super::typist::assert_is_copy(&copy, "disk.img");
    typist.end();
}

#[test]
fn the_examples_of_a_peer_work() {
    let mut typist = Typist::new();
    typist.type_lines("tracker", ["pieceful tracker --open"]);
    typist.type_lines("set up", ["echo 127.0.0.1:5000 > tracker_info.txt"]);
    for (terminal, example) in examples(&["peer"]).concat().iter().enumerate() {
        typist.type_lines(&terminal.to_string(), [example.as_str()]);
        // The first example opens a prompt. The second example uses the same port.
        if example == "pieceful peer" {
            typist.type_lines(&terminal.to_string(), ["quit"]);
        }
    }
    super::typist::assert_is_copy(&typist.folder("").join("copy.img"), "disk.img");
    typist.end();
}

#[test]
fn the_examples_of_a_tracker_work() {
    let mut typist = Typist::new();
    let write_info = "printf '127.0.0.1:5001\\n127.0.0.1:5002\\n' > tracker_info.txt";
    typist.type_lines("tracker", [write_info]);
    for example in examples(&["tracker"]).concat() {
        // The tracker is asked, and the backup is made, while it runs: at a terminal of their own.
        // Typing an example into the terminal of the tracker ends the tracker that runs there.
        let terminal = match example.contains("--backup") || example.contains(" -c ") {
            true => "backup",
            false => "tracker",
        };
        typist.type_lines(terminal, [example.as_str()]);
    }
    // The last example is a closed run, which ends when its three clients have finished.
    let clients = "echo 127.0.0.1:5000 > closed.txt; \
                   for n in 1 2 3; do printf '0\\n0\\n' > in$n.txt; \
                   pieceful peer 127.0.0.1:0 closed.txt --scenario in$n.txt & done; wait";
    typist.type_lines("clients", [clients]);
    typist.wait_for_end("tracker");
    typist.end();
}

#[test]
fn the_examples_of_doctor_work() {
    let mut typist = Typist::new();
    typist.type_lines("tracker", ["pieceful tracker"]);
    typist.type_lines("doctor", ["echo 127.0.0.1:5000 > tracker_info.txt"]);
    for block in examples(&["doctor"]) {
        type_block(&mut typist, "doctor", &block);
    }
    typist.end();
}

#[test]
fn the_examples_of_torrent_work() {
    for arguments in [
        &["torrent"][..],
        &["torrent", "create"],
        &["torrent", "show"],
        &["torrent", "check"],
    ] {
        let mut typist = Typist::new();
        if arguments.len() == 2 && arguments[1] != "create" {
            typist.type_lines("terminal", ["pieceful torrent create disk.img"]);
        }
        for block in examples(arguments) {
            type_block(&mut typist, "terminal", &block);
        }
        typist.end();
    }
}
