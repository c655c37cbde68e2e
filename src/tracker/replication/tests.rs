//! One scenario per rule. The test itself delivers messages and makes commits durable.

mod catching_up;
mod connections;
mod starting;
mod time;
mod writes;

use super::*;
use crate::torrent::InfoHash;
use crate::tracker::registry::tests::password;
use crate::tracker::registry::{
    Change, GroupKey, NewAccount, NewGroup, Origin, Refusal, Registry, Row, RowId, Sequence,
    Update, VersionVector,
};
use crate::wire::control::InfoPart;
use crate::wire::replica::{BLOB_PART, Encoded, PROTOCOL, ReplicaMessage, TrackerNumber};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn number(number: u32) -> TrackerNumber {
    TrackerNumber::new(number).unwrap()
}

fn settings(own: u32) -> ReplicaSettings {
    ReplicaSettings {
        number: number(own),
        listed: [1, 2].map(number).to_vec(),
        batch: BATCH_BYTES,
        spare: Origin([own as u8 + 100; 16]),
        blobs: BlobRules {
            named_by: |row| match row {
                Row::Group(row) if row.name.value.as_str() == "blob" => Some(BLOB),
                Row::Share(row) => Some(row.info_hash),
                _ => None,
            },
            is_valid: |_, bytes| bytes.iter().all(|byte| *byte == 7),
        },
    }
}

const BLOB: InfoHash = InfoHash([9; 20]);

/// A tracker that keeps what its replica sends and reports. It makes each commit durable at once,
/// unless the test holds commits back in `unsynced`.
struct TestTracker {
    replica: Replica,
    disk: Vec<Commit>,
    /// Commits that are not durable yet. `None` makes every commit durable at once.
    unsynced: Option<Vec<Commit>>,
    sent: Vec<(ReplicaConnectionId, ReplicaMessage)>,
    acknowledged: Vec<(u64, Copies)>,
    reports: Vec<Report>,
    closed: Vec<ReplicaConnectionId>,
    abandoned: usize,
    now: Moment,
    last_id: u8,
}

impl TestTracker {
    fn new(own: u32, start: StartData) -> Self {
        Self::of(own, Registry::new(Origin([own as u8; 16])), start)
    }

    fn of(own: u32, registry: Registry, start: StartData) -> Self {
        let now = Moment {
            elapsed: Duration::from_secs(100),
            wall: Duration::from_secs(1_000_000),
        };
        let mut tracker = Self {
            replica: Replica::new(settings(own), registry, [], start, now),
            disk: Vec::new(),
            unsynced: None,
            sent: Vec::new(),
            acknowledged: Vec::new(),
            reports: Vec::new(),
            closed: Vec::new(),
            abandoned: 0,
            now,
            last_id: 0,
        };
        let effects = tracker.replica.tick(now);
        tracker.perform(effects);
        tracker
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(connection, message) => self.sent.push((connection, message)),
                Effect::SendBlob {
                    connection,
                    info_hash,
                    offset,
                } => {
                    let mut blobs = self.disk.iter().flat_map(|commit| &commit.blobs);
                    let blob = blobs.find(|(hash, _)| *hash == info_hash);
                    let bytes = blob.map(|(_, bytes)| bytes.as_slice());
                    let message = ReplicaMessage::blob(info_hash, offset, bytes).unwrap();
                    self.sent.push((connection, message));
                }
                Effect::Close(connection) => self.closed.push(connection),
                Effect::Commit(commit) => match &mut self.unsynced {
                    Some(unsynced) => unsynced.push(commit),
                    None => {
                        let number = commit.number;
                        self.disk.push(commit);
                        let effects = self.replica.on_committed(number, self.now);
                        self.perform(effects);
                    }
                },
                Effect::Acknowledge { write, copies } => {
                    self.acknowledged.push((write.number(), copies))
                }
                Effect::Abandon { .. } => self.abandoned += 1,
                Effect::Report(report) => self.reports.push(report),
            }
        }
    }

    fn write(
        &mut self,
        blobs: Vec<(InfoHash, Vec<u8>)>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<u64, ReplicaError> {
        let (write, effects) = self.replica.write(blobs, self.now, operation)?;
        self.perform(effects);
        Ok(write.number())
    }

    fn new_id(&mut self) -> RowId {
        self.last_id += 1;
        let mut id = self.replica.registry().origin().0;
        id[0] = self.last_id;
        RowId(id)
    }

    fn create_account(&mut self, name: &str) -> Result<u64, ReplicaError> {
        let new = NewAccount {
            id: self.new_id(),
            name: name.parse().unwrap(),
            password: password("first"),
        };
        self.write(Vec::new(), |registry, now| {
            registry.create_account(new, now)
        })
    }

    /// Creates a group whose row names [`BLOB`]. `blobs` are the blobs that come with the row.
    fn create_group_naming_blob(
        &mut self,
        blobs: Vec<(InfoHash, Vec<u8>)>,
    ) -> Result<u64, ReplicaError> {
        let actor = self.replica.registry().rows().next().unwrap().id();
        let (id, membership) = (self.new_id(), self.new_id());
        let name = "blob".parse().unwrap();
        let new = NewGroup {
            id,
            membership,
            name,
            key: GroupKey::new("key").unwrap(),
        };
        self.write(blobs, |registry, now| {
            registry.create_group(actor, new, now)
        })
    }

    fn receive(&mut self, connection: ReplicaConnectionId, message: ReplicaMessage) {
        let effects = self.replica.on_message(connection, message, self.now);
        self.perform(effects);
    }

    fn open(&mut self, connection: u64) {
        let effects = self
            .replica
            .on_connected(ReplicaConnectionId(connection), self.now);
        self.perform(effects);
    }

    fn close(&mut self, connection: u64) {
        let effects = self
            .replica
            .on_disconnected(ReplicaConnectionId(connection), self.now);
        self.perform(effects);
        self.sent.clear();
    }

    /// Lets time pass, with a tick each second.
    fn advance(&mut self, mut passed: Duration) {
        while !passed.is_zero() {
            let step = passed.min(SECOND);
            self.jump(step);
            passed -= step;
        }
    }

    /// Lets time pass in one step, with one tick at the end.
    fn jump(&mut self, passed: Duration) {
        self.now.elapsed += passed;
        self.now.wall += passed;
        self.tick();
    }

    fn tick(&mut self) {
        let effects = self.replica.tick(self.now);
        self.perform(effects);
    }

    /// Makes the commits in `unsynced` durable, and each later one at once.
    fn sync(&mut self) {
        for commit in self.unsynced.take().unwrap_or_default() {
            self.perform(vec![Effect::Commit(commit)]);
        }
    }

    fn serves(&self) -> bool {
        self.replica.serving() == Serving::Yes
    }

    fn sent_kinds(&self) -> Vec<&'static str> {
        self.sent
            .iter()
            .map(|(_, message)| message.kind())
            .collect()
    }
}

/// Delivers messages in both directions until there are none.
fn exchange_messages(a: &mut TestTracker, b: &mut TestTracker) {
    while !a.sent.is_empty() || !b.sent.is_empty() {
        for (connection, message) in std::mem::take(&mut a.sent) {
            b.receive(connection, message);
        }
        for (connection, message) in std::mem::take(&mut b.sent) {
            a.receive(connection, message);
        }
    }
}

fn connect(a: &mut TestTracker, b: &mut TestTracker, connection: u64) {
    a.open(connection);
    b.open(connection);
    exchange_messages(a, b);
}

/// Two trackers that are in sync.
fn pair() -> (TestTracker, TestTracker) {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Empty),
        TestTracker::new(2, StartData::Empty),
    );
    connect(&mut a, &mut b, 1);
    assert!(a.serves() && b.serves());
    assert!(a.reports.contains(&Report::InSync { other: number(2) }));
    (a, b)
}
