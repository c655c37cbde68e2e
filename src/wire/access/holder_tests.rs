//! The messages about holders and mirrors, and their bytes.

use super::*;
use crate::torrent::InfoHash;
use crate::wire::name::Label;

fn lab() -> Label {
    "lab".parse().unwrap()
}

/// Every kind of request about holders, and its bytes with the id 7 and the token `t\0k`.
pub(super) fn requests() -> Vec<(AccessRequest, &'static [u8])> {
    let group = lab();
    let requests = [
        (
            HolderRequest::Holders {
                group: lab(),
                name: ShortText::new("f@3"),
                after: ShortText::new("a"),
            },
            &b"d5:after1:a5:group3:lab2:idi7e4:name3:f@38:protocoli5e5:token3:t\0k4:type12:list_holderse"[..],
        ),
        (
            HolderRequest::Mirrors {
                group: lab(),
                after: None,
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type12:list_mirrorse",
        ),
        (
            HolderRequest::Mirroring { group, on: true },
            b"d5:group3:lab2:idi7e2:oni1e8:protocoli5e5:token3:t\0k4:type9:mirroringe",
        ),
    ];
    let requests = requests.into_iter();
    requests
        .map(|(request, bytes)| (AccessRequest::Holders(request), bytes))
        .collect()
}

/// The answers about holders, and the bytes of their replies with the id 7.
pub(super) fn replies() -> [(AccessAnswer, &'static [u8]); 2] {
    let version = || NamedVersion {
        name: ShortText::new("f@3").unwrap(),
        number: 3,
        info_hash: InfoHash([b'h'; 20]),
    };
    let holder = |host: Option<&str>, is_here| HolderName {
        id: HolderId([b'i'; 16]),
        user: "nik".parse().unwrap(),
        host: host.map(|host| host.parse().unwrap()),
        is_here,
    };
    let entry = HolderEntry {
        version: version(),
        holder: holder(Some("gpu1"), true),
        left: 4,
        length: 9,
        silent_ms: 5,
        rate: 6,
        is_stale: true,
        mirrors: true,
    };
    let mirror = MirrorEntry {
        holder: holder(None, false),
        mirrors: false,
        reported_ms: 8,
        silent_ms: 7,
    };
    [
        (
            AccessAnswer::Holders {
                page: ListPage {
                    entries: vec![entry],
                    next: ShortText::new("x"),
                },
                named: Some(version()),
            },
            b"d7:entriesld4:herei1e4:host4:gpu12:id16:iiiiiiiiiiiiiiii9:info hash20:hhhhhhhhhhhhhhhhhhhh4:lefti4e6:lengthi9e7:mirrorsi1e4:name3:f@34:ratei6e6:silenti5e5:stalei1e4:user3:nik7:versioni3eee2:idi7e5:namedd9:info hash20:hhhhhhhhhhhhhhhhhhhh4:name3:f@37:versioni3ee4:next1:x8:protocoli5e4:type7:holderse",
        ),
        (
            AccessAnswer::Mirrors(ListPage {
                entries: vec![mirror],
                next: None,
            }),
            b"d7:entriesld2:id16:iiiiiiiiiiiiiiii8:reportedi8e6:silenti7e4:user3:nikee2:idi7e8:protocoli5e4:type7:mirrorse",
        ),
    ]
}
