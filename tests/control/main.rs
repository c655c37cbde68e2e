//! Control lines: whom a peer trusts, what goes over the wire, who may have the cluster's key.

#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod cluster;
mod trust;
mod wire;
