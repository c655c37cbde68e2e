//! Simulates the requests that the watches of many peers make to trackers, with simulated time.

use super::plan::{Due, WatchPlan};
use crate::wire::access::{GroupId, GroupNumbers, GroupState, OwnGroup};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// The time that a request takes.
const ANSWER: Duration = Duration::from_millis(5);

/// Peers whose users are members of one group.
struct Fleet {
    plans: Vec<WatchPlan>,
    /// What the trackers report.
    group: OwnGroup,
    /// The number of requests for one catalogue.
    pages: usize,
    has_hints: bool,
    begin: Instant,
    now: Instant,
    /// The number of requests in each second since the beginning.
    requests: Vec<usize>,
    random: fastrand::Rng,
}

impl Fleet {
    /// All peers start at the same moment.
    fn start(peers: usize, pages: usize, spread: Duration) -> Self {
        let begin = Instant::now();
        Self {
            plans: (0..peers).map(|_| WatchPlan::new(begin)).collect(),
            group: OwnGroup {
                name: "lab".parse().unwrap(),
                state: GroupState {
                    id: GroupId([1; 16]),
                    added: 0,
                    ended: 0,
                    spread_ms: u32::try_from(spread.as_millis()).unwrap(),
                },
            },
            pages,
            has_hints: true,
            begin,
            now: begin,
            requests: Vec::new(),
            random: fastrand::Rng::with_seed(7),
        }
    }

    /// A share is published, and all peers get a hint.
    fn publish(&mut self) {
        self.group.state.added += 1;
        let numbers = GroupNumbers {
            group: self.group.name.clone(),
            former: None,
            added: self.group.state.added,
            ended: 0,
            has_reports: false,
        };
        for plan in &mut self.plans {
            plan.on_hint(&numbers, self.now, self.random.f64());
        }
    }

    /// Time passes. Returns the largest number of requests in one second of it, and the number of
    /// all requests.
    fn run(&mut self, seconds: u64) -> (usize, usize) {
        let first = (self.now - self.begin).as_secs() as usize;
        let end = self.now + Duration::from_secs(seconds);
        let mut events: BinaryHeap<_> = (0..self.plans.len())
            .map(|peer| Reverse((self.now, peer)))
            .collect();
        while let Some(Reverse((at, peer))) = events.pop() {
            if at < end {
                events.push(Reverse((self.step(peer, at).min(end), peer)));
            }
        }
        self.now = end;
        let counts = self.requests.iter().skip(first);
        (
            counts.clone().max().copied().unwrap_or(0),
            counts.sum::<usize>(),
        )
    }

    /// What one peer does at a moment. Returns when it does the next thing.
    fn step(&mut self, peer: usize, at: Instant) -> Instant {
        let random = &mut self.random;
        let plan = &mut self.plans[peer];
        match plan.due(at, self.has_hints, random.f64()) {
            Due::Groups => {
                plan.on_list_begun();
                let listed = vec![self.group.clone()];
                plan.on_list(listed, at, at + ANSWER, &mut || random.f64());
                self.count(at, 1);
                at + ANSWER
            }
            Due::Catalogues(due, next) if due.is_empty() => {
                next.unwrap_or(at + Duration::from_secs(3600))
            }
            Due::Catalogues(..) => {
                let (state, pages) = (self.group.state, self.pages);
                let took = ANSWER * u32::try_from(pages).unwrap();
                plan.on_begun(state.id);
                plan.on_catalogue(state.id, &state, (at, at + took), random.f64());
                self.count(at, pages);
                at + took
            }
        }
    }

    fn count(&mut self, at: Instant, requests: usize) {
        let second = (at - self.begin).as_secs() as usize;
        if self.requests.len() <= second {
            self.requests.resize(second + 1, 0);
        }
        self.requests[second] += requests;
    }
}

/// 10,000 peers, and a group of 20,000 shares: the tracker names a spread of 400 s.
fn large() -> Fleet {
    let mut fleet = Fleet::start(10_000, 40, Duration::from_secs(400));
    // The first second has one request of each peer, as its log-in.
    fleet.run(2);
    fleet
}

#[test]
fn many_peers_make_few_requests_while_nothing_changes() {
    let mut fleet = large();
    let (most, _) = fleet.run(1_200);
    assert!(most < 2_000, "{most}");
    let (most, all) = fleet.run(1_200);
    // Each peer asks for its groups every 300 to 600 s.
    assert!(most < 60 && all < 45_000, "{most} {all}");
}

#[test]
fn a_new_share_brings_few_requests_in_a_second_and_one_catalogue_for_each_peer() {
    let mut fleet = large();
    fleet.run(1_200);
    fleet.publish();
    let (most, all) = fleet.run(410);
    assert!(most < 2_000 && all < 420_000, "{most} {all}");
    assert!(fleet.run(600).1 < 30_000);
    // In a group with few shares, the peers learn of it within some seconds.
    let mut fleet = Fleet::start(5_000, 1, Duration::from_secs(5));
    fleet.run(1_200);
    fleet.publish();
    let (most, all) = fleet.run(6);
    assert!(most < 1_300 && all >= 5_000, "{most} {all}");
}

#[test]
fn many_new_shares_bring_no_more_requests_in_a_second_than_one() {
    let mut fleet = large();
    fleet.run(1_200);
    let mut most_of_all = 0;
    for _ in 0..200 {
        fleet.publish();
        most_of_all = most_of_all.max(fleet.run(5).0);
    }
    assert!(most_of_all < 2_000, "{most_of_all}");
}

#[test]
fn the_end_of_hints_brings_no_wave_of_requests() {
    let mut fleet = large();
    fleet.run(1_200);
    fleet.has_hints = false;
    let (most, _) = fleet.run(40);
    assert!(most < 900, "{most}");
    let (most, _) = fleet.run(300);
    // Each peer asks for its groups every 15 to 30 s.
    assert!(most < 900, "{most}");
}
