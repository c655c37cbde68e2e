//! A client of a closed run.
//!
//! In scope: the file `inR.txt`, which lists the files that the client owns and wants, and the
//! client's side of the run. Out of scope: the tracker's side (`tracker::closed_run`).

mod file_names;
mod input_file;
mod owned_file;
mod run;
#[cfg(test)]
mod tests;

pub use file_names::{BadFileName, client_number, output_name};
pub use input_file::{MAX_SEGMENTS, Scenario, ScenarioDefect, ScenarioError};
pub use owned_file::{EMPTY_FILE_PIECE, OwnedFile};
pub use run::{ClientRunError, ClientTask, run};

#[cfg(any(test, fuzzing))]
pub(crate) use input_file::fuzz;
