//! Metadata that this peer serves over its links (BEP 9, BEP 10).

use super::{Transfer, metadata_quota::most_pieces};
use crate::peer::{Link, PEX, extension_handshake};
use crate::torrent::MAX_METAINFO;
use crate::wire::extension::ExtensionHandshake;
use crate::wire::metadata::{MetadataError, MetadataMessage, metadata_piece};
use crate::wire::peer::Message;

impl Transfer {
    /// What we say of ourselves on a link of this share (BEP 10). Metadata goes out in open swarms
    /// only: a peer that may have a private torrent has it from its tracker, as other programs see
    /// it too.
    pub(crate) fn extension_handshake(&self, upload_only: bool) -> ExtensionHandshake {
        let mut handshake = extension_handshake(&self.context, upload_only);
        if self.hands_on_metadata() {
            let size = self.info().raw().len();
            handshake.metadata_size = u32::try_from(size).ok();
        } else {
            handshake.metadata = None;
        }
        handshake.pex = self.allows_pex().then_some(PEX);
        handshake
    }

    fn hands_on_metadata(&self) -> bool {
        let info = self.info();
        self.listed
            && !info.private()
            && info.ssl_cert().is_none()
            && info.raw().len() <= MAX_METAINFO
    }

    /// The other side of a link says something about metadata.
    pub(crate) fn on_metadata(&self, link: &Link, payload: &[u8]) -> Result<(), MetadataError> {
        let Some(MetadataMessage::Request(piece)) = MetadataMessage::parse(payload)? else {
            return Ok(());
        };
        let Some(id @ 1..) = link.told(|told| told.metadata) else {
            return Ok(());
        };
        let exists = metadata_piece(self.info().raw(), piece).is_some();
        let ip = link.address.ip();
        let given = || {
            let (most, now) = (most_pieces(self.info().raw().len()), self.context.now());
            self.state().metadata_quota.allows(ip, most, now)
        };
        if !(self.hands_on_metadata()
            && exists
            && given()
            && link.outbox.push_metadata(self.info(), id, piece))
        {
            let payload = MetadataMessage::Reject(piece).encode();
            let payload = payload.as_slice();
            link.outbox.send([Message::Extended { id, payload }]);
        }
        Ok(())
    }
}
