//! Tests of several modules together: shares and downloads on disk.

mod disk;
mod download;
mod extend;
mod finish;
mod foreign;
mod steps;
mod store;
