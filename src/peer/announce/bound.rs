//! HTTP connections that leave from a chosen local address. The HTTP client cannot do that itself.

use super::{AnnounceSource, canonical};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// How long connecting may take if the request has no time limit.
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// Connects from the local address that [`AnnounceSource::address_for`] chooses.
#[derive(Debug)]
pub(super) struct BoundConnector(pub(super) AnnounceSource);

impl Connector for BoundConnector {
    type Out = BoundTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<BoundTransport>, Error> {
        let limit = details
            .timeout
            .not_zero()
            .map_or(DEFAULT_LIMIT, |limit| *limit);
        let deadline = Instant::now() + limit;
        let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
        for to in &details.addrs {
            let time_left = deadline.saturating_duration_since(Instant::now());
            if time_left.is_zero() {
                break;
            }
            // Use half of the time that is left, so that another address has a chance.
            match connect_from(self.0, canonical(*to), time_left / 2) {
                Ok(stream) => {
                    let config = details.config;
                    let (input, output) = (config.input_buffer_size(), config.output_buffer_size());
                    let buffers = LazyBuffers::new(input, output);
                    return Ok(Some(BoundTransport { stream, buffers }));
                }
                Err(error) => failed = error,
            }
        }
        Err(Error::Io(failed))
    }
}

/// Connects to an address within `limit`.
fn connect_from(source: AnnounceSource, to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let own = SocketAddr::new(source.address_for(to.ip()), 0);
    bind(socket.as_raw_fd(), &SockaddrStorage::from(own))?;
    // On Linux the send timeout bounds `connect` too (socket(7)).
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    let limit = TimeVal::new(seconds, i64::from(limit.subsec_micros().max(1)));
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS | Errno::EAGAIN) => return Err(ErrorKind::TimedOut.into()),
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection of the HTTP client.
#[derive(Debug)]
pub(super) struct BoundTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for BoundTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_write_timeout(limit)?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let result = self.stream.write_all(output);
        result.map_err(|error| timeout_or_io(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_read_timeout(limit)?;
        let read = self.stream.read(self.buffers.input_append_buf());
        let read = read.map_err(|error| timeout_or_io(error, timeout))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // Between two requests, a read from an open connection would block: the server has neither
        // sent bytes nor closed the connection.
        let peek = |stream: &TcpStream| {
            stream.set_nonblocking(true)?;
            let peeked = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            peeked
        };
        peek(&self.stream).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

fn timeout_or_io(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, TcpListener};

    fn source(listen: &str) -> AnnounceSource {
        AnnounceSource::new(listen.parse().unwrap())
    }

    #[test]
    fn a_connection_to_the_same_address_family_comes_from_the_listening_address() {
        for (listen, at, expected) in [
            ("127.0.0.2", "127.0.0.1:0", "127.0.0.2"),
            ("127.0.0.2", "[::1]:0", "::1"),
            ("::1", "[::1]:0", "::1"),
            ("0.0.0.0", "127.0.0.1:0", "127.0.0.1"),
        ] {
            let listener = TcpListener::bind(at).unwrap();
            let to = listener.local_addr().unwrap();
            let connection = connect_from(source(listen), to, DEFAULT_LIMIT).unwrap();
            let (_, caller) = listener.accept().unwrap();
            assert_eq!(caller.ip(), expected.parse::<IpAddr>().unwrap());
            assert_eq!(connection.local_addr().unwrap(), caller);
        }
    }

    #[test]
    fn connecting_to_a_closed_port_or_from_an_address_of_another_machine_fails() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = gone.local_addr().unwrap();
        drop(gone);
        let refused = connect_from(source("127.0.0.2"), to, DEFAULT_LIMIT).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let elsewhere = connect_from(source("192.0.2.1"), to, DEFAULT_LIMIT).unwrap_err();
        assert_eq!(elsewhere.kind(), ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn connecting_ends_at_its_time_limit() {
        // The kernel accepts a few connections ahead of `accept`, and lets the others wait.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let to = listener.local_addr().unwrap();
        let mut connections = Vec::new();
        let limit = Duration::from_millis(300);
        let error = loop {
            match connect_from(source("127.0.0.2"), to, limit) {
                Ok(connection) => connections.push(connection),
                Err(error) => break error,
            }
            assert!(connections.len() < 100, "all were accepted");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
