//! Versions and fields as text.

use crate::tracker::registry::{Register, RowId, Stamp, Version};

pub(super) fn version_and_account(field: &Register<RowId>) -> (String, String) {
    (version_text(field.version), field.value.to_string())
}

pub(super) fn version_text(version: Version) -> String {
    format!(
        "{}#{}",
        stamp_text(version.stamp),
        version.sequence.number()
    )
}

pub(super) fn stamp_text(stamp: Stamp) -> String {
    let (wall, counter, origin) = (stamp.wall(), stamp.counter(), stamp.origin());
    format!("{wall}.{counter}.{origin}")
}
