//! The tracker's database: rows with 16-byte ids, a version vector and blobs, in one `redb` file.
//!
//! In scope: committed data survives any crash; no commit is ever half visible; a file that is
//! damaged, or is not a tracker's database, is refused and not changed. Out of scope: the meaning
//! of rows, versions and blobs.
//!
//! A commit is one transaction with two phases. The data is synced before the header refers to it,
//! and the header is synced before the commit returns. Therefore a damaged last commit is reported
//! as damage. It is never mistaken for a commit that a crash interrupted. Such a mistake would
//! silently restore the older state. There is one exception: one byte of the header says which of
//! the last two commits is valid, and has no checksum. If only this byte changes, the older commit
//! is read.
//!
//! Before a database is opened for writing, it is opened with all writes kept in memory
//! ([`overlay`]). This first opening checks all of the database. After a crash, it also repairs the
//! database, but only in memory.

mod batch;
mod error;
mod overlay;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use error::{DatabaseError, RestoreError};

use super::backup::{self, Backup, BackupError, BackupWriter};
use super::{FileError, free_space, sync_folder};
use crate::system::{lock, recover};
use error::{Fault, catch_panics};
use nix::fcntl::OFlag;
use overlay::Overlay;
use redb::backends::FileBackend;
use redb::{Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// Name of the file in a tracker's state folder.
pub const DATABASE_FILE: &str = "registry.redb";

/// Name of a new database file until it is complete.
const NEW_FILE: &str = "registry.redb.new";
/// The first bytes of every redb file (redb's design document, "Super-header").
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Size of redb's cache in bytes. It is small because the callers keep all rows in memory.
const CACHE: usize = 16 << 20;

const ABOUT: TableDefinition<&str, &[u8]> = TableDefinition::new("about");
const ROWS: TableDefinition<[u8; 16], &[u8]> = TableDefinition::new("rows");
const BLOBS: TableDefinition<[u8; 20], &[u8]> = TableDefinition::new("blobs");
// Keys of the table `about`.
const KIND: &str = "kind";
const FORMAT: &str = "format";
const ORIGIN: &str = "origin";
const VERSIONS: &str = "versions";
/// This key exists from a restore until the tracker has caught up with its cluster.
const RESTORED: &str = "restored";
/// The value for [`KIND`].
const REGISTRY: &[u8] = b"pieceful registry";
/// The value for [`FORMAT`], big-endian. Each commit sets it, so that an earlier version of the
/// program refuses a database only if it cannot read all of it.
const THIS_FORMAT: u32 = 4;
/// The formats of earlier versions. They have fewer kinds of rows and fields.
const EARLIER_FORMATS: [u32; 3] = [1, 2, 3];

/// A tracker's database, open for writing.
#[derive(Debug)]
pub struct Database {
    source: Source,
    /// `None` after a failed commit, until a retry has opened the file again.
    inner: RwLock<Option<Arc<redb::Database>>>,
    /// The lock is held **during a commit**, so that commits run one at a time.
    commits: Mutex<Commits>,
}

/// Where the bytes of a database are.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    #[cfg(test)]
    Disk(tests::Disk),
}

/// The state after the last durable commit, and a commit that is to be repeated.
#[derive(Debug)]
struct Commits {
    /// The versions after the last commit that is known to be durable.
    durable: Versions,
    /// The batch of a commit that failed. The batch may be durable nevertheless.
    unfinished: Option<Batch>,
}

/// The origin and the version vector of a database. They show in which state the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Versions {
    origin: [u8; 16],
    versions: Vec<u8>,
}

/// What a database contained when it was opened, without the bytes of blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseContents {
    /// The origin: random bytes, made with the file. [`Batch::put_origin`] replaces them.
    pub origin: [u8; 16],
    /// The last version vector that was committed. Empty before the first one.
    pub versions: Vec<u8>,
    /// All rows, sorted by id.
    pub rows: Vec<([u8; 16], Vec<u8>)>,
    /// The info-hash and the length of each blob, sorted by info-hash.
    pub blobs: Vec<([u8; 20], u32)>,
    /// Whether the database was restored from a backup and has not caught up since
    /// ([`Batch::mark_caught_up`]).
    pub restored: bool,
}

impl Database {
    /// Opens the database in a state folder. Only this process may use the folder. If there is no
    /// database, this makes one with a random origin, and makes it durable.
    ///
    /// # Errors
    /// See [`DatabaseError`]. An existing file that cannot be used is not changed.
    pub fn open(folder: &Path) -> Result<(Self, DatabaseContents), DatabaseError> {
        let path = folder.join(DATABASE_FILE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_database(folder, &path, None)?
            }
            Err(error) => return Err(FileError::at("open", &path)(error).into()),
        }
        let stored = read_and_check(&path)?;
        let file = open_file(&path, true)?;
        // `read_and_check` has just checked the file. A second check would read every blob again.
        let opened = catch_panics(|| open_backend(FileBackend::new(file)?, false));
        let inner = opened.map_err(|fault| fault.at("open", &path))?;
        let durable = Versions {
            origin: stored.origin,
            versions: stored.versions.clone(),
        };
        Ok((Self::with(Source::File(path), inner, durable), stored))
    }

    fn with(source: Source, inner: redb::Database, durable: Versions) -> Self {
        Self {
            source,
            inner: RwLock::new(Some(Arc::new(inner))),
            commits: Mutex::new(Commits {
                durable,
                unfinished: None,
            }),
        }
    }

    /// Reads the database in the folder of a tracker that is not running. Does not create or change
    /// anything.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn read(folder: &Path) -> Result<DatabaseContents, DatabaseError> {
        read_and_check(&folder.join(DATABASE_FILE))
    }

    /// Makes all changes of a batch durable, or none. After a failed commit, it is unknown whether
    /// the changes are durable. Then every later commit fails until [`Database::retry`] succeeds.
    ///
    /// # Errors
    /// See [`DatabaseError`]. [`DatabaseError::Failed`] after an earlier failure.
    pub fn commit(&self, batch: Batch) -> Result<(), DatabaseError> {
        let mut commits = lock(&self.commits);
        if commits.unfinished.is_some() {
            return Err(DatabaseError::Failed(self.path().to_owned()));
        }
        commits.unfinished = Some(batch);
        self.finish(&mut commits)
    }

    /// Opens the file again and repeats the commit that failed. If the changes are durable already,
    /// repeating the commit changes nothing. Does nothing if no commit failed.
    ///
    /// # Errors
    /// See [`DatabaseError`]. [`DatabaseError::Replaced`] if the file has neither the state before
    /// the failed commit nor the state after it.
    pub fn retry(&self) -> Result<(), DatabaseError> {
        self.finish(&mut lock(&self.commits))
    }

    /// Writes the unfinished batch, if there is one.
    fn finish(&self, commits: &mut MutexGuard<'_, Commits>) -> Result<(), DatabaseError> {
        let Some(batch) = &commits.unfinished else {
            return Ok(());
        };
        let inner = match self.inner() {
            Ok(inner) => inner,
            Err(_) => self.reopen(&commits.durable, batch)?,
        };
        let written = catch_panics(|| write_batch(&inner, batch));
        if let Err(fault) = written {
            *recover(self.inner.write()) = None;
            return Err(fault.at("write", self.path()));
        }
        commits.durable = commits.durable.after(batch);
        commits.unfinished = None;
        Ok(())
    }

    /// Opens the file again after a commit of `batch` has failed. `before` are the versions before
    /// that commit.
    fn reopen(
        &self,
        before: &Versions,
        batch: &Batch,
    ) -> Result<Arc<redb::Database>, DatabaseError> {
        let opened = match &self.source {
            Source::File(path) => {
                let file = open_file(path, true)?;
                catch_panics(|| open_backend(FileBackend::new(file)?, false))
            }
            #[cfg(test)]
            Source::Disk(disk) => catch_panics(|| open_backend(disk.clone(), false)),
        };
        let checked = opened.and_then(|database| {
            let found = catch_panics(|| read_versions(&database))?;
            Ok((database, found))
        });
        let (database, found) = checked.map_err(|fault| fault.at("open", self.path()))?;
        if found != *before && found != before.after(batch) {
            return Err(DatabaseError::Replaced(self.path().to_owned()));
        }
        let database = Arc::new(database);
        *recover(self.inner.write()) = Some(Arc::clone(&database));
        Ok(database)
    }

    fn inner(&self) -> Result<Arc<redb::Database>, DatabaseError> {
        let inner = recover(self.inner.read()).clone();
        inner.ok_or_else(|| DatabaseError::Failed(self.path().to_owned()))
    }

    fn path(&self) -> &Path {
        match &self.source {
            Source::File(path) => path,
            #[cfg(test)]
            Source::Disk(_) => Path::new(DATABASE_FILE),
        }
    }

    /// Writes the part of a backup that contains the database: everything that is durable now.
    /// Commits may continue meanwhile.
    ///
    /// # Errors
    /// See [`DatabaseError`]. Errors of `out` are among them.
    pub fn back_up(&self, out: &mut dyn Write) -> Result<(), DatabaseError> {
        let inner = self.inner()?;
        let written = catch_panics(|| {
            let transaction = inner.begin_read()?;
            let mut writer = BackupWriter::begin(out)?;
            let about = transaction.open_table(ABOUT)?;
            let versions = about.get(VERSIONS)?.ok_or(Fault::Foreign)?;
            writer.write_versions(versions.value())?;
            for row in transaction.open_table(ROWS)?.iter()? {
                let (id, row) = row?;
                writer.write_row(&id.value(), row.value())?;
            }
            for blob in transaction.open_table(BLOBS)?.iter()? {
                let (info_hash, blob) = blob?;
                writer.write_blob(&info_hash.value(), blob.value())?;
            }
            Ok(writer.finish()?)
        });
        written.map_err(|fault| fault.at("back up", self.path()))
    }

    /// Free space of the disk in bytes. `None` if the system does not report it.
    pub fn free_space(&self) -> Option<u64> {
        free_space(self.path().parent()?)
    }

    /// Whether a state folder has a database, or anything else with the file name of a database.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(DATABASE_FILE).symlink_metadata().is_ok()
    }

    /// Reads a backup that is to be restored into a folder, which must not have a database.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn read_backup_for(folder: &Path, backup: &Path) -> Result<Backup, RestoreError> {
        if Self::is_in(folder) {
            return Err(RestoreError::Exists(folder.join(DATABASE_FILE)));
        }
        Ok(read_backup(backup)?)
    }

    /// Makes a database from a backup, with a new origin. The folder must not have a database.
    ///
    /// # Errors
    /// See [`RestoreError`]. Existing files in the folder are not changed.
    pub fn restore(folder: &Path, backup: &Backup) -> Result<(), RestoreError> {
        let path = folder.join(DATABASE_FILE);
        if Self::is_in(folder) {
            return Err(RestoreError::Exists(path));
        }
        make_database(folder, &path, Some(&backup.batch))?;
        Ok(())
    }

    /// The blob with this info-hash.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn blob(&self, info_hash: &[u8; 20]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let inner = self.inner()?;
        let read = catch_panics(|| {
            let blobs = inner.begin_read()?.open_table(BLOBS)?;
            let blob = blobs.get(info_hash)?;
            Ok(blob.map(|blob| blob.value().to_vec()))
        });
        read.map_err(|fault| fault.at("read", self.path()))
    }
}

impl Versions {
    /// The versions after a commit of `batch`.
    fn after(&self, batch: &Batch) -> Self {
        Self {
            origin: batch.origin.unwrap_or(self.origin),
            versions: batch.versions.as_ref().unwrap_or(&self.versions).clone(),
        }
    }
}

/// Reads a whole backup.
///
/// # Errors
/// See [`BackupError`].
pub fn read_backup(path: &Path) -> Result<Backup, BackupError> {
    let read_error = FileError::at("read", path);
    let mut file = io::BufReader::new(File::open(path).map_err(read_error)?);
    match backup::read(&mut file) {
        Ok(Some(backup)) => Ok(backup),
        Ok(None) => Err(BackupError::Foreign(path.to_owned())),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Err(BackupError::Damaged(path.to_owned()))
            }
            _ => Err(read_error(error).into()),
        },
    }
}

/// Makes a database under a temporary name and renames it when it is complete.
fn make_database(folder: &Path, path: &Path, backup: Option<&Batch>) -> Result<(), DatabaseError> {
    let mut origin = [0; 16];
    let random = SystemRandom::new();
    random
        .fill(&mut origin)
        .map_err(|_| DatabaseError::NoRandomness(path.to_owned()))?;
    let new = folder.join(NEW_FILE);
    let made = fill_new_file(&new, origin, backup).map_err(|fault| fault.at("make", path));
    let placed = made.and_then(|()| {
        let place = || {
            fs::rename(&new, path)?;
            sync_folder(folder)
        };
        Ok(place().map_err(FileError::at("make", path))?)
    });
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed
}

fn fill_new_file(new: &Path, origin: [u8; 16], backup: Option<&Batch>) -> Result<(), Fault> {
    // A crash may have left an incomplete file.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    let file_to_sync = file.try_clone()?;
    catch_panics(|| {
        let database = open_backend(FileBackend::new(file)?, true)?;
        initialize(&database, origin)?;
        if let Some(batch) = backup {
            write_batch(&database, batch)?;
            let transaction = begin(&database)?;
            transaction
                .open_table(ABOUT)?
                .insert(RESTORED, [].as_slice())?;
            transaction.commit()?;
        }
        Ok(database.close()?)
    })?;
    Ok(file_to_sync.sync_all()?)
}

fn initialize(database: &redb::Database, origin: [u8; 16]) -> Result<(), Fault> {
    let transaction = begin(database)?;
    {
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(KIND, REGISTRY)?;
        about.insert(FORMAT, THIS_FORMAT.to_be_bytes().as_slice())?;
        about.insert(ORIGIN, origin.as_slice())?;
        about.insert(VERSIONS, [].as_slice())?;
        transaction.open_table(ROWS)?;
        transaction.open_table(BLOBS)?;
    }
    Ok(transaction.commit()?)
}

fn write_batch(database: &redb::Database, batch: &Batch) -> Result<(), Fault> {
    let transaction = begin(database)?;
    {
        let mut rows = transaction.open_table(ROWS)?;
        for (id, row) in &batch.rows {
            match row {
                Some(row) => rows.insert(id, row.as_slice())?,
                None => rows.remove(id)?,
            };
        }
        let mut blobs = transaction.open_table(BLOBS)?;
        for (info_hash, blob) in &batch.blobs {
            match blob {
                Some(blob) => blobs.insert(info_hash, blob.as_slice())?,
                None => blobs.remove(info_hash)?,
            };
        }
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(FORMAT, THIS_FORMAT.to_be_bytes().as_slice())?;
        if let Some(versions) = &batch.versions {
            about.insert(VERSIONS, versions.as_slice())?;
        }
        if let Some(origin) = &batch.origin {
            about.insert(ORIGIN, origin.as_slice())?;
        }
        if batch.caught_up {
            about.remove(RESTORED)?;
        }
    }
    Ok(transaction.commit()?)
}

fn begin(database: &redb::Database) -> Result<redb::WriteTransaction, Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// Checks the whole file and returns its contents. Does not change the file.
fn read_and_check(path: &Path) -> Result<DatabaseContents, DatabaseError> {
    let mut file = open_file(path, false)?;
    let mut start = [0; MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) if start == MAGIC => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(FileError::at("read", path)(error).into());
        }
        _ => return Err(DatabaseError::Foreign(path.to_owned())),
    }
    let read = catch_panics(|| {
        let overlay = Overlay::new(FileBackend::new(file)?)?;
        load_contents(&open_backend(overlay, true)?)
    });
    read.map_err(|fault| fault.at("read", path))
}

/// Opens the database in `backend` and repairs it there after a crash. Checks all of it if `check`
/// is set.
fn open_backend(backend: impl StorageBackend, check: bool) -> Result<redb::Database, Fault> {
    let database = redb::Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(check)
        .create_with_backend(backend)?;
    Ok(database)
}

fn read_versions(database: &redb::Database) -> Result<Versions, Fault> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let value = |key| -> Result<Vec<u8>, Fault> {
        let value = about.get(key)?.ok_or(Fault::Foreign)?;
        Ok(value.value().to_vec())
    };
    if value(KIND)? != REGISTRY {
        return Err(Fault::Foreign);
    }
    let format = <[u8; 4]>::try_from(value(FORMAT)?).map_err(|_| Fault::Foreign)?;
    let format = u32::from_be_bytes(format);
    if format != THIS_FORMAT && !EARLIER_FORMATS.contains(&format) {
        return Err(Fault::Format(format));
    }
    Ok(Versions {
        origin: <[u8; 16]>::try_from(value(ORIGIN)?).map_err(|_| Fault::Foreign)?,
        versions: value(VERSIONS)?,
    })
}

fn load_contents(database: &redb::Database) -> Result<DatabaseContents, Fault> {
    let Versions { origin, versions } = read_versions(database)?;
    let transaction = database.begin_read()?;
    let about = transaction.open_table(ABOUT)?;
    let mut blobs = Vec::new();
    for blob in transaction.open_table(BLOBS)?.iter()? {
        let (info_hash, blob) = blob?;
        let length = u32::try_from(blob.value().len()).unwrap_or(u32::MAX);
        blobs.push((info_hash.value(), length));
    }
    let mut rows = Vec::new();
    for row in transaction.open_table(ROWS)?.iter()? {
        let (id, row) = row?;
        rows.push((id.value(), row.value().to_vec()));
    }
    Ok(DatabaseContents {
        origin,
        versions,
        rows,
        blobs,
        restored: about.get(RESTORED)?.is_some(),
    })
}

/// Opens an existing regular file. Refuses symbolic links and pipes.
fn open_file(path: &Path, write: bool) -> Result<File, DatabaseError> {
    let opened = File::options()
        .read(true)
        .write(write)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DatabaseError::Missing(path.to_owned()));
        }
        file => file.map_err(FileError::at("open", path))?,
    };
    let metadata = file.metadata().map_err(FileError::at("open", path))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(DatabaseError::NotAFile(path.to_owned()))
    }
}
