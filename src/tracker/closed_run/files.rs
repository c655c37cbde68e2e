//! The files of a closed run. Each name has one content: the first that a client reported. Its info
//! dictionary is kept.

use super::events::Refused;
use crate::torrent::{FileName, Info, InfoHash, Layout};
use crate::wire::control::{ClientNumber, RunErrorKind};
use std::collections::HashMap;

/// Maximum number of bytes of info dictionaries kept for a run.
const MAX_BYTES: usize = 256 << 20;

/// The files that clients have reported.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// For each name, the content and the first client that reported it.
    names: HashMap<FileName, (InfoHash, ClientNumber)>,
    infos: HashMap<InfoHash, Vec<u8>>,
    /// The number of bytes in `infos`.
    bytes: usize,
}

/// A file that was just reported.
#[derive(Debug)]
pub(super) struct ReportedFile {
    pub(super) info_hash: InfoHash,
    /// Its name, and another client that reported different content under it.
    pub(super) conflict: Option<(FileName, ClientNumber)>,
}

impl Files {
    /// Adds a file that `client` owns. `raw` is the file's info dictionary.
    pub(super) fn add(
        &mut self,
        raw: &[u8],
        client: ClientNumber,
    ) -> Result<ReportedFile, Refused> {
        let info = Info::parse(raw).map_err(|error| (RunErrorKind::BadInfo, error.to_string()))?;
        if info.layout() != Layout::File {
            let message = format!("{} is a folder, not a file", info.name());
            return Err((RunErrorKind::BadInfo, message));
        }
        let info_hash = info.info_hash();
        let conflict = match self.names.get(info.name()) {
            Some((known, _)) if *known == info_hash => None,
            Some((_, owner)) if *owner == client => {
                let message = format!("{} was reported with two different contents", info.name());
                return Err((RunErrorKind::BadInfo, message));
            }
            Some((_, owner)) => Some((info.name().clone(), *owner)),
            None => {
                let bytes = self.bytes.saturating_add(raw.len());
                if bytes > MAX_BYTES {
                    let message = format!("more than {MAX_BYTES} bytes of metainfo");
                    return Err((RunErrorKind::TooMuch, message));
                }
                self.bytes = bytes;
                self.names.insert(info.name().clone(), (info_hash, client));
                self.infos.insert(info_hash, raw.to_vec());
                None
            }
        };
        Ok(ReportedFile {
            info_hash,
            conflict,
        })
    }

    pub(super) fn info_hash(&self, name: &FileName) -> Option<InfoHash> {
        self.names.get(name).map(|(info_hash, _)| *info_hash)
    }

    pub(super) fn info(&self, info_hash: &InfoHash) -> Option<&[u8]> {
        self.infos.get(info_hash).map(Vec::as_slice)
    }
}
