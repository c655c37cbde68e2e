use super::*;
use crate::bencode;
use crate::wire::control::MAX_PART;
use crate::wire::frame;
use proptest::prelude::*;

fn encoded(bytes: &[u8]) -> Encoded {
    Encoded::new(bytes.to_vec()).unwrap()
}

/// Every kind of message, and its bytes.
fn messages() -> Vec<(ReplicaMessage, &'static [u8])> {
    let info_hash = InfoHash([b'h'; 20]);
    vec![
        (
            ReplicaMessage::Hello {
                number: TrackerNumber::new(2).unwrap(),
                origin: [b'o'; 16],
                versions: encoded(b"le"),
                serving: true,
            },
            b"d6:numberi2e6:origin16:oooooooooooooooo8:protocoli4e7:servingi1e4:type5:hello8:versions2:lee",
        ),
        (
            ReplicaMessage::OtherHello {
                protocol: 7,
                number: TrackerNumber::new(2).unwrap(),
            },
            b"d6:numberi2e8:protocoli7e4:type5:helloe",
        ),
        (
            ReplicaMessage::Ping {
                clock: 1_700_000_000_000,
                versions: encoded(b"l\xffe"),
                serving: false,
            },
            b"d5:clocki1700000000000e7:servingi0e4:type4:ping8:versions3:l\xffee",
        ),
        (
            ReplicaMessage::Pong { echo: 0, clock: 7 },
            b"d5:clocki7e4:echoi0e4:type4:ponge",
        ),
        (
            ReplicaMessage::Pull {
                id: u32::MAX,
                known: encoded(b""),
            },
            b"d2:idi4294967295e5:known0:4:type4:pulle",
        ),
        (
            ReplicaMessage::Changes {
                id: 4,
                change: Some(encoded(b"de")),
                more: true,
            },
            b"d6:change2:de2:idi4e4:morei1e4:type7:changese",
        ),
        (
            ReplicaMessage::Changes {
                id: 5,
                change: None,
                more: false,
            },
            b"d2:idi5e4:morei0e4:type7:changese",
        ),
        (
            ReplicaMessage::Push {
                id: i64::MAX as u64,
                change: encoded(b"de"),
            },
            b"d6:change2:de2:idi9223372036854775807e4:type4:pushe",
        ),
        (ReplicaMessage::Pushed { id: 12 }, b"d2:idi12e4:type6:pushede"),
        (
            ReplicaMessage::WantBlob {
                info_hash,
                offset: 524_288,
            },
            b"d9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti524288e4:type9:want-blobe",
        ),
        (
            ReplicaMessage::Blob {
                info_hash,
                part: InfoPart::new(3, 9, b"xyz".to_vec()).unwrap(),
            },
            b"d5:bytes3:xyz9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti3e5:totali9e4:type4:blobe",
        ),
        (
            ReplicaMessage::NoBlob { info_hash },
            b"d9:info hash20:hhhhhhhhhhhhhhhhhhhh4:type7:no-blobe",
        ),
    ]
}

#[test]
fn each_message_is_encoded_to_its_bytes_and_decoded_again() {
    for (message, bytes) in messages() {
        assert_eq!(
            String::from_utf8_lossy(&message.encode()),
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(ReplicaMessage::decode(bytes), Ok(message));
    }
}

#[test]
fn each_kind_of_bad_message_has_its_own_error() {
    use ControlError::{Bencode, ExtraKey, Missing, NoDictionary, Part, UnknownType, WrongValue};
    let table: &[(&[u8], ControlError)] = &[
        (b"", Bencode(bencode::Error::Truncated(0))),
        (b"d2:idi1e4:type6:pushede ", Bencode(bencode::Error::Trailing(23))),
        (b"d4:type6:pushed2:idi1ee", Bencode(bencode::Error::Unsorted(15))),
        (b"i1e", NoDictionary),
        (b"de", Missing("type")),
        (b"d4:type6:helloxe", UnknownType("hellox".into())),
        (b"d4:type6:pushede", Missing("id")),
        (b"d2:idi-1e4:type6:pushede", WrongValue("id")),
        (b"d2:idi1e4:type6:pushed1:xi0ee", ExtraKey("pushed")),
        (b"d5:clocki-1e4:echoi0e4:type4:ponge", WrongValue("clock")),
        (b"d5:clocki1e4:echo1:14:type4:ponge", WrongValue("echo")),
        (b"d2:idi4294967296e5:known0:4:type4:pulle", WrongValue("id")),
        (b"d2:idi1e5:knowni1e4:type4:pulle", WrongValue("known")),
        (b"d2:idi1e4:morei2e4:type7:changese", WrongValue("more")),
        (b"d6:changei1e2:idi1e4:morei0e4:type7:changese", WrongValue("change")),
        (b"d2:idi1e4:type4:pushe", Missing("change")),
        (
            b"d6:numberi0e6:origin16:oooooooooooooooo8:protocoli4e7:servingi1e4:type5:hello8:versions2:lee",
            WrongValue("number"),
        ),
        (
            b"d6:numberi1e6:origin15:ooooooooooooooo8:protocoli4e7:servingi1e4:type5:hello8:versions2:lee",
            WrongValue("origin"),
        ),
        (
            b"d6:numberi1e6:origin16:oooooooooooooooo8:protocoli-1e7:servingi1e4:type5:hello8:versions2:lee",
            WrongValue("protocol"),
        ),
        (
            b"d6:numberi1e6:origin16:oooooooooooooooo8:protocoli4e7:servingi1e4:type5:helloe",
            Missing("versions"),
        ),
        (b"d9:info hash19:hhhhhhhhhhhhhhhhhhh4:type7:no-blobe", WrongValue("info hash")),
        (
            b"d9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti-1e4:type9:want-blobe",
            WrongValue("offset"),
        ),
        (
            b"d5:bytes0:9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti3e5:totali9e4:type4:blobe",
            Part(PartError::Length(0)),
        ),
        (
            b"d5:bytes1:x9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti9e5:totali9e4:type4:blobe",
            Part(PartError::Outside(9)),
        ),
        (
            b"d5:bytes1:x9:info hash20:hhhhhhhhhhhhhhhhhhhh6:offseti0e5:totali16777217e4:type4:blobe",
            Part(PartError::TooLarge(16_777_217)),
        ),
    ];
    for (bytes, error) in table {
        let bytes_text = String::from_utf8_lossy(bytes);
        assert_eq!(
            ReplicaMessage::decode(bytes),
            Err(error.clone()),
            "{bytes_text}"
        );
    }
}

#[test]
fn the_longest_messages_fit_into_a_frame_and_longer_ones_cannot_be_made() {
    assert_eq!(Encoded::new(vec![0; MAX_ENCODED + 1]), None);
    let longest = Encoded::new(vec![0xff; MAX_ENCODED]).unwrap();
    let messages = [
        ReplicaMessage::Hello {
            number: TrackerNumber::MAX,
            origin: [0xff; 16],
            versions: longest.clone(),
            serving: true,
        },
        ReplicaMessage::Changes {
            id: u32::MAX,
            change: Some(longest.clone()),
            more: true,
        },
        ReplicaMessage::Push {
            id: i64::MAX as u64,
            change: longest,
        },
        ReplicaMessage::blob(InfoHash([1; 20]), 0, Some(&vec![0; MAX_PART + 1])).unwrap(),
    ];
    for message in messages {
        let mut out = Vec::new();
        frame::encode(&message.encode(), MAX_FRAME, &mut out).unwrap();
    }
}

#[test]
fn a_blob_is_sent_in_parts() {
    let info_hash = InfoHash([1; 20]);
    let none = ReplicaMessage::blob(info_hash, 0, None).unwrap();
    assert_eq!(none, ReplicaMessage::NoBlob { info_hash });
    let part = InfoPart::new(1, 3, vec![8, 9]).unwrap();
    let found = ReplicaMessage::blob(info_hash, 1, Some(&[7, 8, 9])).unwrap();
    assert_eq!(found, ReplicaMessage::Blob { info_hash, part });
    assert!(ReplicaMessage::blob(info_hash, 3, Some(&[7, 8, 9])).is_err());
}

#[test]
fn debug_output_does_not_show_rows() {
    let push = ReplicaMessage::Push {
        id: 1,
        change: encoded(b"$argon2id$secret"),
    };
    assert_eq!(
        format!("{push:?}"),
        "Push { id: 1, change: Encoded(16 bytes) }"
    );
}

proptest! {
    #[test]
    fn decoding_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ReplicaMessage::decode(&bytes);
    }

    #[test]
    fn a_cut_message_is_an_error_and_every_accepted_message_is_canonical(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let all = messages();
        let (_, bytes) = &all[which.index(all.len())];
        let at = at.index(bytes.len());
        prop_assert!(ReplicaMessage::decode(&bytes[..at]).is_err());
        let mut changed = bytes.to_vec();
        changed[at] = byte;
        // A message of another version may have fields that are not read.
        if let Ok(message) = ReplicaMessage::decode(&changed)
            && !matches!(message, ReplicaMessage::OtherHello { .. })
        {
            prop_assert_eq!(message.encode(), changed);
        }
    }
}
