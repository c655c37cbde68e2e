//! Commands that are attached to a running peer or tracker, over a socket in its state folder.
//!
//! In scope: the client (`client`, `connection`), which reads lines and answers and shows what it
//! receives; the running process (`server`, `session`), which carries out the lines with the same
//! code as its own ones. Out of scope: the encoding of the messages ([`crate::wire::attach`]), and
//! what the lines do.

mod client;
mod connection;
mod frames;
mod server;
mod session;
mod terminal;

pub(super) use client::{AttachedRunner, Attachment, attach};
pub(super) use connection::connect;
pub(super) use server::{Attachments, Host, bind};
pub(super) use session::{NoticePrinter, SentLine, Session};
