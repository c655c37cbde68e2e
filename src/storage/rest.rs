//! What pieces at the edges of wanted files hold of files that are not wanted: one sparse file for all of it, in which each
//! byte lies where it lies in the share. It is of one download alone, as its partial file is: it has the download's name, and is
//! locked while that is open.

use super::StoreError;
use super::download::{MAX_NAME, lock};
use super::tree::{Access, Folder};
use crate::torrent::Info;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The open file.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) name: String,
}

impl Rest {
    /// What it is called beside a download of that name. Of one that leaves no room for the rest only the beginning is taken: then
    /// the lock keeps two apart.
    pub(super) fn name(info: &Info, download: &str) -> String {
        let end = format!(".{}.rest", info.info_hash());
        let room = MAX_NAME.saturating_sub(1 + end.len());
        let cuts = (0..=room.min(download.len())).rev();
        let mut cuts = cuts.filter(|at| download.is_char_boundary(*at));
        let cut = cuts.next().unwrap_or(0);
        format!(".{}{end}", download.get(..cut).unwrap_or_default())
    }

    /// Opens it for a download of that name, in the folder where that will stand.
    pub(super) fn create(info: &Info, parent: &Folder, download: &str) -> Result<Self, StoreError> {
        let name = Self::name(info, download);
        let path = parent.path().join(&name);
        let file = parent.file(&name, Access::Create)?;
        lock(&file, &path)?;
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| StoreError::io("look at", &path, error))?;
        let total = info.lengths().total();
        if metadata.nlink() > 1 || metadata.len() != 0 && metadata.len() != total {
            return Err(StoreError::Foreign(path));
        }
        // Not without need: what it holds would count as changed.
        if metadata.len() != total {
            let sized = file.set_len(total);
            sized.map_err(|error| StoreError::io("make room for", &path, error))?;
        }
        let file = Arc::new(file);
        Ok(Self { file, path, name })
    }

    /// Opens what a choice of fewer files left in the folder where a download of that name will stand.
    pub(super) fn left(
        info: &Info,
        parent: &Folder,
        download: &str,
    ) -> Result<Option<Self>, StoreError> {
        match parent.entry(&Self::name(info, download))? {
            Some(_) => Self::create(info, parent, download).map(Some),
            None => Ok(None),
        }
    }

    /// Opens it beside a finished download; none if it is gone: then only pieces that hold nothing of it are served.
    pub(super) fn open(info: &Info, share: &Path) -> Option<Self> {
        let share = std::path::absolute(share).ok()?;
        let folder = share.parent()?;
        let name = Self::name(info, share.file_name()?.to_str()?);
        let file = Folder::open(folder).and_then(|folder| folder.file(&name, Access::Read));
        let file = file.ok().filter(|file| {
            let metadata = file.metadata();
            metadata.is_ok_and(|metadata| metadata.len() == info.lengths().total())
        })?;
        Some(Self {
            file: Arc::new(file),
            path: folder.join(&name),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, names, sample};
    use super::super::{Place, Store};
    use super::*;
    use crate::torrent::Selection;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// The sample's first file, of 100,000 bytes, is not wanted; the first piece has 256 KiB.
    fn chosen(info: &Info) -> Arc<Selection> {
        let selection = Selection::of(info, &["sub/big".parse().unwrap()]).unwrap();
        assert!(selection.is_mixed());
        Arc::new(selection)
    }

    #[test]
    fn only_wanted_files_are_made_and_pieces_at_their_edges_are_whole() {
        let Sample { info, bytes, .. } = sample();
        let target = tempfile::tempdir().unwrap();
        let place = Place {
            folder: target.path().to_owned(),
            name: "x".into(),
        };
        let rest = Rest::name(&info, "x");
        let read = |store: &Store| {
            let mut piece = vec![0; 256 << 10];
            store.read(0, &mut piece).unwrap();
            piece
        };
        {
            let store = Store::open_chosen_download(info.clone(), chosen(&info), &place).unwrap();
            store.write(0, &[&bytes[..256 << 10]]).unwrap();
        }
        let store = Store::open_chosen_download(info.clone(), chosen(&info), &place).unwrap();
        assert!(read(&store) == bytes[..256 << 10], "it went on");
        assert_eq!(
            names(target.path()),
            [rest.as_str(), "x.part", "x.part/sub", "x.part/sub/big"]
        );
        assert!(store.is_mixed(info.lengths().piece(0).unwrap()));
        assert!(!store.is_mixed(info.lengths().piece(2).unwrap()));
        store.finish().unwrap();
        drop(store);
        let path = place.path();
        let open = || Store::open_chosen_share(info.clone(), chosen(&info), &path).unwrap();
        let store = open();
        assert!(read(&store) == bytes[..256 << 10]);
        let stamps = store.stamps().unwrap();
        assert!(open().unchanged(&stamps));
        fs::remove_file(target.path().join(&rest)).unwrap();
        assert!(!open().unchanged(&stamps), "what is gone is noticed");
        let gone = open().read(0, &mut [0; 16]).unwrap_err();
        assert!(matches!(gone, StoreError::Missing(_)));
        assert!(open().read(150_000, &mut [0; 16]).is_ok());
    }

    #[test]
    fn two_downloads_of_one_share_in_one_folder_do_not_write_into_each_other() {
        let Sample { info, bytes, .. } = sample();
        let target = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let folder = target.path().to_owned();
            let name = name.to_owned();
            Store::open_chosen_download(info.clone(), chosen(&info), &Place { folder, name })
        };
        let (one, other) = (open("one").unwrap(), open("other").unwrap());
        one.write(0, &[&bytes[..100_000]]).unwrap();
        other.write(0, &[&[9; 100_000]]).unwrap();
        let mut read = vec![0; 100_000];
        one.read(0, &mut read).unwrap();
        assert!(read == bytes[..100_000]);
        other.discard().unwrap();
        one.read(0, &mut read).unwrap();
        assert!(names(target.path())[0].starts_with(".one."));
        // Names that begin alike and are too long for it.
        let long = |end: char| format!("{}{end}", "\u{fc}".repeat(122));
        assert_eq!(Rest::name(&info, &long('a')), Rest::name(&info, &long('b')));
        assert!(Rest::name(&info, &long('a')).len() <= MAX_NAME);
        let first = open(&long('a')).unwrap();
        assert!(
            matches!(open(&long('b')), Err(StoreError::InUse(path)) if path.ends_with(&first.rest.as_ref().unwrap().name))
        );
        drop(first);
        let left = names(target.path());
        assert!(
            !left.iter().any(|name| name.ends_with("b.part")),
            "{left:?}"
        );
        open(&long('b')).unwrap();
    }

    #[test]
    fn a_cancelled_one_leaves_nothing_and_what_is_not_its_own_is_left_alone() {
        let Sample { info, .. } = sample();
        let target = tempfile::tempdir().unwrap();
        let place = Place {
            folder: target.path().to_owned(),
            name: "x".into(),
        };
        let open = || Store::open_chosen_download(info.clone(), chosen(&info), &place);
        open().unwrap().discard().unwrap();
        assert!(names(target.path()).is_empty());
        let rest = target.path().join(Rest::name(&info, "x"));
        fs::write(&rest, "mine").unwrap();
        assert!(matches!(open(), Err(StoreError::Foreign(_))));
        assert_eq!(fs::read(&rest).unwrap(), b"mine");
        fs::remove_file(&rest).unwrap();
        symlink("elsewhere", &rest).unwrap();
        assert!(matches!(open(), Err(StoreError::Symlink(_))));
    }
}
