//! Real processes for the tests: trackers and peers as a person would start them, on free ports, in a folder that goes.

// Several test binaries have this file in them; none uses all of it.
#![allow(dead_code)]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that is expected to happen; a test that runs into it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for one test, with what its processes share.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder in the sandbox.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A new file of `length` bytes that depend on `seed`.
    pub fn file(&self, name: &str, length: usize, seed: u64) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes(length, seed)).unwrap();
        path
    }

    pub fn tracker_info(&self) -> PathBuf {
        self.path("tracker_info.txt")
    }

    /// An open tracker that all peers of the sandbox know.
    pub fn tracker(&self, arguments: &[&str]) -> Process {
        let mut all = vec!["tracker", "--listen", "127.0.0.1:0", "--open"];
        all.extend(arguments);
        let tracker = Process::start(self.folder.path(), &all);
        fs::write(self.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        tracker
    }

    /// A peer that takes commands as JSON, with its own state folder and working folder, both called `name`.
    pub fn peer(&self, name: &str) -> Peer {
        self.peer_with(name, &[])
    }

    pub fn peer_with(&self, name: &str, arguments: &[&str]) -> Peer {
        let state = self.path(&format!("{name}.state"));
        let (state, info) = (state.to_str().unwrap(), self.tracker_info());
        let mut all = vec![
            "peer",
            "127.0.0.1:0",
            info.to_str().unwrap(),
            "--json",
            "--dir",
            state,
            "--name",
            name,
        ];
        all.extend(arguments);
        Peer {
            process: Process::start(&self.folder(name), &all),
        }
    }
}

/// Bytes that look random and are the same for the same seed.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// The binary, running; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
    stderr: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts it and waits for its first line, `... listening on ADDR:PORT`.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(folder, arguments))
    }

    /// The same of a command that ends up as the binary.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = capture(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        let mut process = Self {
            child,
            address: ([0, 0, 0, 0], 0).into(),
            lines,
            stdin,
            stderr: Some(stderr),
        };
        let first = process.line();
        let address = first
            .rsplit_once("listening on ")
            .map(|(_, address)| address);
        process.address = address
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("first line {first:?}"));
        process
    }

    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().unwrap();
                panic!(
                    "it ended with {status}: {}",
                    self.stderr.take().unwrap().join().unwrap()
                )
            }
        }
    }

    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; gives its exit status and what it said on standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        self.stdin = None;
        let status = wait(&mut self.child);
        (status, self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer process under `--json`.
pub struct Peer {
    pub process: Process,
}

impl Peer {
    /// Runs a command and gives its object, which must say `ok`.
    pub fn run(&mut self, command: &str) -> Value {
        let object = self.try_run(command);
        assert_eq!(object["ok"], true, "{command}: {object}");
        object
    }

    /// Runs a command and gives its object.
    pub fn try_run(&mut self, command: &str) -> Value {
        self.process.write_line(command);
        let line = self.process.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {line:?}: {error}"))
    }

    /// The object of the download of that name in `show_downloads`.
    pub fn download(&mut self, name: &str) -> Value {
        let shown = self.run("show_downloads");
        let downloads = shown["downloads"].as_array().unwrap();
        downloads
            .iter()
            .find(|download| download["name"] == name)
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// Asks until `holds` of the download of that name.
    pub fn until(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let download = self.download(name);
            if holds(&download) {
                return download;
            }
            assert!(start.elapsed() < PATIENCE, "it never came true: {download}");
            // `wait` returns at once when nothing runs, so that this is no busy loop while something does.
            let _ = self.try_run("wait 0.05");
        }
    }
}

/// Runs the binary to its end.
pub fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(folder, arguments);
    let child = command.stdin(Stdio::piped()).spawn().unwrap();
    finish(child, input)
}

/// Runs another command to its end.
pub fn wait_for_end(mut command: Command) -> Output {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap(), "")
}

fn finish(mut child: Child, input: &str) -> Output {
    let (stdout, stderr) = (
        capture(child.stdout.take().unwrap()),
        capture(child.stderr.take().unwrap()),
    );
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let status = wait(&mut child);
    Output {
        code: status.code(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

/// What a finished process left.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    prepared(Command::new(BINARY), folder, arguments)
}

/// The binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_pieceful");

/// The same where a file that the binary writes may have that many KiB at most: longer ones fail as on a full disk.
pub fn limited(folder: &Path, arguments: &[&str], kibibytes: u64) -> Command {
    let mut shell = Command::new("sh");
    let script = format!(
        "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
        kibibytes * 2
    );
    shell.args(["-c", &script, BINARY]);
    prepared(shell, folder, arguments)
}

fn prepared(mut command: Command, folder: &Path, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // State folders by default lie below HOME; a test must not find a person's.
    // And with port 0 in a temporary folder, which a killed process leaves behind.
    command
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env_remove("XDG_DATA_HOME");
    command
}

fn capture(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    })
}

fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
