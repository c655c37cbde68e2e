//! Info dictionaries of shares of groups, made without files.

use super::control_connection::User;
use pieceful::certificate::MemberKey;
use pieceful::wire::access::{AccessAnswer, AccessRequest, KeyRequest};

/// The certificate of a group's authority, as PEM. The user is a member.
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

/// An info dictionary for the group with this authority: a file `name` of `pieces` pieces of 512
/// KiB, the last one of `last` bytes. `seed` determines the hashes.
pub(crate) fn group_info(
    name: &str,
    (pieces, last): (usize, usize),
    seed: &str,
    authority: &str,
) -> Vec<u8> {
    let hashes = seed.bytes().cycle().take(pieces * 20);
    let mut info = format!(
        "d6:lengthi{}e4:name{}:{name}12:piece lengthi524288e6:pieces{}:",
        (pieces - 1) * 524_288 + last,
        name.len(),
        pieces * 20
    )
    .into_bytes();
    info.extend(hashes);
    info.extend(format!("7:privatei1e8:ssl-cert{}:{authority}e", authority.len()).bytes());
    info
}
