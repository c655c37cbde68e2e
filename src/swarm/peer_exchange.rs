//! What one link is told of the others, and how often it may tell us (BEP 11).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Messages go out no more often than this (BEP 11: once a minute).
const PAUSE: Duration = Duration::from_secs(60);
/// While there is nothing to tell, it is looked for again so soon: at first, and later.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_LATER: Duration = Duration::from_secs(10);
/// A message that comes sooner than this after the last is passed over; clocks and lines are not
/// exact.
const TOO_SOON: Duration = Duration::from_secs(45);
/// How many of those in a row are borne.
const MOST_EARLY: u32 = 10;

/// The talk about contacts on one link.
#[derive(Debug, Default)]
pub struct PeerExchange {
    told: BTreeSet<SocketAddr>,
    /// When something may be told next.
    next: Duration,
    /// When a message last counted.
    heard: Option<Duration>,
    early: u32,
}

/// What a link is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Contacts that it was not told of.
    pub added: Vec<SocketAddr>,
    /// Contacts that it was told of and that are gone.
    pub dropped: Vec<SocketAddr>,
}

/// Messages come far too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("contacts are told again and again, more often than once a minute")]
pub struct TooOften;

impl PeerExchange {
    /// Whether it is time to look for something to tell.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    /// What to tell of `current` contacts now, at most `most` new and `most` gone ones; the others
    /// wait for the next time. The link's `own` address is no news to it.
    pub fn tell(
        &mut self,
        now: Duration,
        current: &BTreeSet<SocketAddr>,
        own: Option<SocketAddr>,
        most: usize,
    ) -> Option<News> {
        if !self.is_due(now) {
            return None;
        }
        let added = current.difference(&self.told);
        let added = added.filter(|address| Some(**address) != own);
        let news = News {
            added: added.copied().take(most).collect(),
            dropped: self.told.difference(current).copied().take(most).collect(),
        };
        if news == News::default() {
            let first = self.told.is_empty();
            self.next = now + if first { LOOK } else { LOOK_LATER };
            return None;
        }
        self.told.extend(&news.added);
        for address in &news.dropped {
            self.told.remove(address);
        }
        self.next = now + PAUSE;
        Some(news)
    }

    /// A message came; says whether it counts.
    ///
    /// # Errors
    /// When too many came too soon.
    pub fn hear(&mut self, now: Duration) -> Result<bool, TooOften> {
        if self
            .heard
            .is_some_and(|last| now.saturating_sub(last) < TOO_SOON)
        {
            self.early += 1;
            return match self.early > MOST_EARLY {
                true => Err(TooOften),
                false => Ok(false),
            };
        }
        self.heard = Some(now);
        self.early = 0;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contacts(ports: std::ops::Range<u16>) -> BTreeSet<SocketAddr> {
        ports.map(|port| ([10, 0, 0, 1], port).into()).collect()
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn news_are_told_once_a_minute_and_no_more_than_allowed_at_a_time() {
        let mut gossip = PeerExchange::default();
        assert_eq!(gossip.tell(at(1), &contacts(0..0), None, 50), None);
        assert!(!gossip.is_due(at(1)) && gossip.is_due(at(2)));
        let first = gossip.tell(at(2), &contacts(0..70), None, 50).unwrap();
        assert_eq!((first.added.len(), first.dropped.len()), (50, 0));
        for second in 3..62 {
            assert_eq!(gossip.tell(at(second), &contacts(0..70), None, 50), None);
        }
        // 60 to 69 were never told of, so that nobody need hear that they are gone.
        let second = gossip.tell(at(62), &contacts(10..60), None, 50).unwrap();
        assert_eq!(second.added.len(), 10);
        assert_eq!(second.dropped.len(), 10);
        assert_eq!(gossip.tell(at(122), &contacts(10..60), None, 50), None);
        assert!(!gossip.is_due(at(131)) && gossip.is_due(at(132)));
        let own = Some(([10, 0, 0, 1], 70).into());
        assert_eq!(
            gossip
                .tell(at(132), &contacts(10..61), None, 50)
                .unwrap()
                .added
                .len(),
            1
        );
        assert_eq!(gossip.tell(at(192), &contacts(10..61), own, 50), None);
        let others = gossip.tell(at(202), &contacts(10..72), own, 50).unwrap();
        assert_eq!(others.added.len(), 10, "all but its own");
    }

    #[test]
    fn what_comes_too_soon_does_not_count_and_too_much_of_it_is_a_breach() {
        let mut gossip = PeerExchange::default();
        assert_eq!(gossip.hear(at(0)), Ok(true));
        for _ in 0..MOST_EARLY {
            assert_eq!(gossip.hear(at(44)), Ok(false));
        }
        assert_eq!(gossip.hear(at(45)), Ok(true), "it bettered itself");
        for _ in 0..MOST_EARLY {
            assert_eq!(gossip.hear(at(46)), Ok(false));
        }
        assert_eq!(gossip.hear(at(46)), Err(TooOften));
    }
}
