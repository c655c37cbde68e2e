//! The tracker's database: rows under 16-byte ids, a version vector and blobs, in one file that `redb` keeps.
//!
//! In scope: that what was committed is there after any end, that nothing is ever seen half, and that a file which is
//! not whole or not a tracker's is refused and left as it is. What rows, versions and blobs mean is not known here.
//!
//! A commit is one transaction of two phases: what was written is synced before the header points to it, and the
//! header is synced before the commit returns. So a last commit that is damaged later is found, never taken for one that
//! a crash cut short, which would bring back an older state. (The one byte in the header that tells which of the
//! last two commits counts has no checksum: changed alone, it leads to the one before.)
//!
//! Before a file is opened for writing it is opened, repaired where a crash left it so, and checked whole in memory, with
//! every write kept from the disk ([`overlay`]).

mod batch;
mod error;
mod overlay;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use error::{DatabaseError, RestoreError};

use super::FileError;
use super::backup::{self, BackupError, BackupWriter};
use crate::system::lock;
use error::{Fault, contain};
use nix::fcntl::OFlag;
use overlay::Overlay;
use redb::backends::FileBackend;
use redb::{Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The file's name in a tracker's state folder.
pub const DATABASE_FILE: &str = "registry.redb";

/// Its name until it is whole.
const NEW: &str = "registry.redb.new";
/// How every redb file begins (its design document, "Super-header").
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// What redb may keep in memory, in bytes: whoever uses the rows has them in memory already.
const CACHE: usize = 16 << 20;

const ABOUT: TableDefinition<&str, &[u8]> = TableDefinition::new("about");
const ROWS: TableDefinition<[u8; 16], &[u8]> = TableDefinition::new("rows");
const BLOBS: TableDefinition<[u8; 20], &[u8]> = TableDefinition::new("blobs");
/// Keys of the table about the file itself.
const KIND: &str = "kind";
const FORMAT: &str = "format";
const ORIGIN: &str = "origin";
const VERSIONS: &str = "versions";
/// There from a restore until it has caught up.
const RESTORED: &str = "restored";
/// What stands under [`KIND`].
const REGISTRY: &[u8] = b"pieceful registry";
/// What stands under [`FORMAT`], in big-endian order.
const THIS_FORMAT: u32 = 1;

/// A tracker's database, open for writing.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    inner: redb::Database,
    /// Whether a commit failed; held **over a commit**, so that they go one by one.
    failed: Mutex<bool>,
}

/// What was in a database when it was opened, the bytes of blobs apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The random bits made with the file, or those that took their place ([`Batch::put_origin`]).
    pub origin: [u8; 16],
    /// The version vector of the last commit that gave one; empty before the first.
    pub versions: Vec<u8>,
    /// All rows, sorted by id.
    pub rows: Vec<([u8; 16], Vec<u8>)>,
    /// The info-hashes of all blobs, sorted.
    pub blobs: Vec<[u8; 20]>,
    /// Whether it was restored from a backup and has not caught up since ([`Batch::caught_up`]).
    pub restored: bool,
}

impl Database {
    /// Opens the database of a state folder that this process alone uses. If there is none, one is made, with a random
    /// origin that is durable before this returns.
    ///
    /// # Errors
    /// See [`DatabaseError`]. A file that was there and cannot be used is as it was.
    pub fn open(folder: &Path) -> Result<(Self, Stored), DatabaseError> {
        let path = folder.join(DATABASE_FILE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(folder, &path, None)?,
            Err(error) => return Err(FileError::at("open", &path)(error).into()),
        }
        let stored = inspect(&path)?;
        let file = open_file(&path, true)?;
        // It has just been checked whole, which takes time with every blob in it.
        let opened = contain(|| open_on(FileBackend::new(file)?, false));
        let inner = opened.map_err(|fault| fault.at("open", &path))?;
        let database = Self {
            path,
            inner,
            failed: Mutex::new(false),
        };
        Ok((database, stored))
    }

    /// What is in the database of a folder that no tracker uses. Nothing is made or changed.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn read(folder: &Path) -> Result<Stored, DatabaseError> {
        inspect(&folder.join(DATABASE_FILE))
    }

    /// Makes a batch durable, all of it or nothing. Once this has failed, what is on disk is known only after the next
    /// opening, and every later commit fails too.
    ///
    /// # Errors
    /// See [`DatabaseError`]; [`DatabaseError::Failed`] after an earlier failure.
    pub fn commit(&self, batch: Batch) -> Result<(), DatabaseError> {
        let mut failed = lock(&self.failed);
        if *failed {
            return Err(DatabaseError::Failed(self.path.clone()));
        }
        // It stays so if anything goes wrong on the way.
        *failed = true;
        contain(|| write(&self.inner, &batch)).map_err(|fault| fault.at("write", &self.path))?;
        *failed = false;
        Ok(())
    }

    /// Writes a backup of all that is durable now, whatever is written meanwhile.
    ///
    /// # Errors
    /// See [`DatabaseError`]; what `out` says among it.
    pub fn back_up(&self, out: &mut dyn Write) -> Result<(), DatabaseError> {
        let written = contain(|| {
            let transaction = self.inner.begin_read()?;
            let mut writer = BackupWriter::begin(out)?;
            let about = transaction.open_table(ABOUT)?;
            let versions = about.get(VERSIONS)?.ok_or(Fault::Foreign)?;
            writer.versions(versions.value())?;
            for row in transaction.open_table(ROWS)?.iter()? {
                let (id, row) = row?;
                writer.row(&id.value(), row.value())?;
            }
            for blob in transaction.open_table(BLOBS)?.iter()? {
                let (info_hash, blob) = blob?;
                writer.blob(&info_hash.value(), blob.value())?;
            }
            Ok(writer.end()?)
        });
        written.map_err(|fault| fault.at("back up", &self.path))
    }

    /// Makes the database of a folder that has none out of a backup, under a new origin.
    ///
    /// # Errors
    /// [`RestoreError`]. What was in the folder is as it was.
    pub fn restore(folder: &Path, backup: &Path) -> Result<(), RestoreError> {
        let path = folder.join(DATABASE_FILE);
        if path.symlink_metadata().is_ok() {
            return Err(RestoreError::Exists(path));
        }
        make(folder, &path, Some(&read_backup(backup)?))?;
        Ok(())
    }

    /// The blob of an info-hash.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn blob(&self, info_hash: &[u8; 20]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let read = contain(|| {
            let blobs = self.inner.begin_read()?.open_table(BLOBS)?;
            let blob = blobs.get(info_hash)?;
            Ok(blob.map(|blob| blob.value().to_vec()))
        });
        read.map_err(|fault| fault.at("read", &self.path))
    }
}

/// Reads a backup whole.
///
/// # Errors
/// See [`BackupError`].
pub fn read_backup(path: &Path) -> Result<Batch, BackupError> {
    let io = FileError::at("read", path);
    let mut file = io::BufReader::new(File::open(path).map_err(io)?);
    match backup::read(&mut file) {
        Ok(Some(batch)) => Ok(batch),
        Ok(None) => Err(BackupError::Foreign(path.to_owned())),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Err(BackupError::Damaged(path.to_owned()))
            }
            _ => Err(io(error).into()),
        },
    }
}

/// Makes a database that stands under its name only when it is whole.
fn make(folder: &Path, path: &Path, restored: Option<&Batch>) -> Result<(), DatabaseError> {
    let mut origin = [0; 16];
    let random = SystemRandom::new();
    random
        .fill(&mut origin)
        .map_err(|_| DatabaseError::NoRandomness(path.to_owned()))?;
    let new = folder.join(NEW);
    let made = fill(&new, origin, restored).map_err(|fault| fault.at("make", path));
    let placed = made.and_then(|()| {
        let place = || {
            fs::rename(&new, path)?;
            File::open(folder)?.sync_all()
        };
        Ok(place().map_err(FileError::at("make", path))?)
    });
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed
}

fn fill(new: &Path, origin: [u8; 16], restored: Option<&Batch>) -> Result<(), Fault> {
    // A crash may have left one.
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
    let whole = file.try_clone()?;
    contain(|| {
        let database = open_on(FileBackend::new(file)?, true)?;
        initialize(&database, origin)?;
        if let Some(batch) = restored {
            write(&database, batch)?;
            let transaction = begin(&database)?;
            transaction
                .open_table(ABOUT)?
                .insert(RESTORED, [].as_slice())?;
            transaction.commit()?;
        }
        Ok(database.close()?)
    })?;
    Ok(whole.sync_all()?)
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

fn write(database: &redb::Database, batch: &Batch) -> Result<(), Fault> {
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

/// What is in the file, once all of it has proved whole; the file stays as it is.
fn inspect(path: &Path) -> Result<Stored, DatabaseError> {
    let mut file = open_file(path, false)?;
    let mut start = [0; MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) if start == MAGIC => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(FileError::at("read", path)(error).into());
        }
        _ => return Err(DatabaseError::Foreign(path.to_owned())),
    }
    let read = contain(|| {
        let overlay = Overlay::new(FileBackend::new(file)?)?;
        load(&open_on(overlay, true)?)
    });
    read.map_err(|fault| fault.at("read", path))
}

/// Opens the database in `backend`, on demand checked whole; what a crash left is repaired there.
fn open_on(backend: impl StorageBackend, check: bool) -> Result<redb::Database, Fault> {
    let database = redb::Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(check)
        .create_with_backend(backend)?;
    Ok(database)
}

fn load(database: &redb::Database) -> Result<Stored, Fault> {
    let transaction = database.begin_read()?;
    let about = transaction.open_table(ABOUT)?;
    let value = |key| -> Result<Vec<u8>, Fault> {
        let value = about.get(key)?.ok_or(Fault::Foreign)?;
        Ok(value.value().to_vec())
    };
    if value(KIND)? != REGISTRY {
        return Err(Fault::Foreign);
    }
    let format = <[u8; 4]>::try_from(value(FORMAT)?).map_err(|_| Fault::Foreign)?;
    match u32::from_be_bytes(format) {
        THIS_FORMAT => {}
        format => return Err(Fault::Format(format)),
    }
    let origin = <[u8; 16]>::try_from(value(ORIGIN)?).map_err(|_| Fault::Foreign)?;
    let mut blobs = Vec::new();
    for blob in transaction.open_table(BLOBS)?.iter()? {
        blobs.push(blob?.0.value());
    }
    let mut rows = Vec::new();
    for row in transaction.open_table(ROWS)?.iter()? {
        let (id, row) = row?;
        rows.push((id.value(), row.value().to_vec()));
    }
    Ok(Stored {
        origin,
        versions: value(VERSIONS)?,
        rows,
        blobs,
        restored: about.get(RESTORED)?.is_some(),
    })
}

/// Opens a regular file that is there, no pipe and no link.
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
    let about = file.metadata().map_err(FileError::at("open", path))?;
    if about.is_file() {
        Ok(file)
    } else {
        Err(DatabaseError::NotAFile(path.to_owned()))
    }
}
