//! Types examples into terminals, exactly as the documents print them.
//!
//! Only addresses differ from the text, because the ports may be in use on this machine, and other
//! machines are folders here. An address is replaced by a free port on loopback: one for each
//! machine and port. If an example leaves out the address to listen on, an address is typed too.

use crate::common::process::BINARY;
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::terminal::{SHELL_PROMPT, Terminal};
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The files that the examples share. Each machine has them in its folder.
pub const FILES: [&str; 3] = ["Cargo.lock", "disk.img", "photos/2024/a.raw"];
/// Hosts in the examples. The last one is a machine of its own.
const HOSTS: [&str; 3] = ["127.0.0.1", "0.0.0.0", "192.168.1.10"];
const PASSWORD: &str = "correct horse battery";
const PEER_PROMPT: &str = "pieceful> ";
const CTRL_C: &str = "\x03";

/// All terminals, and the machines that they are on.
pub struct Typist {
    sandbox: Sandbox,
    terminals: BTreeMap<String, (Terminal, State)>,
    ports: BTreeMap<(String, u16), u16>,
    /// Files, with their content, for every machine that is set up later.
    files: Vec<(String, String)>,
    /// The last fingerprint that a tracker printed.
    fingerprint: String,
}

/// What a terminal waits for.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// A line for the shell.
    Shell,
    /// A command of a peer.
    Prompt,
    /// The end of a process that runs in the foreground.
    Running,
}

impl Typist {
    pub fn new() -> Self {
        Self {
            sandbox: Sandbox::new(),
            terminals: BTreeMap::new(),
            ports: BTreeMap::new(),
            files: Vec::new(),
            fingerprint: String::new(),
        }
    }

    /// The folder of a machine, in which its terminals start.
    pub fn folder(&mut self, machine: &str) -> PathBuf {
        let name = format!("machine {machine}");
        let folder = self.sandbox.path(&name);
        if folder.exists() {
            return folder;
        }
        for (file, seed) in FILES.iter().zip(1..) {
            self.sandbox.file(&format!("{name}/{file}"), 300_000, seed);
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["run_local.sh", "testdata"] {
            symlink(root.join(name), folder.join(name)).unwrap();
        }
        let build = self.sandbox.folder(&format!("{name}/target/release"));
        symlink(BINARY, build.join("pieceful")).unwrap();
        for (file, text) in &self.files {
            fs::write(folder.join(file), text).unwrap();
        }
        folder
    }

    /// Writes a file on every machine that is set up later. `sha256:...` in its text stands for the
    /// last fingerprint that a tracker printed.
    pub fn write(&mut self, file: &str, text: &str) {
        let text = self.with_free_ports("", text);
        let text = text.replace("sha256:...", &self.fingerprint);
        self.files.push((file.to_owned(), text));
    }

    /// Types lines into a terminal, called `NAME` or `NAME@MACHINE`.
    pub fn type_lines<'a>(&mut self, terminal: &str, lines: impl IntoIterator<Item = &'a str>) {
        let machine = terminal.split_once('@').map_or("", |(_, machine)| machine);
        for line in lines {
            let line = self.with_free_ports(machine, line);
            let line = self.with_default_address(machine, &line);
            self.type_line(terminal, machine, &line);
        }
    }

    /// Types a line, and answers the questions for passwords. A line for the shell first ends what
    /// runs in the terminal.
    fn type_line(&mut self, name: &str, machine: &str, line: &str) {
        let (mut terminal, mut state) = match self.terminals.remove(name) {
            Some(open) => open,
            None => (self.open(machine), State::Shell),
        };
        if is_for_shell(line) {
            match state {
                State::Shell => {}
                State::Prompt => state = enter(&mut terminal, "quit").0,
                State::Running => {
                    terminal.press(CTRL_C);
                    let ended = terminal.wait_for_text(SHELL_PROMPT);
                    assert!(ended.ends_with(&format!("0{SHELL_PROMPT}")), "{ended}");
                    state = State::Shell;
                }
            }
        }
        let expected = match is_for_shell(line) {
            true => State::Shell,
            false => State::Prompt,
        };
        assert!(state == expected, "{line:?} was typed at the wrong place");
        let (state, fingerprint) = enter(&mut terminal, line);
        if let Some(fingerprint) = fingerprint {
            self.fingerprint = fingerprint;
        }
        self.terminals.insert(name.to_owned(), (terminal, state));
    }

    /// Waits until the process in a terminal has ended by itself, with success.
    pub fn wait_for_end(&mut self, terminal: &str) {
        let (terminal, state) = self.terminals.get_mut(terminal).unwrap();
        let ended = terminal.wait_for_text(SHELL_PROMPT);
        assert!(ended.ends_with(&format!("0{SHELL_PROMPT}")), "{ended}");
        *state = State::Shell;
    }

    fn open(&mut self, machine: &str) -> Terminal {
        let folder = self.folder(machine);
        let home = self.sandbox.folder(&format!("home of {machine}"));
        let mut terminal = Terminal::shell(&folder, &home);
        // The first command is in README too, after `cargo build --release`. The second command
        // keeps run_local.sh from building again.
        enter(&mut terminal, "export PATH=$PWD/target/release:$PATH");
        enter(
            &mut terminal,
            "export PIECEFUL=$PWD/target/release/pieceful",
        );
        terminal
    }

    /// Ends everything that runs. Asserts that no terminal shows an error.
    pub fn end(mut self) {
        let names: Vec<String> = self.terminals.keys().cloned().collect();
        for name in names {
            let machine = name.split_once('@').map_or("", |(_, machine)| machine);
            self.type_line(&name, machine, "echo the end");
            let (terminal, _) = &self.terminals[&name];
            let screen = terminal.all_text();
            assert!(!screen.contains("error"), "{name}: {screen}");
        }
    }

    /// The port on loopback that replaces this port of this machine.
    fn free_port(&mut self, machine: &str, port: u16) -> u16 {
        let key = (machine.to_owned(), port);
        if !self.ports.contains_key(&key) {
            let taken: Vec<u16> = self.ports.values().copied().collect();
            let free = std::iter::repeat_with(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                listener.local_addr().unwrap().port()
            });
            let free = free.into_iter().find(|port| !taken.contains(port));
            self.ports.insert(key.clone(), free.unwrap());
        }
        self.ports[&key]
    }

    /// The text with each address of [`HOSTS`] replaced. Port 0 stays, because it means any free
    /// port.
    fn with_free_ports(&mut self, machine: &str, text: &str) -> String {
        let (mut replaced, mut rest) = (String::new(), text);
        while let Some(character) = rest.chars().next() {
            let address = HOSTS.iter().find_map(|host| {
                let after = rest.strip_prefix(host)?.strip_prefix(':')?;
                let end = after.find(|digit: char| !digit.is_ascii_digit());
                let (port, after) = after.split_at(end.unwrap_or(after.len()));
                let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
                Some((*host, port, after))
            });
            if let Some((host, port, after)) = address {
                let machine = match host {
                    "192.168.1.10" => host,
                    _ => machine,
                };
                let port = self.free_port(machine, port);
                replaced.push_str(&format!("127.0.0.1:{port}"));
                rest = after;
            } else {
                replaced.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
        replaced
    }

    /// The line, with an address to listen on if the line has none.
    fn with_default_address(&mut self, machine: &str, line: &str) -> String {
        let word_after = |command: &str| {
            let (_, after) = line.split_once(command)?;
            Some(after.split_whitespace().next().unwrap_or_default())
        };
        for command in ["pieceful peer", "pieceful doctor"] {
            if word_after(command).is_some_and(|word| !word.contains(':')) {
                let address = format!("{command} 127.0.0.1:{}", self.free_port(machine, 6881));
                return line.replace(command, &address);
            }
        }
        let needs_no_address = [
            "--listen", "--backup", "--dump", "--audit", "--check", " -c ",
        ]
        .iter()
        .any(|option| line.contains(option));
        if let Some(word) = word_after("pieceful tracker")
            && !needs_no_address
            && (word.is_empty() || word.starts_with('-'))
        {
            let port = self.free_port(machine, 5000);
            let address = format!("pieceful tracker --listen 127.0.0.1:{port}");
            return line.replace("pieceful tracker", &address);
        }
        line.to_owned()
    }
}

/// Whether a line is for the shell, not for a peer.
fn is_for_shell(line: &str) -> bool {
    let programs = [
        "pieceful",
        "echo",
        "mkdir",
        "cp",
        "printf",
        "export",
        "./run_local.sh",
    ];
    programs.contains(&line.split(' ').next().unwrap_or_default())
}

/// Types a line and waits until its command has ended or, if it starts a process that keeps
/// running, until that process is ready. Returns what the terminal waits for now, and the
/// fingerprint if one was printed.
fn enter(terminal: &mut Terminal, line: &str) -> (State, Option<String>) {
    const QUESTIONS: [&str; 3] = ["password for ", "password of ", "password again: "];
    let sign_of_start = match line {
        // With `-c`, it is a command at a tracker that runs already.
        _ if line.contains("pieceful tracker") && !line.contains(" -c ") => Some("fingerprint "),
        _ if line.contains("--stay") => Some("sharing "),
        _ => None,
    };
    // In one write, so that no news comes between the line and its end. News that comes before is
    // followed by another prompt, which must not be taken for the end of the command.
    terminal.press(&format!("{line}\r"));
    terminal.wait_for_text(line);
    let mut output = terminal.wait_for_text("\n");
    loop {
        let signs = QUESTIONS.into_iter().chain([SHELL_PROMPT, PEER_PROMPT]);
        let signs: Vec<&str> = signs.chain(sign_of_start).collect();
        let (sign, text) = terminal.wait_for_any(&signs);
        output.push_str(&text);
        match sign {
            SHELL_PROMPT => {
                let succeeded = output.ends_with(&format!("0{SHELL_PROMPT}"));
                assert!(succeeded, "{output}");
                return (State::Shell, None);
            }
            PEER_PROMPT => return (State::Prompt, None),
            "fingerprint " => {
                let fingerprint = terminal.wait_for_text("\n").trim().to_owned();
                return (State::Running, Some(fingerprint));
            }
            "sharing " => return (State::Running, None),
            _ => {
                terminal.press(&format!("{PASSWORD}\r"));
                terminal.wait_for_text("\n");
            }
        }
    }
}

/// Panics if `copy` does not have the content of `file`, which is one of [`FILES`].
pub fn assert_is_copy(copy: &Path, file: &str) {
    let seed = FILES.iter().position(|name| *name == file).unwrap() as u64 + 1;
    assert!(
        fs::read(copy).unwrap() == bytes(300_000, seed),
        "{} is not {file}",
        copy.display()
    );
}
