//! The examples of the documents and of `--help`, typed as they are printed, from top to bottom.

mod common;

/// The tests; their files are in `tests/documents/`.
mod documents {
    mod help;
    mod markdown;
    mod typist;
}
