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

/// The pieces that links have alone and are to give up.
pub(super) fn reservations(
    pieces: &Pieces,
    links: &BTreeMap<LinkId, PickerLink>,
    now: Duration,
) -> Vec<(PieceIndex, LinkId)> {
    let verified = links.values().filter(|link| link.merit.has_verified);
    let fastest = verified
        .map(|link| link.requests.rate())
        .fold(0.0, f64::max);
    #[cfg(test)]
    if is_planted(Mutation::HeldBack) {
        return Vec::new();
    }
    let slow = pieces
        .reservations()
        .filter(|(piece, reservation, attempts)| {
            let held_for = now.saturating_sub(reservation.since);
            let bytes = pieces.lengths.length(*piece);
            links.get(&reservation.link).is_none_or(|link| {
                let deadline = attempts.deadline(bytes, fastest, link.is_web_seed());
                Asking { link, links }.must_give_up(*piece, attempts, held_for, deadline)
            })
        });
    slow.map(|(piece, reservation, _)| (piece, reservation.link))
        .collect()
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
