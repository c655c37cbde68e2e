//! Looks at one tracker for `doctor`. Is it reached and trusted? Does it serve? What time does its
//! clock show? Does it reach a port of this machine? Stores nothing.

use super::connection::{ControlConnection, TimeLimits};
use crate::certificate::Fingerprint;
use crate::peer::{Trust, TrustError};
use crate::wire::access::{AccessAnswer, AccessErrorKind, AccessRequest, ClusterView, PortCheck};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

/// How long a tracker may take to answer. A check of a port takes up to two seconds of this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What was found out about a tracker.
#[derive(Debug)]
pub(in crate::peer) struct Inspection {
    /// The fingerprint of its cluster.
    pub(in crate::peer) fingerprint: Fingerprint,
    /// How long it took to connect and to get the first answer.
    pub(in crate::peer) time: Duration,
    /// The state of the cluster, or why the tracker does not send it.
    pub(in crate::peer) cluster: Result<ClusterView, String>,
    /// The check of the port, or why there is none.
    pub(in crate::peer) port: Result<PortCheck, String>,
}

/// Connects to a tracker, asks for the state of its cluster, and asks it to connect to `port` of
/// this machine.
///
/// # Errors
/// The tracker is not reached or not trusted.
pub(in crate::peer) fn inspect(
    trust: &Trust<'_>,
    address: SocketAddr,
    port: NonZeroU16,
) -> Result<Inspection, TrustError> {
    let limits = TimeLimits::LONG;
    let begun = Instant::now();
    let (stream, fingerprint) = trust.inspect(address, limits.connecting(), limits.handshake())?;
    let mut connection = ControlConnection::over(stream);
    let mut ask = |request| -> Result<AccessAnswer, String> {
        let reply = connection.ask(&request, None, ANSWER_TIMEOUT);
        let result = reply.map_err(|error| error.to_string())?.result;
        result.map_err(|refused| match refused.kind {
            AccessErrorKind::BadRequest => "it is of another version".to_owned(),
            _ => refused.to_string(),
        })
    };
    let wrong_answer = || "it answered another question".to_owned();
    let cluster = ask(AccessRequest::Cluster).and_then(|answer| match answer {
        AccessAnswer::Cluster(view) => Ok(view),
        _ => Err(wrong_answer()),
    });
    let time = begun.elapsed();
    let port = match &cluster {
        Ok(_) => ask(AccessRequest::CheckPort { port }).and_then(|answer| match answer {
            AccessAnswer::Port(check) => Ok(check),
            _ => Err(wrong_answer()),
        }),
        Err(why) => Err(why.clone()),
    };
    Ok(Inspection {
        fingerprint,
        time,
        cluster,
        port,
    })
}
