//! Mirrors as JSON objects.

use super::value::{JsonValue, list, object, plain};
use crate::cli::outcome::MirrorOutcome;
use crate::peer::{MirrorFailure, MirrorStatus};

/// The fields after `ok` of a command about mirrors.
pub(super) fn mirror_fields(outcome: &MirrorOutcome) -> Vec<(&str, JsonValue<'_>)> {
    match outcome {
        MirrorOutcome::Begun(begun) => vec![
            ("group", plain(&*begun.group)),
            ("folder", plain(begun.folder.to_string_lossy())),
            ("shares", plain(begun.shares)),
        ],
        MirrorOutcome::Confirmed { group, shares } => vec![
            ("group", plain(&**group)),
            ("removed", list(shares, |name| plain(&**name))),
        ],
        MirrorOutcome::Ended { group, folder } => vec![
            ("group", plain(&**group)),
            ("folder", plain(folder.to_string_lossy())),
        ],
    }
}

/// A mirror in `status`.
pub(super) fn mirror(mirror: &MirrorStatus) -> JsonValue<'_> {
    object([
        ("group", plain(&*mirror.group)),
        ("user", plain(&*mirror.user)),
        ("folder", plain(mirror.folder.to_string_lossy())),
        ("shares", plain(mirror.shares)),
        ("complete", plain(mirror.complete)),
        ("trouble", plain(mirror.trouble.as_deref())),
        ("waits", list(&mirror.waits, |text| plain(&**text))),
        (
            "to_confirm",
            list(&mirror.to_confirm, |name| plain(&**name)),
        ),
        ("failures", list(&mirror.failures, failure)),
        (
            "left",
            list(&mirror.left, |path| plain(path.to_string_lossy())),
        ),
    ])
}

fn failure(failure: &MirrorFailure) -> JsonValue<'_> {
    object([
        ("name", plain(&*failure.name)),
        ("reason", plain(&*failure.reason)),
        ("attempts", plain(failure.attempts)),
        ("again_in", plain(failure.again_in.as_secs())),
    ])
}
