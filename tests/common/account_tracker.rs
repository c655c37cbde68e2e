//! A tracker with accounts and groups as a process.

use super::control_connection::{Line, User, create_user};
use super::process::Process;
use super::sandbox::Sandbox;
use std::net::SocketAddr;

/// A tracker in a sandbox; its state lies in `data`, its first two lines are read.
pub(crate) struct Service {
    pub(crate) sandbox: Sandbox,
    pub(crate) tracker: Process,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::with_data(Sandbox::new(), arguments)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.tracker.address
    }

    pub(crate) fn line(&self) -> Line {
        Line::open(self.address()).unwrap()
    }

    /// Makes an account and logs it in.
    pub(crate) fn user(&self, name: &str) -> User {
        let mut line = self.line();
        line.ask(None, create_user(name)).unwrap();
        User::login(line, name)
    }

    /// The token that a peer of the sandbox keeps.
    pub(crate) fn token(&self, peer: &str) -> Vec<u8> {
        let session = self.sandbox.path(&format!("{peer}.state/session"));
        let session = std::fs::read(session).unwrap();
        let mark = b"5:token109:";
        let at = session.windows(mark.len()).position(|part| part == mark);
        let at = at.expect("a token") + mark.len();
        session[at..at + 109].to_vec()
    }

    /// What one line of the console gives.
    pub(crate) fn console(&mut self, line: &str) -> String {
        self.tracker.write_line(line);
        self.tracker.line()
    }

    /// Ends the tracker; gives what `--dump` prints then.
    pub(crate) fn stop_and_dump(self) -> (Sandbox, String) {
        let Self {
            sandbox,
            mut tracker,
        } = self;
        tracker.write_line("quit");
        let (status, told) = tracker.wait();
        assert!(status.success(), "{told}");
        let text = dump(&sandbox);
        (sandbox, text)
    }

    /// kill -9.
    pub(crate) fn kill(self) -> Sandbox {
        self.tracker.kill();
        self.sandbox
    }

    /// The same tracker again, at another address.
    pub(crate) fn again(sandbox: Sandbox) -> Self {
        Self::with_data(sandbox, &[])
    }

    /// A tracker over the state that lies in a sandbox.
    pub(crate) fn with_data(sandbox: Sandbox, arguments: &[&str]) -> Self {
        let tracker = start(&sandbox, arguments);
        Self { sandbox, tracker }
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

/// The state of a stopped tracker.
pub(crate) fn dump(sandbox: &Sandbox) -> String {
    let data = sandbox.path("data");
    let all = ["tracker", "--data", data.to_str().unwrap(), "--dump"];
    let output = super::process::run(&sandbox.folder("dump"), &all, "");
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}
