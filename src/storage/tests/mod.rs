//! Tests of several modules together: shares and downloads on disk.

mod disk;
mod download;
mod extend;
mod finish;
mod foreign;
mod older;
mod steps;
mod store;
mod switch;
