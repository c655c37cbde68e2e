//! A connection that a server accepted.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// A connection as its handler gets it.
#[derive(Debug)]
pub struct Incoming {
    /// The socket; the server keeps a second handle, to shut it when it stops.
    pub stream: Arc<TcpStream>,
    /// The other side; an IPv4 address even if it came in over an IPv6 socket.
    pub address: SocketAddr,
    /// When it was accepted.
    pub accepted: Instant,
}
