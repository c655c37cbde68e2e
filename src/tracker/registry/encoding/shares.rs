//! Rows of shares as bencode.
//!
//! | key | value |
//! |---|---|
//! | `group`, `publisher`, `info hash` | bytes |
//! | `name`, `note` | text; a row without a note has no such key |
//! | `length` | integer |
//! | `first`, `number`, `since` | the edition: the id of the share, an integer, and a stamp |
//! | `withdrawn` | a field |
//!
//! A first version has no key of its edition: it follows from the id and from the creation.

use super::fields::{self, FieldReader};
use super::items::{account_field, stamp_item};
use super::{DecodeError, RowId, Version};
use crate::bencode::Item;
use crate::torrent::{FileName, InfoHash};
use crate::tracker::registry::{Edition, Share};

pub(super) fn share_entries(row: &Share) -> Vec<(&'static str, Item<'_>)> {
    let mut entries = vec![
        ("group", Item::from(&row.group.0[..])),
        ("publisher", Item::from(&row.publisher.0[..])),
        ("name", row.name.as_str().into()),
        ("info hash", Item::from(&row.info_hash.0[..])),
        ("length", row.length.into()),
    ];
    let note = row.note.as_ref();
    entries.extend(note.map(|note| ("note", note.as_str().into())));
    if !row.is_first_version() {
        let edition = &row.edition;
        entries.extend([
            ("first", Item::from(&edition.first.0[..])),
            ("number", edition.number.into()),
            ("since", stamp_item(edition.since)),
        ]);
    }
    let withdrawn = row.withdrawn.as_ref();
    entries.extend(withdrawn.map(|it| ("withdrawn", account_field(it))));
    entries
}

pub(super) fn read_share(
    id: RowId,
    created: Version,
    fields: &mut FieldReader<'_>,
) -> Result<Share, DecodeError> {
    Ok(Share {
        id,
        group: RowId(fields.array("group")?),
        publisher: RowId(fields.array("publisher")?),
        created,
        name: FileName::new(fields.text("name")?)?,
        info_hash: InfoHash(fields.array("info hash")?),
        length: fields.number("length")?,
        note: fields.optional_parsed("note", |text| text.parse().ok())?,
        edition: read_edition(id, created, fields)?,
        withdrawn: fields.optional_row_id("withdrawn")?,
    })
}

fn read_edition(
    id: RowId,
    created: Version,
    fields: &mut FieldReader<'_>,
) -> Result<Edition, DecodeError> {
    let of_first = Edition::first(id, created);
    let Some(first) = fields.optional_array("first")? else {
        return Ok(of_first);
    };
    let number = u32::try_from(fields.number("number")?).ok();
    let number = number.filter(|number| *number > 0);
    let since = fields.optional_parsed_value("since", |it| it.bytes().and_then(fields::stamp))?;
    let edition = Edition {
        first: RowId(first),
        since: since.ok_or(DecodeError::Missing("since"))?,
        number: number.ok_or(DecodeError::WrongValue("number"))?,
    };
    // Each row has one encoding.
    match edition == of_first {
        true => Err(DecodeError::WrongValue("first")),
        false => Ok(edition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::{Origin, Row, Sequence, Stamp};

    fn row(number: u32) -> Row {
        let stamp = Stamp::new(9, 3, Origin([7; 16])).unwrap();
        let created = Version {
            stamp,
            sequence: Sequence::new(2).unwrap(),
        };
        let edition = Edition {
            first: RowId([4; 16]),
            since: stamp,
            number,
        };
        Row::Share(Share {
            id: RowId([4; 16]),
            group: RowId([2; 16]),
            publisher: RowId([1; 16]),
            created,
            name: FileName::new("f").unwrap(),
            info_hash: InfoHash([9; 20]),
            length: 7,
            note: "good".parse().ok(),
            edition,
            withdrawn: None,
        })
    }

    #[test]
    fn an_edition_has_one_encoding_and_its_values_are_checked() {
        let first = row(1).encode();
        assert!(
            !first.windows(7).any(|key| key == b"5:first"),
            "it is left out"
        );
        assert_eq!(Row::decode(&first), Ok(row(1)));
        let other = row(7).encode();
        assert_eq!(Row::decode(&other), Ok(row(7)));
        let with = |from: &[u8], to: &[u8]| {
            let at = other.windows(from.len()).position(|it| it == from).unwrap();
            let bytes = [&other[..at], to, &other[at + from.len()..]].concat();
            Row::decode(&bytes)
        };
        let wrong = |key| Err(DecodeError::WrongValue(key));
        let (number, note) = (&b"6:numberi7e"[..], &b"4:note4:good"[..]);
        assert_eq!(
            with(number, b"6:numberi1e"),
            wrong("first"),
            "a first version"
        );
        assert_eq!(with(number, b"6:numberi0e"), wrong("number"));
        assert_eq!(with(number, b"6:numberi4294967296e"), wrong("number"));
        assert_eq!(with(number, b""), Err(DecodeError::Missing("number")));
        assert_eq!(with(note, b"4:note4:go\nd"), wrong("note"));
        assert_eq!(with(note, b"4:note0:"), wrong("note"));
    }
}
