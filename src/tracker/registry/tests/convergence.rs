//! Random operations on registries that are cut off from each other. Clocks are wrong and jump,
//! messages are lost, repeated and reordered, and trackers restart from their disks.
//!
//! At the end, all registries have the same rows. Every acknowledged write is present, or a rule of
//! the conflict table has overruled it. No end of a membership is undone.

use super::demotions::{Demotions, rivals};
use super::*;
use fastrand::Rng;
use proptest::prelude::{ProptestConfig, any, proptest};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A deliberate bug. The test must detect it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mutation {
    None,
    /// A tracker ignores ends of memberships in the changes of other trackers.
    IgnoreMembershipEnds,
    /// A tracker ignores passwords in the changes of other trackers.
    IgnorePasswords,
    /// A tracker ignores removals of accounts in the changes of other trackers.
    IgnoreRemovals,
    /// A repeated command creates rows under new ids.
    NewIdsOnRepeat,
    /// A tracker ignores roles in the changes of other trackers.
    IgnoreRoles,
    /// A tracker ignores ends and suspensions of machines in the changes of other trackers.
    IgnoreMachineEnds,
    /// A tracker ignores which versions of shares the rows in the changes of others are.
    IgnoreEditions,
    /// A tracker ignores the notes of shares in the changes of other trackers.
    IgnoreNotes,
}

/// A command to a tracker. If it is repeated with the same ids, even at another tracker, it still
/// counts as one write.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) operation: Rc<Operation>,
    /// Whether a peer that receives no reply repeats the command.
    pub(crate) is_repeatable: bool,
    /// What the command withdraws.
    pub(crate) withdrawal: Option<share_oracle::Withdrawal>,
}

pub(crate) type Operation = dyn Fn(&Registry, (RowId, RowId), Duration) -> Result<Update, Refusal>;

impl Command {
    /// A command that a peer repeats.
    fn repeatable(operation: Rc<Operation>) -> Self {
        Self::about_shares((operation, None))
    }

    /// A command about shares.
    pub(crate) fn about_shares((operation, withdrawal): share_oracle::ShareCommand) -> Self {
        Self {
            operation,
            is_repeatable: true,
            withdrawal,
        }
    }

    /// Checks that the update of the command withdraws only what was meant. `registry` is the one
    /// that the update was made from.
    pub(crate) fn check_withdrawal(
        &self,
        registry: &Registry,
        update: &Update,
    ) -> Result<(), String> {
        match (&self.withdrawal, update.change()) {
            (Some(meant), Some(change)) => share_oracle::check_withdrawal(registry, change, meant),
            _ => Ok(()),
        }
    }

    /// Makes the update of the command, or renews its receipt if the command was already executed.
    pub(crate) fn run(
        &self,
        registry: &Registry,
        ids: (RowId, RowId),
        receipt: RowId,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let expires = now + Duration::from_secs(3_600);
        if registry.receipt(receipt).is_some() {
            return registry.renew_receipt(receipt, expires, now);
        }
        let update = (self.operation)(registry, ids, now)?;
        let entry = RowId((u128::from_be_bytes(receipt.0) ^ 1 << 127).to_be_bytes());
        let update = registry.with_audit(update, entry, Author::OPERATOR, now);
        registry.with_receipt(update, receipt, expires, now)
    }
}

/// A command that a peer will repeat, because the peer received no reply.
struct UnansweredCommand {
    command: Command,
    ids: (RowId, RowId),
    receipt: RowId,
    /// The rows that the first execution wrote.
    rows: Vec<(Version, Row)>,
}

/// For each command, by its receipt, the rows that it created. At most one row of each kind may
/// remain. If the name of a group meant different groups at two trackers, one membership or share
/// in each group may remain.
#[derive(Default)]
pub(crate) struct CreatedRows(BTreeMap<RowId, BTreeSet<(Kind, RowId)>>);

/// The kind of a row, and the group of a membership, share or token, or the token of a machine.
type Kind = (&'static str, Option<RowId>);

impl CreatedRows {
    /// Records the rows that a command created by this write.
    pub(crate) fn note<'a>(
        &mut self,
        receipt: RowId,
        version: Version,
        rows: impl IntoIterator<Item = &'a Row>,
    ) {
        let created = self.0.entry(receipt).or_default();
        // A command that is repeated when its receipt is gone is done again, and the audit log says
        // so. Tests of the audit log count its entries.
        let counts = |row: &&Row| row.created() == version && !matches!(row, Row::Audit(_));
        let new = rows.into_iter().filter(counts);
        created.extend(new.map(|row| {
            let group = match row {
                Row::Membership(row) => Some(row.group),
                Row::Share(row) => Some(row.group),
                Row::Token(row) => row.groups.keys().next().copied(),
                Row::Machine(row) => Some(row.token),
                _ => None,
            };
            ((row.kind(), group), row.id())
        }));
    }

    /// Checks that each command left at most one row of each kind.
    pub(crate) fn check_unique(&self, registry: &Registry) -> Result<(), String> {
        for created in self.0.values() {
            let mut kinds = BTreeSet::new();
            let present = created.iter().filter(|(_, id)| registry.row(*id).is_some());
            for (kind, id) in present {
                if !kinds.insert(kind) {
                    return Err(format!("one command made two rows: {kind:?} {id}"));
                }
            }
        }
        Ok(())
    }
}

/// An acknowledged end of a membership.
#[derive(Clone)]
pub(crate) struct AcknowledgedEnd {
    group: RowId,
    account: RowId,
    stamp: Stamp,
    /// The rows that the tracker knew when the membership ended.
    known_rows: BTreeSet<RowId>,
}

impl AcknowledgedEnd {
    /// The ends in a change that was made from the present state of this registry and is not
    /// applied yet.
    pub(crate) fn all_in(change: &Change, registry: &Registry) -> Vec<Self> {
        let (origin, mut ends) = (registry.origin(), Vec::new());
        for row in change.rows() {
            if let Row::Membership(row) = row
                && let Some(ended) = &row.ended
                && ended.version.stamp.origin() == origin
                && ended.version.sequence > registry.version_vector().of(origin)
            {
                ends.push(Self {
                    group: row.group,
                    account: row.account,
                    stamp: ended.version.stamp,
                    known_rows: registry.rows().map(Row::id).collect(),
                });
            }
        }
        ends
    }
}

struct SimulatedTracker {
    registry: Registry,
    /// The encoded rows and the encoded version vector on its disk.
    disk: (BTreeMap<RowId, Vec<u8>>, Vec<u8>),
    /// The error of its clock in milliseconds.
    skew: i64,
}

/// The trackers, the messages between them, and the record of all commands. A parameter `at` is the
/// index of a tracker.
pub(crate) struct World {
    rng: Rng,
    trackers: Vec<SimulatedTracker>,
    /// Messages on their way: the index of the receiver, and the bytes.
    network: Vec<(usize, Vec<u8>)>,
    /// The true time in milliseconds since 1970.
    now: i64,
    /// The number of row ids made so far.
    id_count: u64,
    acknowledged: Vec<(Version, Row)>,
    unanswered: Vec<UnansweredCommand>,
    created: CreatedRows,
    ends: Vec<AcknowledgedEnd>,
    demotions: Demotions,
    mutation: Mutation,
    /// Whether the trackers are cut off from each other.
    is_partitioned: bool,
}

/// An hour in milliseconds.
const HOUR: i64 = 3_600_000;
const USERS: [&str; 5] = ["nik", "Nik", "mayank", "olga", "ada"];
const GROUPS: [&str; 3] = ["lab", "Lab", "club"];

impl World {
    fn new(seed: u64, mutation: Mutation) -> Self {
        let mut rng = Rng::with_seed(seed);
        let trackers = (0..rng.u8(2..=3)).map(|number| SimulatedTracker {
            registry: Registry::new(Origin([number + 1; 16])),
            disk: (BTreeMap::new(), VersionVector::new().encode()),
            skew: rng.i64(-3 * HOUR..=3 * HOUR) * i64::from(rng.bool()),
        });
        Self {
            trackers: trackers.collect(),
            rng,
            network: Vec::new(),
            now: 100 * HOUR,
            id_count: 0,
            acknowledged: Vec::new(),
            unanswered: Vec::new(),
            created: CreatedRows::default(),
            ends: Vec::new(),
            demotions: Demotions::default(),
            mutation,
            is_partitioned: false,
        }
    }

    /// A new id for a row.
    fn next_id(&mut self) -> RowId {
        self.id_count += 1;
        let random = self.rng.u64(..).to_be_bytes();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&random);
        id[8..].copy_from_slice(&self.id_count.to_be_bytes());
        RowId(id)
    }

    fn clock(&self, at: usize) -> Duration {
        let millis = self.now + self.trackers[at].skew;
        Duration::from_millis(u64::try_from(millis).unwrap())
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += self.rng.i64(0..2_000);
        let at = self.rng.usize(..self.trackers.len());
        if self.rng.u8(..40) == 0 {
            self.is_partitioned = !self.is_partitioned;
        }
        // Actions from 20 on deliver no messages.
        let actions = if self.is_partitioned { 20..40 } else { 0..40 };
        match self.rng.u8(actions) {
            0 | 20 => self.trackers[at].skew = self.rng.i64(-3 * HOUR..=3 * HOUR),
            1 | 21 => self.restart(at)?,
            2..=6 => {
                let to = self.rng.usize(..self.trackers.len());
                let known = self.trackers[to].registry.version_vector();
                let length = self.rng.usize(1..2_000);
                if let Some(change) = self.trackers[at].registry.since(known, length) {
                    self.network.push((to, change.encode()));
                }
            }
            7..=13 if !self.network.is_empty() => {
                let message = self.rng.usize(..self.network.len());
                let (to, bytes) = match self.rng.u8(..4) {
                    0 => self.network[message].clone(),
                    _ => self.network.swap_remove(message),
                };
                self.deliver(to, &bytes)?;
            }
            14 if !self.network.is_empty() => {
                let message = self.rng.usize(..self.network.len());
                self.network.swap_remove(message);
            }
            15 | 38 | 39 if !self.unanswered.is_empty() => self.repeat_command(at)?,
            16 => self.use_a_login(at)?,
            _ => self.execute_random_command(at)?,
        }
        Ok(())
    }

    /// Executes a random command. Most are refused by some rule. Sometimes the reply is lost.
    fn execute_random_command(&mut self, at: usize) -> Result<(), String> {
        let (ids, receipt, now) = (
            (self.next_id(), self.next_id()),
            self.next_id(),
            self.clock(at),
        );
        let registry = &self.trackers[at].registry;
        let rivals = match self.rng.u8(..6) {
            0 => Self::command_among_owners(&mut self.rng, registry),
            _ => None,
        };
        let command =
            rivals.unwrap_or_else(|| Self::random_command(&mut self.rng, registry, ids.0));
        let Ok(update) = command.run(registry, ids, receipt, now) else {
            return Ok(());
        };
        command.check_withdrawal(registry, &update)?;
        if !command.is_repeatable || self.rng.u8(..4) > 0 {
            return self.acknowledge(at, receipt, update);
        }
        let rows = self.note_written_rows(at, receipt, &update)?;
        self.unanswered.push(UnansweredCommand {
            command,
            ids,
            receipt,
            rows,
        });
        self.store(at, update)
    }

    /// An owner of a group demotes another owner, or makes another member an owner.
    fn command_among_owners(rng: &mut Rng, registry: &Registry) -> Option<Command> {
        let (owner, group, other, role) = rivals(rng, registry)?;
        let operation = move |it: &Registry, _, now| {
            it.set_role(owner, &group, &other.clone().into(), role, now)
        };
        Some(Command::repeatable(Rc::new(operation)))
    }

    /// A login of a random account is used or ended.
    fn use_a_login(&mut self, at: usize) -> Result<(), String> {
        let (ids, receipt, now) = (
            (self.next_id(), self.next_id()),
            self.next_id(),
            self.clock(at),
        );
        let registry = &self.trackers[at].registry;
        let accounts = registry.accounts(None, 99).items;
        let Some((account, _)) = self.rng.choice(&accounts) else {
            return Ok(());
        };
        let operation = login_oracle::random_command(&mut self.rng, *account);
        let command = Command::repeatable(operation);
        match command.run(registry, ids, receipt, now) {
            Ok(update) => self.acknowledge(at, receipt, update),
            Err(_) => Ok(()),
        }
    }

    /// Repeats an unanswered command at a tracker.
    fn repeat_command(&mut self, at: usize) -> Result<(), String> {
        let index = self.rng.usize(..self.unanswered.len());
        let UnansweredCommand {
            command,
            mut ids,
            receipt,
            rows,
        } = self.unanswered.swap_remove(index);
        if self.mutation == Mutation::NewIdsOnRepeat {
            ids = (self.next_id(), self.next_id());
        }
        let (registry, now) = (&self.trackers[at].registry, self.clock(at));
        let is_done = registry.receipt(receipt).is_some();
        let Ok(update) = command.run(registry, ids, receipt, now) else {
            return Ok(());
        };
        command.check_withdrawal(registry, &update)?;
        if is_done {
            // The renewed receipt also confirms the first execution.
            self.acknowledged.extend(rows);
        }
        self.acknowledge(at, receipt, update)
    }

    /// A random command to a registry. If the registry has no account, the command comes from
    /// `unknown_account`.
    pub(crate) fn random_command(
        rng: &mut Rng,
        registry: &Registry,
        unknown_account: RowId,
    ) -> Command {
        let accounts = registry.accounts(None, 99).items;
        let groups = registry.groups(None, None, 99).items;
        let (actor, user) = match (rng.choice(&accounts), rng.choice(&accounts)) {
            (Some((actor, _)), Some((_, user))) => (*actor, user.clone()),
            _ => (unknown_account, label("nobody")),
        };
        let account = registry.account_id(&user).unwrap_or(unknown_account);
        let group = rng.choice(&groups).map(|it| it.label.clone());
        let group = group.unwrap_or(label("none"));
        // Operations that only owners may do are mostly done by an owner, so that some succeed.
        let id = registry.group_id(&group).ok();
        let owners = id.and_then(|id| registry.index.members.get(&id));
        let owners: Vec<_> = owners.into_iter().flat_map(GroupMembers::owners).collect();
        let acting_owner = rng.choice(&owners).copied();
        let acting_owner = acting_owner.filter(|_| rng.u8(..8) > 0).unwrap_or(actor);
        let requests = registry.requests(acting_owner, &group, None, 99);
        let requests = requests.map_or_else(|_| Vec::new(), |page| page.items);
        let requester = rng.choice(&requests).map(|it| it.label.clone());
        let requester = requester.unwrap_or(user.clone());
        let members = registry.members(acting_owner, &group, None, 99);
        let members = members.map_or_else(|_| Vec::new(), |page| page.items);
        let member = rng.choice(&members).map(|it| it.label.clone());
        let member = member.unwrap_or(user);
        let role = rng.choice(Role::ALL).copied().unwrap();
        let name = *rng.choice(&USERS).unwrap();
        let new = move |id| NewAccount {
            id,
            name: name.parse().unwrap(),
            password: password(&format!("first of {id}")),
        };
        let code = CodeHash([rng.u8(..6); 32]);
        let (name_number, group_name) = (rng.u8(..3), *rng.choice(&GROUPS).unwrap());
        let kind = match rng.u8(..43) {
            // These end a lot.
            27 | 28 if rng.u8(..4) > 0 => 15,
            // A free name lets further groups begin, so that each has fewer members.
            8 if rng.u8(..8) > 0 => 29,
            // Groups get a second member early. Then roles change, and memberships end.
            31 | 32 => [10, 21][usize::from(members.len() > 1)],
            33 => [14, 29][usize::from(members.len() > 1)],
            kind => kind,
        };
        let operation: Rc<Operation> = match kind {
            0 => Rc::new(move |it, (id, _), now| it.create_account(new(id), now)),
            2 => Rc::new(move |it, (id, _), now| {
                it.change_password(actor, password(&format!("{id}")), now)
            }),
            3 => Rc::new(move |it, _, now| it.end_all_logins(actor, now)),
            4 => Rc::new(move |it, (id, _), now| it.log_out(actor, id, now * 2, now)),
            5 => Rc::new(move |it, (id, _), now| it.create_invite(id, code, now * 2, now)),
            6 => Rc::new(move |it, (id, _), now| it.redeem_invite(code, new(id), now)),
            7 => Rc::new(move |it, _, now| {
                let name = format!("a{name_number}").parse().unwrap();
                it.rename_account(actor, name, now)
            }),
            8 => Rc::new(move |it, _, now| {
                let name = format!("g{name_number}").parse().unwrap();
                it.rename_group(acting_owner, &group, name, now)
            }),
            9 => Rc::new(move |it, (id, membership), now| {
                let new = NewGroup {
                    id,
                    membership,
                    name: group_name.parse().unwrap(),
                    key: GroupKey::new(format!("{now:?}")).unwrap(),
                };
                it.create_group(actor, new, now)
            }),
            10..=13 => Rc::new(move |it, (id, _), now| {
                // The label may mean another group at another tracker. A request to that group must
                // have another id.
                let RowId(group_id) = it.group_id(&group)?;
                let id = u128::from_be_bytes(id.0) ^ u128::from_be_bytes(group_id);
                it.request_membership(actor, &group, RowId(id.to_be_bytes()), now)
            }),
            14..=17 => Rc::new(move |it, _, now| it.accept(acting_owner, &group, &requester, now)),
            18 => Rc::new(move |it, _, now| it.reject(acting_owner, &group, &requester, now)),
            19 => Rc::new(move |it, _, now| it.leave(actor, &group, IfLastMember::EndGroup, now)),
            20 => Rc::new(move |it, _, now| it.leave(actor, &group, IfLastMember::Refuse, now)),
            21 => Rc::new(move |it, _, now| {
                it.set_role(acting_owner, &group, &member.clone().into(), role, now)
            }),
            23..=26 => {
                let command = share_oracle::random_command(rng, registry, acting_owner, &group);
                return Command::about_shares(command);
            }
            27 => Rc::new(move |it, _, now| it.remove_account_as_operator(account, 2, now)),
            28 => Rc::new(move |it, _, now| {
                let id = it.group_id(&group)?;
                it.end_group_as_operator(id, 2, now)
            }),
            29 | 30 => {
                Rc::new(move |it, _, now| it.remove_member(acting_owner, &group, &member, now))
            }
            _ => machine_oracle::random_command(rng, registry, acting_owner, &group),
        };
        Command {
            operation,
            // No peer repeats `create_invite`.
            is_repeatable: kind != 5,
            withdrawal: None,
        }
    }

    /// Returns the rows that an update of tracker `at` writes, and records which of them the update
    /// creates. The update is not applied yet.
    fn note_written_rows(
        &mut self,
        at: usize,
        receipt: RowId,
        update: &Update,
    ) -> Result<Vec<(Version, Row)>, String> {
        let change = update.change().ok_or("no change to push")?;
        let origin = self.trackers[at].registry.origin();
        let sequence = update.versions().of(origin);
        let mut rows = Vec::new();
        for row in change.rows() {
            let versions = row.versions();
            let own = versions
                .iter()
                .find(|version| (version.stamp.origin(), version.sequence) == (origin, sequence));
            let version = *own.ok_or("a written row without the version of the write")?;
            rows.push((version, row.clone()));
        }
        if let Some((version, _)) = rows.first() {
            self.created.note(receipt, *version, change.rows());
        }
        Ok(rows)
    }

    /// Records an update of tracker `at` as acknowledged, stores it and pushes its change.
    fn acknowledge(&mut self, at: usize, receipt: RowId, update: Update) -> Result<(), String> {
        let change = update.change().cloned().ok_or("no change to push")?;
        let rows = self.note_written_rows(at, receipt, &update)?;
        self.demotions.note(&self.trackers[at].registry, &rows);
        share_oracle::check_new_versions(&self.trackers[at].registry, &change)?;
        self.acknowledged.extend(rows);
        let ends = AcknowledgedEnd::all_in(&change, &self.trackers[at].registry);
        self.ends.extend(ends.iter().cloned());
        self.store(at, update)?;
        let registry = &self.trackers[at].registry;
        if let Some(end) = ends.last()
            && registry.role(end.group, end.account) != GroupRole::Stranger
        {
            return Err(format!("{} is still in {}", end.account, end.group));
        }
        for to in 0..self.trackers.len() {
            if to != at && self.rng.u8(..3) > 0 {
                self.network.push((to, change.encode()));
            }
        }
        Ok(())
    }

    fn deliver(&mut self, to: usize, bytes: &[u8]) -> Result<(), String> {
        let mut change = Change::decode(bytes).map_err(|error| error.to_string())?;
        let registry = &self.trackers[to].registry;
        for row in change.rows.values_mut() {
            match (self.mutation, row) {
                (Mutation::IgnoreMembershipEnds, Row::Membership(row)) => row.ended = None,
                (Mutation::IgnorePasswords, Row::Account(theirs)) => {
                    if let Some(ours) = registry.account(theirs.id) {
                        theirs.password = ours.password.clone();
                    }
                }
                (Mutation::IgnoreRemovals, Row::Account(theirs)) => theirs.removed = None,
                (Mutation::IgnoreRoles, Row::Membership(theirs)) => theirs.role = None,
                (Mutation::IgnoreMachineEnds, Row::Machine(theirs)) => {
                    (theirs.revoked, theirs.suspended) = (None, None);
                }
                (Mutation::IgnoreNotes, Row::Share(theirs)) => theirs.note = None,
                _ => {}
            }
        }
        if self.mutation == Mutation::IgnoreEditions {
            change = share_oracle::without_editions(change);
        }
        let update = registry.merge(&change, self.clock(to));
        self.store(to, update.map_err(|error| error.to_string())?)
    }

    fn store(&mut self, at: usize, update: Update) -> Result<(), String> {
        let tracker = &mut self.trackers[at];
        for row in update.rows() {
            tracker.disk.0.insert(row.id(), row.encode());
        }
        tracker.disk.1 = update.versions().encode();
        tracker
            .registry
            .apply(update)
            .map_err(|error| error.to_string())
    }

    fn restart(&mut self, at: usize) -> Result<(), String> {
        let tracker = &mut self.trackers[at];
        let rows = tracker
            .disk
            .0
            .values()
            .map(|bytes| Row::decode(bytes).unwrap());
        let versions = VersionVector::decode(&tracker.disk.1).unwrap();
        let loaded = Registry::load(tracker.registry.origin(), versions, rows);
        let loaded = loaded.map_err(|error| error.to_string())?;
        if loaded.dump() != tracker.registry.dump() {
            return Err("a restart changed the registry".to_owned());
        }
        check_former_members(&tracker.registry)?;
        tracker.registry = loaded;
        Ok(())
    }

    /// Sends everything from every tracker to every other tracker.
    fn exchange_all(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            for from in 0..self.trackers.len() {
                for to in 0..self.trackers.len() {
                    loop {
                        let known = self.trackers[to].registry.version_vector();
                        let change = self.trackers[from].registry.since(known, 700);
                        let Some(change) = change else { break };
                        self.deliver(to, &change.encode())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let first = &self.trackers[0].registry;
        for tracker in &self.trackers[1..] {
            if tracker.registry.version_vector() != first.version_vector() {
                return Err("the version vectors differ".to_owned());
            }
            if !tracker.registry.rows().eq(first.rows()) || tracker.registry.dump() != first.dump()
            {
                return Err("the registries differ".to_owned());
            }
        }
        for (version, written) in &self.acknowledged {
            is_kept_or_overruled(first, *version, written)
                .then_some(())
                .ok_or_else(|| format!("lost: write {version:?} of {written:?}"))?;
        }
        self.ends.iter().try_for_each(|end| check_end(first, end))?;
        self.created.check_unique(first)?;
        check_former_members(first)?;
        check_usage(first)?;
        check_removed_accounts(first)?;
        check_roles(first)?;
        machine_oracle::check_machines(first)?;
        share_oracle::check_catalogues(first)?;
        check_name_holders(first)
    }
}

/// `written` is a row after the write `version`. Returns whether the registry still has each value
/// that this write wrote in the row, or a value that overrules it by the rule of the field.
pub(crate) fn is_kept_or_overruled(registry: &Registry, version: Version, written: &Row) -> bool {
    fn last_writer_wins<T>(present: &Register<T>, written: &Register<T>, version: Version) -> bool {
        written.version != version || present.version.stamp >= version.stamp
    }
    fn first_writer_wins<T>(
        present: Option<&Register<T>>,
        written: Option<&Register<T>>,
        version: Version,
    ) -> bool {
        written.is_none_or(|written| written.version != version)
            || present.is_some_and(|present| present.version.stamp <= version.stamp)
    }
    let present = registry.row(written.id());
    // If two trackers created the row, a merge keeps the later creation.
    let is_revocation = matches!(written, Row::Revocation(_));
    if present.is_some_and(|present| present.created() < written.created()) && !is_revocation {
        return false;
    }
    match (present, written) {
        (Some(Row::Account(present)), Row::Account(written)) => {
            let keeps_revoked = written.revoked.as_ref().is_none_or(|written| {
                present
                    .revoked
                    .as_ref()
                    .is_some_and(|present| last_writer_wins(present, written, version))
            });
            let keeps_password = last_writer_wins(&present.password, &written.password, version);
            let keeps_name = last_writer_wins(&present.name, &written.name, version);
            let keeps_removal = written.removed.is_none() || present.removed.is_some();
            keeps_revoked && keeps_password && keeps_name && keeps_removal
        }
        (Some(Row::Group(present)), Row::Group(written)) => {
            last_writer_wins(&present.name, &written.name, version)
        }
        (Some(Row::Membership(present)), Row::Membership(written)) => {
            let keeps_end = written.ended.as_ref().is_none_or(|written| {
                present
                    .ended
                    .as_ref()
                    .is_some_and(|present| last_writer_wins(present, written, version))
            });
            let keeps_role = written.role.as_ref().is_none_or(|written| {
                present
                    .role
                    .as_ref()
                    .is_some_and(|present| last_writer_wins(present, written, version))
            });
            keeps_end
                && keeps_role
                && first_writer_wins(
                    present.accepted.as_ref(),
                    written.accepted.as_ref(),
                    version,
                )
        }
        (Some(Row::Invite(present)), Row::Invite(written)) => {
            first_writer_wins(present.used.as_ref(), written.used.as_ref(), version)
        }
        (Some(Row::Revocation(present)), Row::Revocation(written)) => {
            (present.expires, present.created) >= (written.expires, written.created)
        }
        (Some(Row::Login(present)), Row::Login(written)) => {
            last_writer_wins(&present.used, &written.used, version)
        }
        (Some(Row::Receipt(_)), Row::Receipt(_)) => true,
        (Some(Row::Audit(_)), Row::Audit(_)) => true,
        (Some(Row::Share(present)), Row::Share(written)) => {
            share_oracle::keeps_share(present, written, version)
        }
        (Some(Row::Token(present)), Row::Token(written)) => {
            machine_oracle::keeps_token(present, written, version)
        }
        (Some(Row::Machine(present)), Row::Machine(written)) => {
            machine_oracle::keeps_machine(present, written, version)
        }
        (Some(present), written) => present == written,
        (None, _) => false,
    }
}

/// Checks that an end was not undone. The account may be in the group again only by a later request
/// that the tracker did not know when the membership ended. If the account is a member, that
/// request must have been accepted.
pub(crate) fn check_end(registry: &Registry, end: &AcknowledgedEnd) -> Result<(), String> {
    let role = registry.role(end.group, end.account);
    let asked_later = registry.rows().any(|row| match row {
        Row::Membership(row) => {
            let is_same_user = (row.group, row.account) == (end.group, end.account);
            let is_later = row.created.stamp > end.stamp && !end.known_rows.contains(&row.id);
            let explains_role = row.accepted.is_some() || role == GroupRole::Requester;
            is_same_user && is_later && explains_role && row.ended.is_none()
        }
        _ => false,
    });
    if role == GroupRole::Stranger || asked_later {
        Ok(())
    } else {
        Err(format!("{} is in {} again", end.account, end.group))
    }
}

/// Checks that removed accounts have no name, no groups and no listed shares.
pub(crate) fn check_removed_accounts(registry: &Registry) -> Result<(), String> {
    for row in registry.rows() {
        let Row::Account(Account {
            id,
            name,
            removed: Some(_),
            ..
        }) = row
        else {
            continue;
        };
        let has_name = registry.account_id(&Label::from(&name.value)) == Ok(*id);
        let has_groups = registry.rows().any(|row| match row {
            Row::Membership(row) => registry.role(row.group, *id) != GroupRole::Stranger,
            _ => false,
        });
        let has_shares = registry.rows().any(|row| match row {
            Row::Share(share) => registry.is_publisher(*id, share.info_hash),
            _ => false,
        });
        if has_name || has_groups || has_shares {
            return Err(format!("the removed account {id} still has something"));
        }
    }
    Ok(())
}

/// Checks the role of every account in every group against the rows, and that every group with
/// members has an owner.
pub(crate) fn check_roles(registry: &Registry) -> Result<(), String> {
    let mut groups: BTreeMap<RowId, BTreeMap<RowId, Vec<&Membership>>> = BTreeMap::new();
    for row in registry.rows() {
        if let Row::Membership(row) = row {
            let accounts = groups.entry(row.group).or_default();
            accounts.entry(row.account).or_default().push(row);
        }
    }
    for (group, accounts) in groups {
        // The time of acceptance and the role that was given, for each member.
        let mut members = Vec::new();
        for (account, rows) in accounts {
            let last_end = rows.iter().filter_map(|row| row.ended.as_ref());
            let last_end = last_end.map(|ended| ended.version.stamp).max();
            let live = rows.iter().filter(|row| {
                row.ended.is_none() && last_end.is_none_or(|end| row.created.stamp > end)
            });
            let accepted = live.clone().filter_map(|row| row.accepted.as_ref());
            let since = accepted.map(|it| it.version.stamp).min();
            let given = live.filter_map(|row| row.role.as_ref()).max();
            let role = given.map(|given| given.value.role);
            match since.filter(|_| registry.account(account).is_some()) {
                Some(since) => members.push((since, account, role)),
                None if registry.role_of(group, account).is_some() => {
                    return Err(format!("{account} has a role in {group} and is no member"));
                }
                None => {}
            }
        }
        members.sort();
        let has_owner = members
            .iter()
            .any(|(_, _, role)| *role == Some(Role::Owner));
        let mut by_claim: Vec<_> = members
            .iter()
            .map(|(since, account, role)| (*role == Some(Role::Reader), *since, *account))
            .collect();
        by_claim.sort();
        let derived = by_claim.first().filter(|_| !has_owner);
        let derived = derived.map(|(_, _, account)| *account);
        for (_, account, role) in &members {
            let expected = match derived == Some(*account) {
                true => Role::Owner,
                false => role.unwrap_or(Role::Publisher),
            };
            let found = registry.role_of(group, *account);
            if found != Some(expected) {
                return Err(format!(
                    "{account} is {found:?} in {group}, not {expected:?}"
                ));
            }
        }
        let owner = registry.owner(group);
        if owner.is_some() == members.is_empty() {
            return Err(format!(
                "{group} with {} members has the owner {owner:?}",
                members.len()
            ));
        }
    }
    Ok(())
}

/// Checks that each name belongs to the account, or to the group with members, with the earliest
/// claim.
pub(crate) fn check_name_holders(registry: &Registry) -> Result<(), String> {
    let mut accounts: BTreeMap<&UserName, (Stamp, RowId)> = BTreeMap::new();
    let mut groups: BTreeMap<&GroupName, (Stamp, RowId)> = BTreeMap::new();
    for row in registry.rows() {
        match row {
            Row::Account(row) if row.removed.is_none() => {
                let claim = (row.name.version.stamp, row.id);
                let first = accounts.entry(&row.name.value).or_insert(claim);
                *first = (*first).min(claim);
            }
            Row::Group(row) if registry.owner(row.id).is_some() => {
                let claim = (row.name.version.stamp, row.id);
                let first = groups.entry(&row.name.value).or_insert(claim);
                *first = (*first).min(claim);
            }
            _ => {}
        }
    }
    for (name, (_, id)) in accounts {
        if registry.account_id(&Label::from(name)) != Ok(id) {
            return Err(format!("{name} is not held by the earliest claim"));
        }
    }
    for (name, (_, id)) in groups {
        if registry.group_id(&Label::from(name)) != Ok(id) {
            return Err(format!(
                "the group {name} is not the one with the earliest claim"
            ));
        }
    }
    Ok(())
}

/// Compares [`Registry::usage`] with the rows.
fn check_usage(registry: &Registry) -> Result<(), String> {
    let mut expected: BTreeMap<RowId, Usage> = BTreeMap::new();
    for row in registry.rows() {
        match row {
            Row::Share(share) if share.withdrawn.is_none() => {
                let account = registry.account_of(share.publisher);
                expected.entry(account).or_default().shares += 1;
            }
            Row::Membership(member) if member.ended.is_none() => {
                // The account that created a group has accepted its own membership.
                let accepted_by = member.accepted.as_ref().map(|accepted| accepted.value);
                if accepted_by == Some(member.account) {
                    expected.entry(member.account).or_default().groups += 1;
                }
            }
            _ => {}
        }
    }
    match registry.usage().collect::<BTreeMap<_, _>>() == expected {
        true => Ok(()),
        false => Err("the usage of an account differs from its rows".to_owned()),
    }
}

/// Compares [`Registry::former_members_since`] with the rows, for each group, and for each time of
/// a departure.
pub(crate) fn check_former_members(registry: &Registry) -> Result<(), String> {
    let mut memberships: BTreeMap<(RowId, RowId), Vec<&Membership>> = BTreeMap::new();
    for row in registry.rows() {
        if let Row::Membership(row) = row {
            let rows = memberships.entry((row.group, row.account)).or_default();
            rows.push(row);
        }
    }
    let departed = memberships.iter().filter_map(|(&(group, account), rows)| {
        let removed = match registry.row(account) {
            Some(Row::Account(account)) => account.removed.as_ref(),
            _ => None,
        };
        let removed = removed.map(|field| field.version.stamp);
        let ends = rows.iter().filter_map(|row| row.ended.as_ref());
        let last_end = ends.map(|end| end.version.stamp).chain(removed).max()?;
        let accepted = rows.iter().filter(|row| row.accepted.is_some());
        let has_left = accepted
            .clone()
            .any(|row| removed.is_some() || row.ended.is_some() || row.created.stamp <= last_end);
        let acceptances = accepted.filter_map(|row| row.accepted.as_ref());
        let last_acceptance = acceptances.map(|field| field.version.stamp).max();
        let former = FormerMember {
            account,
            label: registry.label_of_any(account).map(Into::into),
            at: last_acceptance.map_or(last_end, |at| at.max(last_end)),
            is_back: registry.role(group, account) >= GroupRole::Member,
        };
        has_left.then_some((group, former))
    });
    let departed: Vec<_> = departed
        .chain(machine_oracle::former_machines(registry))
        .collect();
    for (group, FormerMember { at, .. }) in &departed {
        let of_group = departed.iter().filter(|(other, _)| other == group);
        let former = of_group.map(|(_, former)| former);
        let mut expected: Vec<_> = former.filter(|it| it.at.wall() >= at.wall()).collect();
        // Bars of machines must not push out those of members.
        let is_member = |id| !matches!(registry.row(id), Some(Row::Machine(_)));
        expected.sort_by_key(|it| (is_member(it.account), it.at.wall(), it.account));
        let since = Duration::from_millis(at.wall());
        let found = registry.former_members_since(*group, since, usize::MAX);
        if !found.iter().rev().eq(expected.iter().copied()) {
            return Err(format!(
                "former members of {group}: {found:?}, not {expected:?}"
            ));
        }
    }
    Ok(())
}

/// The change without ends of memberships. A tracker that ignores these ends merges this.
pub(crate) fn without_membership_ends(mut change: Change) -> Change {
    for row in change.rows.values_mut() {
        if let Row::Membership(row) = row {
            row.ended = None;
        }
    }
    change
}

/// Runs a random sequence of steps. Returns the first violation as the error.
fn run(seed: u64, steps: usize, mutation: Mutation) -> Result<World, String> {
    let mut world = World::new(seed, mutation);
    for _ in 0..steps {
        world.step()?;
    }
    world.exchange_all()?;
    world.check()?;
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_registries_become_equal_and_no_acknowledged_write_is_lost(seed in any::<u64>(), steps in 20usize..400) {
        if let Err(error) = run(seed, steps, Mutation::None) {
            panic!("run({seed}, {steps}, Mutation::None): {error}");
        }
    }
}

#[test]
fn the_random_runs_reach_conflicts_of_every_kind() {
    let (mut ended, mut accepted, mut name_lost, mut cancelled, mut two_requests) = (0, 0, 0, 0, 0);
    let (mut given, mut derived_owner, mut machines) = (0, 0, [0, 0]);
    let (mut demoted_each_other, mut versions) = (0, [0; 3]);
    for seed in 0..400 {
        let world = run(seed, 400, Mutation::None).unwrap();
        let registry = &world.trackers[0].registry;
        for (count, more) in machines
            .iter_mut()
            .zip(machine_oracle::suspended_and_started(registry))
        {
            *count += more;
        }
        demoted_each_other += world.demotions.count_mutual();
        let more = share_oracle::versions_and_doubles(registry);
        versions = std::array::from_fn(|at| versions[at] + more[at]);
        for row in registry.rows() {
            match row {
                Row::Account(row) => name_lost += usize::from(registry.has_lost_name(row.id)),
                Row::Membership(row) => {
                    let stranger = registry.role(row.group, row.account) == GroupRole::Stranger;
                    let open = row.ended.is_none();
                    ended += usize::from(row.ended.is_some());
                    given += usize::from(row.role.is_some() && !stranger);
                    let is_owner = registry.owner(row.group) == Some(row.account);
                    let was_given = registry.was_given_ownership(row.group, row.account);
                    derived_owner += usize::from(is_owner && !was_given);
                    accepted += usize::from(row.accepted.is_some());
                    // This membership has no end. An end in another row has cancelled it.
                    cancelled += usize::from(open && row.accepted.is_some() && stranger);
                    let pair = registry.memberships(row.group, row.account);
                    two_requests += usize::from(pair.filter(|row| row.ended.is_none()).count() > 1);
                }
                _ => {}
            }
        }
    }
    let all = [
        ended,
        accepted,
        name_lost,
        cancelled,
        two_requests,
        given,
        derived_owner,
        demoted_each_other,
        machines[0],
        machines[1],
    ];
    let all = [&all[..], &versions].concat();
    assert!(all.iter().all(|count| *count > 3), "{all:?}");
}

#[test]
fn each_mutation_is_detected_in_most_runs() {
    for mutation in [
        Mutation::IgnoreMembershipEnds,
        Mutation::IgnorePasswords,
        Mutation::IgnoreRemovals,
        Mutation::NewIdsOnRepeat,
        Mutation::IgnoreRoles,
        Mutation::IgnoreMachineEnds,
        Mutation::IgnoreEditions,
        Mutation::IgnoreNotes,
    ] {
        let detected = (0..40)
            .filter(|seed| run(*seed, 450, mutation).is_err())
            .count();
        assert!(
            detected > 20,
            "{mutation:?} was detected in {detected} of 40 runs"
        );
    }
}
