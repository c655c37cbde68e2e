//! What is kept on the disk: the files of a share, what a peer remembers of it, a metainfo made out
//! of files, the state folder and its records, a cluster's key, the tracker's database and swarms.
//!
//! Linux is the target. Out of scope: who sends what to whom (`peer`), and which piece comes next
//! (`swarm`).
//!
//! The files of a share, each part above those that it uses:
//!
//! | part | what it does |
//! |---|---|
//! | `layout` | pure: bytes of the share to bytes of files; which files are wanted |
//! | `tree`, `root` | open files in a folder without following links |
//! | `parts_file` | what needed pieces hold of files that are left out |
//! | `in_place` | files of a download that are under the final name already |
//! | `store` | reads and spans; whether files are still those that were verified |
//! | `verify` | hashes; which pieces are right |
//! | `part`, `extend`, `rename`, `replace` | the steps of a download |
//! | `download` | the one thing that writes, finishes and discards |
//!
//! Assumed of a file system: a rename is atomic, and what was synced is there after a crash. What
//! else it may have lost is found by hashing: of a partial download only what verifies is trusted.

mod backup;
mod cluster;
mod create;
mod create_error;
mod database;
mod download;
mod error;
mod extend;
mod file_error;
mod file_hashes;
mod folder;
mod gather;
mod in_place;
mod known_cluster;
mod layout;
mod magnet_record;
mod open_files;
mod parallel;
mod part;
mod parts_file;
mod place;
mod record;
mod record_codec;
mod records;
mod rename;
mod replace;
mod report;
mod reserve;
mod root;
mod running;
mod session;
mod stamp;
mod store;
mod swarms_file;
mod tree;
mod verify;
mod walk;
mod whole_file;

pub use backup::BackupError;
pub use cluster::{
    CLUSTER_FILE, CLUSTER_WAIT, ClusterError, make_or_open_cluster, wait_for_cluster,
};
pub use create::{CreateOptions, create, create_stamped};
pub use create_error::CreateError;
pub use database::{
    Batch, DATABASE_FILE, Database, DatabaseError, RestoreError, Stored, read_backup,
};
pub use download::{Download, Mode};
pub use error::StoreError;
pub use file_error::FileError;
pub use file_hashes::{BadFile, FileHashes, Fresh};
pub use folder::{FolderError, StateFolder, StateKind};
pub use in_place::InPlace;
pub use known_cluster::{KnownCluster, KnownClusterError};
pub use layout::FileLayout;
pub use magnet_record::MagnetRecord;
pub use parts_file::remove_parts_file;
pub use place::Place;
pub use record::{Record, RecordKind, RecordState};
pub use record_codec::RecordError;
pub use records::Records;
pub use replace::{Others, remove_replaced};
pub use report::{FileFault, Report, check};
pub use running::Running;
pub use session::{SessionFile, SessionFileError, StoredSession};
pub use stamp::Stamp;
pub use store::{Span, Store};
pub use swarms_file::SwarmsFile;
pub use verify::verify;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
