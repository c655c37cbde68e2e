//! Mistakes with join lines, tokens, configuration files and state folders: each error says what to
//! do next.

use super::machine::{
    end, join_and_run, join_line, join_only, listed, owner, start, wait_for_machine,
};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use crate::common::process::{Output, Process, command, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// Runs a join in a folder of its own, with this text as standard input.
fn join_with_input(sandbox: &Sandbox, name: &str, input: &str) -> Output {
    let state = sandbox.state(name);
    let dir = state.to_str().unwrap();
    let arguments = ["join", "--dir", dir, "--listen", "127.0.0.1:0"];
    run(&sandbox.folder(name), &arguments, input)
}

/// The token that `create_token` prints.
fn token(ann: &mut Peer) -> String {
    let created = ann.run("create_token lab --machines 9");
    created["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_wrapped_line_is_read_and_a_line_that_was_pasted_twice_is_named() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "--uses 3");
    let (start, end) = line.split_at(47);
    let wrapped = join_with_input(sandbox, "m1", &format!("\n{start}\n  {end}\nrest\n"));
    assert_eq!(wrapped.code, Some(0), "{wrapped:?}");
    // As words, without quotes.
    let (state, typed) = (sandbox.state("m2"), line.replace('-', " "));
    let mut arguments = vec!["join", "--listen", "127.0.0.1:0"];
    arguments.extend(typed.split(' '));
    arguments.extend(["--dir", state.to_str().unwrap()]);
    let words = run(&sandbox.folder("m2"), &arguments, "");
    assert_eq!(words.code, Some(0), "{words:?}");
    for (typed, part) in [
        (format!("{line}{line}\n"), "more than once"),
        (format!("{start}\n{start}\n"), "more than once"),
        (format!("{start}\nstatus\n"), "a part of it is missing"),
    ] {
        let refused = join_with_input(sandbox, "m3", &typed);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(part), "{refused:?}");
        assert!(!sandbox.state("m3").exists());
    }
}

#[test]
fn after_a_refused_line_another_line_or_token_can_be_used_in_the_same_folder() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let spent = join_line(&mut ann, "");
    let good = join_line(&mut ann, "");
    assert_eq!(join_only(sandbox, "m1", &spent).code, Some(0));
    let refused = join_only(sandbox, "m2", &spent);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let key = fs::read(sandbox.state("m2").join("machine")).unwrap();
    let joined = join_only(sandbox, "m2", &good);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let now = fs::read(sandbox.state("m2").join("machine")).unwrap();
    assert_ne!(key, now, "each token gets a key of its own");
    let mut m2 = start(sandbox, "m2");
    wait_for_machine(&mut m2, "logged-in");
    end(m2);
    // A machine that has enrolled does not give way.
    let line = join_line(&mut ann, "");
    let kept = fs::read(sandbox.state("m2").join("token")).unwrap();
    let refused = join_only(sandbox, "m2", &line);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("machine with another token"));
    assert_eq!(fs::read(sandbox.state("m2").join("token")).unwrap(), kept);
}

#[test]
fn what_makes_sense_only_at_a_start_is_refused_while_the_peer_of_the_machine_runs() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let mut machine = join_and_run(sandbox, "m1", &line);
    wait_for_machine(&mut machine, "logged-in");
    let (folder, state) = (sandbox.folder("m1"), sandbox.state("m1"));
    let dir = state.to_str().unwrap();
    // Whether the file exists does not matter.
    let arguments = ["peer", "--dir", dir, "--token", "missing", "-c", "status"];
    let refused = run(&folder, &arguments, "");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let part = "--token can only be used when a peer starts: leave it out";
    assert!(refused.stderr.contains(part), "{refused:?}");
    let again = run(&folder, &["join", &line, "--dir", dir, "--run"], "");
    assert_eq!(again.code, Some(1), "{again:?}");
    let part = format!(
        "the peer of ann/m1 runs already; to send it commands, type: pieceful peer --dir {dir}"
    );
    assert!(again.stderr.contains(&part), "{again:?}");
    assert!(!again.stdout.contains("listening"), "{again:?}");
    // Another line is refused because the folder is that of a machine, not because it is in use.
    let other = join_line(&mut ann, "");
    for (owner, part) in [
        ("m1", "machine with another token"),
        ("ann", "folder of a person"),
    ] {
        let refused = join_only(sandbox, owner, &other);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stdout.contains(part), "{refused:?}");
    }
    let status = run(
        &folder,
        &["peer", "--dir", dir, "--json", "-c", "status"],
        "",
    );
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.stdout.contains("\"state\":\"logged-in\""),
        "{status:?}"
    );
}

#[test]
fn the_file_of_a_token_says_what_is_wrong_with_it() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let (token, line) = (token(&mut ann), join_line(&mut ann, ""));
    let other = if &token[8..9] == "7" { "8" } else { "7" };
    let wrong = format!("{}{other}{}", &token[..8], &token[9..]);
    let (folder, state) = (sandbox.folder("m1"), sandbox.state("m1"));
    let file = sandbox.path("token");
    let (dir, shown) = (state.to_str().unwrap(), file.to_str().unwrap());
    let arguments = [
        "peer",
        "127.0.0.1:0",
        "--dir",
        dir,
        "--token",
        shown,
        "-c",
        "status",
    ];
    for (text, part) in [
        (None, "write the line that create_token printed into it"),
        (Some(""), "does not begin with \"token\""),
        (Some(&*wrong), "has a typing mistake"),
        (Some(&token[..token.len() - 3]), "a part of it is missing"),
        (Some(&*format!("{token}\n{token}\n")), "more than once"),
        (Some(&*line), "use it with pieceful join"),
    ] {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let output = run(&folder, &arguments, "");
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stderr.contains(shown) && output.stderr.contains(part),
            "{output:?}"
        );
        assert!(!state.join("machine").exists());
    }
}

#[test]
fn a_configuration_runs_the_peer_of_a_machine_and_is_read_again() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let folder = sandbox.folder("m1");
    let (file, config) = (folder.join("token"), folder.join("peer.toml"));
    fs::write(&file, token(&mut ann)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let write = |token: &str, up: &str| {
        let text = format!(
            "dir = \"state\"\nlisten = \"127.0.0.1:0\"\ntracker_info = \"../tracker_info.txt\"\n\
             name = \"Lab 3\"\nstay = true\njson = true\nup = \"{up}\"\ntoken = \"{token}\"\n"
        );
        fs::write(&config, text).unwrap();
    };
    write("token", "1M");
    let shown = config.to_str().unwrap();
    let arguments = ["peer", "--config", shown];
    let process = Process::spawn(command(&sandbox.folder("elsewhere"), &arguments));
    let log = folder.join("state/peer.log");
    let mut machine = Peer { process, log };
    wait_for_machine(&mut machine, "logged-in");
    assert_eq!(listed(&mut ann, "ann/Lab-3")["state"], "started");
    write("other", "2M");
    machine.process.signal("-USR1");
    let log = || fs::read_to_string(&machine.log).unwrap();
    wait_until("the new limit", || {
        log().contains("up is now 2M (before: 1M)")
    });
    let other = folder.join("other");
    let part = format!("token = {} needs a restart", other.display());
    assert!(log().contains(&part), "{}", log());
    machine.process.signal("-TERM");
    assert!(machine.process.wait().0.success());
    let refused = run(&folder, &arguments, "");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("create_token"), "{refused:?}");
    fs::write(&config, "tokn = \"token\"\n").unwrap();
    let refused = run(&folder, &arguments, "");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let part = "line 1: there is no setting \"tokn\"; the nearest is token";
    assert!(refused.stderr.contains(part), "{refused:?}");
}

#[test]
fn a_join_takes_its_folder_name_and_commands_from_a_configuration() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let config = sandbox.folder("m1").join("peer.toml");
    let write = |more: &str| {
        let text = "dir = \"state\"\nlisten = \"127.0.0.1:0\"\nname = \"m1\"\nup = \"1M\"\njson = true\n\
                    stay = false\ncommands = [\"download_file lab gift copy\"]\n";
        fs::write(&config, format!("{text}{more}")).unwrap();
    };
    let shown = config.to_str().unwrap();
    let (here, arguments) = (
        sandbox.folder("elsewhere"),
        ["join", "--config", shown, "--run"],
    );
    write("token = \"mine\"\n");
    let refused = run(&here, &arguments, &line);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("has the setting token"),
        "{refused:?}"
    );
    write("");
    let mut process = Process::launch(command(&here, &arguments));
    process.write_line(&line);
    let joined = process.line();
    assert!(joined.contains("\"machine\":\"ann/m1\""), "{joined}");
    process.read_address();
    let state = sandbox.path("m1/state");
    let log = state.join("peer.log");
    let mut machine = Peer { process, log };
    let started: serde_json::Value = serde_json::from_str(&machine.process.line()).unwrap();
    assert_eq!(started["ok"], true, "{started}");
    // Relative paths belong to the folder of the file, as for a peer.
    let copy = sandbox.path("m1/copy");
    wait_until("the download is complete", || copy.exists());
    write("down = \"3M\"\n");
    machine.process.signal("-USR1");
    let log = || fs::read_to_string(&machine.log).unwrap();
    wait_until("the new limit", || {
        log().contains("down is now 3M (before: the default)")
    });
    end(machine);
}
