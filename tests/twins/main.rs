//! Trackers that keep each other current, end to end: the binary, real lines, real kills, a line that is cut.

#[path = "../announce/client.rs"]
#[allow(dead_code)]
mod http;
#[path = "../accounts/service.rs"]
#[allow(dead_code)]
mod service;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod again;
mod backups;
mod conflicts;
mod failover;
mod figures;
mod joining;
mod kills;
mod operator;
mod pair;
mod proxy;
mod standstill;
mod strangers;
mod waiting;
