//! Versions and fields as text.

use crate::tracker::registry::{Register, RowId, Version};

pub(super) fn version_and_account(field: &Register<RowId>) -> (String, String) {
    (version_text(field.version), field.value.to_string())
}

pub(super) fn version_text(version: Version) -> String {
    let (stamp, sequence) = (version.stamp, version.sequence.number());
    let (wall, counter, origin) = (stamp.wall(), stamp.counter(), stamp.origin());
    format!("{wall}.{counter}.{origin}#{sequence}")
}
