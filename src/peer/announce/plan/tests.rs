//! When announces are due and to which trackers, with a clock that the tests set.

mod private;

use super::*;
use crate::peer::announce::announced::AnnounceContents;
use crate::wire::SwarmPeer;

/// The panic message if the expected announce is neither due nor in progress.
const NO_ANNOUNCE: &str = "there is no such announce";

/// A plan with one transfer at trackers `a`, `b` and so on, and a clock that the test sets (`at`).
struct PlanTest {
    plan: AnnouncePlan,
    swarm: Arc<dyn Announced>,
    start: Instant,
    now: Instant,
    /// The announces in progress.
    taken: Vec<OpenAnnounce>,
}

/// A share with these trackers.
#[derive(Debug)]
struct Share {
    tiers: Vec<Vec<String>>,
    tier_policy: TierPolicy,
    first_announce: Option<Instant>,
}

impl Announced for Share {
    fn info_hash(&self) -> InfoHash {
        // The info-hash decides how much shorter the first interval is. With this one, it is not
        // shortened.
        InfoHash([0; 20])
    }

    fn name(&self) -> &str {
        "x"
    }

    fn tiers(&self) -> Vec<Vec<String>> {
        self.tiers.clone()
    }

    fn tier_policy(&self) -> TierPolicy {
        self.tier_policy
    }

    fn first_announce(&self, now: Instant) -> Instant {
        self.first_announce.map_or(now, |first| first.max(now))
    }

    fn contents(&self, event: Option<AnnounceEvent>) -> AnnounceContents {
        AnnounceContents {
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event,
        }
    }

    fn lacks_peers(&self) -> bool {
        false
    }

    fn is_starved(&self, _: Duration) -> bool {
        false
    }

    fn add_peers(&self, _: Vec<SocketAddr>) {}

    fn give_up_peers(&self, _: &str) {}
}

impl PlanTest {
    fn new(tiers: &[&str], tier_policy: TierPolicy) -> Self {
        let start = Instant::now();
        let tiers = tiers.iter().map(|url| vec![(*url).to_owned()]).collect();
        Self {
            plan: AnnouncePlan::default(),
            swarm: Arc::new(Share {
                tiers,
                tier_policy,
                first_announce: None,
            }),
            start,
            now: start,
            taken: Vec::new(),
        }
    }

    fn list_in_tracker_info(&mut self, urls: &[&str]) {
        let urls = urls.iter().map(|url| (*url).to_owned());
        self.plan.set_listed_trackers(urls.collect());
    }

    fn hash(&self) -> InfoHash {
        self.swarm.info_hash()
    }

    /// Sets the clock to this number of seconds after the start.
    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn announce(&mut self, event: Option<AnnounceEvent>) {
        self.plan.announce(&self.swarm, event, self.now);
    }

    /// Takes and confirms a due announce. Returns the tracker and the event.
    fn take(&mut self) -> Option<(String, Option<AnnounceEvent>)> {
        let due = self.plan.take(self.now).ok()?;
        let stays = self.plan.confirm(&due, self.now);
        self.plan.schedule.check();
        stays.then(|| {
            let announce = (due.tracker.clone(), due.event);
            self.taken.push(due);
            announce
        })
    }

    /// The number of seconds until the next announce is due.
    fn pause(&mut self) -> u64 {
        let next = self
            .plan
            .take(self.now)
            .expect_err("an announce is due")
            .expect(NO_ANNOUNCE);
        (next - self.now).as_secs()
    }

    /// Ends the oldest announce in progress that has this tracker and this event. `outcome` says
    /// how it ends.
    fn settle(
        &mut self,
        url: &str,
        event: Option<AnnounceEvent>,
        outcome: Result<AnnounceResponse, AnnounceFailure>,
        lacks_peers: bool,
    ) -> AnnounceResult {
        let is_this = |due: &OpenAnnounce| due.tracker == url && due.event == event;
        let at = self.taken.iter().position(is_this).expect(NO_ANNOUNCE);
        let due = self.taken.remove(at);
        let result = self.plan.settle(&due, outcome, lacks_peers, 0.0, self.now);
        self.plan.schedule.check();
        result
    }

    /// Takes the due announce, which must be this one, and answers it.
    fn answered(&mut self, url: &str, event: Option<AnnounceEvent>) -> AnnounceResult {
        assert_eq!(self.take(), Some((url.to_owned(), event)));
        self.settle(url, event, Ok(answer(100, None)), false)
    }

    /// Takes the due announce, which must be this one, and ends it without an answer.
    fn unanswered(&mut self, url: &str, event: Option<AnnounceEvent>, lacks_peers: bool) {
        assert_eq!(self.take(), Some((url.to_owned(), event)));
        self.settle(url, event, silent(), lacks_peers);
    }

    /// Takes the due announce, which must be this one, and refuses it.
    fn refused(&mut self, url: &str, event: Option<AnnounceEvent>, retry: Option<u64>) {
        assert_eq!(self.take(), Some((url.to_owned(), event)));
        let refusal = Err(AnnounceFailure::Refused(Refusal {
            reason: "no".to_owned(),
            retry: retry.map(Duration::from_secs),
        }));
        self.settle(url, event, refusal, true);
    }

    /// The trackers of all tasks, in order. A capital letter means that the task is leaving.
    fn tasks(&self) -> String {
        let tasks = self.plan.schedule.tasks();
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
        named_peers: Vec::new(),
        external_ip: None,
        pieceful: false,
        tracker_id: None,
        warning: None,
    }
}

fn silent() -> Result<AnnounceResponse, AnnounceFailure> {
    Err(AnnounceFailure::NoAnswer("silent".to_owned()))
}

const STARTED: Option<AnnounceEvent> = Some(AnnounceEvent::Started);
const COMPLETED: Option<AnnounceEvent> = Some(AnnounceEvent::Completed);
const STOPPED: Option<AnnounceEvent> = Some(AnnounceEvent::Stopped);

#[test]
fn a_tracker_receives_started_then_the_pending_event_then_one_announce_per_interval() {
    let mut test = PlanTest::new(&["a"], TierPolicy::InOrder);
    test.announce(STARTED);
    assert_eq!(test.take(), Some(("a".into(), STARTED)));
    assert_eq!(test.take(), None, "`started` is in progress");
    test.announce(COMPLETED);
    let result = test.settle("a", STARTED, Ok(answer(100, None)), false);
    assert_eq!((result.peers.len(), result.replaces_peers), (1, false));
    assert_eq!(test.pause(), 1);
    test.at(1).answered("a", COMPLETED);
    assert_eq!(test.pause(), 100);
    test.at(101).answered("a", None);
    // An announce with an event does not wait for the interval. An announce without an event does.
    test.at(110).announce(COMPLETED);
    test.answered("a", COMPLETED);
    test.announce(None);
    assert_eq!(test.pause(), 100);
}

#[test]
fn no_tracker_gets_an_announce_before_the_first_announce_of_the_share_is_due() {
    let mut test = PlanTest::new(&["a"], TierPolicy::InOrder);
    test.list_in_tracker_info(&["b"]);
    test.swarm = Arc::new(Share {
        tiers: vec![vec!["a".to_owned()]],
        tier_policy: TierPolicy::InOrder,
        first_announce: Some(test.start + Duration::from_secs(3)),
    });
    test.announce(STARTED);
    assert_eq!(test.pause(), 3);
    assert_eq!(test.at(2).pause(), 1);
    test.at(3).answered("a", STARTED);
    test.answered("b", STARTED);
    test.list_in_tracker_info(&["b", "c"]);
    test.at(4).announce(None);
    test.answered("c", STARTED);
}

#[test]
fn a_download_without_peers_announces_sooner_but_not_below_the_shortest_interval() {
    for (interval, min_interval, due) in [
        (100, None, 100),
        (100, Some(30), 30),
        (100, Some(2), 5),
        (3, Some(1), 3),
        (100, Some(200), 100),
    ] {
        let mut test = PlanTest::new(&["a"], TierPolicy::InOrder);
        test.announce(STARTED);
        test.take();
        let response = answer(interval, min_interval);
        test.settle("a", STARTED, Ok(response), true);
        assert_eq!(test.pause(), due, "{interval}, {min_interval:?}");
    }
}

#[test]
fn the_pause_doubles_with_each_failure_up_to_a_limit_and_is_1_s_again_after_an_answer() {
    for (lacks_peers, pauses) in [
        (false, [1, 2, 4, 8, 16, 32, 60, 60]),
        (true, [1, 2, 4, 5, 5, 5, 5, 5]),
    ] {
        let mut test = PlanTest::new(&["a"], TierPolicy::InOrder);
        test.announce(STARTED);
        let mut at = 0;
        for pause in pauses {
            test.unanswered("a", STARTED, lacks_peers);
            assert_eq!(test.pause(), pause);
            at += pause;
            test.at(at);
        }
        test.answered("a", STARTED);
        test.at(at + 100).unanswered("a", None, lacks_peers);
        assert_eq!(test.pause(), 1);
    }
}

#[test]
fn a_tracker_that_refuses_is_asked_at_the_time_it_names_or_after_growing_pauses() {
    let mut test = PlanTest::new(&["a"], TierPolicy::InOrder);
    test.announce(STARTED);
    let mut at = 0;
    for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
        test.at(at).refused("a", STARTED, None);
        assert_eq!(test.pause(), pause);
        at += pause;
    }
    test.at(at).refused("a", STARTED, Some(7_200));
    assert_eq!(test.pause(), 7_200);
    // The tracker has not answered `started` yet, so another event must wait for that.
    test.announce(COMPLETED);
    assert_eq!(test.pause(), 7_200);
    test.at(at + 7_200).answered("a", STARTED);
    // If an announce with an event is refused, it is repeated after the whole pause.
    test.at(at + 7_201).refused("a", COMPLETED, Some(600));
    assert_eq!(test.pause(), 600);
    // If an event comes up after that refusal, it is sent at once: `started` was answered.
    test.announce(COMPLETED);
    test.take();
    // `stopped` does not wait for the pause after a refusal: it is sent after 1 s.
    test.plan.leave(test.hash(), test.now);
    let refusal = AnnounceFailure::Refused(Refusal {
        reason: "no".to_owned(),
        retry: None,
    });
    test.settle("a", COMPLETED, Err(refusal), true);
    assert_eq!(test.pause(), 1);
}

#[test]
fn refusals_and_warnings_are_shown_until_an_answer_has_none() {
    let mut test = PlanTest::new(&["http://u:p@a/"], TierPolicy::InOrder);
    test.announce(STARTED);
    test.refused("http://u:p@a/", STARTED, None);
    let trouble = |test: &PlanTest| {
        let status = test.plan.status().remove(0);
        assert_eq!(status.url, "http://a/");
        (test.plan.trouble(test.hash()), status.trouble)
    };
    let shown = |reason: &str| {
        let trouble = format!("http://a/: {reason}");
        (Some(trouble), Some(reason.to_owned()))
    };
    assert_eq!(trouble(&test), shown("no"));
    for (warning, is_new) in [(Some("old"), true), (Some("old"), false), (None, false)] {
        let now = test.now + Duration::from_secs(100);
        test.now = now;
        let (url, event) = test.take().unwrap();
        let mut response = answer(100, None);
        response.warning = warning.map(str::to_owned);
        let result = test.settle(&url, event, Ok(response), false);
        assert_eq!(result.warning.is_some(), is_new);
        match warning {
            Some(_) => assert_eq!(trouble(&test), shown("the tracker warns: old")),
            None => assert_eq!(trouble(&test), (None, None)),
        }
    }
}

#[test]
fn a_refusal_is_shown_also_while_another_tracker_answers() {
    let mut test = PlanTest::new(&["a", "b"], TierPolicy::All);
    test.announce(STARTED);
    for _ in 0..2 {
        let (url, event) = test.take().unwrap();
        let outcome = match url.as_str() {
            "a" => Err(AnnounceFailure::useless("no".to_owned())),
            _ => Ok(answer(100, None)),
        };
        test.settle(&url, event, outcome, true);
    }
    let trouble = test.plan.trouble(test.hash());
    assert_eq!(trouble.as_deref(), Some("a: no; other trackers answer"));
}

#[test]
fn a_torrent_with_only_unsupported_trackers_says_so() {
    let mut test = PlanTest::new(&["wss://a/"], TierPolicy::InOrder);
    test.announce(STARTED);
    assert!(test.plan.any_lacks_tracker());
    let trouble = test.plan.trouble(test.hash()).unwrap();
    assert!(
        trouble.contains("no http, https or udp tracker"),
        "{trouble}"
    );
}

#[test]
fn a_failed_tracker_is_tried_again_beside_the_next_one_until_it_answers() {
    let mut test = PlanTest::new(&["a", "b", "c"], TierPolicy::InOrder);
    test.announce(STARTED);
    test.unanswered("a", STARTED, false);
    assert_eq!(test.tasks(), "ab");
    test.answered("b", STARTED);
    assert_eq!((test.tasks(), test.pause()), ("ab".into(), 1));
    test.at(1).unanswered("a", STARTED, false);
    test.at(3).answered("a", STARTED);
    assert_eq!(test.tasks(), "aB");
    // `stopped` is sent once, whether it arrives or not.
    test.unanswered("b", STOPPED, false);
    assert_eq!((test.tasks(), test.pause()), ("a".into(), 100));
}

#[test]
fn a_starved_download_announces_to_the_next_tracker_too() {
    let mut test = PlanTest::new(&["a", "b"], TierPolicy::InOrder);
    test.announce(STARTED);
    test.answered("a", STARTED);
    let hash = test.hash();
    let mut extend = |seconds| {
        let now = test.at(seconds).now;
        test.plan.extend_if_starved(hash, true, now)
    };
    assert_eq!([extend(0), extend(9), extend(10)], [false, false, true]);
    test.answered("b", STARTED);
    assert_eq!(test.tasks(), "ab");
}

#[test]
fn leaving_sends_stopped_to_trackers_that_may_list_the_swarm() {
    let mut test = PlanTest::new(&[], TierPolicy::InOrder);
    test.list_in_tracker_info(&["a", "b", "c"]);
    test.announce(STARTED);
    // One tracker has answered, an announce to another is in progress, the third got no announce.
    let (first, _) = test.take().unwrap();
    test.settle(&first, STARTED, Ok(answer(100, None)), false);
    let (second, _) = test.take().unwrap();
    test.plan.leave(test.hash(), test.now);
    let both: String = {
        let mut both = [first.to_uppercase(), second.to_uppercase()];
        both.sort();
        both.concat()
    };
    assert_eq!(test.tasks(), both);
    test.answered(&first, STOPPED);
    assert_eq!(test.take(), None, "the announce in progress comes first");
    test.settle(&second, STARTED, Ok(answer(100, None)), false);
    test.at(1).answered(&second, STOPPED);
    assert_eq!(test.tasks(), "");
}

#[test]
fn a_swarm_is_no_longer_announced_to_trackers_removed_from_tracker_info() {
    let mut test = PlanTest::new(&["a"], TierPolicy::InOrder);
    test.list_in_tracker_info(&["o", "p"]);
    test.announce(STARTED);
    assert_eq!(test.tasks(), "aop");
    test.list_in_tracker_info(&["q"]);
    let mut announced_to: Vec<_> = std::iter::from_fn(|| {
        // `take` returns `None` for a task of a removed tracker. The next call may return another
        // task.
        (0..4).find_map(|_| test.take())
    })
    .map(|(url, _)| url)
    .collect();
    announced_to.sort();
    assert_eq!(announced_to.concat(), "aq");
    assert_eq!(test.tasks(), "aq");
}

/// A magnet link with these trackers, and `o` in TRACKER_INFO. The first announce to each is in
/// progress.
fn magnet_link(tiers: &[&str]) -> PlanTest {
    let mut test = PlanTest::new(tiers, TierPolicy::All);
    test.list_in_tracker_info(&["o"]);
    test.announce(STARTED);
    while test.take().is_some() {}
    test
}

#[test]
fn peers_go_to_the_download_that_replaced_a_magnet_search() {
    let mut test = magnet_link(&["a"]);
    let download: Arc<dyn Announced> = Arc::new(Share {
        tiers: vec![vec!["a".to_owned()]],
        tier_policy: TierPolicy::InOrder,
        first_announce: None,
    });
    test.plan.announce(&download, STARTED, test.now);
    let result = test.settle("a", STARTED, Ok(answer(100, None)), false);
    assert!(Arc::ptr_eq(&result.swarm.unwrap(), &download));
    test.plan.leave(test.hash(), test.now);
    let result = test.settle("o", STARTED, Ok(answer(100, None)), false);
    assert!(result.swarm.is_none(), "no transfer uses the peers");
}

#[test]
fn a_swarm_that_the_peer_has_left_is_not_announced_when_tracker_info_is_read() {
    let mut test = PlanTest::new(&[], TierPolicy::InOrder);
    test.announce(STARTED);
    assert!(test.plan.any_lacks_tracker());
    test.plan.use_listed_trackers(test.now);
    assert!(test.plan.any_lacks_tracker(), "no tracker is listed");
    test.list_in_tracker_info(&["o"]);
    test.plan.use_listed_trackers(test.now);
    assert_eq!(test.tasks(), "o");
    assert!(!test.plan.any_lacks_tracker());
    test.plan.leave(test.hash(), test.now);
    assert!(!test.plan.any_lacks_tracker());
    test.plan.update_tasks(test.hash(), test.now);
    assert_eq!(test.tasks(), "");
}

#[test]
fn the_second_announces_of_shares_that_started_together_are_spread() {
    let pause = |number: u64, min_interval| {
        let digest = sha1_smol::Sha1::from(number.to_be_bytes()).digest();
        first_interval(InfoHash(digest.bytes()), &answer(120, min_interval))
    };
    let seconds = (0..1_000).map(|number| pause(number, Some(20)).as_secs());
    let mut counts = BTreeMap::new();
    seconds.for_each(|second| *counts.entry(second).or_insert(0) += 1);
    assert_eq!(counts.keys().next(), Some(&20));
    assert_eq!(counts.keys().next_back(), Some(&119));
    assert!(counts.values().all(|count| *count < 30), "{counts:?}");
    assert_eq!(
        pause(1, None),
        Duration::from_secs(120),
        "the tracker accepts no shorter interval"
    );
    assert_eq!(pause(1, Some(150)), Duration::from_secs(120));
}
