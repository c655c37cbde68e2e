//! What an operator sees of the other tracker: on the console, in the metrics, in the log.

use super::pair::Pair;
use crate::common::control_connection::group_request;
use crate::common::http_client as http;
use crate::common::waiting::wait_until;

fn metric(pair: &Pair, number: usize, sample: &str) -> Option<f64> {
    let text = http::HttpClient::new(pair.address(number))
        .get("/metrics")
        .body;
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    line.map(|value| value.trim().parse().unwrap())
}

#[test]
fn a_split_is_seen_everywhere_and_so_is_its_end() {
    let mut pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    let up = "pieceful_twin_reachable{tracker=\"2\"} ";
    let lacks = "pieceful_twin_lacks_writes{tracker=\"2\"} ";
    wait_until("up", || metric(&pair, 1, up) == Some(1.0));
    wait_until("nothing is lacking", || {
        metric(&pair, 1, lacks) == Some(0.0)
    });
    let offset = "pieceful_twin_clock_offset_seconds{tracker=\"2\"} ";
    wait_until("the clock is compared", || {
        metric(&pair, 1, offset).is_some()
    });
    assert!(metric(&pair, 1, offset).unwrap().abs() < 30.0);
    let status = pair.console(1, "status");
    assert!(status.contains("1 user"), "{status}");
    let twin = pair.tracker(1).line();
    assert!(
        twin.starts_with("tracker 2  in step  lacks 0 writes"),
        "{twin}"
    );
    assert!(
        twin.contains("last heard of") && twin.contains("clock "),
        "{twin}"
    );
    pair.proxy.cut();
    wait_until("apart", || metric(&pair, 1, up) == Some(0.0));
    nik.perform(group_request("create_group lab"));
    assert_eq!(metric(&pair, 1, lacks), Some(1.0));
    pair.console(1, "status");
    let twin = pair.tracker(1).line();
    assert!(
        twin.starts_with("tracker 2  not reachable  lacks 1 write"),
        "{twin}"
    );
    pair.proxy.mend();
    pair.wait_until_in_step();
    pair.quit(1);
    pair.quit(2);
    // On either side a line each time, in turn: on a busy machine there may be more than the one split.
    for (number, other) in [(1, 2), (2, 1)] {
        let log = pair.log(number);
        let told: Vec<bool> = log
            .lines()
            .filter_map(|line| {
                let healed = line.contains(&format!("in step with tracker {other}"));
                (healed || line.contains(&format!("lost tracker {other}"))).then_some(healed)
            })
            .collect();
        assert!(told.len() >= 3 && told.first() == Some(&true), "{log}");
        assert!(told.windows(2).all(|two| two[0] != two[1]), "{log}");
    }
}
