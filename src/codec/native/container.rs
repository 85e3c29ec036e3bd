//! The frame around every native form: magic, version, kind, flags, length, body, checksum.

use super::super::bytes::write_uvarint;
use super::super::{DecodeError, Reader};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::borrow::Cow;
use std::fmt;
use std::io::{Read as _, Write as _};

/// The version that is written, and the only one that is read (docs/format.md: adding versions).
pub const VERSION: u8 = 1;

/// No ASCII, so that no text begins like this, and no crdt_lf form does.
const MAGIC: [u8; 2] = [0xc5, 0x4c];

/// Largest body that is inflated.
pub const INFLATED_BYTES_MAX: u64 = 1 << 30;

/// No deflated stream grows by more than this.
const INFLATE_RATIO_MAX: u64 = 1040;

const CHECKSUM_BYTES: usize = 4;
const DEFLATED: u8 = 1 << 7;
const COLUMNS: u8 = 1 << 6;
const KIND: u8 = 0x0f;

/// What a container holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes.
    Changes,
    /// The state of a document, with what merging needs.
    Snapshot,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Changes => 1,
            Kind::Snapshot => 2,
        }
    }
}

/// Why native bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NativeError {
    /// They begin like no native form.
    Magic,
    /// A later program wrote them.
    Version {
        /// The version they have.
        found: u8,
        /// The latest that is read.
        supported: u8,
    },
    /// Another form than the one that was asked for.
    Kind,
    /// Cut off, or bytes behind the end.
    Length,
    /// A bit flipped, or parts of a stream are missing or in the wrong order.
    Checksum,
    /// Well framed, but malformed inside.
    Malformed(DecodeError),
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NativeError::Magic => f.write_str("not a native form"),
            NativeError::Version { found, supported } => {
                write!(f, "native version {found}; up to {supported} is read")
            }
            NativeError::Kind => f.write_str("another native form than expected"),
            NativeError::Length => f.write_str("cut off, or bytes behind the end"),
            NativeError::Checksum => f.write_str("the checksum differs"),
            NativeError::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NativeError {}

impl From<DecodeError> for NativeError {
    fn from(error: DecodeError) -> Self {
        NativeError::Malformed(error)
    }
}

/// Frames a body, which is given in parts.
pub(crate) fn seal(kind: Kind, columns: bool, parts: &[&[u8]]) -> Vec<u8> {
    framed(kind.code() | if columns { COLUMNS } else { 0 }, parts)
}

fn framed(flags: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(len + 18);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, flags]);
    write_uvarint(&mut out, len as u64);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Whether the bytes begin like a native form: none of crdt_lf's does.
pub fn is_native(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// An opened container.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub body: Cow<'a, [u8]>,
    pub columns: bool,
}

/// Checks the frame and takes the body out of it, inflated if need be.
pub(crate) fn open(bytes: &[u8], kind: Kind) -> Result<Opened<'_>, NativeError> {
    let (flags, body) = unframed(bytes)?;
    if flags & KIND != kind.code() {
        return Err(NativeError::Kind);
    }
    let body = match flags & DEFLATED {
        0 => Cow::Borrowed(body),
        _ => Cow::Owned(inflate(body)?),
    };
    Ok(Opened {
        body,
        columns: flags & COLUMNS != 0,
    })
}

fn unframed(bytes: &[u8]) -> Result<(u8, &[u8]), NativeError> {
    let Some((head, _)) = bytes.split_at_checked(4) else {
        return Err(match MAGIC.starts_with(&bytes[..bytes.len().min(2)]) {
            true => NativeError::Length,
            false => NativeError::Magic,
        });
    };
    if head[..2] != MAGIC {
        return Err(NativeError::Magic);
    }
    if head[2] != VERSION {
        return Err(NativeError::Version {
            found: head[2],
            supported: VERSION,
        });
    }
    let mut reader = Reader::between(bytes, 4, bytes.len());
    let len = reader.uvarint().map_err(|_| NativeError::Length)?;
    let start = reader.offset();
    if len.checked_add((start + CHECKSUM_BYTES) as u64) != Some(bytes.len() as u64) {
        return Err(NativeError::Length);
    }
    let end = bytes.len() - CHECKSUM_BYTES;
    if crc32fast::hash(&bytes[..end]).to_le_bytes() != bytes[end..] {
        return Err(NativeError::Checksum);
    }
    Ok((head[3], &bytes[start..end]))
}

/// The same container with its body deflated, if that is shorter. Readers take both.
///
/// # Errors
/// The bytes are no container.
pub fn deflated(container: &[u8]) -> Result<Vec<u8>, NativeError> {
    let (flags, body) = unframed(container)?;
    if flags & DEFLATED != 0 {
        return Ok(container.to_vec());
    }
    let mut packed = Vec::with_capacity(body.len() / 2);
    write_uvarint(&mut packed, body.len() as u64);
    let mut encoder = DeflateEncoder::new(packed, Compression::best());
    encoder
        .write_all(body)
        .expect("writing to memory cannot fail");
    let packed = encoder.finish().expect("writing to memory cannot fail");
    match packed.len() < body.len() {
        true => Ok(framed(flags | DEFLATED, &[&packed])),
        false => Ok(container.to_vec()),
    }
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>, NativeError> {
    let mut reader = Reader::new(packed);
    let len = reader.uvarint()?;
    let packed = reader.rest();
    if len > INFLATED_BYTES_MAX || len / INFLATE_RATIO_MAX > packed.len() as u64 {
        return Err(NativeError::Length);
    }
    let mut body = Vec::with_capacity(len as usize);
    let mut decoder = DeflateDecoder::new(packed).take(len + 1);
    let read = decoder.read_to_end(&mut body);
    match read {
        Ok(_) if body.len() as u64 == len => Ok(body),
        _ => Err(NativeError::Length),
    }
}

const STREAM: u8 = 3;

/// Begins a stream: magic, version and kind, once.
pub(crate) fn write_stream_head(out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, STREAM]);
}

/// Reads what a stream begins with.
pub(crate) fn read_stream_head(reader: &mut Reader<'_>) -> Result<(), NativeError> {
    let head: [u8; 4] = reader.array("the head of a stream")?;
    match head {
        [a, b, ..] if [a, b] != MAGIC => Err(NativeError::Magic),
        [_, _, VERSION, STREAM] => Ok(()),
        [_, _, VERSION, _] => Err(NativeError::Kind),
        [_, _, found, _] => Err(NativeError::Version {
            found,
            supported: VERSION,
        }),
    }
}

/// The checksum of all updates of a stream so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamChecksum(u32);

impl StreamChecksum {
    pub const BYTES: usize = CHECKSUM_BYTES;

    /// With another update.
    pub fn add(&mut self, update: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(update);
        // A checksum that is chained alone would not see where one update ends.
        hasher.update(&[0xff]);
        self.0 = hasher.finalize();
        self.0.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back_plain_and_deflated() {
        for len in [0, 1, 3, 200, 5000] {
            let body: Vec<u8> = (0..len).map(|at| (at % 7) as u8).collect();
            for columns in [false, true] {
                let plain = seal(Kind::Changes, columns, &[&body]);
                let packed = deflated(&plain).unwrap();
                assert!(packed.len() <= plain.len());
                assert_eq!(packed == plain, len < 200);
                assert_eq!(deflated(&packed).unwrap(), packed);
                for bytes in [plain, packed] {
                    let opened = open(&bytes, Kind::Changes).unwrap();
                    assert_eq!((&*opened.body, opened.columns), (&*body, columns));
                    assert_eq!(open(&bytes, Kind::Snapshot).unwrap_err(), NativeError::Kind);
                }
            }
        }
    }

    #[test]
    fn every_bit_flip_and_truncation_is_refused() {
        let sound = deflated(&seal(Kind::Snapshot, true, &[&[7; 100], &[7; 200]])).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes, Kind::Snapshot).is_err(), "bit {bit}");
        }
        for len in 0..sound.len() {
            assert_eq!(
                open(&sound[..len], Kind::Snapshot).unwrap_err(),
                NativeError::Length
            );
        }
        let mut later = sound.clone();
        later[2] = VERSION + 1;
        assert_eq!(
            open(&later, Kind::Snapshot).unwrap_err(),
            NativeError::Version {
                found: 2,
                supported: 1
            }
        );
        assert_eq!(
            open(b"CRDTLF", Kind::Changes).unwrap_err(),
            NativeError::Magic
        );
    }

    #[test]
    fn a_body_that_claims_another_length_is_refused() {
        let packed = deflated(&seal(Kind::Changes, false, &[&[7; 3000]])).unwrap();
        let (flags, body) = unframed(&packed).unwrap();
        let stream = &body[2..];
        for claimed in [0, 2999, 3001, u64::from(u32::MAX), u64::MAX >> 1] {
            let mut forged = Vec::new();
            write_uvarint(&mut forged, claimed);
            forged.extend_from_slice(stream);
            let forged = framed(flags, &[&forged]);
            assert_eq!(
                open(&forged, Kind::Changes).unwrap_err(),
                NativeError::Length
            );
        }
    }
}
