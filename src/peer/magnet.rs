//! Downloads by magnet link (BEP 9): announced and called for like any other, until the metadata is here; then another
//! transfer, which knows its files, takes their place.
//!
//! In scope: the command, the record, that step. How metadata comes over a line is `metadata.rs`'s matter.

use super::download::{DownloadOptions, Planned, Wishes};
use super::givers::Givers;
use super::shared::Shared;
use super::transfer::{Kind, Phase, Transfer};
use super::{Peer, PeerError, Started, already, place};
use crate::storage::MagnetRecord;
use crate::torrent::{FileName, Info, Magnet, Metainfo, PieceSet};
use crate::wire::Event;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a person sees as long as there is no metadata.
pub(super) const LOOKING: &str = "looking for the metadata";

/// What is known of a download by magnet link.
#[derive(Debug)]
pub(super) struct Sought {
    pub(super) link: String,
    pub(super) magnet: Magnet,
    /// A folder to put it in, or the new file or folder's own path; absolute.
    pub(super) destination: PathBuf,
    /// The lines that give metadata, or may.
    pub(super) givers: Givers,
    /// Raised to end the hashing of what is there already, for this download alone.
    pub(super) interrupt: AtomicBool,
}

impl Peer {
    /// Starts fetching what a magnet link names: at first its metadata, from whoever its trackers, those of TRACKER_INFO and the
    /// link itself name, then the rest as [`Peer::download`] does.
    ///
    /// # Errors
    /// When the link or the destination cannot be used, or it is here already.
    pub fn download_magnet(
        &self,
        link: &str,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let magnet: Magnet = link.parse()?;
        let known = self.shared.transfer(magnet.info_hash);
        if let Some(known) = known.filter(|known| !known.has_failed()) {
            return match known.sought() {
                Some(sought) => self.seek_more(&known, sought, options),
                None => self.download_known(&known, magnet, options),
            };
        }
        let destination = absolute_destination(options.destination.as_deref())?;
        let record = MagnetRecord {
            link: link.to_owned(),
            magnet,
            destination: destination.clone(),
            only: options.wishes.patterns(),
            sequential: options.wishes.sequential,
            force: options.wishes.force,
            added_ms: 0,
        };
        let transfer = sought(&self.shared, &record, options.wishes);
        let transfer = self.enter(transfer)?.map_err(|other| already(&other))?;
        if let Err(error) = transfer.save(&self.shared) {
            self.shared.forget(&transfer);
            return Err(error);
        }
        transfer.seek(&self.shared);
        Ok(Started {
            name: transfer.name().to_owned(),
            info_hash: transfer.info_hash(),
            path: destination,
        })
    }

    /// The metadata of what the link names is sought already: once it is here, what is asked for now is wanted too.
    fn seek_more(
        &self,
        known: &Arc<Transfer>,
        former: &Sought,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let destination = absolute_destination(options.destination.as_deref())?;
        let wishes = known.wishes.and(&options.wishes);
        if destination != former.destination || wishes == known.wishes {
            return Err(already(known));
        }
        let record = MagnetRecord {
            only: wishes.patterns(),
            sequential: wishes.sequential,
            force: wishes.force,
            ..known.to_magnet_record(former)
        };
        let mut transfer = sought(&self.shared, &record, wishes);
        transfer.added_ms = known.added_ms;
        transfer.state().candidates = known.state().candidates.handed_on();
        let transfer = Arc::new(transfer);
        self.shared.records.save_magnet(&record)?;
        let replaced = self.shared.replace(known, Arc::clone(&transfer));
        replaced.map_err(|other| already(&other))?;
        known.fail(&self.shared, "more of it is wanted from now on");
        transfer.seek(&self.shared);
        Ok(Started {
            name: transfer.name().to_owned(),
            info_hash: transfer.info_hash(),
            path: destination,
        })
    }

    /// The link names a share that is here: more of it may be wanted.
    fn download_known(
        &self,
        known: &Transfer,
        magnet: Magnet,
        options: DownloadOptions,
    ) -> Result<Started, PeerError> {
        let metainfo = known.metainfo.clone();
        let place = self.place_of(&metainfo, options.destination.as_deref())?;
        let started = Started {
            name: known.name().to_owned(),
            info_hash: known.info_hash(),
            path: place.path(),
        };
        let planned = Planned {
            metainfo,
            place,
            wishes: options.wishes,
            peers: magnet.peers,
            replaces: None,
        };
        planned.start(&self.shared, &|_, _| {})?;
        Ok(started)
    }

    /// Takes up the downloads by magnet link that were recorded, but for those whose metadata had come.
    pub(super) fn restore_magnets(&self) -> Result<(), PeerError> {
        for loaded in self.shared.records.load_magnets() {
            let record = match loaded {
                Ok(record) => record,
                Err(error) => {
                    log::error!("{error}");
                    continue;
                }
            };
            let wishes = Wishes::recorded(&record.only, record.sequential, record.force);
            let mut transfer = sought(&self.shared, &record, wishes);
            transfer.added_ms = record.added_ms;
            match self.enter(transfer)? {
                Ok(transfer) => transfer.seek(&self.shared),
                Err(_) => self.shared.records.remove_magnet(record.magnet.info_hash)?,
            }
        }
        Ok(())
    }
}

/// A transfer without files, called as the link calls it, or by its info-hash.
fn sought(shared: &Shared, record: &MagnetRecord, wishes: Wishes) -> Transfer {
    let magnet = record.magnet.clone();
    let hash = magnet.info_hash;
    let name = magnet.name.as_deref().map(FileName::new);
    let name = name.and_then(Result::ok);
    let info = Info::unknown(hash, name.unwrap_or_else(|| hash.into()));
    let metainfo = Metainfo::new(info, tiers(&magnet));
    let peers = magnet.peers.clone();
    let kind = Kind::Magnet(Arc::new(Sought {
        link: record.link.clone(),
        magnet,
        destination: record.destination.clone(),
        givers: Givers::default(),
        interrupt: AtomicBool::new(false),
    }));
    let mut transfer = Transfer::new(shared, metainfo, kind, true);
    transfer.wishes = wishes;
    transfer.peers = peers;
    transfer
}

/// A link says nothing of an order: its trackers are one tier.
fn tiers(magnet: &Magnet) -> Vec<Vec<String>> {
    vec![magnet.trackers.clone()]
}

/// Where it shall go, whatever the current folder is at the next start.
fn absolute_destination(destination: Option<&Path>) -> Result<PathBuf, PeerError> {
    let destination = destination.unwrap_or(Path::new("."));
    let file = |source| PeerError::File {
        path: destination.to_owned(),
        source,
    };
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

impl Sought {
    /// Ends all that is done to find the metadata, or to make it into a download.
    pub(super) fn end(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
        self.givers.end();
    }
}

impl Transfer {
    /// What is sought, as long as the metadata is not here.
    pub(super) fn sought(&self) -> Option<&Arc<Sought>> {
        match &self.kind {
            Kind::Magnet(sought) => Some(sought),
            _ => None,
        }
    }

    /// Begins to look for the metadata.
    fn seek(self: &Arc<Self>, shared: &Arc<Shared>) {
        {
            let mut state = self.state();
            state.phase = Phase::Seeking;
            state.started = shared.now();
            // Callers are let in: they may have it.
            let none = PieceSet::empty(self.info().lengths());
            shared.owned.insert(Arc::clone(self), none);
        }
        shared.announcer.announce(self, Some(Event::Started));
        self.call_named_peers(shared);
        shared.notify_change();
    }

    /// Calls the peers that a magnet link named. Their names are looked up in the background, which may take long.
    pub(super) fn call_named_peers(self: &Arc<Self>, shared: &Arc<Shared>) {
        let literal = self.peers.iter().filter_map(|peer| peer.parse().ok());
        let literal: Vec<SocketAddr> = literal.collect();
        if literal.len() == self.peers.len() {
            if !literal.is_empty() {
                self.add_candidates(shared, literal);
            }
            return;
        }
        let (shared, transfer) = (Arc::clone(shared), Arc::clone(self));
        // Not joined: a look-up may take long, and holds nothing.
        let thread = std::thread::Builder::new().name("look-up".to_owned());
        let spawned = thread.spawn(move || {
            for peer in &transfer.peers {
                match peer.to_socket_addrs() {
                    Ok(addresses) => transfer.add_candidates(&shared, addresses.take(4)),
                    Err(error) => log::info!("{}: {peer}: {error}", transfer.name()),
                }
            }
        });
        if let Err(error) = spawned {
            log::warn!("{}: peers are not called: {error}", self.name());
        }
    }

    /// The metadata is here, and has the hash. The first line that brings it counts.
    pub(super) fn learned(self: &Arc<Self>, shared: &Arc<Shared>, metadata: Vec<u8>) {
        {
            let mut state = self.state();
            if state.phase != Phase::Seeking {
                return;
            }
            state.phase = Phase::Checking;
        }
        shared.owned.remove(self.info_hash());
        if let Some(sought) = self.sought() {
            sought.givers.end();
        }
        let transfer = Arc::clone(self);
        // What comes now may take long: whole files that are there already are hashed.
        let spawned = shared.spawn("metadata", move |shared| {
            match transfer.become_download(shared, &metadata) {
                Ok(()) | Err(PeerError::Stopping) => {}
                Err(error) => transfer.fail(shared, &error.to_string()),
            }
        });
        if let Err(error) = spawned {
            self.fail(shared, &PeerError::Thread(error).to_string());
        }
    }

    fn become_download(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        metadata: &[u8],
    ) -> Result<(), PeerError> {
        let Some(sought) = self.sought() else {
            return Ok(());
        };
        if shared.interrupt.load(Ordering::Relaxed) {
            return Err(PeerError::Stopping);
        }
        let info = Info::parse(metadata).map_err(PeerError::Metadata)?;
        if info.ssl_cert().is_some() {
            return Err(PeerError::OfGroup(PathBuf::from(info.name().as_str())));
        }
        if info.private() {
            shared.announcer.keep_to_one(self);
        }
        let metainfo = Metainfo::new(info, tiers(&sought.magnet))
            .with_web_seeds(sought.magnet.web_seeds.clone());
        let planned = Planned {
            place: place(&metainfo, Some(&sought.destination))?,
            metainfo,
            wishes: self.wishes.clone(),
            peers: self.peers.clone(),
            replaces: Some(Arc::clone(self)),
        };
        log::info!("{}: the metadata is here", self.name());
        planned.start(shared, &|_, _| {})?;
        shared.records.remove_magnet(self.info_hash())?;
        Ok(())
    }

    /// What the state folder keeps of it.
    pub(super) fn to_magnet_record(&self, sought: &Sought) -> MagnetRecord {
        MagnetRecord {
            link: sought.link.clone(),
            magnet: sought.magnet.clone(),
            destination: sought.destination.clone(),
            only: self.wishes.patterns(),
            sequential: self.wishes.sequential,
            force: self.wishes.force,
            added_ms: self.added_ms,
        }
    }
}
