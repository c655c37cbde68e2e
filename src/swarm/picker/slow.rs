//! Which requests are taken away from links that hold pieces back: see `alone`.

use super::alone::Asking;
use super::link::PickerLink;
use super::pieces::Pieces;
use crate::swarm::LinkId;
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::torrent::{BlockRange, PieceIndex};
use std::collections::BTreeMap;
use std::time::Duration;

/// A piece that a link has alone and is to give up.
pub(super) struct Withdrawal {
    pub(super) piece: PieceIndex,
    pub(super) link: LinkId,
    /// Whether the deadline of the link has passed. Otherwise a better link waits for the piece.
    pub(super) is_overdue: bool,
}

/// The pieces that links have alone and are to give up.
pub(super) fn withdrawals(
    pieces: &Pieces,
    links: &BTreeMap<LinkId, PickerLink>,
    now: Duration,
) -> Vec<Withdrawal> {
    #[cfg(test)]
    if is_planted(Mutation::HeldBack) {
        return Vec::new();
    }
    // The blocks of a complete piece are here: we hash and write it, and its link waits for us.
    let reserved = pieces.reservations();
    let reserved = reserved.filter(|(piece, ..)| !pieces.all_arrived(*piece));
    let withdrawn = reserved.filter_map(|(piece, reservation, attempts)| {
        let held_for = now.saturating_sub(reservation.since);
        let bytes = pieces.lengths.length(piece);
        let is_overdue = match links.get(&reservation.link) {
            None => true,
            Some(link) => {
                let fastest = fastest_rate(links, link, piece);
                let deadline = attempts.deadline(bytes, fastest, link.is_web_seed());
                let asking = Asking { link, links };
                if !asking.must_give_up(piece, attempts, held_for, deadline) {
                    return None;
                }
                held_for >= deadline
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

/// The rate of the fastest link with verified blocks, in bytes a second, among `holder` and the
/// links that offer the piece. If none of them has verified blocks, of any of them: then a liar can
/// only make the deadline shorter for a slow link, and not leave it without time for a long piece.
fn fastest_rate(
    links: &BTreeMap<LinkId, PickerLink>,
    holder: &PickerLink,
    piece: PieceIndex,
) -> f64 {
    let of = |needs_verified: bool| {
        let candidates = links.values().filter(|link| {
            let is_candidate = link.id == holder.id || link.offers(piece);
            is_candidate && (link.merit.has_verified || !needs_verified)
        });
        candidates
            .map(|link| link.requests.rate())
            .fold(0.0, f64::max)
    };
    let of_verified = of(true);
    if of_verified > 0.0 {
        of_verified
    } else {
        of(false)
    }
}

/// Late blocks of pieces that strangers share with others, if a link with verified blocks
/// offers these pieces and waits.
pub(super) fn late_at_strangers(
    pieces: &Pieces,
    links: &BTreeMap<LinkId, PickerLink>,
    now: Duration,
) -> Vec<(LinkId, Vec<BlockRange>)> {
    let waits = |link: &&PickerLink| {
        link.merit.has_verified && link.requests.in_flight_count() == 0 && link.is_interesting()
    };
    let waiting: Vec<&PickerLink> = links.values().filter(waits).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    let is_offered = |piece| waiting.iter().any(|link| link.offers(piece));
    let strangers = links.values().filter(|link| !link.merit.has_verified);
    let late = strangers.map(|link| {
        let late = link.requests.late(now);
        let piece = |block: &BlockRange| block.piece();
        let late = late.filter(|it| pieces.is_shared(piece(it)) && is_offered(piece(it)));
        (link.id, late.collect::<Vec<BlockRange>>())
    });
    late.filter(|(_, blocks)| !blocks.is_empty()).collect()
}
