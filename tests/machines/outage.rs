//! A tracker that is away for longer than a login lives. A small library in C moves the clocks of
//! all processes, as `faketime` does. It is built with the C compiler that links this test.

use super::machine::{join_and_run, join_line, join_only, make_owner, owner, wait_for_machine};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use crate::common::process::{Process, command};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use crate::proxy::Proxy;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak/clock.c");
/// How far the clock has moved when the tracker is back: first 13 hours, then 40 days. A login ends
/// before that.
const AWAY_SECONDS: [u32; 2] = [13 * 3_600, 40 * 86_400];

/// A clock that a test moves.
struct MovedClock {
    library: PathBuf,
    /// A file. Its text is the number of seconds that are added to the clock.
    offset: PathBuf,
}

impl MovedClock {
    fn new(sandbox: &Sandbox) -> Self {
        let library = sandbox.path("clock.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
        let built = compiler.args([SOURCE, "-ldl"]).output();
        let built = built.expect("cc, which also links Rust programs");
        assert!(built.status.success(), "{built:?}");
        let offset = sandbox.path("offset");
        fs::write(&offset, "0\n").unwrap();
        Self { library, offset }
    }

    fn set(&self, seconds: u32) {
        // Renamed, so that no process reads a part of the file.
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{seconds}\n")).unwrap();
        fs::rename(new, &self.offset).unwrap();
    }

    /// The binary with this clock.
    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = command(folder, arguments);
        command
            .env("LD_PRELOAD", &self.library)
            .env("SOAK_CLOCK", &self.offset);
        command
    }
}

fn tracker(sandbox: &Sandbox, clock: &MovedClock) -> Process {
    let (folder, data) = (sandbox.folder("tracker"), sandbox.folder("data"));
    let data = data.to_str().unwrap();
    let arguments = [
        "tracker",
        "--listen",
        "127.0.0.1:0",
        "--open",
        "--data",
        data,
    ];
    let mut tracker = Process::spawn(clock.command(&folder, &arguments));
    let fingerprint = tracker.line();
    assert!(fingerprint.starts_with("fingerprint "), "{fingerprint}");
    tracker
}

fn peer(sandbox: &Sandbox, name: &str, info: &Path, clock: &MovedClock) -> Peer {
    let (folder, state) = (sandbox.folder(name), sandbox.state(name));
    Peer::start_with("127.0.0.1:0", info, &state, &["--stay"], |arguments| {
        clock.command(&folder, arguments)
    })
}

#[test]
fn machines_go_on_by_themselves_after_a_tracker_was_away_for_13_hours_and_for_40_days() {
    let sandbox = Sandbox::new();
    let clock = MovedClock::new(&sandbox);
    let proxy = Proxy::new();
    let first = tracker(&sandbox, &clock);
    proxy.forward_to(first.address);
    fs::write(sandbox.tracker_info(), format!("{}\n", proxy.address)).unwrap();
    let mut ann = make_owner(
        peer(&sandbox, "ann", &sandbox.tracker_info(), &clock),
        &sandbox,
    );
    let line = join_line(&mut ann, "--uses 2 --role publisher");
    let mut machines = ["m1", "m2"].map(|name| {
        let joined = join_only(&sandbox, name, &line);
        assert_eq!(joined.code, Some(0), "{joined:?}");
        let info = sandbox.state(name).join("tracker_info.txt");
        let mut machine = peer(&sandbox, name, &info, &clock);
        wait_for_machine(&mut machine, "logged-in");
        machine
    });
    let [m1, _] = &mut machines;
    m1.run("download_file lab gift copy");
    m1.wait_for_state("gift", "complete");
    let mut running = first;
    for (round, away) in AWAY_SECONDS.into_iter().enumerate() {
        running.kill();
        clock.set(away);
        running = tracker(&sandbox, &clock);
        proxy.forward_to(running.address);
        // Nobody types a password anywhere: both machines find the tracker, and go on.
        let [m1, m2] = &mut machines;
        let name = format!("own{round}");
        let own = sandbox.file(&name, 50_000, 3 + away as u64);
        let upload = format!("upload_file lab '{}'", own.display());
        wait_until("a machine publishes again", || {
            m2.try_run(&upload)["ok"] == true
        });
        let download = format!("download_file lab {name} {name}");
        wait_until("a machine downloads again", || {
            m1.try_run(&download)["ok"] == true
        });
        m1.wait_for_state(&name, "complete");
        // A person's login lasts for 30 days without a tracker.
        if round == 0 {
            wait_until("ann lists again", || {
                let listed = ann.try_run("list_machines lab");
                listed["ok"] == true && listed["machines"].as_array().unwrap().len() == 2
            });
        }
    }
    for machine in &machines {
        let log = fs::read_to_string(&machine.log).unwrap();
        let starts = log.matches("a tracker has accepted start").count();
        assert!(
            starts >= 2,
            "the machine has not logged in again: {starts} starts"
        );
    }
}

#[test]
fn a_machine_is_logged_in_again_after_its_tracker_was_restarted() {
    let tracker = AccountTracker::new();
    let proxy = Proxy::new();
    proxy.forward_to(tracker.address());
    let info = tracker.sandbox.tracker_info();
    fs::write(info, format!("{}\n", proxy.address)).unwrap();
    let mut ann = owner(&tracker.sandbox);
    let line = join_line(&mut ann, "");
    let mut machine = join_and_run(&tracker.sandbox, "m1", &line);
    wait_for_machine(&mut machine, "logged-in");
    let sandbox = tracker.kill();
    let tracker = AccountTracker::restart(sandbox);
    proxy.forward_to(tracker.address());
    wait_until("the machine finds the tracker", || {
        machine.try_run("list_files lab")["ok"] == true
    });
}
