//! Looking up host names within a time, whatever the system's resolver does.
//!
//! Each look-up runs on a thread of its own, called `look-up`, which is not joined: it holds nothing, and ends when the
//! resolver does. What was found last is used again while a look-up takes too long or fails.

use crate::system::lock;
use crate::wire::HostPort;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Bytes of stack of a thread that looks up.
const STACK: usize = 256 << 10;

/// Host names, and where they led last.
#[derive(Debug, Default)]
pub struct Names {
    known: Mutex<HashMap<HostPort, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    /// A look-up that took too long: there is one at a time.
    late: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Names {
    /// The addresses of a host, looked up within `limit`, or those found last. A host that is an IP address is not looked up.
    ///
    /// # Errors
    /// What the resolver says, or `TimedOut`, of a host that has never been found.
    pub fn addresses(&self, host: &HostPort, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, host.port)]);
        }
        let wanted = (host.host.clone(), host.port);
        self.found(host, limit, move || {
            wanted.to_socket_addrs().map(Iterator::collect)
        })
    }

    fn found(
        &self,
        host: &HostPort,
        limit: Duration,
        look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let late = self.known().get_mut(host).and_then(|it| it.late.take());
        let asked = match late {
            Some(late) => late,
            None => {
                let (told, asked) = channel();
                let thread = thread::Builder::new().name("look-up".into());
                thread.stack_size(STACK).spawn(move || {
                    // Whoever asked may have gone.
                    let _ = told.send(look_up());
                })?;
                asked
            }
        };
        let found = match asked.recv_timeout(limit) {
            Ok(found) => found,
            Err(error) => {
                let mut known = self.known();
                let known = known.entry(host.clone()).or_default();
                known.late = (error == RecvTimeoutError::Timeout).then_some(asked);
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        let mut known = self.known();
        let known = known.entry(host.clone()).or_default();
        match found {
            Ok(addresses) => {
                known.addresses.clone_from(&addresses);
                Ok(addresses)
            }
            Err(error) if known.addresses.is_empty() => Err(error),
            Err(_) => Ok(known.addresses.clone()),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<HostPort, Known>> {
        lock(&self.known)
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
    fn a_resolver_that_hangs_costs_the_limit_and_what_was_found_before_is_used() {
        let names = Names::default();
        let (release, hangs) = channel::<()>();
        let hang = move || {
            let _ = hangs.recv();
            Ok(vec![address(2)])
        };
        let error = names.found(&host(), SHORT, hang).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // While one look-up hangs no other is begun; its answer counts when it comes.
        let none = || panic!("a second look-up");
        assert!(names.found(&host(), SHORT, none).is_err());
        release.send(()).unwrap();
        assert_eq!(names.found(&host(), LONG, none).unwrap(), [address(2)]);
        let fails = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(names.found(&host(), LONG, fails).unwrap(), [address(2)]);
        let moved = || Ok(vec![address(3)]);
        assert_eq!(names.found(&host(), LONG, moved).unwrap(), [address(3)]);
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
            let addresses = Names::default().addresses(&host, Duration::ZERO);
            assert_eq!(addresses.unwrap(), [found]);
        }
    }
}
