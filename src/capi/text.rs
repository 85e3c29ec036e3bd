//! Section 14: texts. Indexes and lengths are in the document's text unit; the engine counts
//! UTF-16 units, so other units are converted here, at the boundary.

use super::document::{TextUnitArg, text_unit};
use super::error::Error;
use super::event::step_value;
use super::guard::{Answer, Caller, guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::payload::{TextStep, syncline_op_kind, syncline_text_op};
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, syncline_value};
use super::types::*;
use super::units;
use crate::codec::Value;
use crate::document::myers::{SegmentKind, diff};
use crate::document::{Affinity, Document, DocumentError, HandlerIdx, TextOp, TextUnit};
use std::ffi::c_char;
use std::ops::Range;

/// Text: one that merges by characters (Fugue), or a plain one that goes by positions.
pub struct syncline_text(());

handle!(syncline_text, HandlerRef, Text);

/// A text under the document's lock, addressed in the application's unit.
struct View<'a> {
    document: &'a Document,
    handler: HandlerIdx,
    unit: TextUnit,
}

impl View<'_> {
    fn length_utf16(&self) -> u64 {
        self.document.text_len_utf16(self.handler)
    }

    fn length(&self) -> Result<u64, Error> {
        self.in_unit(self.length_utf16())
    }

    fn convert(&self, index: u64, from: TextUnit, to: TextUnit) -> Result<u64, Error> {
        Ok(self
            .document
            .text_convert_index(self.handler, index, from, to)?)
    }

    #[inline]
    fn in_unit(&self, index: u64) -> Result<u64, Error> {
        match self.unit {
            TextUnit::Utf16 => Ok(index),
            unit => self.convert(index, TextUnit::Utf16, unit),
        }
    }

    /// OUT_OF_RANGE past the end, NOT_ON_BOUNDARY inside of a character.
    #[inline]
    fn to_utf16(&self, index: u64) -> Result<u64, Error> {
        if self.unit != TextUnit::Utf16 {
            return self.convert(index, self.unit, TextUnit::Utf16);
        }
        let length = self.length_utf16();
        if index > length {
            Err(Error::out_of_range(index, length))
        } else {
            Ok(index)
        }
    }

    #[inline]
    fn range(&self, index: u64, count: u64) -> Result<Range<u64>, Error> {
        let start = self.to_utf16(index)?;
        let end = index.checked_add(count);
        let end = end.ok_or_else(|| Error::out_of_range(u64::MAX, self.length_utf16()))?;
        Ok(start..self.to_utf16(end)?)
    }

    fn units(&self, range: Range<u64>) -> Vec<u16> {
        let mut units = Vec::new();
        self.document
            .text_slice_utf16(self.handler, range, &mut units);
        units
    }
}

/// Runs `body` with the text, for reading.
fn view<R>(
    caller: Caller<'_>,
    text: *const syncline_text,
    body: impl FnOnce(&View<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let text = caller.object(text)?;
    let unit = text.document().unit();
    text.read(|document, handler| {
        body(&View {
            document,
            handler,
            unit,
        })
    })
}

/// Runs `body` with the text, for writing.
#[inline]
fn edit(
    caller: Caller<'_>,
    text: *mut syncline_text,
    body: impl FnOnce(&mut Document, HandlerIdx, TextUnit) -> Result<(), Error>,
) -> super::guard::Answer {
    let text = caller.object(text)?;
    let unit = text.document().unit();
    text.edit(|document, handler| body(document, handler, unit))?;
    Ok(SYNCLINE_OK)
}

/// Gives a handle back.
///
/// @param text  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_free(text: *mut syncline_text) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(text) }
}

/// One more handle to the same text.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_retain(text: *mut syncline_text) -> *mut syncline_text {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(text) }
}

/// The same text as a handler.
///
/// @param out_handler  free it with syncline_handler_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_as_handler(
    text: *mut syncline_text,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        out.give_handle(caller.object(text)?.clone())
    })
}

/// Asks for CHANGE events (deltas) and CLOSED of this text.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_subscribe(
    text: *mut syncline_text,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(text)?.subscribe(subscription)
        })
    )
}

/// Length in the document's text unit. 0 when the document is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_length(text: *const syncline_text) -> u64 {
    question!(0, |caller| view(caller, text, |view| view.length()))
}

/// Inserts text before a position.
///
/// @param index    in the document's text unit
/// @param content  empty is allowed and changes nothing
/// @return OUT_OF_RANGE if `index` is past the end; NOT_ON_BOUNDARY inside of a character, except
///         with unit UTF-16
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_insert(
    text: *mut syncline_text,
    index: u64,
    content: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let content = caller.text(content, "content")?;
        edit(caller, text, |document, handler, unit| {
            let at = View {
                document,
                handler,
                unit,
            }
            .to_utf16(index)?;
            match content.is_empty() {
                true => Ok(()),
                false => Ok(document.text_insert(handler, at, content)?),
            }
        })
    })
}

/// As syncline_text_insert, with UTF-16; lone surrogates survive.
///
/// @param index    in the document's text unit
/// @param content  empty is allowed and changes nothing
/// @return OUT_OF_RANGE; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_insert_utf16(
    text: *mut syncline_text,
    index: u64,
    content: syncline_utf16,
) -> syncline_status {
    guard!(|caller| {
        let content = caller.utf16(content, "content")?;
        edit(caller, text, |document, handler, unit| {
            let at = View {
                document,
                handler,
                unit,
            }
            .to_utf16(index)?;
            Ok(insert_units(document, handler, at, content)?)
        })
    })
}

/// Removes a range.
///
/// @param index  where it begins
/// @param count  how long it is; 0 changes nothing
/// @return OUT_OF_RANGE if it reaches past the end; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_remove(
    text: *mut syncline_text,
    index: u64,
    count: u64,
) -> syncline_status {
    guard!(|caller| edit(caller, text, |document, handler, unit| {
        let range = View {
            document,
            handler,
            unit,
        }
        .range(index, count)?;
        Ok(remove_range(document, handler, range)?)
    }))
}

/// Overwrites as much as `content` is long. Overwritten characters keep their place even if
/// somebody else removes them at the same time.
///
/// @param index    where it begins
/// @param content  as long as what it replaces, in the document's text unit
/// @return OUT_OF_RANGE if it reaches past the end; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_update(
    text: *mut syncline_text,
    index: u64,
    content: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let content = caller.text(content, "content")?;
        let content: Vec<u16> = content.encode_utf16().collect();
        edit(caller, text, |document, handler, unit| {
            let count = units::measure(&content, unit);
            let range = View {
                document,
                handler,
                unit,
            }
            .range(index, count)?;
            if content.is_empty() {
                return Ok(());
            }
            if range.end - range.start == content.len() as u64 {
                return Ok(document.text_update_utf16(handler, range.start, &content)?);
            }
            // As long in this unit, but not in the one of the format: no element for each.
            replace(document, handler, range, &content)
        })
    })
}

/// Removes a range and inserts text there, in one transaction: one typing gesture.
///
/// @param index         where
/// @param remove_count  how much goes
/// @param content       what comes
/// @return OUT_OF_RANGE; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_splice(
    text: *mut syncline_text,
    index: u64,
    remove_count: u64,
    content: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let content = caller.text(content, "content")?;
        let content: Vec<u16> = content.encode_utf16().collect();
        edit(caller, text, |document, handler, unit| {
            let range = View {
                document,
                handler,
                unit,
            }
            .range(index, remove_count)?;
            replace(document, handler, range, &content)
        })
    })
}

// Nothing to do is not done: a text by positions would make a change of it.

fn insert_units(
    document: &mut Document,
    handler: HandlerIdx,
    at: u64,
    units: &[u16],
) -> Result<(), DocumentError> {
    if units.is_empty() {
        return Ok(());
    }
    document.text_insert_utf16(handler, at, units)
}

fn remove_range(
    document: &mut Document,
    handler: HandlerIdx,
    range: Range<u64>,
) -> Result<(), DocumentError> {
    if range.is_empty() {
        return Ok(());
    }
    document.text_remove(handler, range.start, range.end - range.start)
}

/// The range goes, the units come; all or nothing.
fn replace(
    document: &mut Document,
    handler: HandlerIdx,
    range: Range<u64>,
    units: &[u16],
) -> Result<(), Error> {
    together(document, |document| {
        // The insertion first: only it can fail, and then nothing has happened.
        insert_units(document, handler, range.end, units)?;
        remove_range(document, handler, range)
    })
}

/// Runs several edits as one transaction. If one fails, those before it are rolled back, unless
/// the application has a transaction open, which then holds them.
fn together(
    document: &mut Document,
    edits: impl FnOnce(&mut Document) -> Result<(), DocumentError>,
) -> Result<(), Error> {
    let is_outermost = !document.in_transaction();
    document.begin(&[])?;
    let done = edits(document);
    if done.is_err() && is_outermost {
        document.rollback()?;
    } else {
        document.commit()?;
    }
    Ok(done?)
}

/// Replaces the whole text by few edits (Myers difference), in one transaction.
///
/// @param content  the new text
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_set_string(
    text: *mut syncline_text,
    content: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let content = caller.text(content, "content")?;
        let content: Vec<u16> = content.encode_utf16().collect();
        edit(caller, text, |document, handler, _| {
            Ok(document.text_set(handler, &content)?)
        })
    })
}

/// Applies a delta, in one transaction. Nothing happens unless all of it fits.
///
/// @param ops    RETAIN, INSERT and REMOVE, in order from index 0
/// @param count  how many
/// @return OUT_OF_RANGE; NOT_ON_BOUNDARY; UNSUPPORTED for embeds and attributes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_apply_delta(
    text: *mut syncline_text,
    ops: *const syncline_text_op,
    count: usize,
) -> syncline_status {
    guard!(|caller| {
        let steps = delta_steps(caller, caller.slice(ops, count, "ops")?)?;
        edit(caller, text, |document, handler, unit| {
            let edits = utf16_edits(
                &View {
                    document,
                    handler,
                    unit,
                },
                &steps,
            )?;
            together(document, |document| {
                // From the end, so that the positions before stay what they are.
                for (range, units) in edits.iter().rev() {
                    insert_units(document, handler, range.end, units)?;
                    remove_range(document, handler, range.clone())?;
                }
                Ok(())
            })
        })
    })
}

/// Reads and checks the steps of the caller, as far as that goes without the text.
fn delta_steps(caller: Caller<'_>, ops: &[syncline_text_op]) -> Result<Vec<TextStep>, Error> {
    let mut steps = Vec::with_capacity(ops.len());
    for op in ops {
        if !op.embed.is_null() || !op.attributes.is_null() {
            return Err(Error::unsupported(
                "this kind of text has no embeds and no formatting",
            ));
        }
        steps.push(match op.kind {
            k if k == syncline_op_kind::SYNCLINE_OP_RETAIN as u32 => TextStep::Retain(op.length),
            k if k == syncline_op_kind::SYNCLINE_OP_REMOVE as u32 => TextStep::Remove(op.length),
            k if k == syncline_op_kind::SYNCLINE_OP_INSERT as u32 => {
                let text = caller.text(op.text, "text of an op")?.to_owned();
                TextStep::Insert {
                    length: op.length,
                    text,
                }
            }
            _ => {
                return Err(Error::argument(
                    "a text delta has RETAIN, INSERT and REMOVE only",
                ));
            }
        });
    }
    Ok(steps)
}

/// What takes the place of a UTF-16 range of the text before.
type Replacement = (Range<u64>, Vec<u16>);

/// The steps as replacements, ascending.
fn utf16_edits(view: &View<'_>, steps: &[TextStep]) -> Result<Vec<Replacement>, Error> {
    let mut edits = Vec::new();
    let mut at = 0u64;
    let past_end = |at: u64, count: u64| {
        at.checked_add(count)
            .ok_or_else(|| Error::out_of_range(u64::MAX, view.length_utf16()))
    };
    for step in steps {
        match step {
            TextStep::Retain(count) => {
                at = past_end(at, *count)?;
                view.to_utf16(at)?;
            }
            TextStep::Remove(count) => {
                edits.push((view.range(at, *count)?, Vec::new()));
                at = past_end(at, *count)?;
            }
            TextStep::Insert { text, .. } => {
                let place = view.to_utf16(at)?;
                edits.push((place..place, text.encode_utf16().collect()));
            }
        }
    }
    Ok(edits)
}

/// The whole text; lone surrogates become U+FFFD.
///
/// @param out_utf8  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_to_string(
    text: *const syncline_text,
    out_utf8: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_utf8, "out_utf8")?;
        let content = caller.object(text)?.read(|d, h| Ok(d.text_string(h)))?;
        out.give(syncline_buffer::from_vec(content.into_bytes()))
    })
}

/// The whole text as UTF-16, native endian.
///
/// @param out_utf16  its len counts bytes; free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_to_utf16(
    text: *const syncline_text,
    out_utf16: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_utf16, "out_utf16")?;
        let units = view(caller, text, |view| Ok(view.units(0..view.length_utf16())))?;
        let bytes = units.iter().flat_map(|unit| unit.to_ne_bytes()).collect();
        out.give(syncline_buffer::from_vec(bytes))
    })
}

/// A part of the text; lone surrogates (also those cut off) become U+FFFD.
///
/// @param index     where it begins
/// @param count     how long it is
/// @param out_utf8  free it with syncline_buffer_free
/// @return OUT_OF_RANGE; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_slice(
    text: *const syncline_text,
    index: u64,
    count: u64,
    out_utf8: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_utf8, "out_utf8")?;
        let units = view(caller, text, |view| {
            Ok(view.units(view.range(index, count)?))
        })?;
        out.give(syncline_buffer::from_vec(
            String::from_utf16_lossy(&units).into_bytes(),
        ))
    })
}

/// Copies text from a position on into memory of the caller: as many whole characters as fit, no
/// NUL behind them.
///
/// @param index     where to begin
/// @param utf8      room for capacity bytes; may be NULL if it is 0
/// @param capacity  in bytes
/// @param out_len   how many bytes were written
/// @return END if `index` is the end of the text; OUT_OF_RANGE; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_copy(
    text: *const syncline_text,
    index: u64,
    utf8: *mut c_char,
    capacity: usize,
    out_len: *mut usize,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_len, "out_len")?;
        let fill = caller.fill(utf8.cast::<u8>(), capacity, "utf8")?;
        let content = view(caller, text, |view| {
            let start = view.to_utf16(index)?;
            // A UTF-16 unit takes at least one byte.
            let end = start
                .saturating_add(capacity as u64)
                .min(view.length_utf16());
            let is_end = start == view.length_utf16();
            Ok((view.units(start..end), is_end))
        });
        let (units, is_end) = content?;
        let content = whole_characters(&units, capacity);
        fill.put(content.as_bytes());
        out.put(content.len());
        Ok(if is_end { SYNCLINE_END } else { SYNCLINE_OK })
    })
}

/// As many characters as fit into so many bytes. A surrogate that the end of `units` may have
/// parted from its other half is left for the next time.
fn whole_characters(units: &[u16], bytes_max: usize) -> String {
    let mut content = String::new();
    let mut left = units.len();
    for decoded in char::decode_utf16(units.iter().copied()) {
        let may_be_parted = left == 1 && decoded.is_err() && !content.is_empty();
        let character = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
        if may_be_parted || content.len() + character.len_utf8() > bytes_max {
            break;
        }
        left -= character.len_utf16();
        content.push(character);
    }
    content
}

/// A position in another unit.
///
/// @param index      a position, in unit `from`
/// @param from       its unit
/// @param to         the unit wanted
/// @param out_index  the same position, in unit `to`
/// @return OUT_OF_RANGE; NOT_ON_BOUNDARY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_convert_index(
    text: *const syncline_text,
    index: u64,
    from: TextUnitArg,
    to: TextUnitArg,
    out_index: *mut u64,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_index, "out_index")?;
        let (from, to) = (text_unit(from)?, text_unit(to)?);
        out.give(view(caller, text, |view| view.convert(index, from, to))?)
    })
}

/// The difference of two strings (Myers), without a document: an ARRAY of objects with one key
/// each, "retain", "insert" or "remove".
///
/// @param unit       of "retain" and "remove"
/// @param out_delta  free it with syncline_value_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_diff(
    before: syncline_string,
    after: syncline_string,
    unit: TextUnitArg,
    out_delta: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_delta, "out_delta")?;
        let unit = text_unit(unit)?;
        let mut text: Vec<u16> = caller.text(before, "before")?.encode_utf16().collect();
        let after: Vec<u16> = caller.text(after, "after")?.encode_utf16().collect();
        let segments = diff(&text, &after);
        let ops: Vec<TextOp> = segments
            .into_iter()
            .map(|segment| match segment.kind {
                SegmentKind::Equal => TextOp::Retain(segment.old.len() as u64),
                SegmentKind::Remove => TextOp::Remove(segment.old.len() as u64),
                SegmentKind::Insert => TextOp::Insert(after[segment.new].to_vec()),
            })
            .collect();
        let steps = units::convert(&ops, &mut text, unit);
        let delta = Value::Array(steps.iter().map(step_value).collect());
        out.give(Block::from_value(&delta).into_raw())
    })
}

/// A position that stays at its character while the text changes.
///
/// @param index         a position; it stays behind the character before it
/// @param out_position  for syncline_text_position_index; free it with syncline_buffer_free
/// @return OUT_OF_RANGE; NOT_ON_BOUNDARY; TYPE_MISMATCH for a plain text, whose characters have no
///         identity
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_position_at(
    text: *const syncline_text,
    index: u64,
    out_position: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| position_at(caller, text, index, Affinity::Before, out_position))
}

/// As syncline_text_position_at, with the character on either side: the end of a selection stays
/// before the character behind it.
///
/// @param out_position  for syncline_text_position_index_beside with the same affinity
/// @return as syncline_text_position_at
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_position_beside(
    text: *const syncline_text,
    index: u64,
    affinity: AffinityArg,
    out_position: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let affinity = affinity_of(affinity)?;
        position_at(caller, text, index, affinity, out_position)
    })
}

/// Where a position of syncline_text_position_at is now.
///
/// @param position   its bytes
/// @param out_index  in the document's text unit
/// @return NOT_FOUND, with out_index unchanged, if its character is unknown here; MALFORMED;
///         TYPE_MISMATCH for a plain text
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_position_index(
    text: *const syncline_text,
    position: syncline_bytes,
    out_index: *mut u64,
) -> syncline_status {
    guard!(|caller| position_index(caller, text, position, Affinity::Before, out_index))
}

/// Where a position of syncline_text_position_beside is now.
///
/// @param affinity  as it was made
/// @return as syncline_text_position_index
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_text_position_index_beside(
    text: *const syncline_text,
    position: syncline_bytes,
    affinity: AffinityArg,
    out_index: *mut u64,
) -> syncline_status {
    guard!(|caller| {
        let affinity = affinity_of(affinity)?;
        position_index(caller, text, position, affinity, out_index)
    })
}

fn position_at(
    caller: Caller<'_>,
    text: *const syncline_text,
    index: u64,
    affinity: Affinity,
    out_position: *mut syncline_buffer,
) -> Answer {
    let out = caller.out(out_position, "out_position")?;
    let position = view(caller, text, |view| {
        let index = view.to_utf16(index)?;
        let document = view.document;
        Ok(document.text_position_beside(view.handler, index, affinity)?)
    })?;
    out.give(syncline_buffer::from_vec(position))
}

fn position_index(
    caller: Caller<'_>,
    text: *const syncline_text,
    position: syncline_bytes,
    affinity: Affinity,
    out_index: *mut u64,
) -> Answer {
    let out = caller.out(out_index, "out_index")?;
    let position = caller.bytes(position, "position")?;
    let index = view(caller, text, |view| {
        let document = view.document;
        let index = document.text_position_index_beside(view.handler, position, affinity)?;
        index.map(|index| view.in_unit(index)).transpose()
    })?;
    index.map_or(Ok(SYNCLINE_NOT_FOUND), |index| out.give(index))
}

#[cfg(test)]
mod tests {
    use super::whole_characters;

    #[test]
    fn only_whole_characters_are_copied() {
        let units: Vec<u16> = "aé😀z".encode_utf16().collect();
        let copied = |end: usize, max| whole_characters(&units[..end], max);
        assert_eq!(copied(5, 100), "aé😀z");
        assert_eq!(copied(5, 6), "aé");
        assert_eq!(copied(5, 7), "aé😀");
        // The range ends between the halves: the character waits.
        assert_eq!(copied(3, 100), "aé");
        // Alone it would wait for ever.
        assert_eq!(whole_characters(&units[2..3], 100), "\u{fffd}");
        assert_eq!(whole_characters(&units[2..3], 2), "");
        assert_eq!(whole_characters(&[0xdc00, 0x61], 100), "\u{fffd}a");
    }
}
