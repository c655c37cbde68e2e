//! State that the version before wrote opens, and what was going on goes on. `testdata/state/README.md` says what there
//! is and how it was written.

#[path = "../announce/client.rs"]
#[allow(dead_code)]
mod http;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod before;
mod fixture;
