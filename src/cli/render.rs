//! Results of commands as text.
//!
//! In scope: lines, numbers with units, names that are safe for a terminal. Out of scope: JSON
//! (`json`) and progress bars (`progress`).

mod account;
mod download;
mod holder;
mod list;
mod machine;
mod mirror;
mod status;

pub(super) use account::{news_lines, time};
pub(super) use download::{download_line, download_line_with_trouble, pace, percent};

use super::commands::{AREAS, CommandEntry};
use super::outcome::CommandOutcome;
use super::units::{counted, size};
use super::wrap;
use crate::base::escape;
use crate::peer::{
    DownloadPreview, DownloadState, DownloadStatus, LinkStatus, Repair, SharedFile, Started,
    TakenOver, Uploaded, Verified,
};
use list::lines_of;
use status::status_lines;

/// The largest number of empty folders that a note names.
const MAX_NAMED_FOLDERS: usize = 10;

/// The lines of a command's result. Help is wrapped to `columns`.
pub(super) fn outcome_lines(outcome: &CommandOutcome, columns: usize) -> Vec<String> {
    match outcome {
        CommandOutcome::Sent(sent) => vec![format!(
            "sharing {}  {}  {}  info-hash {}  torrent {}",
            escape(&sent.share.name),
            size(sent.share.length),
            counted(sent.share.pieces, "piece"),
            sent.share.info_hash,
            escape(&sent.torrent.to_string_lossy()),
        )],
        CommandOutcome::Started(started) => vec![
            format!(
                "{} {}  info-hash {}  {} {}",
                if started.already {
                    "already here:"
                } else {
                    "downloading"
                },
                escape(&started.name),
                started.info_hash,
                if started.already { "at" } else { "to" },
                escape(&started.path.to_string_lossy()),
            ) + &started_version(started),
        ],
        CommandOutcome::Preview(preview) => vec![preview_line(preview)],
        CommandOutcome::Verified(verified) => verified_lines(verified),
        CommandOutcome::Downloads(downloads) => {
            lines_of(downloads, download_line_with_trouble, "no downloads")
        }
        CommandOutcome::Waited(downloads) => {
            lines_of(downloads, complete_line, "no downloads to wait for")
        }
        CommandOutcome::Links(links) => lines_of(links, link_line, "no links to other peers"),
        CommandOutcome::Cancelled(name) => vec![format!("cancelled {}", escape(name))],
        CommandOutcome::Status(status) => status_lines(status),
        CommandOutcome::Help(None) => help_lines(columns),
        CommandOutcome::Help(Some(entry)) => command_help_lines(entry, columns),
        CommandOutcome::Account(outcome) => account::outcome_lines(outcome),
        CommandOutcome::Machine(outcome) => machine::machine_lines(outcome),
        CommandOutcome::Mirror(outcome) => mirror::mirror_lines(outcome),
        CommandOutcome::Uploaded(uploaded) => vec![format!(
            "sharing {}  {}  {}  info-hash {}{}",
            escape(&uploaded.share.name),
            size(uploaded.share.length),
            counted(uploaded.share.pieces, "piece"),
            uploaded.share.info_hash,
            uploaded_version(uploaded),
        )],
        CommandOutcome::Content(content) => content.files.iter().map(content_line).collect(),
        CommandOutcome::Files(files) => {
            lines_of(files, account::file_line, "the group shares nothing")
        }
        CommandOutcome::Holder(outcome) => holder::outcome_lines(outcome),
        CommandOutcome::Exported(exported) => account::exported_lines(exported),
        CommandOutcome::StoppedShare(name, withdrawn) => vec![format!(
            "stopped sharing {}{}",
            escape(name),
            if *withdrawn {
                "; removed it from the catalogue"
            } else {
                ""
            },
        )],
        CommandOutcome::Quit => Vec::new(),
    }
}

/// What `verify` has found.
fn verified_lines(verified: &Verified) -> Vec<String> {
    let files = counted(verified.files, "file");
    let name = escape(&verified.name);
    if verified.repair == Repair::NotNeeded {
        return vec![format!("{name}  all of it is good: {files}")];
    }
    let faults = verified.faults.iter();
    let mut lines: Vec<String> = faults
        .map(|file| escape(&file.to_string()).into_owned())
        .collect();
    lines.push(format!(
        "repairing {name}  {} of {files}  {}",
        verified.faults.len(),
        counted(verified.bad_pieces, "bad piece"),
    ));
    lines
}

/// A file of a share.
fn content_line(file: &SharedFile) -> String {
    format!("{}  {}", escape(&file.path), size(file.length))
}

/// What a download would fetch.
fn preview_line(preview: &DownloadPreview) -> String {
    format!(
        "would fetch at most {} of {} of {} version {} to {}: {} unchanged, {} changed, {} new, {} gone",
        size(preview.to_fetch),
        size(preview.length),
        escape(&preview.name),
        preview.version,
        escape(&preview.path.to_string_lossy()),
        counted(preview.files.unchanged, "file"),
        preview.files.changed,
        preview.files.new,
        preview.files.gone,
    )
}

/// The version of a download, unless it is the first one and replaces nothing.
fn started_version(started: &Started) -> String {
    match (started.version, started.replaces) {
        (Some(number), Some(former)) => format!("  version {number}, in place of version {former}"),
        (Some(number @ 2..), None) => format!("  version {number}"),
        _ => String::new(),
    }
}

/// The version of an upload, and whether the group had it before.
fn uploaded_version(uploaded: &Uploaded) -> String {
    match (uploaded.again, uploaded.version) {
        (true, Some(number @ 2..)) => format!(
            "  (version {number} has this content already: nothing was published, and this peer \
             shares it too)"
        ),
        (true, _) => "  (the group has this share already; this peer shares it too)".to_owned(),
        (false, Some(number @ 2..)) => format!("  version {number}"),
        (false, _) => String::new(),
    }
}

/// What a person should know besides the result of a command.
pub(super) fn outcome_note(outcome: &CommandOutcome) -> Option<String> {
    match outcome {
        CommandOutcome::Sent(sent) => empty_folders_note(&sent.share.empty_folders),
        CommandOutcome::Uploaded(uploaded) => empty_folders_note(&uploaded.share.empty_folders),
        CommandOutcome::Started(started) => taken_over_note(started),
        _ => None,
    }
}

/// What an existing download takes over from a second torrent or magnet link of the same share.
fn taken_over_note(started: &Started) -> Option<String> {
    let name = &started.name;
    match &started.taken_over {
        TakenOver::Nothing => None,
        TakenOver::Added(added) => Some(format!(
            "{name}: also uses the new sources: {}, {}, {}",
            counted(added.tracker_count(), "tracker"),
            counted(added.web_seeds.len(), "web seed"),
            counted(added.peers.len(), "peer"),
        )),
        TakenOver::RefusedAsPrivate => Some(format!(
            "{name}: its torrent is private, so only its own trackers are used"
        )),
    }
}

/// Names the empty folders that were left out of a share. `None` if there are none.
pub(super) fn empty_folders_note(folders: &[String]) -> Option<String> {
    let named = folders.iter().take(MAX_NAMED_FOLDERS);
    let named: Vec<&str> = named.map(String::as_str).collect();
    let more = match folders.len().saturating_sub(MAX_NAMED_FOLDERS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = match folders {
        [] => return None,
        [_] => "an empty folder was left out",
        _ => "empty folders were left out",
    };
    Some(format!("{what}: {}{more}", named.join(", ")))
}

/// The line of a download that has ended.
pub(super) fn ended_line(download: &DownloadStatus) -> String {
    match &download.state {
        DownloadState::Complete => complete_line(download),
        _ => download_line(download),
    }
}

fn complete_line(download: &DownloadStatus) -> String {
    let shown = download.shown_name();
    let name = escape(&shown);
    let (all, seconds) = (size(download.bytes_total), download.elapsed.as_secs_f64());
    format!(
        "complete {name}  {all}  in {seconds:.1}s  {}/s",
        size(download.rate)
    )
}

fn link_line(link: &LinkStatus) -> String {
    let name = link.name.as_deref().unwrap_or("-");
    format!(
        "{}  {}  {}  {}  {}  {}/{}  down {}  up {}",
        escape(&link.share),
        link.address,
        escape(name),
        escape(&link.client),
        if link.outgoing { "out" } else { "in" },
        link.pieces.0,
        counted(link.pieces.1, "piece"),
        size(link.downloaded),
        size(link.uploaded),
    )
}

fn help_lines(columns: usize) -> Vec<String> {
    let areas = AREAS.iter().flat_map(|area| {
        let title = [format!("{}:", area.title)];
        let entries = area.entries.iter();
        let rows: Vec<_> = entries
            .map(|entry| (entry.usage(), entry.summary))
            .collect();
        title.into_iter().chain(wrap::table(&rows, columns))
    });
    areas.collect()
}

fn command_help_lines(entry: &CommandEntry, columns: usize) -> Vec<String> {
    let head = format!("{}: {}", entry.usage(), entry.summary);
    let lines = [head.as_str()].into_iter().chain(entry.details.lines());
    lines.flat_map(|line| wrap::fit(line, columns)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::commands::entries;
    use super::*;
    use crate::cli::outcome::AccountOutcome;
    use crate::cli::units::duration;
    use crate::peer::{
        AutomaticStatus, ControlStatus, DamagedRecord, GroupStatus, ShareStatus, Status,
        TrackerState, TrackerStatus, VersionStatus,
    };
    use crate::torrent::InfoHash;
    use std::time::Duration;

    fn outcome_lines(outcome: &CommandOutcome) -> Vec<String> {
        super::outcome_lines(outcome, 80)
    }

    pub(in crate::cli) fn running(name: &str) -> DownloadStatus {
        DownloadStatus {
            info_hash: InfoHash([7; 20]),
            name: name.into(),
            group: None,
            state: DownloadState::Downloading,
            bytes_done: 420,
            bytes_total: 1000,
            elapsed: Duration::from_millis(2500),
            rate: 124_046_540,
            peers: 5,
            from: vec![("127.0.0.1:6881".into(), 400), ("disk".into(), 20)],
            path: "/srv/x".into(),
            trouble: None,
        }
    }

    pub(in crate::cli) fn in_group(name: &str) -> GroupStatus {
        GroupStatus {
            name: name.into(),
            version: None,
        }
    }

    #[test]
    fn a_download_is_shown_with_its_version_if_there_are_others() {
        let mut status = running("x");
        status.state = DownloadState::Complete;
        for (is_only, name) in [(true, "x"), (false, "y@3")] {
            let version = Some(VersionStatus {
                share: "y".into(),
                number: 3,
                is_only,
            });
            status.group = Some(GroupStatus {
                version,
                ..in_group("lab")
            });
            let line = format!("[C] [lab] {name}  1000 B  /srv/x");
            assert_eq!(download_line(&status), line);
        }
    }

    #[test]
    fn downloads_have_the_format_that_scripts_expect() {
        let mut status = running("a b.iso");
        status.bytes_total = 1_000_000_000_000;
        status.bytes_done = status.bytes_total / 100 * 42;
        status.rate = 118 << 20;
        assert_eq!(
            download_line(&status),
            "[D] [-] a b.iso  42%  118.0 MiB/s  5 peers  eta 1h 18m"
        );
        status.rate = 0;
        status.bytes_done = status.bytes_total - 1;
        assert_eq!(
            download_line(&status),
            "[D] [-] a b.iso  99%  0 B/s  5 peers  eta -"
        );
        status.state = DownloadState::Checking(37);
        assert_eq!(download_line(&status), "[V] [-] a b.iso  checking 37%");
        status.state = DownloadState::Complete;
        status.group = Some(in_group("lab\n3"));
        assert_eq!(
            download_line(&status),
            "[C] [lab\\n3] a b.iso  931.3 GiB  /srv/x"
        );
        status.name = "\x1b[2J".into();
        status.state = DownloadState::Failed("disk full".into());
        assert_eq!(
            download_line(&status),
            "[F] [lab\\n3] \\u{1b}[2J  disk full"
        );
        status.bytes_total = 0;
        assert_eq!(percent(&status), 0);
    }

    #[test]
    fn sizes_and_times_have_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (124_046_540, "118.3 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (7850, "2h 10m"),
            (100_000, "1d 3h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(counted(1u64, "peer"), "1 peer");
        assert_eq!(counted(0usize, "peer"), "0 peers");
    }

    #[test]
    fn an_empty_list_is_shown_as_one_line() {
        for (outcome, line) in [
            (CommandOutcome::Downloads(Vec::new()), "no downloads"),
            (
                CommandOutcome::Waited(Vec::new()),
                "no downloads to wait for",
            ),
            (CommandOutcome::Links(Vec::new()), "no links to other peers"),
            (
                CommandOutcome::Files(Vec::new()),
                "the group shares nothing",
            ),
            (
                CommandOutcome::Account(AccountOutcome::Members(Vec::new())),
                "no members",
            ),
            (
                CommandOutcome::Account(AccountOutcome::Requests(Vec::new())),
                "no open requests",
            ),
        ] {
            assert_eq!(outcome_lines(&outcome), [line]);
        }
        let (groups, news) = (Vec::new(), Vec::new());
        let groups = CommandOutcome::Account(AccountOutcome::Groups { groups, news });
        assert_eq!(outcome_lines(&groups), ["no groups"]);
    }

    #[test]
    fn a_status_leaves_out_an_empty_name_and_the_announce_state_of_a_tracker_without_announces() {
        let status = Status {
            machine: None,
            user: Some("nik".into()),
            login_expires: None,
            login_end: None,
            address: "127.0.0.1:6881".parse().unwrap(),
            name: String::new(),
            shares: Vec::new(),
            downloads: Vec::new(),
            trackers: vec![TrackerStatus {
                url: "http://u/".into(),
                reachable: None,
                trouble: None,
                control: Some(ControlStatus {
                    tracker: "u:1".into(),
                    state: TrackerState::Serving,
                    lag: Some(0),
                    trouble: None,
                }),
            }],
            links: 1,
            damaged: Vec::new(),
            automatic: AutomaticStatus::default(),
        };
        assert_eq!(
            outcome_lines(&CommandOutcome::Status(Box::new(status))),
            [
                "peer on 127.0.0.1:6881  1 link",
                "user nik",
                "tracker http://u/  serving  up to date",
            ]
        );
    }

    #[test]
    fn each_part_of_a_status_is_a_line() {
        let mut stuck = running("x");
        stuck.trouble = Some("no owner".into());
        let status = Status {
            machine: None,
            user: None,
            login_expires: None,
            login_end: None,
            address: "127.0.0.1:6881".parse().unwrap(),
            name: "Lab\n3".into(),
            shares: vec![ShareStatus {
                info_hash: InfoHash([1; 20]),
                name: "s\u{202e}".into(),
                length: 1024,
                uploaded: 5,
                peers: 1,
                group: Some(in_group("lab")),
                trouble: Some("gone".into()),
            }],
            downloads: vec![stuck],
            trackers: vec![
                TrackerStatus {
                    url: "http://t/".into(),
                    reachable: None,
                    trouble: None,
                    control: None,
                },
                TrackerStatus {
                    url: "http://u/".into(),
                    reachable: Some(true),
                    trouble: None,
                    control: Some(ControlStatus {
                        tracker: "u:1".into(),
                        state: TrackerState::Unreachable,
                        lag: Some(2),
                        trouble: Some("refused".into()),
                    }),
                },
            ],
            links: 2,
            automatic: AutomaticStatus::default(),
            damaged: vec![DamagedRecord {
                path: "/s/records/7".into(),
                info_hash: None,
                may_lose_download: false,
                message: "/s/records/7 is damaged\n".into(),
            }],
        };
        let lines = outcome_lines(&CommandOutcome::Status(Box::new(status)));
        assert_eq!(
            lines[..5],
            [
                "peer Lab\\n3  on 127.0.0.1:6881  2 links",
                "nobody is logged in; type: login USER",
                "tracker http://t/  not asked yet",
                "tracker http://u/  unreachable  2 writes behind  (refused)",
                "share s\\u{202e}  1.0 KiB  up 5 B  1 peer  group lab  (gone)",
            ]
        );
        assert!(lines[5].ends_with("(no owner)") && lines.len() == 7);
        assert_eq!(lines[6], "damaged /s/records/7 is damaged\\n");
    }

    #[test]
    fn control_characters_of_a_link_are_escaped() {
        let status = LinkStatus {
            share: "x".into(),
            address: "[::1]:1".parse().unwrap(),
            name: Some("\x07".into()),
            claimed_name: None,
            client: "\x1b]0;".into(),
            outgoing: true,
            pieces: (1, 2),
            downloaded: 1,
            uploaded: 2,
        };
        let text = outcome_lines(&CommandOutcome::Links(vec![status])).concat();
        assert_eq!(
            text,
            "x  [::1]:1  \\u{7}  \\u{1b}]0;  out  1/2 pieces  down 1 B  up 2 B"
        );
    }

    #[test]
    fn help_lists_every_command() {
        let all = outcome_lines(&CommandOutcome::Help(None));
        for entry in entries() {
            let name = format!("  {}", entry.name);
            assert!(all.iter().any(|line| line.starts_with(&name)), "{name}");
        }
        let mut helps = entries().map(|entry| command_help_lines(entry, 80));
        let widest = |lines: &[String]| lines.iter().map(String::len).max();
        assert!(widest(&all) <= Some(80) && helps.all(|help| widest(&help) <= Some(80)));
        let send = outcome_lines(&CommandOutcome::Help(
            entries().find(|entry| entry.name == "send"),
        ));
        assert!(
            send[0].starts_with("send PATH [OUT.torrent] [--follow-links]: share")
                && send.len() > 1
        );
    }
}
