//! Making a metainfo from a file or a folder.
//!
//! In scope: the list of files, their order, their times, the piece length and the hashes. A
//! [`ShareDraft`] has everything but the hashes, so that its caller can check everything else
//! before hours of hashing. Out of scope: where the `.torrent` is written.

use super::arrange::Arranged;
use super::layout::FileLayout;
use super::source_files::list_source_files;
use super::verify::{HashJob, hash_jobs};
use super::{Arrangement, CreateError, FileStamp, StampMatch, Store, StoreError};
use crate::bencode;
use crate::system::{lock, processors, recover};
use crate::torrent::{Info, Lengths, Metainfo, MetainfoError, ModifiedTimes, NewInfo, Sha1};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Options for making a metainfo.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateOptions<'a> {
    /// Length of a piece in bytes, 1 to 1 GiB. The default is that of the earlier version (see
    /// [`Arrangement::Like`]), or 512 KiB, doubled until there are at most 16,384 pieces or the
    /// length is 1 GiB.
    pub piece_length: Option<u32>,
    /// The order of the files, and the padding between them.
    pub arrangement: Arrangement<'a>,
    /// Whether clients may get peers only from the torrent's own trackers (BEP 27).
    pub private: bool,
    /// Whether to include the SHA-1 of each file (BEP 47 `sha1`).
    pub file_sha1: bool,
    /// PEM text of an authority's certificate. Only members that it certified may join the swarm.
    pub ssl_cert: Option<&'a str>,
    /// Announce URLs in tiers (BEP 12).
    pub trackers: &'a [Vec<String>],
    /// The file that the `.torrent` will be written to. If it is inside the folder, it is left out.
    pub output: Option<&'a Path>,
    /// Whether symbolic links inside the folder are followed. Otherwise they are refused.
    pub follows_links: bool,
}

/// A share that is not hashed yet.
#[derive(Debug)]
pub struct ShareDraft {
    path: PathBuf,
    new_info: NewInfo,
    /// The files, with an info dictionary whose hashes are zeros.
    store: Store,
    empty_folders: Vec<String>,
    trackers: Vec<Vec<String>>,
    /// The length of the `.torrent` in bytes. Hashes and times have a fixed length.
    torrent_length: u64,
}

/// A share that is hashed.
#[derive(Debug)]
pub struct CreatedShare {
    /// The share, its trackers and the times of its files.
    pub metainfo: Metainfo,
    /// The stamps that the files had while they were hashed, for [`Store::seal`].
    pub stamps: Vec<FileStamp>,
    /// The empty folders in the folder. A torrent cannot contain them.
    pub empty_folders: Vec<String>,
}

impl ShareDraft {
    /// Lists the file or folder at `path`. Equal content has an equal result on every machine.
    ///
    /// Leaves out empty folders and the folder's own torrents: the file that the new `.torrent`
    /// will be written to, and `NAME/NAME.torrent`, if that is a torrent of this folder.
    ///
    /// # Errors
    /// See [`CreateError`]. A torrent that this program could not read is refused here, before
    /// the hashing.
    pub fn new(path: &Path, options: &CreateOptions<'_>) -> Result<Self, CreateError> {
        let source = list_source_files(path, options.output, options.follows_links)?;
        let arrangement = options.arrangement;
        let arranged = arrangement.arrange(source.files, source.layout, options.piece_length);
        let Arranged {
            mut files,
            piece_length,
        } = arranged.map_err(|error| build_error(path, error.into()))?;
        let stored = files.iter_mut().filter(|file| !file.attributes.padding);
        stored.for_each(|file| file.sha1 = options.file_sha1.then_some(Sha1([0; 20])));
        let mut lengths = files.iter().map(|file| file.length);
        let total = lengths.try_fold(0u64, u64::checked_add);
        let total = total.ok_or_else(|| build_error(path, MetainfoError::LengthOverflow))?;
        let lengths = Lengths::new(total, piece_length.into()).map_err(CreateError::Lengths)?;
        let new_info = NewInfo {
            name: source.name,
            layout: source.layout,
            files,
            piece_length,
            pieces: vec![Sha1([0; 20]); lengths.pieces() as usize],
            private: options.private,
            ssl_cert: options.ssl_cert.map(str::to_owned),
        };
        // Only the hashes and the values of times are missing now.
        let info = new_info.build().map_err(|error| build_error(path, error))?;
        let trackers = options.trackers.to_vec();
        let times = ModifiedTimes::new(vec![0; info.files().len()], &info);
        let draft = Metainfo::new(info.clone(), trackers.clone()).with_times(times);
        let draft = draft.encode();
        Metainfo::parse(&draft).map_err(|error| match error {
            // The hashes, with 20 bytes each, are more than half of the torrent.
            MetainfoError::TooLarge(length) if length < 40 * new_info.pieces.len() => {
                CreateError::TooManyPieces(path.to_owned())
            }
            error => build_error(path, error),
        })?;
        let layout = FileLayout::all(Arc::new(info)).following_links(options.follows_links);
        let store = Store::open(layout, path).map_err(error_after_listing)?;
        Ok(Self {
            path: path.to_owned(),
            new_info,
            store,
            empty_folders: source.empty_folders,
            trackers,
            torrent_length: draft.len() as u64,
        })
    }

    /// The info dictionary, with hashes that are zeros.
    pub fn info(&self) -> &Info {
        self.store.info()
    }

    /// Whether symbolic links inside the folder are followed.
    pub fn follows_links(&self) -> bool {
        self.store.layout().follows_links()
    }

    /// The length that the `.torrent` will have, in bytes.
    pub fn torrent_length(&self) -> u64 {
        self.torrent_length
    }

    /// Hashes the files on all cores with bounded memory. `progress` is called from any thread with
    /// the bytes done and the total. Its calls may arrive slightly out of order.
    ///
    /// # Errors
    /// See [`CreateError`]. [`StoreError::Stopped`] once `stop` is set.
    pub fn hash(
        mut self,
        progress: &(dyn Fn(u64, u64) + Sync),
        stop: &AtomicBool,
    ) -> Result<CreatedShare, CreateError> {
        let file_sha1 = self.new_info.files.iter().any(|file| file.sha1.is_some());
        let hashes = hash_all(&self.store, file_sha1, progress, stop)?;
        self.new_info.pieces = hashes.pieces;
        for (file, sha1) in self.new_info.files.iter_mut().zip(hashes.files) {
            file.sha1 = sha1;
        }
        let info = self.new_info.build();
        let info = info.map_err(|error| build_error(&self.path, error))?;
        // Padding has no stamp. Its time is of no use.
        let mut stamps = hashes.stamps.iter();
        let times = info
            .files()
            .iter()
            .map(|file| match file.attributes.padding {
                true => 0,
                false => stamps.next().map_or(0, |stamp| stamp.modified_ns),
            });
        let times = ModifiedTimes::new(times.collect(), &info);
        Ok(CreatedShare {
            metainfo: Metainfo::new(info, self.trackers).with_times(times),
            stamps: hashes.stamps,
            empty_folders: self.empty_folders,
        })
    }
}

struct ShareHashes {
    pieces: Vec<Sha1>,
    files: Vec<Option<Sha1>>,
    stamps: Vec<FileStamp>,
}

fn hash_all(
    store: &Store,
    file_sha1: bool,
    progress: &(dyn Fn(u64, u64) + Sync),
    stop: &AtomicBool,
) -> Result<ShareHashes, CreateError> {
    let (info, lengths) = (store.info(), store.info().lengths());
    let before = store.stamps().map_err(error_after_listing)?;
    // Every byte is hashed twice if files have their own SHA-1. `progress` counts each byte once.
    let passes = if file_sha1 { 2 } else { 1 };
    let hashes = Mutex::new(ShareHashes {
        pieces: vec![Sha1([0; 20]); lengths.pieces() as usize],
        files: vec![None; info.files().len()],
        stamps: before.clone(),
    });
    // Each file is hashed by one thread. The longest files go first, so that no thread still hashes
    // a long file when all others have ended.
    let mut files: Vec<usize> = store
        .layout()
        .wanted_files()
        .filter(|_| file_sha1)
        .collect();
    files.sort_by_key(|index| std::cmp::Reverse(info.files().get(*index).map(|file| file.length)));
    let files = files.into_iter().map(HashJob::File);
    let jobs = files.chain(lengths.all_pieces().map(HashJob::Piece));
    let threads = processors();
    let progress = |done: u64| progress(done / passes, lengths.total());
    hash_jobs(store, jobs, threads, stop, &progress, |job, hash| {
        let hash = hash?;
        let mut hashes = lock(&hashes);
        match job {
            HashJob::File(index) => {
                if let Some(sha1) = hashes.files.get_mut(index) {
                    *sha1 = Some(hash);
                }
            }
            HashJob::Piece(piece) => {
                if let Some(sha1) = hashes.pieces.get_mut(piece.index()) {
                    *sha1 = hash;
                }
            }
        }
        Ok(())
    })
    .map_err(error_after_listing)?;
    let after = store.stamps().map_err(error_after_listing)?;
    let mut pairs = before.iter().zip(&after).zip(store.layout().wanted_files());
    let has_changed = |before: &FileStamp, after| before.compare(after) == StampMatch::Changed;
    if let Some((_, index)) = pairs.find(|((before, after), _)| has_changed(before, after)) {
        return Err(CreateError::Changed(store.file_path(index)));
    }
    Ok(recover(hashes.into_inner()))
}

/// Converts an error that occurs after the files were listed. A file that is missing now, or has
/// another length, has changed since.
fn error_after_listing(error: StoreError) -> CreateError {
    match error {
        StoreError::Length { path, .. } | StoreError::Cut(path) | StoreError::Missing(path) => {
            CreateError::Changed(path)
        }
        StoreError::Denied { path, source, .. } => CreateError::Unreadable { path, source },
        error => error.into(),
    }
}

fn build_error(path: &Path, source: MetainfoError) -> CreateError {
    let path = path.to_owned();
    match source {
        MetainfoError::Lengths(error) => CreateError::Lengths(error),
        MetainfoError::Bencode(bencode::Error::TooMany(_)) => CreateError::TooManyFiles(path),
        MetainfoError::TooLarge(_) => CreateError::TooLarge(path),
        source => CreateError::Metainfo { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NO_PROGRESS, create};
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU64, Ordering};

    fn make(path: &Path, options: &CreateOptions) -> Result<Info, CreateError> {
        create(path, options, NO_PROGRESS, &AtomicBool::new(false))
    }

    #[test]
    fn pieces_cover_the_files_in_the_order_of_their_paths() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().join("set");
        fs::create_dir_all(top.join("b/c")).unwrap();
        let parts = [
            ("a", vec![1; 700]),
            ("b/c/x", vec![]),
            ("b/d", vec![2; 999]),
            ("c", vec![3]),
        ];
        for (name, bytes) in &parts {
            fs::write(top.join(name), bytes).unwrap();
        }
        fs::set_permissions(top.join("b/d"), fs::Permissions::from_mode(0o755)).unwrap();
        let options = CreateOptions {
            piece_length: Some(512),
            private: true,
            file_sha1: true,
            ..CreateOptions::default()
        };
        let seen = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let progress = |done, total| {
            assert_eq!(total, 1_700);
            seen.fetch_max(done, Ordering::Relaxed);
        };
        let info = create(&top, &options, &progress, &stop).unwrap();
        assert_eq!(seen.into_inner(), 1_700);
        let all: Vec<u8> = parts.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        for (piece, bytes) in info.lengths().all_pieces().zip(all.chunks(512)) {
            assert_eq!(info.piece_hash(piece), Sha1::of(bytes));
        }
        for (file, (name, bytes)) in info.files().iter().zip(&parts) {
            assert_eq!(
                (file.path.to_string(), file.sha1),
                (name.to_string(), Some(Sha1::of(bytes)))
            );
            assert_eq!(file.attributes.executable, *name == "b/d");
        }
        assert!(info.private() && info.name().as_str() == "set");
        // A symbolic link changes only the name. A path that ends in `..` changes nothing.
        symlink(&top, temporary.path().join("link")).unwrap();
        let linked = make(&temporary.path().join("link"), &options).unwrap();
        assert_eq!(linked.files(), info.files());
        assert_eq!(make(&top.join("b/.."), &options).unwrap(), info);
    }

    #[test]
    fn another_piece_length_can_be_given() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("x");
        fs::File::create(&path).unwrap().set_len(3 << 20).unwrap();
        let with = |length| {
            let piece_length = Some(length);
            make(
                &path,
                &CreateOptions {
                    piece_length,
                    ..CreateOptions::default()
                },
            )
        };
        assert_eq!(with(1_000_003).unwrap().lengths().pieces(), 4);
        for length in [0, 1, u32::MAX] {
            assert!(
                matches!(with(length), Err(CreateError::Lengths(_))),
                "{length}"
            );
        }
        // 1,572,864 hashes do not fit into a torrent.
        assert!(matches!(with(2), Err(CreateError::TooManyPieces(_))));
        fs::File::create(&path).unwrap();
        assert_eq!(with(1).unwrap().lengths().pieces(), 0);
    }

    #[test]
    fn empty_folders_and_the_torrent_of_the_folder_are_left_out() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().join("set");
        fs::create_dir_all(top.join("run/lock")).unwrap();
        fs::create_dir(top.join("logs")).unwrap();
        fs::write(top.join("a"), "x").unwrap();
        let own = top.join("own");
        let draft = |output| {
            let options = CreateOptions {
                output,
                ..CreateOptions::default()
            };
            let draft = ShareDraft::new(&top, &options).unwrap();
            let files = draft.info().files().iter();
            let files: Vec<String> = files.map(|file| file.path.to_string()).collect();
            (files, draft)
        };
        let (files, first) = draft(None);
        assert_eq!(files, ["a"]);
        assert_eq!(first.empty_folders, ["logs", "run/lock"]);
        let made = first.hash(NO_PROGRESS, &AtomicBool::new(false)).unwrap();
        let modified = fs::metadata(top.join("a")).unwrap();
        let modified = FileStamp::of(&modified).modified_ns;
        assert_eq!(made.metainfo.times().unwrap().all(), [modified]);
        let torrent = made.metainfo.encode();
        for name in ["set.torrent", "own", "run/other.torrent"] {
            fs::write(top.join(name), &torrent).unwrap();
        }
        // `own` is left out if it is the output, and `set.torrent` if it is a torrent of this
        // folder. Any other file is part of the share.
        assert_eq!(draft(Some(&own)).0, ["a", "run/other.torrent"]);
        let detour = top.join("run/../own");
        assert_eq!(draft(Some(&detour)).0, ["a", "run/other.torrent"]);
        fs::write(top.join("set.torrent"), "x").unwrap();
        assert_eq!(
            draft(None).0,
            ["a", "own", "run/other.torrent", "set.torrent"]
        );
    }

    #[test]
    fn too_many_files_have_their_own_error() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().join("set");
        let deep = top.join(vec!["d"; 60].join("/"));
        fs::create_dir_all(&deep).unwrap();
        for number in 0..16_000 {
            fs::File::create(deep.join(number.to_string())).unwrap();
        }
        let made = make(&top, &CreateOptions::default());
        assert!(matches!(made, Err(CreateError::TooManyFiles(path)) if path == top));
    }

    #[test]
    fn the_error_names_a_file_that_changes_while_it_is_hashed() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("log");
        type Change = fn(&fs::File);
        let changes: [Change; 3] = [
            |file| file.set_len(5 << 20).unwrap(),
            |file| file.set_len(1).unwrap(),
            |file| file.set_modified(std::time::UNIX_EPOCH).unwrap(),
        ];
        for change in changes {
            fs::write(&path, vec![7; 4 << 20]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            let progress = |_, _| change(&file);
            let stop = AtomicBool::new(false);
            let error = create(&path, &CreateOptions::default(), &progress, &stop).unwrap_err();
            assert!(
                matches!(&error, CreateError::Changed(changed) if *changed == path),
                "{error}"
            );
        }
    }
}
