//! Our side of the extension protocol (BEP 10).

use super::REQUEST_QUEUE;
use crate::peer::Context;
use crate::wire::extension::ExtensionHandshake;

/// The id of `ut_metadata` messages to us (BEP 9).
pub(crate) const METADATA: u8 = 2;
/// The id of `ut_pex` messages to us (BEP 11).
pub(crate) const PEX: u8 = 3;

/// What we say of ourselves on any link. It offers to take messages about metadata, and no others.
pub(crate) fn extension_handshake(context: &Context, upload_only: bool) -> ExtensionHandshake {
    let identity = &context.identity;
    ExtensionHandshake {
        client: Some(concat!("pieceful ", env!("CARGO_PKG_VERSION")).to_owned()),
        name: Some(identity.name.clone()).filter(|name| !name.is_empty()),
        request_queue: Some(REQUEST_QUEUE),
        port: Some(identity.address.port()),
        upload_only: upload_only.then_some(true),
        metadata: Some(METADATA),
        metadata_size: None,
        pex: None,
    }
}
