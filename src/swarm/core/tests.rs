//! The rules of a core, one test for each. The tests call its public functions and check the
//! effects that it returns.

mod calls;
mod effects;
mod exchange;
mod fetching;
mod fixture;
mod life;
mod links;
mod local;
mod phases;
mod pieces;
mod serving;
mod stalls;
mod web_seeds;
