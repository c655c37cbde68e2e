//! Joins the parts of the info dictionary of a version of a share.

use super::MetainfoPart;
use crate::torrent::{InfoHash, Sha1};
use crate::wire::control::{InfoAssembly, PartError};

/// The parts that have arrived so far. They all belong to one version.
#[derive(Debug, Default)]
pub struct MetainfoAssembly {
    info: InfoAssembly,
    info_hash: Option<InfoHash>,
}

/// Why a part does not continue the dictionary, or the dictionary is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// The part belongs to another version than the part before: a new version was published, or
    /// another tracker answers. The next part must be the first one.
    #[error("the name means another version now than a moment ago; repeat the command")]
    OtherVersion,
    /// The part does not follow the previous part.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The dictionary does not have the info-hash of its parts.
    #[error("the info dictionary does not have the info-hash {0}")]
    Content(InfoHash),
}

impl MetainfoAssembly {
    /// Position of the first byte that has not arrived.
    pub fn offset(&self) -> u32 {
        self.info.offset()
    }

    /// The tracker refuses the request for the next part as one that cannot be right. If earlier
    /// parts have arrived, the name may now mean a version with a shorter dictionary: then drops
    /// them, and returns that the first part is to be requested again.
    pub fn begin_again(&mut self) -> bool {
        std::mem::take(self).offset() > 0
    }

    /// Adds the next part. If it is the last part of a dictionary, returns the bytes of the
    /// dictionary.
    ///
    /// # Errors
    /// See [`MetainfoError`]. After an error the assembly has no part.
    pub fn add(&mut self, part: &MetainfoPart) -> Result<Option<Vec<u8>>, MetainfoError> {
        let Self {
            mut info,
            info_hash,
        } = std::mem::take(self);
        if info_hash.is_some_and(|hash| hash != part.info_hash) {
            return Err(MetainfoError::OtherVersion);
        }
        let Some(whole) = info.add(&part.part)? else {
            let info_hash = Some(part.info_hash);
            *self = Self { info, info_hash };
            return Ok(None);
        };
        match InfoHash(Sha1::of(&whole).0) == part.info_hash {
            true => Ok(Some(whole)),
            false => Err(MetainfoError::Content(part.info_hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::ShortText;
    use crate::wire::control::{InfoPart, MAX_PART};

    fn part(info: &[u8], offset: u32) -> MetainfoPart {
        MetainfoPart {
            part: InfoPart::of(info, offset).unwrap(),
            info_hash: InfoHash(Sha1::of(info).0),
            version: 1,
            share: ShortText::new("f").unwrap(),
            complete: 1,
            partial: 0,
        }
    }

    #[test]
    fn after_a_refused_part_it_begins_again_unless_that_was_the_first() {
        let mut assembly = MetainfoAssembly::default();
        assert!(!assembly.begin_again());
        let old = vec![b'o'; MAX_PART + 5];
        assert_eq!(assembly.add(&part(&old, 0)), Ok(None));
        assert!(assembly.begin_again());
        assert_eq!(assembly.offset(), 0);
        assert!(!assembly.begin_again());
        // The new version has a shorter dictionary.
        assert_eq!(assembly.add(&part(b"de", 0)), Ok(Some(b"de".to_vec())));
    }

    #[test]
    fn parts_of_two_versions_are_not_joined_and_the_whole_has_its_info_hash() {
        let info = |byte| vec![byte; MAX_PART + 5];
        let (old, new) = (info(b'o'), info(b'n'));
        let mut assembly = MetainfoAssembly::default();
        assert_eq!(assembly.add(&part(&old, 0)), Ok(None));
        // A new version of the same length is published between the two requests.
        let second = part(&new, assembly.offset());
        assert_eq!(assembly.add(&second), Err(MetainfoError::OtherVersion));
        assert_eq!(assembly.offset(), 0, "it begins again");
        assert_eq!(assembly.add(&part(&new, 0)), Ok(None));
        let last = part(&new, assembly.offset());
        assert_eq!(assembly.add(&last), Ok(Some(new)));
        let wrong = MetainfoPart {
            info_hash: InfoHash([7; 20]),
            ..part(b"de", 0)
        };
        let error = MetainfoError::Content(InfoHash([7; 20]));
        assert_eq!(assembly.add(&wrong), Err(error));
        let early = MetainfoPart {
            part: InfoPart::new(4, 9, b"de".to_vec()).unwrap(),
            ..wrong
        };
        assert!(matches!(assembly.add(&early), Err(MetainfoError::Part(_))));
    }
}
