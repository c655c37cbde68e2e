//! One machine of the fleet: its announces over a control connection that never blocks.

use crate::team::Team;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, AccessRequestMessage, AnnounceBatch,
    GroupAnnounceEvent, Hint, MAX_FRAME, SwarmAnnounce, Token,
};
use pieceful::wire::frame;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Machine {
    number: u32,
    token: Token,
    shares: Arc<[InfoHash]>,
    tracker: SocketAddrV4,
    config: Arc<ClientConfig>,
    connection: Option<(TcpStream, ClientConnection)>,
    arrived: Vec<u8>,
    last_id: u32,
    has_started: bool,
    /// When the machine connects or announces next.
    pub due: Instant,
}

/// What has happened at a machine.
#[derive(Debug)]
pub enum Event {
    Nothing,
    /// It has the answer to an announce.
    Served,
    /// It has got a hint.
    Hinted,
    /// Its connection has failed. It tries again.
    Failed(String),
}

impl Machine {
    pub fn new(
        number: u32,
        team: &Team,
        shares: &Arc<[InfoHash]>,
        tracker: SocketAddrV4,
        config: &Arc<ClientConfig>,
        due: Instant,
    ) -> Self {
        Self {
            number,
            token: team.tokens[number as usize % team.tokens.len()].clone(),
            shares: Arc::clone(shares),
            tracker,
            config: Arc::clone(config),
            connection: None,
            arrived: Vec::new(),
            last_id: 0,
            has_started: false,
            due,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Begins to connect, from an address of its own, and queues an announce.
    pub fn connect(&mut self) -> io::Result<&TcpStream> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        let [_, second, third, fourth] = (0x0101_0001 + self.number).to_be_bytes();
        let own = SocketAddrV4::new(Ipv4Addr::new(127, second, third, fourth.max(1)), 0);
        bind(socket.as_raw_fd(), &SockaddrIn::from(own))?;
        match connect(socket.as_raw_fd(), &SockaddrIn::from(self.tracker)) {
            Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let name = pieceful::net::TRACKER_NAME.try_into().unwrap();
        let tls = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        self.arrived.clear();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        self.connection = Some((stream, tls));
        self.due = Instant::now() + Duration::from_secs(60);
        self.announce();
        Ok(&self.connection.as_ref().unwrap().0)
    }

    /// Queues an announce of all shares.
    pub fn announce(&mut self) {
        let event = (!self.has_started).then_some(GroupAnnounceEvent::Started);
        let swarms = self.shares.iter().map(|share| SwarmAnnounce {
            info_hash: *share,
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event,
        });
        let mut id = [b'f'; 20];
        id[..4].copy_from_slice(&self.number.to_be_bytes());
        let port = 6881.try_into().unwrap();
        let batch = AnnounceBatch::new(PeerId(id), port, swarms.collect()).unwrap();
        self.queue(AccessRequest::Announce(batch));
        self.due = Instant::now() + Duration::from_secs(60);
    }

    fn queue(&mut self, ask: AccessRequest) {
        self.last_id += 1;
        let request = AccessRequestMessage {
            id: self.last_id,
            token: Some(self.token.clone()),
            watch: true,
            ask,
        };
        let mut out = Vec::new();
        frame::encode(&request.encode(), MAX_FRAME, &mut out).unwrap();
        if let Some((_, tls)) = &mut self.connection {
            tls.writer().write_all(&out).unwrap();
        }
    }

    /// Reads and writes what is possible now.
    pub fn advance(&mut self) -> Event {
        match self.exchange() {
            Ok(event) => event,
            Err(error) => {
                self.connection = None;
                self.due = Instant::now() + Duration::from_millis(1_000 + fastrand::u64(..4_000));
                Event::Failed(error.to_string())
            }
        }
    }

    fn exchange(&mut self) -> io::Result<Event> {
        let Some((stream, tls)) = &mut self.connection else {
            return Ok(Event::Nothing);
        };
        loop {
            while tls.wants_write() {
                match tls.write_tls(stream) {
                    Ok(_) => {}
                    Err(error) if would_block(&error) => break,
                    Err(error) => return Err(error),
                }
            }
            match tls.read_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut bytes = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut bytes)?;
            self.arrived.extend(bytes);
        }
        self.read_frames()
    }

    fn read_frames(&mut self) -> io::Result<Event> {
        let mut event = Event::Nothing;
        while let Some((body, unread)) =
            frame::decode(&self.arrived, MAX_FRAME).map_err(io::Error::other)?
        {
            if Hint::decode(body).map_err(io::Error::other)?.is_some() {
                event = Event::Hinted;
            } else {
                let reply = AccessReplyMessage::decode(body).map_err(io::Error::other)?;
                let answer = reply.result.map_err(io::Error::other)?;
                if let AccessAnswer::Peers(peers) = answer {
                    let interval = Duration::from_secs(peers.interval.into());
                    self.due = Instant::now() + interval.mul_f64(1.0 + fastrand::f64() / 10.0);
                    self.has_started = true;
                    event = Event::Served;
                }
            }
            let unread = unread.len();
            self.arrived.drain(..self.arrived.len() - unread);
        }
        Ok(event)
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}
