//! Pieces that are fetched from one link alone, and which link gets such a piece.
//!
//! A piece that does not verify shows which link lies only if it came from one link. So a piece
//! that failed with several sources is fetched again from one link alone. As soon as any piece has
//! failed, a link also fetches the pieces that it begins alone, and blocks of others' pieces only
//! if it is *cleared*: since it was last in doubt, a piece from this link alone has verified. So a
//! liar can spoil few pieces of others, and its own pieces prove that it lies. If no cleared link
//! offers a piece that several links have begun, other links may go on with it.
//!
//! A link that has a piece alone could hold it back. So there is a deadline. Which of the links
//! that offer a piece gets it:
//!
//! | [`Turn`] | link |
//! |---|---|
//! | `First` | cleared, and has not had the piece in this round |
//! | `Second` | has sent verified blocks, and has not had the piece in this round |
//! | `Third` | a *stranger* that has not had the piece in this round |
//! | `Again` | has had the piece in this round, and has sent verified blocks |
//! | `Late` | like `Third`, but four other links have had the piece in this round |
//! | `Last` | a stranger that has had the piece in this round |
//!
//! A stranger is a link without verified blocks. Strangers can come without end, under new ports.
//! So they do not keep a piece for ever from a slow link that is honest. A link gets the piece if
//! no link with an earlier turn offers it. With a link that has had the piece, a new round begins.

use super::link::PickerLink;
use crate::swarm::LinkId;
use crate::torrent::PieceIndex;
use std::collections::BTreeMap;
use std::time::Duration;

/// The shortest deadline of a link that has a piece alone.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(10);
/// The same for a web seed, whose answer to a request for a long range may begin late.
const SHORTEST_WEB_SEED_DEADLINE: Duration = Duration::from_secs(60);
/// The deadline is this many times as long as the fastest link that offers the piece needs for a
/// piece of that length. Links with verified blocks count before others.
const DEADLINE_FACTOR: f64 = 4.0;
/// In each round the deadline is twice as long as in the round before, but after this many rounds
/// it stays the same.
const LONGER_ROUNDS: u32 = 4;
/// After this many links had a piece in one round, strangers come last.
const MAX_BEFORE_STRANGERS: u32 = 4;

/// When a link gets a piece, compared with others: the smaller comes first. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    First,
    Second,
    Third,
    Again,
    Late,
    Last,
}

/// The pieces of a download that one link alone delivers.
#[derive(Debug, Default)]
pub(super) struct AlonePieces {
    /// Each such piece, from the first attempt until it is owned.
    pub(super) attempts: BTreeMap<PieceIndex, Attempts>,
    /// Whether any piece has failed.
    pub(super) any_failed: bool,
}

/// The attempts so far to fetch a piece from one link alone.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The links that had the piece in this round and did not complete it.
    tried: Vec<LinkId>,
    /// How many links had the piece in this round and did not complete it. Some may have ended.
    given_up: u32,
    /// The number of rounds before this one.
    rounds: u32,
}

impl Attempts {
    /// The turn of a link.
    pub(super) fn turn(&self, link: &PickerLink) -> Turn {
        match self.tried.contains(&link.id) {
            false if link.merit.is_cleared => Turn::First,
            false if link.merit.has_verified => Turn::Second,
            false if self.given_up < MAX_BEFORE_STRANGERS => Turn::Third,
            false => Turn::Late,
            true if link.merit.has_verified => Turn::Again,
            true => Turn::Last,
        }
    }

    /// The link gets the piece.
    pub(super) fn on_reserved(&mut self, link: &PickerLink) {
        if self.tried.contains(&link.id) {
            self.tried.clear();
            self.given_up = 0;
            self.rounds = self.rounds.saturating_add(1);
        }
    }

    /// The link had the piece and did not complete it.
    pub(super) fn on_given_up(&mut self, link: LinkId) {
        self.tried.push(link);
        self.given_up = self.given_up.saturating_add(1);
    }

    /// The link has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.tried.retain(|tried| *tried != link);
    }

    /// How long a link may have the piece, whose length is `bytes`. `fastest` is the rate with
    /// which it is compared, in bytes a second, 0 if there is none: see `slow`.
    pub(super) fn deadline(&self, bytes: u32, fastest: f64, is_web_seed: bool) -> Duration {
        let shortest = match is_web_seed {
            true => SHORTEST_WEB_SEED_DEADLINE,
            false => SHORTEST_DEADLINE,
        };
        let seconds = DEADLINE_FACTOR * f64::from(bytes) / fastest;
        let usual = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        usual.max(shortest) * (1 << self.rounds.min(LONGER_ROUNDS))
    }
}

/// A link for which blocks to request are looked for, among all links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) link: &'a PickerLink,
    pub(super) links: &'a BTreeMap<LinkId, PickerLink>,
}

impl Asking<'_> {
    /// Whether the link may fetch blocks of a piece together with others, although some piece has
    /// failed: the link is cleared, or no link with more merit offers the piece.
    pub(super) fn may_share(&self, piece: PieceIndex) -> bool {
        let merit = |link: &PickerLink| (link.merit.is_cleared, link.merit.has_verified);
        let own = merit(self.link);
        self.link.merit.is_cleared || !self.others(piece).any(|other| merit(other) > own)
    }

    /// Whether the link may have the piece alone now.
    pub(super) fn may_have_alone(&self, piece: PieceIndex, attempts: &Attempts) -> bool {
        let turn = attempts.turn(self.link);
        !self.others(piece).any(|other| attempts.turn(other) < turn)
    }

    /// Whether the link, which has had the piece alone for `held_for`, is to give it up: its
    /// deadline has passed and others offer the piece, or a link with verified blocks and an
    /// earlier turn waits for it.
    pub(super) fn must_give_up(
        &self,
        piece: PieceIndex,
        attempts: &Attempts,
        held_for: Duration,
        deadline: Duration,
    ) -> bool {
        let is_late = held_for >= self.link.requests.late_after();
        let last = attempts.turn(self.link).min(Turn::Third);
        let waits = |other: &PickerLink| {
            other.requests.in_flight_count() == 0 && attempts.turn(other) < last
        };
        self.others(piece)
            .any(|other| held_for >= deadline || is_late && waits(other))
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

    fn link(number: u64, has_verified: bool, is_cleared: bool) -> PickerLink {
        let lengths = Lengths::new(16_384, 16_384).unwrap();
        let mut link = PickerLink::new(LinkId(number), &lengths, 8);
        link.merit = Merit {
            has_verified,
            is_cleared,
            given_up: 0,
        };
        link
    }

    #[test]
    fn strangers_without_end_do_not_keep_a_piece_from_a_slow_link() {
        let (slow, mut attempts) = (link(0, true, false), Attempts::default());
        let mut turns_of_slow = 0;
        for number in 1..=100 {
            // The slow link and a new stranger want the piece.
            let stranger = link(number, false, false);
            let of_slow = attempts.turn(&slow) <= attempts.turn(&stranger);
            let chosen = if of_slow { &slow } else { &stranger };
            turns_of_slow += u32::from(of_slow);
            attempts.on_reserved(chosen);
            attempts.on_given_up(chosen.id);
        }
        assert!(turns_of_slow >= 20, "{turns_of_slow}");
    }

    #[test]
    fn among_strangers_alone_each_has_its_turn_before_a_new_round() {
        let mut attempts = Attempts::default();
        for number in 0..30 {
            let stranger = link(number, false, false);
            attempts.on_reserved(&stranger);
            attempts.on_given_up(stranger.id);
        }
        assert_eq!(attempts.rounds, 0);
        let newcomer = link(30, false, false);
        assert!(attempts.turn(&newcomer) < attempts.turn(&link(0, false, false)));
        assert!(attempts.turn(&newcomer) > attempts.turn(&link(31, true, false)));
    }

    #[test]
    fn cleared_links_come_first_and_each_link_once_in_a_round() {
        let (cleared, doubted, stranger) = (
            link(1, true, true),
            link(2, true, false),
            link(3, false, false),
        );
        let mut attempts = Attempts::default();
        let turns =
            |attempts: &Attempts| [&cleared, &doubted, &stranger].map(|link| attempts.turn(link));
        assert_eq!(turns(&attempts), [Turn::First, Turn::Second, Turn::Third]);
        for link in [&cleared, &doubted, &stranger] {
            attempts.on_reserved(link);
            attempts.on_given_up(link.id);
        }
        assert_eq!(turns(&attempts), [Turn::Again, Turn::Again, Turn::Last]);
        attempts.on_reserved(&doubted);
        assert_eq!(turns(&attempts), [Turn::First, Turn::Second, Turn::Third]);
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
