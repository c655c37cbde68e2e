//! The messages about catalogues, and their bytes.

use super::tests::STATE;
use super::*;
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, InfoPart};
use crate::wire::name::Label;

const WRITE: WriteId = WriteId([b'w'; 16]);

fn lab() -> Label {
    "lab".parse().unwrap()
}

/// Every kind of request about catalogues, and its bytes with the id 7 and the token `t\0k`.
pub(super) fn requests() -> Vec<(AccessRequest, &'static [u8])> {
    let short_text = |text: &str| ShortText::new(text).unwrap();
    let publish = |update, note: Option<&str>| AccessRequest::Publish {
        write: WRITE,
        group: lab(),
        part: InfoPart::new(4, 7, b"\xff\x00".to_vec()).unwrap(),
        update,
        note: note.map(|note| note.parse().unwrap()),
    };
    let list = |versions| AccessRequest::ListFiles {
        group: lab(),
        versions,
        after: None,
    };
    vec![
        (
            publish(false, None),
            b"d5:bytes2:\xff\x005:group3:lab2:idi7e6:offseti4e8:protocoli5e5:token3:t\0k5:totali7e4:type7:publish5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            publish(true, Some("n \u{fc}")),
            b"d5:bytes2:\xff\x005:group3:lab2:idi7e4:note4:n \xc3\xbc6:offseti4e8:protocoli5e5:token3:t\0k5:totali7e4:type7:publish6:updatei1e5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            list(false),
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type10:list_filese",
        ),
        (
            list(true),
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type10:list_files8:versionsi1ee",
        ),
        (
            AccessRequest::Metainfo {
                group: lab(),
                name: short_text("f \u{fc}"),
                offset: 9,
            },
            b"d5:group3:lab2:idi7e4:name4:f \xc3\xbc6:offseti9e8:protocoli5e5:token3:t\0k4:type8:metainfoe",
        ),
        (
            AccessRequest::FindVersion {
                group: lab(),
                name: short_text("f@3"),
            },
            b"d5:group3:lab2:idi7e4:name3:f@38:protocoli5e5:token3:t\0k4:type12:find_versione",
        ),
        (
            AccessRequest::Withdraw {
                write: WRITE,
                group: lab(),
                name: short_text("f"),
                seen: InfoHash([b'h'; 20]),
            },
            b"d5:group3:lab2:idi7e4:name1:f8:protocoli5e4:seen20:hhhhhhhhhhhhhhhhhhhh5:token3:t\0k4:type8:withdraw5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::Withdrawals {
                group: lab(),
                shares: vec![InfoHash([b'h'; 20])],
            },
            b"d5:group3:lab2:idi7e8:protocoli5e6:sharesl20:hhhhhhhhhhhhhhhhhhhhe5:token3:t\0k4:type11:withdrawalse",
        ),
    ]
}

/// The answers about catalogues, and the bytes of their replies with the id 7.
pub(super) fn replies() -> [(AccessAnswer, &'static [u8]); 4] {
    let entry = FileEntry {
        name: ShortText::new("f").unwrap(),
        version: 3,
        versions: 2,
        note: "n".parse().ok(),
        info_hash: InfoHash([b'h'; 20]),
        length: 9,
        publisher: "nik".parse().ok(),
        published_at: 5,
        complete: 1,
        partial: 2,
    };
    let page = ListPage {
        entries: vec![entry],
        next: ShortText::new("x"),
    };
    let part = MetainfoPart {
        part: InfoPart::new(0, 2, b"de".to_vec()).unwrap(),
        info_hash: InfoHash([b'h'; 20]),
        version: 3,
        share: ShortText::new("f").unwrap(),
        complete: 1,
        partial: 0,
    };
    [
        (
            AccessAnswer::Files { page, state: STATE },
            b"d7:entriesld2:ati5e8:completei1e9:info hash20:hhhhhhhhhhhhhhhhhhhh6:lengthi9e4:name1:f4:note1:n7:partiali2e9:publisher3:nik7:versioni3e8:versionsi2eee2:idi7e4:next1:x8:protocoli5e5:stated5:addedi3e5:endedi4e2:id16:iiiiiiiiiiiiiiii6:spreadi2000ee4:type5:filese",
        ),
        (
            AccessAnswer::Version(MeantVersion {
                info_hash: part.info_hash,
                version: part.version,
                share: part.share.clone(),
            }),
            b"d2:idi7e9:info hash20:hhhhhhhhhhhhhhhhhhhh8:protocoli5e5:share1:f4:type7:version7:versioni3ee",
        ),
        (
            AccessAnswer::Metainfo(part),
            b"d5:bytes2:de8:completei1e2:idi7e9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti0e7:partiali0e8:protocoli5e5:share1:f5:totali2e4:type8:metainfo7:versioni3ee",
        ),
        (
            AccessAnswer::Withdrawals(Withdrawals {
                group: GroupId([b'i'; 16]),
                withdrawn: vec![Withdrawal {
                    info_hash: InfoHash([b'h'; 20]),
                    age_ms: 9,
                }],
            }),
            b"d8:group id16:iiiiiiiiiiiiiiii2:idi7e8:protocoli5e4:type11:withdrawals9:withdrawnld3:agei9e9:info hash20:hhhhhhhhhhhhhhhhhhhheee",
        ),
    ]
}

#[test]
fn a_note_of_several_lines_is_refused() {
    let bytes = b"d5:bytes1:x5:group3:lab2:idi7e4:note3:a\nb6:offseti0e8:protocoli5e5:totali7e4:type7:publish5:write16:wwwwwwwwwwwwwwwwe";
    let refused = AccessRequestMessage::decode(bytes);
    assert_eq!(refused, Err(ControlError::WrongValue("note")));
}

#[test]
fn a_question_about_too_many_withdrawals_is_refused() {
    let ask = |count| AccessRequestMessage {
        id: 7,
        token: None,
        watch: false,
        ask: AccessRequest::Withdrawals {
            group: lab(),
            shares: vec![InfoHash([0; 20]); count],
        },
    };
    let read = |count| AccessRequestMessage::decode(&ask(count).encode());
    assert_eq!(read(MAX_WITHDRAWALS), Ok(ask(MAX_WITHDRAWALS)));
    let count = MAX_WITHDRAWALS + 1;
    assert_eq!(read(count), Err(ControlError::LongList(count)));
}

#[test]
fn trackers_that_count_the_peers_of_a_group_are_asked_for_its_catalogue_and_its_metainfo() {
    for (ask, _) in requests() {
        let is_asked = matches!(
            ask,
            AccessRequest::ListFiles { .. } | AccessRequest::Metainfo { .. }
        );
        let group = is_asked.then(lab);
        assert_eq!(ask.group_with_peer_counts(), group.as_ref(), "{ask:?}");
    }
}
