//! All machines, driven by one thread.

use crate::machine::{Event, Machine};
use crate::team::Team;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, version};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Fleet {
    machines: Vec<Machine>,
    epoll: Epoll,
    /// When each machine is due: the earliest entry comes first. An answer of the tracker sets the
    /// machine's `due` to a later time, but its entry stays. [`Fleet::act_on_due`] then replaces
    /// the entry.
    queue: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When each machine got its first answer to an announce.
    served: HashMap<usize, Instant>,
    /// When each machine got its first hint since [`Fleet::wait_for_hints`] was called.
    hinted: HashMap<usize, Instant>,
    /// How many times each error has occurred.
    errors: HashMap<String, usize>,
}

impl Fleet {
    pub fn new(team: &Team, tracker: SocketAddr, count: usize) -> Self {
        let SocketAddr::V4(tracker) = tracker else {
            panic!("{tracker} is not an IPv4 address");
        };
        let config = Arc::new(tls_config());
        let shares = team.shares.clone().into();
        let machine = |number| new_machine(number, team, &shares, tracker, &config);
        Self {
            machines: (0..count as u32).map(machine).collect(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap(),
            queue: BinaryHeap::new(),
            served: HashMap::new(),
            hinted: HashMap::new(),
            errors: HashMap::new(),
        }
    }

    /// Starts all machines within `time`, and waits at most `limit` until all are served. Returns
    /// the time from this call to the first answer of each machine, sorted.
    pub fn start(&mut self, time: Duration, limit: Duration) -> Vec<Duration> {
        let begun = Instant::now();
        for (number, machine) in self.machines.iter_mut().enumerate() {
            machine.due = begun + time.mul_f64(fastrand::f64());
            self.queue.push(Reverse((machine.due, number)));
        }
        let count = self.machines.len();
        self.run(begun + limit, |fleet| fleet.served.len() == count);
        times_since(begun, &self.served)
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run(Instant::now() + time, |_| false);
    }

    /// Waits at most `limit` until all machines have got a hint. Returns the time from `since` to
    /// the first hint of each machine, sorted.
    pub fn wait_for_hints(&mut self, since: Instant, limit: Duration) -> Vec<Duration> {
        self.hinted.clear();
        let count = self.machines.len();
        self.run(since + limit, |fleet| fleet.hinted.len() == count);
        times_since(since, &self.hinted)
    }

    /// Prints each error with its count. Returns the number of errors so far.
    pub fn errors(&self) -> usize {
        for (error, count) in &self.errors {
            eprintln!("{count} times: {error}");
        }
        self.errors.values().sum()
    }

    fn run(&mut self, until: Instant, is_done: impl Fn(&Self) -> bool) {
        let mut events = [EpollEvent::empty(); 256];
        while !is_done(self) {
            let now = Instant::now();
            if now >= until {
                return;
            }
            self.act_on_due(now);
            let next = self.queue.peek().map_or(until, |Reverse((due, _))| *due);
            let pause = next.min(until).saturating_duration_since(Instant::now());
            let pause = EpollTimeout::try_from(pause).unwrap_or(EpollTimeout::ZERO);
            let count = self.epoll.wait(&mut events, pause).unwrap_or_default();
            for event in &events[..count] {
                self.advance(event.data() as usize);
            }
        }
    }

    fn act_on_due(&mut self, now: Instant) {
        while let Some(Reverse((due, number))) = self.queue.peek().copied()
            && due <= now
        {
            self.queue.pop();
            let machine = &mut self.machines[number];
            if machine.due > now {
                // The tracker has answered the machine since this entry was made.
                self.queue.push(Reverse((machine.due, number)));
                continue;
            }
            if machine.is_connected() {
                machine.announce();
            } else {
                let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
                let event = EpollEvent::new(flags, number as u64);
                let socket = machine.connect().unwrap();
                self.epoll.add(socket, event).unwrap();
            }
            self.queue.push(Reverse((machine.due, number)));
            self.advance(number);
        }
    }

    fn advance(&mut self, number: usize) {
        let machine = &mut self.machines[number];
        match machine.advance() {
            Event::Nothing => {}
            Event::Served => {
                self.served.entry(number).or_insert_with(Instant::now);
            }
            Event::Hinted => {
                self.hinted.entry(number).or_insert_with(Instant::now);
            }
            Event::Failed(error) => {
                *self.errors.entry(error).or_default() += 1;
                self.queue.push(Reverse((machine.due, number)));
            }
        }
    }
}

fn new_machine(
    number: u32,
    team: &Team,
    shares: &Arc<[pieceful::torrent::InfoHash]>,
    tracker: SocketAddrV4,
    config: &Arc<ClientConfig>,
) -> Machine {
    Machine::new(number, team, shares, tracker, config, Instant::now())
}

fn times_since(begun: Instant, moments: &HashMap<usize, Instant>) -> Vec<Duration> {
    let times = moments.values().map(|at| at.duration_since(begun));
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

/// The time below which the fraction `part` (0 to 1) of the sorted times lies.
pub fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// A configuration that accepts any certificate. Checking certificates is work of the machines, and
/// only the work of the tracker is measured.
fn tls_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let mut config = builder
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyTracker))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

#[derive(Debug)]
struct AnyTracker;

impl ServerCertVerifier for AnyTracker {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]
    }
}
