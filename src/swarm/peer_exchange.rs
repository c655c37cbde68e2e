//! Peer exchange on one link (BEP 11): which addresses we send and when, and how often we accept a
//! message.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The shortest time between two messages that we send (BEP 11: once a minute).
const SEND_INTERVAL: Duration = Duration::from_secs(60);
/// Interval between checks whether there is something to send, while the peer has no address from
/// us.
const FIRST_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The same, while the peer has addresses from us.
const LATER_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// A message that comes sooner than this after the last accepted one is ignored. The interval is
/// less than a minute, because clocks and connections are not exact.
const MIN_ACCEPTED_INTERVAL: Duration = Duration::from_secs(45);
/// If more early messages than this come in a row, that is a breach of the protocol.
const MAX_EARLY: u32 = 10;

/// The peer exchange of one link.
#[derive(Debug, Default)]
pub struct PeerExchange {
    /// The addresses that the peer has from us.
    sent: BTreeSet<SocketAddr>,
    /// When to check again whether there is something to send.
    next_check: Duration,
    /// When a message was last accepted.
    last_accepted: Option<Duration>,
    /// The number of early messages in a row.
    early: u32,
}

/// The content of a message to the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactChanges {
    /// New addresses, which the peer does not have from us.
    pub added: Vec<SocketAddr>,
    /// Addresses that we have sent to the peer and that it should drop now.
    pub dropped: Vec<SocketAddr>,
}

/// Messages come far too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer exchange messages come far more often than once a minute")]
pub struct TooOften;

impl PeerExchange {
    /// Whether it is time to check for something to send.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.next_check
    }

    /// The message to send now; `None` if none is due, or if nothing has changed. `current` are the
    /// addresses that the peer is to have. `peer` is the peer's own address, which is left out. The
    /// message has at most `max` added and `max` dropped addresses. The others wait for the next
    /// message.
    pub fn next_message(
        &mut self,
        now: Duration,
        current: &BTreeSet<SocketAddr>,
        peer: Option<SocketAddr>,
        max: usize,
    ) -> Option<ContactChanges> {
        if !self.is_due(now) {
            return None;
        }
        let added = current.difference(&self.sent);
        let added = added.filter(|address| Some(**address) != peer);
        let changes = ContactChanges {
            added: added.copied().take(max).collect(),
            dropped: self.sent.difference(current).copied().take(max).collect(),
        };
        if changes == ContactChanges::default() {
            let peer_has_none = self.sent.is_empty();
            self.next_check = now
                + if peer_has_none {
                    FIRST_CHECK_INTERVAL
                } else {
                    LATER_CHECK_INTERVAL
                };
            return None;
        }
        self.sent.extend(&changes.added);
        for address in &changes.dropped {
            self.sent.remove(address);
        }
        self.next_check = now + SEND_INTERVAL;
        Some(changes)
    }

    /// A message arrived. Returns whether it is accepted.
    ///
    /// # Errors
    /// Too many messages in a row came too early.
    pub fn on_message(&mut self, now: Duration) -> Result<bool, TooOften> {
        if self
            .last_accepted
            .is_some_and(|last| now.saturating_sub(last) < MIN_ACCEPTED_INTERVAL)
        {
            self.early += 1;
            return match self.early > MAX_EARLY {
                true => Err(TooOften),
                false => Ok(false),
            };
        }
        self.last_accepted = Some(now);
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
    fn changes_are_sent_once_a_minute_and_at_most_the_allowed_number_at_a_time() {
        let mut exchange = PeerExchange::default();
        assert_eq!(
            exchange.next_message(at(1), &contacts(0..0), None, 50),
            None
        );
        assert!(!exchange.is_due(at(1)) && exchange.is_due(at(2)));
        let first = exchange
            .next_message(at(2), &contacts(0..70), None, 50)
            .unwrap();
        assert_eq!((first.added.len(), first.dropped.len()), (50, 0));
        for second in 3..62 {
            assert_eq!(
                exchange.next_message(at(second), &contacts(0..70), None, 50),
                None
            );
        }
        // 60 to 69 were never sent, so they are not reported as dropped.
        let later = exchange
            .next_message(at(62), &contacts(10..60), None, 50)
            .unwrap();
        assert_eq!(later.added.len(), 10);
        assert_eq!(later.dropped.len(), 10);
        assert_eq!(
            exchange.next_message(at(122), &contacts(10..60), None, 50),
            None
        );
        assert!(!exchange.is_due(at(131)) && exchange.is_due(at(132)));
        let peer = Some(([10, 0, 0, 1], 70).into());
        assert_eq!(
            exchange
                .next_message(at(132), &contacts(10..61), None, 50)
                .unwrap()
                .added
                .len(),
            1
        );
        assert_eq!(
            exchange.next_message(at(192), &contacts(10..61), peer, 50),
            None
        );
        let others = exchange
            .next_message(at(202), &contacts(10..72), peer, 50)
            .unwrap();
        assert_eq!(others.added.len(), 10, "all but the peer's own");
    }

    #[test]
    fn early_messages_are_ignored_and_too_many_of_them_are_a_breach() {
        let mut exchange = PeerExchange::default();
        assert_eq!(exchange.on_message(at(0)), Ok(true));
        for _ in 0..MAX_EARLY {
            assert_eq!(exchange.on_message(at(44)), Ok(false));
        }
        assert_eq!(
            exchange.on_message(at(45)),
            Ok(true),
            "back to the allowed pace"
        );
        for _ in 0..MAX_EARLY {
            assert_eq!(exchange.on_message(at(46)), Ok(false));
        }
        assert_eq!(exchange.on_message(at(46)), Err(TooOften));
    }
}
