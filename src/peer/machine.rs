//! Keeps the machine of a peer logged in: when the next attempt is made, and who is notified.
//!
//! In scope: the thread `machine`. Out of scope: the requests (`account::machine`).

use super::{Account, MachineLoginState, MachineStatus};
use crate::net::Stop;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interval at which the thread checks whether the login has ended.
const CHECK: Duration = Duration::from_secs(1);
/// The shortest and the longest pause after an attempt that may succeed later without a person. The
/// pause doubles after each attempt.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pause after an attempt that succeeds only after a person has answered.
const ANSWER_RETRY: Duration = Duration::from_secs(15);
/// Interval at which a machine that is logged in makes a request, even if it has nothing to ask. So
/// its login is renewed, and it learns that it was revoked.
const KEEP_ALIVE: Duration = Duration::from_secs(5 * 60);
/// The same interval while no tracker sends hints: a tracker ends its connection to a machine that
/// was revoked, and then the machine asks soon.
const KEEP_ALIVE_UNWATCHED: Duration = Duration::from_secs(15);

/// A function that is called when the state of the machine has changed.
#[derive(Clone)]
pub struct MachineNotice(Arc<dyn Fn(&MachineStatus) + Send + Sync>);

impl MachineNotice {
    /// Wraps the function.
    pub fn new(notify: impl Fn(&MachineStatus) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }
}

impl fmt::Debug for MachineNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineNotice")
    }
}

/// Calls the notice when the state has changed.
struct Notifier<'a> {
    notice: &'a MachineNotice,
    /// The state that was reported last, and whether there was trouble.
    last: Option<(MachineLoginState, bool)>,
}

impl Notifier<'_> {
    fn on_status(&mut self, status: &MachineStatus) {
        let news = (status.state, status.trouble.is_some());
        if self.last.replace(news) != Some(news) {
            (self.notice.0)(status);
        }
    }
}

/// Keeps the machine logged in until the stop, or until the trackers refuse it for good. Calls
/// `on_login` after each log-in. Returns at once if the peer is that of a person.
pub(super) fn run(account: &Account, stop: &Stop, notice: &MachineNotice, on_login: impl Fn()) {
    let mut notifier = Notifier { notice, last: None };
    let mut attempts: u32 = 0;
    let mut was_logged_in = false;
    let mut kept_alive = Instant::now();
    while let Some(before) = account.machine() {
        // A request of another thread may have been refused for good.
        if before.state == MachineLoginState::Refused {
            notifier.on_status(&before);
            return;
        }
        if account.user().is_none() {
            was_logged_in = false;
            attempts = attempts.saturating_add(1);
            // The status has the error.
            let _ = account.log_in_machine();
        } else if kept_alive.elapsed() >= keep_alive_after(account.is_watching()) {
            kept_alive = Instant::now();
            account.keep_machine_alive();
        }
        let Some(status) = account.machine() else {
            return;
        };
        if status.state == MachineLoginState::LoggedIn {
            attempts = 0;
            if !was_logged_in {
                kept_alive = Instant::now();
                on_login();
            }
            was_logged_in = true;
        }
        notifier.on_status(&status);
        if stop.wait(pause_after(status.state, attempts)) {
            return;
        }
    }
}

/// The interval at which a machine that is logged in makes a request. `is_watching`: whether a
/// tracker sends it hints.
fn keep_alive_after(is_watching: bool) -> Duration {
    match is_watching {
        true => KEEP_ALIVE,
        false => KEEP_ALIVE_UNWATCHED,
    }
}

/// The pause before the thread looks at the machine again. `attempts`: the number of attempts to
/// log in since the last success.
fn pause_after(state: MachineLoginState, attempts: u32) -> Duration {
    match state {
        MachineLoginState::LoggedIn | MachineLoginState::Refused => CHECK,
        MachineLoginState::Suspended => ANSWER_RETRY,
        MachineLoginState::Waiting => {
            let doublings = attempts.saturating_sub(1).min(16);
            let pause = RETRY.0.saturating_mul(1 << doublings).min(RETRY.1);
            // Machines that have lost their tracker at the same moment do not come back together.
            pause.mul_f64(0.75 + fastrand::f64() / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_no_tracker_answers_and_differ_between_machines() {
        let within = |attempts, least: u64, most: u64| {
            let pause = pause_after(MachineLoginState::Waiting, attempts);
            let bounds = Duration::from_millis(least)..=Duration::from_millis(most);
            assert!(bounds.contains(&pause), "{attempts}: {pause:?}");
        };
        for (attempts, seconds) in [(0, 1), (1, 1), (2, 2), (5, 16), (7, 60), (u32::MAX, 60)] {
            within(attempts, seconds * 750, seconds * 1_250);
        }
        let pauses = (0..20).map(|_| pause_after(MachineLoginState::Waiting, 9));
        let pauses: std::collections::HashSet<Duration> = pauses.collect();
        assert!(pauses.len() > 1);
        assert_eq!(pause_after(MachineLoginState::Suspended, 9), ANSWER_RETRY);
    }
}
