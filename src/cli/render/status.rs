//! The lines of the command `status`.

use super::download::{download_line, in_parentheses};
use super::{mirror, time};
use crate::base::escape;
use crate::cli::own_machine;
use crate::cli::units::{counted, size};
use crate::peer::{ControlStatus, DownloadStatus, HookStatus, ShareStatus, Status, TrackerState};
use crate::torrent::InfoHash;

pub(super) fn status_lines(status: &Status) -> Vec<String> {
    let name = match status.name.as_str() {
        "" => String::new(),
        name => format!(" {} ", escape(name)),
    };
    let links = counted(status.links, "link");
    let mut lines = vec![format!("peer{name} on {}  {links}", status.address)];
    lines.push(match (&status.machine, &status.user) {
        (Some(machine), _) => escape(&own_machine::status_line(machine)).into_owned(),
        (None, Some(user)) => format!("user {user}"),
        (None, None) => "nobody is logged in; type: login USER".to_owned(),
    });
    lines.extend(status.login_end.as_ref().map(|end| end.text(time)));
    for tracker in &status.trackers {
        let is_unreachable = |control: &ControlStatus| control.state == TrackerState::Unreachable;
        let state = match tracker.reachable {
            // It answered the last announce, but it does not answer now.
            Some(true) if tracker.control.as_ref().is_some_and(is_unreachable) => "",
            Some(true) => "  answers",
            // No answer, or a refusal: `trouble` has the reason.
            Some(false) => "  fails",
            // It is listed in TRACKER_INFO, but this peer has no open swarm to announce to it.
            None if tracker.control.is_some() => "",
            None => "  not asked yet",
        };
        let trouble = in_parentheses(tracker.trouble.as_deref());
        let service = tracker
            .control
            .as_ref()
            .map_or_else(String::new, service_text);
        lines.push(format!(
            "tracker {}{state}{trouble}{service}",
            escape(&tracker.url)
        ));
    }
    let shares = status.shares.iter();
    lines.extend(shares.map(|share| share_line(share, &status.shares)));
    let downloads = status.downloads.iter();
    lines.extend(downloads.map(|download| status_of_download(download, &status.downloads)));
    lines.extend(status.automatic.hooks.iter().map(hook_line));
    lines.extend(
        status
            .automatic
            .mirrors
            .iter()
            .flat_map(mirror::status_lines),
    );
    let damaged = status.damaged.iter();
    lines.extend(damaged.map(|damaged| format!("damaged {}", escape(&damaged.message))));
    lines
}

fn hook_line(hook: &HookStatus) -> String {
    let running = hook.running.as_ref();
    let running = running.map(|name| format!("  runs for {}", escape(name)));
    let waiting = match hook.waiting {
        0 => String::new(),
        waiting => format!("  {} waiting", counted(waiting, "event")),
    };
    let last = hook.last.as_ref();
    let last = last.map(|last| {
        let (name, text) = (escape(&last.name), escape(&last.text));
        format!("  last at {} for {name}: {text}", time(last.ended_ms))
    });
    format!(
        "hook --{}{}{waiting}{}",
        hook.kind.option(),
        running.unwrap_or_default(),
        last.unwrap_or_default()
    )
}

fn share_line(share: &ShareStatus, all: &[ShareStatus]) -> String {
    let (length, uploaded) = (size(share.length), size(share.uploaded));
    let mut others = all
        .iter()
        .filter(|other| other.info_hash != share.info_hash);
    let is_alike = others.any(|other| (&other.name, &other.group) == (&share.name, &share.group));
    let group = share.group.as_ref();
    format!(
        "share {}  {length}  up {uploaded}  {}{}{}{}",
        escape(&share.shown_name()),
        counted(share.peers, "peer"),
        group.map_or_else(String::new, |group| format!(
            "  group {}",
            escape(&group.name)
        )),
        info_hash_if(is_alike, share.info_hash),
        in_parentheses(share.trouble.as_deref())
    )
}

fn status_of_download(download: &DownloadStatus, all: &[DownloadStatus]) -> String {
    let mut others = all
        .iter()
        .filter(|other| other.info_hash != download.info_hash);
    let is_alike =
        others.any(|other| (&other.name, &other.group) == (&download.name, &download.group));
    format!(
        "download {}{}{}",
        download_line(download),
        info_hash_if(is_alike, download.info_hash),
        in_parentheses(download.trouble.as_deref())
    )
}

/// The info-hash, if another line has the same name and group. Commands accept the info-hash in
/// place of the name.
fn info_hash_if(is_alike: bool, info_hash: InfoHash) -> String {
    match is_alike {
        true => format!("  info-hash {info_hash}"),
        false => String::new(),
    }
}

/// The state of a tracker's service for accounts and groups.
fn service_text(control: &ControlStatus) -> String {
    let state = match control.state {
        TrackerState::Serving => "serving",
        TrackerState::NotServing => "not serving yet",
        TrackerState::Unreachable => "unreachable",
        TrackerState::Untrusted => "not trusted",
    };
    let lag = match control.lag {
        Some(0) => "  up to date".to_owned(),
        Some(lag) => format!("  {} behind", counted(lag, "write")),
        None => String::new(),
    };
    format!(
        "  {state}{lag}{}",
        in_parentheses(control.trouble.as_deref())
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_group, running};
    use super::*;
    use crate::peer::{HookKind, HookResult, VersionStatus};

    #[test]
    fn a_hook_shows_what_waits_and_how_the_last_one_has_ended() {
        let idle = HookStatus {
            kind: HookKind::Error,
            running: None,
            waiting: 0,
            last: None,
        };
        assert_eq!(hook_line(&idle), "hook --on-error");
        let busy = HookStatus {
            running: Some("a\nb".into()),
            waiting: 2,
            last: Some(HookResult {
                name: "c".into(),
                ended_ms: 1_700_000_000_000,
                is_success: false,
                text: "exit code 7".into(),
            }),
            ..idle
        };
        let expected = "hook --on-error  runs for a\\nb  2 events waiting  \
                        last at 2023-11-14T22:13:20Z for c: exit code 7";
        assert_eq!(hook_line(&busy), expected);
    }

    #[test]
    fn shares_and_downloads_of_one_name_show_their_info_hashes() {
        let share = |number, group: Option<&str>| ShareStatus {
            info_hash: InfoHash([number; 20]),
            name: "x".into(),
            group: group.map(in_group),
            length: 1024,
            uploaded: 0,
            peers: 0,
            trouble: None,
        };
        let shares = [share(1, None), share(2, None), share(3, Some("lab"))];
        let shown = shares.each_ref().map(|one| share_line(one, &shares));
        for (number, line) in [1, 2].into_iter().zip(&shown) {
            let end = format!("  0 peers  info-hash {}", InfoHash([number; 20]));
            assert!(line.ends_with(&end), "{line}");
        }
        assert!(shown[2].ends_with("  0 peers  group lab"), "{shown:?}");
        let version = |number| {
            let mut share = share(number, Some("lab"));
            let group = share.group.as_mut().unwrap();
            group.version = Some(VersionStatus {
                share: "x~0a0b0c0d".into(),
                number: number.into(),
                is_only: false,
            });
            share
        };
        let versions = [version(1), version(2)];
        let line = share_line(&versions[1], &versions);
        assert_eq!(
            line,
            "share x~0a0b0c0d@2  1.0 KiB  up 0 B  0 peers  group lab"
        );
        let other = DownloadStatus {
            info_hash: InfoHash([8; 20]),
            ..running("x")
        };
        let alike = [running("x"), other];
        let end = format!("eta 0s  info-hash {}", InfoHash([8; 20]));
        let line = status_of_download(&alike[1], &alike);
        assert!(line.ends_with(&end), "{line}");
        let alone = status_of_download(&alike[1], &alike[1..]);
        assert!(!alone.contains("info-hash"), "{alone}");
    }
}
