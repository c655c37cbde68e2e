//! A connection that a server accepted.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// An accepted connection, as its handler receives it.
#[derive(Debug)]
pub struct IncomingConnection {
    /// The socket. The server keeps a second handle, so that it can shut the socket down when it
    /// stops.
    pub stream: Arc<TcpStream>,
    /// Address of the remote side. The address of an IPv4 caller is an IPv4 address, even on an
    /// IPv6 socket.
    pub address: SocketAddr,
    /// When the server accepted the connection.
    pub accepted: Instant,
}
