//! One story a rule: replicas whose messages and commits the test hands on by itself.

use super::*;
use crate::tracker::registry::tests::password;
use crate::tracker::registry::{Change, GroupKey, NewAccount, NewGroup, Origin, Refusal, Update};
use crate::wire::control::InfoPart;
use crate::wire::twin::{BLOB_PART, Encoded, PROTOCOL};

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
    assert!(a.reports.contains(&Report::Healed { twin: number(2) }));
    (a, b)
}

#[test]
fn a_write_is_on_the_disk_then_pushed_then_acknowledged() {
    let (mut a, mut b) = pair();
    a.slow = Some(Vec::new());
    assert_eq!(a.user("olga"), Ok(1));
    assert!(a.sent.is_empty() && a.told.is_empty(), "not durable yet");
    a.sync();
    assert_eq!(a.kinds(), ["push"]);
    assert_eq!(a.told, []);
    b.slow = Some(Vec::new());
    talk(&mut a, &mut b);
    assert_eq!(a.told, [], "not durable at the twin yet");
    b.sync();
    assert_eq!(b.kinds(), ["pushed"]);
    talk(&mut a, &mut b);
    assert_eq!(a.told, [(1, Copies::Two)]);
    assert_eq!(a.replica.registry().dump(), b.replica.registry().dump());
}

#[test]
fn without_a_twin_a_write_is_acknowledged_at_once_and_told_when_it_comes() {
    let (mut a, mut b) = pair();
    a.down(1);
    b.down(1);
    assert!(a.reports.contains(&Report::Split { twin: number(2) }));
    a.user("olga").unwrap();
    assert_eq!(a.told, [(1, Copies::OnlyHere)]);
    assert_eq!(a.replica.status(a.now).twins[0].it_lacks, Some(1));
    connect(&mut a, &mut b, 2);
    assert_eq!(b.replica.registry().rows().count(), 1);
    assert_eq!(a.replica.status(a.now).twins[0].it_lacks, Some(0));
}

#[test]
fn a_twin_that_stands_still_is_waited_for_once() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    a.later(PUSH_WAIT - Duration::from_millis(1));
    assert_eq!(a.told, []);
    a.later(Duration::from_millis(1));
    assert_eq!(a.told, [(1, Copies::OnlyHere)]);
    a.user("nik").unwrap();
    assert_eq!(a.told.len(), 2, "the second does not wait");
    talk(&mut a, &mut b);
    a.later(PING);
    talk(&mut a, &mut b);
    assert!(a.replica.status(a.now).twins[0].current, "until it is back");
    a.user("ada").unwrap();
    talk(&mut a, &mut b);
    assert_eq!(a.told[2], (3, Copies::Two));
}

#[test]
fn a_silent_line_is_closed_and_what_comes_over_it_later_ignored() {
    let (mut a, mut b) = pair();
    b.user("olga").unwrap();
    let late = std::mem::take(&mut b.sent);
    a.later(SILENCE);
    assert_eq!(a.closed, [LineId(1)]);
    for (line, message) in late {
        a.receive(line, message);
    }
    assert_eq!(a.replica.registry().rows().count(), 0);
}

#[test]
fn catching_up_goes_in_batches_and_is_merged_in_one_step() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Empty));
    a.replica.batch = 1;
    for name in ["nik", "olga", "ada"] {
        a.user(name).unwrap();
    }
    a.up(1);
    b.up(1);
    let mut batches = 0;
    while !b.serves() {
        assert_eq!(b.replica.registry().rows().count(), 0, "all or nothing");
        batches += a.kinds().iter().filter(|it| **it == "changes").count();
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
        for (line, message) in std::mem::take(&mut b.sent) {
            a.receive(line, message);
        }
    }
    assert_eq!((batches, b.replica.registry().rows().count()), (3, 3));
    assert_eq!(b.disk.len(), 1, "one commit");
}

#[test]
fn a_push_made_in_knowledge_of_what_is_not_known_here_is_caught_up_with() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    let lost = std::mem::take(&mut a.sent);
    assert_eq!(lost.len(), 1);
    a.user("nik").unwrap();
    let (line, message) = a.sent.remove(0);
    b.receive(line, message);
    assert_eq!(b.replica.registry().rows().count(), 0);
    assert_eq!(b.kinds(), ["pull"]);
    talk(&mut a, &mut b);
    assert_eq!(b.replica.registry().rows().count(), 2);
    assert_eq!(a.told, [(1, Copies::Two), (2, Copies::Two)]);
}

#[test]
fn rows_wait_for_their_blob_and_both_are_acknowledged_together() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    assert_eq!(a.group_with_blob(Vec::new()), Err(WriteError::NoBlob(BLOB)));
    // Two parts and a bit.
    let blob = vec![7; 2 * BLOB_PART + 5];
    a.group_with_blob(vec![(BLOB, blob.clone())]).unwrap();
    assert_eq!(a.kinds(), ["push"]);
    let mut parts = 0;
    while a.told.len() < 2 {
        parts += a.kinds().iter().filter(|it| **it == "blob").count();
        let groups = b.replica.registry().dump().groups.len();
        assert_eq!(groups, 0, "the blob is not there yet");
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
        for (line, message) in std::mem::take(&mut b.sent) {
            a.receive(line, message);
        }
    }
    assert_eq!((parts, a.told[1]), (3, (2, Copies::Two)));
    let stored = b
        .disk
        .iter()
        .position(|commit| commit.blobs == [(BLOB, blob.clone())]);
    let rows = b.disk.iter().position(|commit| commit.rows.len() == 2);
    assert!(stored.is_some() && stored <= rows);
}

#[test]
fn a_blob_that_is_nowhere_or_false_does_not_hold_up_the_rows_and_is_asked_for_again() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    a.group_with_blob(vec![(BLOB, vec![8; 3])]).unwrap();
    talk(&mut a, &mut b);
    assert_eq!(b.replica.registry().dump().groups.len(), 1);
    assert!(b.reports.contains(&Report::BlobMissing { info_hash: BLOB }));
    assert_eq!(b.replica.status(b.now).lacking_blobs, 1);
    // A tracker that has it comes.
    b.down(1);
    a.down(1);
    b.up(2);
    a.up(2);
    for (line, message) in std::mem::take(&mut a.sent) {
        b.receive(line, message);
    }
    let asks = b.sent.iter().any(|(_, it)| it.kind() == "want-blob");
    assert!(asks, "{:?}", b.sent);
    let part = InfoPart::new(0, 3, vec![7; 3]).unwrap();
    let info_hash = BLOB;
    b.receive(LineId(2), Message::Blob { info_hash, part });
    assert_eq!(b.replica.status(b.now).lacking_blobs, 0);
}

#[test]
fn a_resumed_tracker_waits_to_be_in_step_with_a_twin_or_two_seconds() {
    let mut a = Side::new(1, Start::Resumed);
    assert_eq!(
        a.user("olga"),
        Err(WriteError::NotServing(Serving::Waiting))
    );
    a.later(START_WAIT);
    assert!(a.serves());
    let (mut a, mut b) = (Side::new(1, Start::Resumed), Side::new(2, Start::Alone));
    b.user("olga").unwrap();
    a.up(1);
    b.up(1);
    for (line, message) in std::mem::take(&mut b.sent) {
        a.receive(line, message);
    }
    assert!(!a.serves(), "it would answer out of what has changed");
    talk(&mut a, &mut b);
    assert!(a.serves() && a.replica.registry().rows().count() == 1);
}

#[test]
fn a_tracker_that_is_listed_later_is_a_twin_and_one_that_is_no_more_is_not() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Empty));
    let effects = a.replica.list([number(1)], a.now);
    a.perform(effects);
    assert!(a.replica.is_single());
    a.user("olga").unwrap();
    connect(&mut a, &mut b, 1);
    assert!(!b.serves() && a.closed == [LineId(1)]);
    let effects = a.replica.list([1, 2].map(number), a.now);
    a.perform(effects);
    b.down(1);
    connect(&mut a, &mut b, 2);
    assert!(b.serves() && b.replica.registry().rows().count() == 1);
    a.user("nik").unwrap();
    let effects = a.replica.list([number(1)], a.now);
    a.perform(effects);
    assert_eq!(a.told.last(), Some(&(2, Copies::OnlyHere)));
    assert!(a.replica.is_single() && a.closed.ends_with(&[LineId(2)]));
}

#[test]
fn a_restored_tracker_serves_only_when_it_has_caught_up_with_one_that_serves() {
    let (mut a, mut b) = (Side::new(1, Start::Restored), Side::new(2, Start::Restored));
    connect(&mut a, &mut b, 1);
    a.later(START_WAIT * 2);
    assert_eq!(a.replica.serving(), Serving::Restoring);
    assert_eq!(b.replica.serving(), Serving::Restoring);
    let (mut a, mut b) = (Side::new(1, Start::Restored), Side::new(2, Start::Alone));
    b.user("olga").unwrap();
    a.up(1);
    b.up(1);
    for (line, message) in std::mem::take(&mut b.sent) {
        a.receive(line, message);
    }
    assert!(!a.serves(), "it has not caught up");
    talk(&mut a, &mut b);
    assert!(a.serves() && a.replica.registry().rows().count() == 1);
}

#[test]
fn an_older_copy_of_the_data_does_not_serve() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    b.down(1);
    let mut older = Side::new(1, Start::Alone);
    older.user("nik").unwrap();
    older.user("ada").unwrap();
    assert_eq!(older.told.len(), 2);
    let mut oldest = Side::new(1, Start::Resumed);
    connect(&mut oldest, &mut b, 2);
    let halt = Halt::Rewound { known: 0, heard: 1 };
    assert_eq!(oldest.replica.serving(), Serving::Halted(halt));
    assert!(oldest.reports.contains(&Report::Halted(halt)));
    assert!(oldest.closed.contains(&LineId(2)));
    assert!(matches!(oldest.user("x"), Err(WriteError::NotServing(_))));
    oldest.up(3);
    assert_eq!(oldest.closed.last(), Some(&LineId(3)));
}

#[test]
fn an_older_copy_that_serves_alone_writes_under_a_new_origin() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    a.user("ada").unwrap();
    talk(&mut a, &mut b);
    b.down(1);
    // Empty as it was before all that, and nobody there to tell.
    let mut older = Side::new(1, Start::Resumed);
    older.later(START_WAIT);
    let origin = Origin([101; 16]);
    assert_eq!(older.disk[0].origin, Some(origin), "durable before a write");
    assert_eq!(older.user("nik"), Ok(1));
    assert_eq!(older.disk[1].origin, None);
    connect(&mut older, &mut b, 2);
    assert!(older.serves() && b.serves());
    for side in [&older, &b] {
        assert_eq!(side.replica.registry().rows().count(), 3);
    }
    // In step with all who are listed, it keeps its own.
    let (a, _) = pair_of_resumed();
    assert_eq!(a.replica.registry().origin(), Origin([1; 16]));
    assert!(a.disk.iter().all(|commit| commit.origin.is_none()));
}

fn pair_of_resumed() -> (Side, Side) {
    let (mut a, mut b) = (Side::new(1, Start::Resumed), Side::new(2, Start::Resumed));
    connect(&mut a, &mut b, 1);
    assert!(a.serves() && b.serves());
    (a, b)
}

#[test]
fn a_tracker_that_stood_still_starts_again_and_says_nothing_out_of_what_has_changed() {
    for by_wall_alone in [false, true] {
        let (mut a, mut b) = pair();
        b.user("olga").unwrap();
        // Told before, and read after.
        let late = std::mem::take(&mut b.sent);
        let passed = STANDSTILL + SECOND;
        a.now.wall += passed;
        if !by_wall_alone {
            a.now.elapsed += passed;
        }
        assert!(a.replica.stood_still(a.now).is_some());
        // Whatever comes first.
        let refused = Err(WriteError::NotServing(Serving::Waiting));
        assert_eq!(a.user("nik"), refused);
        for (line, message) in late {
            a.receive(line, message);
        }
        assert!(!a.serves() && a.closed == [LineId(1)]);
        assert!(a.reports.contains(&Report::StoodStill { passed }));
        a.tick();
        assert_eq!(a.replica.registry().rows().count(), 0);
        b.down(1);
        connect(&mut a, &mut b, 2);
        assert!(a.serves() && a.replica.registry().rows().count() == 1);
        assert_eq!(a.replica.registry().origin(), Origin([1; 16]));
        // With nobody there it waits as after a start.
        a.pass(STANDSTILL);
        assert!(!a.serves());
        a.later(START_WAIT);
        assert!(a.serves());
    }
    let mut single = Side::new(1, Start::Alone);
    let effects = single.replica.list([number(1)], single.now);
    single.perform(effects);
    single.now.wall += STANDSTILL * 100;
    assert_eq!(single.user("nik"), Ok(1), "nobody went on without it");
}

#[test]
fn what_waits_when_a_tracker_halts_is_abandoned() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    let versions = {
        let mut versions = VersionVector::new();
        versions.note(a.replica.registry().origin(), Sequence::new(9).unwrap());
        crate::wire::twin::Encoded::new(versions.encode()).unwrap()
    };
    let (clock, serving) = (0, true);
    a.receive(
        LineId(1),
        Message::Ping {
            clock,
            versions,
            serving,
        },
    );
    assert_eq!((a.abandoned, a.told.len()), (1, 0));
    b.sent.clear();
}

#[test]
fn a_copy_of_ones_own_folder_halts_both() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Alone));
    b.replica.registry = Registry::new(a.replica.registry.origin());
    a.up(1);
    b.up(1);
    let (from_a, from_b) = (a.sent.remove(0), b.sent.remove(0));
    a.receive(from_b.0, from_b.1);
    b.receive(from_a.0, from_a.1);
    let of = |twin| Serving::Halted(Halt::Copied { twin: number(twin) });
    assert_eq!((a.replica.serving(), b.replica.serving()), (of(2), of(1)));
}

#[test]
fn of_two_others_with_one_folder_the_second_is_turned_away() {
    let (mut a, mut b) = pair();
    let effects = a.replica.list([1, 2, 3].map(number), a.now);
    a.perform(effects);
    let hello = Message::Hello {
        protocol: PROTOCOL,
        number: number(3),
        origin: b.replica.registry().origin().0,
        versions: Encoded::new(VersionVector::new().encode()).unwrap(),
        serving: true,
    };
    a.up(2);
    a.receive(LineId(2), hello);
    assert_eq!(a.closed, [LineId(2)]);
    assert!(
        matches!(a.reports.last(), Some(Report::Trouble { twin, .. }) if *twin == Some(number(3)))
    );
    a.sent.clear();
    // A copy that came to be while nobody looked gives another write the number of one that is known.
    b.user("olga").unwrap();
    let (line, push) = b.sent.remove(0);
    a.receive(line, push.clone());
    assert_eq!(a.kinds(), ["pushed"]);
    a.receive(line, push);
    assert_eq!(a.kinds(), ["pushed", "pushed"], "the same, told again");
    let origin = b.replica.registry().origin();
    let registry = Registry::new(origin);
    let new = NewAccount {
        id: RowId([77; 16]),
        name: "nik".parse().unwrap(),
        password: password("first"),
    };
    let update = registry.create_account(new, b.now.wall).unwrap();
    let change = update.change().unwrap().encode();
    let change = Encoded::new(change).unwrap();
    a.receive(line, Message::Push { id: 1, change });
    assert_eq!(a.kinds(), ["pushed", "pushed"]);
    assert_eq!(a.closed.last(), Some(&line));
}

#[test]
fn parts_of_a_batch_keep_a_slow_line_and_what_was_staged_outlasts_a_lost_question() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Empty));
    a.replica.batch = 1;
    for name in ["nik", "olga", "ada"] {
        a.user(name).unwrap();
    }
    a.up(1);
    b.up(1);
    let pull = |side: &Side| side.kinds().contains(&"pull");
    let step = |from: &mut Side, to: &mut Side| {
        for (line, message) in std::mem::take(&mut from.sent) {
            to.receive(line, message);
        }
    };
    step(&mut a, &mut b);
    assert!(pull(&b));
    step(&mut b, &mut a);
    // The first batch takes a minute, and nothing else comes.
    for _ in 0..60 {
        b.later(SECOND);
        let effects = b.replica.arriving(LineId(1), b.now);
        b.perform(effects);
    }
    b.sent.clear();
    a.later(SECOND);
    step(&mut a, &mut b);
    assert!(pull(&b) && b.closed.is_empty(), "{:?}", b.closed);
    // The next question is lost.
    b.sent.clear();
    b.later(PATIENCE + PAUSE);
    assert!(pull(&b) && b.closed.is_empty());
    assert_eq!(b.replica.registry().rows().count(), 0);
    let mut batches = 0;
    while b.replica.registry().rows().count() < 3 {
        batches += a.kinds().iter().filter(|it| **it == "changes").count();
        step(&mut a, &mut b);
        step(&mut b, &mut a);
    }
    assert_eq!(batches, 2, "the first was kept");
}

#[test]
fn strangers_and_other_versions_are_turned_away_and_reported_once() {
    let mut a = Side::new(1, Start::Alone);
    let hello = |protocol, of: u32| Message::Hello {
        protocol,
        number: number(of),
        origin: [77; 16],
        versions: crate::wire::twin::Encoded::new(b"le".to_vec()).unwrap(),
        serving: true,
    };
    for (line, (protocol, of)) in [(1, 3), (1, 3), (1, 1), (2, 2), (2, 2)].iter().enumerate() {
        let line = line as u64;
        a.up(line);
        a.receive(LineId(line), hello(*protocol, *of));
        assert_eq!(a.closed.last(), Some(&LineId(line)));
    }
    let troubles = a.reports.iter();
    let troubles = troubles.filter(|report| matches!(report, Report::Trouble { .. }));
    assert_eq!(troubles.count(), 3, "{:?}", a.reports);
}

#[test]
fn a_newer_line_takes_the_place_of_the_older_one() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 2);
    assert_eq!(
        (a.closed.as_slice(), b.closed.as_slice()),
        (&[LineId(1)][..], &[LineId(1)][..])
    );
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    assert_eq!(a.told, [(1, Copies::Two)]);
}

#[test]
fn a_clock_that_is_hours_ahead_is_reported_once_and_again_when_it_is_right() {
    let (mut a, mut b) = pair();
    b.now.wall += SECOND * 7_200;
    b.tick();
    a.down(1);
    connect(&mut a, &mut b, 2);
    for _ in 0..3 {
        a.later(PING);
        talk(&mut a, &mut b);
    }
    let ahead = |side: &Side| {
        let all = side.reports.iter();
        let found = all.filter_map(|report| match report {
            Report::ClockOffset { ahead, .. } => Some(*ahead),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(ahead(&a), [7_200_000]);
    b.user("olga").unwrap();
    talk(&mut a, &mut b);
    assert!(
        a.reports
            .iter()
            .any(|it| matches!(it, Report::Drift { .. }))
    );
    b.now = a.now;
    b.tick();
    a.down(2);
    connect(&mut a, &mut b, 3);
    a.later(PING);
    talk(&mut a, &mut b);
    assert_eq!(ahead(&a).len(), 2);
}

#[test]
fn expired_rows_go_a_day_later_when_all_have_them_and_not_while_a_clock_is_wrong() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    let actor = a.replica.registry().rows().next().unwrap().id();
    let session = a.id();
    let end = a.now.wall + SECOND;
    a.write(Vec::new(), |registry, now| {
        registry.log_out(actor, session, end, now)
    })
    .unwrap();
    talk(&mut a, &mut b);
    let has = |side: &Side| side.replica.registry().row(session).is_some();
    let day = |side: &mut Side| side.now.wall += KEEP + SECOND;
    day(&mut a);
    a.later(PING);
    talk(&mut a, &mut b);
    a.later(FORGET);
    assert!(has(&a), "the two clocks are a day apart");
    day(&mut b);
    b.later(FORGET + PING);
    connect(&mut a, &mut b, 2);
    a.later(FORGET);
    assert!(!has(&a));
    assert!(a.disk.last().unwrap().forgotten == [session]);
    b.later(FORGET);
    assert!(!has(&b), "each by itself");
}

#[test]
fn blobs_go_once_no_row_has_named_them_for_two_looks() {
    let other = InfoHash([8; 20]);
    let mut a = Side::new(1, Start::Alone);
    a.user("olga").unwrap();
    a.group_with_blob(vec![(BLOB, vec![7])]).unwrap();
    a.replica.stored.insert(other);
    let dropped = |side: &Side| {
        let commits = side.disk.iter();
        commits
            .flat_map(|it| it.dropped.clone())
            .collect::<Vec<_>>()
    };
    a.later(FORGET);
    assert_eq!(dropped(&a), [], "a row may be on its way");
    a.later(FORGET);
    a.later(FORGET);
    assert_eq!(dropped(&a), [other], "once, and no other");
    assert!(a.replica.stored.contains(&BLOB));
}

#[test]
fn what_cannot_be_read_ends_the_line() {
    let (mut a, _) = pair();
    let rubbish = || crate::wire::twin::Encoded::new(b"i1e".to_vec()).unwrap();
    a.receive(
        LineId(1),
        Message::Push {
            id: 1,
            change: rubbish(),
        },
    );
    assert_eq!(a.closed, [LineId(1)]);
    assert!(matches!(
        a.reports.last(),
        Some(Report::Split { .. } | Report::Trouble { .. })
    ));
    assert!(Change::decode(b"de").is_err());
}

#[test]
fn a_question_that_is_not_answered_is_given_up_and_asked_again() {
    let (mut a, mut b) = pair();
    a.down(1);
    b.down(1);
    a.user("olga").unwrap();
    a.up(2);
    b.up(2);
    for (line, message) in std::mem::take(&mut a.sent) {
        b.receive(line, message);
    }
    let pulls = |side: &Side| side.kinds().iter().filter(|it| **it == "pull").count();
    assert_eq!(pulls(&b), 1);
    b.sent.clear();
    for _ in 0..8 {
        b.later(SECOND / 2);
        a.later(SECOND / 2);
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
    }
    assert_eq!(pulls(&b), 1, "{:?}", b.kinds());
}
