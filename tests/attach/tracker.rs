//! Commands that attach to a running tracker.

use crate::common::account_tracker::AccountTracker;
use crate::common::process::{BINARY, Output, Process, run};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;

/// Runs a command at the tracker of the sandbox.
fn ask(sandbox: &Sandbox, more: &[&str], input: &str) -> Output {
    let data = sandbox.path("data");
    let mut all = vec!["tracker", "--data", data.to_str().unwrap()];
    all.extend(more);
    run(&sandbox.folder("client"), &all, input)
}

#[test]
fn the_console_of_a_tracker_is_asked_from_outside() {
    let mut tracker = AccountTracker::new();
    tracker.user("nik");
    let address = tracker.address();
    let output = ask(&tracker.sandbox, &["-c", "status", "-c", "users"], "");
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], format!("tracker 1 listening on {address}"));
    assert!(lines[1].starts_with("fingerprint sha256:"), "{output:?}");
    assert!(lines[2].starts_with(&format!("tracker on {address}  1 user")));
    assert_eq!(lines[3..], ["nik"]);
    let wrong = ask(&tracker.sandbox, &["-c", "usrs", "-c", "users"], "");
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("unknown command") && wrong.stdout.ends_with("nik\n"));
    // Lines of standard input, with a password that belongs to a command.
    let input = "create_user uma\npassword-1\nusers\nquit\nusers\n";
    let piped = ask(&tracker.sandbox, &[], input);
    assert!(
        piped.code == Some(0) && piped.stdout.ends_with("created\nnik\numa\n"),
        "{piped:?}"
    );
    assert_eq!(tracker.console("users"), "nik");
    assert_eq!(tracker.process.line(), "uma");
    let stopped = ask(&tracker.sandbox, &["-c", "stop"], "");
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    let AccountTracker { sandbox, process } = tracker;
    assert!(process.wait().0.success());
    let none = ask(&sandbox, &["-c", "status"], "");
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(
        none.stderr
            .contains("no tracker is running with the state folder")
    );
}

#[test]
fn options_of_a_start_are_refused() {
    let tracker = AccountTracker::new();
    for (typed, named) in [
        (&["--open"][..], "--open"),
        (&["--listen", "127.0.0.1:0"], "--listen"),
        (
            &["--registration", "closed", "--log", "info"],
            "--registration, --log",
        ),
        (&["info.txt"], "TRACKER_INFO"),
    ] {
        std::fs::write(
            tracker.sandbox.folder("client").join("info.txt"),
            "127.0.0.1:0\n",
        )
        .unwrap();
        let output = ask(&tracker.sandbox, typed, "status\n");
        assert_eq!(output.code, Some(1), "{typed:?}: {output:?}");
        let error = format!("{named} can only be used when a tracker starts");
        assert!(output.stderr.contains(&error), "{typed:?}: {output:?}");
    }
    let refused = ask(&tracker.sandbox, &["--no-attach"], "status\n");
    assert!(
        refused.code == Some(1) && refused.stderr.contains("in use"),
        "{refused:?}"
    );
}

#[test]
fn a_terminal_has_the_prompt_of_a_console() {
    let tracker = AccountTracker::new();
    let data = tracker.sandbox.path("data");
    let program = [BINARY, "tracker", "--data", data.to_str().unwrap()];
    let mut terminal = Terminal::session(&tracker.sandbox.folder("client"), &program);
    terminal.wait_for_text("attached to the running tracker");
    terminal.press("create_user uma\r");
    terminal.wait_for_text("password for uma: ");
    terminal.press("password-1\r");
    terminal.wait_for_text("the same password again: ");
    terminal.press("password-1\r");
    terminal.wait_for_text("user uma created");
    assert!(!terminal.all_text().contains("password-1"));
    terminal.press("create_user nik\r");
    terminal.wait_for_text("password for nik: ");
    terminal.press("\x03");
    terminal.wait_for_text("error: create_user: stopped before it was done");
    terminal.press("\x04");
    assert_eq!(terminal.wait().code(), Some(1));
    tracker.user("joe");
}

#[test]
fn a_signal_ends_the_commands_attached_to_a_tracker() {
    let tracker = AccountTracker::new();
    let data = tracker.sandbox.path("data");
    let data = data.to_str().unwrap();
    let folder = tracker.sandbox.folder("client");
    for ending in ["-INT", "-TERM", "-HUP"] {
        // The first command waits for a password that never comes.
        let commands = ["-c", "create_user uma", "-c", "invite", "-c", "stop"];
        let all = [&["tracker", "--data", data][..], &commands].concat();
        let client = Process::start(&folder, &all);
        client.signal(ending);
        let (status, errors) = client.wait();
        assert_eq!(status.code(), Some(1), "{errors}");
        for line in [
            "error: invite: not run, because of a request to stop",
            "error: stop: not run, because of a request to stop",
        ] {
            assert!(errors.contains(line), "{ending}: {errors}");
        }
    }
    let users = ask(&tracker.sandbox, &["-c", "users"], "");
    assert_eq!(users.code, Some(0), "{users:?}");
    assert!(!users.stdout.contains("uma"), "{users:?}");
}
