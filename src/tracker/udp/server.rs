//! The UDP socket of a tracker and the threads that read it.

use super::service::UdpService;
use crate::net::Stop;
use crate::tracker::Threads;
use crate::tracker::service::Service;
use crate::wire::udp_tracker::AddressFamily;
use nix::sys::socket::{Shutdown, shutdown};
use ring::hmac;
use ring::rand::SystemRandom;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Number of threads that read the socket. Under load, a single thread uses one core fully. The
/// second thread lets the tracker use another core.
const THREADS: usize = 2;
/// Stack size of each thread in bytes.
const STACK_BYTES: usize = 256 << 10;
/// The longest wait for a datagram before the stop flag is checked. [`UdpServer::stop`] shuts the
/// socket down, which wakes the threads sooner.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failed receive.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// Size of the receive buffer. Valid requests are shorter. A datagram that fills the buffer may
/// have been cut, and is dropped.
const BUFFER_BYTES: usize = 4 << 10;

/// A bound socket and its threads.
#[derive(Debug)]
pub(in crate::tracker) struct UdpServer {
    socket: Arc<UdpSocket>,
    stop: Stop,
    threads: Threads,
}

impl UdpServer {
    /// Starts the threads. `service` handles the requests. `epoch` is the start of the tracker's
    /// time. Raising `stop` alone ends the threads within a second; [`UdpServer::stop`] ends them
    /// at once.
    pub(in crate::tracker) fn start(
        socket: UdpSocket,
        service: Arc<Service>,
        epoch: Instant,
        stop: Stop,
    ) -> io::Result<Self> {
        Self::start_with(socket, service, epoch, stop, RECEIVE_TIMEOUT)
    }

    fn start_with(
        socket: UdpSocket,
        service: Arc<Service>,
        epoch: Instant,
        stop: Stop,
        receive_timeout: Duration,
    ) -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system has no random bytes"))?;
        socket.set_read_timeout(Some(receive_timeout))?;
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
                .stack_size(STACK_BYTES);
            server
                .threads
                .start(thread, move || serve(&socket, &udp, epoch, &stop))?;
        }
        Ok(server)
    }

    /// Ends the threads and returns when they have ended.
    pub(in crate::tracker) fn stop(&self) {
        self.stop.stop();
        // The call returns the error "not connected", but Linux wakes all threads that read the
        // socket. Like the eventfd of the TCP server, this needs neither a free descriptor nor the
        // address. To wait for an eventfd too, a thread would need two more system calls for each
        // datagram that it waits for.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
        self.threads.wait();
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(socket: &UdpSocket, udp: &UdpService, epoch: Instant, stop: &Stop) {
    let (mut datagram, mut out) = ([0; BUFFER_BYTES], Vec::new());
    loop {
        let received = socket.recv_from(&mut datagram);
        if stop.is_stopped() {
            return;
        }
        let (length, from) = match received {
            Ok(received) => received,
            Err(error) if is_harmless(&error) => continue,
            Err(error) => {
                log::warn!("cannot receive a datagram: {error}");
                stop.wait(ERROR_PAUSE);
                continue;
            }
        };
        // Port 0 cannot be answered. A datagram that fills the buffer is too long.
        let Some(datagram) = datagram
            .get(..length)
            .filter(|_| length < BUFFER_BYTES && from.port() != 0)
        else {
            continue;
        };
        if let Some(response) = udp.answer(datagram, from.ip(), epoch.elapsed()) {
            response.encode_into(AddressFamily::of(from.ip()), &mut out);
            if let Err(error) = socket.send_to(&out, from) {
                log::debug!("cannot answer {from}: {error}");
            }
        }
    }
}

/// Whether nothing was received, or only an error report about an earlier answer.
fn is_harmless(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::quotas::SwarmLimits;
    use crate::tracker::service::AnnouncePolicy;
    use crate::tracker::swarms::Swarms;
    use crate::wire::udp_tracker::{TransactionId, UdpRequest};
    use std::sync::mpsc::channel;

    #[test]
    fn a_stop_wakes_threads_that_wait_for_a_datagram() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let service = Service {
            swarms: Swarms::new(Duration::from_secs(20), SwarmLimits::default()),
            access: AnnouncePolicy::Open,
            store: None,
            names: Arc::default(),
        };
        let (epoch, hour) = (Instant::now(), Duration::from_secs(3600));
        let server =
            UdpServer::start_with(socket, Arc::new(service), epoch, Stop::new(), hour).unwrap();
        // After this number of answers, usually both threads run. Then they wait for an hour.
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let connect = UdpRequest::Connect {
            transaction: TransactionId(*b"tran"),
        };
        for _ in 0..10 * THREADS {
            client.send_to(&connect.encode(), address).unwrap();
            client.recv_from(&mut [0; 100]).unwrap();
        }
        let (sender, stopped) = channel();
        // If the stop hangs, this thread stays behind, and the test fails.
        std::thread::spawn(move || {
            server.stop();
            sender.send(()).unwrap();
        });
        let ended = stopped.recv_timeout(Duration::from_secs(10));
        assert!(ended.is_ok(), "the threads do not end");
    }
}
