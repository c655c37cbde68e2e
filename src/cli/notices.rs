//! Lines that appear at the prompt by themselves. They are held back while a command runs or a
//! question is open, so that they do not break into it.

use super::progress::is_running;
use super::render;
use crate::peer::DownloadStatus;
use crate::system::lock;
use crate::torrent::InfoHash;
use std::collections::HashSet;
use std::sync::Mutex;

/// The notices of one prompt.
#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a prompt for a command is open.
    is_open: bool,
    waiting: Vec<Notice>,
    /// Ended downloads that need no further notice.
    reported: HashSet<InfoHash>,
}

#[derive(Debug)]
struct Notice {
    line: String,
    /// The download that the notice is about. `None` if it is about something else.
    download: Option<InfoHash>,
}

impl Notices {
    /// `complete` are the downloads that the peer found complete and unchanged when it started.
    /// They need no notice.
    pub(super) fn new(complete: HashSet<InfoHash>) -> Self {
        Self(Mutex::new(State {
            reported: complete,
            ..State::default()
        }))
    }

    /// A prompt for a command opens. Returns the lines to show above it.
    pub(super) fn open_prompt(&self) -> Vec<String> {
        let mut state = lock(&self.0);
        state.is_open = true;
        let waiting = state.waiting.drain(..);
        waiting.map(|notice| notice.line).collect()
    }

    /// The prompt was answered.
    pub(super) fn close_prompt(&self) {
        lock(&self.0).is_open = false;
    }

    /// Adds a line. Returns it if a prompt is open: then it can be shown at once.
    pub(super) fn add(&self, line: String) -> Option<String> {
        lock(&self.0).add(Notice {
            line,
            download: None,
        })
    }

    /// Adds a notice for each download that has ended. Returns the lines that can be shown at once.
    pub(super) fn add_ended(&self, downloads: &[DownloadStatus]) -> Vec<String> {
        let mut state = lock(&self.0);
        let ended = downloads.iter().filter(|download| !is_running(download));
        let lines = ended.filter_map(|download| {
            if !state.reported.insert(download.info_hash) {
                return None;
            }
            state.add(Notice {
                line: render::ended_line(download),
                download: Some(download.info_hash),
            })
        });
        lines.collect()
    }

    /// A download was started, perhaps of a share that was downloaded before.
    pub(super) fn on_started(&self, info_hash: InfoHash) {
        lock(&self.0).reported.remove(&info_hash);
    }

    /// A command has reported these downloads. Those that have ended need no notice any more.
    pub(super) fn on_reported(&self, downloads: &[DownloadStatus]) {
        let mut state = lock(&self.0);
        for ended in downloads.iter().filter(|download| !is_running(download)) {
            state.reported.insert(ended.info_hash);
            let is_other = |notice: &Notice| notice.download != Some(ended.info_hash);
            state.waiting.retain(is_other);
        }
    }
}

impl State {
    fn add(&mut self, notice: Notice) -> Option<String> {
        if self.is_open {
            return Some(notice.line);
        }
        self.waiting.push(notice);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::running;
    use super::*;
    use crate::peer::DownloadState;

    #[test]
    fn a_notice_waits_for_the_prompt() {
        let notices = Notices::default();
        assert_eq!(notices.add("early".into()), None);
        assert_eq!(notices.open_prompt(), ["early"]);
        assert_eq!(notices.add("now".into()).as_deref(), Some("now"));
        notices.close_prompt();
        assert_eq!(notices.add("late".into()), None);
        assert_eq!(notices.open_prompt(), ["late"]);
        assert!(notices.open_prompt().is_empty());
    }

    #[test]
    fn each_download_that_ends_gets_one_notice() {
        let mut download = running("x");
        let notices = Notices::default();
        notices.open_prompt();
        assert!(notices.add_ended(&[download.clone()]).is_empty());
        download.state = DownloadState::Complete;
        let ended = [download];
        assert!(notices.add_ended(&ended)[0].starts_with("complete x"));
        assert!(notices.add_ended(&ended).is_empty());
        // The download is started again. It ends during the command `wait`, which reports it.
        notices.on_started(ended[0].info_hash);
        notices.close_prompt();
        assert!(notices.add_ended(&ended).is_empty());
        notices.on_reported(&ended);
        assert!(notices.open_prompt().is_empty());
        assert!(
            Notices::new(HashSet::from([ended[0].info_hash]))
                .add_ended(&ended)
                .is_empty()
        );
    }
}
