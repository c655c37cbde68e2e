//! Holders and mirrors as text.

use super::list::lines_of;
use crate::base::escape;
use crate::cli::holder_names::{not_seen, who};
use crate::cli::outcome::{AwaitedOutcome, HolderOutcome};
use crate::cli::units::{counted, duration, size};
use crate::wire::access::HolderEntry;
use std::time::Duration;

/// The lines of a result.
pub(super) fn outcome_lines(outcome: &HolderOutcome) -> Vec<String> {
    match outcome {
        HolderOutcome::Listed(holders) => {
            lines_of(holders, holder_line, "no machine has anything of it")
        }
        HolderOutcome::Waited(awaited) => awaited_lines(awaited),
    }
}

fn holder_line(entry: &HolderEntry) -> String {
    let silent = duration(Duration::from_millis(entry.silent_ms));
    let rate = match entry.rate {
        0 => String::new(),
        rate => format!("  {}/s", size(rate)),
    };
    let marks = [
        (entry.mirrors, "  mirror"),
        (entry.holder.is_here, "  this peer"),
        (entry.is_stale, "  silent"),
    ];
    let marks = marks.into_iter().filter(|(is_set, _)| *is_set);
    let marks: String = marks.map(|(_, mark)| mark).collect();
    format!(
        "{}  {}  {}%{rate}  seen {silent} ago{marks}",
        escape(entry.version.name.as_str()),
        who(&entry.holder),
        entry.percent(),
    )
}

fn awaited_lines(awaited: &AwaitedOutcome) -> Vec<String> {
    let count = awaited.holders.len();
    let have = if count == 1 { "has" } else { "have" };
    let newest = awaited.holders.iter().map(|entry| entry.version.number);
    let newer = match newest.max() {
        Some(newest) if newest > awaited.version.number => " or a newer version",
        _ => "",
    };
    let mut lines = vec![format!(
        "{} {have} {}{newer}",
        counted(count, "machine"),
        escape(awaited.version.name.as_str()),
    )];
    let left_out = awaited.left_out.iter().map(not_seen);
    lines.extend(left_out.map(|mirror| format!("not waited for: {mirror}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::holder_samples::{holder, mirror};

    #[test]
    fn a_line_shows_the_machine_and_what_is_special() {
        let mut entry = holder(1, 3, 55, 65_000);
        assert_eq!(
            holder_line(&entry),
            "f@3  host1 (user1)  45%  seen 1m 5s ago"
        );
        entry.rate = 2_048;
        (entry.mirrors, entry.is_stale, entry.holder.is_here) = (true, true, true);
        entry.holder.host = None;
        assert_eq!(
            holder_line(&entry),
            "f@3  user1  45%  2.0 KiB/s  seen 1m 5s ago  mirror  this peer  silent"
        );
    }

    #[test]
    fn a_wait_names_the_machines_for_which_it_did_not_wait() {
        let awaited = AwaitedOutcome {
            version: holder(1, 3, 0, 0).version,
            holders: vec![holder(1, 3, 0, 0), holder(2, 4, 0, 0)],
            left_out: vec![mirror(3, 7_200_000)],
        };
        assert_eq!(
            awaited_lines(&awaited),
            [
                "2 machines have f@3 or a newer version",
                "not waited for: host3 (user3), last seen 2h 0m ago"
            ]
        );
    }
}
