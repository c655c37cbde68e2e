//! Shares for the tests of this module.

use super::{
    CreateError, CreateOptions, Destination, Download, DownloadMode, FileLayout, RecordedFiles,
    ShareDraft, Store, StoreError,
};
use crate::torrent::{FileName, FilePath, Info};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// For callers that show no progress.
pub(super) const NO_PROGRESS: &(dyn Fn(u64, u64) + Sync) = &|_, _| ();

/// The info dictionary of a file or folder.
pub(super) fn create(
    path: &Path,
    options: &CreateOptions<'_>,
    progress: &(dyn Fn(u64, u64) + Sync),
    stop: &AtomicBool,
) -> Result<Info, CreateError> {
    let created = ShareDraft::new(path, options)?.hash(progress, stop)?;
    Ok(created.metainfo.info().clone())
}

/// `folder` contains a folder `set` with four files. `info` and `bytes` are those of `set`.
pub(super) struct Sample {
    pub(super) folder: TempDir,
    pub(super) info: Arc<Info>,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn sample() -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("set");
    fs::create_dir_all(top.join("sub/deep")).unwrap();
    let random: Vec<u8> = (0..1_700_000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (first, rest) = random.split_at(100_000);
    let (second, third) = rest.split_at(1_500_000);
    fs::write(top.join("a"), first).unwrap();
    fs::write(top.join("empty"), "").unwrap();
    fs::write(top.join("sub/big"), second).unwrap();
    fs::write(top.join("sub/deep/z"), third).unwrap();
    let options = CreateOptions {
        piece_length: Some(256 << 10),
        file_sha1: true,
        ..CreateOptions::default()
    };
    let info = create(&top, &options, &|_, _| (), &AtomicBool::new(false)).unwrap();
    Sample {
        folder,
        info: Arc::new(info),
        bytes: random,
    }
}

/// Opens a complete share. Panics if a file is missing or has the wrong length.
pub(super) fn share(info: &Arc<Info>, path: &Path) -> Store {
    let store = Store::open(FileLayout::all(Arc::clone(info)), path).unwrap();
    store.stamps().unwrap();
    store
}

/// Opens a download as a restarted peer does: with a record, which names the partial file if that
/// file exists. Then makes the files.
pub(super) fn open_recorded(
    layout: FileLayout,
    destination: &Destination,
    mode: DownloadMode,
) -> Result<Download, StoreError> {
    let partial = destination.partial_name(layout.info().info_hash());
    let existing = destination.folder.join(&partial).symlink_metadata();
    let recorded = RecordedFiles {
        partial: existing.is_ok().then_some(&*partial),
        is_recorded: true,
        ..RecordedFiles::NONE
    };
    let download = Download::open(layout, destination, mode, recorded)?;
    download.make_files()?;
    Ok(download)
}

/// Finishes a download without setting times, and without noting steps in a record.
pub(super) fn finish(download: Download) -> Result<PathBuf, StoreError> {
    download.complete_files(None)?;
    let finished = download.finish(None, &|_| Ok(()))?;
    Ok(finished.path)
}

/// A new or continued download of all files.
pub(super) fn download(
    info: &Arc<Info>,
    destination: &Destination,
) -> Result<Download, StoreError> {
    let layout = FileLayout::all(Arc::clone(info));
    open_recorded(layout, destination, DownloadMode::New)
}

pub(super) fn destination(folder: &TempDir, name: &str) -> Destination {
    Destination {
        folder: folder.path().to_owned(),
        name: name.into(),
    }
}

pub(super) fn info_of(path: &Path) -> Arc<Info> {
    let stop = AtomicBool::new(false);
    let info = create(path, &CreateOptions::default(), &|_, _| (), &stop);
    Arc::new(info.unwrap())
}

pub(super) fn path(text: &str) -> FilePath {
    let names = text.split('/').map(|name| FileName::new(name).unwrap());
    FilePath::new(names.collect()).unwrap()
}

/// The info dictionary of a folder with two files of 10 and 4 bytes, and 6 bytes of padding between
/// them. The first file is executable.
pub(super) fn padded() -> Info {
    let file = |name: &str, length: u32, attribute: &str| {
        let attribute = match attribute {
            "" => String::new(),
            attribute => format!("4:attr1:{attribute}"),
        };
        let path = format!("4:pathl{}:{name}e", name.len());
        format!("d{attribute}6:lengthi{length}e{path}e")
    };
    let files = [file("run", 10, "x"), file("6", 6, "p"), file("text", 4, "")].concat();
    let hash = "x".repeat(20);
    let info = format!("d5:filesl{files}e4:name1:p12:piece lengthi65536e6:pieces20:{hash}e");
    Info::parse(info.as_bytes()).unwrap()
}

/// The paths of everything below `folder`, relative to it, sorted.
pub(super) fn paths_below(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            paths.push(path.strip_prefix(folder).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    paths.sort();
    paths
}
