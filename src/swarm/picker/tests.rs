use super::requests::STALLED_AFTER;
use super::*;
use std::collections::HashSet;

const LINK: LinkId = LinkId(1);

#[test]
fn a_later_bitfield_adds_pieces_and_takes_none_back() {
    let lengths = Lengths::new(10 * 16_384, 16_384).unwrap();
    let set = |bytes: [u8; 2]| PieceSet::from_bitfield(&bytes, &lengths).unwrap();
    let owned = set([0x80, 0]);
    let mut picker = Picker::new(lengths, owned, 1);
    picker.add_link(LINK, 100);
    assert!(picker.on_pieces_again(LINK, &set([0x80, 0])));
    assert!(!picker.is_interesting(LINK));
    assert!(picker.on_pieces_again(LINK, &set([0xc0, 0])));
    assert!(picker.is_interesting(LINK));
    assert!(!picker.on_pieces_again(LINK, &set([0xa0, 0])));
    assert_eq!(picker.pieces_of(LINK), Some(&set([0xc0, 0])));
    assert!(picker.on_pieces_again(LINK, &PieceSet::full(&lengths)));
    assert!(picker.pieces_of(LINK).unwrap().is_full());
    assert!(!picker.on_pieces_again(LINK, &set([0xff, 0])));
    picker.remove_link(LINK);
    assert_eq!(picker.pieces_of(LINK), None);
}

#[test]
fn a_block_is_awaited_until_any_link_delivers_it_and_a_stalled_web_seed_keeps_its_window() {
    let lengths = Lengths::new(8 * 16_384, 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let (stalled, other) = (LinkId(2), LINK);
    picker.add_web_seed(stalled, PieceSet::full(&lengths), 8);
    picker.add_web_seed(other, PieceSet::full(&lengths), 8);
    let next_blocks = |picker: &mut Picker, id, now| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
    };
    let now = Duration::from_secs(1);
    let requested = next_blocks(&mut picker, stalled, now);
    let [first, second, ..] = requested[..] else {
        panic!("{requested:?}")
    };
    assert!(picker.awaits(stalled, first) && !picker.awaits(other, first));
    // The requests are taken from the stalled web seed. But each block is still awaited from it
    // until the other web seed delivers that block.
    let late = now + STALLED_AFTER;
    assert_eq!(picker.take_from_stalled(late).len(), 1);
    let requested_again = next_blocks(&mut picker, other, late);
    assert!(requested_again.contains(&first) && picker.awaits(stalled, first));
    assert!(matches!(
        picker.on_block(other, first, late),
        Arrival::Needed { .. }
    ));
    assert!(!picker.awaits(stalled, first) && picker.awaits(stalled, second));
    let still_requested = requested_again.into_iter().filter(|block| *block != first);
    let mut still_requested: Vec<BlockRange> = still_requested.collect();
    still_requested.sort();
    assert_eq!(picker.abandon_active(), [(other, still_requested)]);
    assert!(!picker.awaits(stalled, second));
    assert_eq!(
        next_blocks(&mut picker, stalled, late).len(),
        requested.len()
    );
    picker.remove_link(stalled);
    assert!(!picker.awaits(stalled, second));
}

#[test]
fn late_blocks_of_a_stalled_link_complete_their_piece() {
    let lengths = Lengths::new(2 * 16_384, 2 * 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.add_link(LINK, 100);
    picker.on_pieces(LINK, PieceSet::full(&lengths));
    picker.on_unchoke(LINK);
    let mut blocks = Vec::new();
    let now = Duration::from_secs(1);
    picker.next_blocks(LINK, now, &mut |_| true, &mut blocks);
    assert_eq!(blocks.len(), 2);
    let late = now + STALLED_AFTER;
    picker.take_from_stalled(late);
    for block in &blocks {
        picker.on_block(LINK, *block, late);
        picker.check();
    }
    assert!(picker.all_arrived(blocks[0].piece()));
}

#[test]
fn a_late_block_is_cancelled_at_both_links_that_have_the_request_now() {
    let lengths = Lengths::new(16_384, 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let next_blocks = |picker: &mut Picker, id, now| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
    };
    let [stalled, second, third] = [1, 2, 3].map(LinkId);
    for id in [stalled, second, third] {
        picker.add_link(id, 8);
        picker.on_pieces(id, PieceSet::full(&lengths));
        picker.on_unchoke(id);
    }
    let mut now = Duration::from_secs(1);
    let block = next_blocks(&mut picker, stalled, now);
    now += STALLED_AFTER;
    assert_eq!(picker.take_from_stalled(now), [(stalled, block.clone())]);
    assert_eq!(next_blocks(&mut picker, second, now), block);
    now += Duration::from_secs(1);
    assert_eq!(next_blocks(&mut picker, third, now), block);
    picker.check();
    let arrival = picker.on_block(stalled, block[0], now);
    let Arrival::Needed { cancel, .. } = arrival else {
        panic!("{arrival:?}")
    };
    assert_eq!(cancel, [Some(second), Some(third)]);
    assert!(!picker.is_fetching(second) && !picker.is_fetching(third));
    picker.check();
}

#[test]
fn a_peer_that_chokes_us_gets_requests_for_allowed_pieces_only_and_none_after_a_reject() {
    let lengths = Lengths::new(20 * 32_768, 32_768).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let id = LinkId(1);
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let now = Duration::from_secs(1);
    let next_blocks = |picker: &mut Picker, now| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
            .iter()
            .map(|block| block.piece().number())
            .collect::<Vec<_>>()
    };
    picker.add_link(id, 100);
    let mut has = PieceSet::full(&lengths);
    has.remove(piece(9));
    picker.on_pieces(id, has);
    assert!(next_blocks(&mut picker, now).is_empty());
    // An allowed piece that the peer does not have yet waits until the peer has it.
    picker.on_allowed_fast(id, piece(9));
    assert!(next_blocks(&mut picker, now).is_empty());
    picker.on_allowed_fast(id, piece(7));
    assert_eq!(next_blocks(&mut picker, now), [7, 7]);
    picker.on_reject(id, lengths.block(piece(7), 0).unwrap());
    picker.on_reject(id, lengths.block(piece(7), 1).unwrap());
    assert!(next_blocks(&mut picker, now).is_empty());
    assert!(next_blocks(&mut picker, now + Duration::from_secs(1)).is_empty());
    picker.on_unchoke(id);
    assert!(!next_blocks(&mut picker, now + Duration::from_secs(2)).is_empty());
}

#[test]
fn the_latest_of_many_suggested_pieces_comes_first() {
    let lengths = Lengths::new(1_000 * 16_384, 16_384).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let id = LinkId(1);
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.add_link(id, 1);
    picker.on_pieces(id, PieceSet::full(&lengths));
    picker.on_unchoke(id);
    for number in 0..1_000 {
        picker.on_suggest(id, piece(number));
        picker.on_allowed_fast(id, piece(number));
    }
    let mut blocks = Vec::new();
    picker.next_blocks(id, Duration::from_secs(1), &mut |_| true, &mut blocks);
    assert_eq!(blocks[0].piece(), piece(999));
}

/// Fetches everything from one link, which delivers each requested block at once. Returns the
/// pieces in the order in which they were begun.
fn fetch_all(picker: &mut Picker, id: LinkId) -> Vec<u32> {
    let mut begun = Vec::new();
    for second in 1.. {
        let now = Duration::from_secs(second);
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            let piece = block.piece();
            if !begun.contains(&piece.number()) {
                begun.push(piece.number());
            }
            picker.on_block(id, block, now);
            if picker.all_arrived(piece) {
                picker.on_verified(piece);
            }
        }
    }
    begun
}

#[test]
fn only_needed_pieces_are_requested_and_make_a_download_complete() {
    let lengths = Lengths::new(40 * 32_768, 32_768).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let mut needed = PieceSet::empty(&lengths);
    for number in [3, 7, 8, 30] {
        needed.insert(piece(number));
    }
    let mut owned = PieceSet::empty(&lengths);
    for number in [7, 20] {
        owned.insert(piece(number));
    }
    let mut picker = Picker::with_needed(lengths, owned, needed, 1);
    let id = LinkId(1);
    picker.add_link(id, 100);
    picker.on_unchoke(id);
    picker.on_pieces(id, PieceSet::empty(&lengths));
    picker.on_have(id, piece(4));
    assert!(!picker.is_interesting(id), "nothing that is needed");
    (0..40).for_each(|number| picker.on_have(id, piece(number)));
    assert!(picker.is_interesting(id) && !picker.is_complete());
    let mut begun = fetch_all(&mut picker, id);
    begun.sort_unstable();
    assert_eq!(begun, [3, 8, 30]);
    assert!(picker.is_complete() && !picker.is_interesting(id));
    assert_eq!(picker.unavailable().count(), 0);
}

#[test]
fn pieces_are_begun_in_order_even_after_the_first_one_failed() {
    let lengths = Lengths::new(60 * 32_768, 32_768).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.set_order(PieceOrder::InOrder);
    let id = LinkId(1);
    picker.add_link(id, 8);
    picker.on_pieces(id, PieceSet::full(&lengths));
    picker.on_unchoke(id);
    picker.on_suggest(id, lengths.piece(50).unwrap());
    let now = Duration::from_millis(1);
    let mut blocks = Vec::new();
    picker.next_blocks(id, now, &mut |_| true, &mut blocks);
    assert_eq!(blocks[0].piece().number(), 0);
    for block in blocks.iter().filter(|block| block.piece().number() == 0) {
        picker.on_block(id, *block, now);
    }
    picker.on_failed(lengths.piece(0).unwrap());
    picker.abandon_active();
    let order: Vec<u32> = (0..60).collect();
    assert_eq!(fetch_all(&mut picker, id), order);
}

#[test]
fn a_web_seed_gets_requests_for_long_ranges_that_skip_the_active_pieces_of_others() {
    let lengths = Lengths::new(60 * 32_768, 32_768).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let (web_seed, peer) = (LinkId(1), LinkId(2));
    picker.add_link(peer, 4);
    picker.on_pieces(peer, PieceSet::full(&lengths));
    picker.on_unchoke(peer);
    let mut taken = Vec::new();
    picker.next_blocks(peer, Duration::from_millis(1), &mut |_| true, &mut taken);
    let taken: HashSet<u32> = taken.iter().map(|block| block.piece().number()).collect();
    picker.add_web_seed(web_seed, PieceSet::full(&lengths), 16);
    let begun = fetch_all(&mut picker, web_seed);
    let free: Vec<u32> = (0..60).filter(|number| !taken.contains(number)).collect();
    assert_eq!(begun[..free.len()], free);
}

#[test]
fn the_last_free_block_may_come_late_from_a_stalled_link() {
    let lengths = Lengths::new(16_384, 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.add_link(LINK, 8);
    picker.on_pieces(LINK, PieceSet::full(&lengths));
    picker.on_unchoke(LINK);
    let now = Duration::from_secs(1);
    let mut blocks = Vec::new();
    picker.next_blocks(LINK, now, &mut |_| true, &mut blocks);
    let late = now + STALLED_AFTER;
    assert_eq!(picker.take_from_stalled(late).len(), 1);
    let arrival = picker.on_block(LINK, blocks[0], late);
    assert!(matches!(arrival, Arrival::Needed { .. }), "{arrival:?}");
    picker.check();
}

#[test]
fn among_seeds_pieces_come_in_order_until_a_peer_lacks_a_piece() {
    let lengths = Lengths::new(60 * 32_768, 32_768).unwrap();
    let in_order = |others: &[PieceSet]| {
        let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
        picker.set_order(PieceOrder::InOrderAmongSeeds);
        let seed = LinkId(1);
        picker.add_link(seed, 8);
        picker.on_pieces(seed, PieceSet::full(&lengths));
        picker.on_unchoke(seed);
        for (number, has) in others.iter().enumerate() {
            picker.add_link(LinkId(2 + number as u64), 8);
            picker.on_pieces(LinkId(2 + number as u64), has.clone());
        }
        fetch_all(&mut picker, seed).is_sorted()
    };
    let (full, empty) = (PieceSet::full(&lengths), PieceSet::empty(&lengths));
    assert!(in_order(&[]));
    assert!(in_order(std::slice::from_ref(&full)));
    assert!(!in_order(&[full, empty]));
}

#[test]
fn in_endgame_a_block_is_requested_again_only_after_three_round_trips_of_the_first_link() {
    let lengths = Lengths::new(8 * 16_384, 16_384).unwrap();
    let second = LinkId(2);
    // Both times are in milliseconds. `late` is three times `delay`, but at least `ENDGAME_AFTER`
    // and at most `ALWAYS_LATE_AFTER`.
    for (delay, late) in [(1, 200), (60, 200), (200, 600), (2_000, 3_000)] {
        let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
        for id in [LINK, second] {
            picker.add_link(id, 100);
            picker.on_pieces(id, PieceSet::full(&lengths));
            picker.on_unchoke(id);
        }
        let next_blocks = |picker: &mut Picker, id, after: u64| {
            let now = Duration::from_millis(1_000 + after);
            let mut blocks = Vec::new();
            picker.next_blocks(id, now, &mut |_| true, &mut blocks);
            blocks
        };
        let requested = next_blocks(&mut picker, LINK, 0);
        assert_eq!(requested.len(), 8);
        picker.on_block(LINK, requested[0], Duration::from_millis(1_000 + delay));
        assert!(
            next_blocks(&mut picker, second, late - 1).is_empty(),
            "{delay} ms"
        );
        assert_eq!(
            next_blocks(&mut picker, second, late).len(),
            7,
            "{delay} ms"
        );
    }
}

#[test]
fn a_search_that_found_nothing_is_not_repeated_until_it_can_find_something() {
    let lengths = Lengths::new(1_000 * 16_384, 16_384).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let mut first_only = PieceSet::empty(&lengths);
    first_only.insert(piece(0));
    let mut others = PieceSet::full(&lengths);
    others.remove(piece(0));
    // Link 9 has all other pieces. So every piece is available, and a search looks at all of them.
    picker.add_link(LinkId(9), 8);
    picker.on_pieces(LinkId(9), others);
    let links = [LINK, LinkId(2), LinkId(3)];
    for id in links {
        picker.add_link(id, 8);
        picker.on_pieces(id, first_only.clone());
        picker.on_unchoke(id);
    }
    let now = Duration::from_secs(1);
    let next_blocks = |picker: &mut Picker, id| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
    };
    assert_eq!(next_blocks(&mut picker, LINK).len(), 1);
    for id in links {
        next_blocks(&mut picker, id);
    }
    let searched = picker.pieces.searched.get();
    for _ in 0..100 {
        for id in links {
            assert!(next_blocks(&mut picker, id).is_empty());
        }
        // A peer that chokes us and then unchokes us has the same pieces as before.
        picker.on_choke(LinkId(2), false);
        picker.on_unchoke(LinkId(2));
        assert!(!picker.on_have_all(LinkId(4)), "there is no such link");
    }
    assert_eq!(picker.pieces.searched.get(), searched);
    // A search finds a piece that the peer did not have before, and a piece that waits again.
    picker.on_have(LinkId(2), piece(7));
    assert_eq!(next_blocks(&mut picker, LinkId(2))[0].piece(), piece(7));
    picker.abandon_active();
    assert_eq!(next_blocks(&mut picker, LinkId(3))[0].piece(), piece(0));
    picker.check();
}

#[test]
fn a_second_have_all_changes_nothing() {
    let lengths = Lengths::new(100 * 16_384, 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.add_link(LINK, 8);
    picker.on_have(LINK, lengths.piece(3).unwrap());
    assert!(picker.on_have_all(LINK) && !picker.on_have_all(LINK));
    assert!(picker.pieces_of(LINK).unwrap().is_full());
    picker.check();
}

/// A picker with two links and one piece of two blocks. Each link has delivered one block, and the
/// piece has failed.
fn picker_with_failed_piece() -> (Picker, PieceIndex) {
    let lengths = Lengths::new(2 * 16_384, 2 * 16_384).unwrap();
    let piece = lengths.piece(0).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    for id in [LINK, SECOND] {
        picker.add_link(id, 1);
        picker.on_pieces(id, PieceSet::full(&lengths));
        picker.on_unchoke(id);
    }
    let now = Duration::from_secs(1);
    for id in [LINK, SECOND] {
        for block in next(&mut picker, id, now) {
            picker.on_block(id, block, now);
        }
    }
    assert!(picker.all_arrived(piece));
    assert_eq!(picker.on_failed(piece), Verdict::Unclear);
    for id in [LINK, SECOND] {
        picker.limit_window(id, 8);
    }
    (picker, piece)
}

const SECOND: LinkId = LinkId(2);

fn next(picker: &mut Picker, id: LinkId, now: Duration) -> Vec<BlockRange> {
    let mut blocks = Vec::new();
    picker.next_blocks(id, now, &mut |_| true, &mut blocks);
    blocks
}

#[test]
fn a_link_that_holds_a_piece_back_must_give_it_up_and_gets_it_again_only_after_others() {
    let (mut picker, _) = picker_with_failed_piece();
    let begun = Duration::from_secs(2);
    let requested = next(&mut picker, LINK, begun);
    assert!(!requested.is_empty());
    // This test looks only for slow links, not for stalled links.
    let mut now = begun;
    for _ in 0..2 {
        now += STALLED_AFTER - Duration::from_secs(1);
        assert_eq!(picker.take_from_slow(now - Duration::from_millis(1)), []);
        assert!(next(&mut picker, SECOND, now).is_empty());
    }
    let slow = picker.take_from_slow(now);
    assert_eq!(slow, [(LINK, requested)], "the deadline is 10 s");
    picker.check();
    assert!(next(&mut picker, LINK, now).is_empty());
    assert!(!next(&mut picker, SECOND, now).is_empty());
    picker.check();
    // The second link does not complete the piece either. In the next round the deadline is twice
    // as long.
    now += Duration::from_secs(10);
    assert_eq!(picker.take_from_slow(now).len(), 1);
    assert!(!next(&mut picker, LINK, now).is_empty());
    assert_eq!(picker.take_from_slow(now + Duration::from_secs(19)), []);
    assert_eq!(
        picker.take_from_slow(now + Duration::from_secs(20)).len(),
        1
    );
    picker.check();
}

#[test]
fn the_only_link_keeps_its_piece_and_time_without_reading_does_not_count() {
    let (mut picker, _) = picker_with_failed_piece();
    let begun = Duration::from_secs(2);
    assert!(!next(&mut picker, LINK, begun).is_empty());
    picker.on_choke(SECOND, true);
    let mut now = begun + Duration::from_secs(9);
    for _ in 0..100 {
        picker.mark_not_stalled(LINK, now);
        assert_eq!(picker.take_from_slow(now), []);
        now += Duration::from_secs(1);
    }
    picker.on_unchoke(SECOND);
    picker.mark_not_stalled(LINK, now);
    assert_eq!(picker.take_from_slow(now), []);
    now += Duration::from_secs(2);
    assert_eq!(picker.take_from_slow(now).len(), 1);
}

#[test]
fn after_a_failure_links_fetch_pieces_alone_and_cleared_links_come_first() {
    let lengths = Lengths::new(6 * 32_768, 32_768).unwrap();
    let (third, first_piece) = (LinkId(3), lengths.piece(0).unwrap());
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.set_order(PieceOrder::InOrder);
    let mut has = PieceSet::full(&lengths);
    has.remove(lengths.piece(5).unwrap());
    for id in [LINK, SECOND] {
        picker.add_link(id, 1);
        picker.on_pieces(id, has.clone());
        picker.on_unchoke(id);
    }
    let now = Duration::from_secs(1);
    for id in [LINK, SECOND] {
        for block in next(&mut picker, id, now) {
            picker.on_block(id, block, now);
        }
    }
    assert_eq!(picker.on_failed(first_piece), Verdict::Unclear);
    // The failed piece is reserved for the first link. So the second link begins another piece,
    // which is then reserved for the second link.
    let of_first = next(&mut picker, LINK, now);
    assert_eq!(of_first[0].piece(), first_piece);
    let of_second = next(&mut picker, SECOND, now);
    assert_ne!(of_second[0].piece(), first_piece);
    picker.check();
    // The second link alone delivers pieces, which are verified. So this link is cleared. When it
    // has nothing else to request, it gets the piece that is reserved for the first link.
    picker.limit_window(SECOND, 100);
    picker.on_block(SECOND, of_second[0], now);
    loop {
        let blocks = next(&mut picker, SECOND, now);
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            picker.on_block(SECOND, block, now);
            if picker.all_arrived(block.piece()) {
                picker.on_verified(block.piece());
            }
        }
    }
    assert!(picker.has_verified_blocks(SECOND) && !picker.has_verified_blocks(LINK));
    assert_eq!(picker.take_from_slow(now), [], "the piece is not late yet");
    let late = now + Duration::from_millis(200);
    assert_eq!(picker.take_from_slow(late), [(LINK, of_first)]);
    // A new link does not get the piece, because the cleared link offers it too.
    picker.add_link(third, 8);
    picker.on_pieces(third, has);
    picker.on_unchoke(third);
    assert!(next(&mut picker, third, late).is_empty());
    assert_eq!(next(&mut picker, SECOND, late).len(), 2);
    picker.check();
}
