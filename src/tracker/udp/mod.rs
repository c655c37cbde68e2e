//! Announces and scrapes over UDP (BEP 15, BEP 48), out of the same swarms as over HTTP.
//!
//! In scope: datagram in, datagram out, and the threads that do it. Out of scope: which bytes say what, which is
//! [`crate::wire::udp_tracker`]'s matter. A source that has not shown that it receives what is sent to it is sent no
//! more bytes than it sent: a connection id, or nothing.

mod connections;
mod server;
mod service;

pub(super) use server::UdpServer;
