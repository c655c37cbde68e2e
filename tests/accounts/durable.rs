//! `kill -9` of the tracker at random moments: acknowledged writes survive, and no write is half
//! done.
//!
//! Pairs of users write as fast as they are answered, each over its own control connection, and
//! note each acknowledged write. When the tracker is killed, at most one request of each pair is in
//! doubt. After each restart the groups of a pair must be those of its acknowledged writes, with
//! that one request either carried out or not.

use crate::common::account_tracker::{AccountTracker, dump};
use crate::common::control_connection::{ControlConnection, User, group_request};
use crate::common::waiting::PATIENCE;
use pieceful::wire::access::{AccessAnswer, AccessRequest, GroupRole};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const KILLS: usize = 200;
const PAIRS: usize = 4;
/// The approximate number of groups that a pair has at a time.
const GROUPS: usize = 4;

/// The roles of the two users of a pair in a group.
type Roles = [GroupRole; 2];

/// The groups of a pair according to its acknowledged writes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    groups: BTreeMap<String, Roles>,
    /// The number of groups created so far, for new names.
    created: u32,
}

/// A request: the index of the user in the pair, and the command.
type Step = (usize, String);

impl Model {
    /// A random request that the tracker will carry out.
    fn random_step(&self, prefix: &str, rng: &mut fastrand::Rng) -> Step {
        use GroupRole::{Member, Owner, Requester, Stranger};
        let at = rng.usize(..=GROUPS);
        let Some((name, roles)) = self.groups.iter().nth(at) else {
            return (
                rng.usize(..2),
                format!("create_group {prefix}{}", self.created),
            );
        };
        let owner = roles.iter().position(|role| *role == Owner).unwrap();
        let other = 1 - owner;
        let user = format!("{prefix}{other}");
        let typed = match (roles[other], rng.bool()) {
            (Stranger, true) => return (other, format!("join_group {name}")),
            (Stranger, false) => format!("leave_group {name} --yes"),
            (Requester, true) => format!("accept_request {name} {user}"),
            (Requester, false) => format!("reject_request {name} {user}"),
            (Member, true) => format!("leave_group {name}"),
            (Member, false) => format!("remove_member {name} {user}"),
            (Owner, _) => unreachable!("there is one owner"),
        };
        (owner, typed)
    }

    /// The model after the tracker has carried out a request.
    fn after(&self, (asker, typed): &Step) -> Self {
        use GroupRole::{Member, Owner, Requester, Stranger};
        let mut model = self.clone();
        let words: Vec<&str> = typed.split(' ').collect();
        let name = words[1].to_owned();
        if words[0] == "create_group" {
            let mut roles = [Stranger, Stranger];
            roles[*asker] = Owner;
            model.groups.insert(name, roles);
            model.created += 1;
            return model;
        }
        let roles = model.groups.get_mut(&name).unwrap();
        let other = 1 - asker;
        match words[0] {
            "join_group" => roles[*asker] = Requester,
            "accept_request" => roles[other] = Member,
            "reject_request" | "remove_member" => roles[other] = Stranger,
            // The other member becomes the owner.
            "leave_group" if roles[other] == Member => {
                (roles[*asker], roles[other]) = (Stranger, Owner);
            }
            "leave_group" => drop(model.groups.remove(&name)),
            other => panic!("{other}"),
        }
        model
    }
}

/// A pair of users and their model.
struct UserPair {
    prefix: String,
    users: [User; 2],
    model: Model,
    /// The request that was sent and not answered before the tracker was killed.
    doubtful: Option<Step>,
    acknowledged: usize,
    rng: fastrand::Rng,
}

impl UserPair {
    fn new(tracker: &AccountTracker, number: usize) -> Self {
        let prefix = format!("pair{number}.");
        let users = [0, 1].map(|user| tracker.user(&format!("{prefix}{user}")));
        Self {
            prefix,
            users,
            model: Model::default(),
            doubtful: None,
            acknowledged: 0,
            rng: fastrand::Rng::with_seed(number as u64),
        }
    }

    /// The groups of the pair as the tracker lists them.
    fn listed_groups(&mut self) -> BTreeMap<String, Roles> {
        let mut listed: BTreeMap<String, Vec<GroupRole>> = BTreeMap::new();
        for user in &mut self.users {
            for entry in user.groups() {
                let name = entry.name.to_string();
                assert!(
                    entry.owner.is_some() && entry.members > 0,
                    "{name} has no owner or no member"
                );
                if name.starts_with(&self.prefix) {
                    listed.entry(name).or_default().push(entry.role);
                }
            }
        }
        let groups = listed.into_iter();
        groups
            .map(|(name, roles)| (name, roles.try_into().unwrap()))
            .collect()
    }

    /// Compares the listed groups with the model.
    fn check(&mut self) {
        let listed = self.listed_groups();
        let doubtful = self.doubtful.take();
        if let Some(step) = &doubtful {
            let carried_out = self.model.after(step);
            if listed == carried_out.groups {
                self.model = carried_out;
            }
        }
        assert_eq!(
            listed, self.model.groups,
            "an acknowledged write is lost, or {doubtful:?} is half-done"
        );
    }

    /// Writes as fast as the tracker answers, until it is killed.
    fn write_until_killed(&mut self) {
        loop {
            let step = self.model.random_step(&self.prefix, &mut self.rng);
            let ask: AccessRequest = group_request(&step.1);
            let user = &mut self.users[step.0];
            match user.connection.try_ask(Some(&user.token), ask) {
                Ok(answer) => {
                    assert_eq!(answer, Ok(AccessAnswer::Done), "{step:?}");
                    self.model = self.model.after(&step);
                    self.acknowledged += 1;
                }
                Err(_) => {
                    self.doubtful = Some(step);
                    return;
                }
            }
        }
    }

    /// Checks and writes after each start of the tracker, until the channel of addresses is closed.
    /// Returns the number of acknowledged writes.
    fn run(mut self, addresses: &Receiver<SocketAddr>, checked: &Sender<()>) -> usize {
        while let Ok(address) = addresses.recv() {
            for user in &mut self.users {
                user.connection = ControlConnection::open(address).unwrap();
            }
            self.check();
            if checked.send(()).is_err() {
                break;
            }
            self.write_until_killed();
        }
        self.acknowledged
    }
}

/// For each pair: the channel for the address of a restarted tracker, and the channel on which the
/// pair reports that its check succeeded.
type PairChannels = Vec<(Sender<SocketAddr>, Receiver<()>)>;

/// Sends the tracker's address to all pairs and waits until all have checked their groups.
fn check_all(pairs: &PairChannels, address: SocketAddr) {
    for (addresses, _) in pairs {
        addresses.send(address).expect("the pair runs");
    }
    for (_, checked) in pairs {
        checked.recv_timeout(PATIENCE).expect("the pair runs");
    }
}

#[test]
fn acknowledged_writes_survive_200_kills() {
    let mut rng = fastrand::Rng::with_seed(200);
    let (sandbox, acknowledged) = thread::scope(|scope| {
        let (mut tracker, mut pairs) = (AccountTracker::new(), PairChannels::new());
        let mut threads = Vec::new();
        for number in 0..PAIRS {
            let (sender, addresses) = channel();
            let (checks, checked) = channel();
            pairs.push((sender, checked));
            let pair = UserPair::new(&tracker, number);
            threads.push(scope.spawn(move || pair.run(&addresses, &checks)));
        }
        for _ in 0..KILLS {
            check_all(&pairs, tracker.address());
            thread::sleep(Duration::from_micros(rng.u64(..80_000)));
            tracker = AccountTracker::restart(tracker.kill());
        }
        check_all(&pairs, tracker.address());
        let sandbox = tracker.kill();
        drop(pairs);
        let acknowledged = threads.into_iter().map(|pair| pair.join().unwrap());
        (sandbox, acknowledged.sum::<usize>())
    });
    assert!(acknowledged > KILLS, "only {acknowledged} writes");
    println!("{acknowledged} acknowledged writes");
    let dump: serde_json::Value = serde_json::from_str(&dump(&sandbox)).unwrap();
    let accounts = dump["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), PAIRS * 2, "{dump}");
}
