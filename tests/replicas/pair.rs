//! Two replicas of one registry in a sandbox, a proxy between them, and peers that know both.

use super::proxy::Proxy;
use crate::common::control_connection::{ControlConnection, User, create_user_request};
use crate::common::peer::Peer;
use crate::common::process::{Output, Process, command, command_with_file_limit, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, POLL_INTERVAL, wait_until};
use pieceful::certificate::Authority;
use pieceful::net::{ClusterTls, TRACKER_NAME};
use pieceful::tracker::fetch_backup;
use pieceful::tracker::registry::{Origin, Registry, Row, VersionVector};
use pieceful::wire::access::{AccessAnswer, AccessRequest, ClusterView, ReplicaView};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

/// Two trackers of one cluster. Their numbers are 1 and 2.
pub(crate) struct Pair {
    pub(crate) sandbox: Sandbox,
    pub(crate) proxy: Proxy,
    trackers: [Option<Process>; 2],
    /// The address of each running tracker, or the last one of a stopped tracker.
    addresses: [SocketAddr; 2],
    /// The largest file that the next tracker can write, in KiB. None for no limit.
    file_limit_kib: Option<u64>,
}

impl Pair {
    /// Starts two empty trackers and waits until they are in sync.
    pub(crate) fn new() -> Self {
        let mut pair = Self::stopped();
        pair.start(1, &[]);
        pair.start(2, &[]);
        pair.wait_until_in_sync();
        pair
    }

    /// Prepares two trackers and starts none.
    pub(crate) fn stopped() -> Self {
        let (sandbox, proxy) = (Sandbox::new(), Proxy::new());
        let info = format!("{}\n127.0.0.1:0\n", proxy.address);
        sandbox.folder("cluster");
        fs::write(sandbox.path("cluster/info.txt"), info).unwrap();
        Self {
            sandbox,
            proxy,
            trackers: [None, None],
            // Nothing listens at this address.
            addresses: ["127.0.0.1:1".parse().unwrap(); 2],
            file_limit_kib: None,
        }
    }

    /// Starts a tracker with its state, at a new address. When this function returns, the tracker
    /// listens, but perhaps does not serve yet.
    pub(crate) fn start(&mut self, number: usize, arguments: &[&str]) {
        let tracker = self.spawn(number, &self.data(number), arguments);
        self.addresses[number - 1] = tracker.address;
        if number == 1 {
            self.proxy.forward_to(tracker.address);
        }
        self.trackers[number - 1] = Some(tracker);
        self.write_tracker_infos();
    }

    /// Starts a tracker that cannot write a file above this size, in KiB.
    pub(crate) fn start_with_file_limit(&mut self, number: usize, kibibytes: u64) {
        self.file_limit_kib = Some(kibibytes);
        self.start(number, &["--log", "warn"]);
        self.file_limit_kib = None;
    }

    /// Allows a running tracker to write files of any size again.
    pub(crate) fn remove_file_limit(&self, number: usize) {
        let process = self.trackers[number - 1].as_ref().unwrap();
        let status = Command::new("prlimit")
            .args(["--fsize=unlimited:", "--pid", &process.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn spawn(&self, number: usize, data: &str, arguments: &[&str]) -> Process {
        let number = number.to_string();
        let info = self.sandbox.path("cluster/info.txt");
        let mut all = vec!["tracker", info.to_str().unwrap(), &number];
        all.extend(["--listen", "127.0.0.1:0", "--data", data]);
        // Some tests create as many groups as time allows.
        all.extend(["--max-groups", "1000000"]);
        if !arguments.contains(&"--log") {
            all.extend(["--log", "debug"]);
        }
        all.extend(arguments);
        let folder = self.sandbox.folder("cluster");
        let mut tracker = Process::spawn(match self.file_limit_kib {
            Some(kibibytes) => command_with_file_limit(&folder, &all, kibibytes),
            None => command(&folder, &all),
        });
        let fingerprint = tracker.line();
        assert!(fingerprint.starts_with("fingerprint "), "{fingerprint}");
        tracker
    }

    /// Runs a tracker that is expected to refuse its start. Returns its output.
    pub(crate) fn start_refused(&self, number: &str, arguments: &[&str]) -> Output {
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

    /// Writes the TRACKER_INFO of peers, one file for each order of the trackers.
    fn write_tracker_infos(&self) {
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

    /// The TRACKER_INFO that names tracker `first` first.
    pub(crate) fn info(&self, first: usize) -> PathBuf {
        self.sandbox.path(&format!("peers{first}.txt"))
    }

    /// Starts a peer that asks tracker `first` first.
    pub(crate) fn peer(&self, name: &str, first: usize) -> Peer {
        let (folder, state) = (self.sandbox.folder(name), self.sandbox.state(name));
        let (info, arguments) = (self.info(first), ["--name", name]);
        Peer::start(&folder, "127.0.0.1:0", &info, &state, &arguments)
    }

    /// Runs commands at a peer without `--json`, as a person would.
    pub(crate) fn run_as_person(&self, name: &str, first: usize, commands: &[&str]) -> Output {
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
        self.trackers[number - 1]
            .as_mut()
            .expect("the tracker runs")
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number - 1]
    }

    /// Kills a tracker with SIGKILL.
    pub(crate) fn kill(&mut self, number: usize) {
        self.trackers[number - 1]
            .take()
            .expect("the tracker runs")
            .kill();
    }

    /// Ends a tracker by `quit` on its console.
    pub(crate) fn quit(&mut self, number: usize) {
        let mut tracker = self.trackers[number - 1].take().expect("the tracker runs");
        tracker.write_line("quit");
        let (status, errors) = tracker.wait();
        assert!(status.success(), "{errors}");
    }

    /// Types a line on a tracker's console and returns the line that it answers.
    pub(crate) fn console(&mut self, number: usize, line: &str) -> String {
        let tracker = self.tracker(number);
        tracker.write_line(line);
        tracker.line()
    }

    pub(crate) fn connect(&self, number: usize) -> ControlConnection {
        ControlConnection::open(self.address(number)).expect("the tracker listens")
    }

    /// The code of a new invite from the first tracker.
    pub(crate) fn invite_code(&mut self) -> String {
        let invite = self.console(1, "invite");
        let code = invite.strip_prefix("invite ").unwrap();
        code.split(' ').next().unwrap().to_owned()
    }

    /// The peers of nik and olga. They reach the first tracker through a proxy, which can hold back
    /// its answers.
    pub(crate) fn peers_behind_proxy(&self) -> (Proxy, Peer, Peer) {
        let peer_proxy = Proxy::new();
        peer_proxy.forward_to(self.address(1));
        let info = self.sandbox.tracker_info();
        fs::write(
            &info,
            format!("{}\n{}\n", peer_proxy.address, self.address(2)),
        )
        .unwrap();
        let [nik, olga] = ["nik", "olga"].map(|name| {
            let mut peer = self.sandbox.peer(name);
            create_and_log_in(&mut peer, name);
            peer
        });
        (peer_proxy, nik, olga)
    }

    /// Creates an account at a tracker and logs in there.
    pub(crate) fn user(&self, number: usize, name: &str) -> User {
        let mut connection = self.connect(number);
        connection.ask(None, create_user_request(name)).unwrap();
        User::log_in(connection, name)
    }

    /// What a tracker reports about the cluster. None while it does not answer.
    pub(crate) fn view(&self, number: usize) -> Option<ClusterView> {
        let mut connection = ControlConnection::open(self.address(number))?;
        match connection.try_ask(None, AccessRequest::Cluster).ok()? {
            Ok(AccessAnswer::Cluster(view)) => Some(view),
            other => panic!("{other:?}"),
        }
    }

    /// Cuts the connection between the trackers, and waits until both know that.
    pub(crate) fn split(&self) {
        self.proxy.cut();
        wait_until("each tracker knows that it cannot reach the other", || {
            [1, 2]
                .iter()
                .all(|number| !self.view(*number).unwrap().replicas[0].up)
        });
    }

    /// Waits until both trackers serve and neither lacks a write of the other.
    pub(crate) fn wait_until_in_sync(&self) {
        let is_in_sync = |number| {
            self.view(number).is_some_and(|view| {
                let lacks_nothing = |other: &ReplicaView| {
                    other.up && other.we_lack == 0 && other.it_lacks == Some(0)
                };
                view.serving && view.replicas.first().is_some_and(lacks_nothing)
            })
        };
        let start = Instant::now();
        while !(is_in_sync(1) && is_in_sync(2)) {
            if start.elapsed() > PATIENCE {
                let reports = [1, 2].map(|number| {
                    let log = self.log(number);
                    let lines: Vec<&str> = log.lines().collect();
                    let last = lines[lines.len().saturating_sub(40)..].join("\n");
                    format!("tracker {number}: {:?}\n{last}", self.view(number))
                });
                panic!("the trackers do not get in sync\n{}", reports.join("\n"));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// The log of a tracker since its first start.
    pub(crate) fn log(&self, number: usize) -> String {
        let log = PathBuf::from(self.data(number)).join("tracker.log");
        fs::read_to_string(log).unwrap_or_default()
    }

    pub(crate) fn wait_for_log(&self, number: usize, text: &str) {
        wait_until(text, || self.log(number).contains(text));
    }

    /// Runs a command at a peer. The first tracker executes it and logs `logged`, but
    /// `peer_proxy` loses the answer, so that the peer asks the second tracker.
    pub(crate) fn run_without_first_answer(
        &self,
        peer: &mut Peer,
        peer_proxy: &Proxy,
        command: &str,
        logged: &str,
    ) {
        // The peer must be connected to the first tracker: a refusal in its log shows that.
        wait_until("the peer asks the first tracker", || {
            let refusals = || self.log(1).matches("list_members: unknown-group").count();
            let refusals_before = refusals();
            peer.try_run("list_members nowhere");
            refusals() > refusals_before
        });
        // Before a request for which the tracker hashes a password, the peer sends another request,
        // to see whether the tracker answers.
        peer_proxy.hold_answers_after(usize::from(command.contains("pw-of")));
        peer.process.write_line(command);
        self.wait_for_log(1, logged);
        peer_proxy.cut();
        let object: Value = serde_json::from_str(&peer.process.line()).unwrap();
        assert_eq!(object["ok"], true, "{command}: {object}");
        peer_proxy.mend();
    }

    /// The certificate and key of the cluster.
    pub(crate) fn cluster(&self) -> Authority {
        let key = fs::read(self.sandbox.path("cluster/cluster.pem")).unwrap();
        Authority::from_pem(&key).unwrap()
    }

    /// A TLS identity that is signed with the key of the cluster.
    pub(crate) fn tls(&self) -> ClusterTls {
        ClusterTls::new(&self.cluster().issue(TRACKER_NAME).unwrap()).unwrap()
    }

    /// A backup of a running tracker.
    pub(crate) fn backup(&self, number: usize) -> Vec<u8> {
        let file = self.sandbox.path(&format!("backup{number}"));
        fetch_backup(&self.cluster(), self.address(number), &file).unwrap();
        fs::read(file).unwrap()
    }

    /// Asserts that both running trackers have the same registry byte by byte. Returns its dump.
    pub(crate) fn assert_same(&self) -> Value {
        let [one, two] = [1, 2].map(|number| BackupContent::of(&self.backup(number)));
        if one != two {
            panic!("different: {:#} and {:#}", one.dump(), two.dump());
        }
        one.dump()
    }

    /// Stops both trackers and asserts that they have the same registry, by `--check` and `--dump`.
    /// Returns the dump.
    pub(crate) fn stop_and_assert_same(&mut self) -> Value {
        self.quit(1);
        self.quit(2);
        let [one, two] = [1, 2].map(|number| self.data(number));
        let check = self.run(&["--check", &one, &two]);
        assert_eq!(check.code, Some(0), "{check:?}");
        let dumps = [&one, &two].map(|data| self.run(&["--data", data, "--dump"]).stdout);
        assert_eq!(dumps[0], dumps[1]);
        serde_json::from_str(&dumps[0]).unwrap()
    }

    /// Runs `pieceful tracker ARGUMENTS` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = ["tracker"].iter().chain(arguments).copied().collect();
        run(&self.sandbox.folder("cluster"), &all, "")
    }
}

/// The content of a backup.
#[derive(PartialEq)]
struct BackupContent {
    versions: Vec<u8>,
    rows: Vec<Vec<u8>>,
    /// The info dictionaries of shares that are not withdrawn. A tracker removes other dictionaries
    /// after some time.
    blobs: Vec<Vec<u8>>,
}

impl BackupContent {
    fn of(backup: &[u8]) -> Self {
        let (mut versions, mut rows, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        // The part with the cluster's key comes first.
        let line = b"pieceful backup 5\n";
        let mut parts = backup.windows(line.len());
        let at = parts.position(|window| window == line).unwrap();
        let mut unread = &backup[at + line.len()..];
        while let [kind, a, b, c, d, after @ ..] = unread {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let (record, after) = after.split_at(length);
            match kind {
                b'v' => versions = record.to_vec(),
                b'r' => rows.push(record[16..].to_vec()),
                b'b' => blobs.push(record.to_vec()),
                _ => {}
            }
            unread = after;
        }
        let mut info_hashes = BTreeSet::new();
        for row in &rows {
            if let Row::Share(share) = Row::decode(row).unwrap()
                && share.withdrawn.is_none()
            {
                info_hashes.insert(share.info_hash.0);
            }
        }
        let share_count = info_hashes.len();
        blobs.retain(|blob| info_hashes.remove(&blob[..20]));
        assert_eq!(
            blobs.len(),
            share_count,
            "a share without its info dictionary"
        );
        Self {
            versions,
            rows,
            blobs,
        }
    }

    /// The dump that `--dump` would print.
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

/// Creates a user at a peer and logs the user in.
pub(crate) fn create_and_log_in(peer: &mut Peer, user: &str) {
    peer.run(&format!("create_user {user} pw-of-{user}"));
    peer.run(&format!("login {user} pw-of-{user}"));
}
