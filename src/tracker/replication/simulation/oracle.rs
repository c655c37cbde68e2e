//! The oracle: what trackers promised to clients, and whether they kept it.

use super::super::{Copies, Replica};
use super::Failure;
use super::node::{Disk, Node, named_by};
use crate::tracker::registry::tests::convergence::{
    AcknowledgedEnd, CreatedRows, check_end, check_former_members, check_name_holders,
    check_removed_accounts, check_roles, is_kept_or_overruled,
};
use crate::tracker::registry::tests::machine_oracle::check_machines;
use crate::tracker::registry::tests::share_oracle::check_catalogues;
use crate::tracker::registry::{Change, Membership, Registry, Row, Version};

/// What a tracker promises a client when it acknowledges a write.
#[derive(Clone)]
pub(super) struct Promise {
    pub(super) version: Version,
    pub(super) rows: Vec<Row>,
    /// The memberships that the write ends.
    pub(super) ends: Vec<AcknowledgedEnd>,
    /// If this request repeats one that got no answer: the promise of the first request. The same
    /// acknowledgement gives both promises.
    first_promise: Option<Box<Promise>>,
}

/// A write that was acknowledged.
struct Acknowledged {
    promise: Promise,
    copies: Copies,
}

/// Number of occurrences of each event.
#[derive(Default)]
pub(crate) struct Counts {
    entries: std::collections::BTreeMap<&'static str, u32>,
}

impl Counts {
    pub(super) fn note(&mut self, what: &'static str) {
        *self.entries.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.entries {
            *self.entries.entry(what).or_default() += count;
        }
    }

    /// All kinds of events, each with its count.
    pub(super) fn list(&self) -> Vec<(&'static str, u32)> {
        let kinds = [
            "acknowledged with two copies",
            "acknowledged with one copy",
            "answer lost",
            "answer to a repeated request lost",
            "repeated and done anew",
            "repeated and done before",
            "backup restored",
            "blob lost",
            "catching up in several batches",
            "clock jump",
            "clocks set 30 hours ahead",
            "crash",
            "crash between commit and acknowledgement",
            "cut connection",
            "disk lost",
            "disk lost with writes that only it had",
            "dropped row",
            "end of a membership",
            "log-in",
            "logins used for days",
            "machine enrolled",
            "machine started",
            "machine suspended, allowed again or revoked",
            "new version of a share",
            "version withdrawn",
            "older copy put back",
            "older copy refused",
            "older copy serves",
            "one-way partition",
            "pause without a restart",
            "request waited for a tracker without a processor",
            "role given",
            "stall",
            "token accepted",
            "token written",
            "token refused after log-out",
            "tracker without a processor",
            "trackers without a processor, one after another",
            "write refused while not serving",
        ];
        let of = |what| (what, self.entries.get(what).copied().unwrap_or_default());
        kinds.into_iter().map(of).collect()
    }
}

#[derive(Default)]
pub(crate) struct Oracle {
    acknowledged: Vec<Acknowledged>,
    /// The rows that each command created, acknowledged or not.
    pub(super) created: CreatedRows,
    /// Number of disks lost so far.
    pub(super) losses: u32,
    pub(super) counts: Counts,
}

impl Promise {
    /// The promise of an operation that makes this change in this state of the registry. `None` if
    /// the change contains no new write of this tracker.
    pub(super) fn new(change: &Change, registry: &Registry) -> Option<Self> {
        let origin = registry.origin();
        let previous = registry.version_vector().of(origin);
        let rows: Vec<Row> = change.rows().cloned().collect();
        let mut versions = rows.iter().flat_map(Row::versions);
        let is_new =
            |version: &Version| version.stamp.origin() == origin && version.sequence > previous;
        let version = versions.find(is_new)?;
        let ends = AcknowledgedEnd::all_in(change, registry);
        Some(Self {
            version,
            rows,
            ends,
            first_promise: None,
        })
    }

    /// This promise together with `first`, whose answer was lost.
    pub(super) fn together_with(self, first: Self) -> Self {
        let first_promise = Some(Box::new(first));
        Self {
            first_promise,
            ..self
        }
    }

    /// Whether a tracker with this registry has the write.
    pub(super) fn is_known(&self, registry: &Registry) -> bool {
        let known = registry.version_vector().of(self.version.stamp.origin());
        known >= self.version.sequence
    }

    /// Whether the write is on `disk`.
    pub(super) fn is_on(&self, disk: &Disk) -> bool {
        disk.versions.of(self.version.stamp.origin()) >= self.version.sequence
    }
}

impl Oracle {
    /// The tracker `at` has acknowledged a write.
    pub(super) fn on_acknowledged(
        &mut self,
        mut promise: Promise,
        copies: Copies,
        at: usize,
        nodes: &[Node],
    ) -> Result<(), Failure> {
        if let Some(first) = promise.first_promise.take() {
            self.on_acknowledged(*first, copies, at, nodes)?;
        }
        let on = |node: &Node| promise.is_on(&node.disk);
        if !on(&nodes[at]) {
            return Err(Failure(format!(
                "{:?} was acknowledged before it was durable",
                promise.version
            )));
        }
        let mut others = nodes.iter().enumerate().filter(|(it, _)| *it != at);
        if copies == Copies::Two && self.losses == 0 && !others.any(|(_, node)| on(node)) {
            return Err(Failure(format!(
                "{:?} was acknowledged with two copies and has one",
                promise.version
            )));
        }
        self.counts.note(match copies {
            Copies::Two => "acknowledged with two copies",
            Copies::OnlyHere => "acknowledged with one copy",
        });
        for _ in &promise.ends {
            self.counts.note("end of a membership");
        }
        let gives_role = |row: &Row| {
            matches!(row, Row::Membership(Membership { role: Some(role), .. })
                if role.version == promise.version && role.version != row.created())
        };
        if promise.rows.iter().any(gives_role) {
            self.counts.note("role given");
        }
        for row in &promise.rows {
            match row {
                Row::Token(_) => self.counts.note("token written"),
                Row::Machine(row) if row.suspended.is_some() || row.revoked.is_some() => {
                    self.counts
                        .note("machine suspended, allowed again or revoked");
                }
                Row::Machine(row) if row.starts.is_some() => self.counts.note("machine started"),
                Row::Machine(_) => self.counts.note("machine enrolled"),
                Row::Share(row) if row.withdrawn.is_some() => self.counts.note("version withdrawn"),
                Row::Share(row) if row.edition.value.number > 1 => {
                    self.counts.note("new version of a share");
                }
                _ => {}
            }
        }
        self.acknowledged.push(Acknowledged { promise, copies });
        Ok(())
    }

    /// The tracker `at` has lost its disk and has another one. Writes that only the old disk held
    /// are lost. That is allowed if they were acknowledged with [`Copies::OnlyHere`].
    pub(super) fn on_disk_lost(&mut self, at: usize, nodes: &[Node]) -> Result<(), Failure> {
        let mut broken = None;
        self.acknowledged.retain(|it| {
            let is_stored = nodes.iter().any(|node| it.promise.is_on(&node.disk));
            if !is_stored && it.copies == Copies::Two {
                broken = Some(it.promise.version);
            }
            is_stored
        });
        match broken {
            None => Ok(()),
            Some(version) => Err(Failure(format!(
                "{version:?} was acknowledged with two copies and lost with the disk of {at}"
            ))),
        }
    }

    /// Whether a tracker with the state `replica` lacks a write that was acknowledged.
    pub(super) fn lacks_an_acknowledged_write(&self, replica: &Replica) -> bool {
        let versions = replica.registry().version_vector();
        let lacks = |version: Version| versions.of(version.stamp.origin()) < version.sequence;
        self.acknowledged.iter().any(|it| lacks(it.promise.version))
    }

    /// Checks that all trackers have the same data, and that every promise was kept.
    pub(super) fn check(&self, nodes: &[Node]) -> Result<(), Failure> {
        let fail = |text: String| Err(Failure(text));
        let registries: Vec<&Registry> = nodes
            .iter()
            .filter_map(|node| Some(node.replica.as_ref()?.registry()))
            .collect();
        let Some(first) = registries
            .first()
            .filter(|_| registries.len() == nodes.len())
        else {
            return fail("a tracker is down".to_owned());
        };
        for (at, (registry, node)) in registries.iter().zip(nodes).enumerate() {
            if registry.version_vector() != first.version_vector() {
                return fail(format!("the version vector of tracker {at} differs"));
            }
            if !registry.rows().eq(first.rows()) {
                return fail(format!("the rows of tracker {at} differ"));
            }
            if registry.dump() != first.dump() {
                return fail(format!("the dump of tracker {at} differs"));
            }
            if !registry.rows().eq(node.disk.rows.values())
                || node.disk.versions != *registry.version_vector()
            {
                return fail(format!("the disk of tracker {at} differs from its memory"));
            }
            let mut blobs = registry.rows().filter_map(named_by);
            if let Some(blob) = blobs.find(|blob| !node.disk.blobs.contains(blob)) {
                return fail(format!("tracker {at} has a row and not its blob {blob}"));
            }
        }
        for it in &self.acknowledged {
            let version = it.promise.version;
            for row in &it.promise.rows {
                if !is_kept_or_overruled(first, version, row) && !is_forgotten(first, row) {
                    return fail(format!("lost: write {version:?} of {row:?}"));
                }
            }
            for end in &it.promise.ends {
                check_end(first, end).map_err(Failure)?;
            }
        }
        self.created.check_unique(first).map_err(Failure)?;
        check_former_members(first).map_err(Failure)?;
        check_removed_accounts(first).map_err(Failure)?;
        check_roles(first).map_err(Failure)?;
        check_machines(first).map_err(Failure)?;
        check_catalogues(first).map_err(Failure)?;
        check_name_holders(first).map_err(Failure)
    }
}

/// Whether a row that can expire was deleted. That is allowed once it has expired and all trackers
/// have it. A test in `registry/tests/conflicts.rs` checks that it is not deleted earlier.
fn is_forgotten(registry: &Registry, row: &Row) -> bool {
    row.expires().is_some() && registry.row(row.id()).is_none()
}
