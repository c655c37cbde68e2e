//! Two trackers of one cluster in a sandbox, the line between them by a proxy, and peers that know both.

use super::proxy::Proxy;
use crate::common::control_connection::{ControlConnection, User, create_user_request};
use crate::common::peer::Peer;
use crate::common::process::{Output, Process, command, limited, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, POLL_INTERVAL, wait_until};
use pieceful::certificate::Authority;
use pieceful::net::{ClusterTls, TRACKER_NAME};
use pieceful::tracker::fetch_backup;
use pieceful::tracker::registry::{Origin, Registry, Row, VersionVector};
use pieceful::wire::access::{Answer, Ask, ClusterView, TwinView};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

pub(crate) struct Pair {
    pub(crate) sandbox: Sandbox,
    pub(crate) proxy: Proxy,
    trackers: [Option<Process>; 2],
    /// Where each is, or was last.
    addresses: [SocketAddr; 2],
    /// How long a file of the next tracker may be, in KiB.
    limit: Option<u64>,
}

impl Pair {
    /// Two empty trackers that are in step.
    pub(crate) fn new() -> Self {
        let mut pair = Self::none();
        pair.start(1, &[]);
        pair.start(2, &[]);
        pair.wait_until_in_step();
        pair
    }

    /// Two trackers, neither of them started.
    pub(crate) fn none() -> Self {
        let (sandbox, proxy) = (Sandbox::new(), Proxy::new());
        let info = format!("{}\n127.0.0.1:0\n", proxy.address);
        sandbox.folder("cluster");
        fs::write(sandbox.path("cluster/info.txt"), info).unwrap();
        Self {
            sandbox,
            proxy,
            trackers: [None, None],
            // Nobody listens there.
            addresses: ["127.0.0.1:1".parse().unwrap(); 2],
            limit: None,
        }
    }

    /// Starts a tracker over its state, at a new address. It does not serve yet when this returns.
    pub(crate) fn start(&mut self, number: usize, arguments: &[&str]) {
        let tracker = self.spawn(number, &self.data(number), arguments);
        self.addresses[number - 1] = tracker.address;
        if number == 1 {
            self.proxy.lead_to(tracker.address);
        }
        self.trackers[number - 1] = Some(tracker);
        self.tell_peers();
    }

    /// Starts a tracker that cannot make a file longer than that many KiB.
    pub(crate) fn start_limited(&mut self, number: usize, kibibytes: u64) {
        self.limit = Some(kibibytes);
        self.start(number, &["--log", "warn"]);
        self.limit = None;
    }

    fn spawn(&self, number: usize, data: &str, arguments: &[&str]) -> Process {
        let number = number.to_string();
        let info = self.sandbox.path("cluster/info.txt");
        let mut all = vec!["tracker", info.to_str().unwrap(), &number];
        all.extend(["--listen", "127.0.0.1:0", "--data", data]);
        if !arguments.contains(&"--log") {
            all.extend(["--log", "debug"]);
        }
        all.extend(arguments);
        let folder = self.sandbox.folder("cluster");
        let mut tracker = Process::spawn(match self.limit {
            Some(kibibytes) => limited(&folder, &all, kibibytes),
            None => command(&folder, &all),
        });
        let fingerprint = tracker.line();
        assert!(fingerprint.starts_with("fingerprint "), "{fingerprint}");
        tracker
    }

    /// What a tracker that does not start says.
    pub(crate) fn refused(&self, number: &str, arguments: &[&str]) -> Output {
        let info = self.sandbox.path("cluster/info.txt");
        let mut all = vec!["tracker", info.to_str().unwrap(), number];
        all.extend(["--listen", "127.0.0.1:0"]);
        all.extend(arguments);
        run(&self.sandbox.folder("cluster"), &all, "")
    }

    /// The state folder of a tracker.
    pub(crate) fn data(&self, number: usize) -> String {
        let path = self.sandbox.path(&format!("data{number}"));
        path.to_str().unwrap().to_owned()
    }

    /// Writes where the trackers are for peers, one file for each order.
    fn tell_peers(&self) {
        let [one, two] = self.addresses;
        for (first, text) in [
            (1, format!("{one}\n{two}\n")),
            (2, format!("{two}\n{one}\n")),
        ] {
            let new = self.sandbox.path("new.txt");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.info(first)).unwrap();
        }
    }

    /// TRACKER_INFO as peers have it who are to ask that tracker first.
    fn info(&self, first: usize) -> PathBuf {
        self.sandbox.path(&format!("peers{first}.txt"))
    }

    /// A peer that asks that tracker first.
    pub(crate) fn peer(&self, name: &str, first: usize) -> Peer {
        let (folder, state) = (self.sandbox.folder(name), self.sandbox.state(name));
        let (info, arguments) = (self.info(first), ["--name", name]);
        Peer::start(&folder, "127.0.0.1:0", &info, &state, &arguments)
    }

    /// What a peer prints for a person.
    pub(crate) fn person(&self, name: &str, first: usize, commands: &[&str]) -> Output {
        let state = self.sandbox.path(&format!("{name}.state"));
        let info = self.info(first);
        let mut all = vec!["peer", "127.0.0.1:0", info.to_str().unwrap(), "--dir"];
        all.push(state.to_str().unwrap());
        for command in commands {
            all.extend(["-c", command]);
        }
        run(&self.sandbox.folder(name), &all, "")
    }

    pub(crate) fn tracker(&mut self, number: usize) -> &mut Process {
        self.trackers[number - 1].as_mut().expect("it runs")
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number - 1]
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, number: usize) {
        self.trackers[number - 1].take().expect("it runs").kill();
    }

    /// Ends a tracker as its operator does.
    pub(crate) fn quit(&mut self, number: usize) {
        let mut tracker = self.trackers[number - 1].take().expect("it runs");
        tracker.write_line("quit");
        let (status, told) = tracker.wait();
        assert!(status.success(), "{told}");
    }

    /// A new line of a tracker's console.
    pub(crate) fn console(&mut self, number: usize, line: &str) -> String {
        let tracker = self.tracker(number);
        tracker.write_line(line);
        tracker.line()
    }

    pub(crate) fn connect(&self, number: usize) -> ControlConnection {
        ControlConnection::open(self.address(number)).expect("it listens")
    }

    /// Makes an account at that tracker and logs it in there.
    pub(crate) fn user(&self, number: usize, name: &str) -> User {
        let mut line = self.connect(number);
        line.ask(None, create_user_request(name)).unwrap();
        User::log_in(line, name)
    }

    /// How a tracker sees the other one; none while it does not answer.
    pub(crate) fn view(&self, number: usize) -> Option<ClusterView> {
        let mut line = ControlConnection::open(self.address(number))?;
        match line.try_ask(None, Ask::Cluster).ok()? {
            Ok(Answer::Cluster(view)) => Some(view),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until both serve and know the same.
    pub(crate) fn wait_until_in_step(&self) {
        let is_in_step = |number| {
            self.view(number).is_some_and(|view| {
                let is_level =
                    |twin: &TwinView| twin.up && twin.we_lack == 0 && twin.it_lacks == Some(0);
                view.serving && view.twins.first().is_some_and(is_level)
            })
        };
        let start = Instant::now();
        while !(is_in_step(1) && is_in_step(2)) {
            if start.elapsed() > PATIENCE {
                let seen = [1, 2].map(|number| {
                    let log = self.log(number);
                    let told: Vec<&str> = log
                        .lines()
                        .filter(|line| line.contains("keeper: ") || line.contains("twins: "))
                        .collect();
                    let last = told[told.len().saturating_sub(20)..].join("\n");
                    format!("tracker {number}: {:?}\n{last}", self.view(number))
                });
                panic!("they do not come in step\n{}", seen.join("\n"));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What a tracker has written into its log in all its lives.
    pub(crate) fn log(&self, number: usize) -> String {
        let log = PathBuf::from(self.data(number)).join("tracker.log");
        fs::read_to_string(log).unwrap_or_default()
    }

    pub(crate) fn wait_for_log(&self, number: usize, text: &str) {
        wait_until(text, || self.log(number).contains(text));
    }

    /// Has a peer ask the first tracker, through `between`, for what that logs as `done`: the tracker does it and ends before
    /// the peer has its answer, which comes from another.
    pub(crate) fn does_without_the_answer(
        &self,
        peer: &mut Peer,
        between: &Proxy,
        command: &str,
        done: &str,
    ) {
        // Asked at the first tracker, whatever became of it before: a refusal there tells.
        wait_until("the first is asked again", || {
            let refusals = || self.log(1).matches("list_members: unknown-group").count();
            let before = refusals();
            peer.try_run("list_members nowhere");
            refusals() > before
        });
        // Before a password is hashed it is asked whether anybody is there.
        between.hold_answers_after(usize::from(command.contains("pw-of")));
        peer.process.write_line(command);
        self.wait_for_log(1, done);
        between.cut();
        let told: Value = serde_json::from_str(&peer.process.line()).unwrap();
        assert_eq!(told["ok"], true, "{command}: {told}");
        between.mend();
    }

    /// What shows others that they hold the cluster's key.
    pub(crate) fn tls(&self) -> ClusterTls {
        let key = fs::read(self.sandbox.path("cluster/cluster.pem")).unwrap();
        let cluster = Authority::from_pem(&key).unwrap();
        ClusterTls::new(&cluster.issue(TRACKER_NAME).unwrap()).unwrap()
    }

    /// All that a running tracker keeps.
    pub(crate) fn backup(&self, number: usize) -> Vec<u8> {
        let file = self.sandbox.path(&format!("backup{number}"));
        fetch_backup(&self.tls(), self.address(number), &file).unwrap();
        fs::read(file).unwrap()
    }

    /// Sees to it that both running trackers hold the same to the byte, and gives what that is.
    pub(crate) fn same(&self) -> Value {
        let [one, two] = [1, 2].map(|number| Kept::of(&self.backup(number)));
        if one != two {
            panic!("different: {:#} and {:#}", one.dump(), two.dump());
        }
        one.dump()
    }

    /// The same of both when they have been stopped, by the binary's own means.
    pub(crate) fn same_when_stopped(&mut self) -> Value {
        self.quit(1);
        self.quit(2);
        let [one, two] = [1, 2].map(|number| self.data(number));
        let check = self.run(&["--check", &one, &two]);
        assert_eq!(check.code, Some(0), "{check:?}");
        let dumps = [&one, &two].map(|data| self.run(&["--data", data, "--dump"]).stdout);
        assert_eq!(dumps[0], dumps[1]);
        serde_json::from_str(&dumps[0]).unwrap()
    }

    /// The binary as `pieceful tracker ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = ["tracker"].iter().chain(arguments).copied().collect();
        run(&self.sandbox.folder("cluster"), &all, "")
    }
}

/// What a backup holds.
#[derive(PartialEq)]
struct Kept {
    versions: Vec<u8>,
    rows: Vec<Vec<u8>>,
    /// The info dictionaries that some share names: others are dropped in time.
    blobs: Vec<Vec<u8>>,
}

impl Kept {
    fn of(backup: &[u8]) -> Self {
        let (mut versions, mut rows, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = backup.strip_prefix(b"pieceful backup 1\n").unwrap();
        while let [kind, a, b, c, d, after @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let (record, after) = after.split_at(length);
            match kind {
                b'v' => versions = record.to_vec(),
                b'r' => rows.push(record[16..].to_vec()),
                b'b' => blobs.push(record.to_vec()),
                _ => {}
            }
            rest = after;
        }
        let mut named = BTreeSet::new();
        for row in &rows {
            if let Row::Share(share) = Row::decode(row).unwrap()
                && share.withdrawn.is_none()
            {
                named.insert(share.info_hash.0);
            }
        }
        let before = named.len();
        blobs.retain(|blob| named.remove(&blob[..20]));
        assert_eq!(blobs.len(), before, "a share without its info dictionary");
        Self {
            versions,
            rows,
            blobs,
        }
    }

    /// As `--dump` would print it.
    fn dump(&self) -> Value {
        let versions = match self.versions.as_slice() {
            [] => VersionVector::new(),
            bytes => VersionVector::decode(bytes).unwrap(),
        };
        let rows = self.rows.iter().map(|row| Row::decode(row).unwrap());
        let registry = Registry::load(Origin([0; 16]), versions, rows).unwrap();
        serde_json::to_value(registry.dump()).unwrap()
    }
}

/// Makes a user at a peer, and logs in.
pub(crate) fn log_in(peer: &mut Peer, user: &str) {
    peer.run(&format!("create_user {user} pw-of-{user}"));
    peer.run(&format!("login {user} pw-of-{user}"));
}
