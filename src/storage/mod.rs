//! What is stored on disk: the files of shares, the records of a peer, new metainfos, state
//! folders, a cluster's key, and a tracker's database and swarms.
//!
//! A *share* in this module is the content of one torrent: one file, or a folder of files. Linux is
//! the target. Out of scope: what is sent to which peer (`peer`), and which piece is fetched next
//! (`swarm`).
//!
//! The modules for the files of a share. Each uses only modules below it:
//!
//! | part | what it does |
//! |---|---|
//! | `download` | the only code that writes, finishes and discards a download |
//! | `partial_root` | which partial file is continued or made |
//! | `partial`, `extend`, `rename`, `replace` | the steps of a download |
//! | `take_files` | links and clones files of an older version into a download |
//! | `from_version` | copies files and pieces of an older version into a download |
//! | `write_target` | the file to which bytes of a download are written |
//! | `copying` | copies good pieces of other files into a download |
//! | `former_version` | the version of a share whose place a download takes |
//! | `verify` | hashes pieces and returns the good ones |
//! | `store` | reads; detects files that changed since they were verified |
//! | `in_place` | files of a download that are already under the final name |
//! | `parts_file` | bytes of unwanted files that lie in needed pieces |
//! | `root`, `tree` | open a file below a folder without following symbolic links |
//! | `optional` | goes on if the file system lacks a system call |
//! | `layout` | pure: which bytes of the share are in which file, and which files are wanted |
//!
//! Assumptions about the file system: a rename is atomic, and synced data survives a crash.
//! Anything else may be lost. Therefore the pieces of a partial download are trusted only after
//! they have been hashed.

mod arrange;
mod backup;
mod check;
mod cluster;
mod copying;
mod create;
mod create_error;
mod database;
mod destination;
mod download;
mod error;
mod examine;
mod extend;
mod file_error;
mod file_hashes;
mod folder;
mod former_version;
mod from_version;
mod gather;
mod holes;
mod hook_file;
mod in_place;
mod join_files;
mod kept_file;
mod known_cluster;
mod known_members;
mod layout;
mod linked_files;
mod login;
mod machine_file;
mod magnet_record;
mod mirror_file;
mod old_version;
mod open_files;
mod optional;
mod output_file;
mod parallel;
mod partial;
mod partial_root;
mod parts_file;
mod record;
mod record_codec;
mod record_group;
mod record_lookup;
mod records;
mod rename;
mod replace;
mod reported_mirrors;
mod reserve;
mod root;
mod running_tracker;
mod seen_catalogues;
mod set_aside;
mod source_files;
mod stamp;
mod store;
mod swarms_file;
mod take_files;
mod torrent_sum;
mod tree;
mod unfinished_record;
mod verify;
mod whole_file;
mod write_target;

pub use arrange::Arrangement;
pub use backup::{Backup, BackupError, check_backup_name, write_cluster};
pub use check::{CheckReport, FaultyFile, FileFault, check_share};
pub use cluster::{
    CLUSTER_FILE, CLUSTER_WAIT, ClusterError, make_cluster, make_or_open_cluster, restore_cluster,
    wait_for_cluster,
};
pub use create::{CreateOptions, CreatedShare, ShareDraft};
pub use create_error::CreateError;
pub use database::{
    Batch, DATABASE_FILE, Database, DatabaseContents, DatabaseError, RestoreError, read_backup,
};
pub use destination::{Destination, is_same_entry};
pub use download::{Download, DownloadMode, FinishedDownload};
pub use error::StoreError;
pub use examine::{Room, check_writable, existing_ancestor, free_space, room};
pub use extend::undo_moves;
pub use file_error::FileError;
pub use file_hashes::{BadFile, CachedBlocks, FileHashes};
pub use folder::{StateFolder, StateFolderError, StateKind};
pub use former_version::FormerVersion;
pub use from_version::{copy_equal_pieces, copy_from_changed_files, copy_unchanged_files};
pub use hook_file::{
    EndedTransfer, HookFile, NewGroupShare, ReportedEnd, StoredHooks, TransferId, WaitingEvent,
};
pub use in_place::InPlace;
pub use join_files::{JoinFileError, JoinFiles, ReadToken, read_token};
pub use kept_file::KeptFileError;
pub use known_cluster::{KnownCluster, KnownClusterError};
pub use known_members::{KnownMembersError, KnownMembersFile, StoredBar, StoredGroup, StoredLink};
pub use layout::FileLayout;
pub use login::{LoginFile, LoginFileError, StoredLogin, TokenTimes};
pub use machine_file::{EnrolledMachine, MachineFile, MachineFileError, StoredMachine};
pub use magnet_record::MagnetRecord;
pub use mirror_file::{MirrorFile, MirrorOwner, MirrorSettings, MirroredShare, StoredMirror};
pub use old_version::OldVersion;
pub use optional::sync_folder;
pub use output_file::{PreparedOutput, Readers, check_output, reserve_output, write_output};
pub use partial::space_needed;
pub use partial_root::RecordedFiles;
pub use parts_file::remove_parts_file;
pub use record::{Record, RecordKind, RecordState, SharedPath};
pub use record_codec::RecordError;
pub use record_group::{RecordedGroup, ShareVersion};
pub use record_lookup::find_with_info;
pub use records::Records;
pub use rename::{NoteSteps, RenameSteps};
pub use replace::{ExtraFiles, RecoveredRename, recover_rename, remove_replaced};
pub use reported_mirrors::ReportedMirrorsFile;
pub use reserve::{ReservedSpace, has_room};
pub use running_tracker::RunningTracker;
pub use seen_catalogues::{SeenCataloguesFolder, SeenShare};
pub use set_aside::SetAside;
pub use stamp::{FileStamp, StampMatch};
pub use store::{PathCheck, Store, StoredSpan};
pub use swarms_file::SwarmsFile;
pub use take_files::take_files;
pub use unfinished_record::UnfinishedRecord;
pub use verify::verify;

#[cfg(any(test, fuzzing))]
pub(crate) use self::{backup::fuzz as fuzz_backup, record_codec::fuzz as fuzz_records};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
