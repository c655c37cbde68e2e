//! The rules of a core, one test for each. They drive it through its public functions and look at
//! what it asks of the world around it.

mod calls;
mod effects;
mod exchange;
mod fetching;
mod fixture;
mod life;
mod links;
mod phases;
mod pieces;
mod serving;
mod stalls;
mod web_seeds;
