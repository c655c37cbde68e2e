//! The commands that start a download: from a `.torrent` file, or by a magnet link.

use crate::peer::{
    DownloadOptions, MagnetSearch, Peer, PeerError, PlannedDownload, Started, SwarmEntry,
    TakenOver, Transfer, absolute_destination, accept_existing,
    announce::named_peers,
    entry_exists_error,
    magnet::{handle_torrent, start_search},
    now_ms, place, place_of, read_torrent,
};
use crate::storage::MagnetRecord;
use crate::torrent::{Magnet, Metainfo, NamedSources, Selection};
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
        let info_hash = metainfo.info().info_hash();
        if let Some(SwarmEntry::Search(search)) = self.transfers.entry(info_hash)
            && !search.has_failed()
        {
            return self.download_searched(&search, metainfo, &options, progress);
        }
        let place = place_of(&self.transfers, &metainfo, &options.destination)?;
        let started = Started::new(metainfo.info(), place.path());
        let sources = NamedSources::from(&metainfo);
        let planned = PlannedDownload {
            metainfo,
            place,
            choice: options.choice,
            peers: Vec::new(),
            former: None,
            group: None,
        };
        let started = planned.start(&self.services, progress).map(|()| started);
        let started = accept_existing(&self.transfers, info_hash, &options.destination, started)?;
        Ok(self.take_over(started, &sources))
    }

    /// Starts the download of a `.torrent` file whose metadata a magnet search looks for.
    fn download_searched(
        &self,
        search: &Arc<MagnetSearch>,
        metainfo: Metainfo,
        options: &DownloadOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        // If the patterns choose no file, this error is returned, even if the search has another
        // destination.
        Selection::of(metainfo.info(), &options.choice.only)?;
        if let Some(named) = &options.destination.named
            && absolute_destination(named)? != search.record.destination
        {
            return Err(entry_exists_error(&SwarmEntry::Search(Arc::clone(search))));
        }
        let place = place(&metainfo, &search.record.destination)?;
        let started = Started::new(metainfo.info(), place.path());
        let is_private = metainfo.info().private();
        let mut sources = NamedSources::from(&metainfo);
        let only_in_link = sources.merge(&search.record.magnet.sources());
        let choice = &options.choice;
        let begun = handle_torrent(&self.services, search, metainfo, choice, progress)?;
        Ok(Started {
            already: !begun,
            taken_over: match is_private && begun && !only_in_link.is_empty() {
                true => TakenOver::RefusedAsPrivate,
                false => TakenOver::Nothing,
            },
            ..started
        })
    }

    /// Adds `sources`, which a `.torrent` file or a magnet link names, to the transfer of the same
    /// share. `taken_over` of the result says which of them are new there.
    fn take_over(&self, started: Started, sources: &NamedSources) -> Started {
        let Some(transfer) = self.transfers.transfer(started.info_hash) else {
            return started;
        };
        let taken_over = if transfer.accepts_sources() {
            let added = transfer.add_sources(sources);
            named_peers::call(transfer.clone(), &added.peers);
            match added.is_empty() {
                true => TakenOver::Nothing,
                false => TakenOver::Added(added),
            }
        } else if !transfer.sources().merge(sources).is_empty() {
            TakenOver::RefusedAsPrivate
        } else {
            TakenOver::Nothing
        };
        Started {
            taken_over,
            ..started
        }
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
        let entry = self.transfers.entry(magnet.info_hash);
        match entry.filter(|entry| !entry.has_ended()) {
            Some(SwarmEntry::Search(running)) => {
                return self.extend_search(&running, &magnet, options);
            }
            Some(SwarmEntry::Transfer(running)) => {
                return self.extend_download(&running, magnet, options);
            }
            None => {}
        }
        // Fails if this peer has had the complete share at the destination and nothing is there
        // now.
        if let Some(ended) = self.transfers.transfer(magnet.info_hash) {
            place_of(&self.transfers, &ended.plan.metainfo, &options.destination)?;
        }
        let record = MagnetRecord {
            link: link.to_owned(),
            magnet,
            destination: absolute_destination(options.destination.path())?,
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

    /// Extends a running search for the same share: a new search with the union of both choices and
    /// with the trackers, web seeds and peers of both links replaces it.
    fn extend_search(
        &self,
        running: &Arc<MagnetSearch>,
        link: &Magnet,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let destination = absolute_destination(options.destination.path())?;
        let choice = running.choice.union(&options.choice);
        let former = SwarmEntry::Search(Arc::clone(running));
        let is_same_place = destination == running.record.destination;
        let is_same_choice = choice == running.choice;
        let fits_any_place = is_same_choice && options.destination.named.is_none();
        if !(is_same_place || fits_any_place) {
            return Err(entry_exists_error(&former));
        }
        let (magnet, added) = running.record.magnet.merged(link);
        let taken_over = match added.is_empty() {
            true => TakenOver::Nothing,
            false => TakenOver::Added(added),
        };
        let already = Started {
            already: true,
            taken_over,
            ..started(running)
        };
        if is_same_choice && already.taken_over == TakenOver::Nothing {
            return Ok(already);
        }
        let record = MagnetRecord {
            link: magnet.to_string(),
            magnet,
            only: choice.patterns(),
            sequential: choice.sequential,
            force: choice.force,
            ..running.record.clone()
        };
        let search = self.services.new_search(record, choice);
        let handed_on = running.contacts(|contacts| contacts.for_successor());
        search.contacts(|contacts| contacts.take_over(handed_on));
        self.context.records.save_magnet(&search.record)?;
        let entry = SwarmEntry::Search(Arc::clone(&search));
        let replaced = self.transfers.replace(&former, entry);
        replaced.map_err(|other| entry_exists_error(&other))?;
        running.fail("replaced by a search for more files, or with more trackers");
        start_search(&search);
        Ok(match is_same_choice {
            true => already,
            false => Started {
                taken_over: already.taken_over,
                ..started(&search)
            },
        })
    }

    /// Extends the running download of the share that the link names, if the options choose more
    /// files. Adds the trackers, web seeds and peers of the link.
    fn extend_download(
        &self,
        running: &Transfer,
        magnet: Magnet,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let metainfo = running.plan.metainfo.clone();
        let sources = magnet.sources();
        let place = place_of(&self.transfers, &metainfo, &options.destination)?;
        let started = Started::new(running.info(), place.path());
        let planned = PlannedDownload {
            metainfo,
            place,
            choice: options.choice,
            peers: magnet.peers,
            // `start` finds the running download and extends it.
            former: None,
            group: None,
        };
        let info_hash = started.info_hash;
        let started = planned.start(&self.services, &|_, _| {}).map(|()| started);
        let started = accept_existing(&self.transfers, info_hash, &options.destination, started)?;
        Ok(self.take_over(started, &sources))
    }
}

fn started(search: &MagnetSearch) -> Started {
    Started {
        name: search.name().to_owned(),
        info_hash: search.info_hash(),
        path: search.record.destination.clone(),
        already: false,
        taken_over: TakenOver::Nothing,
        version: None,
        replaces: None,
    }
}
