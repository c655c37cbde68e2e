//! Rounds of faults while four peers write: one tracker or both are killed or paused, or the
//! connection between them is cut or held. After each round both trackers have the same registry
//! byte by byte, with every acknowledged write.
//!
//! There are [`ROUNDS`] rounds, or at least [`MIN_ROUNDS`] on a machine that cannot begin all of
//! them in [`TIME_FOR_ROUNDS`]. `PIECEFUL_ROUNDS=N` demands N rounds, however long they take. Most
//! faults last for a moment. Some last for 3 s: longer than a write waits for the other tracker,
//! and long enough that a paused tracker notices its pause. Some last for 6 s: by then a silent
//! replica connection is closed.
//!
//! Two teams, each of an owner and a member, write. One team asks the first tracker first, the
//! other team the second. Every write leaves a row or a field in the registry that is never
//! removed. The test counts these rows and fields. So it notices each lost write, even if another
//! write overrides it.

use super::machine_writes::{AcknowledgedMachines, MACHINES_OF_TOKEN, MachinesOfTeam};
use super::pair::Pair;
use crate::common::peer::Peer;
use crate::common::waiting::PATIENCE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 100;
/// The number of rounds that even a busy machine must do.
const MIN_ROUNDS: usize = 20;
/// The time within which a new round may begin.
const TIME_FOR_ROUNDS: Duration = Duration::from_secs(50);
/// The number of kinds of writes.
const KINDS: usize = 20;
/// The longest duration of a short fault.
const MAX_SHORT_FAULT: Duration = Duration::from_millis(120);
/// Long faults: one in this number of rounds, its position among them, and its duration.
const LONG_FAULTS: [(usize, usize, Duration); 2] = [
    (20, 7, Duration::from_secs(3)),
    (40, 13, Duration::from_secs(6)),
];

/// The acknowledged writes of one team.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    users: Vec<String>,
    groups: Vec<String>,
    /// The number of the member's requests to join, by group.
    requests: BTreeMap<String, usize>,
    /// The number of requests that the owner accepted, by group.
    acceptances: BTreeMap<String, usize>,
    /// The number of requests and memberships of the member that ended, by group.
    ends: BTreeMap<String, usize>,
    shares: Vec<String>,
    withdrawn_shares: Vec<String>,
    logouts: usize,
    /// The groups that the member has left, or was removed from, and has not asked to join again.
    groups_left: Vec<String>,
    /// The role that the member was given last, by group.
    given_roles: BTreeMap<String, &'static str>,
    /// How many times the member was given a role.
    role_changes: usize,
    machines: AcknowledgedMachines,
}

/// The role of the member in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Nobody,
    Requester,
    Member,
}

/// An owner and a member of the same groups, and their peers.
struct Team {
    name: String,
    owner: Peer,
    member: Peer,
    /// The member's password, and passwords that may have replaced it.
    passwords: Vec<String>,
    folder: PathBuf,
    /// The member's role in each group. None if it is unknown.
    roles: BTreeMap<String, Option<Role>>,
    acknowledged: Acknowledged,
    /// The number of groups that the owner has tried to create. It is part of the next name.
    groups_tried: usize,
    /// The number of shares that the owner has tried to upload. It is part of the next name.
    shares_tried: usize,
    /// The number of tokens that the owner has tried to make. It is part of the next name.
    tokens_tried: usize,
    machines: MachinesOfTeam,
    rng: fastrand::Rng,
}

impl Team {
    fn new(pair: &Pair, number: usize) -> Self {
        let name = format!("team{number}");
        let [mut owner, mut member] =
            ["owner", "member"].map(|role| pair.peer(&format!("{name}.{role}"), number));
        let mut acknowledged = Acknowledged::default();
        for (peer, role) in [(&mut owner, "owner"), (&mut member, "member")] {
            peer.run(&format!("create_user {name}.{role} secret00"));
            peer.run(&format!("login {name}.{role} secret00"));
            acknowledged.users.push(format!("{name}.{role}"));
        }
        let mut team = Self {
            folder: pair.sandbox.folder(&format!("{name}.files")),
            passwords: vec!["secret00".to_owned()],
            name,
            owner,
            member,
            roles: BTreeMap::new(),
            acknowledged,
            groups_tried: 0,
            shares_tried: 0,
            tokens_tried: 0,
            machines: MachinesOfTeam::new(pair.info(number), number as u64),
            rng: fastrand::Rng::with_seed(number as u64),
        };
        team.write(0);
        team
    }

    /// Runs a command at the owner or at the member. Returns whether it succeeded.
    fn try_run(&mut self, is_owner: bool, command: &str) -> bool {
        let peer = if is_owner {
            &mut self.owner
        } else {
            &mut self.member
        };
        peer.try_run(command)["ok"] == true
    }

    /// Makes a token, a machine or a start of a machine, or revokes a token or a machine.
    fn change_machines(&mut self, kind: usize, group: &str) {
        match kind {
            0 => {
                let (number, most) = (self.tokens_tried, MACHINES_OF_TOKEN);
                self.tokens_tried += 1;
                let options = format!("--machines {most} --name token{number}");
                let created = self
                    .owner
                    .try_run(&format!("create_token {group} {options}"));
                if created["ok"] == true {
                    self.machines.on_token(&created, group.to_owned());
                }
            }
            1 => {
                if let Some((group, machine, role)) = self.machines.machine_and_role()
                    && self.try_run(true, &format!("set_role {group} {machine} {role}"))
                {
                    self.machines.on_role(machine, role);
                }
            }
            2 if self.rng.usize(..3) == 0 => {
                if let Some(token) = self.machines.take_token()
                    && self.try_run(true, &format!("revoke_token {token}"))
                {
                    self.machines.on_revoked_token(token);
                }
            }
            2 => {
                if let Some(machine) = self.machines.take_machine()
                    && self.try_run(true, &format!("revoke_machine {machine}"))
                {
                    self.machines.on_revoked(machine);
                }
            }
            _ => self.machines.enrol_or_start(),
        }
        self.acknowledged.machines = self.machines.acknowledged.clone();
    }

    /// Gives the member a role in a group. If it is not known to be a member, changes its
    /// membership first.
    fn give_role(&mut self, group: &str) {
        if self.roles.get(group) != Some(&Some(Role::Member)) {
            return self.change_membership(4, group);
        }
        let user = format!("{}.member", self.name);
        let role = *self.rng.choice(&["reader", "publisher"]).unwrap();
        self.acknowledged.given_roles.remove(group);
        if self.try_run(true, &format!("set_role {group} {user} {role}")) {
            self.acknowledged.given_roles.insert(group.to_owned(), role);
            self.acknowledged.role_changes += 1;
        }
    }

    /// Makes a write. `kind` is a number below [`KINDS`]. The kinds from 2 to 8 change a membership
    /// (see [`Team::change_membership`]).
    fn write(&mut self, kind: usize) {
        let group = match self.acknowledged.groups.len() {
            0 => String::new(),
            count => {
                self.acknowledged.groups[self.rng.usize(count.saturating_sub(3)..count)].clone()
            }
        };
        match kind {
            0 | 1 => {
                let group = format!("{}.{}", self.name, self.groups_tried);
                self.groups_tried += 1;
                if self.try_run(true, &format!("create_group {group}")) {
                    self.roles.insert(group.clone(), Some(Role::Nobody));
                    self.acknowledged.groups.push(group);
                }
            }
            2..=8 => self.change_membership(kind, &group),
            9 => self.share(&group, false),
            10 => self.share(&group, true),
            11 => self.change_password(),
            13 => self.give_role(&group),
            14.. => self.change_machines(kind - 14, &group),
            _ => {
                // If no tracker could be reached, the login ends only at the peer, and the reply
                // has `everywhere: false`.
                let reply = self.member.try_run("logout");
                self.acknowledged.logouts += usize::from(reply["everywhere"] == true);
                self.log_in();
            }
        }
    }

    /// Shares a new file with a group, and then withdraws it if `then_withdraw`.
    fn share(&mut self, group: &str, then_withdraw: bool) {
        let share = format!("{}-file{}", self.name, self.shares_tried);
        self.shares_tried += 1;
        let file = self.folder.join(&share);
        fs::write(&file, &share).unwrap();
        let command = format!("upload_file {group} '{}'", file.display());
        if !self.try_run(true, &command) {
            return;
        }
        self.acknowledged.shares.push(share.clone());
        if then_withdraw {
            // If the share was stopped only at this peer, the reply has `withdrawn: false`.
            let reply = self.owner.try_run(&format!("stop_share {group} {share}"));
            if reply["withdrawn"] == true {
                self.acknowledged.withdrawn_shares.push(share);
            }
        }
    }

    /// Changes the member's password.
    fn change_password(&mut self) {
        let old = self.passwords.last().unwrap().clone();
        let new = format!("secret{:02}", self.rng.usize(10..99));
        if new == old {
            return;
        }
        self.passwords.push(new.clone());
        if self.try_run(false, &format!("change_password {old} {new}")) {
            self.passwords = vec![new];
        } else {
            self.log_in();
        }
    }

    /// Changes the member's role in a group. `kind` is from 2 to 8 and chooses among the changes
    /// that the role allows. A change that is to be more frequent has more of these numbers.
    fn change_membership(&mut self, kind: usize, group: &str) {
        self.acknowledged.given_roles.remove(group);
        let user = format!("{}.member", self.name);
        let role_before = self.roles.get(group).copied().flatten();
        let (is_owner, command, role_after) = match (role_before, kind) {
            (Some(Role::Nobody), _) | (None, 2 | 3) => {
                // The request may be executed even if no answer arrives.
                self.acknowledged.groups_left.retain(|left| left != group);
                (false, format!("join_group {group}"), Role::Requester)
            }
            (Some(Role::Requester), 2..=7) | (None, 4 | 5) => {
                (true, format!("accept_request {group} {user}"), Role::Member)
            }
            (Some(Role::Requester), _) => {
                (true, format!("reject_request {group} {user}"), Role::Nobody)
            }
            (_, 2..=6) => (true, format!("remove_member {group} {user}"), Role::Nobody),
            _ => (false, format!("leave_group {group}"), Role::Nobody),
        };
        let is_done = self.try_run(is_owner, &command);
        // After a command without an answer the role is unknown.
        let role = is_done.then_some(role_after);
        self.roles.insert(group.to_owned(), role);
        if role.is_none() {
            return;
        }
        let counts = match role_after {
            Role::Requester => &mut self.acknowledged.requests,
            Role::Member => &mut self.acknowledged.acceptances,
            Role::Nobody => {
                self.acknowledged.groups_left.push(group.to_owned());
                &mut self.acknowledged.ends
            }
        };
        let count = counts.entry(group.to_owned()).or_default();
        // If the role before was unknown, this command may repeat the effect of an earlier command
        // that was counted already. So it only raises a count of 0 to 1: the count stays a lower
        // bound. If the role was known, the command adds 1. A request to join adds 1 in both cases.
        if role_before.is_some() || role_after == Role::Requester {
            *count += 1;
        } else {
            *count = (*count).max(1);
        }
    }

    /// Logs the member in again. Tries the possible passwords, the newest first.
    fn log_in(&mut self) {
        let possible = self.passwords.clone();
        for password in possible.iter().rev() {
            let command = format!("login {}.member {password}", self.name);
            if self.try_run(false, &command) {
                self.passwords = vec![password.clone()];
                return;
            }
        }
    }

    /// Makes random writes until the channel closes. Returns how many it tried.
    fn run(mut self, controls: &Receiver<Control>) -> usize {
        let mut tried = 0;
        loop {
            match controls.try_recv() {
                Ok(Control::Pause(reply)) => {
                    reply.send(self.acknowledged.clone()).unwrap();
                    // The next message is `GoOn`.
                    if controls.recv().is_err() {
                        return tried;
                    }
                }
                Ok(Control::GoOn) | Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return tried,
            }
            let kind = self.rng.usize(..KINDS);
            // Changes of password and logouts are rarer, because the tracker must hash a password
            // for each.
            if !matches!(kind, 11 | 12) || self.rng.usize(..8) == 0 {
                self.write(kind);
                tried += 1;
            }
        }
    }
}

/// A message to the thread of a team.
enum Control {
    /// Send the acknowledged writes, and write no more until the next message.
    Pause(Sender<Acknowledged>),
    GoOn,
}

/// The channels that pause all teams and let them go on.
struct RoundControl {
    senders: Vec<Sender<Control>>,
}

impl RoundControl {
    /// Pauses all teams and returns the acknowledged writes of each.
    fn pause(&self) -> Vec<Acknowledged> {
        let replies: Vec<Receiver<Acknowledged>> = self
            .senders
            .iter()
            .map(|sender| {
                let (reply, receiver) = channel();
                sender.send(Control::Pause(reply)).unwrap();
                receiver
            })
            .collect();
        replies
            .iter()
            .map(|reply| reply.recv_timeout(PATIENCE).expect("a team did not answer"))
            .collect()
    }

    fn go_on(&self) {
        for sender in &self.senders {
            sender.send(Control::GoOn).unwrap();
        }
    }
}

fn array<'a>(dump: &'a Value, kind: &str) -> &'a Vec<Value> {
    dump[kind].as_array().unwrap()
}

/// Asserts that the dump has every acknowledged write of a team.
fn check(dump: &Value, acknowledged: &Acknowledged) {
    let ids = |kind: &str| -> BTreeMap<&str, &str> {
        let rows = array(dump, kind).iter();
        rows.map(|row| (row["label"].as_str().unwrap(), row["id"].as_str().unwrap()))
            .collect()
    };
    let (accounts, groups) = (ids("accounts"), ids("groups"));
    for user in &acknowledged.users {
        assert!(accounts.contains_key(user.as_str()), "{user} is gone");
    }
    for group in &acknowledged.groups {
        assert!(groups.contains_key(group.as_str()), "{group} is gone");
    }
    let member = accounts[acknowledged.users[1].as_str()];
    // A name with `~` means that a repeated command took effect twice.
    let shares = array(dump, "shares").iter();
    let shares = shares.map(|row| row["name"].as_str().unwrap());
    for name in accounts.keys().chain(groups.keys()).copied().chain(shares) {
        assert!(!name.contains('~'), "{name} was made twice");
    }
    check_memberships(dump, acknowledged, &groups, member);
    check_shares(dump, acknowledged);
    acknowledged.machines.check(dump);
    let logouts = array(dump, "revocations").iter();
    let logouts = logouts.filter(|row| row["account"] == member).count();
    assert!(
        logouts >= acknowledged.logouts,
        "{} acknowledged logouts, but only {logouts} in the dump",
        acknowledged.logouts
    );
}

/// Asserts that the memberships of `member` have every acknowledged request, acceptance and end.
/// `groups` has the ids of groups by name.
fn check_memberships(
    dump: &Value,
    acknowledged: &Acknowledged,
    groups: &BTreeMap<&str, &str>,
    member: &str,
) {
    let rows = |group: &str| {
        let id = groups[group];
        let all = array(dump, "memberships").iter();
        all.filter(move |row| row["group"] == id && row["account"] == member)
    };
    for (what, counts, field) in [
        ("requests", &acknowledged.requests, "created"),
        ("acceptances", &acknowledged.acceptances, "accepted"),
        ("ends", &acknowledged.ends, "ended"),
    ] {
        for (group, count) in counts {
            let found = rows(group).filter(|row| !row[field].is_null()).count();
            assert!(
                found >= *count,
                "{count} acknowledged {what} in {group}, but only {found} in the dump"
            );
        }
    }
    for (group, role) in &acknowledged.given_roles {
        let present = rows(group).filter(|row| row["ended"].is_null());
        let mut given = present.map(|row| row["role"][1].as_str());
        // A member is a publisher if no role was given.
        assert!(
            given.any(|given| given.unwrap_or("publisher") == *role),
            "the role {role} in {group} is lost"
        );
    }
    for group in &acknowledged.groups_left {
        let mut roles = rows(group).map(|row| row["standing"].as_str().unwrap());
        assert!(
            roles.all(|role| role != "member"),
            "the member is in {group} again"
        );
    }
}

/// Asserts that every acknowledged share exists, and that every withdrawn one is still withdrawn.
fn check_shares(dump: &Value, acknowledged: &Acknowledged) {
    let shares = array(dump, "shares");
    for share in &acknowledged.shares {
        let found = shares.iter().find(|row| row["name"] == share.as_str());
        let found = found.unwrap_or_else(|| panic!("{share} is gone"));
        let is_withdrawn = acknowledged.withdrawn_shares.contains(share);
        assert!(
            !is_withdrawn || !found["withdrawn"].is_null(),
            "{share} is back"
        );
    }
}

/// The kind of the next fault. Each kind comes once in eight short faults, in random order. A long
/// fault has any kind but 2, which has no duration. [`make_fault`] says what each kind is.
fn choose_kind(is_long: bool, kinds: &mut Vec<usize>, rng: &mut fastrand::Rng) -> usize {
    if is_long {
        return *rng.choice(&[0, 1, 3, 4, 5, 6, 7]).unwrap();
    }
    if kinds.is_empty() {
        kinds.extend(0..8);
        rng.shuffle(kinds);
    }
    kinds.pop().unwrap()
}

/// Makes one fault for a while and returns its name.
fn make_fault(
    pair: &mut Pair,
    round: usize,
    kinds: &mut Vec<usize>,
    rng: &mut fastrand::Rng,
) -> &'static str {
    let mut long = LONG_FAULTS.iter();
    let long = long.find(|(rounds, position, _)| round % rounds == *position);
    let sleep_during_fault = |rng: &mut fastrand::Rng| {
        let short = MAX_SHORT_FAULT.mul_f64(0.2 + 0.8 * rng.f64());
        thread::sleep(long.map_or(short, |(_, _, long)| *long));
    };
    match choose_kind(long.is_some(), kinds, rng) {
        number @ (0 | 1) => {
            pair.kill(number + 1);
            sleep_during_fault(rng);
            pair.start(number + 1, &[]);
            "one was killed"
        }
        2 => {
            let order = if rng.bool() { [1, 2] } else { [2, 1] };
            for number in order {
                pair.kill(number);
            }
            for number in order {
                pair.start(number, &[]);
            }
            "both were killed"
        }
        number @ (3 | 4) => {
            pair.tracker(number - 2).signal("-STOP");
            sleep_during_fault(rng);
            pair.tracker(number - 2).signal("-CONT");
            "one was paused"
        }
        5 => {
            for number in [1, 2] {
                pair.tracker(number).signal("-STOP");
            }
            sleep_during_fault(rng);
            for number in [2, 1] {
                pair.tracker(number).signal("-CONT");
            }
            "both were paused"
        }
        6 => {
            pair.proxy.cut();
            sleep_during_fault(rng);
            pair.proxy.mend();
            "the connection was cut"
        }
        _ => {
            pair.proxy.hold();
            sleep_during_fault(rng);
            if rng.bool() {
                pair.proxy.cut();
            }
            pair.proxy.mend();
            "the connection was held"
        }
    }
}

/// Waits until both trackers are in sync. Asserts that they have the same registry, with every
/// acknowledged write. If a write is missing, panics with the logs of both.
fn check_round(pair: &Pair, acknowledged: &[Acknowledged], round: &str) {
    pair.wait_until_in_sync();
    let dump = pair.assert_same();
    let result = std::panic::catch_unwind(|| {
        acknowledged.iter().for_each(|team| check(&dump, team));
    });
    if result.is_err() {
        let logs = [1, 2].map(|number| pair.log(number));
        panic!("{round}\n{}\n{}", logs[0], logs[1]);
    }
}

fn assert_every_kind_was_written(acknowledged: &[Acknowledged]) {
    let sum = |count: fn(&Acknowledged) -> usize| acknowledged.iter().map(count).sum::<usize>();
    for (kind, count) in [
        ("requests", sum(|team| team.requests.values().sum())),
        ("acceptances", sum(|team| team.acceptances.values().sum())),
        ("ends", sum(|team| team.ends.values().sum())),
        ("groups", sum(|team| team.groups.len())),
        ("shares", sum(|team| team.shares.len())),
        ("withdrawals", sum(|team| team.withdrawn_shares.len())),
        ("logouts", sum(|team| team.logouts)),
        ("roles", sum(|team| team.role_changes)),
    ] {
        println!("{count} {kind}");
        assert!(count > 0, "no {kind}");
    }
    let machines = acknowledged.iter().map(|team| team.machines.counts());
    let [one, two] = machines.collect::<Vec<_>>()[..] else {
        panic!("two teams")
    };
    for ((kind, one), (_, two)) in one.into_iter().zip(two) {
        println!("{} {kind}", one + two);
        assert!(one + two > 0, "no {kind}");
    }
}

#[test]
fn after_kills_pauses_and_splits_both_trackers_have_every_acknowledged_write() {
    let demanded_rounds = std::env::var("PIECEFUL_ROUNDS").ok();
    let demanded_rounds = demanded_rounds.map(|rounds| rounds.parse::<usize>().expect("a number"));
    let (mut rng, mut kinds) = (fastrand::Rng::with_seed(100), Vec::new());
    let mut pair = Pair::new();
    let start = Instant::now();
    let mut rounds_done = 0;
    let tried: usize = thread::scope(|scope| {
        let (mut control, mut threads) = (
            RoundControl {
                senders: Vec::new(),
            },
            Vec::new(),
        );
        for number in [1, 2] {
            let (sender, controls) = channel();
            control.senders.push(sender);
            let team = Team::new(&pair, number);
            threads.push(scope.spawn(move || team.run(&controls)));
        }
        for round in 0..demanded_rounds.unwrap_or(ROUNDS) {
            let is_late = start.elapsed() > TIME_FOR_ROUNDS;
            if demanded_rounds.is_none() && is_late && round >= MIN_ROUNDS {
                break;
            }
            let fault = make_fault(&mut pair, round, &mut kinds, &mut rng);
            let acknowledged = control.pause();
            check_round(&pair, &acknowledged, &format!("round {round}: {fault}"));
            rounds_done += 1;
            control.go_on();
        }
        let acknowledged = control.pause();
        drop(control);
        let tried = threads.into_iter().map(|team| team.join().unwrap()).sum();
        pair.wait_until_in_sync();
        let dump = pair.stop_and_assert_same();
        acknowledged.iter().for_each(|team| check(&dump, team));
        assert_every_kind_was_written(&acknowledged);
        tried
    });
    println!(
        "{rounds_done} rounds, {tried} writes tried, in {:?}",
        start.elapsed()
    );
}
