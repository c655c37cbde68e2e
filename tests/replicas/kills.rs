//! Rounds in which trackers are killed or stopped, one, the other or both, and the line between them is cut or held, while
//! four peers write all there is to write. In CI there are 100, or as many as a busy machine begins in [`TIME`], [`FEWEST`] at
//! least; `PIECEFUL_ROUNDS=N` asks for N, however long they take. Most faults last for a moment. Some last for 3 s, longer
//! than a write waits and than a tracker may stand still, and some for 6 s, longer than a line may be silent: of every kind,
//! whatever comes before. After each round both trackers hold the same to the byte, and all that
//! was acknowledged.
//!
//! Two peers each make a pair, an owner and a member; one pair asks the first tracker first, the other the second. Every
//! write leaves something in the registry that is never taken away (a row, or a mark in one), and these are counted: so
//! whatever the rules of conflicts make of it, a write that was lost is missed.

use super::pair::Pair;
use crate::common::peer::Peer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 100;
/// A machine that is too busy for all rounds does as many as it can, but no fewer than this.
const FEWEST: usize = 20;
/// How long there is time to begin another round.
const TIME: Duration = Duration::from_secs(50);
/// How long a fault lasts at most.
const FAULT: Duration = Duration::from_millis(120);
/// Long faults: of how many rounds one has such, which one of them, and how long it lasts.
const LONG_FAULTS: [(usize, usize, Duration); 2] = [
    (20, 7, Duration::from_secs(3)),
    (40, 13, Duration::from_secs(6)),
];

/// What was acknowledged to one pair, by what is counted.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    users: Vec<String>,
    groups: Vec<String>,
    /// By group: requests, acceptances and ends.
    requests: BTreeMap<String, usize>,
    accepted: BTreeMap<String, usize>,
    ended: BTreeMap<String, usize>,
    shares: Vec<String>,
    withdrawn: Vec<String>,
    log_outs: usize,
    /// The groups whose member is out, and has not asked again.
    out: Vec<String>,
}

/// What a member is to a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Nobody,
    Requester,
    Member,
}

/// An owner and a member.
struct Duo {
    name: String,
    owner: Peer,
    member: Peer,
    /// The member's password, and another that may have taken its place.
    passwords: Vec<String>,
    folder: PathBuf,
    /// What the member is to each group; none where that is not known.
    roles: BTreeMap<String, Option<Role>>,
    done: Acknowledged,
    made: usize,
    shared: usize,
    refused: usize,
    rng: fastrand::Rng,
}

impl Duo {
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
        let mut duo = Self {
            folder: pair.sandbox.folder(&format!("{name}.files")),
            passwords: vec!["secret00".to_owned()],
            name,
            owner,
            member,
            roles: BTreeMap::new(),
            done,
            made: 0,
            shared: 0,
            refused: 0,
            rng: fastrand::Rng::with_seed(number as u64),
        };
        duo.step(0);
        duo
    }

    /// Says whether it was done.
    fn ask(&mut self, is_owner: bool, command: &str) -> bool {
        let peer = if is_owner {
            &mut self.owner
        } else {
            &mut self.member
        };
        let told = peer.try_run(command);
        let is_done = told["ok"] == true;
        self.refused += usize::from(!is_done);
        is_done
    }

    /// Writes something.
    fn step(&mut self, kind: usize) {
        let group = match self.done.groups.len() {
            0 => String::new(),
            count => self.done.groups[self.rng.usize(count.saturating_sub(3)..count)].clone(),
        };
        match kind {
            0 | 1 => {
                let group = format!("{}.{}", self.name, self.made);
                self.made += 1;
                if self.ask(true, &format!("create_group {group}")) {
                    self.roles.insert(group.clone(), Some(Role::Nobody));
                    self.done.groups.push(group);
                }
            }
            2..=8 => self.membership(kind, &group),
            9 | 10 => {
                let share = format!("{}-file{}", self.name, self.shared);
                self.shared += 1;
                let file = self.folder.join(&share);
                fs::write(&file, &share).unwrap();
                let command = format!("upload_file {group} '{}'", file.display());
                if self.ask(true, &command) {
                    self.done.shares.push(share.clone());
                    if kind == 10 {
                        // Told to end it here alone, a peer says so.
                        let told = self.owner.try_run(&format!("stop_share {group} {share}"));
                        if told["withdrawn"] == true {
                            self.done.withdrawn.push(share);
                        }
                    }
                }
            }
            11 => {
                let old = self.passwords.last().unwrap().clone();
                let new = format!("secret{:02}", self.rng.usize(10..99));
                if new == old {
                    return;
                }
                self.passwords.push(new.clone());
                if self.ask(false, &format!("change_password {old} {new}")) {
                    self.passwords = vec![new];
                } else {
                    self.log_in();
                }
            }
            _ => {
                // With no tracker that knows the session, it ends here alone, and says so.
                let told = self.member.try_run("logout");
                self.done.log_outs += usize::from(told["everywhere"] == true);
                self.log_in();
            }
        }
    }

    /// Changes what the member is to a group.
    fn membership(&mut self, kind: usize, group: &str) {
        let user = format!("{}.member", self.name);
        let before = self.roles.get(group).copied().flatten();
        let (is_owner, command, after) = match (before, kind) {
            (Some(Role::Nobody), _) | (None, 2 | 3) => {
                // Even one without an answer may have been made.
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
        let is_done = self.ask(is_owner, &command);
        // After a command that got no answer at all it is not known.
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
        // Where the trackers serve apart, one may accept or end what the other had, to which it was said before: the request is
        // the same then, and accepted or ended once. Who knew what he built on speaks of a request that was not, and each
        // request is one of its own.
        if before.is_some() || after == Role::Requester {
            *count += 1;
        } else {
            *count = (*count).max(1);
        }
    }

    /// Logs the member in again, by whichever password it has by now.
    fn log_in(&mut self) {
        let all = self.passwords.clone();
        for password in all.iter().rev() {
            let command = format!("login {}.member {password}", self.name);
            if self.ask(false, &command) {
                self.passwords = vec![password.clone()];
                return;
            }
        }
    }

    /// Writes until it is told to rest, then says what was acknowledged so far; until there are no more rounds.
    fn live(mut self, rounds: &Receiver<Sender<Acknowledged>>) -> usize {
        let mut written = 0;
        loop {
            match rounds.try_recv() {
                Ok(asked) => {
                    asked.send(self.done.clone()).unwrap();
                    // The next round begins when the answer's receiver goes.
                    match rounds.recv() {
                        Ok(begin) => drop(begin),
                        Err(_) => return written,
                    }
                }
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return written,
                Err(std::sync::mpsc::TryRecvError::Empty) => {}
            }
            let kind = self.rng.usize(..13);
            // Sessions, which cost the work of a password, less often.
            if kind < 11 || self.rng.usize(..8) == 0 {
                self.step(kind);
                written += 1;
            }
        }
    }
}

/// Who writes, and how to have them rest.
struct Duos {
    rounds: Vec<Sender<Sender<Acknowledged>>>,
}

impl Duos {
    /// Has all rest; gives what was acknowledged to each.
    fn rest(&self) -> Vec<Acknowledged> {
        let asked: Vec<_> = self
            .rounds
            .iter()
            .map(|duo| {
                let (sender, told) = channel();
                duo.send(sender).unwrap();
                told
            })
            .collect();
        let told = asked.into_iter();
        told.map(|told| {
            told.recv_timeout(crate::common::waiting::PATIENCE)
                .expect("the duo lives")
        })
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

/// Sees to it that everything acknowledged to a duo is there.
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
    // Each name was given by one command, however often that was asked for.
    let shares = array(dump, "shares").iter();
    let shown = shares.map(|row| row["name"].as_str().unwrap());
    for label in accounts.keys().chain(groups.keys()).copied().chain(shown) {
        assert!(!label.contains('~'), "{label} was made twice");
    }
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
        let mut standings = rows(group).map(|row| row["standing"].as_str().unwrap());
        assert!(
            standings.all(|it| it != "member"),
            "a member of {group} again"
        );
    }
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
    let log_outs = array(dump, "revocations").iter();
    let log_outs = log_outs.filter(|row| row["account"] == member).count();
    assert!(
        log_outs >= done.log_outs,
        "{} log-outs, {log_outs} are left",
        done.log_outs
    );
}

/// Does something bad, for a while.
fn fault(
    pair: &mut Pair,
    round: usize,
    kinds: &mut Vec<usize>,
    rng: &mut fastrand::Rng,
) -> &'static str {
    let mut long = LONG_FAULTS.iter();
    let long = long.find(|(of, which, _)| round % of == *which);
    let moment = |rng: &mut fastrand::Rng| {
        let short = FAULT.mul_f64(0.2 + 0.8 * rng.f64());
        thread::sleep(long.map_or(short, |(_, _, long)| *long));
    };
    // Each kind once in eight rounds, in any order; a long one is of a kind that lasts, and another each time.
    let kind = match long {
        Some(_) => *rng.choice(&[0, 1, 3, 4, 5, 6, 7]).unwrap(),
        None => {
            if kinds.is_empty() {
                kinds.extend(0..8);
                rng.shuffle(kinds);
            }
            kinds.pop().unwrap()
        }
    };
    match kind {
        number @ (0 | 1) => {
            pair.kill(number + 1);
            moment(rng);
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
            moment(rng);
            pair.tracker(number - 2).signal("-CONT");
            "one was stopped"
        }
        5 => {
            for number in [1, 2] {
                pair.tracker(number).signal("-STOP");
            }
            moment(rng);
            for number in [2, 1] {
                pair.tracker(number).signal("-CONT");
            }
            "both were stopped"
        }
        6 => {
            pair.proxy.cut();
            moment(rng);
            pair.proxy.mend();
            "the line was cut"
        }
        _ => {
            pair.proxy.hold();
            moment(rng);
            if rng.bool() {
                pair.proxy.cut();
            }
            pair.proxy.mend();
            "the line was held"
        }
    }
}

#[test]
fn whatever_is_killed_stopped_or_cut_both_hold_all_that_was_acknowledged() {
    let asked = std::env::var("PIECEFUL_ROUNDS").ok();
    let asked = asked.map(|rounds| rounds.parse::<usize>().expect("a number"));
    let (mut rng, mut kinds) = (fastrand::Rng::with_seed(100), Vec::new());
    let mut pair = Pair::new();
    let begun = Instant::now();
    let mut done = 0;
    let written: usize = thread::scope(|scope| {
        let (mut duos, mut lives) = (Duos { rounds: Vec::new() }, Vec::new());
        for number in [1, 2] {
            let (round, rounds) = channel();
            duos.rounds.push(round);
            let duo = Duo::new(&pair, number);
            lives.push(scope.spawn(move || duo.live(&rounds)));
        }
        for round in 0..asked.unwrap_or(ROUNDS) {
            if asked.is_none() && begun.elapsed() > TIME && round >= FEWEST {
                break;
            }
            let what = fault(&mut pair, round, &mut kinds, &mut rng);
            let acknowledged = duos.rest();
            pair.wait_until_in_step();
            let dump = pair.same();
            let checked = std::panic::catch_unwind(|| {
                acknowledged.iter().for_each(|done| check(&dump, done));
            });
            if checked.is_err() {
                let logs = [1, 2].map(|number| pair.log(number));
                panic!("round {round}: {what}\n{}\n{}", logs[0], logs[1]);
            }
            done += 1;
            duos.go_on();
        }
        let acknowledged = duos.rest();
        drop(duos);
        let written = lives.into_iter().map(|life| life.join().unwrap()).sum();
        pair.wait_until_in_step();
        let dump = pair.same_when_stopped();
        acknowledged.iter().for_each(|done| check(&dump, done));
        let counted =
            |count: fn(&Acknowledged) -> usize| acknowledged.iter().map(count).sum::<usize>();
        for (what, count) in [
            ("requests", counted(|it| it.requests.values().sum())),
            ("acceptances", counted(|it| it.accepted.values().sum())),
            ("ends", counted(|it| it.ended.values().sum())),
            ("groups", counted(|it| it.groups.len())),
            ("shares", counted(|it| it.shares.len())),
            ("withdrawals", counted(|it| it.withdrawn.len())),
            ("log-outs", counted(|it| it.log_outs)),
        ] {
            println!("{count} {what}");
            assert!(count > 0, "no {what}");
        }
        written
    });
    println!(
        "{done} rounds, {written} writes tried, in {:?}",
        begun.elapsed()
    );
}
