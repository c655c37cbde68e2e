//! The binary as a process: a test starts it, writes commands to it and ends it, as a person or a
//! script does.

use super::waiting::PATIENCE;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The running binary; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
    stderr: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts the binary and waits for its first line, which has its address.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(folder, arguments))
    }

    /// Like [`Process::start`], with a command that runs the binary.
    pub(crate) fn spawn(command: Command) -> Self {
        let mut process = Self::launch(command);
        process.read_address();
        process
    }

    /// Starts a command that runs the binary, and reads nothing. [`Process::read_address`] must
    /// follow.
    pub(crate) fn launch(mut command: Command) -> Self {
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
        Self {
            child,
            address: ([0, 0, 0, 0], 0).into(),
            lines,
            stdin,
            stderr: Some(stderr),
        }
    }

    /// Reads the line that has the address.
    pub(crate) fn read_address(&mut self) {
        let line = self.line();
        let address = listening_address(&line);
        self.address = address.unwrap_or_else(|| panic!("first line {line:?}"));
    }

    /// Waits for the next line of standard output.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().unwrap();
                panic!(
                    "the process ended with {status}: {}",
                    self.stderr.take().unwrap().join().unwrap()
                )
            }
        }
    }

    pub(crate) fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Closes standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Closes standard input and waits for the end. Returns the exit status and the text on
    /// standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
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

/// The address in the first line of a process: `... listening on ADDR:PORT`, or a JSON object.
pub(crate) fn listening_address(first: &str) -> Option<SocketAddr> {
    match serde_json::from_str::<Value>(first) {
        Ok(object) if object["event"] == "listening" => object["address"].as_str()?.parse().ok(),
        Ok(_) => None,
        Err(_) => first.rsplit_once("listening on ")?.1.parse().ok(),
    }
}

/// Runs the binary to its end, with `input` on standard input.
pub(crate) fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(folder, arguments);
    let child = command.stdin(Stdio::piped()).spawn().unwrap();
    finish(child, input)
}

/// Runs any command to its end.
pub(crate) fn run_command(mut command: Command) -> Output {
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

/// Any process; killed when dropped.
pub(crate) struct KilledOnDrop(pub(crate) Child);

impl KilledOnDrop {
    /// The exit status. None while the process runs.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits for the end. Standard output and standard error must be pipes.
    pub(crate) fn output(mut self) -> Output {
        let (stdout, stderr) = (
            capture(self.0.stdout.take().unwrap()),
            capture(self.0.stderr.take().unwrap()),
        );
        let status = wait(&mut self.0);
        Output {
            code: status.code(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The exit code and the output of a finished process.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary, not yet started, with `folder` as its working folder and its home.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    prepared(Command::new(BINARY), folder, arguments)
}

/// The path of the binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pieceful");

/// Like [`command`], but the binary cannot make a file longer than `kibibytes`. Writes beyond this
/// length fail with EFBIG.
pub(crate) fn command_with_file_limit(
    folder: &Path,
    arguments: &[&str],
    kibibytes: u64,
) -> Command {
    let mut shell = Command::new("sh");
    let script = format!(
        "trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"",
        kibibytes * 2
    );
    shell.args(["-c", &script, BINARY]);
    prepared(shell, folder, arguments)
}

/// Like [`command`], but the binary may have at most `descriptors` open files and sockets.
pub(crate) fn command_with_descriptor_limit(
    folder: &Path,
    arguments: &[&str],
    descriptors: u32,
) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script, BINARY]);
    prepared(shell, folder, arguments)
}

/// Any command, with `folder` as its working folder and its home.
pub(crate) fn prepared(mut command: Command, folder: &Path, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Default state folders are below HOME: a test must not use those of the person who runs it.
    // With port 0 they are temporary folders, which a killed process leaves behind.
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
            panic!("the process does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The resident memory of a process, in KiB.
pub(crate) fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The processor time that all threads of a process have used so far.
pub(crate) fn processor_time(id: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let used = threads.map(|thread| {
        // A thread that has ended meanwhile counts for nothing.
        let text = fs::read_to_string(thread.unwrap().path().join("schedstat"));
        let text = text.unwrap_or_default();
        let nanoseconds = text.split_whitespace().next();
        nanoseconds.map_or(0, |nanoseconds| nanoseconds.parse().unwrap())
    });
    Duration::from_nanos(used.sum())
}
