//! Parts of a body behind its rows or states: a number, a length, bytes. Programs skip odd numbers
//! that they do not know, and refuse even ones (docs/format.md: adding versions).

use super::super::bytes::{write_prefixed, write_uvarint};
use super::super::{DecodeError, Reader};

/// Appends a section.
pub(crate) fn write(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    write_uvarint(out, number);
    write_prefixed(out, bytes);
}

/// The next section: its number and its bytes. None at the end.
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<Option<(u64, &'a [u8])>, DecodeError> {
    if reader.is_at_end() {
        return Ok(None);
    }
    Ok(Some((reader.uvarint()?, reader.prefixed()?)))
}

/// What to do with a section of an unknown number.
pub(crate) fn skip_unknown(number: u64, reader: &Reader<'_>) -> Result<(), DecodeError> {
    match number % 2 {
        1 => Ok(()),
        _ => Err(reader.error("a section that must be understood is not known")),
    }
}

/// Reads to the end where no section is known.
pub(crate) fn refuse_required(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    while let Some((number, _)) = read(reader)? {
        skip_unknown(number, reader)?;
    }
    Ok(())
}
