//! Where the parts of rows go: side by side in columns, or one behind the other.

use super::super::bytes::write_uvarint;
use super::super::{DecodeError, Reader};
use super::decode::Source;

/// The parts of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// What a row is, and what of it follows from the row before.
    Heads,
    /// Authors and handlers where they change, with their definitions.
    Who,
    /// Numbers of changes.
    Counts,
    /// Clocks that do not follow.
    Clocks,
    /// Dependencies that are not the row before.
    Deps,
    /// Where elements go and which are removed.
    Elements,
    /// Lengths of text and bytes.
    Lengths,
    /// ASCII text.
    Narrow,
    /// Other text as WTF-8, and operations as bytes.
    Bytes,
}

const COLUMNS: usize = Column::Bytes as usize + 1;

/// Columns that are being written.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: [Vec<u8>; COLUMNS],
}

/// Where an encoder writes.
pub(crate) trait Layout {
    fn column(&mut self, column: Column) -> &mut Vec<u8>;
}

impl Layout for Columns {
    #[inline]
    fn column(&mut self, column: Column) -> &mut Vec<u8> {
        &mut self.columns[column as usize]
    }
}

/// The interleaved layout.
impl Layout for Vec<u8> {
    #[inline]
    fn column(&mut self, _: Column) -> &mut Vec<u8> {
        self
    }
}

impl Columns {
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// Appends the lengths of the columns, then the columns.
    pub fn finish(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() + COLUMNS * 5);
        for column in &self.columns {
            write_uvarint(out, column.len() as u64);
        }
        for column in &self.columns {
            out.extend_from_slice(column);
        }
    }
}

/// Columns that are being read.
#[derive(Debug)]
pub(crate) struct ColumnReaders<'a> {
    columns: [Reader<'a>; COLUMNS],
}

impl<'a> ColumnReaders<'a> {
    /// Opens what [`Columns::finish`] wrote; `reader` is left behind it.
    pub fn open(reader: &mut Reader<'a>, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut lens = [0; COLUMNS];
        for len in &mut lens {
            *len = reader.count(1)?;
        }
        let mut columns = [const { Reader::EMPTY }; COLUMNS];
        for (column, len) in columns.iter_mut().zip(lens) {
            let start = reader.offset();
            reader.take(len, "a column is cut off")?;
            *column = Reader::between(bytes, start, start + len);
        }
        Ok(ColumnReaders { columns })
    }
}

impl<'a> Source<'a> for ColumnReaders<'a> {
    #[inline]
    fn column(&mut self, column: Column) -> &mut Reader<'a> {
        &mut self.columns[column as usize]
    }

    fn finish(&self) -> Result<(), DecodeError> {
        self.columns.iter().try_for_each(Reader::finish)
    }
}
