//! Results as JSON for scripts: one object a command, on one line, keys in the order written here.

mod account;
mod value;

use super::commands::{Entry, entries};
use super::failure::Failure;
use super::outcome::{AccountOutcome, Outcome};
use crate::peer::{DownloadState, DownloadStatus, LinkStatus, ShareStatus, TrackerStatus};
use account::{file, group, member, news, request};
use value::{Json, list, object, plain};

/// The object that tells how `command` ended, and whether only one tracker of several has what it did.
pub(super) fn line(command: &str, result: &Result<Outcome, Failure>, only_one: bool) -> String {
    let mut reply = vec![("command", plain(command)), ("ok", plain(result.is_ok()))];
    if only_one {
        reply.push(("copies", plain(1)));
    }
    match result {
        Ok(outcome) => reply.extend(body(outcome)),
        Err(failure) => {
            let error = [
                ("kind", plain(failure.kind())),
                ("message", plain(failure.to_string())),
            ];
            reply.push(("error", object(error)));
        }
    }
    // Nothing in these values can fail: keys are strings and no number is out of JSON's range.
    serde_json::to_string(&object(reply)).unwrap_or_default()
}

/// What stands behind `ok`.
fn body(outcome: &Outcome) -> Vec<(&str, Json<'_>)> {
    match outcome {
        Outcome::Sent(sent) => vec![
            ("name", plain(&*sent.name)),
            ("info_hash", plain(sent.info_hash.to_string())),
            ("torrent", plain(sent.torrent.to_string_lossy())),
            ("length", plain(sent.length)),
            ("pieces", plain(sent.pieces)),
        ],
        Outcome::Started(started) => vec![
            ("name", plain(&*started.name)),
            ("info_hash", plain(started.info_hash.to_string())),
            ("path", plain(started.path.to_string_lossy())),
        ],
        Outcome::Downloads(downloads) | Outcome::Waited(downloads) => {
            vec![("downloads", list(downloads, download))]
        }
        Outcome::Links(links) => vec![("peers", list(links, link))],
        Outcome::Cancelled(name) => vec![("name", plain(&**name))],
        Outcome::Status(status) => vec![
            ("address", plain(status.address.to_string())),
            ("name", plain(&*status.name)),
            ("user", plain(status.user.as_deref())),
            ("links", plain(status.links)),
            ("trackers", list(&status.trackers, tracker)),
            ("shares", list(&status.shares, share)),
            ("downloads", list(&status.downloads, download)),
        ],
        Outcome::Help(None) => vec![("commands", list(entries(), help))],
        Outcome::Help(Some(entry)) => vec![("commands", list([*entry], help))],
        Outcome::Account(outcome) => account(outcome),
        Outcome::Uploaded(uploaded) => vec![
            ("name", plain(&*uploaded.name)),
            ("info_hash", plain(uploaded.info_hash.to_string())),
            ("length", plain(uploaded.length)),
            ("pieces", plain(uploaded.pieces)),
            ("again", plain(uploaded.again)),
        ],
        Outcome::Files(files) => vec![("files", list(files, file))],
        Outcome::StoppedShare(name, withdrawn) => {
            vec![("name", plain(&**name)), ("withdrawn", plain(*withdrawn))]
        }
        Outcome::Quit => Vec::new(),
    }
}

fn account(outcome: &AccountOutcome) -> Vec<(&str, Json<'_>)> {
    match outcome {
        AccountOutcome::Said(_) => Vec::new(),
        AccountOutcome::LoggedIn { user, news: told } => {
            vec![
                ("user", plain(user.to_string())),
                ("news", list(told, news)),
            ]
        }
        AccountOutcome::LoggedOut { everywhere, .. } => vec![("everywhere", plain(*everywhere))],
        AccountOutcome::Groups { groups, news: told } => {
            vec![("groups", list(groups, group)), ("news", list(told, news))]
        }
        AccountOutcome::Members(members) => vec![("members", list(members, member))],
        AccountOutcome::Requests(requests) => vec![("requests", list(requests, request))],
    }
}

fn download(status: &DownloadStatus) -> Json<'_> {
    let (state, reason) = match &status.state {
        DownloadState::Checking => ("checking", None),
        DownloadState::Downloading => ("downloading", None),
        DownloadState::Complete => ("complete", None),
        DownloadState::Failed(reason) => ("failed", Some(reason.as_str())),
    };
    let seconds = (status.elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    let from = status.from.iter();
    let mut fields = vec![
        ("name", plain(&*status.name)),
        ("group", plain(status.group.as_deref())),
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
    ];
    fields.extend(reason.map(|reason| ("reason", plain(reason))));
    let trouble = status.trouble.as_deref();
    fields.extend(trouble.map(|trouble| ("trouble", plain(trouble))));
    object(fields)
}

fn link(link: &LinkStatus) -> Json<'_> {
    object([
        ("share", plain(&*link.share)),
        ("address", plain(link.address.to_string())),
        ("name", plain(link.name.as_deref())),
        ("client", plain(&*link.client)),
        ("direction", plain(if link.outgoing { "out" } else { "in" })),
        ("pieces", plain(link.pieces.0)),
        ("pieces_total", plain(link.pieces.1)),
        ("downloaded", plain(link.downloaded)),
        ("uploaded", plain(link.uploaded)),
    ])
}

fn tracker(tracker: &TrackerStatus) -> Json<'_> {
    let line = tracker.control.as_ref();
    let trouble = tracker.trouble.as_deref();
    let trouble = trouble.or(line.and_then(|line| line.trouble.as_deref()));
    object([
        ("url", plain(&*tracker.url)),
        ("reachable", plain(tracker.reachable)),
        ("trouble", plain(trouble)),
        ("state", plain(line.map(|line| line.state.as_str()))),
        ("lag", plain(line.and_then(|line| line.lag))),
    ])
}

fn share(share: &ShareStatus) -> Json<'_> {
    object([
        ("name", plain(&*share.name)),
        ("info_hash", plain(share.info_hash.to_string())),
        ("length", plain(share.length)),
        ("uploaded", plain(share.uploaded)),
        ("peers", plain(share.peers)),
        ("trouble", plain(share.trouble.as_deref())),
    ])
}

fn help(entry: &'static Entry) -> Json<'static> {
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
    fn keys_stand_in_the_order_of_the_contract() {
        let mut status = running("a\n\u{202e}\"");
        status.state = DownloadState::Failed("disk full".into());
        let text = line(
            "show_downloads",
            &Ok(Outcome::Downloads(vec![status])),
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
        let text = line("\"x\n", &Err(Failure::cut_short("wait")), false);
        assert_eq!(
            text,
            "{\"command\":\"\\\"x\\n\",\"ok\":false,\"error\":{\"kind\":\"interrupted\",\"message\":\"wait: stopped before it was done\"}}"
        );
    }

    #[test]
    fn what_has_no_result_is_ok_alone() {
        assert_eq!(
            line("quit", &Ok(Outcome::Quit), false),
            "{\"command\":\"quit\",\"ok\":true}"
        );
        assert_eq!(
            line("quit", &Ok(Outcome::Quit), true),
            "{\"command\":\"quit\",\"ok\":true,\"copies\":1}"
        );
        let cancelled = line("cancel", &Ok(Outcome::Cancelled("x".into())), false);
        assert_eq!(
            cancelled,
            "{\"command\":\"cancel\",\"ok\":true,\"name\":\"x\"}"
        );
        let help = line("help", &Ok(Outcome::Help(None)), false);
        assert!(help.starts_with("{\"command\":\"help\",\"ok\":true,\"commands\":[{\"name\":\"create_user\",\"usage\":\"create_user USER"));
    }
}
