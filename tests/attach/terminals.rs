//! Attached prompts, at real terminals.

use super::clients::terminal_program;
use crate::common::handmade_torrent::Torrent;
use crate::common::peer::quoted;
use crate::common::sandbox::Sandbox;
use crate::common::terminal::{Terminal, TerminalKind};
use std::fs;

/// Attaches a prompt to the peer `nik`.
fn attach(sandbox: &Sandbox) -> Terminal {
    let program = terminal_program(sandbox, "nik");
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    let mut terminal = Terminal::session(&sandbox.folder("client"), &program);
    terminal.wait_for_text("attached to the running peer; help lists all commands");
    terminal.wait_for_text("pieceful> ");
    terminal
}

#[test]
fn an_attached_prompt_is_like_the_prompt_of_the_peer() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let mut peer = sandbox.peer("nik");
    let mut terminal = attach(&sandbox);
    let address = peer.process.address;
    assert!(
        terminal
            .all_text()
            .starts_with(&format!("peer listening on {address}"))
    );
    assert!(
        terminal
            .type_line("status")
            .contains(&format!("peer nik  on {address}"))
    );
    assert!(
        terminal
            .type_line("help wait")
            .contains("wait [SECONDS]: wait until")
    );
    // Passwords are asked for here, and not shown.
    terminal.press("create_user nik\r");
    terminal.wait_for_text("password for nik: ");
    terminal.press("secret-1\r");
    terminal.wait_for_text("the same password again: ");
    terminal.press("secret-1\r");
    terminal.wait_for_text("user nik created");
    terminal.wait_for_text("pieceful> ");
    terminal.press("login nik\r");
    terminal.wait_for_text("password of nik: ");
    terminal.press("secret-1\r");
    terminal.wait_for_text("pieceful> ");
    assert!(!terminal.all_text().contains("secret-1"));
    // A question without a password, and its answer.
    terminal.type_line("create_group lab");
    terminal.press("leave_group lab\r");
    terminal.wait_for_text("Leave? [y/N] ");
    terminal.press("y\r");
    terminal.wait_for_text("left lab");
    terminal.wait_for_text("pieceful> ");
    // A path in the home folder of the client.
    sandbox.file("client/gift", 1_000, 1);
    assert!(terminal.type_line("send ~/gift").contains("sharing gift"));
    let history = fs::read_to_string(sandbox.state("nik").join("history")).unwrap();
    assert!(
        history.contains("send ~/gift") && !history.contains("secret-1"),
        "{history}"
    );
    // Ctrl-D ends the attachment only.
    terminal.press("\x04");
    assert_eq!(terminal.wait().code(), Some(0));
    peer.run("status");
    peer.end();
}

#[test]
fn names_are_completed_and_ended_downloads_are_shown() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let torrent = Torrent::new("share with blanks", 40_000, 32_768, 1);
    let file = torrent.write(&sandbox, "share.torrent");
    peer.run(&format!("download {}", quoted(&file)));
    let mut terminal = attach(&sandbox);
    terminal.press("canc\tsh\t");
    terminal.wait_for_text("cancel share\\ with\\ blanks ");
    terminal.press("\r");
    terminal.wait_for_text("cancelled share with blanks");
    terminal.wait_for_text("pieceful> ");
    // The peer's own user has files at the destination, so the download ends at once.
    fs::write(sandbox.path("nik/done"), torrent.content.as_slice()).unwrap();
    peer.run(&format!("download {} done", quoted(&file)));
    terminal.wait_for_text("complete share with blanks");
    terminal.press("quit\r");
    assert_eq!(terminal.wait().code(), Some(0));
    peer.end();
}

#[test]
fn ctrl_c_ends_the_command_of_an_attached_prompt() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("nik");
    let torrent = Torrent::new("share", 40_000, 32_768, 1).write(&sandbox, "share.torrent");
    peer.run(&format!("download {}", quoted(&torrent)));
    let mut terminal = attach(&sandbox);
    terminal.press("wait\r");
    // A bar, as at the peer itself.
    terminal.wait_for_text("share                [");
    terminal.press("\x03");
    terminal.wait_for_text("error: wait: stopped before it was done");
    terminal.wait_for_text("pieceful> ");
    // The next command is not interrupted.
    assert!(
        terminal
            .type_line("show_downloads")
            .contains("[D] [-] share")
    );
    // Ctrl-C at a question ends the command that asks.
    fs::write(sandbox.tracker_info(), "127.0.0.1:1\n").unwrap();
    terminal.press("login nik\r");
    terminal.wait_for_text("password of nik: ");
    terminal.press("\x03");
    terminal.wait_for_text("error: login: stopped before it was done");
    terminal.wait_for_text("pieceful> ");
    peer.run("status");
    // At the empty prompt, it ends the attachment.
    terminal.press("\x03");
    assert_eq!(terminal.wait().code(), Some(1));
    peer.run("status");
    peer.end();
}

#[test]
fn a_prompt_ends_with_the_peer_and_stop_ends_the_peer() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    let mut other = attach(&sandbox);
    let mut terminal = attach(&sandbox);
    terminal.press("stop\r");
    assert_eq!(terminal.wait().code(), Some(0));
    other.wait_for_text("the running peer has ended");
    assert_eq!(other.wait().code(), Some(0));
    assert!(peer.process.wait().0.success());
}

#[test]
fn a_terminal_of_plain_lines_is_served_too() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    let program = terminal_program(&sandbox, "nik");
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    let kind = TerminalKind {
        name: "dumb",
        columns: 60,
    };
    let mut terminal = Terminal::start(&sandbox.folder("client"), &program, kind);
    terminal.wait_for_text("pieceful> ");
    let help = terminal.type_line("help");
    assert!(
        help.lines().all(|line| line.chars().count() <= 60),
        "{help}"
    );
    terminal.press("exit\r");
    assert_eq!(terminal.wait().code(), Some(0));
    peer.end();
}
