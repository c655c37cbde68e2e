//! A running peer, as attached clients see it: it carries out their commands as its own ones.

use super::attach::{Host, NoticePrinter, SentLine, Session};
use super::command_error::CommandError;
use super::commands::ArgumentKind;
use super::execute::{CommandRunner, CommandUser, PromptParts};
use super::json;
use super::line_runner::LineRunner;
use super::listed_names::ListedNames;
use super::news::NewsFeed;
use super::notices::Notices;
use super::output::Output;
use super::wait::WaitExclusions;
use crate::net::Stop;
use crate::peer::{DownloadState, Peer};
use crate::wire::attach::Ending;
use std::sync::{Arc, Weak};

/// A running peer.
#[derive(Debug)]
pub(super) struct PeerHost {
    pub(super) peer: Arc<Peer>,
    pub(super) exclusions: WaitExclusions,
    pub(super) news: Arc<NewsFeed>,
    /// Raised to end the peer.
    pub(super) stop: Stop,
}

impl Host for PeerHost {
    fn serve(&self, session: &Arc<Session>) {
        let output = session.output(session.caller.json);
        print_first_line(&self.peer, &output);
        let prompt = session.caller.prompt.then(|| self.prompt());
        let news = prompt.as_ref().map(|prompt| {
            let names = names(Arc::downgrade(&self.peer), Arc::clone(&prompt.listed));
            session.set_names(Box::new(move |kind, group| {
                let kind = ArgumentKind::of_word(kind);
                kind.map(|kind| names(kind, group)).unwrap_or_default()
            }));
            let printer = NoticePrinter(Arc::clone(session));
            let notices = Arc::clone(&prompt.notices);
            self.news
                .subscribe(&self.peer, notices, Some(Box::new(printer)))
        });
        if let Some(Err(error)) = &news {
            output.note(&format!("no news is shown: cannot start a thread: {error}"));
        }
        let user = CommandUser {
            home: session.home(),
            folder: Some(session.folder()),
            interrupts: Some(&**session),
            prompt: prompt.as_ref(),
        };
        let exclusions = self.exclusions.for_another_user();
        let (answers, stop) = (&**session, &session.stop);
        let mut runner = CommandRunner::new(&self.peer, user, &output, answers, stop, exclusions);
        self.carry_out(session, prompt.as_ref(), &mut runner);
    }
}

impl PeerHost {
    /// Carries out the lines of a client.
    fn carry_out(
        &self,
        session: &Session,
        prompt: Option<&PromptParts>,
        runner: &mut CommandRunner<'_>,
    ) {
        loop {
            let notices = prompt.map(|prompt| prompt.notices.open_prompt());
            for line in notices.into_iter().flatten() {
                session.send_notice(&line);
            }
            let ending = runner.ending();
            session.done(runner.all_succeeded(), ending);
            if ending == Ending::Process {
                log::info!("an attached command ends this peer");
                self.stop.stop();
            }
            if ending != Ending::Nothing {
                return;
            }
            let Some(line) = session.next_line() else {
                return;
            };
            prompt.inspect(|prompt| prompt.notices.close_prompt());
            match line {
                SentLine::Input(_, text) => runner.run(&text),
                SentLine::Argument(_, text) => runner.run_argument(&text, false),
                SentLine::NotText(_) => runner.refuse(CommandError::NotText),
            }
        }
    }

    /// The parts of a new prompt. The downloads that have ended before need no notice.
    fn prompt(&self) -> PromptParts {
        let notices = Notices::default();
        notices.on_reported(&self.peer.downloads());
        PromptParts {
            listed: Arc::default(),
            notices: Arc::new(notices),
        }
    }
}

/// Prints the first line of a peer, which scripts rely on.
pub(super) fn print_first_line(peer: &Peer, output: &Output) {
    let first_line = format!("peer listening on {}", peer.address());
    match output.is_json() {
        true => {
            output.result(&json::listening_line(peer.address()));
            output.note(&first_line);
        }
        false => {
            output.result(&first_line);
        }
    }
}

/// The names that a peer offers for completion. Weak: the thread that reads input is never joined
/// and must not keep the peer alive.
pub(super) fn names(
    peer: Weak<Peer>,
    listed: Arc<ListedNames>,
) -> impl Fn(ArgumentKind, Option<&str>) -> Vec<String> {
    move |kind, group| match kind {
        ArgumentKind::Download => {
            let downloads = peer.upgrade().map(|peer| peer.downloads());
            let downloads = downloads.unwrap_or_default().into_iter();
            downloads
                // Only downloads that are not complete can be cancelled.
                .filter(|download| download.state != DownloadState::Complete)
                .map(|download| download.name)
                .collect()
        }
        kind => listed.names(kind, group),
    }
}
