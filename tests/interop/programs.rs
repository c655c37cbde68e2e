//! Programs of others: which are here, and how their processes are held.

use std::env;
use std::io::{Write, stderr};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen, here: some programs act every ten seconds only.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Held by tests that one disk cannot bear beside each other.
pub(crate) static DISK: Mutex<()> = Mutex::new(());

/// A program that a test needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    Libtorrent,
    Aria2,
    Transmission,
    Rqbit,
    Opentracker,
}

impl Program {
    /// A command that succeeds where it is installed.
    fn probe(self) -> Command {
        let (program, arguments): (PathBuf, &[&str]) = match self {
            Self::Libtorrent => (python(), &["-c", "import libtorrent"]),
            Self::Aria2 => ("aria2c".into(), &["--version"]),
            Self::Transmission => ("transmission-daemon".into(), &["--version"]),
            Self::Rqbit => (rqbit(), &["--version"]),
            Self::Opentracker => ("opentracker".into(), &["-h"]),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }

    /// Whether `PIECEFUL_INTEROP` says `required`, which means everybody, or names it.
    fn is_required(self) -> bool {
        let required = env::var("PIECEFUL_INTEROP").unwrap_or_default();
        let name = format!("{self:?}").to_lowercase();
        let mut named = required.split(',');
        named.any(|named| named == "required" || named == name)
    }

    fn is_here(self) -> bool {
        let mut probe = self.probe();
        probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match (self, probe.status()) {
            // Its help ends with another code.
            (Self::Opentracker, Ok(_)) => true,
            (_, Ok(status)) => status.success(),
            (_, Err(_)) => false,
        }
    }
}

/// Whether all of them are here. If not, tells what is missing, past the capture of a test's output; where
/// `PIECEFUL_INTEROP` requires one of them, that fails the test.
pub(crate) fn are_installed(needed: &[Program]) -> bool {
    let missing: Vec<_> = needed.iter().filter(|other| !other.is_here()).collect();
    if missing.is_empty() {
        return true;
    }
    let test = thread::current().name().unwrap_or_default().to_owned();
    let required: Vec<_> = missing.iter().filter(|other| other.is_required()).collect();
    assert!(required.is_empty(), "{test}: not installed: {required:?}");
    let told = format!("{test}: skipped, not installed: {missing:?}\n");
    stderr().write_all(told.as_bytes()).unwrap();
    false
}

/// The interpreter that has libtorrent.
pub(crate) fn python() -> PathBuf {
    env::var_os("PIECEFUL_INTEROP_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// The program of that name.
pub(crate) fn rqbit() -> PathBuf {
    env::var_os("PIECEFUL_INTEROP_RQBIT").map_or_else(|| "rqbit".into(), PathBuf::from)
}

/// A command that ends with the thread that starts it, if that ends first.
pub(crate) fn command(program: impl AsRef<Path>, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program.as_ref())
        .env("HOME", home)
        .env("TMPDIR", home)
        .stdin(Stdio::null());
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command
}

/// A process that is killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free there now, in TCP and UDP, for programs that take no zero.
pub(crate) fn free_port(address: IpAddr) -> u16 {
    loop {
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).unwrap();
        let free = listener.local_addr().unwrap();
        if UdpSocket::bind(free).is_ok() {
            return free.port();
        }
    }
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "it never came true: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
