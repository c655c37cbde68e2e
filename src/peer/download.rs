//! From a metainfo to a download that runs: where it goes, what of it is wanted, what is there already.

use super::group::is_alike;
use super::shared::Shared;
use super::transfer::{Kind, Transfer};
use super::{Peer, PeerError, Started, already, place, read_torrent};
use crate::storage::{Others, Place, Store, StoreError, verify};
use crate::torrent::{Glob, Info, Metainfo, Selection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

/// How a download is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DownloadOptions {
    /// A folder to put it in, or the new file or folder's own path; by default the current folder.
    pub destination: Option<PathBuf>,
    /// What of it is wanted, and in which order.
    pub wishes: Wishes,
}

/// What of a share is wanted, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// Files that one of these means; none for all files.
    pub only: Vec<Glob>,
    /// Pieces in their order instead of the rarest first.
    pub sequential: bool,
    /// What stands at its place and is not the share gives way to it once that is whole; what of it verifies is copied, and
    /// files in a folder that are none of the share's are kept.
    pub force: bool,
}

impl Wishes {
    /// As a record keeps them. Patterns that are none any more mean nothing.
    pub(super) fn recorded(only: &[String], sequential: bool, force: bool) -> Self {
        Self {
            only: only.iter().filter_map(|text| text.parse().ok()).collect(),
            sequential,
            force,
        }
    }

    /// The patterns as text.
    pub(super) fn patterns(&self) -> Vec<String> {
        self.only.iter().map(Glob::to_string).collect()
    }
}

/// A download that is about to be.
pub(super) struct Planned {
    pub(super) metainfo: Metainfo,
    pub(super) place: Place,
    pub(super) wishes: Wishes,
    /// Peers that a magnet link named.
    pub(super) peers: Vec<String>,
    /// The download by magnet link that this one goes on with.
    pub(super) replaces: Option<Arc<Transfer>>,
}

impl Peer {
    /// Starts fetching what a `.torrent` names: into the destination if that is a folder, under that name if not. What
    /// stands there already is taken as it is, if it is the share: it is hashed first, and `progress` told of bytes done and all bytes.
    ///
    /// # Errors
    /// When the torrent or the destination cannot be used, or it is here already.
    pub fn download(
        &self,
        torrent: &Path,
        options: DownloadOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let metainfo = read_torrent(torrent)?;
        if metainfo.info().ssl_cert().is_some() {
            return Err(PeerError::OfGroup(torrent.to_owned()));
        }
        let place = place(&metainfo, options.destination.as_deref())?;
        let started = Started {
            name: metainfo.info().name().to_string(),
            info_hash: metainfo.info().info_hash(),
            path: place.path(),
        };
        let planned = Planned {
            metainfo,
            place,
            wishes: options.wishes,
            peers: Vec::new(),
            replaces: None,
        };
        planned.start(&self.shared, progress)?;
        Ok(started)
    }
}

impl Planned {
    /// Opens its files, records it and begins with it.
    pub(super) fn start(
        mut self,
        shared: &Arc<Shared>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        let info_hash = self.metainfo.info().info_hash();
        if shared.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        if self.replaces.is_none()
            && let Some(other) = shared
                .transfer(info_hash)
                .filter(|other| !other.has_failed())
        {
            return Err(already(&other));
        }
        let former = self.replaces.clone();
        let interrupt = match former.as_ref().and_then(|former| former.sought()) {
            Some(sought) => &sought.interrupt,
            None => &shared.interrupt,
        };
        // Cancelled while its metadata was read.
        if former.as_ref().is_some_and(|former| former.has_failed()) {
            return Err(PeerError::Stopping);
        }
        let opened = self.open(progress, interrupt)?;
        let kind = Kind::Download(self.place);
        let mut transfer = Transfer::new(shared, self.metainfo, kind, true);
        transfer.selection = opened.selection;
        transfer.replaces = opened.replaces;
        transfer.wishes = self.wishes;
        let is_private = transfer.info().private();
        if !is_private {
            transfer.peers = self.peers;
        }
        if let Some(former) = &self.replaces {
            transfer.added_ms = former.added_ms;
            let known = &former.state().candidates;
            // Of a private torrent nobody is called but whom its own tracker names from now on (BEP 27).
            transfer.state().candidates = match is_private {
                true => known.barred_alone(),
                false => known.handed_on(),
            };
        }
        let transfer = Arc::new(transfer);
        let store = Arc::new(opened.store);
        // Whoever cancels it finds its files.
        transfer.set_store(Arc::clone(&store));
        let entered = match &self.replaces {
            None => shared.enter(Arc::clone(&transfer)),
            Some(former) => shared.replace(former, Arc::clone(&transfer)),
        };
        if let Err(other) = entered {
            store.undo();
            return Err(already(&other));
        }
        let saved = transfer.save(shared);
        // Cancelled before there was a record, or meanwhile, it leaves none.
        if transfer.has_failed() {
            if shared.transfer(info_hash).is_none() {
                shared.records.remove(info_hash)?;
            }
            return Ok(());
        }
        if let Err(error) = saved {
            shared.forget(&transfer);
            store.undo();
            return Err(error);
        }
        drop(store);
        if self.replaces.is_none() {
            transfer.call_named_peers(shared);
        }
        if opened.whole {
            let needed = transfer.selection.needed().clone();
            transfer.begin(shared, needed, true);
            transfer.record(shared);
            return Ok(());
        }
        transfer.check_and_begin(shared)
    }
}

impl Planned {
    /// Opens the files of a new download, a partial one, or, where something stands under the final name, that.
    fn open(
        &mut self,
        progress: &(dyn Fn(u64, u64) + Sync),
        interrupt: &AtomicBool,
    ) -> Result<Opened, PeerError> {
        let info = Arc::new(self.metainfo.info().clone());
        let selection = Arc::new(Selection::of(&info, &self.wishes.only)?);
        let (chosen, place) = (Arc::clone(&selection), &self.place);
        let path = match Store::open_chosen_download(Arc::clone(&info), chosen, place) {
            Ok(store) => return Ok(Opened::partial(store, selection)),
            Err(StoreError::Exists(path)) => path,
            Err(error) => return Err(error.into()),
        };
        if let Some(store) = whole_at(&info, &path, progress, interrupt)? {
            // All of it, whatever was wanted.
            self.wishes.only.clear();
            let selection = Arc::new(Selection::all(&info));
            return Ok(Opened {
                store,
                selection,
                whole: true,
                replaces: false,
            });
        }
        if !selection.is_all()
            && let Some(store) = chosen_at(&info, &selection, &path, interrupt)?
        {
            return Ok(Opened {
                store,
                selection,
                whole: true,
                replaces: false,
            });
        }
        if !self.wishes.force {
            return Err(PeerError::OtherContent(path));
        }
        is_alike(&info, &path)?;
        let chosen = Arc::clone(&selection);
        let store = Store::open_replacement(info, chosen, &self.place, Others::Kept)?;
        if let Err(error) = store.copy_replaced(interrupt) {
            store.undo();
            return Err(error.into());
        }
        Ok(Opened {
            replaces: true,
            ..Opened::partial(store, selection)
        })
    }
}

/// The open files of a download.
struct Opened {
    store: Store,
    selection: Arc<Selection>,
    /// They stand under their final name, and are good.
    whole: bool,
    /// What stands there gives way to them once they are whole.
    replaces: bool,
}

impl Opened {
    fn partial(store: Store, selection: Arc<Selection>) -> Self {
        Self {
            store,
            selection,
            whole: false,
            replaces: false,
        }
    }
}

/// The files at a place, if they are what was chosen of the share.
fn chosen_at(
    info: &Arc<Info>,
    selection: &Arc<Selection>,
    path: &Path,
    interrupt: &AtomicBool,
) -> Result<Option<Store>, StoreError> {
    let opened = Store::open_chosen_share(Arc::clone(info), Arc::clone(selection), path);
    let Ok(store) = opened else {
        return Ok(None);
    };
    store.seal(&store.stamps()?);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let needed = selection.needed();
    let pieces = info.lengths().all_pieces();
    let pieces = pieces.filter(|piece| needed.contains(*piece));
    let good = verify(&store, pieces, threads, interrupt, &|_| {})?;
    Ok((good == *needed).then_some(store))
}

/// The files at a place, if they are the share.
pub(super) fn whole_at(
    info: &Arc<Info>,
    path: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
    interrupt: &AtomicBool,
) -> Result<Option<Store>, StoreError> {
    // Something else than the share's files stands there.
    let Ok(store) = Store::open_share(Arc::clone(info), path) else {
        return Ok(None);
    };
    store.seal(&store.stamps()?);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let lengths = info.lengths();
    let progress = |done| progress(done, lengths.total());
    let good = verify(&store, lengths.all_pieces(), threads, interrupt, &progress)?;
    Ok(good.is_full().then_some(store))
}
