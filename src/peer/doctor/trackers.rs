//! What is checked at each tracker: whether it answers, is trusted and serves, whether its clock
//! agrees, and whether it can connect to the peer's port.

use super::finding::{Check, DoctorOptions, Finding};
use crate::certificate::Fingerprint;
use crate::net::HostNames;
use crate::peer::account::{Inspection, inspect};
use crate::peer::{Trust, TrustError, announce};
use crate::system::since_1970;
use crate::wire::access::{ClusterView, PortCheck, PortState};
use crate::wire::{HostPort, TrackerInfo};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

/// How long looking up the name of a tracker may take.
const LOOK_UP: Duration = Duration::from_secs(5);
/// A difference of clocks, in seconds, that is worth a warning. Trackers use the same limit for
/// each other's clocks.
const CLOCK_WARNING: u64 = 60;
/// A difference of clocks, in seconds, that is a fault: certificates of groups are not valid for a
/// machine that is so far behind.
const CLOCK_FAULT: u64 = 3_600;

/// Checks trackers for one peer.
pub(super) struct TrackerExaminer<'a> {
    pub(super) options: &'a DoctorOptions,
    pub(super) info: &'a TrackerInfo,
    /// The fingerprint that the peer stored at first use.
    pub(super) stored: Option<Fingerprint>,
    /// The port that trackers are to connect to, if the peer can use it.
    pub(super) port: Option<NonZeroU16>,
    pub(super) names: HostNames,
}

/// Reads TRACKER_INFO, and passes the finding to `found`. `None` if the file cannot be used.
pub(super) fn read_tracker_info(
    path: &Path,
    found: &mut impl FnMut(Finding),
) -> Option<TrackerInfo> {
    let check = Check::TrackerInfo;
    match announce::read_tracker_info(path) {
        Ok(info) => {
            let (shown, count) = (path.display(), info.addresses.len());
            let plural = if count == 1 { "" } else { "s" };
            let text = format!("{shown} names {count} tracker{plural}");
            found(Finding::good(check, text));
            Some(info)
        }
        Err(error) => {
            found(Finding::fault(check, error.what, Some(error.advice)));
            None
        }
    }
}

impl TrackerExaminer<'_> {
    /// Checks one tracker. Returns whether it answers and is trusted.
    pub(super) fn examine(&self, tracker: &HostPort, found: &mut impl FnMut(Finding)) -> bool {
        let inspection = match self.inspect(tracker) {
            Ok(inspection) => inspection,
            Err(finding) => {
                found(finding);
                return false;
            }
        };
        found(serving_finding(tracker, &inspection));
        found(self.fingerprint_finding(tracker, inspection.fingerprint));
        match &inspection.port {
            Ok(check) => {
                found(clock_finding(tracker, check, since_1970()));
                if let Some(port) = self.port {
                    found(port_finding(tracker, port, check));
                }
            }
            Err(why) => {
                let text = format!("{tracker} cannot check clock and port: {why}");
                let advice = "use the same version of pieceful on all machines";
                found(Finding::warning(Check::Port, text, advice));
            }
        }
        true
    }

    fn inspect(&self, tracker: &HostPort) -> Result<Inspection, Finding> {
        let unreachable = |why: String| {
            let advice = format!(
                "start it, or correct its address in {}; a firewall may block TCP port {}",
                self.options.tracker_info.display(),
                tracker.port
            );
            Finding::warning(Check::Tracker, why, &advice)
        };
        let addresses = self.names.addresses(tracker, LOOK_UP);
        let addresses = addresses.map_err(|error| unreachable(format!("{tracker}: {error}")))?;
        let folder = self.options.folder.as_deref().unwrap_or(Path::new("/"));
        let trust = Trust::new(self.info.fingerprint, folder, &|_| {});
        let mut last_finding = unreachable(format!("{tracker} has no address"));
        for address in addresses {
            // If the peer has no port, any number will do: the check of the port is not reported.
            match inspect(&trust, address, self.port.unwrap_or(NonZeroU16::MIN)) {
                Ok(inspection) => return Ok(inspection),
                Err(error @ TrustError::Connect { .. }) => {
                    last_finding = unreachable(error.to_string());
                }
                Err(error @ TrustError::Tls { .. }) => {
                    let advice = "check that a tracker of pieceful listens there";
                    last_finding = Finding::warning(Check::Tracker, error, advice);
                }
                Err(error) => return Err(Finding::fault(Check::Fingerprint, error, None)),
            }
        }
        Err(last_finding)
    }

    /// The finding for a fingerprint that [`inspect`] has accepted.
    fn fingerprint_finding(&self, tracker: &HostPort, presented: Fingerprint) -> Finding {
        let file = self.options.tracker_info.display();
        let text = match (self.info.fingerprint, self.stored) {
            (Some(_), _) => format!("{tracker} has the fingerprint that {file} pins"),
            (None, Some(_)) => {
                format!("{tracker} has the fingerprint that was stored at first use")
            }
            (None, None) => format!(
                "{tracker} is new to this peer, which will trust it: compare {presented} with the \
                 second line that the tracker prints"
            ),
        };
        Finding::good(Check::Fingerprint, text)
    }
}

fn serving_finding(tracker: &HostPort, inspection: &Inspection) -> Finding {
    let check = Check::Tracker;
    let ms = inspection.time.as_millis();
    match &inspection.cluster {
        Ok(view) if view.serving => {
            let lag = view.lag(view.number).unwrap_or(0);
            let text = format!("{tracker} answers in {ms} ms and serves");
            match (silent_replicas(view), lag) {
                (0, 0) => Finding::good(check, text),
                (0, lag) => {
                    let text = format!("{text}; it lacks {lag} changes of other trackers");
                    Finding::warning(check, text, "it catches up by itself; look again later")
                }
                (silent, _) => {
                    let text = format!("{text}; it does not reach {silent} of the other trackers");
                    let advice = "start the others, or check the network between the trackers";
                    Finding::warning(check, text, advice)
                }
            }
        }
        Ok(_) => Finding::warning(
            check,
            format!("{tracker} answers in {ms} ms, but does not serve accounts and groups yet"),
            "it has just started, or waits for other trackers: see its log",
        ),
        Err(why) => Finding::warning(
            check,
            format!("{tracker} answers in {ms} ms, but not about accounts and groups: {why}"),
            "open swarms and closed runs may work; check that the tracker was started as intended",
        ),
    }
}

fn silent_replicas(view: &ClusterView) -> usize {
    view.replicas.iter().filter(|replica| !replica.up).count()
}

/// Compares the clocks. `now` is the time here when the answer arrived.
fn clock_finding(tracker: &HostPort, check: &PortCheck, now: Duration) -> Finding {
    let there = Duration::from_millis(check.clock_ms);
    let seconds = now.abs_diff(there).as_secs();
    let direction = if now > there { "ahead of" } else { "behind" };
    let text = format!("the clock here is {seconds} s {direction} the clock of {tracker}");
    let advice = "let the system set the clock on both machines: timedatectl set-ntp true";
    match seconds {
        ..CLOCK_WARNING => Finding::good(
            Check::Clock,
            format!("the clock here agrees with the clock of {tracker}"),
        ),
        CLOCK_WARNING..CLOCK_FAULT => Finding::warning(Check::Clock, text, advice),
        _ => Finding::fault(Check::Clock, text, Some(advice)),
    }
}

fn port_finding(tracker: &HostPort, port: NonZeroU16, check: &PortCheck) -> Finding {
    let address = check.address;
    let what = match check.port {
        PortState::Open => {
            let text = format!("{tracker} reaches TCP port {port} of {address}");
            return Finding::good(Check::Port, text);
        }
        PortState::NotTried => {
            let text = format!("{tracker} did not try port {port}: it checks few ports at a time");
            return Finding::warning(Check::Port, text, "try again in a few seconds");
        }
        PortState::Refused => "is refused at",
        PortState::Silent => "gets no answer from",
    };
    let text = format!("{tracker} {what} TCP port {port} of {address}");
    let advice = "listen on 0.0.0.0, and open the port in the firewall or forward it; until then \
                  this peer calls others, but others cannot call it";
    Finding::warning(Check::Port, text, advice)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn clocks_may_differ_by_less_than_a_minute() {
        let tracker = "t:5000".parse().unwrap();
        let check = PortCheck {
            clock_ms: 10_000_000,
            address: "127.0.0.1".parse().unwrap(),
            port: PortState::Open,
        };
        for (now, verdict, part) in [
            (10_000, Verdict::Good, "agrees"),
            (10_059, Verdict::Good, "agrees"),
            (9_930, Verdict::Warning, "70 s behind"),
            (10_070, Verdict::Warning, "70 s ahead of"),
            (13_600, Verdict::Fault, "3600 s ahead of"),
        ] {
            let finding = clock_finding(&tracker, &check, Duration::from_secs(now));
            assert_eq!(finding.verdict, verdict, "{now}");
            assert!(finding.text.contains(part), "{}", finding.text);
            assert_eq!(finding.advice.is_some(), verdict != Verdict::Good);
        }
    }
}
