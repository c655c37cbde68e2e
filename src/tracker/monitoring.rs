//! The counts for monitoring a tracker. They name no swarm, no peer and no address, so they are
//! public.

use super::replication::{ClusterStatus, ReplicaStatus, Serving};
use super::totals::Stats;
use serde::Serialize;
use std::fmt::{Display, Write};
use std::time::Duration;

/// The media type of [`json`].
pub(super) const JSON: &str = "application/json";
/// The media type of [`metrics`]: Prometheus's text format, version 0.0.4.
pub(super) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct StatsDocument<'a> {
    version: &'static str,
    uptime_seconds: u64,
    #[serde(flatten)]
    stats: &'a Stats,
}

/// The counts as one JSON object on one line.
pub(super) fn json(stats: &Stats, uptime: Duration) -> String {
    let document = StatsDocument {
        version: VERSION,
        uptime_seconds: uptime.as_secs(),
        stats,
    };
    // Numbers and a fixed text: serialization cannot fail.
    let mut line = serde_json::to_string(&document).unwrap_or_default();
    line.push('\n');
    line
}

/// The counts in Prometheus format.
pub(super) fn metrics(stats: &Stats, uptime: Duration) -> String {
    let mut out = String::with_capacity(2 << 10);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    let kinds = [
        ("{kind=\"seed\"}", count(stats.seeds)),
        ("{kind=\"leech\"}", count(stats.leeches)),
    ];
    let (up, swarms) = (uptime.as_secs(), count(stats.swarms));
    for (name, help, samples) in [
        ("build_info", "The version that runs.", &[(version, 1)][..]),
        ("uptime_seconds", "Time since the start.", &[("", up)]),
        ("swarms", "Swarms with at least one peer.", &[("", swarms)]),
        ("peers", "Peers in all swarms together.", &kinds),
    ] {
        metric(&mut out, name, "gauge", help, samples);
    }
    for (name, help, value) in [
        ("announces_total", "Announces accepted.", stats.announces),
        ("scrapes_total", "Scrapes answered.", stats.scrapes),
        (
            "uploaded_bytes_total",
            "Bytes uploaded, as reported by peers.",
            stats.uploaded,
        ),
        (
            "downloaded_bytes_total",
            "Bytes downloaded, as reported by peers.",
            stats.downloaded,
        ),
    ] {
        metric(&mut out, name, "counter", help, &[("", value)]);
    }
    out
}

/// Appends the state of the cluster: whether this tracker serves, and its replication with each of
/// the other trackers.
pub(super) fn cluster_metrics(status: &ClusterStatus, out: &mut String) {
    let flag = |flag: bool| if flag { "1" } else { "0" }.to_owned();
    let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
    let mut metric = |name: &str, help: &str, samples: Vec<(String, String)>| {
        metric(out, name, "gauge", help, &samples);
    };
    let unlabelled = |value: String| vec![(String::new(), value)];
    metric(
        "serving",
        "Whether this tracker serves accounts and groups.",
        unlabelled(flag(status.serving == Serving::Yes)),
    );
    metric(
        "waiting_writes",
        "Writes that wait for the disk or another tracker.",
        unlabelled(status.waiting.to_string()),
    );
    metric(
        "lacking_info_dictionaries",
        "Info dictionaries that are missing here.",
        unlabelled(status.missing_blobs.to_string()),
    );
    let each = |value: &dyn Fn(&ReplicaStatus) -> Option<String>| -> Vec<(String, String)> {
        let others = status.others.iter();
        others
            .filter_map(|other| Some((format!("{{tracker=\"{}\"}}", other.number), value(other)?)))
            .collect()
    };
    metric(
        "twin_reachable",
        "Whether the other tracker is connected.",
        each(&|other| Some(flag(other.is_up()))),
    );
    metric(
        "twin_lacks_writes",
        "Writes known here that the other tracker lacks, as last reported.",
        each(&|other| other.it_lacks.map(|lacks| lacks.to_string())),
    );
    metric(
        "twin_ahead_writes",
        "Writes reported by the other tracker that are not known here.",
        each(&|other| Some(other.we_lack.to_string())),
    );
    metric(
        "twin_last_contact_seconds",
        "Time since the last message of the other tracker.",
        each(&|other| other.silent_for.map(seconds)),
    );
    metric(
        "twin_clock_offset_seconds",
        "How far the other tracker's clock is ahead of this tracker's.",
        each(&|other| {
            let millis = other.clock_ahead?;
            let sign = if millis < 0 { "-" } else { "" };
            let offset = Duration::from_millis(millis.unsigned_abs());
            Some(format!("{sign}{}", seconds(offset)))
        }),
    );
}

fn metric<L: Display, V: Display>(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: &[(L, V)],
) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP pieceful_{name} {help}");
    let _ = writeln!(out, "# TYPE pieceful_{name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(out, "pieceful_{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::Origin;
    use crate::wire::replica::TrackerNumber;

    const STATS: Stats = Stats {
        swarms: 2,
        peers: 7,
        seeds: 3,
        leeches: 4,
        announces: 50,
        scrapes: 6,
        uploaded: 1 << 40,
        downloaded: u64::MAX,
    };

    #[test]
    fn json_is_one_object_on_one_line() {
        let line = json(&STATS, Duration::from_millis(61_900));
        assert!(line.ends_with("}\n") && line.lines().count() == 1);
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "version": VERSION, "uptime_seconds": 61, "swarms": 2, "peers": 7, "seeds": 3, "leeches": 4,
                "announces": 50, "scrapes": 6, "uploaded_bytes": 1u64 << 40, "downloaded_bytes": u64::MAX,
            })
        );
    }

    #[test]
    fn every_sample_follows_its_help_and_type() {
        let text = metrics(&STATS, Duration::from_secs(61));
        assert!(text.ends_with('\n'));
        let mut named = String::new();
        let mut samples = 0;
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["#", "HELP", name, _, ..] => named = name.to_owned(),
                ["#", "TYPE", name, kind] => {
                    assert_eq!(name, named);
                    let is_counter = name.ends_with("_total");
                    assert_eq!(kind, if is_counter { "counter" } else { "gauge" });
                }
                [sample, value] => {
                    assert_eq!(sample.split('{').next(), Some(named.as_str()));
                    value.parse::<u64>().unwrap();
                    samples += 1;
                }
                _ => panic!("{line}"),
            }
        }
        assert_eq!(samples, 9);
        assert!(text.contains("\npieceful_peers{kind=\"seed\"} 3\n"));
        assert!(text.contains("\npieceful_uploaded_bytes_total 1099511627776\n"));
    }

    #[test]
    fn each_known_value_about_another_tracker_is_one_sample() {
        let number = |number| TrackerNumber::new(number).unwrap();
        let other = |of: u32, silent_for: Option<Duration>| ReplicaStatus {
            number: number(of),
            origin: silent_for.map(|_| Origin([of as u8; 16])),
            serving: true,
            current: true,
            it_lacks: silent_for.map(|_| 4),
            we_lack: 0,
            silent_for,
            clock_ahead: silent_for.map(|_| -7_250),
        };
        let status = ClusterStatus {
            number: number(1),
            origin: Origin([1; 16]),
            serving: Serving::Waiting,
            waiting: 3,
            missing_blobs: 0,
            others: vec![other(2, Some(Duration::from_millis(1_500))), other(3, None)],
        };
        let mut text = String::new();
        cluster_metrics(&status, &mut text);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "pieceful_serving 0",
                "pieceful_waiting_writes 3",
                "pieceful_lacking_info_dictionaries 0",
                "pieceful_twin_reachable{tracker=\"2\"} 1",
                "pieceful_twin_reachable{tracker=\"3\"} 0",
                "pieceful_twin_lacks_writes{tracker=\"2\"} 4",
                "pieceful_twin_ahead_writes{tracker=\"2\"} 0",
                "pieceful_twin_ahead_writes{tracker=\"3\"} 0",
                "pieceful_twin_last_contact_seconds{tracker=\"2\"} 1.500",
                "pieceful_twin_clock_offset_seconds{tracker=\"2\"} -7.250",
            ]
        );
        assert_eq!(text.matches("# TYPE").count(), 8);
    }
}
