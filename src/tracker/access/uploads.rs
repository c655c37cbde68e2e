//! Info dictionaries that peers upload in parts.
//!
//! Each account has at most one upload. So the parts of an upload may arrive over several
//! connections, and a user with many logins has only one upload. An upload promises the length of
//! its dictionary with the first part. The sum of the promised lengths is bounded, and so the
//! memory is bounded. If a new upload does not fit, the slowest upload is dropped. So an upload
//! that is idle or slow cannot keep a faster upload out. A dictionary that arrives in one part does
//! not count as an upload.

use crate::system::lock;
use crate::tracker::registry::{Label, RowId};
use crate::wire::control::{InfoAssembly, InfoPart, PartError};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// The maximum sum of the promised lengths of all uploads under way: enough for eight of the
/// longest dictionaries.
const MAX_PROMISED: u64 = 128 << 20;
/// The maximum number of uploads under way.
const MAX_UPLOADS: usize = 64;
/// The minimum length of a part that is not the last part. Our peers send parts of 512 KiB.
const MIN_PART: usize = 64 << 10;
/// An upload is dropped after this time without a new part.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// This time is added to the time of an upload when its rate is calculated. So a new upload, which
/// has taken no time yet, has a rate too.
const FIRST_PART_TIME: Duration = Duration::from_secs(1);

/// The uploads under way, by account.
#[derive(Debug, Default)]
pub(super) struct InfoUploads(Mutex<HashMap<RowId, Upload>>);

#[derive(Debug)]
struct Upload {
    group: Label,
    assembly: InfoAssembly,
    /// The length of the dictionary.
    promised: u32,
    /// The bytes that have arrived.
    received: u32,
    /// When the account began to upload. If the account begins again, this time stays the same, so
    /// that the upload does not look fast.
    began: Duration,
    /// When the last part arrived.
    last_part: Duration,
}

/// Why a part was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadError {
    /// There is no room for the upload, and all other uploads are at least as fast.
    #[error("too many shares are being published at once; try again in a moment")]
    Busy,
    /// The part has fewer than [`MIN_PART`] bytes, and is not the last part.
    #[error(
        "a part of an info dictionary has {0} bytes; every part except the last one must have at \
         least {MIN_PART}"
    )]
    Short(usize),
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
        if part.end() < part.total() && part.bytes().len() < MIN_PART {
            return Err(UploadError::Short(part.bytes().len()));
        }
        let began = before.as_ref().map_or(now, |before| before.began);
        let continued = before.filter(|before| before.group == *group && part.offset() > 0);
        let mut upload = continued.unwrap_or_else(|| Upload {
            group: group.clone(),
            assembly: InfoAssembly::new(),
            promised: part.total(),
            received: 0,
            began,
            last_part: now,
        });
        upload.last_part = now;
        upload.received = part.end();
        let whole = upload.assembly.add(part)?;
        if whole.is_none() {
            uploads.insert(account, upload);
            while !are_within_limits(&uploads) {
                let slowest = uploads.iter().min_by_key(|(_, upload)| upload.rate(now));
                let slowest = slowest.map(|(account, _)| *account).unwrap_or(account);
                uploads.remove(&slowest);
                if slowest == account {
                    return Err(UploadError::Busy);
                }
            }
        }
        Ok(whole)
    }
}

impl Upload {
    /// Bytes per second since the account began to upload.
    fn rate(&self, now: Duration) -> u64 {
        let time = now.saturating_sub(self.began) + FIRST_PART_TIME;
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        u64::from(self.received) * 1000 / milliseconds.max(1)
    }
}

/// Whether the number and the promised lengths of the uploads are within the limits.
fn are_within_limits(uploads: &HashMap<RowId, Upload>) -> bool {
    let promised = uploads.values().map(|upload| u64::from(upload.promised));
    uploads.len() <= MAX_UPLOADS && promised.sum::<u64>() <= MAX_PROMISED
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u32 = MIN_PART as u32;
    const LONGEST: u32 = 16 << 20;

    fn part(offset: u32, total: u32, bytes: &[u8]) -> InfoPart {
        InfoPart::new(offset, total, bytes.to_vec()).unwrap()
    }

    /// A part of the longest dictionary. Its length is `count` times [`MIN_PART`].
    fn long_part(offset: u32, count: u32) -> InfoPart {
        part(offset, LONGEST, &vec![0; (count * PART) as usize])
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    struct TestUploads(InfoUploads);

    impl TestUploads {
        fn add(
            &self,
            account: u8,
            part: &InfoPart,
            now: Duration,
        ) -> Result<Option<Vec<u8>>, UploadError> {
            let group: Label = "lab".parse().unwrap();
            self.0.add(RowId([account; 16]), &group, part, now)
        }

        fn has(&self, account: u8) -> bool {
            lock(&self.0.0).contains_key(&RowId([account; 16]))
        }
    }

    #[test]
    fn parts_in_order_make_a_whole_and_a_first_part_restarts_the_upload() {
        let uploads = TestUploads(InfoUploads::default());
        let (first, second) = (vec![b'a'; MIN_PART], vec![b'b'; MIN_PART]);
        let add = |account, part: &InfoPart| uploads.add(account, part, Duration::ZERO);
        assert_eq!(add(1, &part(0, PART + 2, &first)), Ok(None));
        assert_eq!(add(2, &part(0, 2, b"xy")), Ok(Some(b"xy".to_vec())));
        assert_eq!(add(1, &part(0, PART + 2, &second)), Ok(None));
        let whole = [second, b"ef".to_vec()].concat();
        let last = part(PART, PART + 2, b"ef");
        assert_eq!(add(1, &last), Ok(Some(whole)));
        assert!(matches!(add(1, &last), Err(UploadError::Part(_))));
        assert_eq!(add(1, &part(0, 4, b"ab")), Err(UploadError::Short(2)));
    }

    #[test]
    fn the_promised_bytes_are_bounded_and_the_slowest_upload_gives_way() {
        let uploads = TestUploads(InfoUploads::default());
        for account in 0..8 {
            assert_eq!(uploads.add(account, &long_part(0, 2), at(0)), Ok(None));
        }
        // Seven uploads are slow. The eighth one begins again, which does not make it faster.
        for account in 0..7 {
            let next = long_part(2 * PART, 1);
            assert_eq!(uploads.add(account, &next, at(2_900)), Ok(None));
        }
        assert_eq!(uploads.add(7, &long_part(0, 2), at(2_900)), Ok(None));
        assert_eq!(uploads.add(99, &long_part(0, 8), at(2_900)), Ok(None));
        assert!(uploads.has(99) && !uploads.has(7));
        for number in 1..32 {
            let next = long_part(number * 8 * PART, 8);
            let added = uploads.add(99, &next, at(2_900));
            assert_eq!(added.unwrap().is_some(), number == 31, "part {number}");
        }
    }

    #[test]
    fn an_upload_that_is_slower_than_all_others_is_refused() {
        let uploads = TestUploads(InfoUploads::default());
        for account in 0..8 {
            assert_eq!(uploads.add(account, &long_part(0, 8), at(0)), Ok(None));
        }
        assert_eq!(
            uploads.add(99, &long_part(0, 1), at(0)),
            Err(UploadError::Busy)
        );
        assert!((0..8).all(|account| uploads.has(account)));
        let whole = uploads.add(99, &part(0, 1, b"a"), at(0));
        assert_eq!(
            whole,
            Ok(Some(b"a".to_vec())),
            "a single part needs no room"
        );
        // An upload is dropped after 30 s without a new part.
        assert_eq!(uploads.add(99, &long_part(0, 1), at(30_000)), Ok(None));
        assert!(uploads.has(99) && (0..8).all(|account| !uploads.has(account)));
    }

    #[test]
    fn the_number_of_uploads_is_bounded() {
        let uploads = TestUploads(InfoUploads::default());
        let small = |size: u32| part(0, 2 * PART, &vec![0; size as usize]);
        for account in 0..MAX_UPLOADS as u8 {
            assert_eq!(uploads.add(account, &small(PART), at(0)), Ok(None));
        }
        let faster = uploads.add(99, &small(PART + 1), at(0));
        assert_eq!(faster, Ok(None));
        assert_eq!(lock(&uploads.0.0).len(), MAX_UPLOADS);
    }
}
