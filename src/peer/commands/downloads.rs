//! Downloads that a person asks for: of a `.torrent`, or by a magnet link.

use crate::peer::{
    DownloadOptions, Entry, MagnetSearch, Peer, PeerError, Planned, Started, Transfer, already,
    magnet::seek, now_ms, place_of, read_torrent,
};
use crate::storage::MagnetRecord;
use crate::torrent::Magnet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Peer {
    /// Starts fetching what a `.torrent` names: into the destination if that is a folder, under that
    /// name if not. What is there already is taken as it is, if it is the share: it is hashed first,
    /// and `progress` is called with the bytes done and all bytes.
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
        let place = place_of(&self.transfers, &metainfo, options.destination.as_deref())?;
        let started = Started::new(metainfo.info(), place.path());
        let planned = Planned {
            metainfo,
            place,
            choice: options.choice,
            peers: Vec::new(),
            replaces: None,
        };
        planned.start(&self.services, progress)?;
        Ok(started)
    }

    /// Starts fetching what a magnet link names: at first its metadata, from peers that its trackers,
    /// those of TRACKER_INFO and the link itself name, then the rest as [`Peer::download`] does.
    ///
    /// # Errors
    /// When the link or the destination cannot be used, or it is here already.
    pub fn download_magnet(
        &self,
        link: &str,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let magnet: Magnet = link.parse()?;
        let known = self.transfers.entry(magnet.info_hash);
        match known.filter(|known| !known.has_failed()) {
            Some(Entry::Search(known)) => return self.seek_more(&known, options),
            Some(Entry::Transfer(known)) => return self.download_known(&known, magnet, options),
            None => {}
        }
        let record = MagnetRecord {
            link: link.to_owned(),
            magnet,
            destination: absolute_destination(options.destination.as_deref())?,
            only: options.choice.patterns(),
            sequential: options.choice.sequential,
            force: options.choice.force,
            added_ms: now_ms(),
        };
        let search = self.services.new_search(record, options.choice);
        if self.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        let entry = Entry::Search(Arc::clone(&search));
        let entered = self.transfers.enter(entry.clone());
        entered.map_err(|other| already(&other))?;
        if let Err(error) = self.context.records.save_magnet(&search.record) {
            self.transfers.forget(&entry);
            return Err(error.into());
        }
        seek(&search);
        Ok(started(&search))
    }

    /// The metadata of what the link names is being fetched already: once it is here, what is asked
    /// for now is wanted too.
    fn seek_more(
        &self,
        known: &Arc<MagnetSearch>,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let destination = absolute_destination(options.destination.as_deref())?;
        let choice = known.choice.union(&options.choice);
        let former = Entry::Search(Arc::clone(known));
        if destination != known.record.destination || choice == known.choice {
            return Err(already(&former));
        }
        let record = MagnetRecord {
            only: choice.patterns(),
            sequential: choice.sequential,
            force: choice.force,
            ..known.record.clone()
        };
        let search = self.services.new_search(record, choice);
        let handed_on = known.contacts(|contacts| contacts.handed_on());
        search.contacts(|contacts| contacts.take_over(handed_on));
        self.context.records.save_magnet(&search.record)?;
        let entry = Entry::Search(Arc::clone(&search));
        let replaced = self.transfers.replace(&former, entry);
        replaced.map_err(|other| already(&other))?;
        known.fail("more of it is wanted from now on");
        seek(&search);
        Ok(started(&search))
    }

    /// The link names a share that is here: more of it may be wanted.
    fn download_known(
        &self,
        known: &Transfer,
        magnet: Magnet,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let metainfo = known.plan.metainfo.clone();
        let place = place_of(&self.transfers, &metainfo, options.destination.as_deref())?;
        let started = Started::new(known.info(), place.path());
        let planned = Planned {
            metainfo,
            place,
            choice: options.choice,
            peers: magnet.peers,
            replaces: None,
        };
        planned.start(&self.services, &|_, _| {})?;
        Ok(started)
    }
}

fn started(search: &MagnetSearch) -> Started {
    Started {
        name: search.name().to_owned(),
        info_hash: search.info_hash(),
        path: search.record.destination.clone(),
    }
}

/// Where the download is to go, whatever the current folder is at the next start.
fn absolute_destination(destination: Option<&Path>) -> Result<PathBuf, PeerError> {
    let destination = destination.unwrap_or(Path::new("."));
    let file = PeerError::file(destination);
    let absolute = std::path::absolute(destination).map_err(file)?;
    let folder = match absolute.parent() {
        Some(parent) if !absolute.is_dir() => parent,
        _ => &absolute,
    };
    if !folder.metadata().map_err(file)?.is_dir() {
        return Err(file(std::io::ErrorKind::NotADirectory.into()));
    }
    Ok(absolute)
}
