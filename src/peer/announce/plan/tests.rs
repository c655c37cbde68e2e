//! What is due when, and what is told to whom, by a clock of the tests' own.

mod private;

use super::*;
use crate::peer::announce::announced::Snapshot;
use crate::wire::SwarmPeer;

const NEVER: &str = "there is nothing to take on";

/// A plan with one transfer at trackers `a`, `b` and so on, at a time that is counted in seconds.
struct Clocked {
    plan: Plan,
    swarm: Arc<dyn Announced>,
    start: Instant,
    now: Instant,
    /// What is under way.
    taken: Vec<Due>,
}

/// A share at these trackers.
#[derive(Debug)]
struct Share {
    tiers: Vec<Vec<String>>,
    reading: Reading,
}

impl Announced for Share {
    fn info_hash(&self) -> InfoHash {
        InfoHash([1; 20])
    }

    fn name(&self) -> &str {
        "x"
    }

    fn tiers(&self) -> &[Vec<String>] {
        &self.tiers
    }

    fn reading(&self) -> Reading {
        self.reading
    }

    fn snapshot(&self, event: Option<Event>) -> Snapshot {
        Snapshot {
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event,
        }
    }

    fn is_hungry(&self) -> bool {
        false
    }

    fn starves(&self, _: Duration) -> bool {
        false
    }

    fn found(&self, _: Vec<SocketAddr>) {}

    fn give_up_peers(&self, _: &str) {}
}

impl Clocked {
    fn new(tiers: &[&str], reading: Reading) -> Self {
        let start = Instant::now();
        let tiers = tiers.iter().map(|url| vec![(*url).to_owned()]).collect();
        Self {
            plan: Plan::default(),
            swarm: Arc::new(Share { tiers, reading }),
            start,
            now: start,
            taken: Vec::new(),
        }
    }

    fn list(&mut self, ours: &[&str]) {
        let ours = ours.iter().map(|url| (*url).to_owned());
        self.plan.list(ours.collect());
    }

    fn hash(&self) -> InfoHash {
        self.swarm.info_hash()
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn announce(&mut self, event: Option<Event>) {
        self.plan.announce(&self.swarm, event, self.now);
    }

    /// What is due now, taken on and confirmed: the tracker and the event.
    fn take(&mut self) -> Option<(String, Option<Event>)> {
        let due = self.plan.take(self.now).ok()?;
        let stays = self.plan.confirm(&due, self.now);
        self.plan.schedule.check();
        stays.then(|| {
            let told = (due.tracker.clone(), due.event);
            self.taken.push(due);
            told
        })
    }

    /// In how many seconds something is due.
    fn pause(&mut self) -> u64 {
        let next = self.plan.take(self.now).expect_err(NEVER).expect(NEVER);
        (next - self.now).as_secs()
    }

    /// What is under way at a tracker, and longest, ends.
    fn settle(
        &mut self,
        url: &str,
        event: Option<Event>,
        outcome: Result<AnnounceResponse, String>,
        hungry: bool,
    ) -> Found {
        let is_it = |due: &Due| due.tracker == url && due.event == event;
        let at = self.taken.iter().position(is_it).expect(NEVER);
        let due = self.taken.remove(at);
        let found = self.plan.settle(&due, outcome, hungry, self.now);
        self.plan.schedule.check();
        found
    }

    /// Takes on what is due, which must be this, and has it answered.
    fn told(&mut self, url: &str, event: Option<Event>) -> Found {
        assert_eq!(self.take(), Some((url.to_owned(), event)));
        self.settle(url, event, Ok(answer(100, None)), false)
    }

    /// The same with no answer.
    fn missed(&mut self, url: &str, event: Option<Event>, hungry: bool) {
        assert_eq!(self.take(), Some((url.to_owned(), event)));
        self.settle(url, event, Err("silent".to_owned()), hungry);
    }

    /// All that is announced, in order; in capitals what ends.
    fn tasks(&self) -> String {
        let tasks = self.plan.schedule.all();
        let mut urls: Vec<_> = tasks
            .map(|(url, task)| match task.is_leaving() {
                true => url.to_uppercase(),
                false => url.clone(),
            })
            .collect();
        urls.sort_by_key(|url| url.to_lowercase());
        urls.concat()
    }
}

fn answer(interval: u64, min_interval: Option<u64>) -> AnnounceResponse {
    AnnounceResponse {
        interval: Duration::from_secs(interval),
        min_interval: min_interval.map(Duration::from_secs),
        complete: None,
        incomplete: None,
        peers: vec![SwarmPeer {
            address: ([10, 0, 0, 1], 1).into(),
            id: None,
        }],
        external_ip: None,
        pieceful: false,
        tracker_id: None,
        warning: None,
    }
}

const STARTED: Option<Event> = Some(Event::Started);
const COMPLETED: Option<Event> = Some(Event::Completed);
const STOPPED: Option<Event> = Some(Event::Stopped);

#[test]
fn a_tracker_hears_of_the_beginning_first_then_of_what_came_since_and_then_by_its_interval() {
    let mut clocked = Clocked::new(&["a"], Reading::InOrder);
    clocked.announce(STARTED);
    assert_eq!(clocked.take(), Some(("a".into(), STARTED)));
    assert_eq!(clocked.take(), None, "it is under way");
    clocked.announce(COMPLETED);
    let found = clocked.settle("a", STARTED, Ok(answer(100, None)), false);
    assert_eq!((found.peers.len(), found.instead), (1, false));
    assert_eq!(clocked.pause(), 1);
    clocked.at(1).told("a", COMPLETED);
    assert_eq!(clocked.pause(), 100);
    clocked.at(101).told("a", None);
    // What is news does not wait for the interval, what is none does.
    clocked.at(110).announce(COMPLETED);
    clocked.told("a", COMPLETED);
    clocked.announce(None);
    assert_eq!(clocked.pause(), 100);
}

#[test]
fn who_has_nobody_to_ask_comes_sooner_but_not_sooner_than_the_tracker_lets_it() {
    for (interval, min_interval, due) in [
        (100, None, 100),
        (100, Some(30), 30),
        (100, Some(2), 5),
        (3, Some(1), 3),
        (100, Some(200), 100),
    ] {
        let mut clocked = Clocked::new(&["a"], Reading::InOrder);
        clocked.announce(STARTED);
        clocked.take();
        let told = answer(interval, min_interval);
        clocked.settle("a", STARTED, Ok(told), true);
        assert_eq!(clocked.pause(), due, "{interval}, {min_interval:?}");
    }
}

#[test]
fn the_pause_after_a_failure_doubles_up_to_a_minute_and_an_answer_ends_that() {
    for (hungry, pauses) in [
        (false, [1, 2, 4, 8, 16, 32, 60, 60]),
        (true, [1, 2, 4, 5, 5, 5, 5, 5]),
    ] {
        let mut clocked = Clocked::new(&["a"], Reading::InOrder);
        clocked.announce(STARTED);
        let mut at = 0;
        for pause in pauses {
            clocked.missed("a", STARTED, hungry);
            assert_eq!(clocked.pause(), pause);
            at += pause;
            clocked.at(at);
        }
        clocked.told("a", STARTED);
        clocked.at(at + 100).missed("a", None, hungry);
        assert_eq!(clocked.pause(), 1);
    }
}

#[test]
fn one_that_fails_is_tried_again_beside_the_next_which_is_told_the_end_when_it_is_back() {
    let mut clocked = Clocked::new(&["a", "b", "c"], Reading::InOrder);
    clocked.announce(STARTED);
    clocked.missed("a", STARTED, false);
    assert_eq!(clocked.tasks(), "ab");
    clocked.told("b", STARTED);
    assert_eq!((clocked.tasks(), clocked.pause()), ("ab".into(), 1));
    clocked.at(1).missed("a", STARTED, false);
    clocked.at(3).told("a", STARTED);
    assert_eq!(clocked.tasks(), "aB");
    // Once, whether it hears of it or not.
    clocked.missed("b", STOPPED, false);
    assert_eq!((clocked.tasks(), clocked.pause()), ("a".into(), 100));
}

#[test]
fn a_download_in_need_has_the_next_told_as_well() {
    let mut clocked = Clocked::new(&["a", "b"], Reading::InOrder);
    clocked.announce(STARTED);
    clocked.told("a", STARTED);
    let hash = clocked.hash();
    let mut need = |seconds| {
        let now = clocked.at(seconds).now;
        clocked.plan.need(hash, true, now)
    };
    assert_eq!([need(0), need(9), need(10)], [false, false, true]);
    clocked.told("b", STARTED);
    assert_eq!(clocked.tasks(), "ab");
}

#[test]
fn who_leaves_tells_those_who_have_heard_of_it_or_may_have() {
    let mut clocked = Clocked::new(&[], Reading::InOrder);
    clocked.list(&["a", "b", "c"]);
    clocked.announce(STARTED);
    // One has answered, one is being asked, one was not.
    let (first, _) = clocked.take().unwrap();
    clocked.settle(&first, STARTED, Ok(answer(100, None)), false);
    let (second, _) = clocked.take().unwrap();
    clocked.plan.leave(clocked.hash(), clocked.now);
    let both: String = {
        let mut both = [first.to_uppercase(), second.to_uppercase()];
        both.sort();
        both.concat()
    };
    assert_eq!(clocked.tasks(), both);
    clocked.told(&first, STOPPED);
    assert_eq!(clocked.take(), None, "the word under way comes first");
    clocked.settle(&second, STARTED, Ok(answer(100, None)), false);
    clocked.at(1).told(&second, STOPPED);
    assert_eq!(clocked.tasks(), "");
}

#[test]
fn trackers_that_tracker_info_does_not_name_any_more_are_left() {
    let mut clocked = Clocked::new(&["a"], Reading::InOrder);
    clocked.list(&["o", "p"]);
    clocked.announce(STARTED);
    assert_eq!(clocked.tasks(), "aop");
    clocked.list(&["q"]);
    let mut told: Vec<_> = std::iter::from_fn(|| {
        // What is left while it waits is not announced.
        (0..4).find_map(|_| clocked.take())
    })
    .map(|(url, _)| url)
    .collect();
    told.sort();
    assert_eq!(told.concat(), "aq");
    assert_eq!(clocked.tasks(), "aq");
}

/// A magnet link that names these, with `o` in TRACKER_INFO: each was asked for the first time, none
/// has answered.
fn asked_link(tiers: &[&str]) -> Clocked {
    let mut clocked = Clocked::new(tiers, Reading::All);
    clocked.list(&["o"]);
    clocked.announce(STARTED);
    while clocked.take().is_some() {}
    clocked
}

#[test]
fn peers_go_to_the_download_that_took_the_place_of_a_search() {
    let mut clocked = asked_link(&["a"]);
    let download: Arc<dyn Announced> = Arc::new(Share {
        tiers: vec![vec!["a".to_owned()]],
        reading: Reading::InOrder,
    });
    clocked.plan.announce(&download, STARTED, clocked.now);
    let found = clocked.settle("a", STARTED, Ok(answer(100, None)), false);
    assert!(Arc::ptr_eq(&found.swarm.unwrap(), &download));
    clocked.plan.leave(clocked.hash(), clocked.now);
    let found = clocked.settle("o", STARTED, Ok(answer(100, None)), false);
    assert!(found.swarm.is_none(), "nobody has use for them");
}

#[test]
fn what_is_left_does_not_come_back_by_a_look_at_tracker_info() {
    let mut clocked = Clocked::new(&[], Reading::InOrder);
    clocked.announce(STARTED);
    assert!(clocked.plan.lacks_tracker(clocked.hash()));
    clocked.list(&["o"]);
    clocked.plan.follow(clocked.hash(), clocked.now);
    assert!(!clocked.plan.lacks_tracker(clocked.hash()));
    clocked.plan.leave(clocked.hash(), clocked.now);
    assert!(!clocked.plan.lacks_tracker(clocked.hash()));
    clocked.plan.follow(clocked.hash(), clocked.now);
    assert_eq!(clocked.tasks(), "");
}
