//! What is due when, and what is told to whom, by a clock of the tests' own.

use super::*;
use crate::peer::announcer::Snapshot;
use crate::wire::SwarmPeer;

const NEVER: &str = "there is nothing to take on";

/// A schedule with one transfer at trackers `a`, `b` and so on, at a time that is counted in seconds.
struct Clocked {
    schedule: Schedule,
    swarm: Arc<dyn Announced>,
    start: Instant,
    now: Instant,
    ours: Vec<String>,
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
            schedule: Schedule::default(),
            swarm: Arc::new(Share { tiers, reading }),
            start,
            now: start,
            ours: Vec::new(),
        }
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn announce(&mut self, event: Option<Event>) {
        let Self {
            schedule, swarm, ..
        } = self;
        schedule.announce(swarm, &self.ours, event, self.now);
    }

    /// What is due now, taken on and confirmed: the tracker and the event.
    fn take(&mut self) -> Option<(String, Option<Event>)> {
        let due = self.schedule.take_due(self.now).ok()?;
        let stays = due.event == Some(Event::Stopped)
            || self
                .schedule
                .confirm(&due.key, &self.swarm, &self.ours, self.now);
        stays.then_some((due.key.1, due.event))
    }

    /// In how many seconds something is due.
    fn pause(&mut self) -> u64 {
        self.schedule
            .take_due(self.now)
            .err()
            .expect(NEVER)
            .as_secs()
    }

    fn settle(
        &mut self,
        url: &str,
        event: Option<Event>,
        outcome: Result<AnnounceResponse, String>,
        hungry: bool,
    ) -> Found {
        let key = (self.swarm.info_hash(), url.to_owned());
        let found = self.schedule.settle(&key, event, outcome, hungry, self.now);
        self.follow();
        found
    }

    fn follow(&mut self) {
        let Self {
            schedule, swarm, ..
        } = self;
        schedule.follow(swarm, &self.ours, self.now);
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
        let tasks = self.schedule.tasks.iter();
        let mut urls: Vec<_> = tasks
            .map(|((_, url), task)| match task.last {
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
    let hash = clocked.swarm.info_hash();
    let mut need = |seconds| {
        let now = clocked.at(seconds).now;
        clocked.schedule.need(hash, true, now)
    };
    assert_eq!([need(0), need(9), need(10)], [false, false, true]);
    clocked.follow();
    clocked.told("b", STARTED);
    assert_eq!(clocked.tasks(), "ab");
}

#[test]
fn who_leaves_tells_those_who_have_heard_of_it_or_may_have() {
    let mut clocked = Clocked::new(&[], Reading::InOrder);
    clocked.ours = ["a", "b", "c"].map(str::to_owned).to_vec();
    clocked.announce(STARTED);
    // One has answered, one is being asked, one was not.
    let (first, _) = clocked.take().unwrap();
    clocked.settle(&first, STARTED, Ok(answer(100, None)), false);
    let (second, _) = clocked.take().unwrap();
    clocked
        .schedule
        .leave(clocked.swarm.info_hash(), clocked.now);
    let both: String = {
        let mut both = [first.to_uppercase(), second.to_uppercase()];
        both.sort();
        both.concat()
    };
    assert_eq!(clocked.tasks(), both);
    clocked.told(&first, STOPPED);
    assert_eq!(clocked.take(), None, "the word under way comes first");
    let key = (clocked.swarm.info_hash(), second.clone());
    let now = clocked.now;
    clocked
        .schedule
        .settle(&key, STARTED, Ok(answer(100, None)), false, now);
    clocked.at(1).told(&second, STOPPED);
    assert_eq!(clocked.tasks(), "");
}

#[test]
fn trackers_that_tracker_info_does_not_name_any_more_are_left() {
    let mut clocked = Clocked::new(&["a"], Reading::InOrder);
    clocked.ours = vec!["o".to_owned(), "p".to_owned()];
    clocked.announce(STARTED);
    assert_eq!(clocked.tasks(), "aop");
    clocked.ours = vec!["q".to_owned()];
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

#[test]
fn a_private_torrent_s_next_tracker_takes_the_place_of_the_one_that_fails() {
    let mut clocked = Clocked::new(&["a", "b"], Reading::One);
    clocked.announce(STARTED);
    assert!(clocked.schedule.keeps_to_one(clocked.swarm.info_hash()));
    assert!(!clocked.told("a", STARTED).instead);
    clocked.at(100).missed("a", None, false);
    assert_eq!(clocked.tasks(), "Ab", "it is not tried beside the other");
    let mut due = [clocked.take().unwrap(), clocked.take().unwrap()];
    due.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(due, [("a".into(), STOPPED), ("b".into(), STARTED)]);
    clocked.settle("a", STOPPED, Err("silent".to_owned()), false);
    let found = clocked.settle("b", STARTED, Ok(answer(100, None)), false);
    assert_eq!((found.peers.len(), found.instead), (1, true));
    assert_eq!((clocked.tasks(), clocked.pause()), ("b".into(), 100));
}

#[test]
fn where_all_of_a_private_torrent_s_trackers_fail_none_is_asked_without_pause() {
    let mut clocked = Clocked::new(&["a", "b"], Reading::One);
    clocked.announce(STARTED);
    clocked.missed("a", STARTED, true);
    clocked.missed("b", STARTED, true);
    let mut asked = 0;
    for second in 0..60 {
        clocked.at(second);
        while let Some((url, event)) = clocked.take() {
            asked += 1;
            assert!(asked < 60, "asked too often");
            clocked.settle(&url, event, Err("silent".to_owned()), true);
        }
    }
    assert_eq!(clocked.tasks(), "ab");
    // Both answer at once: one of them counts.
    clocked.at(120);
    let due = [clocked.take().unwrap(), clocked.take().unwrap()];
    let found = due.map(|(url, event)| clocked.settle(&url, event, Ok(answer(100, None)), true));
    let counts = found.map(|found| (found.peers.len(), found.instead));
    assert_eq!(counts, [(1, false), (0, false)]);
}

/// A magnet link that names these, with `o` in TRACKER_INFO: each was asked for the first time, none
/// has answered. Then its torrent turns out to be private.
fn private_link(tiers: &[&str], failed: &[&str]) -> Clocked {
    let mut clocked = Clocked::new(tiers, Reading::All);
    clocked.ours = vec!["o".to_owned()];
    clocked.announce(STARTED);
    while clocked.take().is_some() {}
    for url in failed {
        clocked.settle(url, STARTED, Err("silent".to_owned()), false);
    }
    let hash = clocked.swarm.info_hash();
    clocked.schedule.keep_to_one(hash);
    // What follows may still come with the trackers that TRACKER_INFO named before that.
    clocked.follow();
    clocked
}

#[test]
fn what_was_asked_before_a_link_was_known_to_be_private_brings_no_other_tracker_back() {
    let mut clocked = private_link(&["a"], &[]);
    assert_eq!(clocked.tasks(), "aO");
    clocked.settle("a", STARTED, Ok(answer(100, None)), false);
    assert_eq!(clocked.tasks(), "aO");
    clocked.announce(None);
    assert_eq!(clocked.tasks(), "aO");
    let found = clocked.settle("o", STARTED, Ok(answer(100, None)), false);
    assert_eq!((found.peers.len(), found.instead), (0, false));
    clocked.at(1).told("o", STOPPED);
    assert_eq!(clocked.tasks(), "a");
}

#[test]
fn a_private_torrent_never_takes_a_tracker_that_it_does_not_name() {
    for (own, left) in [(&["a"][..], "aO"), (&[], "O")] {
        let mut clocked = private_link(own, own);
        let found = clocked.settle("o", STARTED, Ok(answer(100, None)), false);
        assert_eq!((found.peers.len(), found.instead), (0, false));
        assert_eq!(clocked.tasks(), left);
    }
}
