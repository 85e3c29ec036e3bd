//! Operations by position as bytes (specification 9.3, 9.4), and which neighbours of a
//! transaction's queue are one (8.8).

use super::operation::{Operation, QueuedOperation, kind};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, Reader, wtf8};
use std::borrow::Cow;

/// `uv(index) uv(count)`: removal.
pub(crate) fn removal(index: u64, count: u64) -> Operation {
    let mut body = Vec::new();
    write_uvarint(&mut body, index);
    write_uvarint(&mut body, count);
    let kind = kind::DELETE;
    Operation { kind, body }
}

/// `uv(index) lp(content)`: what inserts and updates are.
pub(crate) fn placed(kind: u8, index: u64, content: &[u8]) -> Operation {
    let mut body = Vec::with_capacity(content.len() + 6);
    write_uvarint(&mut body, index);
    write_prefixed(&mut body, content);
    Operation { kind, body }
}

/// Index and count of a removal.
///
/// # Errors
/// Malformed bytes.
pub(crate) fn read_removal(body: &[u8]) -> Result<(u64, u64), DecodeError> {
    let mut reader = Reader::new(body);
    Ok((reader.uvarint()?, reader.uvarint()?))
}

/// Index and content of an insert or update.
///
/// # Errors
/// Malformed bytes.
pub(crate) fn read_placed(body: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let mut reader = Reader::new(body);
    Ok((reader.uvarint()?, reader.prefixed()?))
}

/// What a text or list kept is of another kind than its operations are.
pub(crate) fn unknown_kind() -> DecodeError {
    Reader::EMPTY.error("the kind of an operation is not known")
}

/// Two removals, if the second one goes on at the place of the first, forwards or backwards.
pub(crate) fn joined_removals<'a>(
    last: &QueuedOperation<'a>,
    next: &QueuedOperation<'a>,
) -> Option<QueuedOperation<'a>> {
    if (last.0, next.0) != (kind::DELETE, kind::DELETE) {
        return None;
    }
    let (index, count) = read_removal(&last.1).ok()?;
    let (next_index, next_count) = read_removal(&next.1).ok()?;
    let goes_on = next_index == index || next_index.checked_add(next_count)? == index;
    goes_on.then_some(())?;
    Some(queued(removal(next_index, count.checked_add(next_count)?)))
}

/// An insert of text and what happens to the text that it inserted: more text in it or at its
/// ends, or less. Dart joins text before it, too, and fails (defect 13.3).
pub(crate) fn joined_text<'a>(
    last: &QueuedOperation<'a>,
    next: &QueuedOperation<'a>,
) -> Option<QueuedOperation<'a>> {
    if last.0 != kind::INSERT {
        return None;
    }
    let (index, text) = read_placed(&last.1).ok()?;
    let (at, removed, inserted) = match next.0 {
        kind::INSERT => {
            let (at, inserted) = read_placed(&next.1).ok()?;
            (at, 0, inserted)
        }
        kind::DELETE => {
            let (at, count) = read_removal(&next.1).ok()?;
            (at, count, &[][..])
        }
        _ => return None,
    };
    let start = usize::try_from(at.checked_sub(index)?).ok()?;
    let end = start.checked_add(usize::try_from(removed).ok()?)?;
    let joined = if text.is_ascii() && inserted.is_ascii() {
        spliced(text, start..end, inserted)?
    } else {
        // As a whole, so that two halves of a character meet.
        let (mut old, mut new, mut joined) = (Vec::new(), Vec::new(), Vec::new());
        wtf8::decode_to_utf16(text, &mut old).ok()?;
        wtf8::decode_to_utf16(inserted, &mut new).ok()?;
        wtf8::encode_utf16(&spliced(&old, start..end, &new)?, &mut joined);
        joined
    };
    Some(queued(placed(kind::INSERT, index, &joined)))
}

/// `old` with `new` in place of a range; None if the range is not in it.
fn spliced<T: Copy>(old: &[T], range: std::ops::Range<usize>, new: &[T]) -> Option<Vec<T>> {
    Some([old.get(..range.start)?, new, old.get(range.end..)?].concat())
}

fn queued<'a>(operation: Operation) -> QueuedOperation<'a> {
    (operation.kind, Cow::Owned(operation.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Body = (u8, Vec<u8>);

    fn insert(index: u64, text: &str) -> Body {
        let Operation { kind, body } = placed(kind::INSERT, index, text.as_bytes());
        (kind, body)
    }

    fn remove(index: u64, count: u64) -> Body {
        let Operation { kind, body } = removal(index, count);
        (kind, body)
    }

    fn joined(last: &Body, next: &Body) -> Option<Body> {
        fn queued(body: &Body) -> QueuedOperation<'_> {
            (body.0, Cow::Borrowed(body.1.as_slice()))
        }
        let (last, next) = (queued(last), queued(next));
        let joined = joined_text(&last, &next).or_else(|| joined_removals(&last, &next));
        joined.map(|(kind, body)| (kind, body.into_owned()))
    }

    #[test]
    fn what_goes_on_where_the_last_ended_is_one() {
        let smile = "\u{1f600}";
        for (last, next, expected) in [
            (insert(3, "ab"), insert(3, "X"), Some(insert(3, "Xab"))),
            (insert(3, "ab"), insert(4, "X"), Some(insert(3, "aXb"))),
            (insert(3, "ab"), insert(5, "X"), Some(insert(3, "abX"))),
            (insert(3, "ab"), insert(6, "X"), None),
            (insert(3, "ab"), insert(2, "X"), None),
            (
                insert(3, smile),
                insert(5, smile),
                Some(insert(3, &smile.repeat(2))),
            ),
            (insert(3, smile), insert(6, "X"), None),
            (insert(3, "ab"), remove(3, 2), Some(insert(3, ""))),
            (insert(3, "ab"), remove(4, 1), Some(insert(3, "a"))),
            (insert(3, "ab"), remove(4, 2), None),
            (insert(3, "ab"), remove(2, 1), None),
            (insert(3, "ab"), remove(3, u64::MAX >> 1), None),
            (remove(3, 2), remove(3, 4), Some(remove(3, 6))),
            (remove(3, 2), remove(2, 1), Some(remove(2, 3))),
            (remove(3, 2), remove(2, 2), None),
            (remove(3, 2), remove(4, 1), None),
            (remove(3, 2), insert(3, "a"), None),
        ] {
            assert_eq!(joined(&last, &next), expected, "{last:?} {next:?}");
        }
    }

    #[test]
    fn halves_of_a_character_meet() {
        let half = |index, unit: u16| {
            let mut text = Vec::new();
            wtf8::encode_utf16(&[unit], &mut text);
            let Operation { kind, body } = placed(kind::INSERT, index, &text);
            (kind, body)
        };
        assert_eq!(
            joined(&half(0, 0xd83d), &half(1, 0xde00)),
            Some(insert(0, "\u{1f600}"))
        );
    }
}
