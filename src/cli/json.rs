//! Results as JSON: one object for the start of a peer, then one per command. Each is on one line,
//! with the keys in the order of this file. In some objects one value has two keys, such
//! as `again` and `already`. `docs/cli.md` describes every field.

mod account;
mod holder;
mod machine;
mod mirror;
mod value;

use super::command_error::CommandError;
use super::commands::{CommandEntry, entries};
use super::outcome::{AccountOutcome, CommandOutcome, Joined};
use super::render::time;
use crate::peer::{
    DamagedRecord, DownloadPreview, DownloadState, DownloadStatus, Finding, GroupStatus,
    HookResult, HookStatus, JoinError, LinkStatus, NewShare, Repair, Sent, ShareContent,
    ShareStatus, SharedFile, Status, TrackerStatus, Uploaded, Verified,
};
use crate::storage::FaultyFile;
use account::{file, group, login, member, news, request};
use holder::holder_fields;
use machine::{join_error, join_fields, machine_fields, own_machine};
use mirror::{mirror, mirror_fields};
use std::net::SocketAddr;
use value::{JsonValue, list, object, plain};

/// The first line of a peer: the address that it listens on. It begins with a blank, which JSON
/// allows: older scripts take the first line that begins with `{` as the result of a command.
pub(super) fn listening_line(address: SocketAddr) -> String {
    let fields = [
        ("event", plain("listening")),
        ("address", plain(address.to_string())),
    ];
    format!(" {}", line(fields))
}

/// The object of a command's result. `one_tracker_only`: whether only one of several trackers has
/// stored the effect of the command.
pub(super) fn result_line(
    command: &str,
    result: &Result<CommandOutcome, CommandError>,
    one_tracker_only: bool,
) -> String {
    let mut fields = vec![("command", plain(command)), ("ok", plain(result.is_ok()))];
    if one_tracker_only {
        fields.push(("copies", plain(1)));
    }
    match result {
        Ok(outcome) => fields.extend(outcome_fields(outcome)),
        Err(error_of_command) => {
            let error = [
                ("kind", plain(error_of_command.kind())),
                ("message", plain(error_of_command.to_string())),
            ];
            fields.push(("error", object(error)));
            if let CommandError::Damaged(verified) = error_of_command {
                fields.extend(verified_fields(verified));
            }
        }
    }
    line(fields)
}

fn line<'a>(fields: impl IntoIterator<Item = (&'a str, JsonValue<'a>)>) -> String {
    // Cannot fail: keys are strings and no number is out of JSON's range.
    serde_json::to_string(&object(fields)).unwrap_or_default()
}

/// The object of `pieceful join`.
pub(super) fn join_line(result: &Result<&Joined, JoinError>) -> String {
    let mut fields = vec![("command", plain("join")), ("ok", plain(result.is_ok()))];
    match result {
        Ok(joined) => fields.extend(join_fields(joined)),
        Err(error) => fields.push(("error", join_error(error))),
    }
    line(fields)
}

/// The object of `pieceful doctor`.
pub(super) fn doctor_line(findings: &[Finding]) -> String {
    let fields = [
        ("command", plain("doctor")),
        ("ok", plain(!findings.iter().any(Finding::is_fault))),
        ("checks", list(findings, finding)),
    ];
    line(fields)
}

fn finding(finding: &Finding) -> JsonValue<'_> {
    object([
        ("check", plain(finding.check.as_str())),
        ("state", plain(finding.verdict.as_str())),
        ("message", plain(&*finding.text)),
        ("advice", plain(finding.advice.as_deref())),
    ])
}

fn empty_folders(share: &NewShare) -> JsonValue<'_> {
    list(&share.empty_folders, |folder| plain(folder.as_str()))
}

fn status_fields(status: &Status) -> Vec<(&'static str, JsonValue<'_>)> {
    vec![
        ("address", plain(status.address.to_string())),
        ("name", plain(&*status.name)),
        ("user", plain(status.user.as_deref())),
        (
            "machine",
            status
                .machine
                .as_ref()
                .map_or(plain(None::<bool>), own_machine),
        ),
        ("login_expires", plain(status.login_expires.map(time))),
        (
            "login_trouble",
            plain(status.login_end.as_ref().map(|end| end.text(time))),
        ),
        ("links", plain(status.links)),
        ("peers", plain(status.links)),
        ("trackers", list(&status.trackers, tracker)),
        ("shares", list(&status.shares, share)),
        ("downloads", list(&status.downloads, download)),
        ("damaged", list(&status.damaged, damaged_file)),
        ("hooks", list(&status.automatic.hooks, hook)),
        ("mirrors", list(&status.automatic.mirrors, mirror)),
    ]
}

fn preview_fields(preview: &DownloadPreview) -> Vec<(&str, JsonValue<'_>)> {
    vec![
        ("name", plain(&*preview.name)),
        ("info_hash", plain(preview.info_hash.to_string())),
        ("path", plain(preview.path.to_string_lossy())),
        ("version", plain(preview.version)),
        ("replaces", plain(preview.replaces)),
        ("length", plain(preview.length)),
        ("to_fetch", plain(preview.to_fetch)),
        ("unchanged_files", plain(preview.files.unchanged)),
        ("changed_files", plain(preview.files.changed)),
        ("new_files", plain(preview.files.new)),
        ("gone_files", plain(preview.files.gone)),
    ]
}

fn verified_fields(verified: &Verified) -> Vec<(&str, JsonValue<'_>)> {
    let file = |file: &FaultyFile| {
        object([
            ("path", plain(file.path.to_string_lossy())),
            ("fault", plain(file.fault.word())),
            ("message", plain(file.to_string())),
        ])
    };
    let faults = verified.faults.iter().map(file).collect();
    vec![
        ("name", plain(&*verified.name)),
        ("info_hash", plain(verified.info_hash.to_string())),
        ("path", plain(verified.path.to_string_lossy())),
        ("files", plain(verified.files)),
        ("bad_pieces", plain(verified.bad_pieces)),
        ("bad_files", JsonValue::List(faults)),
        ("repairing", plain(verified.repair == Repair::Begun)),
    ]
}

fn content_fields(content: &ShareContent) -> Vec<(&str, JsonValue<'_>)> {
    let file = |file: &SharedFile| {
        object([
            ("path", plain(file.path.clone())),
            ("length", plain(file.length)),
        ])
    };
    vec![
        ("name", plain(&*content.name)),
        ("info_hash", plain(content.info_hash.to_string())),
        ("version", plain(content.version)),
        (
            "content",
            JsonValue::List(content.files.iter().map(file).collect()),
        ),
    ]
}

/// The fields after `ok` of a command that succeeded.
fn outcome_fields(outcome: &CommandOutcome) -> Vec<(&str, JsonValue<'_>)> {
    match outcome {
        CommandOutcome::Sent(Sent { share, torrent }) => vec![
            ("name", plain(&*share.name)),
            ("info_hash", plain(share.info_hash.to_string())),
            ("torrent", plain(torrent.to_string_lossy())),
            ("length", plain(share.length)),
            ("pieces", plain(share.pieces)),
            ("pieces_total", plain(share.pieces)),
            ("empty_folders", empty_folders(share)),
        ],
        CommandOutcome::Started(started) => vec![
            ("name", plain(&*started.name)),
            ("info_hash", plain(started.info_hash.to_string())),
            ("path", plain(started.path.to_string_lossy())),
            ("already", plain(started.already)),
            ("version", plain(started.version)),
            ("replaces", plain(started.replaces)),
        ],
        CommandOutcome::Preview(preview) => preview_fields(preview),
        CommandOutcome::Verified(verified) => verified_fields(verified),
        CommandOutcome::Downloads(downloads) | CommandOutcome::Waited(downloads) => {
            vec![("downloads", list(downloads, download))]
        }
        CommandOutcome::Links(links) => vec![("peers", list(links, link))],
        CommandOutcome::Cancelled(name) => vec![("name", plain(&**name))],
        CommandOutcome::Status(status) => status_fields(status),
        CommandOutcome::Help(None) => vec![("commands", list(entries(), help))],
        CommandOutcome::Help(Some(entry)) => vec![("commands", list([*entry], help))],
        CommandOutcome::Account(outcome) => account_fields(outcome),
        CommandOutcome::Machine(outcome) => machine_fields(outcome),
        CommandOutcome::Mirror(outcome) => mirror_fields(outcome),
        CommandOutcome::Uploaded(Uploaded {
            share,
            again,
            version,
        }) => vec![
            ("name", plain(&*share.name)),
            ("info_hash", plain(share.info_hash.to_string())),
            ("length", plain(share.length)),
            ("pieces", plain(share.pieces)),
            ("pieces_total", plain(share.pieces)),
            ("again", plain(*again)),
            ("already", plain(*again)),
            ("empty_folders", empty_folders(share)),
            ("version", plain(*version)),
            ("unchanged", plain(*again)),
        ],
        CommandOutcome::Content(content) => content_fields(content),
        CommandOutcome::Files(files) => vec![("files", list(files, file))],
        CommandOutcome::Holder(outcome) => holder_fields(outcome),
        CommandOutcome::Exported(exported) => vec![
            ("name", plain(&*exported.name)),
            ("info_hash", plain(exported.info_hash.to_string())),
            ("torrent", plain(exported.torrent.to_string_lossy())),
            ("certificate", plain(exported.certificate.to_string_lossy())),
            ("key", plain(exported.key.to_string_lossy())),
            ("dh", plain(exported.dh.to_string_lossy())),
            ("valid_until", plain(time(exported.valid_until))),
            (
                "peers",
                list(&exported.peers, |peer| plain(peer.to_string())),
            ),
        ],
        CommandOutcome::StoppedShare(name, withdrawn) => {
            vec![("name", plain(&**name)), ("withdrawn", plain(*withdrawn))]
        }
        CommandOutcome::Quit => Vec::new(),
    }
}

fn account_fields(outcome: &AccountOutcome) -> Vec<(&str, JsonValue<'_>)> {
    match outcome {
        AccountOutcome::Done(_) => Vec::new(),
        AccountOutcome::LoggedIn {
            user,
            news: entries,
        } => {
            vec![
                ("user", plain(user.to_string())),
                ("news", list(entries, news)),
            ]
        }
        AccountOutcome::LoggedOut { at_trackers, .. } => vec![("everywhere", plain(*at_trackers))],
        AccountOutcome::Groups {
            groups,
            news: entries,
        } => {
            vec![
                ("groups", list(groups, group)),
                ("news", list(entries, news)),
            ]
        }
        AccountOutcome::Logins(logins) => vec![("logins", list(logins, login))],
        AccountOutcome::Members(members) => vec![("members", list(members, member))],
        AccountOutcome::Requests(requests) => vec![("requests", list(requests, request))],
    }
}

fn download(status: &DownloadStatus) -> JsonValue<'_> {
    let (state, checked, reason) = match &status.state {
        DownloadState::Checking(percent) => ("checking", Some(*percent), None),
        DownloadState::Downloading => ("downloading", None, None),
        DownloadState::Complete => ("complete", None, None),
        DownloadState::Failed(reason) => ("failed", None, Some(reason.as_str())),
    };
    let seconds = (status.elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    let from = status.from.iter();
    let mut fields = vec![
        ("name", plain(&*status.name)),
        ("group", group_name(&status.group)),
        ("state", plain(state)),
        ("bytes_done", plain(status.bytes_done)),
        ("bytes_total", plain(status.bytes_total)),
        ("seconds", plain(seconds)),
        ("rate", plain(status.rate)),
        ("peers", plain(status.peers)),
        (
            "from",
            object(from.map(|(source, bytes)| (&**source, plain(*bytes)))),
        ),
        ("info_hash", plain(status.info_hash.to_string())),
        ("path", plain(status.path.to_string_lossy())),
        ("length", plain(status.bytes_total)),
        ("version", version(&status.group)),
    ];
    fields.extend(checked.map(|percent| ("checked_percent", plain(percent))));
    fields.extend(reason.map(|reason| ("reason", plain(reason))));
    let trouble = status.trouble.as_deref();
    fields.extend(trouble.map(|trouble| ("trouble", plain(trouble))));
    object(fields)
}

fn link(link: &LinkStatus) -> JsonValue<'_> {
    object([
        ("share", plain(&*link.share)),
        ("address", plain(link.address.to_string())),
        ("name", plain(link.name.as_deref())),
        ("claimed_name", plain(link.claimed_name.as_deref())),
        ("client", plain(&*link.client)),
        ("direction", plain(if link.outgoing { "out" } else { "in" })),
        ("pieces", plain(link.pieces.0)),
        ("pieces_total", plain(link.pieces.1)),
        ("downloaded", plain(link.downloaded)),
        ("uploaded", plain(link.uploaded)),
        ("pieces_done", plain(link.pieces.0)),
    ])
}

fn tracker(tracker: &TrackerStatus) -> JsonValue<'_> {
    let control = tracker.control.as_ref();
    let trouble = tracker.trouble.as_deref();
    let trouble = trouble.or(control.and_then(|control| control.trouble.as_deref()));
    object([
        ("url", plain(&*tracker.url)),
        ("reachable", plain(tracker.reachable)),
        ("trouble", plain(trouble)),
        (
            "state",
            plain(control.map(|control| control.state.as_str())),
        ),
        ("lag", plain(control.and_then(|control| control.lag))),
    ])
}

fn hook(status: &HookStatus) -> JsonValue<'_> {
    let last = status.last.as_ref();
    object([
        ("event", plain(status.kind.event())),
        ("running", plain(status.running.as_deref())),
        ("waiting", plain(status.waiting)),
        ("last", last.map_or(plain(None::<bool>), hook_result)),
    ])
}

fn hook_result(result: &HookResult) -> JsonValue<'_> {
    object([
        ("name", plain(&*result.name)),
        ("ended", plain(time(result.ended_ms))),
        ("succeeded", plain(result.is_success)),
        ("result", plain(&*result.text)),
    ])
}

fn share(share: &ShareStatus) -> JsonValue<'_> {
    object([
        ("name", plain(&*share.name)),
        ("info_hash", plain(share.info_hash.to_string())),
        ("length", plain(share.length)),
        ("group", group_name(&share.group)),
        ("uploaded", plain(share.uploaded)),
        ("peers", plain(share.peers)),
        ("trouble", plain(share.trouble.as_deref())),
        ("version", version(&share.group)),
    ])
}

fn group_name(group: &Option<GroupStatus>) -> JsonValue<'_> {
    plain(group.as_ref().map(|group| group.name.as_str()))
}

fn version(group: &Option<GroupStatus>) -> JsonValue<'_> {
    plain(group.as_ref().and_then(GroupStatus::version_number))
}

fn damaged_file(damaged: &DamagedRecord) -> JsonValue<'_> {
    object([
        ("path", plain(damaged.path.to_string_lossy())),
        ("message", plain(&*damaged.message)),
    ])
}

fn help(entry: &'static CommandEntry) -> JsonValue<'static> {
    object([
        ("name", plain(entry.name)),
        ("usage", plain(entry.usage())),
        ("summary", plain(entry.summary)),
        ("details", plain(entry.details)),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::running;
    use super::*;

    #[test]
    fn keys_have_a_fixed_order() {
        let mut status = running("a\n\u{202e}\"");
        status.state = DownloadState::Failed("disk full".into());
        let text = result_line(
            "show_downloads",
            &Ok(CommandOutcome::Downloads(vec![status])),
            false,
        );
        let start = "{\"command\":\"show_downloads\",\"ok\":true,\"downloads\":[{\"name\":\"a\\n\u{202e}\\\"\",\
                     \"group\":null,\"state\":\"failed\",\"bytes_done\":420,\"bytes_total\":1000,\"seconds\":2.5,\
                     \"rate\":124046540,\"peers\":5,\"from\":{\"127.0.0.1:6881\":400,\"disk\":20},";
        assert!(text.starts_with(start), "{text}");
        assert!(
            text.ends_with("\"reason\":\"disk full\"}]}") && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn errors_have_kind_and_message() {
        let text = result_line("\"x\n", &Err(CommandError::cut_short("wait")), false);
        assert_eq!(
            text,
            "{\"command\":\"\\\"x\\n\",\"ok\":false,\"error\":{\"kind\":\"interrupted\",\"message\":\"wait: stopped before it was done\"}}"
        );
    }

    #[test]
    fn every_result_begins_with_command_and_ok() {
        assert_eq!(
            result_line("quit", &Ok(CommandOutcome::Quit), false),
            "{\"command\":\"quit\",\"ok\":true}"
        );
        assert_eq!(
            result_line("quit", &Ok(CommandOutcome::Quit), true),
            "{\"command\":\"quit\",\"ok\":true,\"copies\":1}"
        );
        let cancelled = result_line("cancel", &Ok(CommandOutcome::Cancelled("x".into())), false);
        assert_eq!(
            cancelled,
            "{\"command\":\"cancel\",\"ok\":true,\"name\":\"x\"}"
        );
        let help = result_line("help", &Ok(CommandOutcome::Help(None)), false);
        assert!(help.starts_with("{\"command\":\"help\",\"ok\":true,\"commands\":[{\"name\":\"create_user\",\"usage\":\"create_user USER"));
    }
}
