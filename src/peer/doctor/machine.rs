//! What is checked on this machine alone: folders, disks, descriptors and the port.

use super::finding::{Check, Finding};
use crate::net::descriptor_limit;
use crate::storage::{StateFolder, StateKind, check_writable, existing_ancestor, free_space};
use crate::system::cause;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::path::Path;

/// Less free space than this, in bytes, is a fault: records cannot be written reliably.
const NO_SPACE: u64 = 16 << 20;
/// Less free space than this, in bytes, is worth a warning.
const LITTLE_SPACE: u64 = 1 << 30;
/// Fewer descriptors than this are worth a warning: each link and each open file needs one.
const FEW_DESCRIPTORS: u64 = 1_024;

pub(super) fn state_folder(folder: &Path, is_running: bool) -> Finding {
    if let Err(error) = StateFolder::check_kind(StateKind::Peer, folder) {
        return Finding::fault(Check::StateFolder, error.to_string(), None);
    }
    let advice = "choose another folder with --dir, or change its owner and permissions";
    let what = match is_running {
        true => "the state folder, which a running peer uses,",
        false => "the state folder",
    };
    examine_folder(Check::StateFolder, what, folder, advice)
}

pub(super) fn current_folder() -> Finding {
    let advice = "start the peer in another folder, or name another place for downloads";
    let what = "the current folder";
    examine_folder(Check::CurrentFolder, what, Path::new("."), advice)
}

/// Whether a file can be made in a folder, and the free space of its disk.
fn examine_folder(check: Check, what: &str, folder: &Path, advice: &str) -> Finding {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let (shown, existing) = (absolute.display(), existing_ancestor(folder));
    if let Err(error) = check_writable(&existing) {
        let text = format!("{what} {shown} cannot be written: {}", cause(&error));
        return match check {
            Check::CurrentFolder => Finding::warning(check, text, advice),
            _ => Finding::fault(check, text, Some(advice)),
        };
    }
    let Some(free) = free_space(&existing) else {
        return Finding::good(check, format!("{what} {shown} can be written"));
    };
    let text = format!(
        "{what} {shown} can be written; its disk has {} MiB free",
        free >> 20
    );
    let advice = "make room on this disk, or choose another one";
    match free {
        ..NO_SPACE => Finding::fault(check, text, Some(advice)),
        NO_SPACE..LITTLE_SPACE => Finding::warning(check, text, advice),
        _ => Finding::good(check, text),
    }
}

pub(super) fn descriptors() -> Finding {
    let Some(limit) = descriptor_limit() else {
        let text = "the limit on open files and connections is not known";
        return Finding::good(Check::Descriptors, text);
    };
    let text = format!("at most {limit} files and connections can be open");
    if limit >= FEW_DESCRIPTORS {
        return Finding::good(Check::Descriptors, text);
    }
    let advice = "raise the hard limit: ulimit -Hn, or LimitNOFILE= of the service";
    Finding::warning(Check::Descriptors, text, advice)
}

/// The port of the peer: free, used by the running peer, or taken. Also returns the port that
/// trackers are to connect to. `listener` is the result of binding to `listen`.
pub(super) fn port(
    listen: SocketAddr,
    listener: &io::Result<TcpListener>,
    is_running: bool,
) -> (Finding, Option<NonZeroU16>) {
    let bound = listener.as_ref().map(TcpListener::local_addr);
    let error = match bound {
        Ok(Ok(bound)) => {
            let finding = Finding::good(Check::Port, format!("a peer can listen on {bound}"));
            return (finding, NonZeroU16::new(bound.port()));
        }
        Ok(Err(error)) => error,
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_running => {
            let finding = Finding::good(Check::Port, format!("the running peer uses {listen}"));
            return (finding, NonZeroU16::new(listen.port()));
        }
        Err(error) => io::Error::from(error.kind()),
    };
    let (text, advice) = match error.kind() {
        ErrorKind::AddrInUse => (
            format!("another process uses {listen}"),
            "end that process, or give the peer another port, such as pieceful peer 0.0.0.0:6882",
        ),
        _ => (
            format!("a peer cannot listen on {listen}: {}", cause(&error)),
            "listen on 0.0.0.0:6881, or on an address of this machine",
        ),
    };
    (Finding::fault(Check::Port, text, Some(advice)), None)
}
