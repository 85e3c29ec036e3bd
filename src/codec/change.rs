//! Changes as bytes (specification 6): one change, the export blob, and the list of blobs.

use super::bytes::{uvarint_len, write_prefixed, write_uvarint};
use super::{DecodeError, Envelope, Reader};
use crate::clock::OperationId;

/// The only binary schema that was ever released.
const SCHEMA: u8 = 2;
const LIST_MAGIC: &[u8; 6] = b"CRDTLF";
const LIST_VERSION: u8 = 1;

/// One change as it travels: who and when, what it builds on, and the operation as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Author and clock.
    pub id: OperationId,
    /// The changes it builds on, in the order of the author's frontier. A repeated one is kept.
    pub deps: Vec<OperationId>,
    /// The operation (see [`Envelope`]); not inspected here, any bytes survive.
    pub payload: Vec<u8>,
}

impl Change {
    /// The bytes of one change (6.2).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        out.push(SCHEMA);
        self.write_head(&mut out);
        write_prefixed(&mut out, &self.payload);
        out
    }

    /// How many bytes [`encode`](Self::encode) gives.
    pub fn encoded_len(&self) -> usize {
        1 + self.encoded_blob_len() + uvarint_len(self.payload.len() as u64)
    }

    /// Reads one change.
    ///
    /// # Errors
    /// Another schema, too few bytes, trailing bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(ChangeView::decode(bytes)?.to_change())
    }

    /// Appends the blob of an export list (6.3): no schema, no length of the payload.
    pub fn encode_blob(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        out.extend_from_slice(&self.payload);
    }

    /// How many bytes [`encode_blob`](Self::encode_blob) appends.
    pub fn encoded_blob_len(&self) -> usize {
        let ids = (1 + self.deps.len()) * OperationId::BYTES;
        uvarint_len(self.deps.len() as u64) + ids + self.payload.len()
    }

    /// Reads a blob of an export list; the payload is all that follows the dependencies.
    ///
    /// # Errors
    /// Too few bytes for id and dependencies.
    pub fn decode_blob(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(ChangeView::decode_blob(bytes)?.to_change())
    }

    /// The payload, read as an operation.
    ///
    /// # Errors
    /// As [`Envelope::decode`].
    pub fn envelope(&self) -> Result<Envelope<'_>, DecodeError> {
        Envelope::decode(&self.payload)
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        write_uvarint(out, self.deps.len() as u64);
        out.extend_from_slice(&self.id.to_bytes());
        for dep in &self.deps {
            out.extend_from_slice(&dep.to_bytes());
        }
    }
}

/// The bytes of `binaryExportChanges` (6.3).
pub fn encode_list<'a>(changes: impl ExactSizeIterator<Item = &'a Change>) -> Vec<u8> {
    let mut list = ListWriter::new(changes.len());
    changes.for_each(|change| list.push(change));
    list.finish()
}

/// Writes the bytes of `binaryExportChanges` (6.3) change by change.
#[derive(Debug)]
pub struct ListWriter {
    out: Vec<u8>,
    left: usize,
}

impl ListWriter {
    /// Starts a list of `count` changes.
    pub fn new(count: usize) -> Self {
        let mut out = Vec::new();
        write_list_head(&mut out, count);
        ListWriter { out, left: count }
    }

    /// Appends a change.
    ///
    /// # Panics
    /// If it is one more than announced.
    pub fn push(&mut self, change: &Change) {
        self.left = self
            .left
            .checked_sub(1)
            .expect("as many changes as announced");
        write_uvarint(&mut self.out, change.encoded_blob_len() as u64);
        change.encode_blob(&mut self.out);
    }

    /// The bytes.
    ///
    /// # Panics
    /// If fewer changes came than announced.
    pub fn finish(self) -> Vec<u8> {
        assert_eq!(self.left, 0, "as many changes as announced");
        self.out
    }
}

/// Reads the bytes of `binaryExportChanges`. All or nothing.
///
/// # Errors
/// As [`decode_list_blobs`], and any blob that is not a change.
pub fn decode_list(bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
    Ok(decode_list_views(bytes)?
        .iter()
        .map(ChangeView::to_change)
        .collect())
}

/// A change that stays in the bytes it came in.
#[derive(Clone, Copy, Debug)]
pub struct ChangeView<'a> {
    /// Author and clock.
    pub id: OperationId,
    /// Ids of 24 bytes each.
    deps: &'a [u8],
    /// The operation.
    pub payload: &'a [u8],
}

impl<'a> ChangeView<'a> {
    /// Reads one change.
    ///
    /// # Errors
    /// As [`Change::decode`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.byte("the schema of a change")? != SCHEMA {
            return Err(Reader::new(bytes).error("the schema of a change is 2"));
        }
        let (id, deps) = Self::read_head(&mut reader)?;
        let payload = reader.prefixed()?;
        reader.finish()?;
        Ok(ChangeView { id, deps, payload })
    }

    /// Reads a blob of an export list.
    ///
    /// # Errors
    /// As [`Change::decode_blob`].
    pub fn decode_blob(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (id, deps) = Self::read_head(&mut reader)?;
        let payload = reader.rest();
        Ok(ChangeView { id, deps, payload })
    }

    fn read_head(reader: &mut Reader<'a>) -> Result<(OperationId, &'a [u8]), DecodeError> {
        // Bounded by the input with checked arithmetic, where Dart's wraps (defect 13.19).
        let count = reader.count(OperationId::BYTES)?;
        let id = OperationId::from_bytes(&reader.array("the id of a change")?);
        let deps = reader.take(count * OperationId::BYTES, "a dependency of a change")?;
        Ok((id, deps))
    }

    /// The changes it builds on.
    pub fn deps(&self) -> impl ExactSizeIterator<Item = OperationId> + use<'a> {
        let ids = self.deps.chunks_exact(OperationId::BYTES);
        ids.map(|id| OperationId::from_bytes(id.try_into().expect("chunks of this size")))
    }

    /// The same on its own.
    pub fn to_change(&self) -> Change {
        Change {
            id: self.id,
            deps: self.deps().collect(),
            payload: self.payload.to_vec(),
        }
    }
}

/// As [`decode_list`], without a copy of the operations.
///
/// # Errors
/// As [`decode_list`].
pub fn decode_list_views(bytes: &[u8]) -> Result<Vec<ChangeView<'_>>, DecodeError> {
    // The framing is checked to its end before a change is read, as the reference does; no list
    // of the blobs is needed for that.
    let mut count = 0usize;
    for_each_blob(bytes, |_, _| {
        count += 1;
        Ok(())
    })?;
    // A change takes 25 bytes at least: shorter blobs fail below, and reserve nothing.
    let mut changes = Vec::with_capacity(count.min(bytes.len() / (OperationId::BYTES + 2)));
    for_each_blob(bytes, |offset, blob| {
        let at = |error: DecodeError| DecodeError {
            offset: offset + error.offset,
            ..error
        };
        changes.push(ChangeView::decode_blob(blob).map_err(at)?);
        Ok(())
    })?;
    Ok(changes)
}

/// The list framing around any blobs.
pub fn encode_list_blobs(blobs: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    write_list_head(&mut out, blobs.len());
    blobs.iter().for_each(|blob| write_prefixed(&mut out, blob));
    out
}

/// Opens the list framing: the blobs with their offsets, not inspected.
///
/// # Errors
/// Wrong magic or version, a blob that is cut off, trailing bytes.
pub fn decode_list_blobs(bytes: &[u8]) -> Result<Vec<(usize, &[u8])>, DecodeError> {
    let mut blobs = Vec::new();
    for_each_blob(bytes, |offset, blob| {
        blobs.push((offset, blob));
        Ok(())
    })?;
    Ok(blobs)
}

/// Hands each blob of a list to `body`, with its offset.
fn for_each_blob<'a>(
    bytes: &'a [u8],
    mut body: impl FnMut(usize, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    if &reader.array::<6>("the magic of a change list")? != LIST_MAGIC {
        return Err(Reader::new(bytes).error("the magic of a change list is CRDTLF"));
    }
    let version = reader.clone();
    if reader.byte("the version of a change list")? != LIST_VERSION {
        return Err(version.error("the version of a change list is 1"));
    }
    for _ in 0..reader.count(1)? {
        let blob = reader.prefixed()?;
        body(reader.offset() - blob.len(), blob)?;
    }
    reader.finish()
}

fn write_list_head(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(LIST_MAGIC);
    out.push(LIST_VERSION);
    write_uvarint(out, count as u64);
}
