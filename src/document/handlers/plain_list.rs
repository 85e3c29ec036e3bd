//! Skeleton.

use super::state::ByteState;
use crate::clock::OrderKey;
use crate::codec::{DecodeError, Value};
use crate::document::ValueCodec;
use crate::document::handler::{Recorder, Visible};

#[derive(Clone, Debug)]
pub(crate) struct PlainListState {
    codec: ValueCodec,
}

impl PlainListState {
    pub(crate) fn new(codec: ValueCodec) -> Self {
        PlainListState { codec }
    }
}

impl ByteState for PlainListState {
    fn seed(&mut self, _blob: &[u8]) -> Result<(), DecodeError> {
        Ok(())
    }
    fn apply(
        &mut self,
        _order: OrderKey,
        _kind: u8,
        _body: &[u8],
        _recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        Ok(())
    }
    fn apply_pending(
        &mut self,
        _kind: u8,
        _body: &[u8],
        _recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        Ok(())
    }
    fn discard_pending(&mut self, _recorder: &mut Recorder) {}
    fn snapshot_state(&self) -> Vec<u8> {
        Vec::new()
    }
    fn visible(&self) -> Visible {
        Visible::Elements(Vec::new())
    }
    fn recorder(&self) -> Recorder {
        Recorder::Values(Vec::new())
    }
    fn value(&self) -> Value {
        let _ = self.codec;
        Value::Null
    }
    fn heap_bytes(&self) -> usize {
        0
    }
    fn check(&self) {}
}
