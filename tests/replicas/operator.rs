//! A split as the operator sees it: on the console, in the metrics and in the log.

use super::pair::Pair;
use crate::common::control_connection::group_request;
use crate::common::http_client::HttpClient;
use crate::common::waiting::wait_until;

/// The value of a sample in a tracker's metrics.
fn metric(pair: &Pair, number: usize, sample: &str) -> Option<f64> {
    let text = HttpClient::new(pair.address(number)).get("/metrics").body;
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    line.map(|value| value.trim().parse().unwrap())
}

#[test]
fn a_split_and_its_end_are_on_the_console_in_the_metrics_and_in_the_log() {
    let mut pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    // In the names of metrics, a twin is another replica.
    let up = "pieceful_twin_reachable{tracker=\"2\"} ";
    let lacks = "pieceful_twin_lacks_writes{tracker=\"2\"} ";
    wait_until("the other tracker is reachable", || {
        metric(&pair, 1, up) == Some(1.0)
    });
    wait_until("the other tracker lacks nothing", || {
        metric(&pair, 1, lacks) == Some(0.0)
    });
    let offset = "pieceful_twin_clock_offset_seconds{tracker=\"2\"} ";
    wait_until("the clock is compared", || {
        metric(&pair, 1, offset).is_some()
    });
    assert!(metric(&pair, 1, offset).unwrap().abs() < 30.0);
    let status = pair.console(1, "status");
    assert!(status.contains("1 user"), "{status}");
    let replica_line = pair.tracker(1).line();
    assert!(
        replica_line.starts_with("tracker 2  up to date  lacks 0 writes"),
        "{replica_line}"
    );
    assert!(
        replica_line.contains("last contact") && replica_line.contains("clock "),
        "{replica_line}"
    );
    pair.proxy.cut();
    wait_until("the other tracker is not reachable", || {
        metric(&pair, 1, up) == Some(0.0)
    });
    nik.perform(group_request("create_group lab"));
    assert_eq!(metric(&pair, 1, lacks), Some(1.0));
    pair.console(1, "status");
    let replica_line = pair.tracker(1).line();
    assert!(
        replica_line.starts_with("tracker 2  unreachable  lacks 1 write"),
        "{replica_line}"
    );
    pair.proxy.mend();
    pair.wait_until_in_sync();
    pair.quit(1);
    pair.quit(2);
    assert_log_alternates(&pair);
}

/// Asserts that in the log of each tracker, `in sync` and `lost` alternate, and that the first is
/// `in sync`. On a busy machine there may be more than one split.
fn assert_log_alternates(pair: &Pair) {
    for (number, other) in [(1, 2), (2, 1)] {
        let log = pair.log(number);
        let is_in_sync: Vec<bool> = log
            .lines()
            .filter_map(|line| {
                let in_sync = line.contains(&format!("in sync with tracker {other}"));
                (in_sync || line.contains(&format!("lost tracker {other}"))).then_some(in_sync)
            })
            .collect();
        assert!(
            is_in_sync.len() >= 3 && is_in_sync.first() == Some(&true),
            "{log}"
        );
        assert!(is_in_sync.windows(2).all(|two| two[0] != two[1]), "{log}");
    }
}
