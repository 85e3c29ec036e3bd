//! What the tests of the sync cores share: an obvious, slow document, and recorded conversations.

// Each test binary uses a part of this.
#![allow(dead_code)]

pub mod conversation;
pub mod documents;
pub mod model;
