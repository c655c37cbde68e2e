//! Rounds of faults while four peers write: one tracker or both are killed or paused, or the
//! connection between them is cut or held. After each round both trackers have the same registry
//! byte by byte, with every acknowledged write.
//!
//! There are [`ROUNDS`] rounds, or at least [`MIN_ROUNDS`] on a machine that cannot begin all of
//! them in [`TIME_FOR_ROUNDS`]. `PIECEFUL_ROUNDS=N` demands N rounds, however long they take. Most
//! faults last for a moment. Some last for 3 s, longer than the wait of a write and than a pause
//! that a tracker ignores; some last for 6 s, longer than a replica connection may be silent.
//!
//! Two pairs of peers, each an owner and a member, write. One pair asks the first tracker first,
//! the other pair the second. Every write leaves a row or a field in the registry that is never
//! removed. The test counts these, so that it sees each lost write, whatever the rules for
//! conflicts do with it.

use super::pair::Pair;
use crate::common::peer::Peer;
use crate::common::waiting::PATIENCE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 100;
/// The number of rounds that even a busy machine must do.
const MIN_ROUNDS: usize = 20;
/// The time within which a new round may begin.
const TIME_FOR_ROUNDS: Duration = Duration::from_secs(50);
/// The longest duration of a short fault.
const FAULT: Duration = Duration::from_millis(120);
/// Long faults: one in this number of rounds, its position among them, and its duration.
const LONG_FAULTS: [(usize, usize, Duration); 2] = [
    (20, 7, Duration::from_secs(3)),
    (40, 13, Duration::from_secs(6)),
];

/// The acknowledged writes of one pair of peers.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    users: Vec<String>,
    groups: Vec<String>,
    /// For each group: the numbers of requests, acceptances and ends of memberships.
    requests: BTreeMap<String, usize>,
    accepted: BTreeMap<String, usize>,
    ended: BTreeMap<String, usize>,
    shares: Vec<String>,
    withdrawn: Vec<String>,
    logouts: usize,
    /// The groups that the member has left, or was removed from, and has not asked to join again.
    out: Vec<String>,
}

/// The role of the member in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Nobody,
    Requester,
    Member,
}

/// A pair of peers: an owner and a member.
struct Writers {
    name: String,
    owner: Peer,
    member: Peer,
    /// The member's password, and others that may have replaced it.
    passwords: Vec<String>,
    folder: PathBuf,
    /// The member's role in each group. None if it is unknown.
    roles: BTreeMap<String, Option<Role>>,
    done: Acknowledged,
    /// The numbers of groups and shares so far, for new names.
    created: usize,
    shared: usize,
    refused: usize,
    rng: fastrand::Rng,
}

impl Writers {
    fn new(pair: &Pair, number: usize) -> Self {
        let name = format!("duo{number}");
        let [mut owner, mut member] =
            ["owner", "member"].map(|role| pair.peer(&format!("{name}.{role}"), number));
        let mut done = Acknowledged::default();
        for (peer, role) in [(&mut owner, "owner"), (&mut member, "member")] {
            peer.run(&format!("create_user {name}.{role} secret00"));
            peer.run(&format!("login {name}.{role} secret00"));
            done.users.push(format!("{name}.{role}"));
        }
        let mut writers = Self {
            folder: pair.sandbox.folder(&format!("{name}.files")),
            passwords: vec!["secret00".to_owned()],
            name,
            owner,
            member,
            roles: BTreeMap::new(),
            done,
            created: 0,
            shared: 0,
            refused: 0,
            rng: fastrand::Rng::with_seed(number as u64),
        };
        writers.write(0);
        writers
    }

    /// Runs a command at the owner or at the member. Returns whether it succeeded.
    fn try_run(&mut self, is_owner: bool, command: &str) -> bool {
        let peer = if is_owner {
            &mut self.owner
        } else {
            &mut self.member
        };
        let object = peer.try_run(command);
        let is_done = object["ok"] == true;
        self.refused += usize::from(!is_done);
        is_done
    }

    /// Makes a write of this kind.
    fn write(&mut self, kind: usize) {
        let group = match self.done.groups.len() {
            0 => String::new(),
            count => self.done.groups[self.rng.usize(count.saturating_sub(3)..count)].clone(),
        };
        match kind {
            0 | 1 => {
                let group = format!("{}.{}", self.name, self.created);
                self.created += 1;
                if self.try_run(true, &format!("create_group {group}")) {
                    self.roles.insert(group.clone(), Some(Role::Nobody));
                    self.done.groups.push(group);
                }
            }
            2..=8 => self.change_membership(kind, &group),
            9 => self.share(&group, false),
            10 => self.share(&group, true),
            11 => self.change_password(),
            _ => {
                // Without a tracker that knows the login, it ends at the peer alone, and the object
                // says so.
                let object = self.member.try_run("logout");
                self.done.logouts += usize::from(object["everywhere"] == true);
                self.log_in();
            }
        }
    }

    /// Shares a new file with a group, and withdraws it if demanded.
    fn share(&mut self, group: &str, withdraws: bool) {
        let share = format!("{}-file{}", self.name, self.shared);
        self.shared += 1;
        let file = self.folder.join(&share);
        fs::write(&file, &share).unwrap();
        let command = format!("upload_file {group} '{}'", file.display());
        if !self.try_run(true, &command) {
            return;
        }
        self.done.shares.push(share.clone());
        if withdraws {
            // If the share ends at the peer alone, the object says so.
            let object = self.owner.try_run(&format!("stop_share {group} {share}"));
            if object["withdrawn"] == true {
                self.done.withdrawn.push(share);
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

    /// Changes the member's role in a group.
    fn change_membership(&mut self, kind: usize, group: &str) {
        let user = format!("{}.member", self.name);
        let before = self.roles.get(group).copied().flatten();
        let (is_owner, command, after) = match (before, kind) {
            (Some(Role::Nobody), _) | (None, 2 | 3) => {
                // A request without an answer may have been carried out too.
                self.done.out.retain(|out| out != group);
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
        let role = is_done.then_some(after);
        self.roles.insert(group.to_owned(), role);
        if role.is_none() {
            return;
        }
        let counts = match after {
            Role::Requester => &mut self.done.requests,
            Role::Member => &mut self.done.accepted,
            Role::Nobody => {
                self.done.out.push(group.to_owned());
                &mut self.done.ended
            }
        };
        let count = counts.entry(group.to_owned()).or_default();
        // If the role before is unknown, this command may have the same effect as an earlier one
        // without an answer, on the same request: then it counts once. A command from a known role,
        // and each request to join, counts on its own.
        if before.is_some() || after == Role::Requester {
            *count += 1;
        } else {
            *count = (*count).max(1);
        }
    }

    /// Logs the member in again, with the password that works.
    fn log_in(&mut self) {
        let all = self.passwords.clone();
        for password in all.iter().rev() {
            let command = format!("login {}.member {password}", self.name);
            if self.try_run(false, &command) {
                self.passwords = vec![password.clone()];
                return;
            }
        }
    }

    /// Writes. At the end of each round it sends its acknowledged writes and waits for the next
    /// round. Returns the number of writes after the last round.
    fn run(mut self, rounds: &Receiver<Sender<Acknowledged>>) -> usize {
        let mut written = 0;
        loop {
            match rounds.try_recv() {
                Ok(demanded) => {
                    demanded.send(self.done.clone()).unwrap();
                    // The next message begins the next round.
                    match rounds.recv() {
                        Ok(begin) => drop(begin),
                        Err(_) => return written,
                    }
                }
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return written,
                Err(std::sync::mpsc::TryRecvError::Empty) => {}
            }
            let kind = self.rng.usize(..13);
            // Changes of password and logouts are rarer, because the tracker must hash a password
            // for each.
            if kind < 11 || self.rng.usize(..8) == 0 {
                self.write(kind);
                written += 1;
            }
        }
    }
}

/// The channels that pause all writers and let them go on.
struct RoundControl {
    rounds: Vec<Sender<Sender<Acknowledged>>>,
}

impl RoundControl {
    /// Pauses all writers and returns the acknowledged writes of each.
    fn pause(&self) -> Vec<Acknowledged> {
        let demanded: Vec<_> = self
            .rounds
            .iter()
            .map(|duo| {
                let (sender, answer) = channel();
                duo.send(sender).unwrap();
                answer
            })
            .collect();
        let answers = demanded.into_iter();
        answers
            .map(|answer| answer.recv_timeout(PATIENCE).expect("the writers run"))
            .collect()
    }

    fn go_on(&self) {
        for duo in &self.rounds {
            duo.send(channel().0).unwrap();
        }
    }
}

fn array<'a>(dump: &'a Value, kind: &str) -> &'a Vec<Value> {
    dump[kind].as_array().unwrap()
}

/// Asserts that the dump has every acknowledged write of a pair of peers.
fn check(dump: &Value, done: &Acknowledged) {
    let ids = |kind: &str| -> BTreeMap<&str, &str> {
        let rows = array(dump, kind).iter();
        rows.map(|row| (row["label"].as_str().unwrap(), row["id"].as_str().unwrap()))
            .collect()
    };
    let (accounts, groups) = (ids("accounts"), ids("groups"));
    for user in &done.users {
        assert!(accounts.contains_key(user.as_str()), "{user} is gone");
    }
    for group in &done.groups {
        assert!(groups.contains_key(group.as_str()), "{group} is gone");
    }
    let member = accounts[done.users[1].as_str()];
    // A label with `~` means that a repeated command took effect twice.
    let shares = array(dump, "shares").iter();
    let shown = shares.map(|row| row["name"].as_str().unwrap());
    for label in accounts.keys().chain(groups.keys()).copied().chain(shown) {
        assert!(!label.contains('~'), "{label} was made twice");
    }
    check_memberships(dump, done, &groups, member);
    check_shares(dump, done);
    let logouts = array(dump, "revocations").iter();
    let logouts = logouts.filter(|row| row["account"] == member).count();
    assert!(
        logouts >= done.logouts,
        "{} logouts, {logouts} are left",
        done.logouts
    );
}

/// Asserts that the memberships of `member` have every acknowledged request, acceptance and end.
/// `groups` has the ids of groups by name.
fn check_memberships(
    dump: &Value,
    done: &Acknowledged,
    groups: &BTreeMap<&str, &str>,
    member: &str,
) {
    let rows = |group: &str| {
        let id = groups[group];
        let all = array(dump, "memberships").iter();
        all.filter(move |row| row["group"] == id && row["account"] == member)
    };
    for (what, counts, field) in [
        ("requests", &done.requests, "created"),
        ("acceptances", &done.accepted, "accepted"),
        ("ends", &done.ended, "ended"),
    ] {
        for (group, count) in counts {
            let found = rows(group).filter(|row| !row[field].is_null()).count();
            assert!(
                found >= *count,
                "{count} {what} in {group}, {found} are left"
            );
        }
    }
    for group in &done.out {
        let mut roles = rows(group).map(|row| row["standing"].as_str().unwrap());
        assert!(
            roles.all(|role| role != "member"),
            "a member of {group} again"
        );
    }
}

/// Asserts that every acknowledged share exists, and that every withdrawn one is still withdrawn.
fn check_shares(dump: &Value, done: &Acknowledged) {
    let shares = array(dump, "shares");
    for share in &done.shares {
        let found = shares.iter().find(|row| row["name"] == share.as_str());
        let found = found.unwrap_or_else(|| panic!("{share} is gone"));
        let is_withdrawn = done.withdrawn.contains(share);
        assert!(
            !is_withdrawn || !found["withdrawn"].is_null(),
            "{share} is back"
        );
    }
}

/// The kind of the next fault. A short fault has each kind once in eight rounds, in random order. A
/// long fault has a random kind that can last.
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
        let short = FAULT.mul_f64(0.2 + 0.8 * rng.f64());
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

/// Waits until both trackers are in sync and have the same registry, and checks it. Panics with
/// their logs.
fn check_round(pair: &Pair, acknowledged: &[Acknowledged], round: &str) {
    pair.wait_until_in_sync();
    let dump = pair.assert_same();
    let checked = std::panic::catch_unwind(|| {
        acknowledged.iter().for_each(|done| check(&dump, done));
    });
    if checked.is_err() {
        let logs = [1, 2].map(|number| pair.log(number));
        panic!("{round}\n{}\n{}", logs[0], logs[1]);
    }
}

fn assert_every_kind_was_written(acknowledged: &[Acknowledged]) {
    let sum = |count: fn(&Acknowledged) -> usize| acknowledged.iter().map(count).sum::<usize>();
    for (kind, count) in [
        ("requests", sum(|it| it.requests.values().sum())),
        ("acceptances", sum(|it| it.accepted.values().sum())),
        ("ends", sum(|it| it.ended.values().sum())),
        ("groups", sum(|it| it.groups.len())),
        ("shares", sum(|it| it.shares.len())),
        ("withdrawals", sum(|it| it.withdrawn.len())),
        ("logouts", sum(|it| it.logouts)),
    ] {
        println!("{count} {kind}");
        assert!(count > 0, "no {kind}");
    }
}

#[test]
fn after_kills_pauses_and_splits_both_trackers_have_every_acknowledged_write() {
    let demanded = std::env::var("PIECEFUL_ROUNDS").ok();
    let demanded = demanded.map(|rounds| rounds.parse::<usize>().expect("a number"));
    let (mut rng, mut kinds) = (fastrand::Rng::with_seed(100), Vec::new());
    let mut pair = Pair::new();
    let start = Instant::now();
    let mut done = 0;
    let written: usize = thread::scope(|scope| {
        let (mut control, mut threads) = (RoundControl { rounds: Vec::new() }, Vec::new());
        for number in [1, 2] {
            let (round, rounds) = channel();
            control.rounds.push(round);
            let writers = Writers::new(&pair, number);
            threads.push(scope.spawn(move || writers.run(&rounds)));
        }
        for round in 0..demanded.unwrap_or(ROUNDS) {
            if demanded.is_none() && start.elapsed() > TIME_FOR_ROUNDS && round >= MIN_ROUNDS {
                break;
            }
            let fault = make_fault(&mut pair, round, &mut kinds, &mut rng);
            let acknowledged = control.pause();
            check_round(&pair, &acknowledged, &format!("round {round}: {fault}"));
            done += 1;
            control.go_on();
        }
        let acknowledged = control.pause();
        drop(control);
        let written = threads
            .into_iter()
            .map(|writers| writers.join().unwrap())
            .sum();
        pair.wait_until_in_sync();
        let dump = pair.stop_and_assert_same();
        acknowledged.iter().for_each(|done| check(&dump, done));
        assert_every_kind_was_written(&acknowledged);
        written
    });
    println!(
        "{done} rounds, {written} writes tried, in {:?}",
        start.elapsed()
    );
}
