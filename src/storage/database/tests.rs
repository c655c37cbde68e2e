use super::*;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use tempfile::TempDir;

fn id(number: u32) -> [u8; 16] {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn batch(rows: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Batch {
    let mut batch = Batch::new();
    for (number, row) in rows {
        batch.put_row(id(number), row);
    }
    batch
}

/// A folder with a database of 300 rows, written by three commits.
fn filled_database() -> (TempDir, DatabaseContents) {
    let folder = tempfile::tempdir().unwrap();
    let (database, _) = Database::open(folder.path()).unwrap();
    for part in 0..3u32 {
        let row = |number: u32| (number, vec![number as u8; (number as usize * 37) % 2000]);
        let mut batch = batch((part * 100..part * 100 + 100).map(row));
        batch.put_versions(vec![part as u8; 40]);
        batch.put_blob([part as u8; 20], vec![7; 10_000]);
        database.commit(batch).unwrap();
    }
    drop(database);
    let stored = Database::read(folder.path()).unwrap();
    assert_eq!(stored.rows.len(), 300);
    (folder, stored)
}

#[test]
fn committed_data_is_there_after_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let (database, new) = Database::open(folder.path()).unwrap();
    assert!(new.rows.is_empty() && new.versions.is_empty());
    let path = folder.path().join(DATABASE_FILE);
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let mut first = batch([(2, b"two".to_vec()), (1, vec![]), (3, vec![3; 100_000])]);
    first.put_versions(b"v1".to_vec());
    first.put_blob([9; 20], vec![5; 1 << 20]);
    first.put_blob([8; 20], vec![]);
    database.commit(first).unwrap();
    let mut second = batch([(2, b"two, anew".to_vec())]);
    second.remove_row(id(1));
    second.remove_row(id(77));
    second.remove_blob([8; 20]);
    database.commit(second).unwrap();
    assert_eq!(database.blob(&[9; 20]).unwrap(), Some(vec![5; 1 << 20]));
    assert_eq!(database.blob(&[8; 20]).unwrap(), None);
    let error = Database::open(folder.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::InUse(_)), "{error}");
    let error = Database::read(folder.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::InUse(_)), "{error}");
    drop(database);

    let expected = DatabaseContents {
        origin: new.origin,
        versions: b"v1".to_vec(),
        rows: vec![(id(2), b"two, anew".to_vec()), (id(3), vec![3; 100_000])],
        blobs: vec![([9; 20], 1 << 20)],
        restored: false,
    };
    let before = fs::read(&path).unwrap();
    assert_eq!(Database::read(folder.path()).unwrap(), expected);
    assert!(fs::read(&path).unwrap() == before);
    let (database, stored) = Database::open(folder.path()).unwrap();
    assert_eq!(stored, expected);
    assert_eq!(database.blob(&[9; 20]).unwrap(), Some(vec![5; 1 << 20]));
    let other = tempfile::tempdir().unwrap();
    assert_ne!(Database::open(other.path()).unwrap().1.origin, new.origin);
}

#[test]
fn reading_makes_no_file_and_opening_replaces_an_incomplete_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Database::read(folder.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::Missing(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join(NEW_FILE), "half").unwrap();
    Database::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = Database::open(&folder.path().join("none")).unwrap_err();
    let is_expected = matches!(error, DatabaseError::Io(FileError { action: "make", .. }));
    assert!(is_expected, "{error}");
}

/// Writes `bytes` as the database. Both ways to open it must fail alike and leave the bytes
/// unchanged.
fn assert_refused(folder: &Path, bytes: &[u8]) -> DatabaseError {
    let path = folder.join(DATABASE_FILE);
    fs::write(&path, bytes).unwrap();
    let error = Database::open(folder).unwrap_err();
    assert!(fs::read(&path).unwrap() == bytes, "{error}");
    let read = Database::read(folder).unwrap_err();
    assert_eq!(read.to_string(), error.to_string());
    assert!(fs::read(&path).unwrap() == bytes, "{error}");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    assert!(error.to_string().contains(DATABASE_FILE), "{error}");
    error
}

/// The bytes of a redb file that contains only what `fill` writes.
fn redb_file(fill: impl FnOnce(&redb::WriteTransaction)) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let database = redb::Database::create(file.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    fill(&transaction);
    transaction.commit().unwrap();
    drop(database);
    fs::read(file.path()).unwrap()
}

#[test]
fn other_files_are_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "accounts\n".repeat(10_000);
    let mut magic = vec![0; 8192];
    magic[..9].copy_from_slice(&MAGIC);
    let empty = redb_file(|_| {});
    let other = TableDefinition::<u64, u64>::new("other");
    let tables = redb_file(|it| drop(it.open_table(other).unwrap().insert(1, 2)));
    let same_name = TableDefinition::<u64, u64>::new("about");
    let other_types = redb_file(|it| drop(it.open_table(same_name).unwrap().insert(1, 2)));
    let other_kind = redb_file(|it| {
        it.open_table(ABOUT)
            .unwrap()
            .insert(KIND, b"x".as_slice())
            .unwrap();
    });
    for (bytes, is_foreign) in [
        (b"".as_slice(), true),
        (b"redb", true),
        (text.as_bytes(), true),
        (&[0; 100_000], true),
        (&MAGIC, false),
        (&magic, false),
        (&empty, true),
        (&tables, true),
        (&other_types, true),
        (&other_kind, true),
    ] {
        let error = assert_refused(folder.path(), bytes);
        let is_expected = match error {
            DatabaseError::Foreign(_) => is_foreign,
            DatabaseError::Damaged { .. } => !is_foreign,
            _ => false,
        };
        assert!(is_expected, "{error}");
    }
    let newer = redb_file(|it| {
        let mut about = it.open_table(ABOUT).unwrap();
        about.insert(KIND, REGISTRY).unwrap();
        about.insert(FORMAT, 5u32.to_be_bytes().as_slice()).unwrap();
    });
    let error = assert_refused(folder.path(), &newer);
    let is_expected = matches!(error, DatabaseError::Format { format: 5, .. });
    assert!(is_expected, "{error}");

    let path = folder.path().join(DATABASE_FILE);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    let error = Database::open(folder.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::Io { .. }), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = Database::read(folder.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::NotAFile(_)), "{error}");
}

#[test]
fn a_truncated_file_is_refused_and_not_changed() {
    let (folder, _) = filled_database();
    let whole = fs::read(folder.path().join(DATABASE_FILE)).unwrap();
    for length in [9, 64, 319, 320, 4095, 4096, 5000, 8192, 12_288, 100_000] {
        let error = assert_refused(folder.path(), &whole[..length]);
        assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
    }
    let error = assert_refused(folder.path(), &whole[..whole.len() - 4096]);
    assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
}

/// Position of the byte without a checksum. This byte says which of the last two commits is valid,
/// and whether the file was closed. See the module documentation.
const UNCHECKED: usize = 9;

#[test]
fn a_changed_byte_is_detected_or_has_no_effect() {
    let (folder, stored) = filled_database();
    let path = folder.path().join(DATABASE_FILE);
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let places = (0..320)
        .step_by(3)
        .chain((0..whole.len() / 4096).map(|page| page * 4096 + page * 7 % 64));
    let mut detected = 0;
    for at in places.filter(|at| *at != UNCHECKED) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << random.u8(..8);
        fs::write(&path, &changed).unwrap();
        match Database::read(folder.path()) {
            Ok(read) => assert!(read == stored, "byte {at}"),
            Err(error) => {
                detected += 1;
                assert_refused(folder.path(), &changed);
                let is_expected = matches!(
                    error,
                    DatabaseError::Damaged { .. } | DatabaseError::Foreign(_)
                );
                assert!(is_expected, "byte {at}: {error}");
            }
        }
    }
    assert!(detected > 40, "{detected}");
}

#[test]
fn a_damaged_last_commit_is_refused_and_the_older_state_is_not_used() {
    let (folder, before) = filled_database();
    let path = folder.path().join(DATABASE_FILE);
    let (database, _) = Database::open(folder.path()).unwrap();
    let mut last = Batch::new();
    last.remove_row(id(7));
    database.commit(last).unwrap();
    // The bytes as after `kill -9`.
    let killed = fs::read(&path).unwrap();
    drop(database);
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join(DATABASE_FILE), &killed).unwrap();
    let stored = Database::read(other.path()).unwrap();
    assert_eq!(stored.rows.len(), before.rows.len() - 1);
    // The lowest bit of the byte without a checksum selects one of the two commit slots. They have
    // 128 bytes each and start at 64.
    let slot = 64 + 128 * usize::from(killed[UNCHECKED] & 1);
    for at in slot..slot + 128 {
        let mut changed = killed.clone();
        changed[at] ^= 1;
        let error = assert_refused(other.path(), &changed);
        assert!(
            matches!(
                error,
                DatabaseError::Damaged { .. } | DatabaseError::Foreign(_)
            ),
            "byte {at}: {error}"
        );
    }
}

#[test]
fn damaged_bytes_never_cause_a_panic() {
    let (folder, _) = filled_database();
    let path = folder.path().join(DATABASE_FILE);
    let whole = fs::read(&path).unwrap();
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut changed = whole.clone();
        for _ in 0..random.usize(1..2000) {
            let at = random.usize(9..changed.len());
            changed[at] = random.u8(..);
        }
        fs::write(&path, &changed).unwrap();
        if Database::open(folder.path()).is_err() {
            assert!(fs::read(&path).unwrap() == changed, "{seed}");
        }
    }
}

/// A simulated disk. A crash loses a random part of what was not synced. The disk fails after a
/// chosen number of writes and syncs.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    written: Vec<(usize, Vec<u8>)>,
    /// Number of writes and syncs that succeed before all fail. `None`: all succeed.
    operations_left: Option<usize>,
}

impl DiskState {
    fn count_operation(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Disk {
    fn with_bytes(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(DiskState {
            now: bytes.clone(),
            synced: bytes,
            ..DiskState::default()
        })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, DiskState> {
        self.0.lock().unwrap()
    }

    /// The bytes that a crash now would leave. Each write that was not synced is complete, missing
    /// or partial.
    fn bytes_after_crash(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let state = self.state();
        let mut remaining = state.synced.clone();
        remaining.resize(remaining.len().max(state.now.len()), 0);
        let mut written = state.written.clone();
        random.shuffle(&mut written);
        for (at, bytes) in written {
            let count = match random.u8(..3) {
                0 => 0,
                1 => bytes.len(),
                _ => random.usize(..=bytes.len()),
            };
            remaining[at..at + count].copy_from_slice(&bytes[..count]);
        }
        remaining
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let state = self.state();
        let bytes = state.now.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.count_operation()?;
        state.now.resize(length as usize, 0);
        let length = length as usize;
        state
            .written
            .retain(|(at, bytes)| at + bytes.len() <= length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count_operation()?;
        state.synced = state.now.clone();
        state.written.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        let mut state = self.state();
        state.count_operation()?;
        state.now[at..at + data.len()].copy_from_slice(data);
        state.written.push((at, data.to_vec()));
        Ok(())
    }
}

fn database_on(disk: &Disk) -> Database {
    let inner = open_backend(disk.clone(), true).unwrap();
    let versions = read_versions(&inner).unwrap();
    Database::with(Source::Disk(disk.clone()), inner, versions)
}

type Rows = HashMap<[u8; 16], Vec<u8>>;

#[test]
fn all_acknowledged_commits_survive_a_crash_and_no_commit_is_partial() {
    let disk = Disk::default();
    initialize(&open_backend(disk.clone(), true).unwrap(), [1; 16]).unwrap();
    let start = disk.state().synced.clone();
    let mut unacknowledged_lost = 0;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = Disk::with_bytes(start.clone());
        let database = database_on(&disk);
        disk.state().operations_left = Some(random.usize(..60));
        let (mut acknowledged, mut tried) = (Rows::new(), Rows::new());
        // Each commit writes, so the disk fails long before the 100th.
        for _ in 0..100 {
            let rows: BTreeMap<u32, Vec<u8>> = (0..random.usize(1..20))
                .map(|_| (random.u32(..50), vec![random.u8(..); random.usize(..6000)]))
                .collect();
            let gone = id(random.u32(50..60));
            tried.extend(rows.iter().map(|(number, row)| (id(*number), row.clone())));
            tried.remove(&gone);
            let mut batch = batch(rows);
            batch.remove_row(gone);
            if database.commit(batch).is_err() {
                break;
            }
            acknowledged = tried.clone();
        }
        let failed = database.commit(Batch::new()).unwrap_err();
        assert!(matches!(failed, DatabaseError::Failed(_)), "{failed}");
        let remaining = Disk::with_bytes(disk.bytes_after_crash(&mut random));
        drop(database);
        let stored = load_contents(&open_backend(remaining, true).unwrap()).unwrap();
        let found: Rows = stored.rows.into_iter().collect();
        assert!(found == acknowledged || found == tried, "{seed}");
        assert_eq!(stored.origin, [1; 16]);
        unacknowledged_lost += usize::from(found == acknowledged && acknowledged != tried);
    }
    // Only commits that were not acknowledged may be lost. The crashes must really lose some.
    assert!(unacknowledged_lost > 25, "{unacknowledged_lost}");
}

#[test]
fn after_a_failed_write_every_commit_fails_until_the_failed_one_is_repeated() {
    let disk = Disk::default();
    initialize(&open_backend(disk.clone(), true).unwrap(), [1; 16]).unwrap();
    let database = database_on(&disk);
    database.commit(batch([(1, b"one".to_vec())])).unwrap();
    disk.state().operations_left = Some(0);
    let error = database.commit(batch([(2, b"two".to_vec())])).unwrap_err();
    let is_expected = matches!(
        error,
        DatabaseError::Io(FileError {
            action: "write",
            ..
        })
    );
    assert!(is_expected, "{error}");
    assert!(database.retry().is_err());
    disk.state().operations_left = None;
    for _ in 0..3 {
        let error = database
            .commit(batch([(3, b"three".to_vec())]))
            .unwrap_err();
        assert!(matches!(error, DatabaseError::Failed(_)), "{error}");
    }
    let remaining = Disk::with_bytes(disk.state().synced.clone());
    let stored = load_contents(&open_backend(remaining, true).unwrap()).unwrap();
    assert_eq!(stored.rows, [(id(1), b"one".to_vec())]);
    database.retry().unwrap();
    database.commit(batch([(3, b"three".to_vec())])).unwrap();
    drop(database);
    let stored = load_contents(&open_backend(disk, true).unwrap()).unwrap();
    let rows = [(1, "one"), (2, "two"), (3, "three")];
    assert_eq!(
        stored.rows,
        rows.map(|(n, row)| (id(n), row.as_bytes().to_vec()))
    );
}

#[test]
fn a_disk_that_fails_at_any_operation_and_recovers_loses_nothing() {
    let start = Disk::default();
    initialize(&open_backend(start.clone(), true).unwrap(), [1; 16]).unwrap();
    let start = start.state().synced.clone();
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = Disk::with_bytes(start.clone());
        let database = database_on(&disk);
        let mut expected = Rows::new();
        for round in 0..20 {
            disk.state().operations_left = Some(random.usize(..40));
            let row = vec![random.u8(..); random.usize(..6000)];
            let number = random.u32(..10);
            expected.insert(id(number), row.clone());
            let mut changes = batch([(number, row)]);
            changes.put_versions(vec![round]);
            let mut committed = database.commit(changes);
            while committed.is_err() {
                disk.state().operations_left = match random.bool() {
                    true => Some(random.usize(..40)),
                    false => None,
                };
                committed = database.retry();
            }
        }
        disk.state().operations_left = None;
        drop(database);
        let stored = load_contents(&open_backend(disk, true).unwrap()).unwrap();
        assert!(
            stored.rows.into_iter().collect::<Rows>() == expected,
            "{seed}"
        );
        assert_eq!(stored.versions, [19]);
    }
}

#[test]
fn a_failed_commit_is_not_repeated_in_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let (database, _) = Database::open(folder.path()).unwrap();
    lock(&database.commits).unfinished = Some(batch([(1, b"one".to_vec())]));
    *database.inner.write().unwrap() = None;
    let path = folder.path().join(DATABASE_FILE);
    let away = folder.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    assert!(matches!(database.retry(), Err(DatabaseError::Missing(_))));
    drop(Database::open(folder.path()).unwrap());
    let error = database.retry().unwrap_err();
    assert!(matches!(error, DatabaseError::Replaced(_)), "{error}");
    std::fs::rename(&away, &path).unwrap();
    database.retry().unwrap();
    drop(database);
    let (_, stored) = Database::open(folder.path()).unwrap();
    assert_eq!(stored.rows, [(id(1), b"one".to_vec())]);
}

#[test]
fn a_database_of_an_earlier_format_is_read_and_gets_this_format_with_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    drop(Database::open(folder.path()).unwrap());
    let path = folder.path().join(DATABASE_FILE);
    let set_format = |format: u32| {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let bytes = format.to_be_bytes();
        let mut about = transaction.open_table(ABOUT).unwrap();
        about.insert(FORMAT, bytes.as_slice()).unwrap();
        drop(about);
        transaction.commit().unwrap();
    };
    let format = || {
        let database = redb::Database::open(&path).unwrap();
        let about = database.begin_read().unwrap().open_table(ABOUT).unwrap();
        let format = about.get(FORMAT).unwrap().unwrap().value().to_vec();
        u32::from_be_bytes(format.try_into().unwrap())
    };
    for earlier in EARLIER_FORMATS {
        set_format(earlier);
        drop(Database::open(folder.path()).unwrap());
        assert_eq!(format(), earlier, "an earlier version can go on");
        let (database, _) = Database::open(folder.path()).unwrap();
        database.commit(Batch::default()).unwrap();
        drop(database);
        assert_eq!(format(), THIS_FORMAT);
    }
    set_format(THIS_FORMAT + 1);
    assert!(Database::open(folder.path()).is_err());
}
