//! Host name look-up with a time limit, however long the resolver of the system takes.
//!
//! Each look-up runs on its own thread, named `look-up`. The thread is not joined: it holds no
//! resources and ends when the resolver returns. If a look-up takes too long or fails, the
//! addresses found last are used again.

use crate::system::lock;
use crate::wire::HostPort;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Stack of a look-up thread, in bytes.
const STACK_BYTES: usize = 256 << 10;

/// Looks up host names and keeps the addresses found last.
#[derive(Debug, Default)]
pub struct HostNames {
    hosts: Mutex<HashMap<HostPort, KnownHost>>,
}

#[derive(Debug, Default)]
struct KnownHost {
    addresses: Vec<SocketAddr>,
    /// A look-up that took too long and still runs. The next caller waits for it instead of
    /// starting another.
    running: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl HostNames {
    /// The addresses of a host: looked up within `limit`, or those found last. An IP address is
    /// returned as it is.
    ///
    /// # Errors
    /// The error of the resolver or `TimedOut`, if no look-up of the host has ever succeeded. The
    /// error of the system, if the thread of the look-up cannot be started.
    pub fn addresses(&self, host: &HostPort, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, host.port)]);
        }
        let wanted = (host.host.clone(), host.port);
        self.addresses_by(host, limit, move || {
            wanted.to_socket_addrs().map(Iterator::collect)
        })
    }

    fn addresses_by(
        &self,
        host: &HostPort,
        limit: Duration,
        look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let running = self
            .lock_hosts()
            .get_mut(host)
            .and_then(|known| known.running.take());
        let answer = match running {
            Some(running) => running,
            None => {
                let (sender, answer) = channel();
                let thread = thread::Builder::new().name("look-up".into());
                thread.stack_size(STACK_BYTES).spawn(move || {
                    // The receiver may be gone.
                    let _ = sender.send(look_up());
                })?;
                answer
            }
        };
        let found = match answer.recv_timeout(limit) {
            Ok(found) => found,
            Err(error) => {
                let mut hosts = self.lock_hosts();
                let known = hosts.entry(host.clone()).or_default();
                known.running = (error == RecvTimeoutError::Timeout).then_some(answer);
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        let mut hosts = self.lock_hosts();
        let known = hosts.entry(host.clone()).or_default();
        match found {
            Ok(addresses) => {
                known.addresses.clone_from(&addresses);
                Ok(addresses)
            }
            Err(error) if known.addresses.is_empty() => Err(error),
            Err(_) => Ok(known.addresses.clone()),
        }
    }

    fn lock_hosts(&self) -> MutexGuard<'_, HashMap<HostPort, KnownHost>> {
        lock(&self.hosts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    fn host() -> HostPort {
        HostPort {
            host: "tracker.example".into(),
            port: 5000,
        }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5000))
    }

    #[test]
    fn a_hanging_resolver_times_out_and_the_addresses_found_last_are_used() {
        let names = HostNames::default();
        let (release, hangs) = channel::<()>();
        let hang = move || {
            let _ = hangs.recv();
            Ok(vec![address(2)])
        };
        let error = names.addresses_by(&host(), SHORT, hang).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // While one look-up hangs, no other starts. The answer of the hanging one is used when it
        // arrives.
        let none = || panic!("a second look-up");
        assert!(names.addresses_by(&host(), SHORT, none).is_err());
        release.send(()).unwrap();
        assert_eq!(
            names.addresses_by(&host(), LONG, none).unwrap(),
            [address(2)]
        );
        let fails = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(
            names.addresses_by(&host(), LONG, fails).unwrap(),
            [address(2)]
        );
        let moved = || Ok(vec![address(3)]);
        assert_eq!(
            names.addresses_by(&host(), LONG, moved).unwrap(),
            [address(3)]
        );
    }

    #[test]
    fn an_ip_address_is_not_looked_up() {
        for (host, found) in [
            ("192.0.2.2", address(2)),
            ("::1", "[::1]:5000".parse().unwrap()),
        ] {
            let host = HostPort {
                host: host.into(),
                port: 5000,
            };
            let addresses = HostNames::default().addresses(&host, Duration::ZERO);
            assert_eq!(addresses.unwrap(), [found]);
        }
    }
}
