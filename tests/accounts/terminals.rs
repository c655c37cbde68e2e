//! Terminals that cannot move the cursor, and help that fits into the terminal.

use crate::common::account_tracker::AccountTracker;
use crate::common::process::{BINARY, command, run_command};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::{Terminal, TerminalKind};

#[test]
fn a_terminal_that_cannot_move_its_cursor_shows_plain_lines() {
    let tracker = AccountTracker::new();
    for name in ["dumb", "cons25", "unknown"] {
        let kind = TerminalKind { name, columns: 80 };
        let mut peer = Terminal::peer_at(&tracker.sandbox, name, kind);
        peer.type_line(&format!("create_user {name} long-secret"));
        let shown = peer.type_line(&format!("login {name} long-secret"));
        assert!(shown.contains(&format!("logged in as {name}")), "{shown}");
        let shown = peer.type_line("create_group lab; wait 0");
        assert!(shown.contains("error: "), "{shown}");
        peer.press("exit\r");
        assert_eq!(peer.wait().code(), Some(1));
        let bytes = peer.bytes();
        assert!(!bytes.contains(&0x1b), "{}", peer.all_text());
        assert!(!peer.all_text().contains("ENOTTY"), "{}", peer.all_text());
    }
}

#[test]
fn help_fits_into_the_columns_of_the_terminal() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    for columns in [80, 60, 132] {
        let kind = TerminalKind {
            name: "xterm",
            columns,
        };
        let mut peer = Terminal::peer_at(&sandbox, &format!("peer-{columns}"), kind);
        for line in ["help", "help download", "help wait"] {
            let shown = peer.type_line(line);
            let most = usize::from(columns.min(80));
            for line in shown.lines() {
                assert!(line.chars().count() <= most, "{columns}: {line}");
            }
        }
    }
}

/// The words that choose a mode.
const MODES: [&[&str]; 8] = [
    &[],
    &["peer"],
    &["tracker"],
    &["doctor"],
    &["torrent"],
    &["torrent", "create"],
    &["torrent", "show"],
    &["torrent", "check"],
];

#[test]
fn the_help_of_each_mode_fits_into_80_columns() {
    let sandbox = Sandbox::new();
    for mode in MODES {
        let words = [mode, &["--help"]].concat();
        let shown = run_command(command(&sandbox.folder("x"), &words));
        assert_eq!(shown.code, Some(0), "{shown:?}");
        for line in shown.stdout.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
    }
}

#[test]
fn the_help_of_each_mode_fits_into_a_narrow_terminal() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("x");
    for (mode, columns) in MODES
        .into_iter()
        .flat_map(|mode| [40, 50, 60, 70, 76].map(|columns| (mode, columns)))
    {
        let kind = TerminalKind {
            name: "xterm",
            columns,
        };
        let script = "\"$@\"; echo the end";
        let words = [&["sh", "-c", script, "sh", BINARY], mode, &["--help"]].concat();
        let mut terminal = Terminal::start(&folder, &words, kind);
        let shown = terminal.wait_for_text("the end");
        for line in shown.lines() {
            let (columns, text) = (usize::from(columns), line.trim_start());
            // The text is not squeezed into a few columns at the right.
            let has_room = line.len() - text.len() + 30 <= columns;
            assert!(
                line.chars().count() <= columns && has_room,
                "{mode:?} at {columns}: {line}"
            );
        }
    }
}
