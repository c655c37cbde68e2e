use super::*;
use crate::bencode;
use crate::torrent::NameError;
use crate::wire::frame;
use proptest::prelude::*;

fn name(name: &str) -> FileName {
    FileName::new(name).unwrap()
}

fn part(offset: u32, total: u32, bytes: &[u8]) -> InfoPart {
    InfoPart::new(offset, total, bytes.to_vec()).unwrap()
}

/// Every kind of request, and its bytes.
fn requests() -> Vec<(RunRequest, &'static [u8])> {
    let number = |number| ClientNumber::new(number).unwrap();
    vec![
        (
            RunRequest::Hello {
                client: number(12),
                port: NonZeroU16::new(6881).unwrap(),
            },
            b"d6:clienti12e2:idi7e4:porti6881e4:type5:helloe",
        ),
        (
            RunRequest::Hello {
                client: number(u32::MAX),
                port: NonZeroU16::MAX,
            },
            b"d6:clienti4294967295e2:idi7e4:porti65535e4:type5:helloe",
        ),
        (
            RunRequest::Own { parts: Vec::new() },
            b"d2:idi7e5:partsle4:type3:owne",
        ),
        (
            RunRequest::Own {
                parts: vec![part(0, 2, b"de"), part(4, 7, b"\xff\x00")],
            },
            b"d2:idi7e5:partsld5:bytes2:de6:offseti0e5:totali2eed5:bytes2:\xff\x006:offseti4e5:totali7eee4:type3:owne",
        ),
        (
            RunRequest::Want {
                names: vec![name("file1"), name("f\u{fc}nf")],
            },
            b"d2:idi7e5:namesl5:file15:f\xc3\xbcnfe4:type4:wante",
        ),
        (RunRequest::Reported, b"d2:idi7e4:type8:reportede"),
        (
            RunRequest::Lookup {
                name: name("file1"),
                offset: 524_288,
            },
            b"d2:idi7e4:name5:file16:offseti524288e4:type6:lookupe",
        ),
        (
            RunRequest::Owners {
                info_hash: InfoHash([b'h'; 20]),
            },
            b"d2:idi7e9:info hash20:hhhhhhhhhhhhhhhhhhhh4:type6:ownerse",
        ),
        (RunRequest::Ping, b"d2:idi7e4:type4:pinge"),
        (
            RunRequest::Complete {
                name: name("file1"),
            },
            b"d2:idi7e4:name5:file14:type8:completee",
        ),
        (
            RunRequest::Failed {
                name: name("file7"),
                reason: TextLine::new("no living owner"),
            },
            b"d2:idi7e4:name5:file76:reason15:no living owner4:type6:failede",
        ),
        (RunRequest::Finished, b"d2:idi7e4:type8:finishede"),
    ]
}

/// Every kind of notice, and its bytes.
fn notices() -> Vec<(RunNotice, &'static [u8])> {
    let answer = |answer| RunNotice::Answer { id: 7, answer };
    vec![
        (answer(RunAnswer::Ok), b"d2:idi7e4:type2:oke"),
        (
            answer(RunAnswer::Info {
                part: part(3, 9, b"xyz"),
            }),
            b"d5:bytes3:xyz2:idi7e6:offseti3e5:totali9e4:type4:infoe",
        ),
        (
            answer(RunAnswer::Owners {
                addresses: vec![
                    "1.2.3.4:258".parse().unwrap(),
                    "[::1]:65535".parse().unwrap(),
                ],
                whole: 1,
            }),
            b"d9:addressesl6:\x01\x02\x03\x04\x01\x0218:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xff\xffe2:idi7e4:type6:owners5:wholei1ee",
        ),
        (
            answer(RunAnswer::Error {
                kind: RunErrorKind::RunFull,
                message: TextLine::new("full"),
            }),
            b"d2:idi7e4:kind8:run-full7:message4:full4:type5:errore",
        ),
        (RunNotice::Release, b"d4:type7:releasee"),
        (
            RunNotice::End {
                failures: Vec::new(),
            },
            b"d8:failuresle4:type3:ende",
        ),
        (
            RunNotice::End {
                failures: vec![TextLine::new("client 2 is gone")],
            },
            b"d8:failuresl16:client 2 is gonee4:type3:ende",
        ),
    ]
}

#[test]
fn each_message_is_encoded_to_its_bytes_and_decoded_again() {
    for (ask, bytes) in requests() {
        let request = RunRequestMessage { id: 7, ask };
        assert_eq!(
            String::from_utf8_lossy(&request.encode()),
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(RunRequestMessage::decode(bytes), Ok(request));
    }
    for (notice, bytes) in notices() {
        assert_eq!(
            String::from_utf8_lossy(&notice.encode()),
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(RunNotice::decode(bytes), Ok(notice));
    }
    for &kind in RunErrorKind::ALL {
        assert_eq!(RunErrorKind::parse(kind.as_str()), Some(kind));
    }
}

#[test]
fn each_kind_of_bad_request_has_its_own_error() {
    use ControlError::{
        Bencode, ExtraKey, LongList, Missing, Name, NoDictionary, Part, UnknownType, WrongValue,
    };
    let long = format!("d2:idi7e5:namesl{}e4:type4:wante", "1:a".repeat(1001));
    let deep = "l".repeat(1000);
    let table: Vec<(&[u8], ControlError)> = vec![
        (b"", Bencode(bencode::Error::Truncated(0))),
        (deep.as_bytes(), Bencode(bencode::Error::TooDeep(64))),
        (
            b"d4:type4:ping2:idi7ee",
            Bencode(bencode::Error::Unsorted(13)),
        ),
        (
            b"d2:idi7e4:type4:pinge ",
            Bencode(bencode::Error::Trailing(21)),
        ),
        (b"le", NoDictionary),
        (b"de", Missing("type")),
        (b"d4:type4:pinge", Missing("id")),
        (b"d2:idi7e4:typei1ee", WrongValue("type")),
        (b"d2:idi7e4:type2:\xff\xffe", WrongValue("type")),
        (b"d2:idi-1e4:type4:pinge", WrongValue("id")),
        (b"d2:idi4294967296e4:type4:pinge", WrongValue("id")),
        (b"d2:id1:74:type4:pinge", WrongValue("id")),
        (b"d2:idi7e4:type2:oke", UnknownType("ok".into())),
        (b"d2:idi7e4:type4:ping1:xi0ee", ExtraKey("ping")),
        (b"d2:idi7e4:porti1e4:type5:helloe", Missing("client")),
        (
            b"d6:clienti0e2:idi7e4:porti1e4:type5:helloe",
            WrongValue("client"),
        ),
        (
            b"d6:clienti1e2:idi7e4:porti0e4:type5:helloe",
            WrongValue("port"),
        ),
        (
            b"d6:clienti1e2:idi7e4:porti65536e4:type5:helloe",
            WrongValue("port"),
        ),
        (b"d2:idi7e5:partsi0e4:type3:owne", WrongValue("parts")),
        (b"d2:idi7e5:partsli0ee4:type3:owne", NoDictionary),
        (
            b"d2:idi7e5:partsld5:bytes0:6:offseti0e5:totali0eee4:type3:owne",
            Part(PartError::Length(0)),
        ),
        (
            b"d2:idi7e5:partsld5:bytes1:x6:offseti4294967295e5:totali1eee4:type3:owne",
            Part(PartError::Outside(1)),
        ),
        (
            b"d2:idi7e5:partsld5:bytes1:x6:offseti0e5:totali16777217eee4:type3:owne",
            Part(PartError::TooLarge(16_777_217)),
        ),
        (
            b"d2:idi7e5:partsld5:bytes1:x6:offseti0e5:totali1e1:xi0eee4:type3:owne",
            ExtraKey("own"),
        ),
        (long.as_bytes(), LongList(1001)),
        (b"d2:idi7e5:namesli1ee4:type4:wante", WrongValue("names")),
        (
            b"d2:idi7e5:namesl2:..e4:type4:wante",
            Name(NameError::Dots("..".into())),
        ),
        (
            b"d2:idi7e4:name3:a/b4:type8:completee",
            Name(NameError::Separator("a/b".into())),
        ),
        (
            b"d2:idi7e9:info hash19:hhhhhhhhhhhhhhhhhhh4:type6:ownerse",
            WrongValue("info hash"),
        ),
        (
            b"d2:idi7e4:name1:a6:reason1:\n4:type6:failede",
            WrongValue("reason"),
        ),
    ];
    for (bytes, error) in table {
        let bytes_text = String::from_utf8_lossy(bytes);
        assert_eq!(RunRequestMessage::decode(bytes), Err(error), "{bytes_text}");
    }
}

#[test]
fn each_kind_of_bad_notice_has_its_own_error() {
    use ControlError::{ExtraKey, Missing, UnknownType, WrongValue};
    let table: Vec<(&[u8], ControlError)> = vec![
        (b"d2:idi7e4:type4:pinge", UnknownType("ping".into())),
        (b"d4:type2:oke", Missing("id")),
        (b"d2:idi7e4:type7:releasee", ExtraKey("release")),
        (
            b"d2:idi7e4:kind4:oops7:message1:x4:type5:errore",
            WrongValue("kind"),
        ),
        (
            b"d9:addressesl5:12345e2:idi7e4:type6:owners5:wholei0ee",
            WrongValue("addresses"),
        ),
        (
            b"d9:addressesl6:1234\0\0e2:idi7e4:type6:owners5:wholei0ee",
            WrongValue("addresses"),
        ),
        (
            b"d9:addressesl1:1e2:idi7e4:type6:owners5:wholei0ee",
            WrongValue("addresses"),
        ),
        (b"d8:failuresl1:\x1be4:type3:ende", WrongValue("failures")),
    ];
    for (bytes, error) in table {
        let bytes_text = String::from_utf8_lossy(bytes);
        assert_eq!(RunNotice::decode(bytes), Err(error), "{bytes_text}");
    }
}

#[test]
fn the_largest_messages_fit_into_a_frame() {
    let long = "\u{e9}".repeat(127);
    let full = RunRequestMessage {
        id: u32::MAX,
        ask: RunRequest::Want {
            names: vec![name(&long); MAX_PAGE],
        },
    };
    let end = RunNotice::End {
        failures: vec![TextLine::new(&"x".repeat(10_000)); MAX_PAGE],
    };
    let info = vec![0; 2 * MAX_PART];
    let part = RunRequestMessage {
        id: u32::MAX,
        ask: RunRequest::Own {
            parts: vec![InfoPart::of(&info, 0).unwrap()],
        },
    };
    for body in [full.encode(), end.encode(), part.encode()] {
        frame::encode(&body, MAX_FRAME, &mut Vec::new()).unwrap();
    }
}

proptest! {
    #[test]
    fn messages_in_frames_are_decoded_wherever_the_bytes_are_cut(
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let table = requests();
        let sent: Vec<RunRequestMessage> = order
            .iter()
            .zip(0..)
            .map(|(index, id)| RunRequestMessage { id, ask: index.get(&table).0.clone() })
            .collect();
        let mut bytes = Vec::new();
        for request in &sent {
            frame::encode(&request.encode(), MAX_FRAME, &mut bytes).unwrap();
        }
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        let (mut buffer, mut received) = (Vec::new(), Vec::new());
        for arrived in [first, second] {
            buffer.extend_from_slice(arrived);
            while let Some((body, rest)) = frame::decode(&buffer, MAX_FRAME).unwrap() {
                received.push(RunRequestMessage::decode(body).unwrap());
                buffer = rest.to_vec();
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn a_cut_message_is_an_error_and_every_accepted_message_is_canonical(
        index in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        (at, byte) in any::<(prop::sample::Index, u8)>(),
    ) {
        let table = requests();
        let mut bytes = index.get(&table).1.to_vec();
        prop_assert!(RunRequestMessage::decode(&bytes[..cut.index(bytes.len())]).is_err());
        *at.get_mut(&mut bytes) = byte;
        if let Ok(request) = RunRequestMessage::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(notice) = RunNotice::decode(&bytes) {
            prop_assert_eq!(notice.encode(), bytes);
        }
    }
}
