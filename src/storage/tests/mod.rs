//! Tests of several parts together: shares and downloads on a disk.

mod disk;
mod download;
mod extend;
mod finish;
mod store;
