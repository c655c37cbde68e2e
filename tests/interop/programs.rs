//! Other BitTorrent programs: which are installed, and their processes.

use crate::common::waiting::poll;
use std::env;
use std::io::{Write, stderr};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// The longest wait for anything that a test expects. It is long because some programs act only
/// every ten seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Held by tests that write so much that one disk cannot serve two of them.
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
    /// A command that shows whether the program is installed.
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

    /// Whether `PIECEFUL_INTEROP` names this program, or is `required`, which means all programs.
    fn is_required(self) -> bool {
        let required = env::var("PIECEFUL_INTEROP").unwrap_or_default();
        let name = format!("{self:?}").to_lowercase();
        let mut named = required.split(',');
        named.any(|word| word == "required" || word == name)
    }

    fn is_installed(self) -> bool {
        let mut probe = self.probe();
        probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match (self, probe.status()) {
            // The help of opentracker ends with a code other than 0.
            (Self::Opentracker, Ok(_)) => true,
            (_, Ok(status)) => status.success(),
            (_, Err(_)) => false,
        }
    }
}

/// Whether all of these programs are installed. If not, reports what is missing on standard error,
/// although cargo captures the test's output. Panics if `PIECEFUL_INTEROP` requires one of the
/// missing programs.
pub(crate) fn are_installed(needed: &[Program]) -> bool {
    let missing: Vec<_> = needed
        .iter()
        .filter(|program| !program.is_installed())
        .collect();
    if missing.is_empty() {
        return true;
    }
    let test = thread::current().name().unwrap_or_default().to_owned();
    let required = missing.iter().filter(|program| program.is_required());
    let required: Vec<_> = required.collect();
    assert!(required.is_empty(), "{test}: not installed: {required:?}");
    let report = format!("{test}: skipped, not installed: {missing:?}\n");
    stderr().write_all(report.as_bytes()).unwrap();
    false
}

/// The Python interpreter with libtorrent.
pub(crate) fn python() -> PathBuf {
    env::var_os("PIECEFUL_INTEROP_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// The path of rqbit.
pub(crate) fn rqbit() -> PathBuf {
    env::var_os("PIECEFUL_INTEROP_RQBIT").map_or_else(|| "rqbit".into(), PathBuf::from)
}

/// A command whose process is killed when the thread that started it ends.
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

/// A port at this address that is free now for TCP and UDP, for programs that cannot listen at port
/// 0.
pub(crate) fn free_port(address: IpAddr) -> u16 {
    loop {
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).unwrap();
        let free = listener.local_addr().unwrap();
        if UdpSocket::bind(free).is_ok() {
            return free.port();
        }
    }
}

/// Asks until there is an answer, for [`PATIENCE`] at most.
pub(crate) fn wait_for_answer<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    poll(PATIENCE, Duration::from_millis(20), ask, || {
        format!("this never came true: {what}")
    })
}
