//! The content of a share: hashes, lengths, sets of pieces, metainfo and magnet links.
//!
//! In scope: the types of BEP 3's metainfo. Each checks its rules when a value is made, so every
//! value is valid. Out of scope: files, sockets, threads and clocks. The callers pass bytes.

mod file_pattern;
mod glob;
mod hash;
mod info;
mod kept_pieces;
mod lengths;
mod magnet;
mod metainfo;
mod metainfo_error;
mod modified_times;
mod new_info;
mod overlap;
mod path;
mod piece_set;
mod selection;
mod sources;
mod to_fetch;
mod web_seed;

pub use file_pattern::FilePattern;
pub use glob::{Glob, GlobError};
pub use hash::{Hasher, InfoHash, ParseHashError, Sha1};
pub use info::{Attributes, FileEntry, Info, Layout};
pub use kept_pieces::is_kept_piece;
pub use lengths::{
    BLOCK, BlockError, BlockRange, Lengths, LengthsError, MAX_BLOCK, MAX_PIECE_LENGTH, MAX_PIECES,
    PieceIndex,
};
pub use magnet::{Magnet, MagnetError};
pub use metainfo::{Metainfo, is_tracker_url};
pub use metainfo_error::{MAX_METAINFO, MetainfoError};
pub use modified_times::{ModifiedTimes, TIME_LENGTH, decode_times, encode_times};
pub use new_info::{NewFile, NewInfo};
pub use overlap::{FileCounts, LocalFiles, Overlap};
pub use path::{FileName, FilePath, NameError};
pub use piece_set::{BitfieldError, PieceSet};
pub use selection::{NothingChosen, Selection};
pub use sources::NamedSources;
pub use to_fetch::ToFetch;
pub use web_seed::{FilePart, file_parts, web_seed_url};

#[cfg(any(test, fuzzing))]
pub(crate) use self::{magnet::fuzz as fuzz_magnet, metainfo::fuzz as fuzz_metainfo};
