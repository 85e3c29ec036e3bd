//! The C API: one header section is one file here.
//!
//! Layer: top; wraps `document`, `codec`, `store` and `net`, and nothing wraps it. No algorithm of
//! documents or protocols lives here, and no C type leaves this folder. An exported function is a
//! guard (NULL checks, panic boundary, last error), one call inwards, one conversion out.
//!
//! What C sees as an event comes from `delivery`: every listener hangs on a queue, a queue is
//! drained by the library's own thread, by a thread of the application, or through a file
//! descriptor. `include/syncline.h` is generated from these files by `build.rs`.

// C names are C names. The safety contract of every exported function is the same and stands in
// the header's introduction (see `guard::Caller`), so it is not repeated for each.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]
// What clients and servers report has its types in every build, because events carry them.
#![cfg_attr(not(all(feature = "client", feature = "server")), allow(dead_code))]

mod delivery;
#[cfg(test)]
mod delivery_tests;
mod delivery_thread;
mod document_core;
mod guard;
mod handle;
mod hooks;
mod hub;
mod payload;
mod reports;
mod signal;
mod sources;
mod subscription;
mod tree;
mod units;

pub mod buffer;
pub mod change;
pub mod client;
#[cfg(feature = "client")]
pub mod client_calls;
pub mod clock;
pub mod custom;
pub mod document;
pub mod error;
pub mod event;
pub mod exchange;
pub mod handler;
pub mod history;
pub mod iterator;
pub mod kinds;
pub mod library;
pub mod list;
pub mod log;
pub mod map;
pub mod nested;
pub mod queue;
pub mod register;
pub mod server;
#[cfg(feature = "server")]
pub mod server_calls;
pub mod set;
pub mod snapshot;
pub mod store;
mod store_care;
pub mod text;
pub mod types;
pub mod undo;
pub mod value;
pub mod version_vector;
