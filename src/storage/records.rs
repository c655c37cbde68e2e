//! The records of a peer in its state folder: `records/INFOHASH` with `torrents/INFOHASH.torrent`,
//! and `magnets/INFOHASH` (see `magnet_record`).
//!
//! In scope: saved records survive a crash, with their old or their new content; damaged records
//! are reported and skipped. A record exists as soon as it has its final name. Its `.torrent`
//! file is written before the record and removed after the record.

use super::folder::{RECORDS_FOLDER, TORRENTS_FOLDER};
use super::torrent_sum::TorrentSum;
use super::whole_file::{self, TEMPORARY_PREFIX};
use super::{
    FileError, MagnetRecord, Record, RecordError, RecordKind, RecordState, ReservedSpace,
    StateFolder, is_same_entry, sync_folder,
};
use crate::system::lock;
use crate::torrent::{InfoHash, MAX_METAINFO, Metainfo, Sha1};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use tempfile::NamedTempFile;

/// Largest accepted record in bytes. It has room for the stamps of more than a million files.
const MAX_RECORD: usize = 64 << 20;
/// Largest accepted record of a magnet search, in bytes.
const MAX_MAGNET_RECORD: usize = 1 << 20;

/// The records in a state folder.
#[derive(Debug)]
pub struct Records {
    records: PathBuf,
    torrents: PathBuf,
    magnets: PathBuf,
    are_kept: bool,
    /// Locked while a record is written, so that a record that is being removed does not reappear.
    saved: Mutex<HashMap<InfoHash, Saved>>,
    /// The records whose last change could not be written, for example because the disk was full.
    outdated: Mutex<BTreeSet<InfoHash>>,
    /// See [`Records::lock_writing`].
    writing: Mutex<()>,
}

/// What is known of a record without reading it.
#[derive(Debug)]
struct Saved {
    /// The SHA-1 of its `.torrent`.
    torrent: Sha1,
    /// The partial file that a stopped download has left on disk.
    leftover: Option<PathBuf>,
}

impl Saved {
    fn of(record: &Record, torrent: Sha1) -> Self {
        let leftover = match (&record.kind, &record.state) {
            (RecordKind::Download(place), RecordState::Stopped) => {
                let partial = record.unfinished.partial.as_ref();
                partial.map(|partial| place.folder.join(partial))
            }
            _ => None,
        };
        Self { torrent, leftover }
    }

    /// Whether one of these paths is the leftover partial file, or is inside it (the partial file
    /// of a folder is a folder).
    fn leftover_contains_one_of(&self, paths: &[PathBuf]) -> bool {
        let mut ancestors = paths.iter().flat_map(|path| path.ancestors());
        let leftover = self.leftover.as_ref();
        leftover.is_some_and(|leftover| ancestors.any(|path| is_same_entry(path, leftover)))
    }
}

impl Records {
    /// Opens the records in `folder`; [`Records::load_all`] reads them. Removes files that a crash
    /// left incomplete.
    ///
    /// # Errors
    /// When the subfolders cannot be made or listed.
    pub fn open(folder: &StateFolder) -> Result<Self, RecordError> {
        let records = folder.path().join(RECORDS_FOLDER);
        let torrents = folder.path().join(TORRENTS_FOLDER);
        let magnets = folder.path().join("magnets");
        for path in [&records, &torrents, &magnets] {
            let mut made = DirBuilder::new();
            let made = made.recursive(true).mode(0o700).create(path);
            made.map_err(FileError::at("make", path))?;
            for name in names(path)? {
                if name.starts_with(TEMPORARY_PREFIX) {
                    remove_file(&path.join(name))?;
                }
            }
        }
        sync(folder.path())?;
        let opened = Self {
            records,
            torrents,
            magnets,
            are_kept: !folder.is_temporary(),
            saved: Mutex::default(),
            outdated: Mutex::default(),
            writing: Mutex::default(),
        };
        for name in names(&opened.torrents)? {
            let hash = name
                .strip_suffix(".torrent")
                .and_then(|hash| hash.parse().ok());
            if hash.is_some_and(|hash: InfoHash| !opened.record_path(hash).exists()) {
                remove_file(&opened.torrents.join(name))?;
            }
        }
        Ok(opened)
    }

    /// Whether the records outlive this process.
    pub fn are_kept(&self) -> bool {
        self.are_kept
    }

    /// The folder of the records.
    pub fn folder(&self) -> &Path {
        &self.records
    }

    /// Waits until no other thread has this lock. A thread holds the lock while it makes a record
    /// and writes it, so that an older record never replaces a newer one. `docs/overview.md` has
    /// the order in which a thread takes this lock and others.
    pub fn lock_writing(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }

    /// The records whose last change could not be written. An older version of each of them is on
    /// disk.
    pub fn outdated(&self) -> Vec<InfoHash> {
        lock(&self.outdated).iter().copied().collect()
    }

    /// Whether the last change of this record could not be written.
    pub fn is_outdated(&self, hash: InfoHash) -> bool {
        lock(&self.outdated).contains(&hash)
    }

    /// The share of this record is gone. So nobody has to write the record again.
    pub fn forget_outdated(&self, hash: InfoHash) {
        lock(&self.outdated).remove(&hash);
    }

    /// Checks that a record can be written, and reserves the space for a torrent of this length.
    /// Drop the result before [`Records::save`].
    ///
    /// # Errors
    /// When the folders cannot be written, or the disk is full.
    pub fn reserve(&self, torrent_length: u64) -> Result<ReservedSpace, RecordError> {
        let (records, torrents) = (&self.records, &self.torrents);
        whole_file::check_writable(records).map_err(FileError::at("write", records))?;
        let reserved = ReservedSpace::in_folder(torrents, torrent_length);
        Ok(reserved.map_err(FileError::at("write", torrents))?)
    }

    /// Saves the record of a share, and its metainfo. Both survive a crash once this returns.
    ///
    /// # Errors
    /// When the metainfo belongs to another share, or writing fails. If the disk is full, the old
    /// record and the old metainfo still exist.
    pub fn save(&self, record: &Record, metainfo: &Metainfo) -> Result<(), RecordError> {
        let hash = record.info_hash;
        if metainfo.info().info_hash() != hash {
            return Err(RecordError::Mismatch(self.torrent_path(hash)));
        }
        let mut saved = self.lock_saved();
        let (torrent_path, torrent) = (self.torrent_path(hash), metainfo.encode());
        let sha1 = Sha1::of(&torrent);
        let before = saved.get(&hash).map(|known| known.torrent);
        let before = before.filter(|before| *before != sha1);
        // The record contains the SHA-1 of the torrent. So both files are written completely first,
        // and only then get their names. If the disk is full, both old files stay. If the torrent
        // changes, a record that accepts both comes first: a crash may come in between.
        let written = prepare(&torrent_path, &torrent).and_then(|torrent| {
            let path = self.record_path(hash);
            let new = prepare(&path, &record.encode(sha1.into()))?;
            if let Some(before) = before {
                replace(&path, &record.encode(TorrentSum::replaced(before, sha1)))?;
            }
            put(torrent, &torrent_path)?;
            put(new, &path)
        });
        self.note_written(hash, written.is_ok(), &saved);
        written?;
        saved.insert(hash, Saved::of(record, sha1));
        Ok(())
    }

    /// Replaces the record of a share that was saved or loaded.
    ///
    /// # Errors
    /// When the share has no record, or writing fails. If writing fails, the old record still
    /// exists.
    pub fn update(&self, record: &Record) -> Result<(), RecordError> {
        let hash = record.info_hash;
        let mut saved = self.lock_saved();
        let known = saved.get(&hash).ok_or(RecordError::Unknown(hash))?;
        let torrent = known.torrent;
        let written = replace(&self.record_path(hash), &record.encode(torrent.into()));
        self.note_written(hash, written.is_ok(), &saved);
        written?;
        saved.insert(hash, Saved::of(record, torrent));
        Ok(())
    }

    /// Notes whether the newest record of a share is on disk now.
    fn note_written(&self, hash: InfoHash, is_written: bool, saved: &HashMap<InfoHash, Saved>) {
        let mut outdated = lock(&self.outdated);
        match is_written {
            true => outdated.remove(&hash),
            // If the first record of a share cannot be written, no record of it can be outdated.
            false => saved.contains_key(&hash) && outdated.insert(hash),
        };
    }

    /// From now on, these paths belong to the share `hash`. If one of them is the partial file of
    /// another download that is stopped, or is inside it, the record of that download no longer
    /// names the partial file. The change survives a crash once this returns.
    ///
    /// # Errors
    /// When a record cannot be written.
    pub fn claim(&self, hash: InfoHash, paths: &[PathBuf]) -> Result<(), RecordError> {
        let mut saved = self.lock_saved();
        let others = saved.iter_mut().filter(|(other, _)| **other != hash);
        for (other, saved) in others.filter(|(_, saved)| saved.leftover_contains_one_of(paths)) {
            if let Some(mut record) = self.find(*other) {
                record.unfinished.partial = None;
                replace(
                    &self.record_path(*other),
                    &record.encode(saved.torrent.into()),
                )?;
            }
            saved.leftover = None;
        }
        Ok(())
    }

    /// Removes the record of a share, if there is one.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&self, hash: InfoHash) -> Result<(), RecordError> {
        let mut saved = self.lock_saved();
        saved.remove(&hash);
        self.forget_outdated(hash);
        remove_file(&self.record_path(hash))?;
        sync(&self.records)?;
        remove_file(&self.torrent_path(hash))
    }

    /// Reads every record. A record that is damaged, has the wrong name, or does not match its
    /// torrent is an error that names its file. The returned metainfo has the trackers of the
    /// record.
    pub fn load_all(&self) -> Vec<Result<(Record, Metainfo), RecordError>> {
        load_each(&self.records, |name| self.load(name))
    }

    /// The record of a share, if it has one that can be read.
    pub fn find(&self, hash: InfoHash) -> Option<Record> {
        let path = self.record_path(hash);
        let read = read(&path, MAX_RECORD).ok()?;
        let (record, _) = Record::decode(&read, &path).ok()?;
        (record.info_hash == hash).then_some(record)
    }

    fn load(&self, name: &str) -> Result<(Record, Metainfo), RecordError> {
        let path = self.records.join(name);
        let (record, torrent) = Record::decode(&read(&path, MAX_RECORD)?, &path)?;
        let hash = record.info_hash;
        if self.record_path(hash) != path {
            return Err(RecordError::Mismatch(path));
        }
        let loaded = self.load_torrent(hash, torrent);
        let (metainfo, torrent) = loaded.map_err(|what| RecordError::Torrent {
            place: record.kind.place(),
            is_unstopped_download: matches!(record.kind, RecordKind::Download(_))
                && record.state != RecordState::Stopped,
            is_unfinished: !matches!(record.state, RecordState::Complete { .. }),
            record: path,
            torrent: self.torrent_path(hash),
            what,
        })?;
        self.lock_saved().insert(hash, Saved::of(&record, torrent));
        let metainfo = metainfo.with_trackers(record.trackers.clone());
        let metainfo = match record.web_seeds.is_empty() {
            true => metainfo,
            false => metainfo.with_web_seeds(record.web_seeds.clone()),
        };
        Ok((record, metainfo))
    }

    /// Reads the `.torrent` file of a share, and returns its SHA-1 too; `sum` is what the record
    /// says. An error says what is wrong with the file.
    pub(super) fn load_torrent(
        &self,
        hash: InfoHash,
        sum: TorrentSum,
    ) -> Result<(Metainfo, Sha1), String> {
        let path = self.torrent_path(hash);
        let damaged = |what: &str| format!("{} is damaged ({what})", path.display());
        let bytes = read(&path, MAX_METAINFO).map_err(|error| match error {
            RecordError::Damaged { what, .. } => damaged(&what),
            error => error.to_string(),
        })?;
        let metainfo = Metainfo::parse(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let found = Sha1::of(&bytes);
        if !sum.accepts(found) || metainfo.info().info_hash() != hash {
            return Err(damaged("it is another torrent than its record says"));
        }
        Ok((metainfo, found))
    }

    /// Whether the share or download `hash`, which could not be loaded at the start, still has a
    /// record and has not been added again. If its `hash` is unknown: whether the file `path`,
    /// which could not be used, still exists.
    pub fn is_still_damaged(&self, path: &Path, hash: Option<InfoHash>) -> bool {
        let Some(hash) = hash else {
            return path.exists();
        };
        let is_recorded = self.record_path(hash).exists() || self.magnet_path(hash).exists();
        is_recorded && !self.lock_saved().contains_key(&hash)
    }

    /// Saves the record of a magnet search. It survives a crash once this returns.
    ///
    /// # Errors
    /// When writing fails.
    pub fn save_magnet(&self, record: &MagnetRecord) -> Result<(), RecordError> {
        let _one_at_a_time = self.lock_saved();
        let path = self.magnet_path(record.magnet.info_hash);
        replace(&path, &record.encode())
    }

    /// Removes the record of a magnet search, if there is one.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove_magnet(&self, hash: InfoHash) -> Result<(), RecordError> {
        let _one_at_a_time = self.lock_saved();
        remove_file(&self.magnet_path(hash))?;
        sync(&self.magnets)
    }

    /// Reads the records of all magnet searches. A damaged record is an error that names its file.
    pub fn load_magnets(&self) -> Vec<Result<MagnetRecord, RecordError>> {
        load_each(&self.magnets, |name| {
            let path = self.magnets.join(name);
            let record = MagnetRecord::decode(&read(&path, MAX_MAGNET_RECORD)?, &path)?;
            if self.magnet_path(record.magnet.info_hash) != path {
                return Err(RecordError::Mismatch(path));
            }
            Ok(record)
        })
    }

    /// The SHA-1 of the `.torrent` file of a share that was saved or loaded.
    pub(super) fn saved_torrent(&self, hash: InfoHash) -> Option<Sha1> {
        self.lock_saved().get(&hash).map(|saved| saved.torrent)
    }

    fn record_path(&self, hash: InfoHash) -> PathBuf {
        self.records.join(hash.to_string())
    }

    fn torrent_path(&self, hash: InfoHash) -> PathBuf {
        self.torrents.join(format!("{hash}.torrent"))
    }

    fn magnet_path(&self, hash: InfoHash) -> PathBuf {
        self.magnets.join(hash.to_string())
    }

    fn lock_saved(&self) -> MutexGuard<'_, HashMap<InfoHash, Saved>> {
        lock(&self.saved)
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    put(prepare(path, bytes)?, path)
}

/// Writes the new content of a file into a temporary file beside it.
fn prepare(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, RecordError> {
    Ok(whole_file::prepare(path, bytes).map_err(FileError::at("write", path))?)
}

/// Gives the prepared content of a file its final name.
fn put(prepared: NamedTempFile, path: &Path) -> Result<(), RecordError> {
    Ok(whole_file::put(prepared, path).map_err(FileError::at("write", path))?)
}

/// Reads a whole file. A file of more than `max_length` bytes counts as damaged.
fn read(path: &Path, max_length: usize) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(max_length as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() > max_length => Err(RecordError::Damaged {
            path: path.to_owned(),
            what: format!("longer than {max_length} bytes"),
        }),
        Ok(_) => Ok(bytes),
        Err(error) => Err(FileError::at("read", path)(error).into()),
    }
}

/// The names in a folder. Skips names that are not UTF-8, because this program does not make such
/// names.
fn names(folder: &Path) -> Result<Vec<String>, RecordError> {
    let list = || {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    };
    Ok(list().map_err(FileError::at("list", folder))?)
}

/// Calls `load` for each name in a folder, in alphabetical order.
fn load_each<T>(
    folder: &Path,
    load: impl Fn(&str) -> Result<T, RecordError>,
) -> Vec<Result<T, RecordError>> {
    match names(folder) {
        Ok(mut names) => {
            names.sort_unstable();
            names.iter().map(|name| load(name)).collect()
        }
        Err(error) => vec![Err(error)],
    }
}

fn remove_file(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::at("remove", path)(error).into())
        }
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), RecordError> {
    Ok(sync_folder(folder).map_err(FileError::at("sync", folder))?)
}

#[cfg(test)]
mod tests {
    use super::super::FileStamp;
    use super::super::record::tests::records;
    use super::super::testing::info_of;
    use super::*;

    struct Fixture {
        folder: StateFolder,
        metainfo: Metainfo,
        record: Record,
    }

    fn fixture() -> Fixture {
        let folder = StateFolder::temporary().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "data").unwrap();
        let info = info_of(&path);
        let mut record = records().remove(0);
        record.info_hash = info.info_hash();
        let metainfo = Metainfo::new(info.as_ref().clone(), record.trackers.clone());
        let metainfo = metainfo.with_web_seeds(record.web_seeds.clone());
        Fixture {
            folder,
            metainfo,
            record,
        }
    }

    #[test]
    fn a_record_that_is_too_long_counts_as_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        fs::write(&path, [0; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), [0; 100]);
        assert!(matches!(read(&path, 99), Err(RecordError::Damaged { .. })));
    }

    #[test]
    fn saved_and_updated_records_are_there_at_the_next_start() {
        let Fixture {
            folder,
            metainfo,
            mut record,
        } = fixture();
        let before = Records::open(&folder).unwrap();
        assert!(matches!(
            before.update(&record),
            Err(RecordError::Unknown(_))
        ));
        before.save(&record, &metainfo).unwrap();
        let after = Records::open(&folder).unwrap();
        let loaded = after.load_all().pop().unwrap().unwrap();
        assert_eq!(loaded, (record.clone(), metainfo.clone()));
        let stamps = vec![FileStamp {
            length: 4,
            modified_ns: 5,
            inode: 6,
        }];
        record.state = RecordState::Complete { stamps };
        record.trackers = vec![vec!["http://other/announce".into()]];
        after.update(&record).unwrap();
        let later = Records::open(&folder).unwrap();
        let (read, metainfo) = later.load_all().pop().unwrap().unwrap();
        assert_eq!(metainfo.trackers(), record.trackers);
        assert_eq!(read, record);
        later.remove(record.info_hash).unwrap();
        later.remove(record.info_hash).unwrap();
        assert!(matches!(
            later.update(&record),
            Err(RecordError::Unknown(_))
        ));
        assert!(later.load_all().is_empty());
        assert_eq!(names(&later.torrents).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_damaged_or_missing_torrent_is_reported_and_the_other_records_are_loaded() {
        let Fixture {
            folder,
            metainfo,
            record,
        } = fixture();
        let records = Records::open(&folder).unwrap();
        records.save(&record, &metainfo).unwrap();
        let path = records.torrent_path(record.info_hash);
        let sound = fs::read(&path).unwrap();
        let load = || {
            let mut all = records.load_all();
            assert_eq!(all.len(), 1);
            all.remove(0)
        };
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert!(load().is_err(), "{length}");
        }
        let mut flipped = sound.clone();
        for bit in 0..sound.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let error = load().unwrap_err();
            assert!(error.to_string().contains(".torrent"), "{bit}: {error}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        fs::remove_file(&path).unwrap();
        let error = load().unwrap_err().to_string();
        assert!(error.contains("is not downloaded: cannot read"), "{error}");
        assert!(
            error.contains(".torrent") && error.contains("Put that file back"),
            "{error}"
        );
        let next_start = Records::open(&folder).unwrap();
        let is_damaged = || {
            let is_read = next_start.load_all().remove(0).is_ok();
            assert_ne!(
                is_read,
                next_start.is_still_damaged(&path, Some(record.info_hash))
            );
            !is_read
        };
        assert!(is_damaged());
        fs::write(&path, &sound).unwrap();
        assert!(!is_damaged());
        // An undamaged record under another share's name, and a file that is not a record.
        let other = records.records.join("00".repeat(20));
        fs::copy(records.record_path(record.info_hash), &other).unwrap();
        fs::write(records.records.join("zzz"), "x").unwrap();
        let all = records.load_all();
        assert!(matches!(&all[0], Err(RecordError::Mismatch(path)) if *path == other));
        assert!(all[1].is_ok());
        assert!(matches!(&all[2], Err(RecordError::Damaged { .. })));
    }

    #[test]
    fn a_stopped_record_no_longer_names_a_path_that_another_share_has_claimed() {
        let Fixture {
            folder,
            metainfo,
            mut record,
        } = fixture();
        record.state = RecordState::Stopped;
        let RecordKind::Download(place) = record.kind.clone() else {
            panic!("not a download");
        };
        let leftover = place
            .folder
            .join(record.unfinished.partial.clone().unwrap());
        let other = InfoHash([9; 20]);
        let partial = |records: &Records| {
            let record = records.find(record.info_hash).unwrap();
            record.unfinished.partial
        };
        for (hash, path, is_kept) in [
            (record.info_hash, leftover.clone(), true),
            (other, place.path(), true),
            (other, leftover.clone(), false),
            (other, leftover.join("inside"), false),
        ] {
            Records::open(&folder)
                .unwrap()
                .save(&record, &metainfo)
                .unwrap();
            let records = Records::open(&folder).unwrap();
            assert!(records.load_all().pop().unwrap().is_ok());
            records.claim(hash, &[path]).unwrap();
            assert_eq!(partial(&records).is_some(), is_kept);
            assert!(records.load_all().pop().unwrap().is_ok());
        }
        // `claim` ignores a download that is not stopped: `peer/download` refuses its paths to
        // other shares.
        record.state = RecordState::Partial;
        let records = Records::open(&folder).unwrap();
        records.save(&record, &metainfo).unwrap();
        records.claim(other, &[leftover]).unwrap();
        assert!(partial(&records).is_some());
    }

    #[test]
    fn incomplete_files_are_removed_after_a_crash_and_a_foreign_metainfo_is_refused() {
        let Fixture {
            folder,
            metainfo,
            record,
        } = fixture();
        let records = Records::open(&folder).unwrap();
        records.save(&record, &metainfo).unwrap();
        fs::write(records.records.join(".new-abc"), "half").unwrap();
        let orphan = records
            .torrents
            .join(format!("{}.torrent", "00".repeat(20)));
        fs::write(&orphan, "x").unwrap();
        let records = Records::open(&folder).unwrap();
        assert_eq!(names(&records.records).unwrap().len(), 1);
        assert!(!orphan.exists());
        assert!(records.load_all().pop().unwrap().is_ok());
        let mut other = record;
        other.info_hash = InfoHash([0; 20]);
        assert!(matches!(
            records.save(&other, &metainfo),
            Err(RecordError::Mismatch(_))
        ));
    }

    #[test]
    fn a_crash_while_a_torrent_is_replaced_loses_no_record() {
        let Fixture {
            folder,
            metainfo,
            record,
        } = fixture();
        let records = Records::open(&folder).unwrap();
        records.save(&record, &metainfo).unwrap();
        let hash = record.info_hash;
        let (torrent_path, path) = (records.torrent_path(hash), records.record_path(hash));
        let old = fs::read(&torrent_path).unwrap();
        let new = metainfo
            .clone()
            .with_trackers(vec![vec!["http://x/announce".into()]]);
        // What is on the disk before the last step.
        let (before, after) = (Sha1::of(&old), Sha1::of(&new.encode()));
        let both = record.encode(TorrentSum::replaced(before, after));
        for torrent in [old, new.encode()] {
            fs::write(&path, &both).unwrap();
            fs::write(&torrent_path, &torrent).unwrap();
            let next_start = Records::open(&folder).unwrap();
            assert!(next_start.load_all().pop().unwrap().is_ok());
            // Afterwards the record accepts only the file that is there.
            next_start.update(&record).unwrap();
            assert_eq!(
                fs::read(&path).unwrap(),
                record.encode(Sha1::of(&torrent).into())
            );
        }
        // A third one is refused.
        fs::write(&path, &both).unwrap();
        let third = new.with_trackers(vec![vec!["http://y/announce".into()]]);
        fs::write(&torrent_path, third.encode()).unwrap();
        let next_start = Records::open(&folder).unwrap();
        assert!(next_start.load_all().pop().unwrap().is_err());
    }
}
