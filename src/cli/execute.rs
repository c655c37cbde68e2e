//! Runs commands against a running peer, one at a time, and prints their results.
//!
//! In scope: what each command calls, what is printed, whether all commands succeeded. Out of
//! scope: where the lines come from (`peer`, `prompt`).

use super::account::AccountRunner;
use super::command_error::{CommandError, Prospect};
use super::commands::{
    Command, DownloadSource, FileCommand, ParsedLine, entries, holds_password, parse_line,
    passwords_that_follow,
};
use super::hashing::HashingProgress;
use super::listed_names::ListedNames;
use super::notices::Notices;
use super::outcome::CommandOutcome;
use super::output::Output;
use super::progress::is_running;
use super::prompt::InputLines;
use super::retry::retry;
use super::signals::StopSignals;
use super::wait::{self, WaitExclusions};
use super::{json, render};
use crate::net::Stop;
use crate::peer::{DownloadOptions, DownloadState, Peer, PeerError, Started, WaitNotice};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs the commands of one process.
#[derive(Debug)]
pub(super) struct CommandRunner<'a> {
    peer: &'a Arc<Peer>,
    output: &'a Output,
    lines: &'a InputLines,
    stop: &'a Stop,
    /// What `~/` means; `None` if it is not expanded.
    home: Option<&'a str>,
    prompt: Option<&'a PromptParts>,
    exclusions: WaitExclusions,
    all_succeeded: bool,
    has_hopeless_failure: bool,
    has_quit: bool,
}

/// The parts of a prompt that its commands use.
#[derive(Debug)]
pub(super) struct PromptParts {
    /// With these, a first Ctrl-C ends only the command that runs.
    pub(super) signals: StopSignals,
    /// What is shown before the first prompt.
    pub(super) greeting: &'static str,
    pub(super) listed: Arc<ListedNames>,
    pub(super) notices: Arc<Notices>,
}

impl<'a> CommandRunner<'a> {
    /// A runner for commands of `peer`. It carries out no command after `stop` is raised. It reads
    /// passwords and answers from `lines`. `home` and `prompt` are for lines typed at a prompt.
    pub(super) fn new(
        peer: &'a Arc<Peer>,
        output: &'a Output,
        lines: &'a InputLines,
        stop: &'a Stop,
        home: Option<&'a str>,
        prompt: Option<&'a PromptParts>,
    ) -> Self {
        let exclusions = WaitExclusions::new(peer.unchanged_at_start().clone());
        Self {
            peer,
            output,
            lines,
            stop,
            home,
            prompt,
            exclusions,
            all_succeeded: true,
            has_hopeless_failure: false,
            has_quit: false,
        }
    }

    /// Runs a line. A line without words does nothing.
    pub(super) fn run(&mut self, line: &str) {
        self.perform(line, false);
    }

    /// Runs the value of an option `-c`, which every user of the machine can read. With
    /// `keeps_trying`, the command is tried again as long as it can succeed later.
    pub(super) fn run_argument(&mut self, line: &str, keeps_trying: bool) {
        if parse_line(line, None).is_some_and(|line| holds_password(&line)) {
            self.output.note(
                "other users of this machine can see a password in an argument; leave it out, and write it as the next \
                 line of standard input",
            );
        }
        self.perform(line, keeps_trying);
    }

    fn perform(&mut self, line: &str, keeps_trying: bool) {
        let Some(ParsedLine { name, command }) = parse_line(line, self.home) else {
            return;
        };
        // The line of an unknown command may be a password, so it is not logged.
        if !matches!(command, Err(CommandError::Unknown { .. })) {
            log::debug!("command {name}");
        }
        if command.is_err() {
            self.lines.drop_passwords(passwords_that_follow(line));
        }
        let (stop, output) = (self.stop, self.output);
        let result = command.and_then(|mut command| {
            let mut attempt = || self.attempt(&name, &mut command);
            match keeps_trying {
                true => retry(&name, stop, output, attempt),
                false => attempt(),
            }
        });
        if let Err(error) = &result {
            self.has_hopeless_failure |= error.prospect() == Prospect::Never;
        }
        self.report(&name, &result);
    }

    /// Reports a line that is not text.
    pub(super) fn refuse(&mut self, error: CommandError) {
        self.report("", &Err(error));
    }

    /// Whether every command so far succeeded.
    pub(super) fn all_succeeded(&self) -> bool {
        self.all_succeeded
    }

    /// Whether a command has failed and cannot succeed later.
    pub(super) fn has_hopeless_failure(&self) -> bool {
        self.has_hopeless_failure
    }

    /// Whether one of the commands was `quit`.
    pub(super) fn has_quit(&self) -> bool {
        self.has_quit
    }

    /// Runs a command once. A stop of the peer ends the command early; at a prompt, a first Ctrl-C
    /// does so too.
    fn attempt(
        &mut self,
        name: &str,
        command: &mut Command,
    ) -> Result<CommandOutcome, CommandError> {
        let notice = self.output.is_watched().then(|| {
            WaitNotice::new(|what| {
                Output::new(false).note(&format!("waiting for {what}; Ctrl-C stops"));
            })
        });
        let _command = self.peer.begin_command(notice);
        let _interrupts = self.prompt.map(|prompt| {
            let (peer, question) = (Arc::clone(self.peer), self.lines.question());
            prompt.signals.begin_command(move || {
                question.interrupt();
                peer.interrupt_command();
            })
        });
        let result = self.ask_and_execute(name, command);
        if let Some(prompt) = self.prompt {
            match &result {
                Ok(CommandOutcome::Waited(downloads)) => prompt.notices.on_reported(downloads),
                Err(CommandError::DownloadFailed(_)) => {
                    let mut failed = self.peer.downloads();
                    failed.retain(|download| self.exclusions.has_reported_failure(download));
                    prompt.notices.on_reported(&failed);
                }
                _ => {}
            }
            if let Ok(outcome) = &result {
                prompt.listed.on_outcome(command, outcome);
            }
        }
        match result {
            // This error is returned even if the command was interrupted: its message says whether
            // the command may have been carried out.
            Err(error) if error.is_account_error() => Err(error),
            Err(_) if self.is_interrupted() => Err(CommandError::cut_short(name)),
            // An interrupted `status` has no information about trackers.
            Ok(CommandOutcome::Status(_)) if self.is_interrupted() => {
                Err(CommandError::cut_short(name))
            }
            result => result,
        }
    }

    /// Asks for the passwords that the command lacks, and executes it. The command keeps the
    /// passwords for the next try.
    fn ask_and_execute(
        &mut self,
        name: &str,
        command: &mut Command,
    ) -> Result<CommandOutcome, CommandError> {
        if let Command::Account(command) = command
            && !self.stop.is_stopped()
        {
            self.account_runner(name).ask_passwords(command)?;
        }
        self.execute(name, command.clone())
    }

    fn is_interrupted(&self) -> bool {
        self.peer.is_command_interrupted() || self.stop.is_stopped()
    }

    fn on_started(&mut self, started: &Started) {
        self.exclusions.on_started(started.info_hash);
        // Without `already`, a download that existed before would get a second notice of its end.
        if let Some(prompt) = self.prompt
            && !started.already
        {
            prompt.notices.on_started(started.info_hash);
        }
    }

    fn account_runner<'b>(&'b self, name: &'b str) -> AccountRunner<'b> {
        AccountRunner {
            name,
            peer: self.peer,
            lines: self.lines,
            output: self.output,
        }
    }

    fn execute(&mut self, name: &str, command: Command) -> Result<CommandOutcome, CommandError> {
        if self.stop.is_stopped() {
            return Err(CommandError::not_run(name));
        }
        match command {
            Command::Send { path, torrent } => self.send(&path, torrent),
            Command::Download { source, options } => self.download(source, options),
            Command::ShowDownloads => Ok(CommandOutcome::Downloads(self.peer.downloads())),
            Command::ShowPeers => Ok(CommandOutcome::Links(self.peer.links())),
            Command::Cancel(name) => {
                self.peer.cancel(&name)?;
                Ok(CommandOutcome::Cancelled(name))
            }
            Command::Wait(limit) => wait::wait(self.peer, &mut self.exclusions, limit, self.output)
                .map(CommandOutcome::Waited),
            Command::Status => Ok(CommandOutcome::Status(self.peer.status())),
            Command::Help(name) => {
                let mut entries = entries();
                let entry = name.and_then(|name| entries.find(|entry| entry.name == name));
                Ok(CommandOutcome::Help(entry))
            }
            Command::Account(command) => {
                let outcome = self.account_runner(name).run(command);
                outcome.map(CommandOutcome::Account)
            }
            Command::File(command) => self.file(command),
            Command::Quit => {
                self.has_quit = true;
                Ok(CommandOutcome::Quit)
            }
        }
    }

    fn file(&mut self, command: FileCommand) -> Result<CommandOutcome, CommandError> {
        match command {
            FileCommand::Upload { group, path } => {
                let hashing = HashingProgress::new("hashing", self.output);
                let step = |done, total| hashing.step(done, total);
                let uploaded = self.peer.upload_file(&group, &path, &step);
                hashing.finish();
                Ok(CommandOutcome::Uploaded(uploaded?))
            }
            FileCommand::List(group) => Ok(CommandOutcome::Files(self.peer.list_files(&group)?)),
            FileCommand::Download {
                group,
                name,
                destination,
                force,
            } => {
                let destination = destination.as_deref();
                let hashing = HashingProgress::new("hashing existing files", self.output);
                let step = |done, total| hashing.step(done, total);
                let started = self
                    .peer
                    .download_file(&group, &name, destination, force, &step);
                hashing.finish();
                let started = started?;
                self.on_started(&started);
                Ok(CommandOutcome::Started(started))
            }
            FileCommand::Export {
                group,
                name,
                folder,
            } => {
                let exported = self.peer.export_torrent(&group, &name, &folder)?;
                Ok(CommandOutcome::Exported(exported))
            }
            FileCommand::Stop { group, name, scope } => {
                let withdrawn = match group {
                    Some(group) => self.peer.stop_share(&group, &name, scope)?,
                    None => {
                        self.peer.stop_open_share(&name)?;
                        false
                    }
                };
                Ok(CommandOutcome::StoppedShare(name, withdrawn))
            }
        }
    }

    fn send(&self, path: &Path, torrent: Option<PathBuf>) -> Result<CommandOutcome, CommandError> {
        let torrent = match torrent {
            Some(torrent) => torrent,
            None => torrent_name(path).map_err(|source| PeerError::File {
                path: path.to_owned(),
                source,
            })?,
        };
        let hashing = HashingProgress::new("hashing", self.output);
        let sent = self
            .peer
            .send(path, &torrent, &|done, total| hashing.step(done, total));
        hashing.finish();
        Ok(CommandOutcome::Sent(sent?))
    }

    fn download(
        &mut self,
        source: DownloadSource,
        options: DownloadOptions,
    ) -> Result<CommandOutcome, CommandError> {
        let started = match source {
            DownloadSource::Magnet(link) => self.peer.download_magnet(&link, options),
            DownloadSource::Torrent(torrent) => {
                // The peer hashes only if there are files at the destination.
                let hashing = HashingProgress::new("hashing existing files", self.output);
                let step = |done, total| hashing.step(done, total);
                let started = self.peer.download(&torrent, options, &step);
                hashing.finish();
                started
            }
        };
        let started = started?;
        self.on_started(&started);
        Ok(CommandOutcome::Started(started))
    }

    fn report(&mut self, name: &str, result: &Result<CommandOutcome, CommandError>) {
        self.all_succeeded &= result.is_ok();
        let one_tracker_only = self.peer.account().take_saved_by_one_tracker();
        if one_tracker_only && !self.output.is_json() {
            self.output.note(
                "only one tracker has stored this so far; the others copy it when they are back",
            );
        }
        match result {
            _ if self.output.is_json() => {
                self.output
                    .result(&json::result_line(name, result, one_tracker_only));
            }
            Ok(outcome) => {
                for line in render::outcome_lines(outcome) {
                    self.output.result(&line);
                }
                if let Some(note) = render::outcome_note(outcome) {
                    self.output.note(&note);
                }
            }
            Err(error) => {
                for line in error.lines() {
                    self.output.error(&line);
                }
            }
        }
        match result {
            Err(CommandError::Unknown { .. }) => {
                log::warn!("unknown command; it is not logged, because it may be a password")
            }
            Err(error) => log::warn!("command {name} failed: {error}"),
            Ok(_) => {}
        }
    }

    /// Writes a note about each download that is still running when the peer ends. `keeps_state`:
    /// whether the state folder still exists at the next start.
    pub(super) fn note_unfinished_downloads(&self, keeps_state: bool) {
        let advice = if keeps_state {
            "it continues at the next start with the same --dir"
        } else {
            "start it again with the same destination to continue (with --dir it continues by itself)"
        };
        for download in self.peer.downloads() {
            if is_running(&download) {
                let progress = match download.state {
                    DownloadState::Checking(_) => "while its files were checked".to_owned(),
                    _ => format!("at {}%", render::percent(&download)),
                };
                let name = &download.name;
                self.output
                    .note(&format!("{name}: stopped {progress}; {advice}"));
            }
        }
    }
}

/// The default path of the `.torrent` of a file or folder: `NAME.torrent` in the current folder.
pub(super) fn torrent_name(path: &Path) -> io::Result<PathBuf> {
    let mut name = match path.file_name() {
        Some(name) => name.to_owned(),
        // The path is `.` or `..`: find the folder's name.
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
    fn a_torrent_has_the_name_of_its_file_or_folder() {
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
