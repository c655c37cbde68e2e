//! Mirrors as text.

use super::download::in_parentheses;
use crate::base::escape;
use crate::cli::outcome::MirrorOutcome;
use crate::cli::units::counted;
use crate::peer::{MirrorFailure, MirrorStatus};

/// The largest number of shares of one kind that `status` names for a mirror.
const MAX_NAMED: usize = 20;

/// The lines of a command about mirrors.
pub(super) fn mirror_lines(outcome: &MirrorOutcome) -> Vec<String> {
    match outcome {
        MirrorOutcome::Begun(begun) => vec![format!(
            "mirroring {} into {}  the group has {}",
            begun.group,
            escape(&begun.folder.to_string_lossy()),
            counted(begun.shares, "share"),
        )],
        MirrorOutcome::Confirmed { group, shares } => vec![format!(
            "the mirror of {group} removes {}",
            counted(shares.len(), "withdrawn share"),
        )],
        MirrorOutcome::Ended { group, folder } => vec![format!(
            "{group} is no longer mirrored; its shares stay in {} and are served",
            escape(&folder.to_string_lossy()),
        )],
    }
}

/// The lines of a mirror in `status`: the mirror, then what waits, fails or stays.
pub(super) fn status_lines(mirror: &MirrorStatus) -> Vec<String> {
    let progress = match mirror.shares {
        Some(shares) => format!(
            "{} of {} complete",
            mirror.complete,
            counted(shares, "share")
        ),
        None => "its shares are not known yet".to_owned(),
    };
    let mut lines = vec![format!(
        "mirror {}  {progress}  {}{}",
        mirror.group,
        escape(&mirror.folder.to_string_lossy()),
        in_parentheses(mirror.trouble.as_deref())
    )];
    let group = &mirror.group;
    let waits = mirror.waits.iter();
    lines.extend(waits.map(|text| format!("mirror {group} waits: {}", escape(text))));
    let names = mirror.to_confirm.iter().take(MAX_NAMED);
    lines.extend(names.map(|name| format!("mirror {group} would remove: {}", escape(name))));
    let failures = mirror.failures.iter().take(MAX_NAMED);
    lines.extend(failures.map(|failure| failure_line(group, failure)));
    let left = mirror.left.iter().take(MAX_NAMED);
    lines.extend(left.map(|path| {
        let path = path.to_string_lossy();
        format!(
            "mirror {group} has left {}: it was withdrawn, and files in it were changed or added here",
            escape(&path)
        )
    }));
    lines
}

fn failure_line(group: &str, failure: &MirrorFailure) -> String {
    let again = match failure.again_in.as_secs() {
        0 => "it is tried again now".to_owned(),
        seconds => format!("it is tried again in {seconds} s"),
    };
    format!(
        "mirror {group} has trouble with {}: {}; {}, {again}",
        escape(&failure.name),
        escape(&failure.reason),
        counted(failure.attempts as usize, "attempt")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn everything_that_waits_fails_or_stays_has_a_line() {
        let mirror = MirrorStatus {
            group: "lab".into(),
            user: "nik".into(),
            folder: "/srv/lab".into(),
            shares: Some(3),
            complete: 1,
            trouble: Some("no\n".into()),
            waits: vec!["why".into()],
            to_confirm: vec!["a\u{1b}".into()],
            failures: vec![MirrorFailure {
                name: "b".into(),
                reason: "disk".into(),
                attempts: 2,
                again_in: Duration::from_millis(9_900),
            }],
            left: vec!["/srv/lab/c".into()],
        };
        assert_eq!(
            status_lines(&mirror),
            [
                "mirror lab  1 of 3 shares complete  /srv/lab  (no\\n)",
                "mirror lab waits: why",
                "mirror lab would remove: a\\u{1b}",
                "mirror lab has trouble with b: disk; 2 attempts, it is tried again in 9 s",
                "mirror lab has left /srv/lab/c: it was withdrawn, and files in it were changed or \
                 added here",
            ]
        );
        let unknown = MirrorStatus {
            shares: None,
            trouble: None,
            waits: Vec::new(),
            to_confirm: Vec::new(),
            failures: Vec::new(),
            left: Vec::new(),
            ..mirror
        };
        let line = "mirror lab  its shares are not known yet  /srv/lab";
        assert_eq!(status_lines(&unknown), [line]);
    }
}
