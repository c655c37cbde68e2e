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
