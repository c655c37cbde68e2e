//! Processes in the background of a shell: they work, and neither read from the terminal nor ask
//! anything there. In the foreground they read and ask.

use crate::common::account_tracker::AccountTracker;
use crate::common::http_client::stats;
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;

const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// Starts `$PIECEFUL WORDS &` and returns the address in its first line.
fn start_in_background(shell: &mut Terminal, words: &str) -> String {
    shell.press(&format!("\"$PIECEFUL\" {words} &\r"));
    shell.wait_for_text(" listening on ");
    let line = shell.wait_for_text("\n");
    line.trim_end().to_owned()
}

/// Waits until `jobs` shows this state of the only job.
fn wait_for_job(shell: &mut Terminal, state: &str) {
    loop {
        if shell.job_shell_line("jobs").contains(state) {
            return;
        }
    }
}

#[test]
fn a_tracker_serves_in_the_background_and_has_a_console_in_the_foreground() {
    let sandbox = Sandbox::new();
    let mut shell = Terminal::job_shell(&sandbox.folder("shell"));
    let address = start_in_background(&mut shell, "tracker --open --listen 127.0.0.1:0 --data d");
    // The shell, not the tracker, reads the typed text.
    let answer = shell.job_shell_line("echo typed-$((6*7))");
    assert!(answer.contains("typed-42"), "{answer}");
    assert_eq!(stats(address.parse().unwrap())["swarms"], 0);
    assert!(shell.job_shell_line("jobs").contains("Running"));
    assert!(
        !shell.all_text().contains("help lists"),
        "{}",
        shell.all_text()
    );
    shell.press("fg\r");
    shell.wait_for_text("help lists all commands");
    shell.press("users\rstatus\r");
    shell.wait_for_text("open swarms served");
    shell.press(CTRL_Z);
    shell.wait_for_text("Stopped");
    shell.wait_for_text("$ ");
    shell.job_shell_line("bg");
    wait_for_job(&mut shell, "Running");
    assert_eq!(stats(address.parse().unwrap())["swarms"], 0);
    shell.press("fg\r");
    shell.wait_for_text("tracker --open");
    shell.wait_for_text("\n");
    shell.press("exit\r");
    shell.wait_for_text("$ ");
}

#[test]
fn a_peer_shows_its_prompt_when_it_comes_to_the_foreground() {
    let tracker = AccountTracker::new();
    let folder = tracker.sandbox.folder("shell");
    let mut shell = Terminal::job_shell(&folder);
    start_in_background(
        &mut shell,
        "peer 127.0.0.1:0 ../tracker_info.txt --dir d --stay",
    );
    let answer = shell.job_shell_line("echo typed-$((6*7))");
    assert!(answer.contains("typed-42"), "{answer}");
    assert!(shell.job_shell_line("jobs").contains("Running"));
    assert!(
        !shell.all_text().contains("pieceful> "),
        "{}",
        shell.all_text()
    );
    shell.press("fg\r");
    shell.wait_for_text("pieceful> ");
    shell.type_line("list_groups");
    // Ctrl-Z at the prompt, with text that is still there afterwards.
    shell.press("stat");
    shell.wait_for_text("stat");
    shell.press(CTRL_Z);
    shell.wait_for_text("Stopped");
    shell.wait_for_text("$ ");
    shell.job_shell_line("bg");
    wait_for_job(&mut shell, "Running");
    let answer = shell.job_shell_line("echo typed-$((6*7))");
    assert!(
        answer.contains("typed-42") && !answer.contains("pieceful> "),
        "{answer}"
    );
    assert!(shell.job_shell_line("jobs").contains("Running"));
    shell.press("fg\r");
    shell.wait_for_text("pieceful> stat");
    shell.press("us\r");
    shell.wait_for_text("nobody is logged in");
    shell.wait_for_text("pieceful> ");
    shell.press("quit\r");
    shell.wait_for_text("$ ");
}

#[test]
fn a_password_is_asked_for_only_in_the_foreground() {
    let tracker = AccountTracker::new();
    let folder = tracker.sandbox.folder("shell");
    let mut shell = Terminal::job_shell(&folder);
    start_in_background(
        &mut shell,
        "peer 127.0.0.1:0 ../tracker_info.txt --dir d -c 'create_user nik'",
    );
    let answer = shell.job_shell_line("echo typed-$((6*7))");
    assert!(answer.contains("typed-42"), "{answer}");
    assert!(shell.job_shell_line("jobs").contains("Running"));
    assert!(
        !shell.all_text().contains("password for"),
        "{}",
        shell.all_text()
    );
    shell.press("fg\r");
    shell.wait_for_text("password for nik: ");
    shell.press("hidden-word\r");
    shell.wait_for_text("the same password again: ");
    shell.press(CTRL_Z);
    shell.wait_for_text("Stopped");
    shell.wait_for_text("$ ");
    // Text that is typed for the shell is visible. The password is not.
    shell.job_shell_line("bg");
    shell.press("echo typed-$((6*7))\r");
    shell.wait_for_text("echo typed");
    shell.wait_for_text("typed-42");
    shell.wait_for_text("$ ");
    shell.press("fg\r");
    shell.wait_for_text("the same password again: ");
    shell.press("hidden-word\r");
    shell.wait_for_text("user nik created");
    shell.wait_for_text("$ ");
    assert!(!shell.all_text().contains("hidden"), "{}", shell.all_text());
    shell.press(CTRL_D);
}
