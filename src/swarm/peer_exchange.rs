//! Peer exchange on one link (BEP 11): which addresses we send and when, and how often we accept a
//! message.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The shortest time between two messages that we send (BEP 11: once a minute).
const PAUSE: Duration = Duration::from_secs(60);
/// While there is nothing to send, the next look comes this soon: before the first message, and
/// after it.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_LATER: Duration = Duration::from_secs(10);
/// A message that comes sooner than this after the last one is ignored. It is less than a minute,
/// because clocks and connections are not exact.
const TOO_SOON: Duration = Duration::from_secs(45);
/// The largest number of early messages in a row that is accepted.
const MOST_EARLY: u32 = 10;

/// The peer exchange of one link.
#[derive(Debug, Default)]
pub struct PeerExchange {
    told: BTreeSet<SocketAddr>,
    /// The earliest time of the next message to send.
    next: Duration,
    /// When a message was last accepted.
    heard: Option<Duration>,
    early: u32,
}

/// What a message to a link says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// New addresses, which the link does not have from us.
    pub added: Vec<SocketAddr>,
    /// Addresses that we sent to the link and that are gone.
    pub dropped: Vec<SocketAddr>,
}

/// Messages come far too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("contacts are told again and again, more often than once a minute")]
pub struct TooOften;

impl PeerExchange {
    /// Whether it is time to look for something to send.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    /// The message to send now, with at most `most` added and `most` dropped addresses out of
    /// `current`. The others wait for the next message. The peer's `own` address is left out.
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

    /// A message arrived. Returns whether it is accepted.
    ///
    /// # Errors
    /// Too many messages in a row came too early.
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
        // 60 to 69 were never sent, so they are not reported as dropped.
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
