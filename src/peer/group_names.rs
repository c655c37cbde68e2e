//! The present names of the groups of this peer. An owner can rename a group while its members'
//! peers run or are away. A share belongs to its group by the group's authority, which never
//! changes, so the names are kept by authority.

use crate::certificate::Fingerprint;
use crate::system::lock;
use crate::wire::access::NamedGroup;
use crate::wire::name::Label;
use std::collections::HashMap;
use std::sync::Mutex;

/// The names that trackers have reported.
#[derive(Debug, Default)]
pub(super) struct GroupNames(Mutex<HashMap<Fingerprint, NamedGroup>>);

impl GroupNames {
    /// The present name of a group that is recorded as `recorded`.
    pub(super) fn present(&self, authority: Option<Fingerprint>, recorded: &Label) -> Label {
        let names = lock(&self.0);
        let reported = authority.and_then(|authority| names.get(&authority));
        reported.map_or_else(|| recorded.clone(), |reported| reported.name.clone())
    }

    /// The answers to one request report names of a group. Returns whether its present name
    /// changes. A tracker that lags behind may report an earlier name, which changes nothing.
    ///
    /// `is_refused`: a tracker knows no group with the present name, or no membership in it. If no
    /// answer reports that name either, the trackers have lost it, for example by the restore of an
    /// older backup. Then the latest name that they know counts.
    pub(super) fn on_reports(
        &self,
        authority: Fingerprint,
        reports: &[NamedGroup],
        is_refused: bool,
    ) -> bool {
        let Some(latest) = reports
            .iter()
            .max_by(|one, other| order(one).cmp(&order(other)))
        else {
            return false;
        };
        let mut names = lock(&self.0);
        let is_news = names.get(&authority).is_none_or(|known| {
            let is_lost = is_refused && reports.iter().all(|report| report.name != known.name);
            known != latest && (is_lost || known.since <= latest.since)
        });
        if is_news {
            names.insert(authority, latest.clone());
        }
        is_news
    }
}

/// Orders the names of one group that trackers report at the same time, the latest last. Trackers
/// that know different other groups report the same name with a tag and without it. Then the one
/// with the tag counts, because that tracker knows more groups.
fn order(report: &NamedGroup) -> (u64, bool, &Label) {
    (report.since, report.name.tag().is_some(), &report.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, since: u64) -> NamedGroup {
        NamedGroup {
            name: name.parse().unwrap(),
            since,
        }
    }

    #[test]
    fn the_latest_name_counts_and_only_for_its_authority() {
        let names = GroupNames::default();
        let (lab, recorded) = (Fingerprint::of(b"lab"), "lab".parse().unwrap());
        let present = |authority| names.present(authority, &recorded).to_string();
        assert_eq!(present(Some(lab)), "lab");
        for (name, since, is_news, expected) in [
            ("lab", 5, true, "lab"),
            ("lab", 5, false, "lab"),
            ("hall", 9, true, "hall"),
            ("lab", 5, false, "hall"),
            ("hall~0a0b0c0d", 9, true, "hall~0a0b0c0d"),
        ] {
            let reports = [report(name, since)];
            assert_eq!(names.on_reports(lab, &reports, false), is_news);
            assert_eq!(present(Some(lab)), expected);
        }
        assert!(!names.on_reports(lab, &[], true));
        assert_eq!(present(Some(Fingerprint::of(b"a later lab"))), "lab");
        assert_eq!(present(None), "lab");
    }

    #[test]
    fn trackers_that_report_different_names_at_once_change_the_name_once() {
        let names = GroupNames::default();
        let lab = Fingerprint::of(b"lab");
        let (plain, tagged) = (report("hall", 9), report("hall~0a0b0c0d", 9));
        let older = report("lab", 5);
        let answers = [tagged.clone(), plain, older];
        assert!(names.on_reports(lab, &answers, false));
        assert!(!names.on_reports(lab, &answers, false));
        assert_eq!(names.present(Some(lab), &answers[2].name), tagged.name);
    }

    #[test]
    fn an_earlier_name_counts_again_if_all_trackers_have_lost_the_later_one() {
        let names = GroupNames::default();
        let lab = Fingerprint::of(b"lab");
        let (earlier, later) = (report("lab", 5), report("hall", 9));
        let present = || names.present(Some(lab), &earlier.name);
        let reports = |reports: &[&NamedGroup], is_refused| {
            let reports: Vec<_> = reports.iter().copied().cloned().collect();
            names.on_reports(lab, &reports, is_refused)
        };
        assert!(reports(&[&later], false));
        // Only the tracker that refused the certificate lags behind.
        assert!(!reports(&[&earlier, &later], true));
        assert!(!reports(&[&earlier], false));
        assert_eq!(present(), later.name);
        assert!(reports(&[&earlier], true));
        assert_eq!(present(), earlier.name);
        // A tracker that still knows the later name can be reached again.
        assert!(reports(&[&later, &earlier], false));
        assert_eq!(present(), later.name);
    }
}
