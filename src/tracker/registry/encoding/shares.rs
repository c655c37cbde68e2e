//! Rows of shares as bencode.
//!
//! | key | value |
//! |---|---|
//! | `group`, `publisher`, `info hash` | bytes |
//! | `name`, `note` | text; a row without a note has no such key |
//! | `length` | integer |
//! | `edition` | a field: the id of the share, the number, and the stamp of its claim to the name |
//! | `withdrawn` | a field |
//!
//! A first version has no `edition`: it follows from the id and from the creation.

use super::fields::{self, FieldReader};
use super::items::{account_field, field, stamp_item};
use super::{DecodeError, RowId, Version};
use crate::bencode::Item;
use crate::torrent::{FileName, InfoHash};
use crate::tracker::registry::{Edition, Register, Share};

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
        let Edition {
            first,
            since,
            number,
        } = &row.edition.value;
        let values = [
            Item::from(&first.0[..]),
            (*number).into(),
            stamp_item(*since),
        ];
        entries.push(("edition", field(&row.edition, values)));
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
) -> Result<Register<Edition>, DecodeError> {
    let wrong = || DecodeError::WrongValue("edition");
    let edition = fields.optional_register("edition", |[first, number, since]| {
        let number = u32::try_from(fields::number(number, "edition")?).ok();
        let since = since.bytes().and_then(fields::stamp);
        Ok(Edition {
            first: RowId(fields::array(first, "edition")?),
            since: since.ok_or_else(wrong)?,
            number: number.filter(|number| *number > 0).ok_or_else(wrong)?,
        })
    })?;
    match edition {
        None => Ok(Edition::first(id, created)),
        // Each row has one encoding.
        Some(edition) if edition.value.first == id => Err(wrong()),
        Some(edition) => Ok(edition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::{Origin, Row, Sequence, Stamp};

    fn row(first: u8) -> Row {
        let stamp = Stamp::new(9, 3, Origin([7; 16])).unwrap();
        let created = Version {
            stamp,
            sequence: Sequence::new(2).unwrap(),
        };
        let id = RowId([4; 16]);
        let edition = Edition {
            first: RowId([first; 16]),
            since: stamp,
            number: 7,
        };
        Row::Share(Share {
            id,
            group: RowId([2; 16]),
            publisher: RowId([1; 16]),
            created,
            name: FileName::new("f").unwrap(),
            info_hash: InfoHash([9; 20]),
            length: 7,
            note: "good".parse().ok(),
            edition: match first {
                4 => Edition::first(id, created),
                _ => Register::new(created, edition),
            },
            withdrawn: None,
        })
    }

    #[test]
    fn an_edition_has_one_encoding_and_its_values_are_checked() {
        let first = row(4).encode();
        let key = b"7:edition";
        assert!(!first.windows(9).any(|it| it == key), "it is left out");
        assert_eq!(Row::decode(&first), Ok(row(4)));
        let other = row(3).encode();
        assert_eq!(Row::decode(&other), Ok(row(3)));
        let with = |from: &[u8], to: &[u8]| {
            let at = other.windows(from.len()).position(|it| it == from).unwrap();
            let bytes = [&other[..at], to, &other[at + from.len()..]].concat();
            Row::decode(&bytes)
        };
        let wrong = |key| Err(DecodeError::WrongValue(key));
        let (number, note) = (&b"i7e28:"[..], &b"4:note4:good"[..]);
        let as_first = with(
            &[&b"16:"[..], &[3; 16]].concat(),
            &[&b"16:"[..], &[4; 16]].concat(),
        );
        assert_eq!(as_first, wrong("edition"), "a first version");
        assert_eq!(with(number, b"i0e28:"), wrong("edition"));
        assert_eq!(with(number, b"i4294967296e28:"), wrong("edition"));
        assert_eq!(with(number, b"28:"), wrong("edition"));
        assert_eq!(with(note, b"4:note4:go\nd"), wrong("note"));
        assert_eq!(with(note, b"4:note0:"), wrong("note"));
    }
}
