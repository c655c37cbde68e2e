//! Tests in a network namespace of their own: with addresses that are not loopback, and that the
//! test may remove.

use super::odd_disk::report_skipped;
use std::env;
use std::process::Command;
use std::thread;

/// Set for a process in a namespace: the name of the test that it runs.
const VARIABLE: &str = "PIECEFUL_TEST_IN_NETWORK";
/// The exit code of the shell if the namespace cannot have addresses.
const NO_NETWORK: i32 = 99;

/// Runs `test` in a network namespace where the loopback device has these addresses. Only the
/// process of the test and its children are in the namespace. To get there, this starts the test
/// binary once more, for the calling test only. Reports why if no namespace can be made here.
pub(crate) fn in_own_network(addresses: &[&str], test: impl FnOnce()) {
    let name = thread::current().name().unwrap().to_owned();
    if env::var(VARIABLE).is_ok_and(|running| running == name) {
        return test();
    }
    let mut script = format!("ip link set lo up || exit {NO_NETWORK}\n");
    for address in addresses {
        script += &format!("ip address add {address}/32 dev lo || exit {NO_NETWORK}\n");
    }
    script += "exec \"$@\"";
    let mut inside = Command::new("unshare");
    inside.args(["--map-root-user", "--net", "sh", "-c", &script, "sh"]);
    inside.arg(env::current_exe().unwrap());
    inside.args(["--exact", &name, "--nocapture"]);
    inside.env(VARIABLE, &name);
    let Ok(ended) = inside.output() else {
        return report_skipped("no unshare here");
    };
    let errors = String::from_utf8_lossy(&ended.stderr);
    if ended.status.code() == Some(NO_NETWORK) || errors.starts_with("unshare: ") {
        return report_skipped(&format!("no network namespace can be made here: {errors}"));
    }
    let output = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{output}{errors}");
    assert!(output.contains("1 passed"), "{output}{errors}");
}

/// Removes an address of the namespace that the calling test is in.
pub(crate) fn remove_address(address: &str) {
    let mut command = Command::new("ip");
    command.args(["address", "delete", &format!("{address}/32"), "dev", "lo"]);
    assert!(command.status().unwrap().success());
}
