//! The commands that start a download: from a `.torrent` file, or by a magnet link.

use crate::peer::{
    DownloadOptions, MagnetSearch, Peer, PeerError, PlannedDownload, Started, SwarmEntry, Transfer,
    absolute_destination, accept_existing, entry_exists_error, magnet::start_search, now_ms,
    place_of, read_torrent,
};
use crate::storage::MagnetRecord;
use crate::torrent::Magnet;
use std::path::Path;
use std::sync::Arc;

impl Peer {
    /// Starts the download of a `.torrent` file. If the destination is a folder, the share is put
    /// into it; otherwise the destination is the path of the share. Existing files are hashed
    /// first, and kept if their contents match. `progress` is called with the number of bytes
    /// hashed so far and the number of all bytes.
    ///
    /// # Errors
    /// When the torrent or the destination cannot be used, or the share is here already.
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
        let planned = PlannedDownload {
            metainfo,
            place,
            choice: options.choice,
            peers: Vec::new(),
            former: None,
        };
        let info_hash = started.info_hash;
        let started = planned.start(&self.services, progress).map(|()| started);
        let destination = options.destination.as_deref();
        accept_existing(&self.transfers, info_hash, destination, started)
    }

    /// Starts the download of a magnet link. The metadata is fetched first, from peers. The link
    /// names some of them; others come from the trackers of the link and of TRACKER_INFO. Then the
    /// download continues as in [`Peer::download`]. Without patterns in `options`, the link may
    /// select the files.
    ///
    /// # Errors
    /// When the link or the destination cannot be used, or the share is here already.
    pub fn download_magnet(
        &self,
        link: &str,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let magnet: Magnet = link.parse()?;
        let options = DownloadOptions {
            choice: options.choice.or_selected_by(&magnet),
            ..options
        };
        let known = self.transfers.entry(magnet.info_hash);
        match known.filter(|known| !known.has_ended()) {
            Some(SwarmEntry::Search(known)) => return self.extend_search(&known, options),
            Some(SwarmEntry::Transfer(known)) => {
                return self.extend_download(&known, magnet, options);
            }
            None => {}
        }
        // Fails if this peer has had the complete share at the destination and nothing is there
        // now.
        if let Some(ended) = self.transfers.transfer(magnet.info_hash) {
            place_of(
                &self.transfers,
                &ended.plan.metainfo,
                options.destination.as_deref(),
            )?;
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
        let entry = SwarmEntry::Search(Arc::clone(&search));
        let entered = self.transfers.enter(entry.clone());
        entered.map_err(|other| entry_exists_error(&other))?;
        if let Err(error) = self.context.records.save_magnet(&search.record) {
            self.transfers.forget(&entry);
            return Err(error.into());
        }
        start_search(&search);
        Ok(started(&search))
    }

    /// Extends a running search for the same link: a new search with the union of both choices
    /// replaces it.
    fn extend_search(
        &self,
        known: &Arc<MagnetSearch>,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let destination = absolute_destination(options.destination.as_deref())?;
        let choice = known.choice.union(&options.choice);
        let former = SwarmEntry::Search(Arc::clone(known));
        let is_same_place = destination == known.record.destination;
        if choice == known.choice && (is_same_place || options.destination.is_none()) {
            return Ok(Started {
                already: true,
                ..started(known)
            });
        }
        if !is_same_place {
            return Err(entry_exists_error(&former));
        }
        let record = MagnetRecord {
            only: choice.patterns(),
            sequential: choice.sequential,
            force: choice.force,
            ..known.record.clone()
        };
        let search = self.services.new_search(record, choice);
        let handed_on = known.contacts(|contacts| contacts.for_successor());
        search.contacts(|contacts| contacts.take_over(handed_on));
        self.context.records.save_magnet(&search.record)?;
        let entry = SwarmEntry::Search(Arc::clone(&search));
        let replaced = self.transfers.replace(&former, entry);
        replaced.map_err(|other| entry_exists_error(&other))?;
        known.fail("replaced by a download of more files of the same torrent");
        start_search(&search);
        Ok(started(&search))
    }

    /// Extends the download of the share that the link names, if more files of the share are wanted
    /// now.
    fn extend_download(
        &self,
        known: &Transfer,
        magnet: Magnet,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let metainfo = known.plan.metainfo.clone();
        let place = place_of(&self.transfers, &metainfo, options.destination.as_deref())?;
        let started = Started::new(known.info(), place.path());
        let planned = PlannedDownload {
            metainfo,
            place,
            choice: options.choice,
            peers: magnet.peers,
            // `start` finds the running download and extends it.
            former: None,
        };
        let info_hash = started.info_hash;
        let started = planned.start(&self.services, &|_, _| {}).map(|()| started);
        let destination = options.destination.as_deref();
        accept_existing(&self.transfers, info_hash, destination, started)
    }
}

fn started(search: &MagnetSearch) -> Started {
    Started {
        name: search.name().to_owned(),
        info_hash: search.info_hash(),
        path: search.record.destination.clone(),
        already: false,
    }
}
