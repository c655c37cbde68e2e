//! The server side of TLS connections, without calls that block. `epoll` watches the idle
//! connections, which have released their buffers.

use super::cluster::{self, ConnectionPurpose};
use super::error::TlsError;
use super::inbound::Inbound;
use super::server::{TlsServer, handshake_error};
use super::stream::TlsStream;
use crate::net::{Interest, receive_now, send_now};
use rustls::server::{Accepted, Acceptor};
use rustls::{Connection, ServerConnection};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A TLS connection whose handshake is done.
#[derive(Debug)]
pub struct NonblockingTls {
    socket: Arc<TcpStream>,
    connection: Connection,
    /// Bytes of the socket that the TLS connection has not taken yet.
    unread: Vec<u8>,
    /// Encrypted bytes for the socket. It has taken the first `sent` of them.
    outbound: Vec<u8>,
    sent: usize,
    /// Whether the other side has sent `close_notify`.
    has_ended: bool,
}

/// What [`NonblockingTls::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes have arrived.
    Bytes,
    /// Nothing has arrived yet.
    Nothing,
    /// The other side has sent `close_notify`.
    End,
}

impl NonblockingTls {
    fn new(socket: Arc<TcpStream>, connection: ServerConnection) -> Self {
        Self {
            socket,
            connection: connection.into(),
            unread: Vec::new(),
            outbound: Vec::new(),
            sent: 0,
            has_ended: false,
        }
    }

    /// Decrypts bytes that have arrived, and appends them to `plaintext`: at most about as many as
    /// fit into `scratch`, whose content does not matter.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ended without `close_notify`; `InvalidData` if the bytes
    /// are not TLS or were changed on the way; otherwise the error of the socket.
    pub fn receive(&mut self, scratch: &mut [u8], plaintext: &mut Vec<u8>) -> io::Result<Received> {
        let before = plaintext.len();
        self.take_plaintext(plaintext)?;
        let unread = std::mem::take(&mut self.unread);
        self.feed(&unread, Some(plaintext))?;
        if plaintext.len() == before && !self.has_ended {
            match receive_now(&self.socket, scratch)? {
                None => return Ok(Received::Nothing),
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(received) => {
                    let bytes = scratch.get(..received).unwrap_or_default();
                    self.feed(bytes, Some(plaintext))?;
                }
            }
        }
        Ok(match (plaintext.len() > before, self.has_ended) {
            (true, _) => Received::Bytes,
            (false, true) => Received::End,
            // Only a part of a record has arrived.
            (false, false) => Received::Nothing,
        })
    }

    /// Encrypts bytes, to be sent by [`NonblockingTls::flush`].
    ///
    /// # Errors
    /// The TLS connection takes no bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.connection.writer().write(bytes)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = bytes.get(written..).unwrap_or_default(),
            }
            self.take_records()?;
        }
        Ok(())
    }

    /// Ends the stream of bytes to the other side, after all that was written.
    ///
    /// # Errors
    /// See [`NonblockingTls::write`].
    pub fn finish(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.take_records()
    }

    /// Sends what the socket takes. Returns whether everything has been sent.
    ///
    /// # Errors
    /// The error of the socket.
    pub fn flush(&mut self) -> io::Result<bool> {
        // TLS has messages of its own, for example the answer to an update of keys.
        self.take_records()?;
        while let Some(unsent) = self.outbound.get(self.sent..).filter(|it| !it.is_empty()) {
            match send_now(&self.socket, unsent)? {
                0 => return Ok(false),
                sent => self.sent += sent,
            }
        }
        self.outbound = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// Frees the memory that a connection does not need while it waits.
    pub fn release_buffers(&mut self) {
        // rustls shrinks an empty buffer when a read begins, even if no byte comes (see
        // `DeframerVecBuffer::prepare_read`).
        let _ = self.connection.read_tls(&mut NothingYet);
    }

    /// Turns the connection into a stream with calls that block. [`NonblockingTls::flush`] must
    /// have sent everything before.
    pub fn into_stream(self) -> TlsStream {
        let inbound = Inbound::with_bytes(&self.unread);
        TlsStream::from_parts(self.socket, self.connection, inbound)
    }

    /// Passes bytes of the socket to the TLS connection, and appends the decrypted bytes to
    /// `plaintext`. If `plaintext` is `None`, this function stops at the end of the handshake, and
    /// appends the rest of `bytes` to `unread`.
    fn feed(&mut self, mut bytes: &[u8], mut plaintext: Option<&mut Vec<u8>>) -> io::Result<()> {
        while !bytes.is_empty() && !self.has_ended {
            if plaintext.is_none() && !self.connection.is_handshaking() {
                self.unread.extend_from_slice(bytes);
                return Ok(());
            }
            if self.connection.read_tls(&mut bytes)? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let processed = self.connection.process_new_packets();
            let state = processed.map_err(|error| {
                // The alert says why. It is sent if the socket takes it now.
                let _ = self.flush();
                io::Error::new(io::ErrorKind::InvalidData, error)
            })?;
            self.has_ended = state.peer_has_closed();
            if let Some(plaintext) = &mut plaintext {
                self.take_plaintext(plaintext)?;
            }
        }
        Ok(())
    }

    fn take_plaintext(&mut self, plaintext: &mut Vec<u8>) -> io::Result<()> {
        let state = self.connection.process_new_packets();
        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.has_ended |= state.peer_has_closed();
        let before = plaintext.len();
        plaintext.resize(before + state.plaintext_bytes_to_read(), 0);
        let new = plaintext.get_mut(before..).unwrap_or_default();
        self.connection.reader().read_exact(new)
    }

    /// Moves encrypted records to `outbound`.
    fn take_records(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.outbound)?;
        }
        Ok(())
    }
}

/// A socket without bytes.
struct NothingYet;

impl Read for NothingYet {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The server side of a handshake.
#[derive(Debug)]
pub struct TlsHandshake {
    server: Arc<TlsServer>,
    socket: Arc<TcpStream>,
    stage: Stage,
}

enum Stage {
    Hello(Box<Acceptor>),
    Exchange(Box<NonblockingTls>, IsKeyNeeded),
    Over,
}

/// Whether the caller must prove that it holds the key of the cluster.
#[derive(Clone, Copy)]
struct IsKeyNeeded(bool);

/// What [`TlsHandshake::advance`] found.
#[derive(Debug)]
pub enum HandshakeProgress {
    /// The handshake waits for the socket.
    Waits(Interest),
    /// The handshake is done. A caller whose purpose is not [`ConnectionPurpose::Peer`] has proved
    /// that it holds the key of the cluster.
    Done(Box<NonblockingTls>, ConnectionPurpose),
}

impl TlsHandshake {
    /// A handshake that has processed no byte yet.
    pub fn new(server: Arc<TlsServer>, socket: Arc<TcpStream>) -> Self {
        Self {
            server,
            socket,
            stage: Stage::Hello(Box::default()),
        }
    }

    /// Goes on as far as possible without waiting. `first` are bytes that were read from the
    /// socket before.
    ///
    /// # Errors
    /// See [`TlsError`]. If TLS refused the caller, an alert was sent to it.
    pub fn advance(
        &mut self,
        first: &[u8],
        scratch: &mut [u8],
    ) -> Result<HandshakeProgress, TlsError> {
        self.feed(first)?;
        loop {
            if let Stage::Exchange(tls, _) = &mut self.stage {
                match tls.flush().map_err(handshake_error)? {
                    false => return Ok(HandshakeProgress::Waits(Interest::Write)),
                    true if !tls.connection.is_handshaking() => break,
                    true => {}
                }
            }
            let received = receive_now(&self.socket, scratch).map_err(handshake_error)?;
            match received {
                None => return Ok(HandshakeProgress::Waits(Interest::Read)),
                Some(0) => return Err(handshake_error(io::ErrorKind::UnexpectedEof.into())),
                Some(received) => self.feed(scratch.get(..received).unwrap_or_default())?,
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Exchange(tls, IsKeyNeeded(needs_key)) => {
                let purpose = match needs_key {
                    true => cluster::purpose(&tls.connection)?,
                    false => ConnectionPurpose::Peer,
                };
                Ok(HandshakeProgress::Done(tls, purpose))
            }
            _ => Err(handshake_error(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), TlsError> {
        while let Stage::Hello(acceptor) = &mut self.stage {
            if bytes.is_empty() {
                return Ok(());
            }
            let read = acceptor.read_tls(&mut bytes).map_err(handshake_error)?;
            if read == 0 {
                return Err(handshake_error(io::ErrorKind::InvalidData.into()));
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => self.begin_exchange(accepted)?,
                Ok(None) => {}
                Err((error, mut alert)) => return Err(self.refuse(error, &mut alert)),
            }
        }
        match &mut self.stage {
            Stage::Exchange(tls, _) => tls.feed(bytes, None).map_err(handshake_error),
            _ => Ok(()),
        }
    }

    fn begin_exchange(&mut self, accepted: Accepted) -> Result<(), TlsError> {
        let (config, needs_key) = self.server.config_for(&accepted.client_hello());
        let connection = accepted.into_connection(config);
        let connection = connection.map_err(|(error, mut alert)| self.refuse(error, &mut alert))?;
        // TLS records are written whole. Waiting to fill a packet (Nagle) would only delay them.
        self.socket.set_nodelay(true).map_err(handshake_error)?;
        let tls = NonblockingTls::new(Arc::clone(&self.socket), connection);
        self.stage = Stage::Exchange(Box::new(tls), IsKeyNeeded(needs_key));
        Ok(())
    }

    /// Sends the alert that refuses a client hello, if the socket takes it now.
    fn refuse(&self, error: rustls::Error, alert: &mut rustls::server::AcceptedAlert) -> TlsError {
        let mut bytes = Vec::new();
        let written = alert.write_all(&mut bytes);
        let _ = written.and_then(|()| send_now(&self.socket, &bytes).map(drop));
        handshake_error(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hello(_) => "Hello",
            Self::Exchange(..) => "Exchange",
            Self::Over => "Over",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{connect_tls, testing};
    use super::*;
    use std::net::{Shutdown, TcpListener};
    use std::thread;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(60);
    /// So many bytes that TLS does not take all of them at the end of the handshake.
    const MANY: usize = 40_000;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn read_record(mut socket: &TcpStream) -> Vec<u8> {
        let mut record = vec![0; 5];
        socket.read_exact(&mut record).unwrap();
        let length = u16::from_be_bytes([record[3], record[4]]);
        record.resize(5 + usize::from(length), 0);
        socket.read_exact(&mut record[5..]).unwrap();
        record
    }

    /// The server side of a handshake that gets its last bytes together with `early`. The server's
    /// own socket brings no bytes: the test reads what the client sends, and passes it on.
    fn accept_with(early: &[u8]) -> NonblockingTls {
        let (client, far) = pair();
        let (ours, from_server) = pair();
        let (mut to_client, mut from_server) = (far.try_clone().unwrap(), from_server);
        thread::spawn(move || io::copy(&mut from_server, &mut to_client));
        thread::scope(|scope| {
            let client = Arc::new(client);
            scope.spawn(move || {
                let (tls, _) = connect_tls(Arc::clone(&client), None, LONG).unwrap();
                tls.write_all_until(early, Instant::now() + LONG).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut handshake = TlsHandshake::new(Arc::new(testing::server()), Arc::new(ours));
            let mut scratch = [0; 1 << 10];
            let progress = handshake.advance(&read_record(&far), &mut scratch);
            let is_waiting = matches!(progress, Ok(HandshakeProgress::Waits(Interest::Read)));
            assert!(is_waiting, "{progress:?}");
            let mut rest = Vec::new();
            (&far).read_to_end(&mut rest).unwrap();
            match handshake.advance(&rest, &mut scratch).unwrap() {
                HandshakeProgress::Done(tls, _) => *tls,
                waits => panic!("{waits:?}"),
            }
        })
    }

    #[test]
    fn bytes_that_arrive_with_the_end_of_the_handshake_are_received() {
        for early in [vec![b'e'; 10], vec![b'e'; MANY]] {
            let (mut tls, mut plaintext) = (accept_with(&early), Vec::new());
            while plaintext.len() < early.len() {
                let received = tls.receive(&mut [0; 1 << 10], &mut plaintext);
                assert_eq!(received.unwrap(), Received::Bytes);
            }
            assert_eq!(plaintext, early);
        }
    }

    #[test]
    fn bytes_that_arrive_with_the_end_of_the_handshake_are_in_the_stream() {
        for early in [vec![b'e'; 10], vec![b'e'; MANY]] {
            let (stream, mut bytes) = (accept_with(&early).into_stream(), vec![0; early.len()]);
            // The socket brings nothing, so lost bytes would make this read wait until the end.
            let deadline = Instant::now() + Duration::from_secs(10);
            stream.read_exact_until(&mut bytes, deadline).unwrap();
            assert_eq!(bytes, early);
        }
    }
}
