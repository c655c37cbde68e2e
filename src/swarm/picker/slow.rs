//! Finds the requests that are to be taken away from links that hold pieces back: see `alone`.

use super::alone::RankedLink;
use super::link::PickerLink;
use super::pieces::Pieces;
use crate::swarm::LinkId;
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::torrent::{BlockRange, PieceIndex};
use std::collections::BTreeMap;
use std::time::Duration;

/// A piece that is reserved for a link, and that the link is to give up.
pub(super) struct Withdrawal {
    pub(super) piece: PieceIndex,
    pub(super) link: LinkId,
    /// Whether the deadline of the link has passed. If not, a better link waits for the piece.
    pub(super) is_overdue: bool,
}

/// The reserved pieces that their links are to give up.
pub(super) fn withdrawals(
    pieces: &Pieces,
    links: &BTreeMap<LinkId, PickerLink>,
    now: Duration,
) -> Vec<Withdrawal> {
    #[cfg(test)]
    if is_planted(Mutation::HeldBack) {
        return Vec::new();
    }
    // If all blocks of a piece have arrived, its link has done its part: only the hashing and the
    // writing are left.
    let reserved = pieces.reservations();
    let reserved = reserved.filter(|(piece, ..)| !pieces.all_arrived(*piece));
    let withdrawn = reserved.filter_map(|(piece, reservation, attempts)| {
        let elapsed = now.saturating_sub(reservation.since);
        let bytes = pieces.lengths.length(piece);
        let is_overdue = match links.get(&reservation.link) {
            None => true,
            Some(link) => {
                let fastest = fastest_rate(links, link, piece);
                let deadline = attempts.deadline(bytes, fastest, link.is_web_seed());
                let ranked = RankedLink { link, links };
                if !ranked.must_give_up(piece, attempts, elapsed, deadline) {
                    return None;
                }
                elapsed >= deadline
            }
        };
        Some(Withdrawal {
            piece,
            link: reservation.link,
            is_overdue,
        })
    });
    withdrawn.collect()
}

/// The rate with which a deadline is calculated, in bytes a second. It is the rate of the fastest
/// link with verified blocks, among `holder` and the links that offer the piece. If that rate is 0,
/// it is the rate of the fastest of all these links. Without any rate, a link would have only the
/// shortest deadline, which may be too short for a long piece.
fn fastest_rate(
    links: &BTreeMap<LinkId, PickerLink>,
    holder: &PickerLink,
    piece: PieceIndex,
) -> f64 {
    let fastest_of = |needs_verified: bool| {
        let candidates = links.values().filter(|link| {
            let is_candidate = link.id == holder.id || link.offers(piece);
            is_candidate && (link.merit.has_verified_blocks || !needs_verified)
        });
        candidates
            .map(|link| link.requests.rate())
            .fold(0.0, f64::max)
    };
    let fastest_verified = fastest_of(true);
    if fastest_verified > 0.0 {
        fastest_verified
    } else {
        fastest_of(false)
    }
}

/// The late blocks that were requested from strangers and that a better link could deliver now:
/// each belongs to a piece that several links may deliver, and a link with verified blocks offers
/// that piece and has no requests in flight.
pub(super) fn late_at_strangers(
    pieces: &Pieces,
    links: &BTreeMap<LinkId, PickerLink>,
    now: Duration,
) -> Vec<(LinkId, Vec<BlockRange>)> {
    let waits = |link: &&PickerLink| {
        link.merit.has_verified_blocks
            && link.requests.in_flight_count() == 0
            && link.is_interesting()
    };
    let waiting: Vec<&PickerLink> = links.values().filter(waits).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    let is_offered = |piece| waiting.iter().any(|link| link.offers(piece));
    let strangers = links
        .values()
        .filter(|link| !link.merit.has_verified_blocks);
    let late = strangers.map(|link| {
        let late = link.requests.late(now);
        let piece = |block: &BlockRange| block.piece();
        let late =
            late.filter(|it| pieces.is_for_several_links(piece(it)) && is_offered(piece(it)));
        (link.id, late.collect::<Vec<BlockRange>>())
    });
    late.filter(|(_, blocks)| !blocks.is_empty()).collect()
}
