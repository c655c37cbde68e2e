//! A fleet of machines at one tracker. This process runs all machines. It measures how many of them
//! the tracker serves, when each gets its first answer to an announce, when each gets the hint of a
//! new share, and how long a user's command takes meanwhile.
//!
//! ```text
//! cargo bench --bench fleet -- [MACHINES] [SECONDS]
//! ```
//!
//! Each machine has a stored login, 10 complete shares of one group and an address of its own
//! (127.x.y.z). It behaves like a peer: one control connection that stays open, on which it watches
//! its groups and announces its shares at the interval that the tracker asks for. `SECONDS` is the
//! time for which the steady state is measured. The variable `PIECEFUL` is the path of another
//! binary for the tracker.

mod client;
mod fleet;
mod machine;
mod team;

use client::Client;
use fleet::{Fleet, percentile};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use team::Team;

/// All machines start within this time.
const START: Duration = Duration::from_secs(1);
/// The longest time until all machines are served.
const SERVED_LIMIT: Duration = Duration::from_secs(120);
/// The pause between two commands of the user.
const COMMAND_PAUSE: Duration = Duration::from_millis(50);

fn main() {
    // Cargo adds an argument of its own.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let numbers: Vec<usize> = arguments.map(|word| word.parse().unwrap()).collect();
    let machines = numbers.first().copied().unwrap_or(10_000);
    let steady = Duration::from_secs(numbers.get(1).copied().unwrap_or(60) as u64);
    pieceful::net::raise_descriptor_limit();
    let (tracker, address) = Tracker::start(machines);
    println!("{machines} machines; {}", describe_processor());
    let begun = Instant::now();
    let team = Team::prepare(address, machines);
    println!(
        "{} accounts of one group with {} shares, made in {:.0} s",
        team.tokens.len(),
        team.shares.len(),
        begun.elapsed().as_secs_f64()
    );
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let user = scope.spawn(|| run_commands(&team, address, &stop));
        let mut fleet = Fleet::new(&team, address, machines);
        let used_before = processor_time(tracker.id());
        let served = fleet.start(START, SERVED_LIMIT);
        let used = processor_time(tracker.id()).saturating_sub(used_before);
        println!(
            "all start within {:.0} s: {} served, p50 {:.1} s, p99 {:.1} s, last {:.1} s; {} errors; \
             tracker: {:.1} s of processor time",
            START.as_secs_f64(),
            served.len(),
            percentile(&served, 0.5).as_secs_f64(),
            percentile(&served, 0.99).as_secs_f64(),
            percentile(&served, 1.0).as_secs_f64(),
            fleet.errors(),
            used.as_secs_f64()
        );
        let (used_before, begun) = (processor_time(tracker.id()), Instant::now());
        fleet.run_for(steady);
        let used = processor_time(tracker.id()).saturating_sub(used_before);
        println!(
            "steady for {:.0} s: {:.1} % of a core, {} MiB of memory, {} threads; {} errors",
            begun.elapsed().as_secs_f64(),
            100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64(),
            memory_kib(tracker.id()) / 1024,
            threads(tracker.id()),
            fleet.errors()
        );
        let published = Instant::now();
        team.publish_one_more(address);
        let delays = fleet.wait_for_hints(published, Duration::from_secs(30));
        println!(
            "a new share: {} machines know of it, p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms",
            delays.len(),
            percentile(&delays, 0.5).as_secs_f64() * 1e3,
            percentile(&delays, 0.99).as_secs_f64() * 1e3,
            percentile(&delays, 1.0).as_secs_f64() * 1e3
        );
        stop.store(true, Ordering::Relaxed);
        let (times, failures) = user.join().unwrap();
        println!(
            "a user's command meanwhile: {} commands, p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms; \
             {failures} failed",
            times.len(),
            percentile(&times, 0.5).as_secs_f64() * 1e3,
            percentile(&times, 0.99).as_secs_f64() * 1e3,
            percentile(&times, 1.0).as_secs_f64() * 1e3
        );
    });
}

/// Lists the catalogue of the group again and again for one user, each time over a new connection.
/// Returns how long each list took, sorted, and how many failed.
fn run_commands(team: &Team, address: SocketAddr, stop: &AtomicBool) -> (Vec<Duration>, usize) {
    let (mut times, mut failures) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let listed = Client::connect(address)
            .and_then(|mut client| client.ask(team.list_files(), Some(&team.owner)));
        match listed {
            Ok(_) => times.push(begun.elapsed()),
            Err(error) => {
                failures += 1;
                eprintln!("a command failed: {error}");
            }
        }
        thread::sleep(COMMAND_PAUSE);
    }
    times.sort_unstable();
    (times, failures)
}

/// The tracker, as a process of its own.
struct Tracker(Child);

impl Tracker {
    fn start(machines: usize) -> (Self, SocketAddr) {
        let ours = env!("CARGO_BIN_EXE_pieceful");
        let binary = std::env::var("PIECEFUL").unwrap_or_else(|_| ours.to_owned());
        let places = (machines + machines / 4 + 100).to_string();
        let mut tracker = Command::new(binary)
            .args([
                "tracker",
                "--listen",
                "127.0.0.1:0",
                "--max-connections",
                &places,
                "--max-new-accounts",
                "1000000",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut lines = BufReader::new(tracker.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        let address = first.trim().rsplit(' ').next().unwrap().parse().unwrap();
        (Self(tracker), address)
    }

    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Tracker {
    /// Ends the tracker gracefully, so that it removes its temporary folder.
    fn drop(&mut self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.0.wait();
    }
}

/// The number of cores of the computer that runs the benchmark, their model, and the load.
fn describe_processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cores} cores ({}), load {}",
        model.unwrap_or("unknown"),
        load.split(' ').next().unwrap_or_default()
    )
}

/// The processor time that a process has used so far (proc(5), fields 14 and 15 of `stat`, in
/// hundredths of a second).
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11);
    let ticks: u64 = fields
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn memory_kib(process: u32) -> u64 {
    status_number(process, "VmRSS:")
}

fn threads(process: u32) -> u64 {
    status_number(process, "Threads:")
}

fn status_number(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
