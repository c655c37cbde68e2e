//! Info dictionaries of shares of groups, made without files.

use super::control_connection::User;
use pieceful::certificate::MemberKey;
use pieceful::wire::access::{AccessAnswer, AccessRequest, KeyRequest};

/// Returns the certificate of a group's authority, as PEM. `user` must be a member of the group.
pub(crate) fn group_authority(user: &mut User, group: &str) -> String {
    let key = MemberKey::generate().unwrap();
    let ask = AccessRequest::Certify {
        group: group.parse().unwrap(),
        request: KeyRequest(key.request(user.token.as_bytes()).unwrap()),
    };
    let Ok(AccessAnswer::Certificate { authority, .. }) = user.ask(ask) else {
        panic!("no certificate of {group}")
    };
    String::from_utf8(authority).unwrap()
}

/// An info dictionary for the group that has this authority. It describes one file, `name`, which
/// has `pieces` pieces. The last piece has `last_length` bytes, every other piece has 512 KiB. The
/// hashes consist of `hash_text`, which is repeated.
pub(crate) fn group_info(
    name: &str,
    (pieces, last_length): (usize, usize),
    hash_text: &str,
    authority: &str,
) -> Vec<u8> {
    let hashes = hash_text.bytes().cycle().take(pieces * 20);
    let mut info = format!(
        "d6:lengthi{}e4:name{}:{name}12:piece lengthi524288e6:pieces{}:",
        (pieces - 1) * 524_288 + last_length,
        name.len(),
        pieces * 20
    )
    .into_bytes();
    info.extend(hashes);
    info.extend(format!("7:privatei1e8:ssl-cert{}:{authority}e", authority.len()).bytes());
    info
}
