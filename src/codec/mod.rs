//! Bytes to plain values and back: the crdt_lf binary forms, Dart's JSON, WTF-8.
//!
//! Layer: above `clock`, below `document` (the log keeps foreign operations as bytes and the
//! handlers fold from them). Owns no state. Every decoder takes untrusted bytes: it checks every
//! length, allocates no more than the input justifies, and reports the offset of the fault.

pub mod bytes;
pub mod change;
pub mod element_id;
pub mod envelope;
pub mod json;
pub mod manifest;
pub mod native;
pub mod snapshot;
pub mod value;
mod value_tree;
pub mod version_vector;
pub mod wtf8;

pub use bytes::{DecodeError, Reader};
pub use change::Change;
pub use element_id::ElementId;
pub use envelope::Envelope;
pub use snapshot::Snapshot;
pub use value::{HandlerRef, Value};
pub use wtf8::Wtf8String;
