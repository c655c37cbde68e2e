//! The packets of trackers over UDP (BEP 15; BEP 41 for what may follow an announce).
//!
//! In scope: datagrams to requests and responses, and back. Out of scope: sockets, how long a connection id lives, and
//! when to send again. A datagram of the wrong length is refused whole; only the options behind an announce are read
//! leniently, as BEP 41 asks. The `ip` of an announce is never read, as that of an HTTP announce is not.

mod fields;
mod ids;
mod request;
mod response;

pub use ids::{ConnectionId, Family, NO_CONNECTION, TransactionId};
pub use request::{Head, MAX_SCRAPE, Request, RequestError};
pub use response::{Announced, MAX_DATAGRAM, Response, ResponseError};
