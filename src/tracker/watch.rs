//! What a tracker tells those who watch it: counts over all swarms, which name no swarm, no peer and no address, so that
//! everybody may see them.

use super::totals::Stats;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// The media type of [`json`].
pub(super) const JSON: &str = "application/json";
/// The media type of [`metrics`]: Prometheus's text format, version 0.0.4.
pub(super) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Told {
    version: &'static str,
    uptime_seconds: u64,
    swarms: usize,
    peers: usize,
    seeds: usize,
    leeches: usize,
    announces: u64,
    scrapes: u64,
    uploaded_bytes: u64,
    downloaded_bytes: u64,
}

/// The counts as one JSON object on one line.
pub(super) fn json(stats: &Stats, uptime: Duration) -> String {
    let told = Told {
        version: VERSION,
        uptime_seconds: uptime.as_secs(),
        swarms: stats.swarms,
        peers: stats.peers,
        seeds: stats.seeds,
        leeches: stats.leeches,
        announces: stats.announces,
        scrapes: stats.scrapes,
        uploaded_bytes: stats.uploaded,
        downloaded_bytes: stats.downloaded,
    };
    // Numbers and a fixed text: nothing of it can fail to be written.
    let mut line = serde_json::to_string(&told).unwrap_or_default();
    line.push('\n');
    line
}

/// The counts as Prometheus reads them.
pub(super) fn metrics(stats: &Stats, uptime: Duration) -> String {
    let mut out = String::with_capacity(2 << 10);
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP pieceful_{name} {help}");
        let _ = writeln!(out, "# TYPE pieceful_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "pieceful_{name}{labels} {value}");
        }
    };
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    metric(
        "build_info",
        "gauge",
        "The version that runs.",
        &[(concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1)],
    );
    metric(
        "uptime_seconds",
        "gauge",
        "Time since the start.",
        &[("", uptime.as_secs())],
    );
    metric(
        "swarms",
        "gauge",
        "Swarms with at least one peer.",
        &[("", count(stats.swarms))],
    );
    metric(
        "peers",
        "gauge",
        "Peers in all swarms together.",
        &[
            ("{kind=\"seed\"}", count(stats.seeds)),
            ("{kind=\"leech\"}", count(stats.leeches)),
        ],
    );
    for (name, help, value) in [
        ("announces_total", "Announces taken.", stats.announces),
        ("scrapes_total", "Scrapes answered.", stats.scrapes),
        (
            "uploaded_bytes_total",
            "Bytes uploaded, as peers told it.",
            stats.uploaded,
        ),
        (
            "downloaded_bytes_total",
            "Bytes downloaded, as peers told it.",
            stats.downloaded,
        ),
    ] {
        metric(name, "counter", help, &[("", value)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            told,
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
}
