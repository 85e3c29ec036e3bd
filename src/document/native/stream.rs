//! Updates one behind the other: whoever wrote and read those before need not be told again who
//! writes where. A typed character is some ten bytes, four of them a checksum.
//!
//! Each update carries a checksum of all updates so far: one that is lost, doubled, out of order or
//! damaged is noticed, and the stream is at its end. Then both sides begin another one.

use super::export::SliceWriter;
use super::import::Incoming;
use crate::clock::VersionVector;
use crate::codec::native::NativeError;
use crate::codec::native::container::{StreamChecksum, read_stream_head, write_stream_head};
use crate::codec::{Reader, bytes::write_uvarint};
use crate::document::log::{Place, Slice};
use crate::document::types::{DocumentError, Origin};
use crate::document::{Document, LogPosition};
use crate::replica::ImportOutcome;

/// Follows a document and writes what is new, for one [`NativeReader`].
#[derive(Clone, Debug)]
pub struct NativeWriter {
    state: Writing,
    /// The head of the stream was written.
    begun: bool,
    slices: SliceWriter,
    checksum: StreamChecksum,
    scratch: Vec<u8>,
    pending: Vec<Slice>,
}

#[derive(Clone, Debug)]
enum Writing {
    /// Nothing was written yet; the reader has this.
    Begins(VersionVector),
    /// Everything up to here was written.
    Follows {
        position: LogPosition,
        last: Option<Place>,
    },
}

impl NativeWriter {
    /// A stream to somebody who has what `since` covers.
    pub fn new(since: &VersionVector) -> Self {
        NativeWriter {
            state: Writing::Begins(since.clone()),
            begun: false,
            slices: SliceWriter::default(),
            checksum: StreamChecksum::default(),
            scratch: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Whether the reader has everything that was written or left out, and nothing came since.
    pub fn is_current(&self, document: &Document) -> bool {
        match &self.state {
            Writing::Begins(since) => since.is_strictly_newer_or_equal_than(&document.vector()),
            Writing::Follows { position, .. } => *position == document.log_position(),
        }
    }

    /// Leaves out what is new: the reader has it from elsewhere. O(1).
    pub fn skip(&mut self, document: &Document) {
        self.state = Writing::Follows {
            position: document.log_position(),
            last: document.log.last_place(),
        };
    }

    /// Appends the update that brings the reader up to date; false, and nothing is appended, if
    /// it is. Always the same document, and every update must reach the reader, in order. O(rows
    /// that are new).
    ///
    /// # Errors
    /// `UnknownChange` if history was rewritten meanwhile (a snapshot, pruning): begin another
    /// stream from what the reader has, with a snapshot if that is not enough.
    pub fn update(
        &mut self,
        document: &Document,
        out: &mut Vec<u8>,
    ) -> Result<bool, DocumentError> {
        let position = document.log_position();
        self.pending.clear();
        match &self.state {
            Writing::Begins(since) => self.pending = document.log.slices_newer_than(since),
            Writing::Follows {
                position: before, ..
            } if *before == position => return Ok(false),
            Writing::Follows {
                position: before, ..
            } if before.generation != position.generation => {
                return Err(DocumentError::UnknownChange);
            }
            Writing::Follows { last, .. } => document.log.slices_since(*last, &mut self.pending),
        }
        if self.pending.is_empty() {
            return Ok(false);
        }
        self.scratch.clear();
        if !std::mem::replace(&mut self.begun, true) {
            write_stream_head(&mut self.scratch);
        }
        let pending = std::mem::take(&mut self.pending);
        self.slices.begin_body();
        match pending.as_slice() {
            // Most updates: the count is known to be one.
            [slice] if slice.changes == 1 => {
                self.scratch.push(1);
                self.slices.write(&document.log, *slice, &mut self.scratch);
            }
            slices => {
                let mut rows = Vec::new();
                self.slices.write_all(&document.log, slices, &mut rows);
                write_uvarint(&mut self.scratch, self.slices.rows);
                self.scratch.extend_from_slice(&rows);
            }
        }
        self.pending = pending;
        self.state = Writing::Follows {
            position,
            last: document.log.last_place(),
        };
        out.extend_from_slice(&self.scratch);
        out.extend_from_slice(&self.checksum.add(&self.scratch));
        Ok(true)
    }
}

/// Takes in what a [`NativeWriter`] wrote.
#[derive(Debug, Default)]
pub struct NativeReader {
    incoming: Incoming,
    checksum: StreamChecksum,
    begun: bool,
    broken: bool,
}

impl NativeReader {
    /// The beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// The beginning of a stream from a peer that is not trusted: what peers of other dialects could
    /// not read is refused.
    pub fn strict() -> Self {
        let mut reader = Self::default();
        reader.incoming.strict = true;
        reader
    }

    /// Imports an update. Always the same document, and every update once, in order.
    ///
    /// # Errors
    /// As [`Document::import_native`]; then nothing was imported, and the stream is at its end:
    /// every further call gives `Native(Checksum)`.
    pub fn apply(
        &mut self,
        document: &mut Document,
        update: &[u8],
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, DocumentError> {
        if self.broken {
            return Err(NativeError::Checksum.into());
        }
        // Until it has gone well.
        self.broken = true;
        let body = self.open(update)?;
        let outcome = document.import_rows(body, &mut self.incoming, tag, origin)?;
        self.broken = false;
        Ok(outcome)
    }

    fn open<'a>(&mut self, update: &'a [u8]) -> Result<&'a [u8], NativeError> {
        let end = update.len().checked_sub(StreamChecksum::BYTES);
        let (body, checksum) = update.split_at(end.ok_or(NativeError::Length)?);
        if self.checksum.add(body) != *checksum {
            return Err(NativeError::Checksum);
        }
        let mut reader = Reader::new(body);
        if !self.begun {
            read_stream_head(&mut reader)?;
            self.begun = true;
        }
        self.incoming.decoded.clear();
        self.incoming
            .decoder
            .read_body(&mut reader, body, false, &mut self.incoming.decoded)?;
        reader.finish()?;
        Ok(body)
    }
}
