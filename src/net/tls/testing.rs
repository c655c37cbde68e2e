//! TLS connections and servers for tests.

use super::{
    ConnectionPurpose, HandshakeProgress, TRACKER_NAME, TlsError, TlsHandshake, TlsServer,
    TlsStream, connect_tls,
};
use crate::certificate::Authority;
use crate::net::Interest;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// The server of a new cluster.
pub(crate) fn server() -> TlsServer {
    let authority = Authority::generate("test").unwrap();
    TlsServer::new(authority.issue(TRACKER_NAME).unwrap()).unwrap()
}

/// A connection to a server of any cluster.
pub(crate) fn connect(address: SocketAddr) -> TlsStream {
    let socket = Arc::new(TcpStream::connect(address).unwrap());
    connect_tls(socket, None, LONG).unwrap().0
}

/// Both ends of a connection (client, server), and the socket of the server.
pub(crate) fn pair() -> (TlsStream, TlsStream, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let near = scope.spawn(move || connect(address));
        let socket = Arc::new(listener.accept().unwrap().0);
        let far = server().accept(Arc::clone(&socket), LONG).unwrap();
        (near.join().unwrap(), far, socket)
    })
}

/// Does the handshake with any client, and returns the connection and its purpose.
pub(crate) fn accept_any(
    server: TlsServer,
    socket: Arc<TcpStream>,
) -> Result<(TlsStream, ConnectionPurpose), TlsError> {
    let mut handshake = TlsHandshake::new(Arc::new(server), Arc::clone(&socket));
    let mut scratch = [0; 1000];
    loop {
        let flags = match handshake.advance(&[], &mut scratch)? {
            HandshakeProgress::Done(tls, purpose) => return Ok((tls.into_stream(), purpose)),
            HandshakeProgress::Waits(Interest::Read | Interest::Nothing) => PollFlags::POLLIN,
            HandshakeProgress::Waits(Interest::Write) => PollFlags::POLLOUT,
        };
        let mut watched = [PollFd::new(socket.as_fd(), flags)];
        assert_eq!(poll(&mut watched, PollTimeout::from(60_000u16)), Ok(1));
    }
}
