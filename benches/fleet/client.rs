//! One control connection that waits for each reply.

use pieceful::net::{FrameReader, TlsStream, connect_tls, write_frame};
use pieceful::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, AccessRequestMessage, MAX_FRAME, Token,
};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for connecting, for the handshake, and for sending or receiving a frame.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TlsStream,
    last_id: u32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Self, String> {
        let socket = TcpStream::connect_timeout(&address, TIMEOUT);
        let socket = socket.map_err(|error| error.to_string())?;
        let connected = connect_tls(Arc::new(socket), None, TIMEOUT);
        let (stream, _) = connected.map_err(|error| error.to_string())?;
        Ok(Self { stream, last_id: 0 })
    }

    pub fn ask(
        &mut self,
        ask: AccessRequest,
        token: Option<&Token>,
    ) -> Result<AccessAnswer, String> {
        self.last_id += 1;
        let request = AccessRequestMessage {
            id: self.last_id,
            token: token.cloned(),
            watch: false,
            ask,
        };
        let written = write_frame(&self.stream, &request.encode(), MAX_FRAME, TIMEOUT);
        written.map_err(|error| error.to_string())?;
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        let body = reader.next(TIMEOUT, TIMEOUT);
        let body = body.map_err(|error| error.to_string())?;
        let reply = AccessReplyMessage::decode(body).map_err(|error| error.to_string())?;
        reply.result.map_err(|refused| refused.to_string())
    }
}
