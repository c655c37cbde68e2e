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
mod cluster;
mod create;
mod create_error;
mod database;
mod download;
mod error;
mod extend;
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
pub use file_hashes::{BadFile, FileHashes};
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
