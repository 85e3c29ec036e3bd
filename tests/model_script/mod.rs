//! Peers that play random scripts on a document and on the model of it at once.

pub mod edits;
pub mod peer;
pub mod shadow;
