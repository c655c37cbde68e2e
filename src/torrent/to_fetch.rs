//! What a download of some files of a version has in common with some files of another one.

use super::{FileCounts, FilePath, Info, LocalFiles, Overlap, Selection};
use std::collections::HashSet;

/// What a machine has to fetch for some files of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToFetch {
    /// The number of bytes.
    pub bytes: u64,
    /// How many of these files are unchanged, changed and new, and how many of the files that the
    /// machine has are gone.
    pub files: FileCounts,
}

impl ToFetch {
    /// What a machine has to fetch for the chosen files of `new`, if it has the chosen files of
    /// `old`, or nothing. Both are the versions that `overlap` compares.
    pub fn new(
        overlap: &Overlap,
        old: Option<(&Info, &Selection)>,
        new: (&Info, &Selection),
    ) -> Self {
        let (info, wanted) = new;
        let has_file = |file| old.is_some_and(|(_, here)| here.has_file(file));
        let has_piece = |piece| old.is_some_and(|(_, here)| here.needed().contains(piece));
        let origin = |file| overlap.origin(file).filter(|it| has_file(*it));
        let local = LocalFiles::new(info, |file| origin(file).is_some());
        let lengths = info.lengths();
        let needed = lengths
            .all_pieces()
            .filter(|it| wanted.needed().contains(*it));
        let missing = needed.map(|piece| {
            let equal = overlap.equal_piece(piece);
            match equal.is_some_and(has_piece) {
                true => 0,
                false => local.missing_bytes(info, piece),
            }
        });
        let (old_paths, new_paths) = (old.map(paths).unwrap_or_default(), paths(new));
        let mut files = FileCounts {
            gone: old_paths.difference(&new_paths).count(),
            ..FileCounts::default()
        };
        for (index, file) in info.files().iter().enumerate() {
            if file.attributes.padding || !wanted.has_file(index) {
                continue;
            }
            match origin(index) {
                Some(_) => files.unchanged += 1,
                None if old_paths.contains(&file.path) => files.changed += 1,
                None => files.new += 1,
            }
        }
        Self {
            bytes: missing.sum(),
            files,
        }
    }
}

/// The paths of the chosen files of a version.
fn paths<'a>((info, chosen): (&'a Info, &Selection)) -> HashSet<&'a FilePath> {
    let files = info.files().iter().enumerate();
    let chosen = files.filter(|(at, file)| !file.attributes.padding && chosen.has_file(*at));
    chosen.map(|(_, file)| &file.path).collect()
}

#[cfg(test)]
mod tests {
    use super::super::overlap::tests::{PIECE, info};
    use super::*;

    /// The bytes to fetch, and the numbers of unchanged, changed, new and gone files.
    type Counts = (u64, [usize; 4]);

    #[test]
    fn only_chosen_files_are_fetched_and_only_files_that_are_here_help() {
        let piece = u64::from(PIECE);
        let old = info(
            &[
                ("a", piece, Some(1)),
                ("b", piece, Some(2)),
                ("c", piece, Some(3)),
            ],
            &[1, 2, 3],
            PIECE,
            0,
        );
        let new = info(
            &[
                ("a", piece, Some(1)),
                ("b", piece, Some(9)),
                ("d", piece, Some(4)),
            ],
            &[1, 9, 4],
            PIECE,
            0,
        );
        let overlap = Overlap::new(&old, &new);
        let chosen = |info: &Info, pattern: &str| match pattern {
            "" => Selection::all(info),
            pattern => Selection::of(info, &[pattern.parse().unwrap()]).unwrap(),
        };
        let to_fetch = |here: Option<&str>, wanted: &str| -> Counts {
            let here = here.map(|pattern| chosen(&old, pattern));
            let wanted = chosen(&new, wanted);
            let found = ToFetch::new(
                &overlap,
                here.as_ref().map(|it| (&old, it)),
                (&new, &wanted),
            );
            let files = found.files;
            (
                found.bytes,
                [files.unchanged, files.changed, files.new, files.gone],
            )
        };
        assert_eq!(to_fetch(Some(""), ""), (2 * piece, [1, 1, 1, 1]));
        assert_eq!(to_fetch(Some("b"), ""), (3 * piece, [0, 1, 2, 0]));
        assert_eq!(to_fetch(Some(""), "a"), (0, [1, 0, 0, 2]));
        assert_eq!(to_fetch(Some("c"), "a"), (piece, [0, 0, 1, 1]));
        assert_eq!(to_fetch(None, "d"), (piece, [0, 0, 1, 0]));
    }
}
