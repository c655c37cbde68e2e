//! Bytes that last: the files of a share, what a peer remembers of it, a metainfo made out of files.
//!
//! In scope: positioned reads and writes over the files of one share, downloads that stand under their name only when
//! they are whole, hashing what lies on disk, the state folder and its records, a cluster's key, the
//! tracker's database and swarms. Linux is the target. Out of scope: who
//! sends what to whom (`peer`), and which piece comes next (`swarm`).
//!
//! What is assumed of a file system: a rename is atomic, and what was synced is there after a crash. Whatever else it
//! may have lost is found by hashing: nothing of a partial download is trusted that does not verify.

mod backup;
mod check;
mod cluster;
mod create;
mod database;
mod download;
mod error;
mod file_hashes;
mod finish;
mod folder;
mod gather;
mod known_cluster;
mod magnet_record;
mod open_files;
mod parallel;
mod record;
mod records;
mod report;
mod reserve;
mod rest;
mod running;
mod sealed;
mod session;
mod stamp;
mod standing;
mod store;
mod swarms_file;
mod tree;
mod walk;

pub use backup::BackupError;
pub use check::verify;
pub use cluster::{
    CLUSTER_FILE, CLUSTER_WAIT, ClusterError, make_or_open_cluster, wait_for_cluster,
};
pub use create::{CreateError, CreateOptions, create, create_stamped};
pub use database::{
    Batch, DATABASE_FILE, Database, DatabaseError, RestoreError, Stored, read_backup,
};
pub use download::{Others, Place};
pub use error::StoreError;
pub use file_hashes::{BadFile, FileHashes};
pub use folder::{FolderError, StateFolder, StateKind};
pub use known_cluster::{KnownCluster, KnownClusterError};
pub use magnet_record::MagnetRecord;
pub use record::{Record, RecordError, RecordKind, RecordState};
pub use records::Records;
pub use report::{FileFault, Report, check};
pub use running::Running;
pub use session::{SessionFile, SessionFileError, StoredSession};
pub use stamp::Stamp;
pub use store::{Span, Store};
pub use swarms_file::SwarmsFile;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod testing;
