//! What scripted peers say in messages of extensions (BEP 9, BEP 10), written by hand.

use super::fake_peer::*;
use super::handmade_torrent::Torrent;
use std::net::SocketAddr;

/// The numbers under which scripted peers take messages.
pub(crate) const OUR_METADATA: u8 = 7;
pub(crate) const OUR_PEX: u8 = 9;

/// The info dictionary inside the torrent.
pub(crate) fn info(torrent: &Torrent) -> &[u8] {
    let bytes = &torrent.bytes;
    assert!(bytes.starts_with(b"d4:info") && bytes.ends_with(b"e"));
    &bytes[7..bytes.len() - 1]
}

pub(crate) fn link(torrent: &Torrent, parameters: &str) -> String {
    let hash: String = torrent
        .info_hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("'magnet:?xt=urn:btih:{hash}{parameters}'")
}

pub(crate) fn peer_parameter(address: SocketAddr) -> String {
    format!("&x.pe={address}")
}

pub(crate) fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    frame(20, &[&[id], payload].concat())
}

/// An extension handshake of one that has `size` bytes of metadata, or none.
pub(crate) fn hello(size: Option<usize>, port: Option<u16>) -> Vec<u8> {
    let numbers = format!("1:md11:ut_metadatai{OUR_METADATA}e6:ut_pexi{OUR_PEX}ee");
    let size = size.map_or_else(String::new, |size| format!("13:metadata_sizei{size}e"));
    let port = port.map_or_else(String::new, |port| format!("1:pi{port}e"));
    extended(0, format!("d{numbers}{size}{port}e").as_bytes())
}

/// The number that the other side gave an extension, out of its handshake.
pub(crate) fn number_of(handshake: &[u8], name: &str) -> Option<u8> {
    let text = String::from_utf8_lossy(handshake);
    let at = text.find(&format!("{}:{name}i", name.len()))?;
    let rest = &text[at + name.len() + 1..];
    let number = rest.split_once('i')?.1.split_once('e')?.0;
    number.parse().ok()
}

/// The next message of an extension that comes: its number and its payload.
pub(crate) fn next_extended(wire: &mut Wire) -> Option<(u8, Vec<u8>)> {
    let mut body = wire.until(20)?;
    let id = body.remove(0);
    Some((id, body))
}

/// The number between `i` and `e` after a key.
pub(crate) fn field(payload: &[u8], key: &str) -> u32 {
    let text = String::from_utf8_lossy(payload);
    let rest = text.split_once(&format!("{}:{key}i", key.len())).unwrap().1;
    rest.split_once('e').unwrap().0.parse().unwrap()
}

pub(crate) fn data(piece: usize, metadata: &[u8]) -> Vec<u8> {
    let bytes = metadata.chunks(16 << 10).nth(piece).unwrap();
    let head = format!(
        "d8:msg_typei1e5:piecei{piece}e10:total_sizei{}ee",
        metadata.len()
    );
    [head.as_bytes(), bytes].concat()
}

/// Gives this metadata to whoever asks, until the line ends; `answer` makes a payload out of the piece's number.
pub(crate) fn give(wire: &mut Wire, size: usize, answer: impl Fn(usize) -> Vec<u8>) {
    wire.send(&hello(Some(size), None));
    let mut theirs = 0;
    while let Some((id, payload)) = next_extended(wire) {
        match id {
            0 => theirs = number_of(&payload, "ut_metadata").unwrap(),
            OUR_METADATA if field(&payload, "msg_type") == 0 => {
                let piece = field(&payload, "piece") as usize;
                wire.send(&extended(theirs, &answer(piece)));
            }
            _ => {}
        }
    }
}
