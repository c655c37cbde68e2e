//! The order of the files in a new share, the padding between them (BEP 47), and the length of its
//! pieces. Pure: this module opens no file.
//!
//! In a new version, a byte that has not changed should keep its place in its piece. Then most
//! pieces are as in the version before, and peers that have that version need not fetch them. So a
//! new version keeps the order, the padding and the piece length of the version before.

use super::source_files::SourceFile;
use crate::torrent::{
    Attributes, FileName, FilePath, Info, Layout, MAX_PIECE_LENGTH, NameError, NewFile,
};
use std::collections::HashMap;

/// Default piece length in bytes.
const DEFAULT_PIECE_LENGTH: u32 = 512 << 10;
/// The default piece length is doubled until a share has at most this many pieces.
const MAX_DEFAULT_PIECES: u64 = 16_384;
/// A new version keeps the piece length of the version before as long as it has at most this many
/// pieces.
const MAX_KEPT_PIECES: u64 = 65_536;
/// Padding may be at most this part of the bytes of the files: one twentieth is 5 %.
const PADDING_PART: u64 = 20;
/// The folder that the paths of padding name (BEP 47). It is never made.
const PADDING_FOLDER: &str = ".pad";

/// How the files of a new share follow each other.
#[derive(Clone, Copy, Debug, Default)]
pub enum Arrangement<'a> {
    /// In the order of their paths, without padding.
    #[default]
    Sorted,
    /// In the order of their paths. Each file of at least one piece begins at the start of a piece,
    /// unless the padding for that is more than 5 % of the share.
    Padded,
    /// As in an earlier version of the share. Files that it does not have come last, in the order
    /// of their paths. If it has exactly the same files, the two info dictionaries are equal.
    Like(&'a Info),
}

/// The files of a new share in their order, with padding, and the length of its pieces.
#[derive(Debug)]
pub(super) struct Arranged {
    pub(super) files: Vec<NewFile>,
    pub(super) piece_length: u32,
}

impl<'a> Arrangement<'a> {
    /// That of the version after `listed`; that of a first version if there is none.
    pub fn of_version_after(listed: Option<&'a Info>) -> Self {
        listed.map_or(Self::Padded, Self::Like)
    }

    /// Arranges `files`, which are sorted by path. `piece_length`: the one that a person chose.
    ///
    /// # Errors
    /// None is expected: the paths of padding are valid.
    pub(super) fn arrange(
        self,
        mut files: Vec<SourceFile>,
        layout: Layout,
        piece_length: Option<u32>,
    ) -> Result<Arranged, NameError> {
        let lengths = files.iter().map(|file| file.length);
        let total = lengths.fold(0, u64::saturating_add);
        let piece_length = piece_length
            .or_else(|| self.kept_piece_length(total))
            .unwrap_or_else(|| default_piece_length(total));
        let before = match self {
            Self::Like(before) => FormerPlaces::of(before),
            Self::Sorted | Self::Padded => FormerPlaces::default(),
        };
        // The sort is stable, so files that the earlier version does not have stay sorted by path.
        files.sort_by_key(|file| {
            let place = before.0.get(&file.path);
            place.map_or(usize::MAX, |place| place.number)
        });
        let pads = !matches!(self, Self::Sorted) && layout == Layout::Folder && piece_length > 0;
        let mut arranged = Vec::with_capacity(files.len());
        if pads {
            let padding = Padding::new(&files, &before, piece_length.into());
            padding.add_files(files, &mut arranged)?;
        } else {
            arranged.extend(files.into_iter().map(new_file));
        }
        Ok(Arranged {
            files: arranged,
            piece_length,
        })
    }

    /// The piece length of the earlier version, unless it makes too many pieces.
    fn kept_piece_length(self, total: u64) -> Option<u32> {
        let Self::Like(before) = self else {
            return None;
        };
        let most = MAX_KEPT_PIECES.max(before.lengths().pieces().into());
        let length = before.lengths().piece_length();
        (total.div_ceil(length.into()) <= most).then_some(length)
    }
}

/// Where the files of the earlier version are in it.
#[derive(Default)]
struct FormerPlaces<'a>(HashMap<&'a FilePath, FormerPlace>);

#[derive(Clone, Copy)]
struct FormerPlace {
    /// Its number among the files.
    number: usize,
    /// Whether the file begins at the start of a piece.
    starts_piece: bool,
    /// Whether padding is directly before the file.
    is_padded: bool,
}

impl<'a> FormerPlaces<'a> {
    fn of(before: &'a Info) -> Self {
        let (files, piece_length) = (before.files(), before.lengths().piece_length());
        let is_padding = |at: Option<usize>| {
            let file = at.and_then(|at| files.get(at));
            file.is_some_and(|file| file.attributes.padding)
        };
        let stored = files
            .iter()
            .enumerate()
            .filter(|(_, file)| !file.attributes.padding);
        let places = stored.map(|(number, file)| {
            let place = FormerPlace {
                number,
                starts_piece: file.offset.is_multiple_of(piece_length.into()),
                is_padded: is_padding(number.checked_sub(1)),
            };
            (&file.path, place)
        });
        Self(places.collect())
    }
}

/// Which files begin at the start of a piece.
struct Padding<'a> {
    before: &'a FormerPlaces<'a>,
    piece_length: u64,
    /// Whether files that the earlier version does not have may be padded too.
    pads_new: bool,
}

impl<'a> Padding<'a> {
    fn new(files: &[SourceFile], before: &'a FormerPlaces<'a>, piece_length: u64) -> Self {
        let all = Self {
            before,
            piece_length,
            pads_new: true,
        };
        let (mut end, mut padding, mut stored) = (0u64, 0u64, 0u64);
        for file in files {
            let length = all.before(file, end);
            padding = padding.saturating_add(length);
            stored = stored.saturating_add(file.length);
            end = end.saturating_add(length).saturating_add(file.length);
        }
        Self {
            pads_new: padding <= stored / PADDING_PART,
            ..all
        }
    }

    /// The number of bytes of padding in front of a file, after `end` bytes of the share.
    fn before(&self, file: &SourceFile, end: u64) -> u64 {
        let is_long = file.length >= self.piece_length;
        let starts_piece = match self.before.0.get(&file.path) {
            Some(place) => place.starts_piece && (place.is_padded || is_long),
            None => self.pads_new && is_long,
        };
        match starts_piece {
            true => (self.piece_length - end % self.piece_length) % self.piece_length,
            false => 0,
        }
    }

    /// Adds the files with their padding to `list`.
    fn add_files(&self, files: Vec<SourceFile>, list: &mut Vec<NewFile>) -> Result<(), NameError> {
        let mut end = 0u64;
        for file in files {
            let padding = self.before(&file, end);
            if padding > 0 {
                list.push(padding_file(padding)?);
            }
            end = end.saturating_add(padding).saturating_add(file.length);
            list.push(new_file(file));
        }
        Ok(())
    }
}

fn new_file(file: SourceFile) -> NewFile {
    NewFile {
        path: file.path,
        length: file.length,
        sha1: None,
        attributes: Attributes {
            executable: file.executable,
            padding: false,
        },
    }
}

fn padding_file(length: u64) -> Result<NewFile, NameError> {
    let names = [
        FileName::new(PADDING_FOLDER)?,
        FileName::new(&length.to_string())?,
    ];
    Ok(NewFile {
        path: FilePath::new(names.into())?,
        length,
        sha1: None,
        attributes: Attributes {
            executable: false,
            padding: true,
        },
    })
}

/// 512 KiB, doubled until there are at most [`MAX_DEFAULT_PIECES`] pieces or the length is
/// [`MAX_PIECE_LENGTH`].
fn default_piece_length(total: u64) -> u32 {
    let mut length = DEFAULT_PIECE_LENGTH;
    while length < MAX_PIECE_LENGTH && total.div_ceil(length.into()) > MAX_DEFAULT_PIECES {
        length *= 2;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::super::testing::path;
    use super::*;
    use crate::torrent::{NewInfo, Sha1};
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn sources(files: &[(&str, u64)]) -> Vec<SourceFile> {
        let mut list: Vec<SourceFile> = files
            .iter()
            .map(|(name, length)| SourceFile {
                path: path(name),
                length: *length,
                executable: false,
            })
            .collect();
        list.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        list
    }

    fn arrange(how: Arrangement<'_>, files: &[(&str, u64)]) -> Arranged {
        how.arrange(sources(files), Layout::Folder, None).unwrap()
    }

    /// The version that has these files.
    fn version(arranged: &Arranged) -> Info {
        let total: u64 = arranged.files.iter().map(|file| file.length).sum();
        let info = NewInfo {
            name: FileName::new("set").unwrap(),
            layout: Layout::Folder,
            files: arranged.files.clone(),
            piece_length: arranged.piece_length,
            pieces: vec![Sha1([0; 20]); total.div_ceil(arranged.piece_length.into()) as usize],
            private: true,
            ssl_cert: None,
        };
        info.build().unwrap()
    }

    /// The paths of the files in their order. Padding is shown as its length.
    fn shown(arranged: &Arranged) -> String {
        let names = arranged
            .files
            .iter()
            .map(|file| match file.attributes.padding {
                true => {
                    assert_eq!(file.path, path(&format!(".pad/{}", file.length)));
                    file.length.to_string()
                }
                false => file.path.to_string(),
            });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn long_files_begin_at_a_piece_unless_that_costs_too_much() {
        let files = [
            ("a", 1),
            ("b", 600 << 10),
            ("c", 5),
            ("d", 20 * MIB),
            ("e", 512 << 10),
        ];
        let padded = arrange(Arrangement::Padded, &files);
        // `a` ends after 1 byte, and `c` after 512 KiB + 600 KiB + 5. `e` follows a whole piece.
        assert_eq!(shown(&padded), "a 524287 b c 434171 d e");
        for file in version(&padded).files() {
            let is_long = file.length >= 512 << 10 && !file.attributes.padding;
            assert!(
                !is_long || file.offset.is_multiple_of(512 << 10),
                "{file:?}"
            );
        }
        let sorted = arrange(Arrangement::Sorted, &files);
        assert_eq!(shown(&sorted), "a b c d e");
        let costly = arrange(Arrangement::Padded, &[("a", 1), ("b", 9 * MIB)]);
        assert_eq!(shown(&costly), "a b");
        let cheap = arrange(Arrangement::Padded, &[("a", 1), ("b", 10 * MIB)]);
        assert_eq!(shown(&cheap), "a 524287 b");
    }

    #[test]
    fn a_new_version_keeps_order_and_padding_and_new_files_come_last() {
        let first = [("b", 5), ("d", 30 * MIB + 1), ("x", 9)];
        let old = version(&arrange(Arrangement::Padded, &first));
        let second = [
            ("a", 9),
            ("aa", 20 * MIB),
            ("b", 6),
            ("d", 31 * MIB),
            ("x", 9),
        ];
        let new = arrange(Arrangement::Like(&old), &second);
        // `x` is not padded, although it follows a whole piece.
        assert_eq!(shown(&new), "b 524282 d x a 524270 aa");
        // A file that is short now keeps its place.
        let shrunk = arrange(Arrangement::Like(&old), &[("b", 1), ("d", 2), ("x", 9)]);
        assert_eq!(shown(&shrunk), "b 524287 d x");
        // A version without padding, as earlier programs made it, gets none.
        let old = version(&arrange(Arrangement::Sorted, &first));
        let again = arrange(Arrangement::Like(&old), &first);
        assert_eq!(shown(&again), "b d x");
    }

    #[test]
    fn a_new_version_keeps_the_piece_length_until_there_are_too_many_pieces() {
        let old = version(&arrange(Arrangement::Padded, &[("a", MIB)]));
        let like = |length| arrange(Arrangement::Like(&old), &[("a", length)]).piece_length;
        assert_eq!(like(65_536 * (512 << 10)), 512 << 10);
        assert_eq!(like(65_536 * (512 << 10) + 1), 4 << 20);
        let other = Arrangement::Like(&old).arrange(sources(&[("a", 9)]), Layout::File, None);
        assert_eq!(other.unwrap().piece_length, 512 << 10);
    }

    #[test]
    fn the_default_piece_length_grows_with_the_share() {
        for (total, expected) in [
            (0, 512 << 10),
            (16_384 * (512 << 10), 512 << 10),
            (16_384 * (512 << 10) + 1, 1 << 20),
            (1 << 40, 64 << 20),
            (u64::MAX, 1 << 30),
        ] {
            assert_eq!(default_piece_length(total), expected, "{total}");
        }
    }

    fn any_files() -> impl Strategy<Value = Vec<(&'static str, u64)>> {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let length = prop_oneof![
            0u64..10,
            0u64..3 * MIB,
            (0u64..5).prop_map(|n| (n * 512) << 10)
        ];
        let lengths = prop::collection::vec(prop::option::of(length), names.len());
        lengths.prop_map(move |lengths| {
            let files = names.into_iter().zip(lengths);
            files
                .filter_map(|(name, length)| Some((name, length?)))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_same_files_have_the_same_dictionary(first in any_files(), second in any_files()) {
            prop_assume!(!first.is_empty() && !second.is_empty());
            let one = version(&arrange(Arrangement::Padded, &first));
            let again = version(&arrange(Arrangement::Like(&one), &first));
            prop_assert_eq!(&again, &one);
            let two = version(&arrange(Arrangement::Like(&one), &second));
            let again = version(&arrange(Arrangement::Like(&two), &second));
            prop_assert_eq!(&again, &two);
        }
    }
}
