//! A tracker of accounts as a process, and lines to it that speak the wire themselves: what a peer of ours would never send
//! can be sent too.

use super::waiting::PATIENCE;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use pieceful::net::{FrameIoError, FrameReader, TlsStream, connect_tls, write_frame};
use pieceful::wire::access::{
    Answer, Ask, GroupEntry, MAX_FRAME, Place, Refused, Reply, Request, Token, WriteId,
};
use pieceful::wire::password::Password;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// A control line.
pub(crate) struct Line {
    pub(crate) stream: TlsStream,
    last_id: u32,
}

impl Line {
    /// None if nobody answers there any more.
    pub(crate) fn open(address: SocketAddr) -> Option<Self> {
        Self::over(TcpStream::connect(address).ok()?)
    }

    /// Over that connection.
    pub(crate) fn over(socket: TcpStream) -> Option<Self> {
        socket.set_nodelay(true).ok()?;
        let (stream, _) = connect_tls(Arc::new(socket), None, PATIENCE).ok()?;
        Some(Self { stream, last_id: 0 })
    }

    /// What is answered; an error if the line ended first.
    pub(crate) fn try_ask(
        &mut self,
        token: Option<&Token>,
        ask: Ask,
    ) -> Result<Result<Answer, Refused>, FrameIoError> {
        self.last_id += 1;
        let request = Request {
            id: self.last_id,
            token: token.cloned(),
            ask,
        };
        let reply = self.exchange(&request.encode())?;
        assert_eq!(reply.id, self.last_id, "{reply:?}");
        Ok(reply.result)
    }

    /// What is answered to that body of a frame.
    pub(crate) fn exchange(&mut self, body: &[u8]) -> Result<Reply, FrameIoError> {
        write_frame(&self.stream, body, MAX_FRAME, PATIENCE)?;
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        let body = reader.next(PATIENCE, PATIENCE)?;
        Ok(Reply::decode(body).expect("a reply"))
    }

    pub(crate) fn ask(&mut self, token: Option<&Token>, ask: Ask) -> Result<Answer, Refused> {
        self.try_ask(token, ask).expect("an answer")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stream.finish(Duration::from_millis(100));
        self.stream.hang_up();
    }
}

/// A connection from host `host` of 127.0.0.0/8, as if of another machine.
pub(crate) fn connect_from(host: u16, to: SocketAddr) -> TcpStream {
    let [high, low] = host.to_be_bytes();
    let (kind, none) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    let socket = socket::socket(AddressFamily::Inet, kind, none, None).unwrap();
    let SocketAddr::V4(to) = to else {
        panic!("{to} is not of IPv4")
    };
    socket::bind(socket.as_raw_fd(), &SockaddrIn::new(127, 1, high, low, 0)).unwrap();
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    TcpStream::from(socket)
}

/// Somebody who is logged in.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) token: Token,
    pub(crate) line: Line,
}

impl User {
    pub(crate) fn login(mut line: Line, name: &str) -> Self {
        match line.ask(None, login(name, &password(name))).unwrap() {
            Answer::Session { token, user, .. } if user.to_string() == name => Self {
                name: name.to_owned(),
                token,
                line,
            },
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Answer, Refused> {
        self.line.ask(Some(&self.token), ask)
    }

    /// What is done for it.
    pub(crate) fn does(&mut self, ask: Ask) {
        let shown = format!("{} {ask:?}", self.name);
        assert_eq!(self.ask(ask), Ok(Answer::Done), "{shown}");
    }

    /// All groups, whatever the number of pages.
    pub(crate) fn groups(&mut self) -> Vec<GroupEntry> {
        let (mut groups, mut after) = (Vec::new(), None);
        loop {
            match self.ask(Ask::ListGroups { after }) {
                Ok(Answer::Groups(page)) => {
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

/// A write that was never asked for before.
pub(crate) fn write() -> WriteId {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).unwrap();
    WriteId(id)
}

/// The password of the user of that name in all these tests.
pub(crate) fn password(user: &str) -> Password {
    Password::new(format!("pw of {user}")).unwrap()
}

pub(crate) fn login(user: &str, password: &Password) -> Ask {
    Ask::Login {
        user: user.parse().unwrap(),
        password: password.clone(),
    }
}

pub(crate) fn create_user(user: &str) -> Ask {
    create_user_with(user, None)
}

pub(crate) fn create_user_with(user: &str, invite: Option<&str>) -> Ask {
    Ask::CreateUser {
        write: write(),
        user: user.parse().unwrap(),
        password: password(user),
        invite: invite.map(|code| Place::new(code).unwrap()),
    }
}

/// A request about a group, as a person would type it; `leave_group` with `--yes` ends it.
pub(crate) fn group(typed: &str) -> Ask {
    let words: Vec<&str> = typed.split(' ').collect();
    let label = |at: usize| words[at].parse().unwrap();
    match words[0] {
        "create_group" => Ask::CreateGroup {
            write: write(),
            group: words[1].parse().unwrap(),
        },
        "join_group" => Ask::JoinGroup {
            write: write(),
            group: label(1),
        },
        "leave_group" => Ask::LeaveGroup {
            write: write(),
            group: label(1),
            end: words.get(2) == Some(&"--yes"),
        },
        "list_groups" => Ask::ListGroups { after: None },
        "list_members" => Ask::ListMembers {
            group: label(1),
            after: None,
        },
        "list_requests" => Ask::ListRequests {
            group: label(1),
            after: None,
        },
        "accept_request" => Ask::AcceptRequest {
            write: write(),
            group: label(1),
            user: label(2),
        },
        "reject_request" => Ask::RejectRequest {
            write: write(),
            group: label(1),
            user: label(2),
        },
        "remove_member" => Ask::RemoveMember {
            write: write(),
            group: label(1),
            user: label(2),
        },
        "news" => Ask::News {
            seen: Default::default(),
            after: None,
        },
        "logout" => Ask::Logout { write: write() },
        other => panic!("{other}"),
    }
}
