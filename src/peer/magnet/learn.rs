//! The life of a search: it begins at a command or a restart, and ends as a transfer.

use super::MagnetSearch;
use crate::peer::{
    Announced, Entry, FileChoice, PeerError, Planned, Transfers, download::named_peers, place,
};
use crate::torrent::{Info, Metainfo};
use crate::wire::Event;
use std::path::PathBuf;
use std::sync::Arc;

/// Takes up the downloads by magnet link that were recorded, but for those whose metadata had come.
pub(crate) fn restore(transfers: &Transfers) -> Result<(), PeerError> {
    let (context, services) = (&transfers.context, &transfers.services);
    for loaded in context.records.load_magnets() {
        let record = match loaded {
            Ok(record) => record,
            Err(error) => {
                log::error!("{error}");
                continue;
            }
        };
        let info_hash = record.magnet.info_hash;
        let choice = FileChoice::recorded(&record.only, record.sequential, record.force);
        let search = Arc::new(MagnetSearch::new(context, services, record, choice));
        match transfers.enter(Entry::Search(Arc::clone(&search))) {
            Ok(()) => seek(&search),
            Err(_) => context.records.remove_magnet(info_hash)?,
        }
    }
    Ok(())
}

/// Metadata has come from a line, and has the hash: the first to come is made into a download.
pub(crate) fn learn(transfers: &Arc<Transfers>, search: &Arc<MagnetSearch>, metadata: Vec<u8>) {
    if !search.found_metadata() {
        return;
    }
    let (transfers, found) = (Arc::clone(transfers), Arc::clone(search));
    let context = Arc::clone(&transfers.context);
    // What comes now may take long: whole files that are there already are hashed.
    let spawned = context.tasks.spawn("metadata", move || {
        match become_download(&transfers, &found, &metadata) {
            Ok(()) | Err(PeerError::Stopping) => {}
            Err(error) => found.fail(&error.to_string()),
        }
    });
    if let Err(error) = spawned {
        search.fail(&PeerError::Thread(error).to_string());
    }
}

fn become_download(
    transfers: &Arc<Transfers>,
    search: &Arc<MagnetSearch>,
    metadata: &[u8],
) -> Result<(), PeerError> {
    if transfers.context.is_interrupted() {
        return Err(PeerError::Stopping);
    }
    let info = Info::parse(metadata).map_err(PeerError::Metadata)?;
    if info.ssl_cert().is_some() {
        return Err(PeerError::OfGroup(PathBuf::from(info.name().as_str())));
    }
    if info.private() {
        search.services.announcer.keep_to_one(search.info_hash());
    }
    let magnet = &search.record.magnet;
    let metainfo =
        Metainfo::new(info, search.tiers().to_vec()).with_web_seeds(magnet.web_seeds.clone());
    let planned = Planned {
        place: place(&metainfo, Some(&search.record.destination))?,
        metainfo,
        choice: search.choice.clone(),
        peers: magnet.peers.clone(),
        replaces: Some(Entry::Search(Arc::clone(search))),
    };
    log::info!("{}: the metadata is here", search.name());
    planned.start(transfers, &|_, _| {})?;
    Ok(search.context.records.remove_magnet(search.info_hash())?)
}

/// Begins to look for the metadata.
pub(crate) fn seek(search: &Arc<MagnetSearch>) {
    let announcer = &search.services.announcer;
    announcer.announce(search.clone(), Some(Event::Started));
    named_peers::call(search.clone(), &search.record.magnet.peers);
    search.context.changes.notify();
}
