use super::*;

const OWNER: LinkId = LinkId(1);

#[test]
fn a_later_bitfield_adds_pieces_and_takes_none_back() {
    let lengths = Lengths::new(10 * 16_384, 16_384).unwrap();
    let set = |bytes: [u8; 2]| PieceSet::from_bitfield(&bytes, &lengths).unwrap();
    let owned = set([0x80, 0]);
    let mut picker = Picker::new(lengths, owned, 1);
    picker.add_link(OWNER, 100);
    assert!(picker.has_more(OWNER, &set([0x80, 0])));
    assert!(!picker.is_interesting(OWNER));
    assert!(picker.has_more(OWNER, &set([0xc0, 0])));
    assert!(picker.is_interesting(OWNER));
    assert!(!picker.has_more(OWNER, &set([0xa0, 0])));
    assert_eq!(picker.pieces_of(OWNER), Some(&set([0xc0, 0])));
    assert!(picker.has_more(OWNER, &PieceSet::full(&lengths)));
    assert!(picker.pieces_of(OWNER).unwrap().is_full());
    assert!(!picker.has_more(OWNER, &set([0xff, 0])));
    // Counted down to nothing again, or this would be more than the pieces there are.
    picker.remove_link(OWNER);
    assert_eq!(picker.pieces_of(OWNER), None);
}
