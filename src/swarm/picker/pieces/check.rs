//! The invariants of a picker: see the documentation of `picker`.

use super::Pieces;
use crate::swarm::LinkId;
use crate::swarm::active::{ActivePiece, Delivery};
use crate::swarm::picker::link::PickerLink;
use crate::torrent::BlockRange;
use std::collections::BTreeMap;

/// Panics if an invariant of the documentation of `picker` does not hold.
pub(in crate::swarm::picker) fn check(pieces: &Pieces, links: &BTreeMap<LinkId, PickerLink>) {
    check_pieces(pieces, links);
    let in_flight = links.values().map(|link| link.requests.in_flight_count());
    let requested = pieces.active.values().map(ActivePiece::request_count);
    assert_eq!(
        in_flight.sum::<usize>(),
        requested.sum::<usize>(),
        "blocks are requested from links that are gone"
    );
    for link in links.values() {
        let mut in_flight: Vec<BlockRange> = link.requests.in_flight().collect();
        in_flight.sort();
        let active = pieces.active.values();
        let requested = active.flat_map(|active| active.requested_from(link.id, &pieces.lengths));
        let mut requested: Vec<BlockRange> = requested.collect();
        requested.sort();
        assert_eq!(in_flight, requested, "requests to {:?}", link.id);
    }
}

/// Panics unless each wanted piece is in one of the three sets of wanted pieces, no other piece is,
/// and all counts are right.
fn check_pieces(pieces: &Pieces, links: &BTreeMap<LinkId, PickerLink>) {
    let mut missing = 0;
    for piece in pieces.lengths.all_pieces() {
        let wanted = pieces.wants(piece);
        missing += u32::from(wanted);
        let active = pieces.active.get(&piece);
        let waits_here = pieces.local.waiting().contains(&piece);
        let sets = [pieces.rarity.waits(piece), waits_here, active.is_some()];
        let sets = sets.into_iter().filter(|is_in| *is_in).count();
        assert_eq!(sets, usize::from(wanted), "sets of {piece:?}");
        let is_whole = pieces.local.blocks().covers(piece, &pieces.lengths);
        assert!(!waits_here || is_whole, "{piece:?} is not all local");
        assert!(!pieces.rarity.waits(piece) || !is_whole, "{piece:?}");
        let partial = links.values().filter(|link| !link.pieces.is_full());
        let availability = partial.filter(|link| link.pieces.contains(piece)).count();
        let counted = pieces.rarity.availability(piece) as usize;
        assert_eq!(availability, counted, "{piece:?}");
        let has_unrequested = active.is_some_and(ActivePiece::has_unrequested);
        let open = pieces.open_pieces.iter().filter(|other| **other == piece);
        let is_open = usize::from(has_unrequested);
        assert_eq!(open.count(), is_open, "{piece:?} in `open_pieces`");
    }
    assert_eq!(pieces.missing, missing);
    for link in links.values() {
        let wanted = pieces.wanted_of(&link.pieces);
        assert_eq!(link.wanted(), wanted, "{:?}", link.id);
    }
    pieces.active.values().for_each(ActivePiece::check);
    let mut attempted = pieces.alone.attempts.keys();
    assert!(attempted.all(|piece| pieces.wants(*piece)));
    for (piece, active) in &pieces.active {
        let is_alone = active.delivery() != Delivery::SeveralLinks;
        assert!(
            !is_alone || pieces.alone.attempts.contains_key(piece),
            "{piece:?} is not in `alone`"
        );
    }
}
