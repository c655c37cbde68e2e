//! kill -9 of the tracker at random moments: what was acknowledged is there afterwards, and nothing half-done is.
//!
//! Pairs of users, each on a line of its own, write as fast as they are answered and note what was acknowledged. When the
//! tracker is killed, at most one request of each pair is in doubt. After each restart what the tracker tells both users
//! must be what was acknowledged, with that one request either carried out or not.

use crate::common::account_tracker::{AccountTracker, dump};
use crate::common::control_connection::{ControlConnection, User, group_request};
use crate::common::waiting::PATIENCE;
use pieceful::wire::access::{Answer, Ask, Standing};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const KILLS: usize = 200;
const PAIRS: usize = 4;
/// Groups that a pair has at a time, about.
const GROUPS: usize = 4;

/// What both users of a pair are to a group.
type Standings = [Standing; 2];

/// What a pair knows of its groups.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    groups: BTreeMap<String, Standings>,
    made: u32,
}

/// A request: which of the pair asks, and what is typed for it.
type Step = (usize, String);

impl Model {
    /// Something that will be done.
    fn draw(&self, prefix: &str, rng: &mut fastrand::Rng) -> Step {
        use Standing::{Member, Owner, Requester, Stranger};
        let at = rng.usize(..=GROUPS);
        let Some((name, standings)) = self.groups.iter().nth(at) else {
            return (
                rng.usize(..2),
                format!("create_group {prefix}{}", self.made),
            );
        };
        let owner = standings
            .iter()
            .position(|standing| *standing == Owner)
            .unwrap();
        let other = 1 - owner;
        let user = format!("{prefix}{other}");
        let typed = match (standings[other], rng.bool()) {
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

    /// What holds once it is done.
    fn after(&self, (who, typed): &Step) -> Self {
        use Standing::{Member, Owner, Requester, Stranger};
        let mut model = self.clone();
        let words: Vec<&str> = typed.split(' ').collect();
        let name = words[1].to_owned();
        if words[0] == "create_group" {
            let mut standings = [Stranger, Stranger];
            standings[*who] = Owner;
            model.groups.insert(name, standings);
            model.made += 1;
            return model;
        }
        let standings = model.groups.get_mut(&name).unwrap();
        let other = 1 - who;
        match words[0] {
            "join_group" => standings[*who] = Requester,
            "accept_request" => standings[other] = Member,
            "reject_request" | "remove_member" => standings[other] = Stranger,
            // Hands over to the one other member.
            "leave_group" if standings[other] == Member => {
                (standings[*who], standings[other]) = (Stranger, Owner);
            }
            "leave_group" => drop(model.groups.remove(&name)),
            other => panic!("{other}"),
        }
        model
    }
}

/// A pair of users, and what of theirs is acknowledged.
struct Pair {
    prefix: String,
    users: [User; 2],
    model: Model,
    /// Sent, and not answered before the tracker was killed.
    doubtful: Option<Step>,
    acknowledged: usize,
    rng: fastrand::Rng,
}

impl Pair {
    fn new(service: &AccountTracker, number: usize) -> Self {
        let prefix = format!("pair{number}.");
        let users = [0, 1].map(|user| service.user(&format!("{prefix}{user}")));
        Self {
            prefix,
            users,
            model: Model::default(),
            doubtful: None,
            acknowledged: 0,
            rng: fastrand::Rng::with_seed(number as u64),
        }
    }

    /// What the tracker tells of the pair's groups.
    fn told(&mut self) -> BTreeMap<String, Standings> {
        let mut told: BTreeMap<String, Vec<Standing>> = BTreeMap::new();
        for user in &mut self.users {
            for entry in user.groups() {
                let name = entry.name.to_string();
                assert!(
                    entry.owner.is_some() && entry.members > 0,
                    "{name} has an owner"
                );
                if name.starts_with(&self.prefix) {
                    told.entry(name).or_default().push(entry.standing);
                }
            }
        }
        let pairs = told.into_iter();
        pairs
            .map(|(name, standings)| (name, standings.try_into().unwrap()))
            .collect()
    }

    /// Compares what the tracker tells with what was acknowledged.
    fn check(&mut self) {
        let told = self.told();
        let doubtful = self.doubtful.take();
        if let Some(step) = &doubtful {
            let done = self.model.after(step);
            if told == done.groups {
                self.model = done;
            }
        }
        assert_eq!(
            told, self.model.groups,
            "an acknowledged write is lost, or {doubtful:?} is half-done"
        );
    }

    /// Writes until the tracker is gone.
    fn write(&mut self) {
        loop {
            let step = self.model.draw(&self.prefix, &mut self.rng);
            let ask: Ask = group_request(&step.1);
            let user = &mut self.users[step.0];
            match user.connection.try_ask(Some(&user.token), ask) {
                Ok(answer) => {
                    assert_eq!(answer, Ok(Answer::Done), "{step:?}");
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

    /// One life of the tracker after another, until there is none.
    fn live(mut self, addresses: &Receiver<SocketAddr>, checked: &Sender<()>) -> usize {
        while let Ok(address) = addresses.recv() {
            for user in &mut self.users {
                user.connection = ControlConnection::open(address).unwrap();
            }
            self.check();
            if checked.send(()).is_err() {
                break;
            }
            self.write();
        }
        self.acknowledged
    }
}

/// Where the pairs hear of the tracker's next life, and where they tell that they have checked it.
type Lives = Vec<(Sender<SocketAddr>, Receiver<()>)>;

/// A new life, in which all that was acknowledged is there.
fn begin_life(lives: &Lives, address: SocketAddr) {
    for (life, _) in lives {
        life.send(address).expect("the pair lives");
    }
    for (_, checked) in lives {
        checked.recv_timeout(PATIENCE).expect("the pair lives");
    }
}

#[test]
fn what_was_acknowledged_outlives_200_kills() {
    let mut rng = fastrand::Rng::with_seed(200);
    let (sandbox, acknowledged) = thread::scope(|scope| {
        let (mut service, mut lives) = (AccountTracker::new(), Lives::new());
        let mut pairs = Vec::new();
        for number in 0..PAIRS {
            let (life, addresses) = channel();
            let (checks, checked) = channel();
            lives.push((life, checked));
            let pair = Pair::new(&service, number);
            pairs.push(scope.spawn(move || pair.live(&addresses, &checks)));
        }
        for _ in 0..KILLS {
            begin_life(&lives, service.address());
            thread::sleep(Duration::from_micros(rng.u64(..80_000)));
            service = AccountTracker::restart(service.kill());
        }
        // The last restart is looked at too.
        begin_life(&lives, service.address());
        let sandbox = service.kill();
        drop(lives);
        let acknowledged = pairs.into_iter().map(|pair| pair.join().unwrap());
        (sandbox, acknowledged.sum::<usize>())
    });
    assert!(acknowledged > KILLS, "only {acknowledged} writes");
    println!("{acknowledged} acknowledged writes");
    let dump: serde_json::Value = serde_json::from_str(&dump(&sandbox)).unwrap();
    let accounts = dump["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), PAIRS * 2, "{dump}");
}
