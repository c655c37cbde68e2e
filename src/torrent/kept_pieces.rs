//! Which pieces of a new version of a share are good without being hashed, because their bytes are
//! those of a verified piece of the old version.

use super::{Info, Overlap, PieceIndex, file_parts};

/// Whether the bytes of a piece of the new version are exactly the bytes of a piece of the old one
/// that has the same hash. `is_same_file`: whether a file of the new version is the very file that
/// is its origin in the old version, which is verified.
pub fn is_kept_piece(
    (old, new): (&Info, &Info),
    overlap: &Overlap,
    is_same_file: impl Fn(usize) -> bool,
    piece: PieceIndex,
) -> bool {
    let lengths = new.lengths();
    // Offsets in the old version: of the first byte of the piece, and of the next byte.
    let mut old_range: Option<(u64, u64)> = None;
    for part in file_parts(new, lengths.offset(piece), lengths.length(piece).into()) {
        let next = old_range.map(|(_, next)| next);
        let at = match new.files().get(part.index) {
            Some(file) if file.attributes.padding => {
                next.filter(|next| is_padding(old, *next, part.length))
            }
            _ => {
                let origin = overlap
                    .origin(part.index)
                    .filter(|_| is_same_file(part.index));
                let origin = origin.and_then(|origin| old.files().get(origin));
                let at = origin.map(|origin| origin.offset.saturating_add(part.offset));
                at.filter(|at| next.is_none_or(|next| next == *at))
            }
        };
        let Some(at) = at else {
            return false;
        };
        let start = old_range.map_or(at, |(start, _)| start);
        old_range = Some((start, at.saturating_add(part.length)));
    }
    let piece_length = u64::from(old.lengths().piece_length());
    let start = old_range.map(|(start, _)| start);
    let old_piece = start
        .filter(|start| start.is_multiple_of(piece_length))
        .and_then(|start| {
            old.lengths()
                .piece(u32::try_from(start / piece_length).ok()?)
        });
    old_piece.is_some_and(|old_piece| {
        old.piece_hash(old_piece) == new.piece_hash(piece)
            && old.lengths().length(old_piece) == lengths.length(piece)
    })
}

/// Whether these bytes of the share are all padding.
fn is_padding(info: &Info, offset: u64, length: u64) -> bool {
    let mut length_found = 0;
    for part in file_parts(info, offset, length) {
        let file = info.files().get(part.index);
        if file.is_none_or(|file| !file.attributes.padding) {
            return false;
        }
        length_found += part.length;
    }
    length_found == length
}

#[cfg(test)]
mod tests {
    use super::super::overlap::tests::{File, PIECE, info};
    use super::*;

    fn kept(old: &Info, new: &Info, is_same: impl Fn(usize) -> bool) -> Vec<bool> {
        let overlap = Overlap::new(old, new);
        let pieces = new.lengths().all_pieces();
        pieces
            .map(|piece| is_kept_piece((old, new), &overlap, &is_same, piece))
            .collect()
    }

    #[test]
    fn a_piece_is_kept_only_if_all_its_bytes_are_those_of_one_verified_piece() {
        let piece = u64::from(PIECE);
        let a: File = ("a", piece + 9, Some(1));
        let b: File = ("b", piece - 9, Some(2));
        let c: File = ("c", 5, Some(3));
        let old = info(&[a, b, c], &[1, 2, 3], PIECE, 0);
        assert_eq!(kept(&old, &old, |_| true), [true; 3]);
        assert_eq!(kept(&old, &old, |file| file != 0), [false, false, true]);
        // The bytes are the same, but the dictionaries say that the pieces are not.
        let other = info(&[a, b, c], &[1, 9, 3], PIECE, 1);
        assert_eq!(kept(&old, &other, |_| true), [true, false, true]);
        // The hash is the same, but other bytes are in the piece.
        let swapped = info(&[b, a, c], &[1, 2, 3], PIECE, 1);
        assert_eq!(kept(&old, &swapped, |_| true), [false, false, true]);
        // The pieces have moved as they are.
        let moved = info(&[("z", piece, None), a, b, c], &[8, 1, 2, 3], PIECE, 1);
        assert_eq!(kept(&old, &moved, |_| true), [false, true, true, true]);
        let longer = info(&[a, b, c], &[1, 2, 3], PIECE + 1, 1);
        assert_eq!(kept(&old, &longer, |_| true), [false; 3]);
    }

    #[test]
    fn padding_is_kept_where_both_versions_have_it() {
        let piece = u64::from(PIECE);
        let (a, b): (File, File) = (("a", piece - 9, Some(1)), ("b", 9, Some(2)));
        let pad: File = (".pad", 9, None);
        let old = info(&[a, pad, b], &[1, 2], PIECE, 0);
        assert_eq!(kept(&old, &old, |_| true), [true; 2]);
        let filled = info(&[a, ("c", 9, Some(3)), b], &[1, 2], PIECE, 0);
        assert_eq!(kept(&filled, &old, |_| true), [false, true]);
        let first = info(&[pad, a, b], &[1, 2], PIECE, 0);
        assert_eq!(kept(&first, &first, |_| true), [false, true]);
    }
}
