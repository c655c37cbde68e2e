//! Faults of a tracker and its disk: crashes, older copies, restores.

use super::super::super::Serving;
use super::super::node::{Disk, Node, named_by};
use super::super::oracle::Promise;
use super::super::{Failure, Mutation};
use super::{Event, TICK_MILLIS, World};

impl World {
    /// Schedules when the disk makes commits durable.
    pub(super) fn schedule_disk(&mut self, at: usize) {
        let delay = match self.rng.u8(..16) {
            _ if self.faults_ended => 3,
            0 => self.rng.u64(..4_000),
            _ => self.rng.u64(1..15),
        };
        let generation = self.nodes[at].generation;
        self.schedule(self.now + delay, at, generation, Event::Disk);
    }

    pub(super) fn start(&mut self, at: usize) -> Result<(), Failure> {
        self.log_step(|| format!("{at} starts"));
        let (now, count) = (self.clock_of(at), self.nodes.len());
        let batch = self.rng.usize(1..3_000);
        let spare_origin = match self.mutation {
            Mutation::KeepOriginOfOlderCopy => self.nodes[at].disk.origin,
            _ => self.new_origin(),
        };
        self.nodes[at].start(at, count, batch, spare_origin, now)?;
        self.nodes[at].last_event = (self.now, self.wall + self.nodes[at].skew);
        let generation = self.nodes[at].generation;
        let first_tick = self.now + self.rng.u64(1..TICK_MILLIS);
        self.schedule(first_tick, at, generation, Event::Tick);
        Ok(())
    }

    /// Ends the process and schedules its next start.
    pub(super) fn crash(&mut self, at: usize) {
        if self.nodes[at].replica.is_none() {
            return;
        }
        let waiting = self.nodes[at].commits.len();
        let durable = self.rng.usize(..=waiting);
        if durable > 0 {
            let what = "crash between commit and acknowledgement";
            self.oracle.counts.note(what);
        }
        self.oracle.counts.note("crash");
        self.log_step(|| format!("{at} crashes, {durable} of {waiting} commits are durable"));
        let connections: Vec<_> = self.nodes[at].connections.clone().into_iter().collect();
        self.nodes[at].crash(durable);
        self.forget_lost_writes();
        if !self.faults_ended && self.rng.bool() {
            self.lose_blob(at);
        }
        for (connection, other) in connections {
            self.schedule_disconnect(at, other, connection);
        }
        let max_downtime = match self.rng.u8(..3) {
            0 => 8_000,
            _ => 300,
        };
        let start = self.now + self.rng.u64(..max_downtime);
        self.starts.insert(at, start);
    }

    /// Forgets the writes of unanswered requests that no tracker has any more. Their numbers may be
    /// used for other writes.
    fn forget_lost_writes(&mut self) {
        let nodes = &self.nodes;
        for request in &mut self.unanswered {
            let has = |node: &Node, write: &Promise| {
                let replica = node.replica.as_ref();
                write.is_on(&node.disk) || replica.is_some_and(|it| write.is_known(it.registry()))
            };
            let is_somewhere = |write: &Promise| nodes.iter().any(|node| has(node, write));
            request.promises.retain(is_somewhere);
        }
    }

    /// Loses a stored blob that another tracker still has.
    pub(super) fn lose_blob(&mut self, at: usize) {
        let others = self.nodes.iter().enumerate().filter(|(it, _)| *it != at);
        let others: Vec<&Node> = others.map(|(_, node)| node).collect();
        let mut blobs = self.nodes[at].disk.blobs.iter();
        let also_elsewhere =
            blobs.find(|blob| others.iter().any(|it| it.disk.blobs.contains(blob)));
        if let Some(blob) = also_elsewhere.copied() {
            self.nodes[at].disk.blobs.remove(&blob);
            self.oracle.counts.note("blob lost");
        }
    }

    /// A tracker loses its disk. Only the first lost disk of a schedule may hold writes that no
    /// other disk holds.
    pub(super) fn lose_disk(&mut self, at: usize) -> Result<(), Failure> {
        let origin = match self.mutation {
            Mutation::KeepOriginAfterDiskLoss => self.nodes[at].disk.origin,
            _ => self.new_origin(),
        };
        self.replace_disk(at, Disk::new(origin), false).map(|_| ())
    }

    /// A tracker starts from its backup, under a new origin. Only one does so at a time: two would
    /// wait for each other.
    pub(super) fn restore(&mut self, at: usize) -> Result<(), Failure> {
        let waits = |node: &Node| {
            node.restored
                && node
                    .replica
                    .as_ref()
                    .is_none_or(|it| it.serving() != Serving::Yes)
        };
        if self.nodes.iter().any(waits) {
            return Ok(());
        }
        let Some(mut disk) = self.nodes[at].backup.clone() else {
            return Ok(());
        };
        disk.change_origin(self.new_origin());
        self.replace_disk(at, disk, true).map(|_| ())
    }

    /// An older copy of a tracker's disk is put back with the same origin. In half of the cases the
    /// tracker is then cut off from all others when it starts. So it cannot learn of the writes
    /// that it made after the copy.
    pub(super) fn put_older_copy_back(&mut self, at: usize) -> Result<(), Failure> {
        let mut disk = match (self.rng.bool(), self.nodes[at].backup.clone()) {
            (true, Some(backup)) => backup,
            _ => {
                let disk = self.nodes[at].disk.clone();
                for _ in 0..self.rng.u8(1..6) {
                    self.request_operation(at)?;
                    let pause = self.rng.u64(..300);
                    self.pass(pause)?;
                }
                disk
            }
        };
        let disk_now = &self.nodes[at].disk;
        let is_older = disk.origin == disk_now.origin && disk.versions != disk_now.versions;
        disk.is_older_copy = true;
        if !is_older || !self.replace_disk(at, disk, false)? {
            return Ok(());
        }
        self.oracle.counts.note("older copy put back");
        self.starts.insert(at, self.now);
        if self.rng.bool() {
            for other in 0..self.nodes.len() {
                (self.blocked[at][other], self.blocked[other][at]) = (true, true);
            }
            self.pass(4_000)?;
            for _ in 0..8 {
                self.request_operation(at)?;
            }
        }
        Ok(())
    }

    /// A tracker has refused its disk as an older copy. Its operator gives the disk a new origin,
    /// as a restore does.
    pub(super) fn restart_under_new_origin(&mut self, at: usize) {
        self.crash(at);
        let origin = self.new_origin();
        self.nodes[at].disk.change_origin(origin);
        self.oracle.counts.note("older copy refused");
    }

    /// Crashes a tracker and replaces its disk. Does nothing if a blob would be lost, or if writes
    /// would be lost after an earlier loss of a disk. `restored` is whether the tracker is restored
    /// from its backup, under a new origin. Returns whether the disk was replaced.
    pub(super) fn replace_disk(
        &mut self,
        at: usize,
        disk: Disk,
        restored: bool,
    ) -> Result<bool, Failure> {
        let lost = &self.nodes[at].disk.versions;
        let others = self.nodes.iter().enumerate().filter(|(it, _)| *it != at);
        let others: Vec<&Disk> = others.map(|(_, node)| &node.disk).collect();
        let another_has_all_writes = others.iter().any(|disk| disk.versions.includes(lost));
        // With the new disk in place, each blob that a row names must be on at least one disk.
        let rows = others.iter().flat_map(|disk| disk.rows.values());
        let is_elsewhere = |blob| others.iter().any(|disk| disk.blobs.contains(&blob));
        let mut named_blobs = disk.rows.values().filter_map(named_by);
        let own_blobs_exist =
            named_blobs.all(|blob| disk.blobs.contains(&blob) || is_elsewhere(blob));
        let all_blobs_exist = own_blobs_exist && rows.filter_map(named_by).all(is_elsewhere);
        if (!another_has_all_writes && self.oracle.losses > 0) || !all_blobs_exist {
            return Ok(false);
        }
        self.crash(at);
        self.nodes[at].disk = disk;
        self.nodes[at].restored = restored;
        self.forget_lost_writes();
        self.oracle.losses += 1;
        let counts = &mut self.oracle.counts;
        counts.note(match restored {
            true => "backup restored",
            false => "disk lost",
        });
        if !another_has_all_writes {
            counts.note("disk lost with writes that only it had");
        }
        self.log_step(|| format!("{at} has another disk"));
        self.oracle.on_disk_lost(at, &self.nodes).map(|()| true)
    }
}
