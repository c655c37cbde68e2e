//! Full and read-only disks. The tests mount small file systems if this user may mount.

use crate::storage::testing::{download, info_of, paths_below};
use crate::storage::{
    Destination, RecordState, Records, StateFolder, StoreError, has_room, space_needed,
};
use crate::torrent::{Metainfo, ModifiedTimes};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A file system of 1 MiB in memory.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Returns `None` and prints the reason if this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m", "pieceful-test"]);
        let status = command.arg(folder.path()).stderr(Stdio::null()).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        println!("skipped: a small file system cannot be mounted by this user");
        None
    }

    fn make_read_only(&self) {
        let mut command = Command::new("mount");
        let status = command.args(["-o", "remount,ro"]).arg(self.path()).status();
        assert!(status.unwrap().success());
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn destination(&self) -> Destination {
        Destination {
            folder: self.path().to_owned(),
            name: "x".into(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.path()).status();
        assert!(status.unwrap().success() || std::thread::panicking());
    }
}

/// A source file of `kib` KiB outside the small disk, with its info.
fn source(kib: usize) -> (TempDir, std::sync::Arc<crate::torrent::Info>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, vec![5; kib << 10]).unwrap();
    let info = info_of(&path);
    (folder, info)
}

#[test]
fn a_download_larger_than_the_disk_is_refused_and_leaves_nothing() {
    let Some(disk) = Disk::mount() else { return };
    let (_source, info) = source(2_048);
    let error = download(&info, &disk.destination()).unwrap_err();
    let StoreError::NoSpace { needed, free, .. } = &error else {
        panic!("{error}");
    };
    assert!(*needed == 2 << 20 && *free <= 1 << 20);
    assert!(
        error.to_string().contains("needs 2097152 bytes, only"),
        "{error}"
    );
    assert_eq!(paths_below(disk.path()), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_an_error_and_the_download_can_continue() {
    let Some(disk) = Disk::mount() else { return };
    let (_source, info) = source(900);
    let partial = download(&info, &disk.destination()).unwrap();
    fs::write(disk.path().join("other"), vec![1; 500 << 10]).unwrap();
    let block = [5; 16 << 10];
    let blocks = [&block[..]; 50];
    // The first part of the write fits, so the system first reports a short write.
    let error = partial.write(0, &blocks).unwrap_err();
    assert!(
        matches!(&error, StoreError::DiskFull { path, .. } if path.ends_with("x.part")),
        "{error}"
    );
    assert!(!disk.path().join("x").exists());
    fs::remove_file(disk.path().join("other")).unwrap();
    partial.write(0, &blocks).unwrap();
    let mut read = vec![0; 50 << 14];
    partial.store().read(0, &mut read).unwrap();
    assert!(read.iter().all(|byte| *byte == 5));
    // A continued download needs space only for missing bytes.
    drop(partial);
    fs::write(disk.path().join("other"), vec![1; 60 << 10]).unwrap();
    let partial = download(&info, &disk.destination()).unwrap();
    let missing = 100 << 10;
    assert_eq!(space_needed(partial.store(), 900 << 10), missing);
    // If the download has to fetch only one byte, it needs space only for this byte. All other
    // bytes without space on disk are holes.
    assert_eq!(space_needed(partial.store(), 1), 1);
    partial.check_space(missing).unwrap();
    assert!(!has_room(disk.path(), missing));
    fs::write(disk.path().join("more"), vec![1; 80 << 10]).unwrap();
    let error = partial.check_space(missing).unwrap_err();
    assert!(
        matches!(&error, StoreError::NoSpace { needed, .. } if *needed == missing),
        "{error}"
    );
    partial.check_space(1).unwrap();
}

#[test]
fn a_read_only_disk_is_an_error() {
    let Some(disk) = Disk::mount() else { return };
    let (_source, info) = source(1);
    disk.make_read_only();
    let error = download(&info, &disk.destination()).unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
}

#[test]
fn a_record_that_does_not_fit_leaves_the_old_one() {
    let Some(disk) = Disk::mount() else { return };
    let (_source, info) = source(1);
    let folder = StateFolder::open(&disk.path().join("state")).unwrap();
    let records = Records::open(&folder).unwrap();
    let mut record = crate::storage::record::tests::records().remove(0);
    record.info_hash = info.info_hash();
    let metainfo = Metainfo::new(info.as_ref().clone(), record.trackers.clone());
    records.save(&record, &metainfo).unwrap();
    let before = record.clone();
    record.state = RecordState::Failed {
        reason: "x".repeat(2 << 20),
    };
    // A `.torrent` with other times fits on the disk, but must not replace the `.torrent` of the
    // old record.
    let times = metainfo.info().files().iter().map(|_| 1).collect();
    let times = ModifiedTimes::new(times, metainfo.info());
    let changed = metainfo.clone().with_times(times);
    for error in [records.update(&record), records.save(&record, &changed)] {
        let error = error.unwrap_err();
        assert!(error.is_full(), "{error}");
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(records.outdated(), [info.info_hash()]);
        let loaded = records.load_all();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded.into_iter().next().unwrap().unwrap().0, before);
    }
    records.update(&before).unwrap();
    assert!(records.outdated().is_empty());
}

#[test]
fn holes_need_no_space_where_space_is_reserved() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = fs::File::open(temporary.path()).unwrap();
    if !crate::storage::reserve::can_reserve_cheaply(&folder) {
        return;
    }
    let (_source, info) = source(900);
    let place = Destination {
        folder: temporary.path().to_owned(),
        name: "x".into(),
    };
    let partial = download(&info, &place).unwrap();
    partial.write(0, &[&[0; 64 << 10]]).unwrap();
    assert_eq!(space_needed(partial.store(), 800 << 10), 0);
}
