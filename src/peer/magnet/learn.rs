//! Starts magnet searches, and turns a search into a download.

use crate::peer::{
    FileChoice, MagnetSearch, PeerError, PlannedDownload, Services, SwarmEntry,
    announce::named_peers, place,
};
use crate::storage::RecordError;
use crate::torrent::{Info, Metainfo};
use crate::wire::AnnounceEvent;
use std::path::PathBuf;
use std::sync::Arc;

/// Resumes the recorded magnet searches, except those whose metadata has arrived. Returns the
/// errors of records that cannot be used.
pub(crate) fn restore(services: &Services) -> Result<Vec<RecordError>, PeerError> {
    let context = &services.context;
    let mut damaged = Vec::new();
    for loaded in context.records.load_magnets() {
        let record = match loaded {
            Ok(record) => record,
            Err(error) => {
                damaged.push(error);
                continue;
            }
        };
        let info_hash = record.magnet.info_hash;
        let choice = FileChoice::from_record(&record.only, record.sequential, record.force);
        let search = services.new_search(record, choice);
        match services
            .transfers
            .enter(SwarmEntry::Search(Arc::clone(&search)))
        {
            Ok(()) => start_search(&search),
            // The map has the download that this search became.
            Err(_) => context.records.remove_magnet(info_hash)?,
        }
    }
    Ok(damaged)
}

/// Handles metadata that a link delivered and whose hash is right. The first metadata that arrives
/// becomes a download.
pub(crate) fn handle_metadata(
    services: &Arc<Services>,
    search: &Arc<MagnetSearch>,
    metadata: Vec<u8>,
) {
    if !search.accept_metadata() {
        return;
    }
    let (services, search_of_thread) = (Arc::clone(services), Arc::clone(search));
    let context = Arc::clone(&services.context);
    // The next steps may take long: existing files are hashed.
    let spawned = context.tasks.spawn("metadata", move || {
        match become_download(&services, &search_of_thread, &metadata) {
            Ok(()) | Err(PeerError::Stopping) => {}
            Err(error) => search_of_thread.fail(&error.to_string()),
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
        services.announcer.set_private(search.info_hash());
    }
    let magnet = &search.record.magnet;
    let metainfo =
        Metainfo::new(info, search.tiers().to_vec()).with_web_seeds(magnet.web_seeds.clone());
    let planned = PlannedDownload {
        place: place(&metainfo, Some(&search.record.destination))?,
        metainfo,
        choice: search.choice.clone(),
        peers: magnet.peers.clone(),
        former: Some(SwarmEntry::Search(Arc::clone(search))),
    };
    log::info!("{}: the metadata is complete", search.name());
    planned.start(services, &|_, _| {})?;
    // The download runs. If its magnet record cannot be removed now, the next start removes it.
    if let Err(error) = search.context.records.remove_magnet(search.info_hash()) {
        log::warn!(
            "{}: cannot remove the record of its magnet link: {error}",
            search.name()
        );
    }
    Ok(())
}

/// Starts the search for the metadata.
pub(crate) fn start_search(search: &Arc<MagnetSearch>) {
    search.announce(AnnounceEvent::Started);
    named_peers::call(search.clone(), &search.record.magnet.peers);
    search.context.changes.notify();
}
