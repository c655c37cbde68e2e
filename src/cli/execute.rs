//! Runs commands against a running peer, one at a time, and prints their results.
//!
//! In scope: what each command calls, what is printed, whether all commands succeeded. Out of
//! scope: where the lines come from (`peer`, `prompt`).

use super::account::AccountRunner;
use super::answers::{Answers, Interruptible, Interrupts};
use super::command_error::{CommandError, Prospect};
use super::commands::{
    Command, DownloadSource, FileCommand, ParsedLine, entries, holds_password, parse_line,
    passwords_that_follow,
};
use super::hashing::HashingProgress;
use super::line_runner::LineRunner;
use super::listed_names::ListedNames;
use super::notices::Notices;
use super::outcome::CommandOutcome;
use super::output::Output;
use super::paths::{self, torrent_name};
use super::progress::is_running;
use super::retry::retry;
use super::wait::{self, WaitExclusions};
use super::{holders, json, mirrors, render, tokens};
use crate::net::Stop;
use crate::peer::{DownloadOptions, DownloadState, Peer, PeerError, Repair, Started, WaitNotice};
use crate::wire::attach::Ending;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs the commands of one process, or of one attached client.
#[derive(Debug)]
pub(super) struct CommandRunner<'a> {
    peer: &'a Arc<Peer>,
    user: CommandUser<'a>,
    output: &'a Output,
    lines: &'a dyn Answers,
    stop: &'a Stop,
    exclusions: WaitExclusions,
    all_succeeded: bool,
    has_hopeless_failure: bool,
    one_tracker_only: bool,
    ending: Ending,
}

/// Who runs commands, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandUser<'a> {
    /// What `~/` means; `None` if it is not expanded.
    pub(super) home: Option<&'a str>,
    /// The user's current folder. `None`: the current folder of this process.
    pub(super) folder: Option<&'a Path>,
    /// With these, the user can end the command that runs.
    pub(super) interrupts: Option<&'a dyn Interrupts>,
    /// The prompt at which commands are typed.
    pub(super) prompt: Option<&'a PromptParts>,
}

/// The parts of a prompt that its commands use.
#[derive(Debug, Default)]
pub(super) struct PromptParts {
    pub(super) listed: Arc<ListedNames>,
    pub(super) notices: Arc<Notices>,
}

impl LineRunner for CommandRunner<'_> {
    fn run(&mut self, line: &str) {
        self.perform(line, false);
    }

    /// Every user of the machine can read an argument.
    fn run_argument(&mut self, line: &str, keeps_trying: bool) {
        if parse_line(line, None).is_some_and(|line| holds_password(&line)) {
            self.output.note(
                "other users of this machine can see a password in an argument; leave it out, and write it as the next \
                 line of standard input",
            );
        }
        self.perform(line, keeps_trying);
    }

    fn refuse(&mut self, error: CommandError) {
        self.report("", &Err(error));
    }

    fn all_succeeded(&self) -> bool {
        self.all_succeeded
    }

    fn has_ended(&self) -> bool {
        self.ending != Ending::Nothing
    }
}

impl<'a> CommandRunner<'a> {
    /// A runner for commands of `user` at `peer`. It carries out no command after `stop` is raised.
    /// It reads passwords and answers from `lines`. The first `wait` leaves out the downloads of
    /// `exclusions`.
    pub(super) fn new(
        peer: &'a Arc<Peer>,
        user: CommandUser<'a>,
        output: &'a Output,
        lines: &'a dyn Answers,
        stop: &'a Stop,
        exclusions: WaitExclusions,
    ) -> Self {
        Self {
            peer,
            user,
            output,
            lines,
            stop,
            exclusions,
            all_succeeded: true,
            has_hopeless_failure: false,
            one_tracker_only: false,
            ending: Ending::Nothing,
        }
    }

    fn perform(&mut self, line: &str, keeps_trying: bool) {
        let Some(ParsedLine { name, command }) = parse_line(line, self.user.home) else {
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
        let folder = self.user.folder;
        let result = command.and_then(|mut command| {
            folder.inspect(|folder| paths::resolve(&mut command, folder));
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

    /// Whether a command has failed and cannot succeed later.
    pub(super) fn has_hopeless_failure(&self) -> bool {
        self.has_hopeless_failure
    }

    /// What ends with the commands: something, if one of them was `quit` or `stop`.
    pub(super) fn ending(&self) -> Ending {
        self.ending
    }

    /// Runs a command once. A stop of the peer ends the command early; the user can do so too.
    fn attempt(
        &mut self,
        name: &str,
        command: &mut Command,
    ) -> Result<CommandOutcome, CommandError> {
        let notice = self.output.is_watched().then(|| {
            let output = self.output.for_notes();
            WaitNotice::new(move |what| {
                output.note(&format!("waiting for {what}; Ctrl-C stops"));
            })
        });
        let running = self.peer.begin_command(notice);
        let _interruptible = self.user.interrupts.map(|interrupts| {
            let interrupter = running.interrupter();
            Interruptible::begin(interrupts, Box::new(move || interrupter.interrupt()))
        });
        let result = self.ask_and_execute(name, command);
        self.one_tracker_only |= self.peer.account().take_saved_by_one_tracker();
        if let Some(prompt) = self.user.prompt {
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
        if !self.stop.is_stopped() && command.needs_login() {
            self.peer.log_in_machine()?;
        }
        self.execute(name, command.clone())
    }

    fn is_interrupted(&self) -> bool {
        self.peer.is_command_interrupted() || self.stop.is_stopped()
    }

    fn on_started(&mut self, started: &Started) {
        self.exclusions.on_started(started.info_hash);
        // Without `already`, a download that existed before would get a second notice of its end.
        if let Some(prompt) = self.user.prompt
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
            Command::Send {
                path,
                torrent,
                follow_links,
            } => self.send(&path, torrent, follow_links),
            Command::Download { source, options } => self.download(source, options),
            Command::ShowDownloads => Ok(CommandOutcome::Downloads(self.peer.downloads())),
            Command::ShowPeers => Ok(CommandOutcome::Links(self.peer.links())),
            Command::Cancel(name) => {
                self.peer.cancel(&name)?;
                Ok(CommandOutcome::Cancelled(name))
            }
            Command::Verify { name, repairs } => self.verify(&name, repairs),
            Command::Wait(limit) => wait::wait(self.peer, &mut self.exclusions, limit, self.output)
                .map(CommandOutcome::Waited),
            Command::Status => Ok(CommandOutcome::Status(Box::new(self.peer.status()))),
            Command::Help(name) => {
                let mut entries = entries();
                let entry = name.and_then(|name| entries.find(|entry| entry.name == name));
                Ok(CommandOutcome::Help(entry))
            }
            Command::Account(command) => {
                let outcome = self.account_runner(name).run(command);
                outcome.map(CommandOutcome::Account)
            }
            Command::Machine(command) => {
                let outcome = tokens::run(self.peer.account(), self.output, command);
                outcome.map(CommandOutcome::Machine)
            }
            Command::Mirror(command) => {
                mirrors::run(self.peer, command).map(CommandOutcome::Mirror)
            }
            Command::File(command) => self.file(command),
            Command::Holder(command) => {
                let outcome = holders::run(self.peer, self.output, &command);
                outcome.map(CommandOutcome::Holder)
            }
            Command::Quit => {
                self.ending = Ending::Attachment;
                Ok(CommandOutcome::Quit)
            }
            Command::Stop => {
                self.ending = Ending::Process;
                Ok(CommandOutcome::Quit)
            }
        }
    }

    fn file(&mut self, command: FileCommand) -> Result<CommandOutcome, CommandError> {
        match command {
            FileCommand::Upload {
                group,
                path,
                publish,
            } => {
                let hashing = HashingProgress::new("hashing", self.output);
                let step = |done, total| hashing.step(done, total);
                let uploaded = self.peer.upload_file(&group, &path, &publish, &step);
                hashing.finish();
                Ok(CommandOutcome::Uploaded(uploaded?))
            }
            FileCommand::List { group, versions } => {
                let files = self.peer.list_files(&group, versions)?;
                Ok(CommandOutcome::Files(files))
            }
            FileCommand::Content { group, name, only } => {
                let content = self.peer.share_content(&group, &name, &only)?;
                Ok(CommandOutcome::Content(content))
            }
            FileCommand::Download {
                group,
                name,
                options,
                is_preview: true,
            } => {
                let preview = self.peer.preview_download(&group, &name, &options)?;
                Ok(CommandOutcome::Preview(preview))
            }
            FileCommand::Download {
                group,
                name,
                options,
                is_preview: false,
            } => {
                let hashing = HashingProgress::new("hashing existing files", self.output);
                let step = |done, total| hashing.step(done, total);
                let started = self.peer.download_file(&group, &name, &options, &step);
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

    fn verify(&mut self, name: &str, repairs: bool) -> Result<CommandOutcome, CommandError> {
        let hashing = HashingProgress::new("checking", self.output);
        let step = |done, total| hashing.step(done, total);
        let verified = self.peer.verify(name, repairs, &step);
        hashing.finish();
        let verified = verified?;
        match &verified.repair {
            Repair::NotNeeded => {}
            Repair::Begun => self.exclusions.on_started(verified.info_hash),
            Repair::Not(_) => return Err(CommandError::Damaged(Box::new(verified))),
        }
        Ok(CommandOutcome::Verified(verified))
    }

    fn send(
        &self,
        path: &Path,
        torrent: Option<PathBuf>,
        follow_links: bool,
    ) -> Result<CommandOutcome, CommandError> {
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
            .send(path, &torrent, follow_links, &|done, total| {
                hashing.step(done, total)
            });
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
        let one_tracker_only = std::mem::take(&mut self.one_tracker_only);
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
                for line in render::outcome_lines(outcome, self.output.columns()) {
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
