//! TLS connections and servers for tests.

use super::{TRACKER_NAME, TlsServer, TlsStream, connect_tls};
use crate::certificate::Authority;
use std::net::{SocketAddr, TcpListener, TcpStream};
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
