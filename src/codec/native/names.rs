//! Handlers as rows name them: the tags that every document uses are numbers.

use super::super::bytes::write_prefixed;
use super::super::{DecodeError, Reader};

/// Number n + 1 stands for the n-th; 0 for a tag that follows. Append only: the numbers are stored.
const KNOWN_TAGS: [&str; 12] = [
    "CRDTTextHandler",
    "CRDTFugueTextHandler",
    "CRDTListHandler<dynamic>",
    "CRDTFugueListHandler<dynamic>",
    "CRDTFugueMovableListHandler<dynamic>",
    "CRDTMapHandler<dynamic>",
    "CRDTORMapHandler<dynamic, dynamic>",
    "CRDTRegisterHandler<dynamic>",
    "CRDTORSetHandler<dynamic>",
    "CRDTMapRefHandler",
    "CRDTListRefHandler",
    "CRDTMovableListRefHandler",
];

/// Appends a type tag and a handler id.
pub(crate) fn write(type_tag: &str, id: &str, out: &mut Vec<u8>) {
    match KNOWN_TAGS.iter().position(|known| *known == type_tag) {
        Some(at) => out.push(at as u8 + 1),
        None => {
            out.push(0);
            write_prefixed(out, type_tag.as_bytes());
        }
    }
    write_prefixed(out, id.as_bytes());
}

/// The inverse. Names with a byte order mark are refused: the crdt_lf form drops it, so no change
/// can name such a handler (its payload would be carried as it came).
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, &'a str), DecodeError> {
    let start = reader.clone();
    let type_tag = match reader.byte("the tag of a handler")? {
        0 => plain_text(reader)?,
        number => KNOWN_TAGS
            .get(number as usize - 1)
            .copied()
            .ok_or_else(|| start.error("the number of a handler's tag is not known"))?,
    };
    Ok((type_tag, plain_text(reader)?))
}

fn plain_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let start = reader.clone();
    let text = std::str::from_utf8(reader.prefixed()?).ok();
    text.filter(|text| !text.starts_with('\u{feff}'))
        .ok_or_else(|| start.error("a name is UTF-8 without a byte order mark"))
}
