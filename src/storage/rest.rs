//! What pieces at the edges of wanted files hold of files that are not wanted: one sparse file for all of it, in which each
//! byte lies where it lies in the share.

use super::StoreError;
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
}

impl Rest {
    /// What it is called.
    pub(super) fn name(info: &Info) -> String {
        format!(".{}.rest", info.info_hash())
    }

    /// Opens it for a download, in the folder where that will stand.
    pub(super) fn create(info: &Info, parent: &Folder) -> Result<Self, StoreError> {
        let name = Self::name(info);
        let path = parent.path().join(&name);
        let file = parent.file(&name, Access::Create)?;
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| StoreError::io("look at", &path, error))?;
        let total = info.lengths().total();
        if metadata.nlink() > 1 || metadata.len() != 0 && metadata.len() != total {
            return Err(StoreError::Foreign(path));
        }
        let sized = file.set_len(total);
        sized.map_err(|error| StoreError::io("make room for", &path, error))?;
        let file = Arc::new(file);
        Ok(Self { file, path })
    }

    /// Opens it beside a finished download; none if it is gone: then only pieces that hold nothing of it are served.
    pub(super) fn open(info: &Info, share: &Path) -> Option<Self> {
        let share = std::path::absolute(share).ok()?;
        let folder = share.parent()?;
        let name = Self::name(info);
        let file = Folder::open(folder).and_then(|folder| folder.file(&name, Access::Read));
        let file = file.ok().filter(|file| {
            let metadata = file.metadata();
            metadata.is_ok_and(|metadata| metadata.len() == info.lengths().total())
        })?;
        Some(Self {
            file: Arc::new(file),
            path: folder.join(name),
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
        let rest = Rest::name(&info);
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
        let rest = target.path().join(Rest::name(&info));
        fs::write(&rest, "mine").unwrap();
        assert!(matches!(open(), Err(StoreError::Foreign(_))));
        assert_eq!(fs::read(&rest).unwrap(), b"mine");
        fs::remove_file(&rest).unwrap();
        symlink("elsewhere", &rest).unwrap();
        assert!(matches!(open(), Err(StoreError::Symlink(_))));
    }
}
