//! Runs one hook as a process.
//!
//! The process gets no shell. It is in a process group of its own, with no signal blocked and none
//! ignored, and with `/dev/null` as standard input. Its output goes to the log. When it has ended,
//! the other processes of its group are ended too.

use super::HookCommand;
use super::output::HookOutput;
use super::patience::{EndCause, GIVE_UP_AFTER, KILL_AFTER, Patience, Step};
use crate::net::Stop;
use crate::system::lock;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, pipe2};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for output. Then the thread checks whether the process has ended, and the time.
const POLL: Duration = Duration::from_millis(50);
/// The bytes of output that are read at once.
const READ: usize = 64 << 10;
/// How often output is read after the process has ended. Another process may go on writing.
const LAST_READS: usize = 64;

/// Processes of hooks that did not end even after SIGKILL. They are reaped later.
#[derive(Debug, Default)]
pub(super) struct GivenUp(Mutex<Vec<Pid>>);

impl GivenUp {
    /// Reaps those that have ended since.
    pub(super) fn reap(&self) {
        let goes_on = |pid: &Pid| {
            let status = waitpid(*pid, Some(WaitPidFlag::WNOHANG));
            status == Ok(WaitStatus::StillAlive)
        };
        lock(&self.0).retain(goes_on);
    }
}

/// A hook that is to be run.
pub(super) struct HookRun<'a> {
    pub(super) command: &'a HookCommand,
    /// Its whole environment.
    pub(super) environment: &'a [CString],
    /// How long it may run.
    pub(super) time: Duration,
    /// Ends it when the peer stops.
    pub(super) stop: &'a Stop,
    /// Gets its process if this does not end.
    pub(super) given_up: &'a GivenUp,
}

/// How a hook has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HookEnd {
    process: ProcessEnd,
    /// Why the peer has ended it. `None` if the hook has ended by itself.
    cause: Option<EndCause>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProcessEnd {
    Exited(i32),
    Signaled(Signal),
    /// It has ended, but the system does not say how.
    Unknown,
    /// It goes on after SIGKILL: it waits for a device or for a network disk.
    GoesOn,
}

impl HookEnd {
    /// Whether it has ended by itself, with the exit code 0.
    pub(super) fn is_success(&self) -> bool {
        self.cause.is_none() && self.process == ProcessEnd::Exited(0)
    }

    /// How it has ended, for people. `time` is how long it was allowed to run.
    pub(super) fn text(&self, time: Duration) -> String {
        let end = match self.process {
            ProcessEnd::Exited(code) => format!("exit code {code}"),
            ProcessEnd::Signaled(signal) => format!("ended by {signal}"),
            ProcessEnd::Unknown => {
                "its exit code is not known, because this peer was started with SIGCHLD ignored"
                    .to_owned()
            }
            ProcessEnd::GoesOn => "its process does not end even after SIGKILL".to_owned(),
        };
        match self.cause {
            None => end,
            Some(EndCause::TimeLimit) => {
                let time = time.as_secs_f64();
                format!("ended after {time} s, the limit of --hook-time ({end})")
            }
            Some(EndCause::Stop) => format!("ended because the peer stops ({end})"),
        }
    }
}

impl HookRun<'_> {
    /// Runs the hook, and waits for its end: at most [`HookRun::time`] and a few seconds, and only
    /// a few seconds after the stop. Calls `on_started` when the process has started, and `log`
    /// with each line of its output.
    ///
    /// # Errors
    /// The process cannot be started. `on_started` was not called.
    pub(super) fn run(
        &self,
        on_started: impl FnOnce(),
        mut log: impl FnMut(&str),
    ) -> Result<HookEnd, Errno> {
        let mut process = HookProcess::start(self.command, self.environment)?;
        on_started();
        let mut patience = Patience::new(Instant::now(), self.time);
        let end = loop {
            process.read(POLL, &mut log);
            if let Some(end) = process.end() {
                break end;
            }
            match patience.next(Instant::now(), self.stop.is_stopped()) {
                Step::Wait => {}
                Step::Terminate => process.signal(Signal::SIGTERM),
                Step::Kill => process.signal(Signal::SIGKILL),
                Step::GiveUp => break ProcessEnd::GoesOn,
            }
        };
        match end {
            ProcessEnd::Exited(_) | ProcessEnd::Signaled(_) => {
                process.read_rest(&mut log);
                process.end_group();
            }
            ProcessEnd::GoesOn => lock(&self.given_up.0).push(process.pid),
            ProcessEnd::Unknown => {}
        }
        process.output.finish(log);
        Ok(HookEnd {
            process: end,
            cause: patience.cause(),
        })
    }
}

/// A process that has started and was not reaped. While it was not, no other process and no other
/// process group can have its number.
struct HookProcess {
    pid: Pid,
    /// The end of the pipe that has its output. `None` after the end of its output.
    pipe: Option<File>,
    output: HookOutput,
}

impl HookProcess {
    fn start(command: &HookCommand, environment: &[CString]) -> Result<Self, Errno> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_open(0, c"/dev/null", OFlag::O_RDONLY, Mode::empty())?;
        actions.add_dup2(writer.as_raw_fd(), 1)?;
        actions.add_dup2(writer.as_raw_fd(), 2)?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        let words = [&command.program].into_iter().chain(&command.arguments);
        let words: Result<Vec<CString>, _> = words.map(|word| CString::new(&**word)).collect();
        let words = words.map_err(|_| Errno::EINVAL)?;
        let program = words.first().ok_or(Errno::EINVAL)?;
        let pid = posix_spawnp(program, &actions, &attributes, &words, environment)?;
        Ok(Self {
            pid,
            pipe: Some(File::from(reader)),
            output: HookOutput::default(),
        })
    }

    /// Reads output that has arrived. Waits for some, at most `limit`. Returns whether there was
    /// any.
    fn read(&mut self, limit: Duration, log: &mut impl FnMut(&str)) -> bool {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        let Some(pipe) = &mut self.pipe else {
            thread::sleep(limit);
            return false;
        };
        let mut events = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut events, timeout), Ok(1..)) {
            return false;
        }
        let mut bytes = [0; READ];
        match pipe.read(&mut bytes) {
            Ok(0) | Err(_) => {
                self.pipe = None;
                false
            }
            Ok(length) => {
                self.output
                    .add(bytes.get(..length).unwrap_or_default(), log);
                true
            }
        }
    }

    /// Reads the output that is left in the pipe.
    fn read_rest(&mut self, log: &mut impl FnMut(&str)) {
        for _ in 0..LAST_READS {
            if !self.read(Duration::ZERO, log) {
                return;
            }
        }
    }

    /// How the process has ended; `None` while it runs. Does not reap it.
    fn end(&self) -> Option<ProcessEnd> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid), flags) {
            Ok(WaitStatus::Exited(_, code)) => Some(ProcessEnd::Exited(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ProcessEnd::Signaled(signal)),
            Ok(_) | Err(Errno::EINTR) => None,
            // The system has reaped it, because SIGCHLD is ignored.
            Err(_) => Some(ProcessEnd::Unknown),
        }
    }

    /// Sends a signal to all processes of its group.
    fn signal(&self, signal: Signal) {
        // Fails if the group has no process any more.
        let _ = killpg(self.pid, signal);
    }

    /// Reaps the process, which has ended. Ends the other processes of its group: first with
    /// SIGTERM, and with SIGKILL if some are left after [`KILL_AFTER`].
    fn end_group(&self) {
        self.signal(Signal::SIGTERM);
        let _ = waitpid(self.pid, None);
        let kill_at = Instant::now() + KILL_AFTER;
        let mut is_killed = false;
        // As long as the group has a process, no other group can get its number.
        while self.group_has_process() {
            let now = Instant::now();
            if now >= kill_at + GIVE_UP_AFTER {
                return;
            }
            if now >= kill_at && !is_killed {
                self.signal(Signal::SIGKILL);
                is_killed = true;
            }
            thread::sleep(POLL);
        }
    }

    /// Whether the group still has a process. The hook itself was reaped before.
    fn group_has_process(&self) -> bool {
        // The peer may be process 1 of a container. Then it is the parent of what its hooks leave
        // behind, and nobody else reaps these processes.
        let group = Pid::from_raw(-self.pid.as_raw());
        while let Ok(status) = waitpid(group, Some(WaitPidFlag::WNOHANG))
            && status.pid().is_some()
        {}
        killpg(self.pid, None).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    /// Runs a script of `sh`. Returns how it has ended, and its output.
    fn run(script: &str, time: Duration, stop: &Stop) -> (HookEnd, Vec<String>) {
        let command = HookCommand {
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        };
        let run = HookRun {
            command: &command,
            environment: &[c"A=b c".to_owned(), c"PATH=/bin:/usr/bin".to_owned()],
            time,
            stop,
            given_up: &GivenUp::default(),
        };
        let (mut lines, mut started) = (Vec::new(), 0);
        let end = run.run(|| started += 1, |line| lines.push(line.to_owned()));
        assert_eq!(started, 1);
        (end.unwrap(), lines)
    }

    #[test]
    fn a_hook_has_its_environment_no_input_and_its_output_is_read() {
        let (end, lines) = run("echo \"$A\"; cat; echo e >&2", TIME, &Stop::new());
        assert!(end.is_success(), "{end:?}");
        assert_eq!(lines, ["b c", "e"]);
        let (end, _) = run("exit 3", TIME, &Stop::new());
        assert_eq!((end.is_success(), &*end.text(TIME)), (false, "exit code 3"));
        let (end, _) = run("kill -9 $$", TIME, &Stop::new());
        assert_eq!(end.text(TIME), "ended by SIGKILL");
    }

    #[test]
    fn a_hook_is_in_a_group_of_its_own_and_inherits_no_descriptor() {
        let script = "cut -d' ' -f1,5 /proc/$$/stat; ls /proc/self/fd | wc -l";
        let (_, lines) = run(script, TIME, &Stop::new());
        let (process, group) = lines[0].split_once(' ').unwrap();
        assert_eq!(process, group);
        // What this process itself has inherited is passed on, as to any other process.
        let mut shell = std::process::Command::new("sh");
        let other = shell.args(["-c", "ls /proc/self/fd | wc -l"]).output();
        let other = String::from_utf8(other.unwrap().stdout).unwrap();
        assert_eq!(lines[1].trim(), other.trim());
    }

    #[test]
    fn a_program_that_does_not_exist_or_is_no_program_cannot_be_started() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "echo x").unwrap();
        let text = text.to_str().unwrap();
        for (program, expected) in [("no-such-program", Errno::ENOENT), (text, Errno::EACCES)] {
            let command = HookCommand {
                program: program.to_owned(),
                arguments: Vec::new(),
            };
            let run = HookRun {
                command: &command,
                environment: &[],
                time: TIME,
                stop: &Stop::new(),
                given_up: &GivenUp::default(),
            };
            let end = run.run(|| panic!("it has started"), |_| ());
            assert_eq!(end, Err(expected));
        }
    }

    #[test]
    fn what_a_hook_leaves_behind_is_ended() {
        let (end, lines) = run("sleep 1000 & echo $!", TIME, &Stop::new());
        assert!(end.is_success(), "{end:?}");
        let process = format!("/proc/{}/stat", lines[0]);
        // Nobody may have reaped it yet.
        let state = std::fs::read_to_string(process).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn a_peer_that_is_the_parent_of_orphans_reaps_what_a_hook_leaves_behind() {
        // As process 1 of a container. Other tests only leave zombies for longer.
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let begun = Instant::now();
        let (_, lines) = run("sleep 1000 & echo $!", TIME, &Stop::new());
        assert!(begun.elapsed() < KILL_AFTER);
        assert!(!std::path::Path::new(&format!("/proc/{}", lines[0])).exists());
    }

    #[test]
    fn a_process_that_was_given_up_is_reaped_when_it_has_ended() {
        let command = HookCommand {
            program: "/bin/sleep".to_owned(),
            arguments: vec!["1000".to_owned()],
        };
        let process = HookProcess::start(&command, &[]).unwrap();
        let given_up = GivenUp(Mutex::new(vec![process.pid]));
        given_up.reap();
        assert_eq!(lock(&given_up.0).len(), 1);
        process.signal(Signal::SIGKILL);
        while !lock(&given_up.0).is_empty() {
            given_up.reap();
            thread::yield_now();
        }
        let path = format!("/proc/{}", process.pid);
        assert!(!std::path::Path::new(&path).exists());
    }

    #[test]
    fn a_hook_is_ended_when_its_time_is_over_or_the_peer_stops() {
        let short = Duration::from_millis(100);
        let (end, _) = run("sleep 1000", short, &Stop::new());
        let expected = "ended after 0.1 s, the limit of --hook-time (ended by SIGTERM)";
        assert_eq!(end.text(short), expected);
        let stop = Stop::new();
        stop.stop();
        let begun = Instant::now();
        let (end, _) = run("trap '' TERM; while :; do sleep 0.1; done", TIME, &stop);
        assert_eq!(
            end.text(TIME),
            "ended because the peer stops (ended by SIGKILL)"
        );
        assert!(begun.elapsed() < KILL_AFTER * 2);
    }
}
