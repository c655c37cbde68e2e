//! Replica connections of strangers, of trackers that break the protocol, and of a tracker with a
//! wrong clock. Strangers learn nothing. No connection does harm, and the tracker goes on serving.

use super::pair::Pair;
use crate::common::control_connection::{User, create_user_request, group_request};
use crate::common::waiting::{PATIENCE, wait_until};
use pieceful::certificate::{Authority, CLUSTER_AUTHORITY};
use pieceful::net::{
    ClusterTls, ConnectionPurpose, FrameIoError, FrameReader, TRACKER_NAME, TlsError, TlsStream,
    write_frame,
};
use pieceful::tracker::registry::{
    Change, NewAccount, Origin, PasswordHash, Registry, Row, RowId, VersionVector,
};
use pieceful::wire::access::MAX_FRAME;
use pieceful::wire::replica::{Encoded, PROTOCOL, ReplicaMessage, TrackerNumber};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far the wrong clock is ahead.
const CLOCK_ERROR: Duration = Duration::from_secs(3 * 3600);

/// A fake tracker: a test chooses every message that it sends.
struct FakeReplica {
    stream: TlsStream,
}

impl FakeReplica {
    fn connect(
        pair: &Pair,
        tls: &ClusterTls,
        purpose: ConnectionPurpose,
    ) -> Result<Self, TlsError> {
        let socket = Arc::new(TcpStream::connect(pair.address(1)).unwrap());
        let stream = tls.connect(socket, purpose, PATIENCE)?;
        Ok(Self { stream })
    }

    /// Connects and sends the first message with this number and registry.
    fn connect_as(pair: &Pair, number: u32, registry: &Registry) -> Self {
        let fake = Self::connect(pair, &pair.tls(), ConnectionPurpose::Replica).unwrap();
        fake.send(&ReplicaMessage::Hello {
            number: TrackerNumber::new(number).unwrap(),
            origin: registry.origin().0,
            versions: versions(registry.version_vector()),
            serving: true,
        });
        fake
    }

    fn send(&self, message: &ReplicaMessage) {
        self.send_bytes(&message.encode());
    }

    fn send_bytes(&self, body: &[u8]) {
        // The tracker may have closed the connection already.
        let _ = write_frame(&self.stream, body, MAX_FRAME, PATIENCE);
    }

    /// Reads messages until `wanted` finds something in one of them. Answers pings meanwhile, with
    /// a clock that is `ahead` of ours. None if the connection ends first.
    fn read_until<T>(
        &self,
        ahead: Duration,
        mut wanted: impl FnMut(&ReplicaMessage) -> Option<T>,
    ) -> Option<T> {
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        loop {
            let body = match reader.next(PATIENCE, PATIENCE) {
                Ok(body) => body,
                Err(error @ (FrameIoError::Silent(_) | FrameIoError::TooSlow(_))) => {
                    panic!("the connection is still open: {error}")
                }
                Err(_) => return None,
            };
            let message = ReplicaMessage::decode(body).unwrap();
            if let Some(found) = wanted(&message) {
                return Some(found);
            }
            if let ReplicaMessage::Ping { clock: echo, .. } = message {
                let clock = (since_1970() + ahead).as_millis() as u64;
                self.send(&ReplicaMessage::Pong { echo, clock });
            }
        }
    }

    /// Pulls what the tracker has and `registry` lacks.
    fn pull_into(&self, registry: &mut Registry) {
        let known = versions(registry.version_vector());
        self.send(&ReplicaMessage::Pull { id: 1, known });
        let change = self.read_until(Duration::ZERO, |message| match message {
            ReplicaMessage::Changes { change, .. } => Some(change.clone().unwrap()),
            _ => None,
        });
        let change = Change::decode(change.unwrap().as_bytes()).unwrap();
        let update = registry.merge(&change, since_1970()).unwrap();
        registry.apply(update).unwrap();
    }

    /// Reads messages until the connection ends. Panics if it stays open.
    fn assert_is_cut_off(&self) {
        let found = self.read_until(Duration::ZERO, |_| None::<()>);
        assert!(found.is_none());
    }
}

impl Drop for FakeReplica {
    fn drop(&mut self) {
        self.stream.hang_up();
    }
}

fn versions(versions: &VersionVector) -> Encoded {
    Encoded::new(versions.encode()).unwrap()
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

fn account(id: u8, name: &str) -> NewAccount {
    NewAccount {
        id: RowId([id; 16]),
        name: name.parse().unwrap(),
        password: PasswordHash::new("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA").unwrap(),
    }
}

/// A running tracker whose TRACKER_INFO lists another one that does not run.
fn tracker_alone() -> Pair {
    let mut pair = Pair::stopped();
    pair.start(1, &["--alone"]);
    pair
}

#[test]
fn strangers_get_no_replica_connection() {
    let pair = tracker_alone();
    let authority = || Authority::generate(CLUSTER_AUTHORITY).unwrap();
    // A tracker and an operator of another cluster.
    let foreign = ClusterTls::new(&authority().issue(TRACKER_NAME).unwrap()).unwrap();
    for purpose in [ConnectionPurpose::Replica, ConnectionPurpose::Operator] {
        let refused = FakeReplica::connect(&pair, &foreign, purpose).map(|_| ());
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, TlsError::OtherCluster { .. }),
            "{refused}"
        );
    }
    wait_until("both refusals are logged", || {
        pair.log(1).matches("the TLS handshake with").count() == 2
    });
    // A control connection accepts no message of a replica connection.
    let connection = pair.connect(1);
    let ping = ReplicaMessage::Ping {
        clock: 1,
        versions: versions(&VersionVector::new()),
        serving: true,
    };
    write_frame(&connection.stream, &ping.encode(), MAX_FRAME, PATIENCE).unwrap();
    let mut reader = FrameReader::new(&connection.stream, MAX_FRAME);
    let reply = String::from_utf8_lossy(reader.next(PATIENCE, PATIENCE).unwrap()).into_owned();
    assert!(reply.contains("bad-request"), "{reply}");
    pair.user(1, "nik");
}

/// Asserts that each malformed message ends its own replica connection.
fn assert_malformed_messages_are_cut_off(pair: &Pair, registry: &Registry) {
    for bytes in [
        &b"hello"[..],
        b"de",
        b"d4:type4:push2:idi1e6:change3:abce",
        b"d6:change3:abc2:idi1e4:type4:pushe",
        b"d2:idi-1e4:type6:pushede",
        b"d5:known3:abc2:idi1e4:type4:pulle",
    ] {
        let fake = FakeReplica::connect_as(pair, 2, registry);
        fake.send_bytes(bytes);
        fake.assert_is_cut_off();
    }
}

#[test]
fn a_tracker_that_breaks_the_protocol_is_cut_off_although_it_has_the_key() {
    let pair = tracker_alone();
    let nik = pair.user(1, "nik");
    let stranger = Registry::new(Origin([9; 16]));
    for (logged, number) in [
        ("has number 1, as this tracker does", 1),
        ("has number 4, which TRACKER_INFO here does not list", 4),
    ] {
        FakeReplica::connect_as(&pair, number, &stranger).assert_is_cut_off();
        pair.wait_for_log(1, logged);
    }
    let newer = FakeReplica::connect(&pair, &pair.tls(), ConnectionPurpose::Replica).unwrap();
    // A later version may have other keys.
    newer.send_bytes(b"d6:numberi2e8:protocoli7e8:surprise3:new4:type5:helloe");
    newer.assert_is_cut_off();
    let refused = format!(
        "it speaks version 7 of the replication protocol, and this tracker version {PROTOCOL}; run the \
         same version on all trackers"
    );
    pair.wait_for_log(1, &refused);
    assert_malformed_messages_are_cut_off(&pair, &stranger);
    // Answers without a question change nothing.
    let fake = FakeReplica::connect_as(&pair, 2, &stranger);
    fake.send(&ReplicaMessage::Changes {
        id: 77,
        change: None,
        more: true,
    });
    fake.send(&ReplicaMessage::Pushed { id: 1 });
    drop(fake);
    // The tracker waits only a moment for a silent connection.
    let silent = FakeReplica::connect(&pair, &pair.tls(), ConnectionPurpose::Replica).unwrap();
    silent.assert_is_cut_off();
    // An operator connection must begin with a request.
    let operator = FakeReplica::connect(&pair, &pair.tls(), ConnectionPurpose::Operator).unwrap();
    operator.send_bytes(b"de");
    operator.assert_is_cut_off();
    let mut nik = User::log_in(pair.connect(1), &nik.name);
    nik.perform(group_request("create_group lab"));
}

/// Pulls everything from the tracker, then pushes an account whose time is hours ahead.
fn pull_and_push_account(fake: &FakeReplica, registry: &mut Registry) {
    let change = fake.read_until(CLOCK_ERROR, |message| match message {
        ReplicaMessage::Ping { .. } => {
            fake.send(&ReplicaMessage::Pull {
                id: 1,
                known: versions(&VersionVector::new()),
            });
            None
        }
        ReplicaMessage::Changes { change, .. } => Some(change.clone().unwrap()),
        _ => None,
    });
    let change = pieceful::tracker::registry::Change::decode(change.unwrap().as_bytes()).unwrap();
    let now = since_1970() + CLOCK_ERROR;
    registry
        .apply(registry.merge(&change, now).unwrap())
        .unwrap();
    let update = registry.create_account(account(3, "mayank"), now).unwrap();
    let pushed = update.change().unwrap().encode();
    registry.apply(update).unwrap();
    fake.send(&ReplicaMessage::Push {
        id: 1,
        change: Encoded::new(pushed).unwrap(),
    });
    let confirmed = fake.read_until(CLOCK_ERROR, |message| match message {
        ReplicaMessage::Pushed { id } => Some(*id),
        _ => None,
    });
    assert_eq!(confirmed, Some(1));
}

#[test]
fn a_log_out_that_arrives_days_later_is_kept_by_the_clock_of_the_tracker_that_learns_of_it() {
    let pair = tracker_alone();
    let mut nik = pair.user(1, "nik");
    let mut registry = Registry::new(Origin([9; 16]));
    let fake = FakeReplica::connect_as(&pair, 2, &registry);
    fake.pull_into(&mut registry);
    // The other tracker made the log-out four days ago, and could not reach this one.
    let [account, login] = [1, 17].map(|at| {
        let id = nik.token.as_bytes()[at..at + 16].try_into().unwrap();
        RowId(id)
    });
    let now = since_1970();
    let ended = now - Duration::from_secs(100 * 3600);
    let update = registry.log_out(account, login, ended, ended).unwrap();
    fake.send(&ReplicaMessage::Push {
        id: 1,
        change: Encoded::new(update.change().unwrap().encode()).unwrap(),
    });
    registry.apply(update).unwrap();
    wait_until("the login to end", || {
        let asked = nik.ask(group_request("list_groups"));
        asked.is_err_and(|refused| refused.kind.as_str() == "session-ended")
    });
    fake.pull_into(&mut registry);
    let kept = registry.row(login).and_then(Row::expires).unwrap();
    let last_token = now + Duration::from_secs(12 * 3600);
    assert!(u128::from(kept) >= last_token.as_millis(), "{kept}");
}

#[test]
fn a_clock_that_is_wrong_by_hours_is_reported_and_does_no_harm() {
    let pair = tracker_alone();
    let mut nik = pair.user(1, "nik");
    let mut registry = Registry::new(Origin([9; 16]));
    let fake = FakeReplica::connect_as(&pair, 2, &registry);
    pull_and_push_account(&fake, &mut registry);
    pair.wait_for_log(1, "s in the future; a clock is or was wrong");
    std::thread::scope(|scope| {
        let fake = &fake;
        scope.spawn(move || fake.read_until(Duration::ZERO, |_| None::<()>));
        pair.wait_for_log(1, "the clock of tracker 2 is");
        fake.stream.hang_up();
    });
    // New writes come after the writes of the wrong clock.
    let refused = pair
        .connect(1)
        .ask(None, create_user_request("mayank"))
        .unwrap_err();
    assert_eq!(refused.kind.as_str(), "name-taken");
    nik.perform(group_request("create_group lab"));
    let mut olga = pair.user(1, "olga");
    olga.perform(group_request("join_group lab"));
    nik.perform(group_request("accept_request lab olga"));
    nik.perform(group_request("remove_member lab olga"));
    olga.perform(group_request("join_group lab"));
    let pending = olga.ask(group_request("join_group lab")).unwrap_err();
    assert_eq!(pending.kind.as_str(), "already-requested");
}
