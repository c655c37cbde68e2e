//! A closed run from `inR.txt` files: what one client owns and wants.

mod file;
mod info;
mod run;
#[cfg(test)]
mod tests;

pub use file::{Defect, MAX_SEGMENTS, OwnedFile, Scenario, ScenarioError};
pub use info::{BadFileName, EMPTY_FILE_PIECE, client_number, output_name};
pub use run::{Part, RunError, run};
