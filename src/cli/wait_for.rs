//! The command `wait_for`: which machines it waits for, and when it ends.
//!
//! The trackers of the group are asked again and again. A machine counts from the moment on when it
//! was seen with the whole version, also if it ends or goes on to another version afterwards.

use super::command_error::CommandError;
use super::commands::{WaitForCommand, WantedMachines};
use super::holder_names::{not_seen, who};
use super::outcome::AwaitedOutcome;
use super::output::Output;
use super::progress::StateProgress;
use super::units::counted;
use crate::peer::{AccountError, HolderList, Peer};
use crate::wire::access::{
    AccessErrorKind, HolderEntry, HolderId, HolderName, MirrorEntry, NamedVersion,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The shortest and the longest pause between two requests.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The longest time between two checks whether the command was interrupted.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A mirror that was seen within this time is waited for.
const SEEN_LATELY: Duration = Duration::from_secs(3600);
/// The most machines that a line or an error names.
const MAX_NAMED: usize = 20;
/// The number of answers in a row that must say that the version was withdrawn. The first one may
/// come from a tracker that is behind the others.
const WITHDRAWN_ANSWERS: u32 = 2;

/// What the command waits for, and what it has seen.
#[derive(Debug)]
struct Awaited {
    /// What the name meant when the command began.
    version: NamedVersion,
    wanted: Wanted,
    /// The machines that mirror the group and are not waited for.
    left_out: Vec<MirrorEntry>,
    /// The machines that were seen with the version.
    have: BTreeMap<HolderId, HolderEntry>,
    /// The machines that have a part of it, by the last answer.
    partial: BTreeMap<HolderId, HolderEntry>,
    /// The number of answers in a row in which the version is not in the catalogue.
    missing_answers: u32,
}

#[derive(Debug)]
enum Wanted {
    Count(usize),
    /// These machines.
    All(BTreeMap<HolderId, HolderName>),
}

/// Waits until the machines have the version.
///
/// # Errors
/// The machines do not have it in time, it was withdrawn, no machine mirrors the group, the command
/// was interrupted, or the trackers refuse.
pub(super) fn wait_for(
    peer: &Peer,
    command: &WaitForCommand,
    output: &Output,
) -> Result<AwaitedOutcome, CommandError> {
    let begun = Instant::now();
    let account = peer.account();
    let ask = || account.holders(&command.group, Some(&command.name));
    let list = ask()?;
    let mirrors = match command.on {
        WantedMachines::All => account.mirrors(&command.group)?,
        WantedMachines::Count(_) => Vec::new(),
    };
    let mut awaited = Awaited::begin(command, list, mirrors)?;
    let mut progress = StateProgress::new(output);
    let mut pause = PAUSES.0;
    while !awaited.is_reached() {
        let time_left = command
            .limit
            .map(|limit| limit.saturating_sub(begun.elapsed()));
        if time_left.is_some_and(|time| time.is_zero()) {
            return Err(CommandError::NotComplete(awaited.missing_lines()));
        }
        let line = awaited.line();
        log::debug!("wait_for: {line}");
        progress.show(&line);
        wait_for_pause(peer, time_left.map_or(pause, |time| time.min(pause)))?;
        pause = (pause * 3 / 2).min(PAUSES.1);
        awaited.on_answer(ask())?;
    }
    Ok(awaited.into_outcome())
}

/// Waits for a pause. Ends it early, but not before the shortest pause, when something has changed
/// at this peer or a tracker has sent a hint.
fn wait_for_pause(peer: &Peer, pause: Duration) -> Result<(), CommandError> {
    let (begun, change_count) = (Instant::now(), peer.change_count());
    loop {
        let elapsed = begun.elapsed();
        let has_changed = peer.change_count() != change_count;
        if elapsed >= pause || has_changed && elapsed >= PAUSES.0 {
            return Ok(());
        }
        if peer.is_command_interrupted() {
            return Err(CommandError::cut_short("wait_for"));
        }
        let limit = CHECK_INTERVAL.min(pause.saturating_sub(elapsed));
        peer.wait_for_change(peer.change_count(), limit);
    }
}

impl Awaited {
    /// `list` and `mirrors` are the state when the command begins.
    fn begin(
        command: &WaitForCommand,
        list: HolderList,
        mirrors: Vec<MirrorEntry>,
    ) -> Result<Self, CommandError> {
        let version = list.named.clone();
        let version = version.ok_or(AccountError::OtherAnswer("list_holders"))?;
        let (wanted, left_out) = match command.on {
            WantedMachines::Count(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                (Wanted::Count(count), Vec::new())
            }
            WantedMachines::All => {
                let lately = u64::try_from(SEEN_LATELY.as_millis()).unwrap_or(u64::MAX);
                let (awaited, left_out): (Vec<_>, Vec<_>) = mirrors
                    .into_iter()
                    .partition(|mirror| command.is_strict || mirror.silent_ms <= lately);
                if awaited.is_empty() {
                    return Err(CommandError::NoMirror {
                        group: command.group.to_string(),
                        not_seen: left_out.iter().map(not_seen).take(MAX_NAMED).collect(),
                    });
                }
                let awaited = awaited.into_iter().map(|mirror| mirror.holder);
                let awaited = awaited.map(|holder| (holder.id, holder)).collect();
                (Wanted::All(awaited), left_out)
            }
        };
        let mut awaited = Self {
            version,
            wanted,
            left_out,
            have: BTreeMap::new(),
            partial: BTreeMap::new(),
            missing_answers: 0,
        };
        awaited.on_list(list);
        Ok(awaited)
    }

    /// Takes an answer of the trackers.
    ///
    /// # Errors
    /// The version was withdrawn, or the trackers refuse for good. That no tracker answers is no
    /// error: one may answer the next time.
    fn on_answer(&mut self, answer: Result<HolderList, AccountError>) -> Result<(), CommandError> {
        match answer {
            Ok(list) => self.on_list(list),
            Err(AccountError::Refused(refused))
                if refused.kind == AccessErrorKind::UnknownShare =>
            {
                self.missing_answers += 1;
            }
            Err(AccountError::Interrupted) => return Err(CommandError::cut_short("wait_for")),
            Err(error) => {
                let error = CommandError::from(error);
                return match error.can_succeed_later() {
                    true => Ok(()),
                    false => Err(error),
                };
            }
        }
        match self.missing_answers < WITHDRAWN_ANSWERS {
            true => Ok(()),
            false => Err(CommandError::Withdrawn(
                self.version.name.as_str().to_owned(),
            )),
        }
    }

    fn on_list(&mut self, list: HolderList) {
        let is_listed = list
            .named
            .is_some_and(|named| named.number > self.version.number || named == self.version);
        if !is_listed {
            // The name may mean another share now.
            self.missing_answers += 1;
            return;
        }
        self.missing_answers = 0;
        self.partial.clear();
        for entry in list.holders {
            let id = entry.holder.id;
            let is_other = entry.version.number == self.version.number
                && entry.version.info_hash != self.version.info_hash;
            if entry.version.number < self.version.number || is_other {
                continue;
            }
            let known = self.partial.get(&id);
            if entry.left == 0 {
                self.have.entry(id).or_insert(entry);
            } else if known.is_none_or(|known| known.version.number <= entry.version.number) {
                self.partial.insert(id, entry);
            }
        }
        self.partial.retain(|id, _| !self.have.contains_key(id));
    }

    fn is_reached(&self) -> bool {
        self.reached() >= self.total()
    }

    /// The number of wanted machines that have the version.
    fn reached(&self) -> usize {
        match &self.wanted {
            Wanted::Count(_) => self.have.len(),
            Wanted::All(wanted) => {
                let have = wanted.keys().filter(|id| self.have.contains_key(id));
                have.count()
            }
        }
    }

    fn total(&self) -> usize {
        match &self.wanted {
            Wanted::Count(count) => *count,
            Wanted::All(wanted) => wanted.len(),
        }
    }

    /// The machines that are wanted and do not have the version; of any machines, those that have a
    /// part of it. Each with how much it has.
    fn missing(&self) -> Vec<String> {
        let percent = |id: &HolderId| {
            let entry = self.partial.get(id);
            entry.map_or_else(
                || "nothing".to_owned(),
                |entry| format!("{}%", entry.percent()),
            )
        };
        match &self.wanted {
            Wanted::Count(_) => {
                let partial = self.partial.iter();
                let line = |(id, entry): (_, &HolderEntry)| {
                    format!("{} {}", who(&entry.holder), percent(id))
                };
                partial.map(line).collect()
            }
            Wanted::All(wanted) => {
                let missing = wanted.iter().filter(|(id, _)| !self.have.contains_key(id));
                let line = |(id, holder)| format!("{} {}", who(holder), percent(id));
                missing.map(line).collect()
            }
        }
    }

    /// The progress on one line.
    fn line(&self) -> String {
        let mut line = self.summary();
        let missing = self.missing();
        if !missing.is_empty() {
            line.push_str(&format!("; not yet: {}", shortened(missing).join(", ")));
        }
        line
    }

    fn summary(&self) -> String {
        let total = self.total();
        format!(
            "{}: {} of {} {} it",
            self.version.name.as_str(),
            self.reached(),
            counted(total, "machine"),
            if total == 1 { "has" } else { "have" },
        )
    }

    /// What is missing when the time is over.
    fn missing_lines(&self) -> Vec<String> {
        let mut lines = vec![self.summary()];
        let missing = shortened(self.missing()).into_iter();
        lines.extend(missing.map(|missing| format!("not complete: {missing}")));
        let left_out = self.left_out.iter().map(not_seen).take(MAX_NAMED);
        lines.extend(left_out.map(|mirror| format!("not waited for: {mirror}")));
        lines
    }

    fn into_outcome(self) -> AwaitedOutcome {
        let is_wanted = |id: &HolderId| match &self.wanted {
            Wanted::Count(_) => true,
            Wanted::All(wanted) => wanted.contains_key(id),
        };
        let have = self.have.iter().filter(|(id, _)| is_wanted(id));
        AwaitedOutcome {
            holders: have.map(|(_, entry)| entry.clone()).collect(),
            version: self.version,
            left_out: self.left_out,
        }
    }
}

/// The first [`MAX_NAMED`] texts, and the number of the others.
fn shortened(mut texts: Vec<String>) -> Vec<String> {
    let more = texts.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        texts.truncate(MAX_NAMED);
        texts.push(format!("{more} more"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::AccessRefusal;
    use crate::wire::access::holder_samples::{holder, mirror};
    use crate::wire::control::TextLine;

    const HOUR_MS: u64 = 3_600_000;

    fn command(on: WantedMachines, is_strict: bool) -> WaitForCommand {
        WaitForCommand {
            group: "lab".parse().unwrap(),
            name: "f".into(),
            on,
            limit: None,
            is_strict,
        }
    }

    /// A list in which the name means version `named`.
    fn list(named: u32, holders: &[(u8, u32, u64)]) -> HolderList {
        let holders = holders.iter();
        HolderList {
            named: Some(holder(0, named, 0, 0).version),
            holders: holders
                .map(|(id, number, left)| holder(*id, *number, *left, 0))
                .collect(),
        }
    }

    fn refusal(kind: AccessErrorKind) -> Result<HolderList, AccountError> {
        Err(AccountError::Refused(AccessRefusal {
            kind,
            message: TextLine::new("no"),
            retry_seconds: None,
        }))
    }

    fn begin_all(list: HolderList, mirrors: Vec<MirrorEntry>, is_strict: bool) -> Awaited {
        Awaited::begin(&command(WantedMachines::All, is_strict), list, mirrors).unwrap()
    }

    #[test]
    fn a_version_of_another_share_with_the_same_number_does_not_count() {
        let mut awaited = begin_all(list(2, &[(1, 2, 1)]), vec![mirror(1, 0)], false);
        // Trackers that were apart: two versions have the number 2.
        let other = crate::torrent::InfoHash([99; 20]);
        let mut both = list(2, &[(1, 2, 0)]);
        both.holders[0].version.info_hash = other;
        awaited.on_answer(Ok(both)).unwrap();
        assert!(!awaited.is_reached());
        // The share was withdrawn, and another one has its name and its number.
        let mut replaced = list(2, &[(1, 2, 0)]);
        replaced.named.as_mut().unwrap().info_hash = other;
        replaced.holders[0].version.info_hash = other;
        awaited.on_answer(Ok(replaced.clone())).unwrap();
        assert!(!awaited.is_reached());
        let withdrawn = awaited.on_answer(Ok(replaced)).unwrap_err();
        assert!(matches!(withdrawn, CommandError::Withdrawn(_)));
    }

    #[test]
    fn machines_count_with_that_version_or_a_newer_one_and_stay_counted() {
        let begin = |list| Awaited::begin(&command(WantedMachines::Count(3), false), list, vec![]);
        let mut awaited = begin(list(2, &[(1, 2, 0), (2, 1, 0), (3, 2, 1)])).unwrap();
        assert_eq!(
            awaited.reached(),
            1,
            "an older version and a part do not count"
        );
        assert_eq!(
            awaited.line(),
            "f@2: 1 of 3 machines have it; not yet: host3 (user3) 99%"
        );
        // The first one has ended. The second jumps from version 1 to 4.
        awaited
            .on_answer(Ok(list(4, &[(2, 4, 0), (3, 2, 1)])))
            .unwrap();
        assert!(!awaited.is_reached());
        assert_eq!(awaited.reached(), 2);
        awaited
            .on_answer(Ok(list(4, &[(3, 4, 9), (3, 2, 0)])))
            .unwrap();
        assert!(awaited.is_reached());
        let outcome = awaited.into_outcome();
        assert_eq!(outcome.version.number, 2);
        let versions = outcome.holders.iter().map(|entry| entry.version.number);
        assert!(versions.eq([2, 4, 2]));
    }

    #[test]
    fn all_mirrors_that_were_seen_in_the_last_hour_are_waited_for_and_strict_waits_for_the_others()
    {
        let mirrors = || vec![mirror(1, HOUR_MS), mirror(2, 0), mirror(3, HOUR_MS + 1)];
        let start = || list(1, &[(2, 1, 0), (4, 1, 0)]);
        let mut awaited = begin_all(start(), mirrors(), false);
        assert_eq!(
            awaited.line(),
            "f@1: 1 of 2 machines have it; not yet: host1 (user1) nothing"
        );
        assert_eq!(
            awaited.missing_lines(),
            [
                "f@1: 1 of 2 machines have it",
                "not complete: host1 (user1) nothing",
                "not waited for: host3 (user3), last seen 1h 0m ago",
            ]
        );
        awaited
            .on_answer(Ok(list(1, &[(1, 1, 0), (4, 1, 0)])))
            .unwrap();
        assert!(awaited.is_reached());
        let outcome = awaited.into_outcome();
        assert_eq!(
            outcome.holders.len(),
            2,
            "a machine that is no mirror is not named"
        );
        assert_eq!(outcome.left_out, [mirror(3, HOUR_MS + 1)]);

        let mut strict = begin_all(start(), mirrors(), true);
        strict
            .on_answer(Ok(list(1, &[(1, 1, 0), (2, 1, 0)])))
            .unwrap();
        assert!(!strict.is_reached());
        strict.on_answer(Ok(list(1, &[(3, 1, 0)]))).unwrap();
        assert!(strict.is_reached() && strict.left_out.is_empty());
    }

    #[test]
    fn a_wait_for_no_machine_is_an_error_that_names_those_that_were_not_seen() {
        let begin = |mirrors| {
            let command = command(WantedMachines::All, false);
            Awaited::begin(&command, list(1, &[]), mirrors).unwrap_err()
        };
        for (mirrors, part) in [
            (vec![], "--on N waits for any N machines"),
            (
                vec![mirror(3, HOUR_MS + 1)],
                "host3 (user3), last seen 1h 0m ago",
            ),
        ] {
            let error = begin(mirrors);
            assert_eq!(error.kind(), "no-mirror");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_withdrawn_version_ends_the_wait_unless_a_newer_one_is_listed() {
        let begin = || begin_all(list(2, &[]), vec![mirror(1, 0)], false);
        let unknown = || refusal(AccessErrorKind::UnknownShare);
        let other = || {
            let mut list = list(2, &[]);
            let named = list.named.as_mut().unwrap();
            named.info_hash = holder(1, 9, 0, 0).version.info_hash;
            Ok(list)
        };
        // The share is gone, only an older version is left, or another share has the name.
        for answers in [
            [unknown(), unknown()],
            [Ok(list(1, &[])), Ok(list(1, &[]))],
            [other(), other()],
        ] {
            let mut awaited = begin();
            let results = answers.map(|answer| awaited.on_answer(answer));
            assert!(results[0].is_ok(), "one tracker may be behind");
            let kind = results[1].as_ref().unwrap_err().kind();
            assert_eq!(kind, "withdrawn");
        }
        let mut awaited = begin();
        for answer in [unknown(), Ok(list(2, &[])), unknown(), Ok(list(3, &[]))] {
            awaited.on_answer(answer).unwrap();
        }
    }

    #[test]
    fn a_tracker_that_cannot_answer_now_does_not_end_the_wait_but_a_refusal_does() {
        let mut awaited = begin_all(list(1, &[]), vec![mirror(1, 0)], false);
        awaited.on_answer(refusal(AccessErrorKind::Busy)).unwrap();
        let silent = AccountError::NoFinalAnswer("silent".into());
        awaited.on_answer(Err(silent)).unwrap();
        let refused = awaited.on_answer(refusal(AccessErrorKind::NotAMember));
        assert_eq!(refused.unwrap_err().kind(), "not-a-member");
    }

    #[test]
    fn a_line_names_some_machines_and_counts_the_others() {
        let mirrors = (1..=25).map(|id| mirror(id, 0)).collect();
        let awaited = begin_all(list(1, &[]), mirrors, false);
        let line = awaited.line();
        assert!(line.ends_with("host20 (user20) nothing, 5 more"), "{line}");
    }
}
