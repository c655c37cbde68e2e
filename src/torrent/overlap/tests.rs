use super::*;
use crate::torrent::{Attributes, FileName, Layout, NewFile, NewInfo, Selection, ToFetch};
use proptest::prelude::*;
use std::collections::HashSet;

pub(in crate::torrent) const PIECE: u32 = 3 * BLOCK;

/// A file: its path, its length, and its content if it has a SHA-1. The path `.pad` is padding.
pub(in crate::torrent) type File = (&'static str, u64, Option<u8>);

/// A share with these files. `pieces` are the contents of its pieces; missing ones are unique.
pub(in crate::torrent) fn info(
    files: &[File],
    pieces: &[u8],
    piece_length: u32,
    unique: u8,
) -> Info {
    let file = |(path, length, content): &File| NewFile {
        path: FilePath::new(
            path.split('/')
                .map(|name| FileName::new(name).unwrap())
                .collect(),
        )
        .unwrap(),
        length: *length,
        sha1: content.map(|content| Sha1::of(&[content])),
        attributes: Attributes {
            executable: false,
            padding: *path == ".pad",
        },
    };
    let total: u64 = files.iter().map(|file| file.1).sum();
    let hashes =
        (0..total.div_ceil(piece_length.into())).map(|number| match pieces.get(number as usize) {
            Some(content) => Sha1::of(&[0, *content]),
            None => Sha1::of(&[unique, number as u8, 1]),
        });
    let info = NewInfo {
        name: FileName::new("set").unwrap(),
        layout: Layout::Folder,
        files: files.iter().map(file).collect(),
        piece_length,
        pieces: hashes.collect(),
        private: true,
        ssl_cert: None,
    };
    info.build().unwrap()
}

/// For each piece of the new version, the piece of the old one.
fn equal(overlap: &Overlap, new: &Info) -> Vec<Option<u32>> {
    let pieces = new.lengths().all_pieces();
    let equal = pieces.map(|piece| overlap.equal_piece(piece).map(PieceIndex::number));
    equal.collect()
}

/// For each piece, the runs of its local blocks: the first block, and the block after the last.
fn runs(overlap: &Overlap, new: &Info) -> Vec<Vec<(u32, u32)>> {
    let local = LocalFiles::new(new, |file| overlap.origin(file).is_some());
    let pieces = new.lengths().all_pieces();
    let runs = pieces.map(|piece| {
        let runs = local.block_runs(new, piece).into_iter();
        runs.map(|run| (run.start, run.end)).collect()
    });
    runs.collect()
}

/// What is to be fetched of the whole new version, if the whole old one is here.
fn all(overlap: &Overlap, old: &Info, new: &Info) -> ToFetch {
    let here = Selection::all(old);
    ToFetch::new(overlap, Some((old, &here)), (new, &Selection::all(new)))
}

const BLOCK_64: u64 = BLOCK as u64;

#[test]
fn an_equal_version_needs_nothing() {
    let files = [
        ("a", 100_000, Some(1)),
        ("empty", 0, Some(2)),
        ("b", 5, None),
    ];
    let version = info(&files, &[1, 2, 3], PIECE, 0);
    let overlap = Overlap::new(&version, &version);
    assert_eq!(all(&overlap, &version, &version).bytes, 0);
    assert_eq!(equal(&overlap, &version), [Some(0), Some(1), Some(2)]);
    assert_eq!(overlap.origin(0), Some(0));
    assert_eq!(overlap.origin(1), Some(1));
    assert_eq!(overlap.origin(2), None, "it has no SHA-1");
    assert_eq!(overlap.origin(3), None);
    let counts = FileCounts {
        unchanged: 2,
        changed: 1,
        ..FileCounts::default()
    };
    assert_eq!(all(&overlap, &version, &version).files, counts);
}

#[test]
fn only_blocks_that_touch_changed_files_are_fetched() {
    let old = info(
        &[
            ("a", 40_000, Some(1)),
            ("b", 20_000, Some(2)),
            ("c", 60_000, Some(3)),
        ],
        &[],
        PIECE,
        0,
    );
    let new = info(
        &[
            ("a", 40_000, Some(1)),
            ("b", 20_000, Some(9)),
            ("c", 60_000, Some(3)),
        ],
        &[],
        PIECE,
        1,
    );
    let overlap = Overlap::new(&old, &new);
    // `b` has the bytes 40,000 to 60,000: blocks 2 and 3, which is the first of the second piece.
    let expected = [vec![(0, 2)], vec![(1, 3)], vec![(0, 2)]];
    assert_eq!(runs(&overlap, &new), expected);
    assert_eq!(all(&overlap, &old, &new).bytes, 2 * BLOCK_64);
    let counts = FileCounts {
        unchanged: 2,
        changed: 1,
        ..FileCounts::default()
    };
    assert_eq!(all(&overlap, &old, &new).files, counts);
}

#[test]
fn moved_files_and_moved_pieces_are_found() {
    let old = info(
        &[("a", 100_000, Some(1)), ("b", 48_000, Some(2))],
        &[7, 8, 9, 6],
        PIECE,
        0,
    );
    let new = info(
        &[("b", 48_000, Some(3)), ("d/a", 100_000, Some(1))],
        &[8, 5, 8],
        PIECE,
        1,
    );
    let overlap = Overlap::new(&old, &new);
    assert_eq!((overlap.origin(0), overlap.origin(1)), (None, Some(0)));
    assert_eq!(equal(&overlap, &new), [Some(1), None, Some(1), None]);
    // `b` ends in the first piece, so that all other pieces are in `d/a`.
    assert_eq!(all(&overlap, &old, &new).bytes, 0);
    let counts = FileCounts {
        unchanged: 1,
        changed: 1,
        new: 0,
        gone: 1,
    };
    assert_eq!(all(&overlap, &old, &new).files, counts);
    // The last pieces have different lengths, so equal hashes do not make them equal.
    let (long, short) = (
        info(&[("x", 9, None)], &[1], 9, 0),
        info(&[("x", 8, None)], &[1], 9, 0),
    );
    assert_eq!(equal(&Overlap::new(&long, &short), &short), [None]);
    assert_eq!(all(&Overlap::new(&long, &short), &long, &short).bytes, 8);
}

#[test]
fn padding_is_local_and_joins_the_files_beside_it() {
    let old = info(
        &[("a", 20_000, Some(1)), ("b", 20_000, Some(2))],
        &[],
        PIECE,
        0,
    );
    let pad = u64::from(PIECE) - 20_000;
    let files = [
        ("a", 20_000, Some(1)),
        (".pad", pad, None),
        ("b", 20_000, Some(2)),
    ];
    let new = info(&files, &[], PIECE, 1);
    let overlap = Overlap::new(&old, &new);
    assert_eq!(runs(&overlap, &new), [vec![(0, 3)], vec![(0, 2)]]);
    assert_eq!(all(&overlap, &old, &new).bytes, 0);
    assert_eq!(all(&overlap, &old, &new).files.unchanged, 2);
    // Padding is never the origin of a file, and a file is never the origin of padding.
    let odd = info(
        &[(".pad", 20_000, Some(1)), ("z", 5, Some(1))],
        &[],
        PIECE,
        2,
    );
    assert_eq!(Overlap::new(&old, &odd).origin(0), None);
    assert_eq!(Overlap::new(&odd, &new).origin(0), None);
}

#[test]
fn of_several_origins_the_one_with_the_same_path_is_taken() {
    let old = info(
        &[("a", 9, Some(1)), ("b", 9, Some(1)), ("c", 9, Some(2))],
        &[],
        64,
        0,
    );
    let new = info(
        &[("b", 9, Some(1)), ("c", 9, Some(1)), ("d", 9, Some(1))],
        &[],
        64,
        1,
    );
    let overlap = Overlap::new(&old, &new);
    let origins: Vec<Option<usize>> = (0..3).map(|file| overlap.origin(file)).collect();
    assert_eq!(origins, [Some(1), Some(0), Some(0)]);
}

#[test]
fn two_versions_may_have_a_hundred_thousand_files_and_pieces() {
    let old = {
        let files = (0..100_000).map(|number| NewFile {
            path: FilePath::new(vec![FileName::new(&format!("f{number}")).unwrap()]).unwrap(),
            length: u64::from(number % 3 == 0),
            sha1: Some(Sha1::of(b"x")),
            attributes: Attributes::default(),
        });
        let files: Vec<NewFile> = files.collect();
        let total: u64 = files.iter().map(|file| file.length).sum();
        let info = NewInfo {
            name: FileName::new("set").unwrap(),
            layout: Layout::Folder,
            files,
            piece_length: 1,
            pieces: vec![Sha1::of(b"x"); total as usize],
            private: false,
            ssl_cert: None,
        };
        info.build().unwrap()
    };
    let fetched = all(&Overlap::new(&old, &old), &old, &old);
    assert_eq!((fetched.bytes, fetched.files.unchanged), (0, 100_000));
}

const PATHS: [&str; 6] = ["a", "b", "d/c", "d/e", "f", "g"];

/// Random files with some padding, and random contents of pieces.
fn any_info(unique: u8) -> impl Strategy<Value = Info> {
    let file = (
        0u64..50_000,
        prop::option::of(0u8..4),
        prop::option::of(1u64..40_000),
    );
    let files = prop::collection::vec(prop::option::of(file), PATHS.len());
    let lengths = prop::sample::select(vec![1000, BLOCK - 1, BLOCK, BLOCK + 1, PIECE, 70_000]);
    (files, prop::collection::vec(0u8..20, 0..8), lengths).prop_filter_map(
        "a share has files",
        move |(files, pieces, piece_length)| {
            let mut list: Vec<File> = Vec::new();
            for (path, file) in PATHS.iter().zip(files) {
                let Some((length, content, padding)) = file else {
                    continue;
                };
                // Files with one content have one length.
                let length = content.map_or(length, |content| u64::from(content) * 17_000);
                list.push((path, length, content));
                list.extend(padding.map(|length| (".pad", length, None)));
            }
            (!list.is_empty()).then(|| info(&list, &pieces, piece_length, unique))
        },
    )
}

/// What [`Overlap`] and [`LocalFiles`] say of a piece, found byte by byte and pair by pair.
struct Model {
    equal: bool,
    local_blocks: Vec<bool>,
    bytes_to_fetch: u64,
}

fn model(old: &Info, new: &Info, piece: PieceIndex) -> Model {
    let is_unchanged = |file: &super::super::FileEntry| {
        let mut others = old.files().iter();
        file.attributes.padding
            || others.any(|other| {
                let same = other.length == file.length && other.sha1 == file.sha1;
                same && file.sha1.is_some() && !other.attributes.padding
            })
    };
    let lengths = new.lengths();
    let bytes = (0..u64::from(lengths.length(piece))).map(|at| lengths.offset(piece) + at);
    let mut files = new.files().iter().peekable();
    let local: Vec<bool> = bytes
        .map(|at| {
            while files
                .next_if(|file| file.offset + file.length <= at)
                .is_some()
            {}
            is_unchanged(files.peek().unwrap())
        })
        .collect();
    let blocks = local.chunks(BLOCK as usize);
    let local_blocks: Vec<bool> = blocks.map(|block| !block.contains(&false)).collect();
    let equal = old.lengths().all_pieces().any(|other| {
        old.piece_hash(other) == new.piece_hash(piece)
            && old.lengths().length(other) == lengths.length(piece)
    });
    let missing = local.chunks(BLOCK as usize).zip(&local_blocks);
    let missing = missing.filter(|(_, is_local)| !equal && !**is_local);
    Model {
        equal,
        bytes_to_fetch: missing.map(|(block, _)| block.len() as u64).sum(),
        local_blocks,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_overlap_is_that_of_a_slow_model(old in any_info(2), new in any_info(3)) {
        let overlap = Overlap::new(&old, &new);
        let local = LocalFiles::new(&new, |file| overlap.origin(file).is_some());
        let mut bytes_to_fetch = 0;
        for piece in new.lengths().all_pieces() {
            let model = model(&old, &new, piece);
            let equal = overlap.equal_piece(piece);
            prop_assert_eq!(equal.is_some(), model.equal);
            if let Some(equal) = equal {
                prop_assert_eq!(old.piece_hash(equal), new.piece_hash(piece));
            }
            let mut local_blocks = vec![false; model.local_blocks.len()];
            let mut end = None;
            for run in local.block_runs(&new, piece) {
                prop_assert!(!run.is_empty() && end.is_none_or(|end| run.start > end));
                end = Some(run.end);
                local_blocks[run.start as usize..run.end as usize].fill(true);
            }
            prop_assert_eq!(local_blocks, model.local_blocks);
            bytes_to_fetch += model.bytes_to_fetch;
        }
        prop_assert_eq!(all(&overlap, &old, &new).bytes, bytes_to_fetch);
        let counts = all(&overlap, &old, &new).files;
        let stored = |info: &Info| {
            let files = info.files().iter();
            let paths = files.filter(|file| !file.attributes.padding).map(|file| &file.path);
            paths.collect::<HashSet<_>>().len()
        };
        prop_assert_eq!(counts.unchanged + counts.changed + counts.new, stored(&new));
        prop_assert!(counts.gone <= stored(&old));
        for (index, file) in new.files().iter().enumerate() {
            if let Some(origin) = overlap.origin(index) {
                let origin = &old.files()[origin];
                prop_assert_eq!((origin.length, origin.sha1), (file.length, file.sha1));
            }
        }
    }
}
