//! Commands carried out against a running peer, one at a time, and told of.
//!
//! In scope: what each command calls, what is printed of it, whether all succeeded. Out of scope: where lines come from.

use super::account::Teller;
use super::commands::{
    Command, FileCommand, Line, OPEN_SWARMS, Source, entries, holds_password,
    passwords_that_follow, read,
};
use super::failure::Failure;
use super::hashing::Hashing;
use super::outcome::Outcome;
use super::output::Output;
use super::progress::is_running;
use super::prompt::Lines;
use super::wait::{self, Covered};
use super::{json, render};
use crate::net::Stop;
use crate::peer::{DownloadOptions, DownloadState, DownloadStatus, Peer, PeerError};
use std::io;
use std::path::{Path, PathBuf};

/// The commands of one run.
#[derive(Debug)]
pub(super) struct PromptSession<'a> {
    peer: &'a Peer,
    output: &'a Output,
    lines: &'a Lines,
    stop: &'a Stop,
    covered: Covered,
    all_succeeded: bool,
    has_quit: bool,
}

impl<'a> PromptSession<'a> {
    /// Commands for `peer`, until `stop` is raised; what they ask for comes from `lines`.
    pub(super) fn new(
        peer: &'a Peer,
        output: &'a Output,
        lines: &'a Lines,
        stop: &'a Stop,
    ) -> Self {
        let covered = Covered::new(&peer.downloads());
        Self {
            peer,
            output,
            lines,
            stop,
            covered,
            all_succeeded: true,
            has_quit: false,
        }
    }

    /// Carries out a line; one without words does nothing.
    pub(super) fn run(&mut self, line: &str) {
        let Some(Line { name, command }) = read(line) else {
            return;
        };
        // What is no command may be a password.
        if !matches!(command, Err(Failure::Unknown { .. })) {
            log::debug!("command {name}");
        }
        if command.is_err() {
            self.lines.drop_passwords(passwords_that_follow(line));
        }
        let result = command.and_then(|command| self.execute(&name, command));
        self.tell(&name, &result);
    }

    /// Carries out a line that stands among the arguments, where everybody on the machine can read it.
    pub(super) fn run_argument(&mut self, line: &str) {
        if read(line).is_some_and(|line| holds_password(&line)) {
            self.output.note(
                "a password in an argument can be seen by others on this machine: left out, it is asked for, or read from \
                 standard input",
            );
        }
        self.run(line);
    }

    /// Tells of a line that is no text.
    pub(super) fn refuse(&mut self, failure: Failure) {
        self.tell("", &Err(failure));
    }

    /// Whether every command so far succeeded.
    pub(super) fn all_succeeded(&self) -> bool {
        self.all_succeeded
    }

    /// Whether `quit` was among them.
    pub(super) fn has_quit(&self) -> bool {
        self.has_quit
    }

    fn execute(&mut self, name: &str, command: Command) -> Result<Outcome, Failure> {
        if self.stop.is_stopped() {
            return Err(Failure::not_run(name));
        }
        match command {
            Command::Send { path, torrent } => self.send(&path, torrent),
            Command::Download { source, options } => self.download(source, options),
            Command::ShowDownloads => Ok(Outcome::Downloads(self.peer.downloads())),
            Command::ShowPeers => Ok(Outcome::Links(self.peer.links())),
            Command::Cancel(name) => match self.peer.cancel(&name) {
                Ok(()) => Ok(Outcome::Cancelled(name)),
                Err(error @ PeerError::NoSuchDownload(_)) => {
                    Err(match self.group_of_complete(&name) {
                        Some(group) => Failure::Complete(name, group),
                        None => error.into(),
                    })
                }
                Err(error) => Err(error.into()),
            },
            Command::Wait(limit) => {
                wait::wait(self.peer, &mut self.covered, limit, self.stop, self.output)
                    .map(Outcome::Waited)
            }
            Command::Status => Ok(Outcome::Status(self.peer.status())),
            Command::Help(name) => {
                let mut entries = entries();
                let entry = name.and_then(|name| entries.find(|entry| entry.name == name));
                Ok(Outcome::Help(entry))
            }
            Command::Account(command) => {
                let teller = Teller {
                    peer: self.peer,
                    lines: self.lines,
                    output: self.output,
                };
                teller.run(command).map(Outcome::Account)
            }
            Command::File(command) => self.file(command),
            Command::Quit => {
                self.has_quit = true;
                Ok(Outcome::Quit)
            }
        }
    }

    fn file(&mut self, command: FileCommand) -> Result<Outcome, Failure> {
        match command {
            FileCommand::Upload { group, path } => {
                let hashing = Hashing::new("hashing", self.output);
                let step = |done, total| hashing.step(done, total);
                let uploaded = self.peer.upload_file(&group, &path, &step);
                hashing.finish();
                match uploaded {
                    Err(_) if self.stop.is_stopped() => Err(Failure::cut_short("upload_file")),
                    uploaded => Ok(Outcome::Uploaded(uploaded?)),
                }
            }
            FileCommand::List(group) => Ok(Outcome::Files(self.peer.list_files(&group)?)),
            FileCommand::Download {
                group,
                name,
                destination,
                force,
            } => {
                let destination = destination.as_deref();
                let started = self.peer.download_file(&group, &name, destination, force)?;
                self.covered.started(started.info_hash);
                Ok(Outcome::Started(started))
            }
            FileCommand::Stop { group, name } => {
                let withdrawn = match group {
                    Some(group) => self.peer.stop_share(&group, &name)?,
                    None => {
                        self.peer.stop_open_share(&name)?;
                        false
                    }
                };
                Ok(Outcome::StoppedShare(name, withdrawn))
            }
        }
    }

    /// Of a complete download of that name: whose share it is, as a command names that.
    fn group_of_complete(&self, name: &str) -> Option<String> {
        let downloads = self.peer.downloads();
        let is_it = |download: &&DownloadStatus| {
            download.name == name && download.state == DownloadState::Complete
        };
        let found = downloads.iter().find(is_it)?;
        Some(
            found
                .group
                .clone()
                .unwrap_or_else(|| OPEN_SWARMS.to_owned()),
        )
    }

    fn send(&self, path: &Path, torrent: Option<PathBuf>) -> Result<Outcome, Failure> {
        let torrent = match torrent {
            Some(torrent) => torrent,
            None => torrent_name(path).map_err(|source| PeerError::File {
                path: path.to_owned(),
                source,
            })?,
        };
        let hashing = Hashing::new("hashing", self.output);
        let sent = self
            .peer
            .send(path, &torrent, &|done, total| hashing.step(done, total));
        hashing.finish();
        match sent {
            Err(_) if self.stop.is_stopped() => Err(Failure::cut_short("send")),
            sent => Ok(Outcome::Sent(sent?)),
        }
    }

    fn download(&mut self, source: Source, options: DownloadOptions) -> Result<Outcome, Failure> {
        let started = match source {
            Source::Magnet(link) => self.peer.download_magnet(&link, options),
            Source::Torrent(torrent) => {
                // It is hashed only where something stands at its place.
                let hashing = Hashing::new("hashing what is there", self.output);
                let step = |done, total| hashing.step(done, total);
                let started = self.peer.download(&torrent, options, &step);
                hashing.finish();
                started
            }
        };
        match started {
            Err(_) if self.stop.is_stopped() => Err(Failure::cut_short("download")),
            started => {
                let started = started?;
                self.covered.started(started.info_hash);
                Ok(Outcome::Started(started))
            }
        }
    }

    fn tell(&mut self, name: &str, result: &Result<Outcome, Failure>) {
        self.all_succeeded &= result.is_ok();
        let only_one = self.peer.account().take_only_one();
        if only_one && !self.output.is_json() {
            self.output
                .note("one tracker alone has this so far; the others get it when they are back");
        }
        match result {
            _ if self.output.is_json() => {
                self.output.result(&json::line(name, result, only_one));
            }
            Ok(outcome) => {
                for line in render::lines(outcome) {
                    self.output.result(&line);
                }
            }
            Err(failure) => {
                for line in failure.lines() {
                    self.output.error(&line);
                }
            }
        }
        match result {
            Err(Failure::Unknown { .. }) => {
                log::warn!("a command failed: there is none of that name")
            }
            Err(failure) => log::warn!("command {name} failed: {failure}"),
            Ok(_) => {}
        }
    }

    /// Names on standard error the downloads that end before they are complete. `lasts` says whether the state folder is
    /// there at the next start.
    pub(super) fn tell_of_unfinished(&self, lasts: bool) {
        let then = if lasts {
            "it goes on at the next start with the same --dir"
        } else {
            "start it again with the same destination to go on (with --dir it would by itself)"
        };
        for download in self.peer.downloads() {
            if is_running(&download) {
                let (name, percent) = (&download.name, render::percent(&download));
                self.output
                    .note(&format!("{name}: cut short at {percent}%; {then}"));
            }
        }
    }
}

/// `NAME.torrent` in the current folder.
pub(super) fn torrent_name(path: &Path) -> io::Result<PathBuf> {
    let mut name = match path.file_name() {
        Some(name) => name.to_owned(),
        // `.` and `..` have no name of their own.
        None => path
            .canonicalize()?
            .file_name()
            .unwrap_or_default()
            .to_owned(),
    };
    name.push(".torrent");
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_is_called_as_what_it_describes() {
        assert_eq!(
            torrent_name(Path::new("/a/b.iso")).unwrap(),
            Path::new("b.iso.torrent")
        );
        assert_eq!(
            torrent_name(Path::new("a/")).unwrap(),
            Path::new("a.torrent")
        );
        let here = std::env::current_dir().unwrap();
        let here = format!("{}.torrent", here.file_name().unwrap().to_str().unwrap());
        assert_eq!(torrent_name(Path::new(".")).unwrap(), Path::new(&here));
        assert!(torrent_name(Path::new("/nowhere/..")).is_err());
    }
}
