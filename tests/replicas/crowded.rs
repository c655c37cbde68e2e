//! Crowded trackers: replicas and the operator find a place, and peers go to the other tracker.

use super::pair::Pair;
use crate::common::control_connection::{ControlConnection, connect_from, group_request};
use crate::common::http_client::HttpClient;
use crate::common::log::log_line_with;
use std::net::TcpStream;

#[test]
fn replicas_and_the_operator_find_a_place_at_a_crowded_tracker() {
    let mut pair = Pair::stopped();
    pair.start(1, &["--max-connections", "200"]);
    let tracker = pair.address(1);
    let _crowd: Vec<TcpStream> = (0..1_000).map(|host| connect_from(host, tracker)).collect();
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    let _more: Vec<TcpStream> = (0..1_000).map(|host| connect_from(host, tracker)).collect();
    pair.wait_until_in_sync();
    assert!(HttpClient::new(tracker).get("/metrics").has_status("200"));
    let data = pair.data(1);
    let backup = pair.sandbox.path("a.backup");
    let arguments = ["--data", &data, "--backup", backup.to_str().unwrap()];
    let output = pair.run(&arguments);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn a_peer_that_hears_that_a_tracker_is_full_asks_the_other_one() {
    let mut pair = Pair::stopped();
    pair.start(1, &["--max-connections", "16"]);
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    let nik = pair.user(1, "nik");
    // An account may have half of all places. These connections take all that nik may have.
    let _own: Vec<ControlConnection> = (0..8)
        .map(|host| {
            let mut connection =
                ControlConnection::over(connect_from(host, pair.address(1))).unwrap();
            let groups = group_request("list_groups");
            assert!(connection.ask(Some(&nik.token), groups).is_ok());
            connection
        })
        .collect();
    let mut peer = pair.peer("nik", 1);
    peer.run("login nik 'pw of nik'");
    peer.run("create_group lab");
    peer.run("list_groups");
    let log = std::path::PathBuf::from(pair.data(1)).join("tracker.log");
    assert!(log_line_with(&log, &["refused", "full, try again in"]).is_some());
}
