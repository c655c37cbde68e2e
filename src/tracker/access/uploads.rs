//! Info dictionaries that peers upload in parts.
//!
//! Each account has at most one upload. So the parts of an upload may arrive over several
//! connections, and a user with many logins takes only one of the [`MAX_UPLOADS`] places. The
//! number of uploads and the time between two parts are bounded, which bounds the memory. A
//! dictionary that arrives in one part needs no place.

use crate::system::lock;
use crate::tracker::registry::{Label, RowId};
use crate::wire::control::{InfoAssembly, InfoPart, PartError};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// The maximum number of uploads under way. Each has at most 16 MiB.
const MAX_UPLOADS: usize = 8;
/// An upload is dropped after this time without a new part.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A new upload may replace one that has received no part for this time. A peer normally sends one
/// part right after the other.
const REPLACEABLE_AFTER: Duration = Duration::from_secs(3);

/// The uploads under way, by account.
#[derive(Debug, Default)]
pub(super) struct InfoUploads(Mutex<HashMap<RowId, Upload>>);

#[derive(Debug)]
struct Upload {
    group: Label,
    assembly: InfoAssembly,
    last_part: Duration,
}

/// Why a part was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadError {
    /// Too many uploads are under way.
    #[error("too many shares are being published at once; try again in a moment")]
    Busy,
    /// The part does not continue the one before it.
    #[error(transparent)]
    Part(#[from] PartError),
}

impl InfoUploads {
    /// Adds the next part of the dictionary that an account uploads for `group`. Returns the whole
    /// dictionary after the last part. A first part starts a new upload. After an error the upload
    /// is dropped.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub(super) fn add(
        &self,
        account: RowId,
        group: &Label,
        part: &InfoPart,
        now: Duration,
    ) -> Result<Option<Vec<u8>>, UploadError> {
        let mut uploads = lock(&self.0);
        uploads.retain(|_, upload| now.saturating_sub(upload.last_part) < UPLOAD_TIMEOUT);
        let before = uploads.remove(&account);
        let continued = before.filter(|before| before.group == *group && part.offset() > 0);
        let mut upload = continued.unwrap_or_else(|| Upload {
            group: group.clone(),
            assembly: InfoAssembly::new(),
            last_part: now,
        });
        upload.last_part = now;
        let whole = upload.assembly.add(part)?;
        if whole.is_none() {
            if uploads.len() >= MAX_UPLOADS {
                make_room(&mut uploads, now)?;
            }
            uploads.insert(account, upload);
        }
        Ok(whole)
    }
}

/// Drops the upload that has received no part for the longest time, if [`REPLACEABLE_AFTER`] has
/// passed.
fn make_room(uploads: &mut HashMap<RowId, Upload>, now: Duration) -> Result<(), UploadError> {
    let oldest = uploads.iter().min_by_key(|(_, upload)| upload.last_part);
    let idle =
        oldest.filter(|(_, upload)| now.saturating_sub(upload.last_part) >= REPLACEABLE_AFTER);
    let account = idle.map(|(account, _)| *account).ok_or(UploadError::Busy)?;
    uploads.remove(&account);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: u32, total: u32, bytes: &[u8]) -> InfoPart {
        InfoPart::new(offset, total, bytes.to_vec()).unwrap()
    }

    #[test]
    fn parts_in_order_make_a_whole_and_a_first_part_restarts_the_upload() {
        let uploads = InfoUploads::default();
        let group: Label = "lab".parse().unwrap();
        let add = |account, part: &InfoPart| {
            uploads.add(RowId([account; 16]), &group, part, Duration::ZERO)
        };
        assert_eq!(add(1, &part(0, 4, b"ab")), Ok(None));
        assert_eq!(add(2, &part(0, 2, b"xy")), Ok(Some(b"xy".to_vec())));
        assert_eq!(add(1, &part(0, 4, b"cd")), Ok(None));
        assert_eq!(add(1, &part(2, 4, b"ef")), Ok(Some(b"cdef".to_vec())));
        assert!(matches!(
            add(1, &part(2, 4, b"ef")),
            Err(UploadError::Part(_))
        ));
    }

    #[test]
    fn uploads_are_bounded_and_an_idle_one_is_replaced() {
        let uploads = InfoUploads::default();
        let group: Label = "lab".parse().unwrap();
        let add = |account, now| uploads.add(RowId([account; 16]), &group, &part(0, 4, b"ab"), now);
        for account in 0..MAX_UPLOADS as u8 {
            assert_eq!(add(account, Duration::ZERO), Ok(None));
        }
        assert_eq!(add(99, Duration::ZERO), Err(UploadError::Busy));
        let whole = uploads.add(RowId([99; 16]), &group, &part(0, 1, b"a"), Duration::ZERO);
        assert_eq!(whole, Ok(Some(b"a".to_vec())), "one part needs no place");
        assert_eq!(add(0, REPLACEABLE_AFTER), Ok(None), "restarts its upload");
        assert_eq!(
            add(99, REPLACEABLE_AFTER),
            Ok(None),
            "replaces an idle upload"
        );
        let uploads = uploads.0.lock().unwrap();
        assert_eq!(uploads.len(), MAX_UPLOADS);
        assert!(uploads.contains_key(&RowId([0; 16])));
    }
}
