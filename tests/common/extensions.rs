//! Messages of the extension protocol (BEP 10) and of metadata exchange (BEP 9), written by hand
//! for fake peers.

use super::fake_peer::*;
use super::handmade_torrent::Torrent;
use std::net::SocketAddr;

/// The ids under which fake peers receive messages of BEP 9 and BEP 11.
pub(crate) const FAKE_UT_METADATA_ID: u8 = 7;
pub(crate) const FAKE_UT_PEX_ID: u8 = 9;

/// The info dictionary of the torrent.
pub(crate) fn info_dictionary(torrent: &Torrent) -> &[u8] {
    let bytes = &torrent.bytes;
    assert!(bytes.starts_with(b"d4:info") && bytes.ends_with(b"e"));
    &bytes[7..bytes.len() - 1]
}

/// The magnet link of the torrent with more `parameters`, in quotes for a command.
pub(crate) fn magnet_link(torrent: &Torrent, parameters: &str) -> String {
    let hash: String = torrent
        .info_hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("'magnet:?xt=urn:btih:{hash}{parameters}'")
}

/// The parameter of a magnet link that names a peer.
pub(crate) fn peer_parameter(address: SocketAddr) -> String {
    format!("&x.pe={address}")
}

/// A message of an extension, as BEP 10 frames it.
pub(crate) fn extension_message(id: u8, payload: &[u8]) -> Vec<u8> {
    frame(EXTENDED, &[&[id], payload].concat())
}

/// The extension handshake of a peer. `size` is the length of its metadata, if it has any, and
/// `port` its listening port, if it sends one.
pub(crate) fn extension_handshake(size: Option<usize>, port: Option<u16>) -> Vec<u8> {
    let numbers = format!("1:md11:ut_metadatai{FAKE_UT_METADATA_ID}e6:ut_pexi{FAKE_UT_PEX_ID}ee");
    let size = size.map_or_else(String::new, |size| format!("13:metadata_sizei{size}e"));
    let port = port.map_or_else(String::new, |port| format!("1:pi{port}e"));
    extension_message(0, format!("d{numbers}{size}{port}e").as_bytes())
}

/// The id of an extension in the other peer's extension handshake.
pub(crate) fn extension_id(handshake: &[u8], name: &str) -> Option<u8> {
    let text = String::from_utf8_lossy(handshake);
    let at = text.find(&format!("{}:{name}i", name.len()))?;
    let rest = &text[at + name.len() + 1..];
    let number = rest.split_once('i')?.1.split_once('e')?.0;
    number.parse().ok()
}

/// Reads up to the next message of an extension. Returns its id and its payload.
pub(crate) fn read_extension_message(link: &mut FakePeer) -> Option<(u8, Vec<u8>)> {
    let mut body = link.read_until(EXTENDED)?;
    let id = body.remove(0);
    Some((id, body))
}

/// The integer under `key` in a bencoded dictionary.
pub(crate) fn integer_under(payload: &[u8], key: &str) -> u32 {
    let text = String::from_utf8_lossy(payload);
    let rest = text.split_once(&format!("{}:{key}i", key.len())).unwrap().1;
    rest.split_once('e').unwrap().0.parse().unwrap()
}

/// The payload of a message with one piece of the metadata.
pub(crate) fn metadata_piece(piece: usize, metadata: &[u8]) -> Vec<u8> {
    let bytes = metadata.chunks(16 << 10).nth(piece).unwrap();
    let head = format!(
        "d8:msg_typei1e5:piecei{piece}e10:total_sizei{}ee",
        metadata.len()
    );
    [head.as_bytes(), bytes].concat()
}

/// Serves `size` bytes of metadata until the link ends. `answer` returns the payload for a piece of
/// the metadata.
pub(crate) fn serve_metadata(link: &mut FakePeer, size: usize, answer: impl Fn(usize) -> Vec<u8>) {
    link.send(&extension_handshake(Some(size), None));
    let mut leech_metadata_id = 0;
    while let Some((id, payload)) = read_extension_message(link) {
        match id {
            0 => leech_metadata_id = extension_id(&payload, "ut_metadata").unwrap(),
            FAKE_UT_METADATA_ID if integer_under(&payload, "msg_type") == 0 => {
                let piece = integer_under(&payload, "piece") as usize;
                link.send(&extension_message(leech_metadata_id, &answer(piece)));
            }
            _ => {}
        }
    }
}

/// Serves the metadata of a torrent until the link ends.
pub(crate) fn serve_metadata_of(link: &mut FakePeer, torrent: &Torrent) {
    let metadata = info_dictionary(torrent);
    serve_metadata(link, metadata.len(), |piece| {
        metadata_piece(piece, metadata)
    });
}
