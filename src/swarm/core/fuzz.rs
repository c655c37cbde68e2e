//! A core in an environment that the input of the fuzzer chooses: links, messages, blocks, workers,
//! web seeds, the clock and the life of the share. The environment keeps the promises that the
//! documentation of the core asks for, and nothing else.
//!
//! Checked: the invariants of [`Core::check`]; effects concern links that exist; what is
//! requested is offered; what is served is owned; the number of served peers is that of the slots.

mod environment;

#[cfg(test)]
pub(super) use environment::link_of;
mod steps;

use environment::{Environment, Input};

/// The fuzz function of the core.
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut input = Input(bytes);
    if let Some(mut environment) = Environment::new(&mut input) {
        while steps::step(&mut environment, &mut input).is_some() {}
        environment.core.check();
    }
}
