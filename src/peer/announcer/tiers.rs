//! Which of a torrent's trackers are announced to (BEP 12).
//!
//! The standard is read in two ways. As it is written: the trackers are asked in order, each tier in a random one, and the
//! first that answers is announced to alone, and moves to the front of its tier. The other reading announces to all. The first
//! keeps trackers of others from being asked without need; the second is right for ours, which do not tell each other who
//! is in a swarm: those of TRACKER_INFO are announced to in any case, and once a tracker of a torrent says that it is one of ours,
//! so are all that the torrent names.

use std::collections::HashSet;

/// The trackers of one torrent, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Tiers {
    tiers: Vec<Vec<String>>,
    /// One of ours has answered.
    all: bool,
}

impl Tiers {
    /// The tiers of a metainfo, each shuffled. Of a URL that stands twice the first counts.
    pub(super) fn new(tiers: &[Vec<String>]) -> Self {
        let mut seen = HashSet::new();
        let tiers = tiers.iter().map(|tier| {
            let urls = tier.iter().filter(|url| seen.insert(url.as_str()));
            let mut urls: Vec<String> = urls.cloned().collect();
            fastrand::shuffle(&mut urls);
            urls
        });
        Self {
            tiers: tiers.collect(),
            all: false,
        }
    }

    /// A tracker has answered, and said whether it is one of ours.
    pub(super) fn answered(&mut self, url: &str, is_ours: bool) {
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|known| known == url) {
                if let Some(before) = tier.get_mut(..=at) {
                    before.rotate_right(1);
                }
                self.all |= is_ours;
            }
        }
    }

    /// The trackers to announce to, given which of them failed the last time: those failed too, as each is tried again
    /// later and comes before the one that answers instead of it.
    pub(super) fn wanted(&self, has_failed: impl Fn(&str) -> bool) -> Vec<String> {
        let mut wanted = Vec::new();
        for url in self.tiers.iter().flatten() {
            wanted.push(url.clone());
            if !self.all && !has_failed(url) {
                break;
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(tiers: &[&[&str]]) -> Tiers {
        let tier = |tier: &&[&str]| tier.iter().map(|url| (*url).to_owned()).collect();
        Tiers::new(&tiers.iter().map(tier).collect::<Vec<_>>())
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
}
