//! A tracker with accounts and groups, as a process.

use super::control_connection::{ControlConnection, User, create_user_request};
use super::process::Process;
use super::sandbox::Sandbox;
use pieceful::certificate::{Authority, Fingerprint};
use std::net::SocketAddr;

/// A running tracker and its sandbox. Its state is in the folder `data`.
pub(crate) struct AccountTracker {
    pub(crate) sandbox: Sandbox,
    pub(crate) process: Process,
}

impl AccountTracker {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::with_data(Sandbox::new(), arguments)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// The fingerprint of its cluster.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let pem = std::fs::read(self.sandbox.path("data/cluster.pem")).unwrap();
        Authority::from_pem(&pem).unwrap().fingerprint()
    }

    /// Opens a control connection.
    pub(crate) fn connect(&self) -> ControlConnection {
        ControlConnection::open(self.address()).unwrap()
    }

    /// Creates an account and logs in to it.
    pub(crate) fn user(&self, name: &str) -> User {
        let mut connection = self.connect();
        connection.ask(None, create_user_request(name)).unwrap();
        User::log_in(connection, name)
    }

    /// The token in the state folder of a peer of the sandbox.
    pub(crate) fn token(&self, peer: &str) -> Vec<u8> {
        let path = self.sandbox.path(&format!("{peer}.state/session"));
        let login = std::fs::read(path).unwrap();
        let key = b"5:token109:";
        let at = login.windows(key.len()).position(|part| part == key);
        let at = at.expect("a token") + key.len();
        login[at..at + 109].to_vec()
    }

    /// Types a line on the tracker's console and returns the line that it answers.
    pub(crate) fn console(&mut self, line: &str) -> String {
        self.process.write_line(line);
        self.process.line()
    }

    /// Ends the tracker and returns what `--dump` prints.
    pub(crate) fn stop_and_dump(self) -> (Sandbox, String) {
        let Self {
            sandbox,
            mut process,
        } = self;
        process.write_line("quit");
        let (status, errors) = process.wait();
        assert!(status.success(), "{errors}");
        let text = dump(&sandbox);
        (sandbox, text)
    }

    /// Kills the tracker with SIGKILL. Returns its sandbox.
    pub(crate) fn kill(self) -> Sandbox {
        self.process.kill();
        self.sandbox
    }

    /// Starts the tracker of a sandbox again, at another address.
    pub(crate) fn restart(sandbox: Sandbox) -> Self {
        Self::with_data(sandbox, &[])
    }

    /// Starts a tracker over the state in a sandbox.
    pub(crate) fn with_data(sandbox: Sandbox, arguments: &[&str]) -> Self {
        let process = start(&sandbox, arguments);
        Self { sandbox, process }
    }
}

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Process {
    let data = sandbox.folder("data");
    let mut all = vec!["--data", data.to_str().unwrap(), "--log", "debug"];
    all.extend(arguments);
    let mut tracker = sandbox.tracker(&all);
    let fingerprint = tracker.line();
    assert!(
        fingerprint.starts_with("fingerprint sha256:"),
        "{fingerprint}"
    );
    tracker
}

/// What `--dump` prints of the state of a stopped tracker.
pub(crate) fn dump(sandbox: &Sandbox) -> String {
    let data = sandbox.path("data");
    let all = ["tracker", "--data", data.to_str().unwrap(), "--dump"];
    let output = super::process::run(&sandbox.folder("dump"), &all, "");
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}
