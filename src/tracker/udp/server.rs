//! The UDP socket of a tracker and the threads that read it.

use super::service::UdpService;
use crate::net::{Stop, reachable};
use crate::tracker::Threads;
use crate::tracker::service::Service;
use crate::wire::udp_tracker::Family;
use ring::hmac;
use ring::rand::SystemRandom;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How many threads read the socket: one more than keeps a core busy with the protocol.
const THREADS: usize = 2;
/// Bytes of stack of each.
const STACK: usize = 256 << 10;
/// The longest wait for a datagram before the flag is looked at; a stop sends one to wake them sooner.
const LOOK: Duration = Duration::from_secs(1);
/// How long a thread rests when the system has nothing to give.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// Room for a datagram: more than the longest request, so that one that is too long shows.
const ROOM: usize = 4 << 10;

/// A bound socket and its threads.
#[derive(Debug)]
pub(in crate::tracker) struct UdpServer {
    socket: Arc<UdpSocket>,
    stop: Stop,
    threads: Threads,
}

impl UdpServer {
    /// Starts answering out of `service`; `epoch` is when the tracker's time began. Raising `stop` alone ends the
    /// threads within a second, [`UdpServer::stop`] at once.
    pub(in crate::tracker) fn start(
        socket: UdpSocket,
        service: Arc<Service>,
        epoch: Instant,
        stop: Stop,
    ) -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        socket.set_read_timeout(Some(LOOK))?;
        let socket = Arc::new(socket);
        let udp = Arc::new(UdpService::new(service, key));
        let server = Self {
            socket: Arc::clone(&socket),
            stop,
            threads: Threads::default(),
        };
        for number in 1..=THREADS {
            let (socket, udp, stop) = (Arc::clone(&socket), Arc::clone(&udp), server.stop.clone());
            let thread = Builder::new()
                .name(format!("udp-{number}"))
                .stack_size(STACK);
            server
                .threads
                .start(thread, move || serve(&socket, &udp, epoch, &stop))?;
        }
        Ok(server)
    }

    /// Ends the threads and returns when they have ended.
    pub(in crate::tracker) fn stop(&self) {
        self.stop.stop();
        if let Ok(address) = self.socket.local_addr() {
            for _ in 0..THREADS {
                let _ = self.socket.send_to(&[], reachable(address));
            }
        }
        self.threads.wait();
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(socket: &UdpSocket, udp: &UdpService, epoch: Instant, stop: &Stop) {
    let (mut datagram, mut out) = ([0; ROOM], Vec::new());
    loop {
        let received = socket.recv_from(&mut datagram);
        if stop.is_stopped() {
            return;
        }
        let (length, from) = match received {
            Ok(received) => received,
            Err(error) if is_nothing(&error) => continue,
            Err(error) => {
                log::warn!("receiving a datagram failed: {error}");
                stop.wait(EXHAUSTED);
                continue;
            }
        };
        // Port 0 cannot be answered, and a datagram that fills the room was cut.
        let Some(datagram) = datagram
            .get(..length)
            .filter(|_| length < ROOM && from.port() != 0)
        else {
            continue;
        };
        if let Some(response) = udp.answer(datagram, from.ip(), epoch.elapsed()) {
            response.encode_into(Family::of(from.ip()), &mut out);
            if let Err(error) = socket.send_to(&out, from) {
                log::debug!("{from} cannot be answered: {error}");
            }
        }
    }
}

/// Whether nothing was received, or only word of an earlier answer that nobody took.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
    )
}
