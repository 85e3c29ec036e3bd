//! The document as dialects that speak the native forms see it.

use super::{NativeReader, NativeWriter};
use crate::clock::VersionVector;
use crate::codec::native::NativeError;
use crate::document::Document;
use crate::document::types::{DocumentError, Origin};
use crate::replica::{ApplyError, ImportOutcome, NativeApplyError, NativeReplica, Rewritten};

impl NativeReplica for Document {
    type Writer = NativeWriter;
    type Reader = NativeReader;

    fn writer_since(&self, seen: &VersionVector) -> NativeWriter {
        NativeWriter::new(seen)
    }

    fn write_update(
        &self,
        writer: &mut NativeWriter,
        out: &mut Vec<u8>,
    ) -> Result<bool, Rewritten> {
        writer.update(self, out).map_err(|_| Rewritten)
    }

    fn is_current(&self, writer: &NativeWriter) -> bool {
        writer.is_current(self)
    }

    fn skip_update(&self, writer: &mut NativeWriter) {
        writer.skip(self);
    }

    fn reader(&self, strict: bool) -> NativeReader {
        match strict {
            true => NativeReader::strict(),
            false => NativeReader::new(),
        }
    }

    fn apply_update(
        &mut self,
        reader: &mut NativeReader,
        update: &[u8],
    ) -> Result<ImportOutcome, NativeApplyError> {
        Ok(reader.apply(self, update, &[], Origin::Remote)?)
    }

    fn ensure_history(&self, seen: &VersionVector) -> Result<(), ApplyError> {
        self.ensure_history_since(seen)
    }

    fn native_changes(
        &self,
        seen: &VersionVector,
        bytes_target: usize,
    ) -> Result<Vec<Vec<u8>>, ApplyError> {
        self.ensure_history_since(seen)?;
        Ok(self.export_native_parts(seen, bytes_target))
    }

    fn native_state(&mut self) -> Result<Vec<u8>, ApplyError> {
        self.native_snapshot(true)
    }

    fn apply_native_changes(
        &mut self,
        container: &[u8],
        strict: bool,
    ) -> Result<ImportOutcome, NativeApplyError> {
        Ok(self.import_container(container, strict, &[], Origin::Remote)?)
    }

    fn merge_native_state(&mut self, container: &[u8]) -> Result<bool, NativeApplyError> {
        Ok(self.merge_native_snapshot(container)?)
    }
}

impl From<DocumentError> for NativeApplyError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Native(error) => NativeApplyError::Malformed(error),
            DocumentError::Decode(error) => NativeApplyError::Malformed(error.into()),
            DocumentError::Apply(error) => NativeApplyError::Refused(error),
            DocumentError::Closed => NativeApplyError::Refused(ApplyError::Closed),
            DocumentError::ReadOnly => NativeApplyError::Refused(ApplyError::ReadOnly),
            DocumentError::Limit(limit) => NativeApplyError::Refused(ApplyError::Limit(limit)),
            // Handlers of another type under the same id: the bytes are of another document.
            _ => NativeApplyError::Malformed(NativeError::Kind),
        }
    }
}
