//! Starts magnet searches, and turns a search into a download.

use crate::peer::{
    FileChoice, MagnetSearch, PeerError, PlannedDownload, Services, SwarmEntry,
    announce::named_peers, place,
};
use crate::storage::RecordError;
use crate::torrent::{Info, Metainfo, NamedSources};
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
            // The search has become a download: `transfers` has an entry with this info-hash.
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
        let info = Info::parse(&metadata).map_err(PeerError::Metadata);
        let begun = info.and_then(|info| {
            let (metainfo, choice) = (Metainfo::new(info, Vec::new()), &search_of_thread.choice);
            become_download(&services, &search_of_thread, metainfo, choice, &|_, _| {})
        });
        match begun {
            Ok(()) | Err(PeerError::Stopping) => {}
            Err(error) => search_of_thread.fail(&error.to_string()),
        }
    });
    if let Err(error) = spawned {
        search.fail(&PeerError::Thread(error).to_string());
    }
}

/// Handles a `.torrent` file of the share that a search looks for. The file has the metadata, so
/// the search becomes a download. The download's choice is the union of `choice` and the choice of
/// the search. Returns `false` if metadata has arrived before, or the search has failed.
pub(crate) fn handle_torrent(
    services: &Services,
    search: &Arc<MagnetSearch>,
    metainfo: Metainfo,
    choice: &FileChoice,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<bool, PeerError> {
    if !search.accept_metadata() {
        return Ok(false);
    }
    let choice = search.choice.union(choice);
    let begun = become_download(services, search, metainfo, &choice, progress);
    if let Err(error) = &begun {
        search.fail(&error.to_string());
    }
    begun.map(|()| true)
}

/// Starts the download. `metainfo` has trackers and web seeds if it comes from a `.torrent` file.
/// The sources of the magnet link are added, except to a private torrent that names sources itself.
fn become_download(
    services: &Services,
    search: &Arc<MagnetSearch>,
    metainfo: Metainfo,
    choice: &FileChoice,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), PeerError> {
    if services.context.is_interrupted() {
        return Err(PeerError::Stopping);
    }
    let info = metainfo.info();
    if info.ssl_cert().is_some() {
        return Err(PeerError::OfGroup(PathBuf::from(info.name().as_str())));
    }
    let magnet = &search.record.magnet;
    let mut sources = NamedSources::from(&metainfo);
    let has_private_sources = info.private() && !sources.is_empty();
    if has_private_sources {
        // A private torrent uses only its own trackers, not those of the magnet link (BEP 27).
        search.leave_trackers();
    } else {
        sources.merge(&magnet.sources());
    }
    if info.private() {
        services.announcer.set_private(search.info_hash());
    }
    let metainfo = metainfo
        .with_trackers(sources.trackers)
        .with_web_seeds(sources.web_seeds);
    let planned = PlannedDownload {
        place: place(&metainfo, &search.record.destination)?,
        metainfo,
        choice: choice.clone(),
        peers: sources.peers,
        group: None,
        former: Some(SwarmEntry::Search(Arc::clone(search))),
    };
    log::info!("{}: the metadata is complete", search.name());
    planned.start(services, progress)?;
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
