//! Handlers of kinds that the application brings: it folds the operations, the document keeps
//! them in order, stores them and lets them travel. Peers that do not know the type pass its
//! changes on untouched.
//!
//! Layer: `document`. The hooks run under the document's lock and must not call back into it.

use super::Document;
use super::handler::State;
use super::handlers::operation::Operation;
use super::types::{DocumentError, HandlerIdx};
use crate::clock::OperationId;
use crate::codec::Value;
use std::any::Any;
use std::fmt;

/// Why a hook refused. The operation is skipped and a warning is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomError(
    /// For the log.
    pub String,
);

impl fmt::Display for CustomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CustomError {}

/// An operation as a hook sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomOperation<'a> {
    /// Which change it is; None in an open transaction.
    pub id: Option<OperationId>,
    /// The kind byte, as it was submitted.
    pub kind: u8,
    /// The body, as it was submitted.
    pub body: &'a [u8],
}

/// A type of handlers; see `Document::register_custom_type`.
pub trait CustomType: Send + Sync {
    /// The state before any operation.
    fn new_state(&self) -> Box<dyn CustomHandler>;

    /// Whether operations give the same state in any order. If not, the handler is replayed from
    /// the last snapshot whenever a change arrives behind a younger one, at the cost of its
    /// history.
    fn is_order_independent(&self) -> bool {
        false
    }

    /// Joins two operations (kind and body) that follow each other in a transaction into one; None
    /// keeps them apart.
    fn compound(&self, last: (u8, &[u8]), next: (u8, &[u8])) -> Option<(u8, Vec<u8>)> {
        let _ = (last, next);
        None
    }
}

/// The state of one custom handler. What it does may depend on nothing but its operations and
/// their order: all peers must come to the same state.
pub trait CustomHandler: Send + Sync {
    /// Folds an operation in. Operations come in replay order, or in any order if the type says
    /// that it does not matter.
    ///
    /// # Errors
    /// The operation makes no sense; the state must be as before.
    fn apply(&mut self, operation: &CustomOperation<'_>) -> Result<(), CustomError>;

    /// Starts from what [`save`](Self::save) wrote, here or on another peer. Called on new states
    /// only.
    ///
    /// # Errors
    /// The bytes make no sense; the state is then taken for empty.
    fn load(&mut self, snapshot: &[u8]) -> Result<(), CustomError>;

    /// The whole state, for snapshots. Equal states should give equal bytes.
    ///
    /// # Errors
    /// It cannot be written; then no snapshot can be taken.
    fn save(&self) -> Result<Vec<u8>, CustomError>;

    /// What readers and observers see; by default what [`save`](Self::save) gives.
    fn value(&self) -> Value {
        self.save().map_or(Value::Null, Value::Bytes)
    }

    /// Memory held, in bytes.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// Itself, for readers that know the concrete type.
    fn as_any(&self) -> &dyn Any;
}

impl Document {
    /// Makes a change of a custom handler: queued in a transaction, else committed. The state shows
    /// it at once.
    ///
    /// # Errors
    /// `UnknownHandler` if it is not a custom one; `Closed`; `Limit`.
    pub fn custom_submit(
        &mut self,
        handler: HandlerIdx,
        kind: u8,
        body: &[u8],
    ) -> Result<(), DocumentError> {
        self.custom_state(handler)?;
        let body = body.to_vec();
        self.submit_value(handler, Operation { kind, body })
    }

    /// The state of a custom handler, with the open transaction.
    ///
    /// # Errors
    /// `UnknownHandler` if it is not a custom one.
    pub fn custom_state(&self, handler: HandlerIdx) -> Result<&dyn CustomHandler, DocumentError> {
        let handler = self.handlers.get(handler.0 as usize);
        match handler.map(|handler| &handler.state) {
            Some(State::Custom(custom)) => Ok(custom.shown()),
            _ => Err(DocumentError::UnknownHandler),
        }
    }
}
