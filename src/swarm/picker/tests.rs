use super::requests::STALLED;
use super::*;

const OWNER: LinkId = LinkId(1);

#[test]
fn a_later_bitfield_adds_pieces_and_takes_none_back() {
    let lengths = Lengths::new(10 * 16_384, 16_384).unwrap();
    let set = |bytes: [u8; 2]| PieceSet::from_bitfield(&bytes, &lengths).unwrap();
    let owned = set([0x80, 0]);
    let mut picker = Picker::new(lengths, owned, 1);
    picker.add_link(OWNER, 100);
    assert!(picker.on_pieces_again(OWNER, &set([0x80, 0])));
    assert!(!picker.is_interesting(OWNER));
    assert!(picker.on_pieces_again(OWNER, &set([0xc0, 0])));
    assert!(picker.is_interesting(OWNER));
    assert!(!picker.on_pieces_again(OWNER, &set([0xa0, 0])));
    assert_eq!(picker.pieces_of(OWNER), Some(&set([0xc0, 0])));
    assert!(picker.on_pieces_again(OWNER, &PieceSet::full(&lengths)));
    assert!(picker.pieces_of(OWNER).unwrap().is_full());
    assert!(!picker.on_pieces_again(OWNER, &set([0xff, 0])));
    // Counted down to nothing again, or this would be more than the pieces there are.
    picker.remove_link(OWNER);
    assert_eq!(picker.pieces_of(OWNER), None);
}

#[test]
fn a_block_is_awaited_of_whoever_was_asked_until_it_is_here_and_stalling_a_server_keeps_its_window()
{
    let lengths = Lengths::new(8 * 16_384, 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let server = LinkId(2);
    picker.add_server(server, 8);
    picker.add_server(OWNER, 8);
    let ask = |picker: &mut Picker, id, now| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
    };
    let now = Duration::from_secs(1);
    let asked = ask(&mut picker, server, now);
    let [first, second, ..] = asked[..] else {
        panic!("{asked:?}")
    };
    assert!(picker.awaits(server, first) && !picker.awaits(OWNER, first));
    // Taken from it, it would still be of use, until another gave it.
    let late = now + STALLED;
    assert_eq!(picker.take_from_stalled(late).len(), 1);
    let taken = ask(&mut picker, OWNER, late);
    assert!(taken.contains(&first) && picker.awaits(server, first));
    assert!(matches!(
        picker.on_block(OWNER, first, late),
        Arrival::Fresh { .. }
    ));
    assert!(!picker.awaits(server, first) && picker.awaits(server, second));
    let still_asked: Vec<BlockRange> = taken.into_iter().filter(|it| *it != first).collect();
    assert_eq!(picker.abandon_active(), [(OWNER, still_asked)]);
    assert!(!picker.awaits(server, second));
    assert_eq!(ask(&mut picker, server, late).len(), asked.len());
    picker.remove_link(server);
    assert!(!picker.awaits(server, second));
}

#[test]
fn a_block_that_comes_after_it_was_taken_from_a_stalled_link_leaves_nothing_to_ask_for() {
    let lengths = Lengths::new(2 * 16_384, 2 * 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.add_link(OWNER, 100);
    picker.on_pieces(OWNER, PieceSet::full(&lengths));
    picker.on_unchoke(OWNER);
    let mut blocks = Vec::new();
    let now = Duration::from_secs(1);
    picker.next_blocks(OWNER, now, &mut |_| true, &mut blocks);
    assert_eq!(blocks.len(), 2);
    let late = now + STALLED;
    picker.take_from_stalled(late);
    for block in &blocks {
        picker.on_block(OWNER, *block, late);
        picker.check();
    }
    assert!(picker.all_arrived(blocks[0].piece()));
}

#[test]
fn a_block_that_comes_late_is_cancelled_at_both_links_that_are_asked_for_it_meanwhile() {
    let lengths = Lengths::new(16_384, 16_384).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let ask = |picker: &mut Picker, id, now| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
    };
    let [late, second, third] = [1, 2, 3].map(LinkId);
    for id in [late, second, third] {
        picker.add_link(id, 8);
        picker.on_pieces(id, PieceSet::full(&lengths));
        picker.on_unchoke(id);
    }
    let mut now = Duration::from_secs(1);
    let block = ask(&mut picker, late, now);
    now += STALLED;
    assert_eq!(picker.take_from_stalled(now), [(late, block.clone())]);
    assert_eq!(ask(&mut picker, second, now), block);
    now += Duration::from_secs(1);
    assert_eq!(ask(&mut picker, third, now), block);
    picker.check();
    let arrival = picker.on_block(late, block[0], now);
    let Arrival::Fresh { cancel, .. } = arrival else {
        panic!("{arrival:?}")
    };
    assert_eq!(cancel, [Some(second), Some(third)]);
    assert!(!picker.is_fetching(second) && !picker.is_fetching(third));
    picker.check();
}
