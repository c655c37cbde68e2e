//! Which of a torrent's trackers are announced to (BEP 12, BEP 27).
//!
//! BEP 12 is read in two ways. As it is written: the trackers are asked in order, each tier in a random one, and the first that
//! answers is announced to alone, and moves to the front of its tier; those that failed before it are tried again later. The
//! other reading announces to all. Here a torrent is announced as it is written, as long as that serves it:
//!
//! - A download into which nothing comes for a while ([`Tiers::need`]) announces to twice as many as before, then to twice as many
//!   again, as another tracker may know another swarm. Who seeds, or gets what it wants, does not ask others without need.
//! - A magnet link starts with all that it names: it gives them no order, and anybody may have the metadata.
//! - Trackers of ours do not tell each other who is in a swarm: those of TRACKER_INFO are announced to in any case, and once a
//!   tracker of a torrent says that it is one of ours, so are all that the torrent names.
//!
//! A private torrent (BEP 27) is announced to one tracker only, whosesoever it is, and to another only once that one fails. Who
//! came from the former one is then given up.
//!
//! In scope: the choice. The time and how it goes are handed in; when what is announced is `schedule.rs`'s matter.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long nothing comes into a download before more trackers are announced to. In ten seconds owners that are there are
/// found, called, and have looked once at whom to unchoke.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a torrent's trackers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// In order until so many have answered: one, and more as there is need.
    InOrder,
    /// All of them.
    All,
    /// One, until it fails (BEP 27).
    One,
}

/// The trackers of one torrent, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Tiers {
    tiers: Vec<Vec<String>>,
    reading: Reading,
    /// How many that do not fail are announced to, read in order.
    enough: usize,
    /// Since when nothing has come, or more were taken for it.
    in_need: Option<Instant>,
    /// Of a private torrent: the one it is announced to, once that has answered.
    used: Option<String>,
    /// Of a private torrent: those that failed since one answered.
    failed: HashSet<String>,
}

impl Tiers {
    /// The tiers of a metainfo, each shuffled. Of a URL that stands twice the first counts.
    pub(super) fn new(tiers: &[Vec<String>], reading: Reading) -> Self {
        let mut seen = HashSet::new();
        let tiers = tiers.iter().map(|tier| {
            let urls = tier.iter().filter(|url| seen.insert(url.as_str()));
            let mut urls: Vec<String> = urls.cloned().collect();
            fastrand::shuffle(&mut urls);
            urls
        });
        Self {
            tiers: tiers.collect(),
            reading,
            enough: 1,
            in_need: None,
            used: None,
            failed: HashSet::new(),
        }
    }

    /// The torrent turned out to be private, as a magnet link does not tell; `has_failed` says of trackers whether they did.
    pub(super) fn keep_to_one(&mut self, has_failed: impl Fn(&str) -> bool) {
        if self.reading != Reading::One {
            self.reading = Reading::One;
            let all = self.tiers.iter().flatten();
            self.failed = all.filter(|url| has_failed(url)).cloned().collect();
        }
    }

    /// Whether the torrent is private, so that nobody but one of its own trackers may hear of it.
    pub(super) fn keeps_to_one(&self) -> bool {
        self.reading == Reading::One
    }

    /// Looked at now, something comes into the download or nothing does; says whether more trackers are wanted for it.
    pub(super) fn need(&mut self, nothing_comes: bool, now: Instant) -> bool {
        if !nothing_comes {
            self.in_need = None;
            return false;
        }
        let since = *self.in_need.get_or_insert(now);
        let all = self.tiers.iter().map(Vec::len).sum();
        if self.reading != Reading::InOrder
            || self.enough >= all
            || now.saturating_duration_since(since) < PATIENCE
        {
            return false;
        }
        // What was taken stays: who came from there may need us.
        self.enough = self.enough.saturating_mul(2).min(all);
        self.in_need = Some(now);
        true
    }

    /// A tracker has answered, and said whether it is one of ours.
    pub(super) fn answered(&mut self, url: &str, is_ours: bool) -> Heard {
        if self.reading == Reading::One {
            return self.one_answered(url);
        }
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|known| known == url) {
                if let Some(before) = tier.get_mut(..=at) {
                    before.rotate_right(1);
                }
                if is_ours {
                    self.reading = Reading::All;
                }
            }
        }
        Heard::Taken
    }

    fn one_answered(&mut self, url: &str) -> Heard {
        // What was asked before the torrent was known to be private may be no tracker of its own.
        let is_own = self.tiers.iter().flatten().any(|own| own == url);
        if !is_own || self.one().is_some_and(|one| one != url) {
            return Heard::PassedOver;
        }
        self.failed.clear();
        match self.used.replace(url.to_owned()) {
            Some(former) if former != url => Heard::Instead,
            _ => Heard::Taken,
        }
    }

    /// A tracker gave no answer.
    pub(super) fn failed(&mut self, url: &str) {
        if self.reading == Reading::One {
            self.failed.insert(url.to_owned());
        }
    }

    /// The trackers to announce to, given which of them failed the last time: those failed too, as each is tried again
    /// later and comes before the one that answers instead of it.
    pub(super) fn wanted(&self, has_failed: impl Fn(&str) -> bool) -> Vec<String> {
        let all = self.tiers.iter().flatten();
        let mut enough = match (self.reading, self.one()) {
            (Reading::InOrder, _) => self.enough,
            (Reading::One, Some(one)) => return vec![one.to_owned()],
            // Where all have failed, all are tried again until one answers.
            (Reading::One, None) | (Reading::All, _) => usize::MAX,
        };
        let mut wanted = Vec::new();
        for url in all {
            wanted.push(url.clone());
            if !has_failed(url) {
                enough -= 1;
                if enough == 0 {
                    break;
                }
            }
        }
        wanted
    }

    /// The tracker that a private torrent is announced to; none if all have failed.
    fn one(&self) -> Option<&str> {
        let all = self.tiers.iter().flatten();
        let mut sound = self.used.iter().chain(all).map(String::as_str);
        sound.find(|url| !self.failed.contains(*url))
    }
}

/// What an answer means for a torrent's peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It names some.
    Taken,
    /// It does not count: a private torrent is announced elsewhere by now.
    PassedOver,
    /// It takes the place of the tracker of a private torrent that failed: whoever that one named is given up (BEP 27).
    Instead,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tiers: &[&[&str]], reading: Reading) -> Tiers {
        let tier = |tier: &&[&str]| tier.iter().map(|url| (*url).to_owned()).collect();
        Tiers::new(&tiers.iter().map(tier).collect::<Vec<_>>(), reading)
    }

    fn tiers(tiers: &[&[&str]]) -> Tiers {
        read(tiers, Reading::InOrder)
    }

    fn wanted(tiers: &Tiers, failed: &[&str]) -> String {
        tiers.wanted(|url| failed.contains(&url)).concat()
    }

    #[test]
    fn one_that_fails_leads_to_the_next_and_one_that_answers_ends_the_search() {
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
    }

    #[test]
    fn a_tier_is_shuffled_and_who_answers_moves_to_its_front() {
        let mut orders = HashSet::new();
        for _ in 0..1_000 {
            let mut tiers = tiers(&[&["a", "b", "c"], &["d"]]);
            let order = wanted(&tiers, &["a", "b", "c", "d"]);
            assert!(order.ends_with('d'));
            tiers.answered(&order[2..3], false);
            let moved = [&order[2..3], &order[..2], "d"].concat();
            assert_eq!(wanted(&tiers, &["a", "b", "c", "d"]), moved);
            assert_eq!(wanted(&tiers, &[&order[..1]]), order[2..3]);
            tiers.answered("d", false);
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
    fn trackers_of_ours_are_all_announced_to() {
        let mut tiers = tiers(&[&["a"], &["b"], &["c"]]);
        tiers.answered("elsewhere", true);
        assert_eq!(wanted(&tiers, &[]), "a");
        tiers.answered("b", true);
        assert_eq!(wanted(&tiers, &[]), "abc");
        tiers.answered("a", false);
        assert_eq!(wanted(&tiers, &[]), "abc");
    }

    #[test]
    fn a_download_into_which_nothing_comes_goes_on_to_twice_as_many_each_time() {
        let mut tiers = tiers(&[&["a"], &["b"], &["c"], &["d"], &["e"]]);
        let start = Instant::now();
        let mut after = |seconds, nothing| {
            let more = tiers.need(nothing, start + Duration::from_secs(seconds));
            (more, wanted(&tiers, &["b"]))
        };
        assert_eq!(after(0, true), (false, "a".into()));
        assert_eq!(after(9, true), (false, "a".into()));
        assert_eq!(after(10, false), (false, "a".into()), "something came");
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
    fn a_magnet_link_s_are_all_asked_until_its_torrent_is_private() {
        let mut tiers = read(&[&["a"], &["b"], &["c"]], Reading::All);
        assert_eq!(wanted(&tiers, &[]), "abc");
        assert_eq!(tiers.answered("c", false), Heard::Taken);
        assert!(!tiers.keeps_to_one());
        tiers.keep_to_one(|url| url == "a");
        assert!(tiers.keeps_to_one());
        assert_eq!(wanted(&tiers, &["a"]), "b");
    }

    #[test]
    fn a_private_torrent_has_one_tracker_at_a_time_and_another_once_it_fails() {
        let mut tiers = read(&[&["a"], &["b"], &["c"]], Reading::One);
        assert_eq!(tiers.answered("a", true), Heard::Taken);
        let start = Instant::now();
        assert!(
            ![0, 9, 99]
                .iter()
                .any(|times| tiers.need(true, start + PATIENCE * *times))
        );
        assert_eq!(wanted(&tiers, &[]), "a", "ours too is one");
        tiers.failed("a");
        assert_eq!(wanted(&tiers, &["a"]), "b");
        tiers.failed("b");
        assert_eq!(wanted(&tiers, &[]), "c");
        assert_eq!(tiers.answered("a", false), Heard::PassedOver);
        assert_eq!(tiers.answered("c", false), Heard::Instead);
        assert_eq!(wanted(&tiers, &[]), "c", "the first that failed is left");
        assert_eq!(tiers.answered("c", false), Heard::Taken);
        for url in ["c", "a", "b"] {
            assert!(wanted(&tiers, &[]) == url);
            tiers.failed(url);
        }
        assert_eq!(wanted(&tiers, &[]), "abc", "all are tried again");
        assert_eq!(tiers.answered("c", false), Heard::Taken, "it is the same");
        assert_eq!(wanted(&tiers, &["a", "b", "c"]), "c");
    }

    #[test]
    fn a_private_torrent_s_first_answer_gives_up_nobody() {
        let mut tiers = read(&[&["a"], &["b"]], Reading::One);
        tiers.failed("a");
        assert_eq!(tiers.answered("b", false), Heard::Taken);
        let mut tiers = read(&[&["a"], &["b"]], Reading::One);
        ["a", "b"].into_iter().for_each(|url| tiers.failed(url));
        assert_eq!(tiers.answered("b", false), Heard::Taken);
        assert_eq!(tiers.answered("a", false), Heard::PassedOver);
    }
}
