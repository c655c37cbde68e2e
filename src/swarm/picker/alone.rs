//! Decides which pieces are fetched from one link alone, and from which link.
//!
//! A bad piece proves that a link lies only if all blocks of the piece came from this link. So a
//! piece that failed with several sources is *reserved* for one link when it is fetched again: this
//! link alone delivers it.
//!
//! A link is *cleared* when a piece that came from it alone is verified. It is no longer cleared
//! when it stalls (a web seed may stall), misses a deadline, or has sent a block of a bad piece. As
//! soon as any piece of the download has failed, two rules hold:
//!
//! - A piece that is begun by a link that is not cleared is reserved for this link. So the pieces
//!   of a liar prove that it lies.
//! - Several links may deliver any other piece. But a link that is not cleared delivers blocks of
//!   that piece only if no better link offers the piece. Cleared links are best. Then come other
//!   links with verified blocks, and then *strangers*: links without verified blocks. So a liar can
//!   spoil only a few pieces of other links.
//!
//! A link could hold a reserved piece back. So there is a deadline, after which the piece is
//! reserved for another link. Only a link that offers the piece can get it, and the link with the
//! best [`Rank`] gets it. The attempts to fetch a piece form *rounds*: the piece is reserved for
//! each link at most once in a round. When a link gets the piece again, a new round begins. This
//! table has the ranks, from the best to the worst:
//!
//! | rank | the link | was the piece reserved for it in this round? |
//! |---|---|---|
//! | `Cleared` | is cleared | no |
//! | `Verified` | is not cleared, but has verified blocks | no |
//! | `Stranger` | is a stranger | no, and it was reserved for fewer than four links |
//! | `VerifiedAgain` | has verified blocks | yes |
//! | `LateStranger` | is a stranger | no, but it was reserved for four or more links |
//! | `StrangerAgain` | is a stranger | yes |
//!
//! New strangers can come without end, under new ports. `LateStranger` is worse than
//! `VerifiedAgain`, so that strangers cannot keep a piece for ever from a slow link that is honest.

use super::link::PickerLink;
use crate::swarm::LinkId;
use crate::torrent::PieceIndex;
use std::collections::BTreeMap;
use std::time::Duration;

/// The shortest deadline of a link for which a piece is reserved.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(10);
/// The shortest deadline of a web seed. Its answer to a request for a long range may begin late.
const SHORTEST_WEB_SEED_DEADLINE: Duration = Duration::from_secs(60);
/// The deadline is this factor times the time that a fast link needs for the piece: see
/// `slow::fastest_rate`.
const DEADLINE_FACTOR: f64 = 4.0;
/// Each new round doubles the deadline, but no more than this many rounds do so.
const MAX_DOUBLINGS: u32 = 4;
/// When a piece was reserved for this many links in one round, further strangers get the rank
/// [`Rank::LateStranger`].
const STRANGERS_LATE_AFTER: u32 = 4;

/// The rank of a link for one piece: see the table in the documentation of the module. A smaller
/// rank is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Cleared,
    Verified,
    Stranger,
    VerifiedAgain,
    LateStranger,
    StrangerAgain,
}

/// The pieces of a download that only one link may deliver.
#[derive(Debug, Default)]
pub(super) struct AlonePieces {
    /// Each such piece, until it is owned.
    pub(super) attempts: BTreeMap<PieceIndex, Attempts>,
    /// Whether any piece has failed.
    pub(super) any_failed: bool,
}

/// The attempts so far to fetch a piece from one link alone.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The links that did not complete the piece in this round. Links that have ended are removed.
    tried: Vec<LinkId>,
    /// The number of links that did not complete the piece in this round. It includes links that
    /// have ended.
    tried_count: u32,
    /// The number of rounds before this one.
    earlier_rounds: u32,
}

impl Attempts {
    /// The rank of a link.
    pub(super) fn rank(&self, link: &PickerLink) -> Rank {
        match self.tried.contains(&link.id) {
            false if link.merit.is_cleared => Rank::Cleared,
            false if link.merit.has_verified_blocks => Rank::Verified,
            false if self.tried_count < STRANGERS_LATE_AFTER => Rank::Stranger,
            false => Rank::LateStranger,
            true if link.merit.has_verified_blocks => Rank::VerifiedAgain,
            true => Rank::StrangerAgain,
        }
    }

    /// The piece is reserved for the link.
    pub(super) fn on_reserved(&mut self, link: &PickerLink) {
        if self.tried.contains(&link.id) {
            self.tried.clear();
            self.tried_count = 0;
            self.earlier_rounds = self.earlier_rounds.saturating_add(1);
        }
    }

    /// The piece was reserved for the link, which did not complete it.
    pub(super) fn on_given_up(&mut self, link: LinkId) {
        self.tried.push(link);
        self.tried_count = self.tried_count.saturating_add(1);
    }

    /// The link has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.tried.retain(|tried| *tried != link);
    }

    /// For how long the piece, whose length is `bytes`, may be reserved for a link. `fastest` is
    /// the rate of a fast link, in bytes a second, or 0 if no rate is known: see
    /// `slow::fastest_rate`.
    pub(super) fn deadline(&self, bytes: u32, fastest: f64, is_web_seed: bool) -> Duration {
        let shortest = match is_web_seed {
            true => SHORTEST_WEB_SEED_DEADLINE,
            false => SHORTEST_DEADLINE,
        };
        let seconds = DEADLINE_FACTOR * f64::from(bytes) / fastest;
        let usual = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        usual.max(shortest) * (1 << self.earlier_rounds.min(MAX_DOUBLINGS))
    }
}

/// A link that is compared with all links of the download.
#[derive(Clone, Copy, Debug)]
pub(super) struct RankedLink<'a> {
    pub(super) link: &'a PickerLink,
    /// All links, also `link` itself.
    pub(super) links: &'a BTreeMap<LinkId, PickerLink>,
}

impl RankedLink<'_> {
    /// Whether the link may deliver blocks of a piece that is not for one link alone, after some
    /// piece of the download has failed. It may if it is cleared, or if no link with more merit
    /// offers the piece.
    pub(super) fn may_join(&self, piece: PieceIndex) -> bool {
        let merit = |link: &PickerLink| (link.merit.is_cleared, link.merit.has_verified_blocks);
        let own = merit(self.link);
        self.link.merit.is_cleared || !self.others(piece).any(|other| merit(other) > own)
    }

    /// Whether the piece may be reserved for the link now: no link with a better rank offers it.
    pub(super) fn may_deliver_alone(&self, piece: PieceIndex, attempts: &Attempts) -> bool {
        let rank = attempts.rank(self.link);
        !self.others(piece).any(|other| attempts.rank(other) < rank)
    }

    /// Whether the link is to give up the piece that has been reserved for it for the time
    /// `elapsed`. That is so in two cases:
    ///
    /// - The deadline has passed, and another link offers the piece.
    /// - So much time has passed that a block would be late, and a better link waits for the piece:
    ///   a link with a better rank, which is `Cleared` or `Verified`, and with no requests in
    ///   flight.
    pub(super) fn must_give_up(
        &self,
        piece: PieceIndex,
        attempts: &Attempts,
        elapsed: Duration,
        deadline: Duration,
    ) -> bool {
        let is_late = elapsed >= self.link.requests.late_after();
        // Only `Cleared` and `Verified` are smaller than `Stranger`.
        let bound = attempts.rank(self.link).min(Rank::Stranger);
        let is_better_and_waits = |other: &PickerLink| {
            other.requests.in_flight_count() == 0 && attempts.rank(other) < bound
        };
        self.others(piece)
            .any(|other| elapsed >= deadline || is_late && is_better_and_waits(other))
    }

    /// The other links that offer the piece.
    fn others(&self, piece: PieceIndex) -> impl Iterator<Item = &PickerLink> {
        let others = self.links.values().filter(|link| link.id != self.link.id);
        others.filter(move |link| link.offers(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Merit;
    use super::*;
    use crate::torrent::Lengths;

    fn link(number: u64, has_verified_blocks: bool, is_cleared: bool) -> PickerLink {
        let lengths = Lengths::new(16_384, 16_384).unwrap();
        let mut link = PickerLink::new(LinkId(number), &lengths, 8);
        link.merit = Merit {
            has_verified_blocks,
            is_cleared,
            missed_deadlines: 0,
        };
        link
    }

    #[test]
    fn strangers_without_end_do_not_keep_a_piece_from_a_slow_link() {
        let (slow, mut attempts) = (link(0, true, false), Attempts::default());
        let mut reserved_for_slow = 0;
        for number in 1..=100 {
            // The slow link and a new stranger offer the piece.
            let stranger = link(number, false, false);
            let slow_gets_it = attempts.rank(&slow) <= attempts.rank(&stranger);
            let chosen = if slow_gets_it { &slow } else { &stranger };
            reserved_for_slow += u32::from(slow_gets_it);
            attempts.on_reserved(chosen);
            attempts.on_given_up(chosen.id);
        }
        assert!(
            reserved_for_slow >= 20,
            "the piece is reserved for the slow link only {reserved_for_slow} times"
        );
    }

    #[test]
    fn if_all_links_are_strangers_each_gets_the_piece_before_a_new_round() {
        let mut attempts = Attempts::default();
        for number in 0..30 {
            let stranger = link(number, false, false);
            attempts.on_reserved(&stranger);
            attempts.on_given_up(stranger.id);
        }
        assert_eq!(attempts.earlier_rounds, 0);
        let newcomer = link(30, false, false);
        assert!(attempts.rank(&newcomer) < attempts.rank(&link(0, false, false)));
        assert!(attempts.rank(&newcomer) > attempts.rank(&link(31, true, false)));
    }

    #[test]
    fn cleared_links_come_first_and_each_link_once_in_a_round() {
        let (cleared, verified, stranger) = (
            link(1, true, true),
            link(2, true, false),
            link(3, false, false),
        );
        let mut attempts = Attempts::default();
        let ranks =
            |attempts: &Attempts| [&cleared, &verified, &stranger].map(|link| attempts.rank(link));
        let first_ranks = [Rank::Cleared, Rank::Verified, Rank::Stranger];
        assert_eq!(ranks(&attempts), first_ranks);
        for link in [&cleared, &verified, &stranger] {
            attempts.on_reserved(link);
            attempts.on_given_up(link.id);
        }
        assert_eq!(
            ranks(&attempts),
            [
                Rank::VerifiedAgain,
                Rank::VerifiedAgain,
                Rank::StrangerAgain
            ]
        );
        attempts.on_reserved(&verified);
        assert_eq!(ranks(&attempts), first_ranks);
    }

    #[test]
    fn the_deadline_follows_the_fastest_link_and_grows_to_a_limit() {
        let mut attempts = Attempts::default();
        let seconds = |attempts: &Attempts, rate, is_web_seed| {
            attempts.deadline(16 << 20, rate, is_web_seed).as_secs()
        };
        assert_eq!(seconds(&attempts, 0.0, false), 10);
        assert_eq!(seconds(&attempts, 1e9, true), 60);
        assert_eq!(seconds(&attempts, f64::from(1 << 20), false), 64);
        for _ in 0..100 {
            attempts.on_given_up(LinkId(1));
            attempts.on_reserved(&link(1, true, true));
        }
        assert_eq!(seconds(&attempts, 1e9, false), 160);
    }
}
