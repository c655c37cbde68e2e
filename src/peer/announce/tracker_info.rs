//! The cluster's trackers, as the TRACKER_INFO file lists them.

use crate::system::{cause, lock, since_1970};
use crate::wire::TrackerInfo;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A file that was read sooner than this after its last change is read again, even if it looks
/// unchanged: file systems do not tell apart two changes that follow each other quickly.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The TRACKER_INFO file, which may be written or changed at any time. It is read only if it has
/// changed, because a peer with many shares asks for it often.
#[derive(Debug)]
pub(crate) struct TrackerInfoFile {
    path: PathBuf,
    /// The announce URLs in the file, and the version that had them. `None` if the file must be
    /// read again: it has not been read, could not be examined, or had changed shortly before it
    /// was read.
    cached: Mutex<Option<(Version, Arc<[String]>)>>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    length: u64,
    /// When its content and its inode changed last, in nanoseconds since 1970.
    changed: [i128; 2],
}

impl TrackerInfoFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let cached = Mutex::default();
        Self { path, cached }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The announce URLs of the trackers in the file; none if it cannot be read.
    pub(crate) fn tracker_urls(&self) -> Arc<[String]> {
        let version = self.version();
        let cached = lock(&self.cached).clone();
        if let Some((cached_version, urls)) = cached
            && Some(cached_version) == version
        {
            return urls;
        }
        // The version was taken before the text is read, so a change in between is noticed later.
        let info = read_tracker_info(&self.path).unwrap_or_default();
        let urls = info.addresses.iter();
        let urls: Arc<[String]> = urls.map(|address| url_of(&address.to_string())).collect();
        let now = since_1970().as_nanos().cast_signed();
        let settled = version.filter(|version| version.is_settled(now));
        *lock(&self.cached) = settled.map(|version| (version, Arc::clone(&urls)));
        urls
    }

    /// The version of the file; `None` if it cannot be examined.
    fn version(&self) -> Option<Version> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        let nanoseconds =
            |seconds, fraction| i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
        Some(Version {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: [
                nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            ],
        })
    }
}

impl Version {
    /// Whether the last change was at least [`SETTLED_AFTER`] before `now`.
    fn is_settled(&self, now: i128) -> bool {
        let settled_after = SETTLED_AFTER.as_nanos().cast_signed();
        let settled_at = self
            .changed
            .map(|changed| changed.saturating_add(settled_after));
        settled_at.iter().all(|time| *time <= now)
    }
}

/// Why no tracker is known, and what a person can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no tracker is known: {what}; {advice}")]
pub(crate) struct NoTrackerInfo {
    /// What is wrong with the file.
    pub(crate) what: String,
    /// What to write into it, or to change.
    pub(crate) advice: &'static str,
}

/// The contents of a TRACKER_INFO file that lists at least one tracker.
///
/// # Errors
/// If the file cannot be read, has a wrong line or lists no tracker.
pub(crate) fn read_tracker_info(path: &Path) -> Result<TrackerInfo, NoTrackerInfo> {
    const WRITE: &str = "write the address of each tracker into it, one HOST:PORT per line";
    let shown = path.display();
    let no_tracker = |what: String, advice| NoTrackerInfo { what, advice };
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => no_tracker(format!("{shown} does not exist"), WRITE),
        _ => no_tracker(
            format!("{shown} cannot be read: {}", cause(&error)),
            "name another file, or make this one readable",
        ),
    })?;
    let info: TrackerInfo = text
        .parse()
        .map_err(|error| no_tracker(format!("{shown}: {error}"), "correct this line"))?;
    if info.addresses.is_empty() {
        return Err(no_tracker(format!("{shown} names no tracker"), WRITE));
    }
    Ok(info)
}

/// The announce URL of a cluster's tracker at `HOST:PORT`.
pub(crate) fn url_of(tracker: &str) -> String {
    format!("http://{tracker}/announce")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_change_is_noticed_and_an_unchanged_file_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracker_info.txt");
        let file = TrackerInfoFile::new(path.clone());
        let urls = |file: &TrackerInfoFile| file.tracker_urls().concat();
        assert_eq!(urls(&file), "");
        // Changes that keep the length, one right after the other.
        for port in 1..=200 {
            fs::write(&path, format!("a:{}\n", 1_000 + port)).unwrap();
            assert_eq!(urls(&file), format!("http://a:{}/announce", 1_000 + port));
        }
        assert!(lock(&file.cached).is_none(), "changed just now: read again");
        let mut version = file.version().unwrap();
        let settled_at = version.changed[0].max(version.changed[1]) + 2_000_000_000;
        assert!(version.is_settled(settled_at) && !version.is_settled(settled_at - 1));
        let other: Arc<[String]> = Arc::new(["kept".to_owned()]);
        *lock(&file.cached) = Some((version, other));
        assert_eq!(urls(&file), "kept");
        version.inode += 1;
        *lock(&file.cached) = Some((version, Arc::default()));
        assert_eq!(urls(&file), "http://a:1200/announce");
        fs::remove_file(&path).unwrap();
        assert_eq!(urls(&file), "");
    }
}
