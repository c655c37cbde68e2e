//! The life of a search: it begins at a command or a restart, and ends as a transfer.

use crate::peer::{
    Entry, FileChoice, MagnetSearch, PeerError, Planned, Services, download::named_peers, place,
};
use crate::torrent::{Info, Metainfo};
use crate::wire::Event;
use std::path::PathBuf;
use std::sync::Arc;

/// Takes up the downloads by magnet link that were recorded, but for those whose metadata had come.
pub(crate) fn restore(services: &Services) -> Result<(), PeerError> {
    let context = &services.context;
    for loaded in context.records.load_magnets() {
        let record = match loaded {
            Ok(record) => record,
            Err(error) => {
                log::error!("{error}");
                continue;
            }
        };
        let info_hash = record.magnet.info_hash;
        let choice = FileChoice::from_record(&record.only, record.sequential, record.force);
        let search = services.new_search(record, choice);
        match services.transfers.enter(Entry::Search(Arc::clone(&search))) {
            Ok(()) => seek(&search),
            Err(_) => context.records.remove_magnet(info_hash)?,
        }
    }
    Ok(())
}

/// Metadata has come from a line, and has the hash: the first to come is made into a download.
pub(crate) fn learn(services: &Arc<Services>, search: &Arc<MagnetSearch>, metadata: Vec<u8>) {
    if !search.found_metadata() {
        return;
    }
    let (services, found) = (Arc::clone(services), Arc::clone(search));
    let context = Arc::clone(&services.context);
    // What comes now may take long: whole files that are there already are hashed.
    let spawned = context.tasks.spawn("metadata", move || {
        match become_download(&services, &found, &metadata) {
            Ok(()) | Err(PeerError::Stopping) => {}
            Err(error) => found.fail(&error.to_string()),
        }
    });
    if let Err(error) = spawned {
        search.fail(&PeerError::Thread(error).to_string());
    }
}

fn become_download(
    services: &Services,
    search: &Arc<MagnetSearch>,
    metadata: &[u8],
) -> Result<(), PeerError> {
    if services.context.is_interrupted() {
        return Err(PeerError::Stopping);
    }
    let info = Info::parse(metadata).map_err(PeerError::Metadata)?;
    if info.ssl_cert().is_some() {
        return Err(PeerError::OfGroup(PathBuf::from(info.name().as_str())));
    }
    if info.private() {
        services.announcer.keep_to_one(search.info_hash());
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
    planned.start(services, &|_, _| {})?;
    Ok(search.context.records.remove_magnet(search.info_hash())?)
}

/// Begins to look for the metadata.
pub(crate) fn seek(search: &Arc<MagnetSearch>) {
    search.announce(Event::Started);
    named_peers::call(search.clone(), &search.record.magnet.peers);
    search.context.changes.notify();
}
