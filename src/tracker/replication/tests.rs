//! One story a rule: replicas whose messages and commits the test hands on by itself.

mod catching_up;
mod lines;
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
use crate::wire::replica::{BLOB_PART, Encoded, Message, PROTOCOL, TrackerNumber};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn number(number: u32) -> TrackerNumber {
    TrackerNumber::new(number).unwrap()
}

fn settings(own: u32) -> Settings {
    Settings {
        number: number(own),
        listed: [1, 2].map(number).to_vec(),
        batch: BATCH,
        spare: Origin([own as u8 + 100; 16]),
        blobs: Blobs {
            named_by: |row| match row {
                Row::Group(row) if row.name.value.as_str() == "blob" => Some(BLOB),
                _ => None,
            },
            is_sound: |_, bytes| bytes.iter().all(|byte| *byte == 7),
        },
    }
}

const BLOB: InfoHash = InfoHash([9; 20]);

/// A tracker that does as it is told at once, unless the test holds something back.
struct Side {
    replica: Replica,
    disk: Vec<Commit>,
    /// Commits that are not durable yet, while the disk is slow.
    slow: Option<Vec<Commit>>,
    sent: Vec<(LineId, Message)>,
    told: Vec<(u64, Copies)>,
    reports: Vec<Report>,
    closed: Vec<LineId>,
    abandoned: usize,
    now: Moment,
    ids: u8,
}

impl Side {
    fn new(own: u32, start: Start) -> Self {
        Self::of(own, Registry::new(Origin([own as u8; 16])), start)
    }

    fn of(own: u32, registry: Registry, start: Start) -> Self {
        let now = Moment {
            elapsed: Duration::from_secs(100),
            wall: Duration::from_secs(1_000_000),
        };
        let mut side = Self {
            replica: Replica::new(settings(own), registry, [], start, now),
            disk: Vec::new(),
            slow: None,
            sent: Vec::new(),
            told: Vec::new(),
            reports: Vec::new(),
            closed: Vec::new(),
            abandoned: 0,
            now,
            ids: 0,
        };
        let effects = side.replica.tick(now);
        side.perform(effects);
        side
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(line, message) => self.sent.push((line, message)),
                Effect::SendBlob {
                    line,
                    info_hash,
                    offset,
                } => {
                    let mut blobs = self.disk.iter().flat_map(|commit| &commit.blobs);
                    let blob = blobs.find(|(hash, _)| *hash == info_hash);
                    let bytes = blob.map(|(_, bytes)| bytes.as_slice());
                    let message = Message::blob(info_hash, offset, bytes).unwrap();
                    self.sent.push((line, message));
                }
                Effect::Close(line) => self.closed.push(line),
                Effect::Commit(commit) => match &mut self.slow {
                    Some(slow) => slow.push(commit),
                    None => {
                        let number = commit.number;
                        self.disk.push(commit);
                        let effects = self.replica.committed(number, self.now);
                        self.perform(effects);
                    }
                },
                Effect::Acknowledge { write, copies } => self.told.push((write.number(), copies)),
                Effect::Abandon { .. } => self.abandoned += 1,
                Effect::Report(report) => self.reports.push(report),
            }
        }
    }

    fn write(
        &mut self,
        blobs: Vec<(InfoHash, Vec<u8>)>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<u64, WriteError> {
        let (write, effects) = self.replica.write(blobs, self.now, operation)?;
        self.perform(effects);
        Ok(write.number())
    }

    fn id(&mut self) -> RowId {
        self.ids += 1;
        let mut id = self.replica.registry().origin().0;
        id[0] = self.ids;
        RowId(id)
    }

    fn user(&mut self, name: &str) -> Result<u64, WriteError> {
        let new = NewAccount {
            id: self.id(),
            name: name.parse().unwrap(),
            password: password("first"),
        };
        self.write(Vec::new(), |registry, now| {
            registry.create_account(new, now)
        })
    }

    /// Makes a group that names the blob.
    fn group_with_blob(&mut self, blob: Vec<(InfoHash, Vec<u8>)>) -> Result<u64, WriteError> {
        let actor = self.replica.registry().rows().next().unwrap().id();
        let (id, membership) = (self.id(), self.id());
        let name = "blob".parse().unwrap();
        let new = NewGroup {
            id,
            membership,
            name,
            key: GroupKey::new("key").unwrap(),
        };
        self.write(blob, |registry, now| registry.create_group(actor, new, now))
    }

    fn receive(&mut self, line: LineId, message: Message) {
        let effects = self.replica.received(line, message, self.now);
        self.perform(effects);
    }

    fn up(&mut self, line: u64) {
        let effects = self.replica.line_up(LineId(line), self.now);
        self.perform(effects);
    }

    fn down(&mut self, line: u64) {
        let effects = self.replica.line_down(LineId(line), self.now);
        self.perform(effects);
        self.sent.clear();
    }

    /// Time passes, with a tick each second.
    fn later(&mut self, mut passed: Duration) {
        while !passed.is_zero() {
            let step = passed.min(SECOND);
            self.pass(step);
            passed -= step;
        }
    }

    /// Time passes at once.
    fn pass(&mut self, passed: Duration) {
        self.now.elapsed += passed;
        self.now.wall += passed;
        self.tick();
    }

    fn tick(&mut self) {
        let effects = self.replica.tick(self.now);
        self.perform(effects);
    }

    /// The disk is done.
    fn sync(&mut self) {
        for commit in self.slow.take().unwrap_or_default() {
            self.perform(vec![Effect::Commit(commit)]);
        }
    }

    fn serves(&self) -> bool {
        self.replica.serving() == Serving::Yes
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.sent
            .iter()
            .map(|(_, message)| message.kind())
            .collect()
    }
}

/// Hands messages on, each way, until there are none.
fn talk(a: &mut Side, b: &mut Side) {
    while !a.sent.is_empty() || !b.sent.is_empty() {
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
        for (line, message) in std::mem::take(&mut b.sent) {
            a.receive(line, message);
        }
    }
}

fn connect(a: &mut Side, b: &mut Side, line: u64) {
    a.up(line);
    b.up(line);
    talk(a, b);
}

/// Two that are in step.
fn pair() -> (Side, Side) {
    let (mut a, mut b) = (Side::new(1, Start::Empty), Side::new(2, Start::Empty));
    connect(&mut a, &mut b, 1);
    assert!(a.serves() && b.serves());
    assert!(a.reports.contains(&Report::Healed { other: number(2) }));
    (a, b)
}
