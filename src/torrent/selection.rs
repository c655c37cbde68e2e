//! Which files of a share are wanted, and therefore which pieces.
//!
//! A piece at the edge of a wanted file can also contain bytes of other files. It is needed,
//! because only whole pieces can be verified.

use super::{FilePattern, Info, PieceSet};

/// The files of one share that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// For each file of the share, whether it is wanted; `None` if all are.
    files: Option<Vec<bool>>,
    needed: PieceSet,
    bytes: u64,
    mixed: bool,
}

/// The patterns choose no file of a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no file of the share matches {}: `pieceful torrent show` lists its files", .patterns.join(" "))]
pub struct NothingChosen {
    /// The patterns.
    pub patterns: Vec<String>,
}

impl Selection {
    /// All files of a share.
    pub fn all(info: &Info) -> Self {
        Self {
            files: None,
            needed: PieceSet::full(info.lengths()),
            bytes: info.lengths().total(),
            mixed: false,
        }
    }

    /// The files that at least one pattern chooses; without patterns, all.
    ///
    /// # Errors
    /// There are patterns, and they choose no file.
    pub fn of(info: &Info, patterns: &[FilePattern]) -> Result<Self, NothingChosen> {
        if patterns.is_empty() {
            return Ok(Self::all(info));
        }
        let files = info.files().iter().enumerate().map(|(at, file)| {
            let mut patterns = patterns.iter();
            !file.attributes.padding && patterns.any(|pattern| pattern.chooses(at, &file.path))
        });
        let files: Vec<bool> = files.collect();
        if !files.contains(&true) {
            let patterns = patterns.iter().map(FilePattern::shown).collect();
            return Err(NothingChosen { patterns });
        }
        let stored = info.files().iter().filter(|file| !file.attributes.padding);
        if files.iter().filter(|wanted| **wanted).count() == stored.count() {
            return Ok(Self::all(info));
        }
        let lengths = info.lengths();
        let mut needed = PieceSet::empty(lengths);
        let pieces_of = |offset: u64, length: u64| {
            let piece_length = u64::from(lengths.piece_length());
            let end = (offset + length).div_ceil(piece_length);
            (offset / piece_length..end)
                .take_while(move |_| length > 0)
                .filter_map(|number| lengths.piece(u32::try_from(number).ok()?))
        };
        let is_wanted = |at: usize| files.get(at).is_some_and(|wanted| *wanted);
        for (at, file) in info.files().iter().enumerate() {
            if is_wanted(at) {
                for piece in pieces_of(file.offset, file.length) {
                    needed.insert(piece);
                }
            }
        }
        let mut entries = info.files().iter().enumerate();
        let mixed = entries.any(|(at, file)| {
            let is_unwanted = !file.attributes.padding && !is_wanted(at);
            let mut pieces = pieces_of(file.offset, file.length);
            is_unwanted && pieces.any(|piece| needed.contains(piece))
        });
        let pieces = lengths.all_pieces().filter(|piece| needed.contains(*piece));
        let bytes = pieces.map(|piece| u64::from(lengths.length(piece))).sum();
        Ok(Self {
            files: Some(files),
            needed,
            bytes,
            mixed,
        })
    }

    /// Whether all files of the share are wanted.
    pub fn is_all(&self) -> bool {
        self.files.is_none()
    }

    /// Whether file `index` of [`Info::files`] is wanted.
    pub fn has_file(&self, index: usize) -> bool {
        let files = self.files.as_ref();
        files.is_none_or(|files| files.get(index).is_some_and(|wanted| *wanted))
    }

    /// The pieces that contain bytes of wanted files.
    pub fn needed(&self) -> &PieceSet {
        &self.needed
    }

    /// The number of bytes in the needed pieces.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether needed pieces also contain bytes of files that are not wanted.
    pub fn is_mixed(&self) -> bool {
        self.mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files a (30,000), pad (2,768), b (20,000), empty, sub/c (12,768) and d (5) in pieces of 16
    /// KiB.
    fn info() -> Info {
        let file = |length: u32, path: &str, attributes: &str| {
            format!("d{attributes}6:lengthi{length}e4:pathl{path}ee")
        };
        let files = [
            file(30_000, "1:a", ""),
            file(2_768, "3:pad", "4:attr1:p"),
            file(20_000, "1:b", ""),
            file(0, "5:empty", ""),
            file(12_768, "3:sub1:c", ""),
            file(5, "1:d", ""),
        ]
        .concat();
        let hashes = "x".repeat(100);
        let raw = format!("d5:filesl{files}e4:name1:x12:piece lengthi16384e6:pieces100:{hashes}e");
        Info::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn wanted_files_also_need_the_pieces_at_their_edges() {
        for (patterns, files, pieces, bytes, mixed) in [
            (&["a"][..], &[0][..], &[0, 1][..], 32_768, false),
            (&["b"], &[2], &[2, 3], 32_768, true),
            (&["sub/"], &[4], &[3], 16_384, true),
            (&["empty"], &[3], &[], 0, false),
            (&["a", "d"], &[0, 5], &[0, 1, 4], 32_773, false),
            (&["pad", "d"], &[5], &[4], 5, false),
        ] {
            let info = info();
            let globs: Vec<FilePattern> =
                patterns.iter().map(|text| text.parse().unwrap()).collect();
            let selection = Selection::of(&info, &globs).unwrap();
            let chosen: Vec<usize> = (0..6).filter(|at| selection.has_file(*at)).collect();
            assert_eq!(chosen, files, "{patterns:?}");
            let needed = info.lengths().all_pieces();
            let needed = needed.filter(|piece| selection.needed().contains(*piece));
            let needed: Vec<u32> = needed.map(|piece| piece.number()).collect();
            assert_eq!(needed, pieces, "{patterns:?}");
            assert_eq!(selection.bytes(), bytes, "{patterns:?}");
            assert_eq!(selection.is_mixed(), mixed, "{patterns:?}");
            assert!(!selection.is_all());
        }
    }

    #[test]
    fn without_patterns_all_files_are_wanted_and_patterns_without_a_match_are_an_error() {
        let info = info();
        for patterns in [&[][..], &["**".parse().unwrap()]] {
            assert_eq!(Selection::of(&info, patterns), Ok(Selection::all(&info)));
        }
        let error = Selection::of(&info, &["*.txt".parse().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("*.txt"), "{error}");
        let padding = Selection::of(&info, &["pad".parse().unwrap()]);
        assert!(padding.is_err(), "a pattern does not choose padding");
    }
}
