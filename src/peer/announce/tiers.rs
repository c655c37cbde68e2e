//! The choice of the trackers to which a torrent is announced (BEP 12, BEP 27).
//!
//! BEP 12 has two interpretations. In the literal one, the peer tries the tiers in order, and the
//! trackers of each tier in a random order. It announces only to the first tracker that answers,
//! and moves this tracker to the front of its tier. Later it again tries those trackers that come
//! earlier in the order and that failed. In the other interpretation, the peer announces to all
//! trackers. This module uses the literal one, with these exceptions:
//!
//! - A starved download ([`Tiers::extend_if_starved`]) announces to twice as many trackers, because
//!   another tracker may know other peers. While it stays starved, the number doubles again and
//!   again. Seeds, and downloads that receive data, use no further trackers.
//! - A magnet link starts with all its trackers: it does not order them, and any peer may have the
//!   metadata.
//! - Trackers of this product do not share the peers of open swarms with each other. So a peer
//!   always announces to all trackers of TRACKER_INFO. If a tracker of a torrent reports that it is
//!   of this product, the peer announces to all trackers of the torrent from then on.
//!
//! A private torrent (BEP 27) is announced to one tracker only, even if that is a tracker of this
//! product. If this tracker fails, another one takes its place, and the peers that the failed one
//! returned are dropped.
//!
//! In scope: the choice. The caller passes in the time and the results. Out of scope: when an
//! announce is made (`schedule`).

use crate::base::url::scheme;
use crate::torrent::is_tracker_url;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a download is starved before it announces to more trackers. Ten seconds are enough to
/// find and call the existing seeds, and each seed runs its choker in that time.
const STARVED_LIMIT: Duration = Duration::from_secs(10);

/// To which of its trackers a torrent is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TierPolicy {
    /// In order, until enough have answered: one at first, more for a starved download.
    InOrder,
    /// All trackers.
    All,
    /// One tracker until it fails (BEP 27).
    OneTracker,
}

/// The trackers of one torrent, in the order in which they are tried.
#[derive(Debug)]
pub(super) struct Tiers {
    tiers: Vec<Vec<String>>,
    policy: TierPolicy,
    /// With `InOrder`: the number of working trackers to announce to.
    target: usize,
    /// When the download became starved, or when `target` last grew since then. `None`: the
    /// download is not starved.
    starved_since: Option<Instant>,
    /// For a private torrent: the tracker whose answer was used last. `None` before the first one.
    current: Option<String>,
    /// For a private torrent: the trackers that have failed since the latest answer.
    failed: HashSet<String>,
}

impl Tiers {
    /// The tiers of a metainfo, each shuffled. Of duplicate URLs the first one is kept. Trackers of
    /// other protocols, such as `wss://`, are left out.
    pub(super) fn new(tiers: &[Vec<String>], policy: TierPolicy) -> Self {
        let mut seen = HashSet::new();
        let tiers = tiers.iter().map(|tier| {
            let urls = tier.iter().filter(|url| is_kept(url));
            let urls = urls.filter(|url| seen.insert(url.as_str()));
            let mut urls: Vec<String> = urls.cloned().collect();
            fastrand::shuffle(&mut urls);
            urls
        });
        Self {
            tiers: tiers.collect(),
            policy,
            target: 1,
            starved_since: None,
            current: None,
            failed: HashSet::new(),
        }
    }

    /// Adds the trackers that are not here yet, after the others. A private torrent keeps its own
    /// trackers only.
    pub(super) fn add(&mut self, tiers: &[Vec<String>]) {
        if self.is_private() {
            return;
        }
        for mut tier in Self::new(tiers, self.policy).tiers {
            tier.retain(|url| !self.tiers.iter().flatten().any(|known| known == url));
            if !tier.is_empty() {
                self.tiers.push(tier);
            }
        }
    }

    /// Whether there is no tracker.
    pub(super) fn is_empty(&self) -> bool {
        self.tiers.iter().all(Vec::is_empty)
    }

    /// Marks the torrent as private. A magnet link does not say whether its torrent is.
    /// `has_failed` returns whether the last announce to a tracker failed.
    pub(super) fn set_private(&mut self, has_failed: impl Fn(&str) -> bool) {
        if self.policy != TierPolicy::OneTracker {
            self.policy = TierPolicy::OneTracker;
            let all = self.tiers.iter().flatten();
            self.failed = all.filter(|url| has_failed(url)).cloned().collect();
        }
    }

    /// Whether the torrent is private: only its own trackers may know of it.
    pub(super) fn is_private(&self) -> bool {
        self.policy == TierPolicy::OneTracker
    }

    /// Records whether the download is starved: it wants data and receives none. Returns whether
    /// this call has increased the number of trackers to announce to.
    pub(super) fn extend_if_starved(&mut self, is_starved: bool, now: Instant) -> bool {
        if !is_starved {
            self.starved_since = None;
            return false;
        }
        let since = *self.starved_since.get_or_insert(now);
        let all = self.tiers.iter().map(Vec::len).sum();
        if self.policy != TierPolicy::InOrder
            || self.target >= all
            || now.saturating_duration_since(since) < STARVED_LIMIT
        {
            return false;
        }
        // The number never shrinks: peers from the added trackers may need this peer.
        self.target = self.target.saturating_mul(2).min(all);
        self.starved_since = Some(now);
        true
    }

    /// Handles an answer. `is_pieceful`: the tracker reports that it is one of this product.
    pub(super) fn on_answer(&mut self, url: &str, is_pieceful: bool) -> PeerUpdate {
        if self.policy == TierPolicy::OneTracker {
            return self.on_answer_to_private(url);
        }
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|known| known == url) {
                if let Some(before) = tier.get_mut(..=at) {
                    before.rotate_right(1);
                }
                if is_pieceful {
                    self.policy = TierPolicy::All;
                }
            }
        }
        PeerUpdate::Add
    }

    fn on_answer_to_private(&mut self, url: &str) -> PeerUpdate {
        // An announce made before the torrent was known to be private may have gone to a tracker
        // that the torrent does not name.
        let is_own = self.tiers.iter().flatten().any(|own| own == url);
        if !is_own || self.current_or_next().is_some_and(|current| current != url) {
            return PeerUpdate::Ignore;
        }
        self.failed.clear();
        match self.current.replace(url.to_owned()) {
            Some(former) if former != url => PeerUpdate::Replace,
            _ => PeerUpdate::Add,
        }
    }

    /// Handles a failed announce.
    pub(super) fn on_failure(&mut self, url: &str) {
        if self.policy == TierPolicy::OneTracker {
            self.failed.insert(url.to_owned());
        }
    }

    /// The trackers to announce to. `has_failed` returns whether the last announce to a tracker
    /// failed. Failed trackers before the working ones are included: they are tried again later.
    pub(super) fn wanted(&self, has_failed: impl Fn(&str) -> bool) -> Vec<String> {
        let all = self.tiers.iter().flatten();
        let mut missing = match (self.policy, self.current_or_next()) {
            (TierPolicy::InOrder, _) => self.target,
            (TierPolicy::OneTracker, Some(url)) => return vec![url.to_owned()],
            // If all have failed, all are tried again until one answers.
            (TierPolicy::OneTracker, None) | (TierPolicy::All, _) => usize::MAX,
        };
        let mut wanted = Vec::new();
        for url in all {
            wanted.push(url.clone());
            if !has_failed(url) {
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        wanted
    }

    /// The tracker of a private torrent. `None` if all have failed.
    fn current_or_next(&self) -> Option<&str> {
        let all = self.tiers.iter().flatten();
        let mut candidates = self.current.iter().chain(all).map(String::as_str);
        candidates.find(|url| !self.failed.contains(*url))
    }
}

/// Whether this URL is kept: announces to it are possible, or it has no scheme. Text without a
/// scheme is kept so that a person sees what is wrong with it.
fn is_kept(url: &str) -> bool {
    is_tracker_url(url) || scheme(url).is_none()
}

/// What an answer does to the known peers of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerUpdate {
    /// The peers in the answer are added.
    Add,
    /// The answer is ignored: it is not from the current tracker of a private torrent.
    Ignore,
    /// The peers in the answer replace the known ones, which came from the failed tracker of a
    /// private torrent (BEP 27).
    Replace,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers_with(tiers: &[&[&str]], policy: TierPolicy) -> Tiers {
        let tier = |tier: &&[&str]| tier.iter().map(|url| (*url).to_owned()).collect();
        Tiers::new(&tiers.iter().map(tier).collect::<Vec<_>>(), policy)
    }

    fn tiers(tiers: &[&[&str]]) -> Tiers {
        tiers_with(tiers, TierPolicy::InOrder)
    }

    fn wanted(tiers: &Tiers, failed: &[&str]) -> String {
        tiers.wanted(|url| failed.contains(&url)).concat()
    }

    #[test]
    fn trackers_are_tried_in_order_until_one_works() {
        let tiers = tiers(&[&["a"], &["b"], &["c", "a"]]);
        assert_eq!(wanted(&tiers, &[]), "a");
        assert_eq!(wanted(&tiers, &["a"]), "ab");
        assert_eq!(wanted(&tiers, &["a", "b"]), "abc");
        assert_eq!(
            wanted(&tiers, &["a", "b", "c"]),
            "abc",
            "all are tried again"
        );
        assert_eq!(wanted(&tiers, &["b"]), "a", "the first is back");
        assert_eq!(wanted(&self::tiers(&[]), &[]), "");
        let odd = self::tiers(&[&["wss://x"], &["dht://y", "a"], &["udp://z"]]);
        assert_eq!(wanted(&odd, &["a"]), "audp://z");
        assert!(!odd.is_empty() && self::tiers(&[&["wss://x"]]).is_empty());
    }

    #[test]
    fn added_trackers_come_after_the_others() {
        let added = [vec!["b".to_owned(), "a".to_owned()], vec!["a".to_owned()]];
        let mut open = tiers(&[&["a"]]);
        open.add(&added);
        assert_eq!(wanted(&open, &[]), "a");
        assert_eq!(wanted(&open, &["a"]), "ab");
        let mut private = tiers_with(&[&["a"]], TierPolicy::OneTracker);
        private.add(&added);
        private.on_failure("a");
        assert_eq!(wanted(&private, &["a"]), "a");
    }

    #[test]
    fn a_tier_is_shuffled_and_the_tracker_that_answers_moves_to_its_front() {
        let mut orders = HashSet::new();
        for _ in 0..1_000 {
            let mut tiers = tiers(&[&["a", "b", "c"], &["d"]]);
            let order = wanted(&tiers, &["a", "b", "c", "d"]);
            assert!(order.ends_with('d'));
            tiers.on_answer(&order[2..3], false);
            let moved = [&order[2..3], &order[..2], "d"].concat();
            assert_eq!(wanted(&tiers, &["a", "b", "c", "d"]), moved);
            assert_eq!(wanted(&tiers, &[&order[..1]]), order[2..3]);
            tiers.on_answer("d", false);
            assert_eq!(
                wanted(&tiers, &["a", "b", "c", "d"]),
                moved,
                "never to another tier"
            );
            orders.insert(order);
        }
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn if_one_tracker_is_pieceful_all_trackers_are_announced_to() {
        let mut tiers = tiers(&[&["a"], &["b"], &["c"]]);
        tiers.on_answer("elsewhere", true);
        assert_eq!(wanted(&tiers, &[]), "a");
        tiers.on_answer("b", true);
        assert_eq!(wanted(&tiers, &[]), "abc");
        tiers.on_answer("a", false);
        assert_eq!(wanted(&tiers, &[]), "abc");
    }

    #[test]
    fn a_starved_download_doubles_its_trackers_each_time() {
        let mut tiers = tiers(&[&["a"], &["b"], &["c"], &["d"], &["e"]]);
        let start = Instant::now();
        let mut after = |seconds, is_starved| {
            let more = tiers.extend_if_starved(is_starved, start + Duration::from_secs(seconds));
            (more, wanted(&tiers, &["b"]))
        };
        assert_eq!(after(0, true), (false, "a".into()));
        assert_eq!(after(9, true), (false, "a".into()));
        assert_eq!(after(10, false), (false, "a".into()), "data arrived");
        assert_eq!(after(12, true), (false, "a".into()));
        assert_eq!(after(21, true), (false, "a".into()));
        assert_eq!(after(22, true), (true, "abc".into()), "b fails");
        assert_eq!(after(31, true), (false, "abc".into()));
        assert_eq!(after(32, true), (true, "abcde".into()));
        assert_eq!(after(42, true), (true, "abcde".into()));
        assert_eq!(
            after(52, true),
            (false, "abcde".into()),
            "there are no more"
        );
        assert_eq!(after(53, false), (false, "abcde".into()), "they stay");
    }

    #[test]
    fn a_magnet_link_announces_to_all_trackers_until_its_torrent_is_known_to_be_private() {
        let mut tiers = tiers_with(&[&["a"], &["b"], &["c"]], TierPolicy::All);
        assert_eq!(wanted(&tiers, &[]), "abc");
        assert_eq!(tiers.on_answer("c", false), PeerUpdate::Add);
        assert!(!tiers.is_private());
        tiers.set_private(|url| url == "a");
        assert!(tiers.is_private());
        assert_eq!(wanted(&tiers, &["a"]), "b");
    }

    #[test]
    fn a_private_torrent_has_one_tracker_and_another_when_that_fails() {
        let mut tiers = tiers_with(&[&["a"], &["b"], &["c"]], TierPolicy::OneTracker);
        assert_eq!(tiers.on_answer("a", true), PeerUpdate::Add);
        let start = Instant::now();
        assert!(
            ![0, 9, 99]
                .iter()
                .any(|times| tiers.extend_if_starved(true, start + STARVED_LIMIT * *times))
        );
        assert_eq!(
            wanted(&tiers, &[]),
            "a",
            "a pieceful tracker makes no difference"
        );
        tiers.on_failure("a");
        assert_eq!(wanted(&tiers, &["a"]), "b");
        tiers.on_failure("b");
        assert_eq!(wanted(&tiers, &[]), "c");
        assert_eq!(tiers.on_answer("a", false), PeerUpdate::Ignore);
        assert_eq!(tiers.on_answer("c", false), PeerUpdate::Replace);
        assert_eq!(wanted(&tiers, &[]), "c", "not the first one again");
        assert_eq!(tiers.on_answer("c", false), PeerUpdate::Add);
        for url in ["c", "a", "b"] {
            assert!(wanted(&tiers, &[]) == url);
            tiers.on_failure(url);
        }
        assert_eq!(wanted(&tiers, &[]), "abc", "all are tried again");
        assert_eq!(
            tiers.on_answer("c", false),
            PeerUpdate::Add,
            "the same tracker"
        );
        assert_eq!(wanted(&tiers, &["a", "b", "c"]), "c");
    }

    #[test]
    fn the_first_answer_of_a_private_torrent_replaces_no_peers() {
        let mut tiers = tiers_with(&[&["a"], &["b"]], TierPolicy::OneTracker);
        tiers.on_failure("a");
        assert_eq!(tiers.on_answer("b", false), PeerUpdate::Add);
        let mut tiers = tiers_with(&[&["a"], &["b"]], TierPolicy::OneTracker);
        ["a", "b"].into_iter().for_each(|url| tiers.on_failure(url));
        assert_eq!(tiers.on_answer("b", false), PeerUpdate::Add);
        assert_eq!(tiers.on_answer("a", false), PeerUpdate::Ignore);
    }
}
