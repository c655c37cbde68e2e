//! The trackers, web seeds and peers that a `.torrent` or a magnet link names. A `.torrent` and a
//! magnet link of the same share may name different ones.

use super::Metainfo;

/// The largest number of trackers, of web seeds and of peers that one share collects.
const MAX_OF_EACH: usize = 256;

/// The trackers, web seeds and peers of a share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedSources {
    /// Announce URLs in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// URLs of HTTP servers (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers as `HOST:PORT`. Not checked.
    pub peers: Vec<String>,
}

impl NamedSources {
    /// Adds the sources of `more` that are not here yet; new trackers get tiers of their own after
    /// the others. Returns what was added.
    pub fn merge(&mut self, more: &Self) -> Self {
        let mut added = Self {
            trackers: Vec::new(),
            web_seeds: new_of(&self.web_seeds, &more.web_seeds),
            peers: new_of(&self.peers, &more.peers),
        };
        self.web_seeds.extend(added.web_seeds.iter().cloned());
        self.peers.extend(added.peers.iter().cloned());
        for tier in &more.trackers {
            let known: Vec<String> = self.trackers.iter().flatten().cloned().collect();
            let tier = new_of(&known, tier);
            if !tier.is_empty() {
                self.trackers.push(tier.clone());
                added.trackers.push(tier);
            }
        }
        added
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.tracker_count() == 0 && self.web_seeds.is_empty() && self.peers.is_empty()
    }

    /// The number of trackers.
    pub fn tracker_count(&self) -> usize {
        self.trackers.iter().map(Vec::len).sum()
    }
}

impl From<&Metainfo> for NamedSources {
    fn from(metainfo: &Metainfo) -> Self {
        Self {
            trackers: metainfo.trackers().to_vec(),
            web_seeds: metainfo.web_seeds().to_vec(),
            peers: Vec::new(),
        }
    }
}

/// The items of `more` that `known` lacks, each once, as far as there is room.
fn new_of(known: &[String], more: &[String]) -> Vec<String> {
    let room = MAX_OF_EACH.saturating_sub(known.len());
    let mut new: Vec<String> = Vec::new();
    for item in more {
        if new.len() < room && !known.contains(item) && !new.contains(item) {
            new.push(item.clone());
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn only_new_sources_are_added_and_new_trackers_come_after_the_others() {
        let mut known = NamedSources {
            trackers: vec![texts(&["a", "b"])],
            web_seeds: texts(&["w"]),
            peers: Vec::new(),
        };
        let more = NamedSources {
            trackers: vec![texts(&["c", "a", "c"]), texts(&["b"]), texts(&["d"])],
            web_seeds: texts(&["v", "w"]),
            peers: texts(&["p:1"]),
        };
        let added = known.merge(&more);
        assert_eq!(added.trackers, [texts(&["c"]), texts(&["d"])]);
        assert_eq!(added.web_seeds, texts(&["v"]));
        assert_eq!(added.peers, texts(&["p:1"]));
        assert_eq!(
            known.trackers,
            [texts(&["a", "b"]), texts(&["c"]), texts(&["d"])]
        );
        assert_eq!((known.tracker_count(), added.tracker_count()), (4, 2));
        assert!(known.merge(&more).is_empty());
    }

    #[test]
    fn a_share_collects_a_bounded_number_of_sources() {
        let many: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let mut known = NamedSources::default();
        known.merge(&NamedSources {
            trackers: vec![many.clone(), texts(&["x"])],
            web_seeds: many.clone(),
            peers: many,
        });
        assert_eq!(known.tracker_count(), MAX_OF_EACH);
        assert_eq!(known.web_seeds.len(), MAX_OF_EACH);
        assert_eq!(known.peers.len(), MAX_OF_EACH);
    }
}
