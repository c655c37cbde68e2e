//! What two versions of a share have in common, from their info dictionaries alone.
//!
//! Both dictionaries come from others. So everything here is defined for any two of them, takes
//! time that is linear in their files and pieces, and needs memory for one entry for each of these.

use super::{BLOCK, FilePath, Info, PieceIndex, Sha1, file_parts};
use std::collections::HashMap;
use std::ops::Range;

/// What a new version of a share has in common with an old one.
#[derive(Clone, Debug)]
pub struct Overlap {
    /// For each file of the new version: the file of the old one with the same content.
    origins: Vec<Option<usize>>,
    /// For each file of the new version: the file of the old one with the same path.
    same_paths: Vec<Option<usize>>,
    /// For each piece of the new version: a piece of the old one with the same content.
    equal_pieces: Vec<Option<PieceIndex>>,
}

/// How many files a new version keeps, changes, adds and drops. Padding does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Files of the new version whose content some file of the old version has.
    pub unchanged: usize,
    /// Other files of the new version whose path is also in the old version.
    pub changed: usize,
    /// The other files of the new version.
    pub new: usize,
    /// Files of the old version whose path is not in the new one.
    pub gone: usize,
}

/// The files of a share whose content is on this machine. Padding always is.
#[derive(Clone, Debug)]
pub struct LocalFiles(Vec<bool>);

impl Overlap {
    /// Compares two versions of a share. Two files have the same content if both have a SHA-1, and
    /// SHA-1 and length are equal. Two pieces have the same content if hash and length are equal.
    pub fn new(old: &Info, new: &Info) -> Self {
        let origins = origins(old, new);
        Self {
            same_paths: same_paths(old, new),
            origins,
            equal_pieces: equal_pieces(old, new),
        }
    }

    /// What a version has in common with no version: every byte of it is to be fetched.
    pub fn with_nothing(new: &Info) -> Self {
        let files = new.files().len();
        let origins = vec![None; files];
        Self {
            same_paths: origins.clone(),
            origins,
            equal_pieces: vec![None; new.lengths().pieces() as usize],
        }
    }

    /// The file of the old version that has the content of this file of the new version. If
    /// several have it, the one with the same path.
    pub fn origin(&self, file: usize) -> Option<usize> {
        self.origins.get(file).copied().flatten()
    }

    /// The file of the old version that has the content of this file of the new version. If there
    /// is none, the one that has the same path.
    pub fn source(&self, file: usize) -> Option<usize> {
        let same_path = || self.same_paths.get(file).copied().flatten();
        self.origin(file).or_else(same_path)
    }

    /// A piece of the old version that has the content of this piece of the new version. If several
    /// have it, the one with the same number.
    pub fn equal_piece(&self, piece: PieceIndex) -> Option<PieceIndex> {
        self.equal_pieces.get(piece.index()).copied().flatten()
    }
}

impl LocalFiles {
    /// The files of the share for which `is_local` is true.
    pub fn new(info: &Info, is_local: impl Fn(usize) -> bool) -> Self {
        let files = info.files().iter().enumerate();
        Self(
            files
                .map(|(index, file)| file.attributes.padding || is_local(index))
                .collect(),
        )
    }

    /// Whether the content of this file is on this machine.
    pub fn contains(&self, file: usize) -> bool {
        self.0.get(file).is_some_and(|is_local| *is_local)
    }

    /// Adds the files of another set of files of the same share.
    pub fn add(&mut self, other: &Self) {
        for (file, is_in_other) in self.0.iter_mut().zip(&other.0) {
            *file |= is_in_other;
        }
    }

    /// The blocks of a piece whose bytes are all in these files: ranges of block numbers, in order,
    /// not empty, with other blocks between them.
    pub fn block_runs(&self, info: &Info, piece: PieceIndex) -> Vec<Range<u32>> {
        let (lengths, mut runs) = (info.lengths(), Vec::new());
        let length = lengths.length(piece);
        // Bytes of the piece: a range that is in these files, up to the present file.
        let mut local: Option<Range<u32>> = None;
        let mut end = 0u32;
        for part in file_parts(info, lengths.offset(piece), length.into()) {
            // A part is never longer than its piece.
            let start = end;
            end = start.saturating_add(u32::try_from(part.length).unwrap_or(u32::MAX));
            match self.0.get(part.index) {
                Some(true) => local = Some(local.map_or(start, |local| local.start)..end),
                _ => runs.extend(local.take().and_then(|local| whole_blocks(local, length))),
            }
        }
        runs.extend(local.and_then(|local| whole_blocks(local, length)));
        runs
    }

    /// The number of bytes of a piece that are not in local blocks.
    pub(super) fn missing_bytes(&self, info: &Info, piece: PieceIndex) -> u64 {
        let length = u64::from(info.lengths().length(piece));
        let at = |block: u32| (u64::from(block) * u64::from(BLOCK)).min(length);
        let runs = self.block_runs(info, piece).into_iter();
        let local: u64 = runs
            .map(|run| at(run.end).saturating_sub(at(run.start)))
            .sum();
        length.saturating_sub(local)
    }
}

/// The blocks that lie completely in this range of the bytes of a piece. The last block of the
/// piece may be shorter than the others.
fn whole_blocks(bytes: Range<u32>, piece_length: u32) -> Option<Range<u32>> {
    let end = match bytes.end == piece_length {
        true => bytes.end.div_ceil(BLOCK),
        false => bytes.end / BLOCK,
    };
    let blocks = bytes.start.div_ceil(BLOCK)..end;
    (!blocks.is_empty()).then_some(blocks)
}

/// The content of a file, as far as an info dictionary shows it: equal values mean equal content.
fn content(info: &Info, file: usize) -> Option<(Sha1, u64)> {
    let file = info
        .files()
        .get(file)
        .filter(|file| !file.attributes.padding)?;
    file.sha1.map(|sha1| (sha1, file.length))
}

fn origins(old: &Info, new: &Info) -> Vec<Option<usize>> {
    let mut by_content = HashMap::new();
    let mut by_path = HashMap::new();
    for (index, file) in old.files().iter().enumerate() {
        if let Some(content) = content(old, index) {
            by_content.entry(content).or_insert(index);
            by_path.insert(&file.path, index);
        }
    }
    let files = new.files().iter().enumerate();
    let origin = files.map(|(index, file)| {
        let content_here = content(new, index)?;
        let same_path = by_path.get(&file.path).copied();
        let same_path = same_path.filter(|at| content(old, *at) == Some(content_here));
        same_path.or_else(|| by_content.get(&content_here).copied())
    });
    origin.collect()
}

fn same_paths(old: &Info, new: &Info) -> Vec<Option<usize>> {
    let files = old.files().iter().enumerate();
    let stored = files.filter(|(_, file)| !file.attributes.padding);
    let by_path: HashMap<&FilePath, usize> =
        stored.map(|(index, file)| (&file.path, index)).collect();
    let files = new.files().iter();
    let same = files.map(|file| match file.attributes.padding {
        true => None,
        false => by_path.get(&file.path).copied(),
    });
    same.collect()
}

fn equal_pieces(old: &Info, new: &Info) -> Vec<Option<PieceIndex>> {
    let content = |info: &Info, piece| (info.piece_hash(piece), info.lengths().length(piece));
    let mut by_content = HashMap::new();
    for piece in old.lengths().all_pieces() {
        by_content.entry(content(old, piece)).or_insert(piece);
    }
    let equal = new.lengths().all_pieces().map(|piece| {
        let content_here = content(new, piece);
        let same_number = old.lengths().piece(piece.number());
        let same_number = same_number.filter(|at| content(old, *at) == content_here);
        same_number.or_else(|| by_content.get(&content_here).copied())
    });
    equal.collect()
}

#[cfg(test)]
pub(super) mod tests;
