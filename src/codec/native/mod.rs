//! Syncline's own compact forms (docs/format.md): changes as rows in columns, streams of updates,
//! snapshots with tombstones. Bytes to plain rows and back; knows no document.
//!
//! Layer: `codec`. The idea: what continues what came before costs nothing but a byte that says
//! so. One encoder and one decoder of rows serve both layouts: *columns* put like things side by
//! side, which deflates well; the *interleaved* layout has no column headers, for small messages.

mod columns;
pub(crate) mod container;
mod decode;
mod encode;
pub(crate) mod names;
pub(crate) mod rows;
pub(crate) mod sections;

pub(crate) use columns::{Columns, Layout};
pub use container::{INFLATED_BYTES_MAX, Kind, NativeError, VERSION, deflated, is_native};
pub(crate) use decode::{Decoded, RowDecoder};
pub(crate) use encode::{Directory, RowEncoder};
