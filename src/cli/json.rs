//! Results as JSON for scripts: one object a command, on one line, keys in the order written here.

mod account;

use super::commands::{Entry, entries};
use super::failure::Failure;
use super::outcome::{AccountOutcome, Outcome};
use crate::peer::{DownloadState, DownloadStatus, LinkStatus, ShareStatus, TrackerStatus};
use account::{File, Group, Member, News, Request};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The object that tells how `command` ended, and whether only one tracker of several has what it did.
pub(super) fn line(command: &str, result: &Result<Outcome, Failure>, only_one: bool) -> String {
    let copies = only_one.then_some(1);
    let reply = match result {
        Ok(outcome) => Reply {
            command,
            ok: true,
            copies,
            body: body(outcome),
        },
        Err(failure) => {
            let (kind, message) = (failure.kind(), failure.to_string());
            Reply {
                command,
                ok: false,
                copies,
                body: Body::Error {
                    error: Error { kind, message },
                },
            }
        }
    };
    // Nothing in these types can fail: keys are strings and no number is out of JSON's range.
    serde_json::to_string(&reply).unwrap_or_default()
}

#[derive(Serialize)]
struct Reply<'a> {
    command: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    copies: Option<u32>,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Error {
        error: Error,
    },
    Sent {
        name: &'a str,
        info_hash: String,
        torrent: String,
        length: u64,
        pieces: u32,
    },
    Started {
        name: &'a str,
        info_hash: String,
        path: String,
    },
    Downloads {
        downloads: Vec<Download<'a>>,
    },
    Links {
        peers: Vec<Link<'a>>,
    },
    Named {
        name: &'a str,
    },
    Status {
        address: String,
        name: &'a str,
        user: Option<&'a str>,
        links: usize,
        trackers: Vec<Tracker<'a>>,
        shares: Vec<Share<'a>>,
        downloads: Vec<Download<'a>>,
    },
    Help {
        commands: Vec<Help>,
    },
    Uploaded {
        name: &'a str,
        info_hash: String,
        length: u64,
        pieces: u32,
        again: bool,
    },
    Files {
        files: Vec<File>,
    },
    StoppedShare {
        name: &'a str,
        withdrawn: bool,
    },
    Said {},
    LoggedOut {
        everywhere: bool,
    },
    LoggedIn {
        user: String,
        news: Vec<News>,
    },
    Groups {
        groups: Vec<Group>,
        news: Vec<News>,
    },
    Members {
        members: Vec<Member>,
    },
    Requests {
        requests: Vec<Request>,
    },
    Nothing {},
}

#[derive(Serialize)]
struct Error {
    kind: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Download<'a> {
    name: &'a str,
    group: Option<&'a str>,
    state: &'static str,
    #[serde(flatten)]
    progress: Progress,
    from: Sources<'a>,
    info_hash: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'a str>,
}

#[derive(Serialize)]
struct Progress {
    bytes_done: u64,
    bytes_total: u64,
    seconds: f64,
    rate: u64,
    peers: usize,
}

/// Bytes by source, as an object.
struct Sources<'a>(&'a [(String, u64)]);

impl Serialize for Sources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (source, bytes) in self.0 {
            map.serialize_entry(source, bytes)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Link<'a> {
    share: &'a str,
    address: String,
    name: Option<&'a str>,
    client: &'a str,
    direction: &'static str,
    pieces: u32,
    pieces_total: u32,
    downloaded: u64,
    uploaded: u64,
}

#[derive(Serialize)]
struct Tracker<'a> {
    url: &'a str,
    reachable: Option<bool>,
    trouble: Option<&'a str>,
    state: Option<&'static str>,
    lag: Option<u64>,
}

#[derive(Serialize)]
struct Share<'a> {
    name: &'a str,
    info_hash: String,
    length: u64,
    uploaded: u64,
    peers: usize,
    trouble: Option<&'a str>,
}

#[derive(Serialize)]
struct Help {
    name: &'static str,
    usage: String,
    summary: &'static str,
    details: &'static str,
}

fn body(outcome: &Outcome) -> Body<'_> {
    match outcome {
        Outcome::Sent(sent) => Body::Sent {
            name: &sent.name,
            info_hash: sent.info_hash.to_string(),
            torrent: sent.torrent.to_string_lossy().into_owned(),
            length: sent.length,
            pieces: sent.pieces,
        },
        Outcome::Started(started) => Body::Started {
            name: &started.name,
            info_hash: started.info_hash.to_string(),
            path: started.path.to_string_lossy().into_owned(),
        },
        Outcome::Downloads(list) | Outcome::Waited(list) => Body::Downloads {
            downloads: list.iter().map(download).collect(),
        },
        Outcome::Links(links) => Body::Links {
            peers: links.iter().map(link).collect(),
        },
        Outcome::Cancelled(name) => Body::Named { name },
        Outcome::Status(status) => Body::Status {
            address: status.address.to_string(),
            name: &status.name,
            user: status.user.as_deref(),
            links: status.links,
            trackers: status.trackers.iter().map(tracker).collect(),
            shares: status.shares.iter().map(share).collect(),
            downloads: status.downloads.iter().map(download).collect(),
        },
        Outcome::Help(None) => Body::Help {
            commands: entries().map(help).collect(),
        },
        Outcome::Help(Some(entry)) => Body::Help {
            commands: vec![help(entry)],
        },
        Outcome::Account(outcome) => account(outcome),
        Outcome::Uploaded(uploaded) => Body::Uploaded {
            name: &uploaded.name,
            info_hash: uploaded.info_hash.to_string(),
            length: uploaded.length,
            pieces: uploaded.pieces,
            again: uploaded.again,
        },
        Outcome::Files(files) => Body::Files {
            files: files.iter().map(File::from).collect(),
        },
        Outcome::StoppedShare(name, withdrawn) => Body::StoppedShare {
            name,
            withdrawn: *withdrawn,
        },
        Outcome::Quit => Body::Nothing {},
    }
}

fn account(outcome: &AccountOutcome) -> Body<'static> {
    match outcome {
        AccountOutcome::Said(_) => Body::Said {},
        AccountOutcome::LoggedIn { user, news } => Body::LoggedIn {
            user: user.to_string(),
            news: news.iter().map(News::from).collect(),
        },
        AccountOutcome::LoggedOut { everywhere, .. } => Body::LoggedOut {
            everywhere: *everywhere,
        },
        AccountOutcome::Groups { groups, news } => Body::Groups {
            groups: groups.iter().map(Group::from).collect(),
            news: news.iter().map(News::from).collect(),
        },
        AccountOutcome::Members(members) => Body::Members {
            members: members.iter().map(Member::from).collect(),
        },
        AccountOutcome::Requests(requests) => Body::Requests {
            requests: requests.iter().map(Request::from).collect(),
        },
    }
}

fn download(status: &DownloadStatus) -> Download<'_> {
    let (state, reason) = match &status.state {
        DownloadState::Checking => ("checking", None),
        DownloadState::Downloading => ("downloading", None),
        DownloadState::Complete => ("complete", None),
        DownloadState::Failed(reason) => ("failed", Some(reason.as_str())),
    };
    Download {
        name: &status.name,
        group: status.group.as_deref(),
        state,
        progress: Progress {
            bytes_done: status.bytes_done,
            bytes_total: status.bytes_total,
            seconds: (status.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            rate: status.rate,
            peers: status.peers,
        },
        from: Sources(&status.from),
        info_hash: status.info_hash.to_string(),
        path: status.path.to_string_lossy().into_owned(),
        reason,
        trouble: status.trouble.as_deref(),
    }
}

fn link(link: &LinkStatus) -> Link<'_> {
    Link {
        share: &link.share,
        address: link.address.to_string(),
        name: link.name.as_deref(),
        client: &link.client,
        direction: if link.outgoing { "out" } else { "in" },
        pieces: link.pieces.0,
        pieces_total: link.pieces.1,
        downloaded: link.downloaded,
        uploaded: link.uploaded,
    }
}

fn tracker(tracker: &TrackerStatus) -> Tracker<'_> {
    let line = tracker.line.as_ref();
    Tracker {
        url: &tracker.url,
        reachable: tracker.reachable,
        trouble: tracker
            .trouble
            .as_deref()
            .or(line.and_then(|line| line.trouble.as_deref())),
        state: line.map(|line| line.state.as_str()),
        lag: line.and_then(|line| line.lag),
    }
}

fn share(share: &ShareStatus) -> Share<'_> {
    Share {
        name: &share.name,
        info_hash: share.info_hash.to_string(),
        length: share.length,
        uploaded: share.uploaded,
        peers: share.peers,
        trouble: share.trouble.as_deref(),
    }
}

fn help(entry: &'static Entry) -> Help {
    Help {
        name: entry.name,
        usage: entry.usage(),
        summary: entry.summary,
        details: entry.details,
    }
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
