//! The accounts, the group and the shares of the fleet, made over control connections.

use crate::client::Client;
use pieceful::certificate::MemberKey;
use pieceful::torrent::{Info, InfoHash};
use pieceful::wire::access::{AccessAnswer, AccessRequest, KeyRequest, Token, WriteId};
use pieceful::wire::control::InfoPart;
use pieceful::wire::name::Label;
use pieceful::wire::password::Password;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

const GROUP: &str = "fleet";
const SHARES: usize = 10;
/// Number of machines that share one account.
const MACHINES_OF_ACCOUNT: usize = 10;
/// Number of accounts that are created at the same time. A tracker hashes one password per core.
const AT_ONCE: usize = 4;

pub struct Team {
    /// The token of the group's owner.
    pub owner: Token,
    /// A token for each account.
    pub tokens: Vec<Token>,
    pub shares: Vec<InfoHash>,
    /// The certificate of the group's authority, as PEM text.
    authority: String,
}

impl Team {
    pub fn prepare(address: SocketAddr, machines: usize) -> Self {
        let accounts = machines.div_ceil(MACHINES_OF_ACCOUNT);
        let owner = create_and_log_in(&mut connect(address), "owner");
        let mut client = connect(address);
        let group = GROUP.parse().unwrap();
        let write = write_id();
        let created = client.ask(AccessRequest::CreateGroup { write, group }, Some(&owner));
        created.unwrap();
        let tokens = Mutex::new(Vec::new());
        let numbers = Mutex::new(0..accounts);
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let mut client = connect(address);
                    loop {
                        let Some(number) = numbers.lock().unwrap().next() else {
                            return;
                        };
                        let token = create_member(&mut client, &owner, &format!("user{number}"));
                        tokens.lock().unwrap().push(token);
                    }
                });
            }
        });
        let authority = authority(&mut client, &owner);
        let shares = (0..SHARES).map(|number| publish(&mut client, &owner, &authority, number));
        Self {
            shares: shares.collect(),
            tokens: tokens.into_inner().unwrap(),
            owner,
            authority,
        }
    }

    pub fn publish_one_more(&self, address: SocketAddr) {
        let (owner, number) = (&self.owner, self.shares.len());
        publish(&mut connect(address), owner, &self.authority, number);
    }

    pub fn list_files(&self) -> AccessRequest {
        AccessRequest::ListFiles {
            group: group_name(),
            versions: false,
            after: None,
        }
    }
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address).unwrap()
}

fn group_name() -> Label {
    GROUP.parse().unwrap()
}

fn write_id() -> WriteId {
    WriteId(std::array::from_fn(|_| fastrand::u8(..)))
}

/// Creates an account and logs it in. Returns the token of the login.
fn create_and_log_in(client: &mut Client, user: &str) -> Token {
    let password = Password::new("a long password").unwrap();
    let create = AccessRequest::CreateUser {
        write: write_id(),
        user: user.parse().unwrap(),
        password: password.clone(),
        invite: None,
    };
    client.ask(create, None).unwrap();
    let log_in = AccessRequest::Login {
        attempt: write_id(),
        user: user.parse().unwrap(),
        password,
        host: None,
    };
    match client.ask(log_in, None) {
        Ok(AccessAnswer::LoggedIn { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

/// Creates an account that is a member of the group. Returns the token of its login.
fn create_member(client: &mut Client, owner: &Token, user: &str) -> Token {
    let token = create_and_log_in(client, user);
    let join = AccessRequest::JoinGroup {
        write: write_id(),
        group: group_name(),
    };
    client.ask(join, Some(&token)).unwrap();
    let accept = AccessRequest::AcceptRequest {
        write: write_id(),
        group: group_name(),
        user: user.parse().unwrap(),
    };
    client.ask(accept, Some(owner)).unwrap();
    token
}

fn authority(client: &mut Client, owner: &Token) -> String {
    let key = MemberKey::generate().unwrap();
    let certify = AccessRequest::Certify {
        group: group_name(),
        request: KeyRequest(key.request(owner.as_bytes()).unwrap()),
    };
    match client.ask(certify, Some(owner)) {
        Ok(AccessAnswer::Certificate { authority, .. }) => String::from_utf8(authority).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn publish(client: &mut Client, owner: &Token, authority: &str, number: usize) -> InfoHash {
    let name = format!("share{number}");
    let mut raw = format!(
        "d6:lengthi1e4:name{}:{name}12:piece lengthi16384e6:pieces20:",
        name.len()
    );
    raw += "aaaaaaaaaaaaaaaaaaaa";
    raw += &format!("7:privatei1e8:ssl-cert{}:{authority}e", authority.len());
    let info = Info::parse(raw.as_bytes()).unwrap();
    let part = InfoPart::new(0, raw.len() as u32, raw.into_bytes()).unwrap();
    let publish = AccessRequest::Publish {
        write: write_id(),
        group: group_name(),
        part,
        update: false,
        note: None,
    };
    client.ask(publish, Some(owner)).unwrap();
    info.info_hash()
}
