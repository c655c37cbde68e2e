//! A process at a terminal: the keys that a person presses, and the text that the screen shows.

use super::process::{BINARY, prepared};
use super::sandbox::Sandbox;
use super::waiting::PATIENCE;
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// The prompt of a [`Terminal::shell`], after the exit code.
pub(crate) const SHELL_PROMPT: &str = " shell> ";

/// A process at its own terminal; killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Screen>,
    /// The number of bytes of the screen's text that the test has read.
    read_length: usize,
}

/// All text that was written to the screen, without escape sequences, and the bytes as they came.
#[derive(Default)]
struct Screen {
    text: Mutex<String>,
    bytes: Mutex<Vec<u8>>,
    changed: Condvar,
}

/// The name of a kind of terminals, for `TERM`, and the number of columns.
#[derive(Clone, Copy)]
pub(crate) struct TerminalKind {
    pub(crate) name: &'static str,
    pub(crate) columns: u16,
}

const USUAL_KIND: TerminalKind = TerminalKind {
    name: "xterm",
    columns: 200,
};

impl Terminal {
    /// Starts the peer called `name` of a sandbox and waits for its prompt.
    pub(crate) fn peer(sandbox: &Sandbox, name: &str) -> Self {
        Self::peer_at(sandbox, name, USUAL_KIND)
    }

    /// Like [`Terminal::peer`], at a terminal of this kind.
    pub(crate) fn peer_at(sandbox: &Sandbox, name: &str, kind: TerminalKind) -> Self {
        let (state, info) = (
            sandbox.path(&format!("{name}.state")),
            sandbox.tracker_info(),
        );
        let (state, info) = (state.to_str().unwrap(), info.to_str().unwrap());
        let peer = [BINARY, "peer", "127.0.0.1:0", info, "--dir", state];
        let mut terminal = Self::start(&sandbox.folder(name), &peer, kind);
        terminal.wait_for_text("pieceful> ");
        terminal
    }

    /// Starts a shell with job control and waits for its prompt. `$PIECEFUL` is the path of the
    /// binary.
    pub(crate) fn job_shell(folder: &Path) -> Self {
        let shell = ["bash", "--norc", "--noprofile", "-i"];
        let mut terminal = Self::session(folder, &shell);
        terminal.wait_for_text("$ ");
        terminal
    }

    /// Starts a program that leads a session of its own. The terminal is its controlling terminal.
    pub(crate) fn session(folder: &Path, program: &[&str]) -> Self {
        Self::start(folder, program, USUAL_KIND)
    }

    /// Like [`Terminal::session`], at a terminal of this kind.
    pub(crate) fn start(folder: &Path, program: &[&str], kind: TerminalKind) -> Self {
        let arguments = [&["--ctty"], program].concat();
        let mut command = prepared(Command::new("setsid"), folder, &arguments);
        command.env("PIECEFUL", BINARY).env("PS1", "$ ");
        Self::spawn(command, kind)
    }

    /// Starts a shell and waits for its prompt: the exit code of the last command, and
    /// [`SHELL_PROMPT`]. Ctrl-C reaches the process in the foreground.
    pub(crate) fn shell(folder: &Path, home: &Path) -> Self {
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "sh", "-i"])
            .current_dir(folder)
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("PS1", format!("$?{SHELL_PROMPT}"))
            .env_remove("ENV")
            .env_remove("XDG_DATA_HOME");
        let mut terminal = Self::spawn(command, USUAL_KIND);
        terminal.wait_for_text(SHELL_PROMPT);
        terminal
    }

    fn spawn(mut command: Command, kind: TerminalKind) -> Self {
        let size = Winsize {
            ws_row: 50,
            ws_col: kind.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        command.env("TERM", kind.name);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn();
        let keys = File::from(pair.master);
        let screen = Arc::new(Screen::default());
        let (mut reader, screen_of_reader) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            // Reading fails when the last process at the terminal ends.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                screen_of_reader.bytes.lock().unwrap().clone_from(&bytes);
                *screen_of_reader.text.lock().unwrap() = plain(&String::from_utf8_lossy(&bytes));
                screen_of_reader.changed.notify_all();
            }
        });
        Self {
            child: child.unwrap(),
            keys,
            screen,
            read_length: 0,
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the unread text contains `text`. Reads and returns everything up to the end of
    /// `text`.
    pub(crate) fn wait_for_text(&mut self, text: &str) -> String {
        self.wait_for_any(&[text]).1
    }

    /// Waits until the unread text contains one of `texts`. Returns the one that comes first. Reads
    /// and returns everything up to its end.
    pub(crate) fn wait_for_any<'a>(&mut self, texts: &[&'a str]) -> (&'a str, String) {
        let start = Instant::now();
        let mut all = self.screen.text.lock().unwrap();
        loop {
            let unread = all.get(self.read_length..).unwrap_or_default();
            let found = texts
                .iter()
                .filter_map(|text| Some((unread.find(text)?, *text)));
            if let Some((at, text)) = found.min() {
                let until = at + text.len();
                let unread = unread[..until].to_owned();
                self.read_length += until;
                return (text, unread);
            }
            assert!(start.elapsed() < PATIENCE, "no {texts:?} in {unread:?}");
            all = self.screen.changed.wait_timeout(all, PATIENCE).unwrap().0;
        }
    }

    /// Types a line at the prompt. Returns everything up to the next prompt.
    pub(crate) fn type_line(&mut self, line: &str) -> String {
        self.press(line);
        self.press("\r");
        self.wait_for_text("\n");
        self.wait_for_text("pieceful> ")
    }

    /// All bytes since the start, with escape sequences.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.screen.bytes.lock().unwrap().clone()
    }

    /// Types a line at the prompt of a [`Terminal::job_shell`]. Returns everything up to the next
    /// prompt.
    pub(crate) fn job_shell_line(&mut self, line: &str) -> String {
        self.press(line);
        self.press("\r");
        self.wait_for_text("\n");
        self.wait_for_text("$ ")
    }

    /// All text since the start.
    pub(crate) fn all_text(&self) -> String {
        self.screen.text.lock().unwrap().clone()
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the process does not end");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text without escape sequences (ECMA-48, section 5.4), carriage returns and bells.
fn plain(text: &str) -> String {
    let (mut plain, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                if characters.next() == Some('[') {
                    let _ = characters.find(|end| ('@'..='~').contains(end));
                }
            }
            '\r' | '\x07' => {}
            other => plain.push(other),
        }
    }
    plain
}
