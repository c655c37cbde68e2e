//! Control connections that a test opens itself: it can send what a real peer would never send.

use super::waiting::PATIENCE;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use pieceful::net::{FrameIoError, FrameReader, TlsStream, connect_tls, write_frame};
use pieceful::wire::access::{
    AccessAnswer, AccessRefusal, AccessReplyMessage, AccessRequest, AccessRequestMessage,
    GroupEntry, Hint, LoginRequest, MAX_FRAME, ShortText, Token, WriteId,
};
use pieceful::wire::password::Password;
use pieceful::wire::role::Role;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A control connection.
pub(crate) struct ControlConnection {
    pub(crate) stream: TlsStream,
    last_id: u32,
    /// Whether requests ask for hints.
    watches: bool,
    hints: VecDeque<Hint>,
    /// Bytes of frames that have arrived after the last reply.
    unread: Vec<u8>,
}

impl ControlConnection {
    /// Connects to a tracker. None if nothing listens there.
    pub(crate) fn open(address: SocketAddr) -> Option<Self> {
        Self::over(TcpStream::connect(address).ok()?)
    }

    /// Does the TLS handshake over `socket`. None if the tracker does not answer.
    pub(crate) fn over(socket: TcpStream) -> Option<Self> {
        socket.set_nodelay(true).ok()?;
        let (stream, _) = connect_tls(Arc::new(socket), None, PATIENCE).ok()?;
        Some(Self {
            stream,
            last_id: 0,
            watches: false,
            hints: VecDeque::new(),
            unread: Vec::new(),
        })
    }

    /// Sends a request and returns the answer, or an error if the connection ends first.
    pub(crate) fn try_ask(
        &mut self,
        token: Option<&Token>,
        ask: AccessRequest,
    ) -> Result<Result<AccessAnswer, AccessRefusal>, FrameIoError> {
        self.last_id += 1;
        let request = AccessRequestMessage {
            id: self.last_id,
            token: token.cloned(),
            watch: self.watches,
            ask,
        };
        let reply = self.exchange(&request.encode())?;
        assert_eq!(reply.id, self.last_id, "{reply:?}");
        Ok(reply.result)
    }

    /// Sends a request without a token. Does not wait for the reply.
    pub(crate) fn send(&mut self, ask: AccessRequest) {
        self.last_id += 1;
        let request = AccessRequestMessage {
            id: self.last_id,
            token: None,
            watch: false,
            ask,
        };
        write_frame(&self.stream, &request.encode(), MAX_FRAME, PATIENCE).unwrap();
    }

    /// Makes a request, and sends the first byte of a request for the list of groups together with
    /// it. Returns the rest of that request. Until the rest is sent, the tracker sends no hints.
    /// Forgets earlier hints.
    pub(crate) fn ask_and_begin_next(&mut self, token: &Token, ask: AccessRequest) -> Vec<u8> {
        let mut frame = |ask| {
            self.last_id += 1;
            let request = AccessRequestMessage {
                id: self.last_id,
                token: Some(token.clone()),
                watch: self.watches,
                ask,
            };
            let body = request.encode();
            let length = u32::try_from(body.len()).unwrap();
            [&length.to_be_bytes()[..], &body].concat()
        };
        let (whole, next) = (frame(ask), frame(group_request("list_groups")));
        let (first, rest) = next.split_at(1);
        // All bytes are in one TLS record, so the tracker gets them together.
        let deadline = Instant::now() + PATIENCE;
        let sent = self
            .stream
            .write_all_until(&[&whole, first].concat(), deadline);
        sent.unwrap();
        let reply = self.next_reply().unwrap();
        assert!(reply.result.is_ok(), "{reply:?}");
        self.hints.clear();
        rest.to_vec()
    }

    /// Sends the rest of the request that [`Self::ask_and_begin_next`] has begun, and waits for the
    /// reply.
    pub(crate) fn finish_request(&mut self, rest: &[u8]) {
        let deadline = Instant::now() + PATIENCE;
        self.stream.write_all_until(rest, deadline).unwrap();
        let reply = self.next_reply().unwrap();
        assert!(reply.result.is_ok(), "{reply:?}");
    }

    /// Sends the same short request again and again, and reads no reply, until the tracker closes
    /// the connection.
    pub(crate) fn send_until_closed(&mut self) {
        let request = AccessRequestMessage {
            id: 0,
            token: None,
            watch: false,
            ask: AccessRequest::Cluster,
        };
        let body = request.encode();
        let length = u32::try_from(body.len()).unwrap();
        let requests = [&length.to_be_bytes()[..], &body].concat().repeat(100);
        let deadline = Instant::now() + PATIENCE;
        let send = || self.stream.write_all_until(&requests, deadline);
        while send().is_ok() {}
        assert!(
            Instant::now() < deadline,
            "the tracker does not close the connection"
        );
    }

    /// Sends a frame with this body and returns the reply.
    pub(crate) fn exchange(&mut self, body: &[u8]) -> Result<AccessReplyMessage, FrameIoError> {
        write_frame(&self.stream, body, MAX_FRAME, PATIENCE)?;
        self.next_reply()
    }

    /// Waits for the next reply. Keeps the hints that come first.
    pub(crate) fn next_reply(&mut self) -> Result<AccessReplyMessage, FrameIoError> {
        loop {
            let body = self.next_frame()?;
            match Hint::decode(&body).expect("a message") {
                Some(hint) => self.hints.push_back(hint),
                None => return Ok(AccessReplyMessage::decode(&body).expect("a reply")),
            }
        }
    }

    /// Asks for hints from the next request on.
    pub(crate) fn ask_for_hints(&mut self) {
        self.watches = true;
    }

    /// Waits for the next hint. Returns it, or an error if the connection ends first.
    pub(crate) fn next_hint(&mut self) -> Result<Hint, FrameIoError> {
        if let Some(hint) = self.hints.pop_front() {
            return Ok(hint);
        }
        let body = self.next_frame()?;
        Ok(Hint::decode(&body).expect("a message").expect("a hint"))
    }

    fn next_frame(&mut self) -> Result<Vec<u8>, FrameIoError> {
        let unread = std::mem::take(&mut self.unread);
        let mut reader = FrameReader::resume(&self.stream, MAX_FRAME, unread);
        let body = reader.next(PATIENCE, PATIENCE)?.to_vec();
        self.unread = reader.into_unread();
        Ok(body)
    }

    /// Sends a request and returns the answer, which must come.
    pub(crate) fn ask(
        &mut self,
        token: Option<&Token>,
        ask: AccessRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        self.try_ask(token, ask).expect("an answer")
    }
}

impl Drop for ControlConnection {
    fn drop(&mut self) {
        self.stream.finish(Duration::from_millis(100));
        self.stream.hang_up();
    }
}

/// Connects from the loopback address 127.1.x.y, as if from another machine. The bytes x and y are
/// those of `host`.
pub(crate) fn connect_from(host: u16, to: SocketAddr) -> TcpStream {
    connect_from_network(1, host, to)
}

/// Connects from the loopback address 127.`network`.x.y. The bytes x and y are those of `host`.
pub(crate) fn connect_from_network(network: u8, host: u16, to: SocketAddr) -> TcpStream {
    let [high, low] = host.to_be_bytes();
    connect_from_address(Ipv4Addr::new(127, network, high, low), to)
}

/// Connects from this address of the machine.
pub(crate) fn connect_from_address(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    let socket = socket::socket(AddressFamily::Inet, kind, flags, None).unwrap();
    let SocketAddr::V4(to) = to else {
        panic!("{to} is not an IPv4 address")
    };
    let from = SockaddrIn::from(SocketAddrV4::new(from, 0));
    socket::bind(socket.as_raw_fd(), &from).unwrap();
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    TcpStream::from(socket)
}

/// A user who is logged in over a control connection.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) token: Token,
    pub(crate) connection: ControlConnection,
}

impl User {
    /// Logs in over this connection, with the user's password in all tests ([`password_of`]).
    pub(crate) fn log_in(mut connection: ControlConnection, name: &str) -> Self {
        match connection
            .ask(None, login_request(name, &password_of(name)))
            .unwrap()
        {
            AccessAnswer::LoggedIn { token, user, .. } if user.to_string() == name => Self {
                name: name.to_owned(),
                token,
                connection,
            },
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ask(&mut self, ask: AccessRequest) -> Result<AccessAnswer, AccessRefusal> {
        self.connection.ask(Some(&self.token), ask)
    }

    /// Sends a request that the tracker must execute.
    pub(crate) fn perform(&mut self, ask: AccessRequest) {
        let description = format!("{} {ask:?}", self.name);
        assert_eq!(self.ask(ask), Ok(AccessAnswer::Done), "{description}");
    }

    /// Requests all pages of the list of groups. Returns all groups.
    pub(crate) fn groups(&mut self) -> Vec<GroupEntry> {
        let (mut groups, mut after) = (Vec::new(), None);
        loop {
            match self.ask(AccessRequest::ListGroups { after }) {
                Ok(AccessAnswer::Groups(page)) => {
                    groups.extend(page.entries);
                    after = page.next;
                }
                other => panic!("{other:?}"),
            }
            if after.is_none() {
                return groups;
            }
        }
    }
}

/// The id of a new write.
pub(crate) fn new_write() -> WriteId {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).unwrap();
    WriteId(id)
}

/// The password of a user in all tests.
pub(crate) fn password_of(user: &str) -> Password {
    Password::new(format!("pw of {user}")).unwrap()
}

/// The request to log in.
pub(crate) fn login_request(user: &str, password: &Password) -> AccessRequest {
    AccessRequest::Login {
        attempt: new_write(),
        user: user.parse().unwrap(),
        password: password.clone(),
        host: None,
    }
}

/// The request to create an account with the password that [`password_of`] returns.
pub(crate) fn create_user_request(user: &str) -> AccessRequest {
    create_user_request_with_invite(user, None)
}

/// Like [`create_user_request`], with an invite code.
pub(crate) fn create_user_request_with_invite(user: &str, invite: Option<&str>) -> AccessRequest {
    AccessRequest::CreateUser {
        write: new_write(),
        user: user.parse().unwrap(),
        password: password_of(user),
        invite: invite.map(|code| ShortText::new(code).unwrap()),
    }
}

/// The request that a typed command sends. `leave_group` with `--yes` lets the last member leave,
/// which ends the group.
pub(crate) fn group_request(typed: &str) -> AccessRequest {
    let words: Vec<&str> = typed.split(' ').collect();
    // The label of an existing group or user may have a tag (`lab~1234abcd`). A new name may not.
    let parse_label = |at: usize| words[at].parse().unwrap();
    match words[0] {
        "create_group" => AccessRequest::CreateGroup {
            write: new_write(),
            group: words[1].parse().unwrap(),
        },
        "join_group" => AccessRequest::JoinGroup {
            write: new_write(),
            group: parse_label(1),
        },
        "leave_group" => AccessRequest::LeaveGroup {
            write: new_write(),
            group: parse_label(1),
            end: words.get(2) == Some(&"--yes"),
        },
        "list_groups" => AccessRequest::ListGroups { after: None },
        "own_groups" => AccessRequest::OwnGroups { after: None },
        "list_members" => AccessRequest::ListMembers {
            group: parse_label(1),
            after: None,
        },
        "list_requests" => AccessRequest::ListRequests {
            group: parse_label(1),
            after: None,
        },
        "accept_request" => AccessRequest::AcceptRequest {
            write: new_write(),
            group: parse_label(1),
            user: parse_label(2),
        },
        "reject_request" => AccessRequest::RejectRequest {
            write: new_write(),
            group: parse_label(1),
            user: parse_label(2),
        },
        "remove_member" => AccessRequest::RemoveMember {
            write: new_write(),
            group: parse_label(1),
            user: parse_label(2),
        },
        "set_role" => AccessRequest::SetRole {
            write: new_write(),
            group: parse_label(1),
            user: parse_label(2).into(),
            role: match words[3] {
                "reader" => Role::Reader,
                "publisher" => Role::Publisher,
                _ => Role::Owner,
            },
        },
        "rename_group" => AccessRequest::RenameGroup {
            write: new_write(),
            group: parse_label(1),
            name: words[2].parse().unwrap(),
        },
        "news" => AccessRequest::ListDecisions {
            seen: Default::default(),
            with_requests: false,
            after: None,
        },
        "logout" => AccessRequest::Logout { write: new_write() },
        "list_logins" => AccessRequest::Logins(LoginRequest::List { after: None }),
        "end_login" => AccessRequest::Logins(LoginRequest::End {
            write: new_write(),
            login: words[1].parse().unwrap(),
        }),
        other => panic!("{other}"),
    }
}
