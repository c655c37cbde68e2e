//! A client of a closed run at a tracker that holds none.

use crate::wire::control::{Answer, ErrorKind, Line, Notice, Request};

/// The answer to a client's request, if `body` is one: such a client reads errors of its own kinds only.
pub(in crate::tracker) fn no_run(body: &[u8]) -> Option<Vec<u8>> {
    let request = Request::decode(body).ok()?;
    let answer = Answer::Error {
        kind: ErrorKind::NoRun,
        message: Line::new("this tracker holds no closed run (start one with --expect)"),
    };
    let id = request.id;
    Some(Notice::Answer { id, answer }.encode())
}
