//! A closed run from `inR.txt` files: what one client owns and wants.

mod file;
mod names;
mod owned_file;
mod run;
#[cfg(test)]
mod tests;

pub use file::{Defect, MAX_SEGMENTS, Scenario, ScenarioError};
pub use names::{BadFileName, client_number, output_name};
pub use owned_file::{EMPTY_FILE_PIECE, OwnedFile};
pub use run::{Part, RunError, run};
