//! The extension handshake of a transfer (BEP 10), and the metadata that it serves (BEP 9).

use super::metadata_quota::max_pieces;
use super::transfer::Transfer;
use crate::peer::{Link, PEX_ID, extension_handshake};
use crate::swarm::LinkId;
use crate::system::lock;
use crate::torrent::MAX_METAINFO;
use crate::wire::extension::{ExtensionHandshake, HANDSHAKE_ID};
use crate::wire::metadata::{MetadataError, MetadataMessage, metadata_piece};
use crate::wire::peer::PeerMessage;

impl Transfer {
    /// Sends our extension handshake on a link of this transfer.
    pub(super) fn send_handshake(&self, link: &Link, only_uploads: bool) {
        let payload = self.handshake(only_uploads).encode();
        link.send([PeerMessage::Extended {
            id: HANDSHAKE_ID,
            payload: &payload,
        }]);
    }

    /// Our extension handshake. It offers metadata in public open swarms only, as other clients do.
    /// A private torrent is given out only by its tracker, to people who may have it.
    fn handshake(&self, only_uploads: bool) -> ExtensionHandshake {
        let handshake = extension_handshake(&self.context, only_uploads);
        let serves = self.serves_metadata();
        let size = u32::try_from(self.info().raw().len()).ok();
        ExtensionHandshake {
            metadata: handshake.metadata.filter(|_| serves),
            metadata_size: size.filter(|_| serves),
            pex: self.plan.exchanges_peers().then_some(PEX_ID),
            times: self.own_times_id(),
            ..handshake
        }
    }

    fn serves_metadata(&self) -> bool {
        let info = self.info();
        !self.plan.is_of_closed_run
            && !info.private()
            && info.ssl_cert().is_none()
            && info.raw().len() <= MAX_METAINFO
    }

    /// Handles a metadata message: answers a request, and ignores every other message.
    pub(super) fn on_metadata_message(
        &self,
        id: LinkId,
        payload: &[u8],
    ) -> Result<(), MetadataError> {
        let Some(MetadataMessage::Request(piece)) = MetadataMessage::parse(payload)? else {
            return Ok(());
        };
        let their_id =
            self.inspect(|core| core.link(id).and_then(|link| link.handshake().metadata));
        let (Some(extension_id @ 1..), Some(link)) = (their_id, self.link(id)) else {
            return Ok(());
        };
        let exists = metadata_piece(self.info().raw(), piece).is_some();
        let ip = link.remote().address.ip();
        let take_from_quota = || {
            let (limit, now) = (max_pieces(self.info().raw().len()), self.context.now());
            lock(&self.metadata_quota).try_take(ip, limit, now)
        };
        let is_sent = self.serves_metadata()
            && exists
            && take_from_quota()
            && link.send_metadata(self.info(), extension_id, piece);
        if !is_sent {
            let payload = MetadataMessage::Reject(piece).encode();
            let payload = payload.as_slice();
            link.send([PeerMessage::Extended {
                id: extension_id,
                payload,
            }]);
        }
        Ok(())
    }
}
