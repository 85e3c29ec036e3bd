//! The states of handlers as native bytes: what merging needs, not only what can be seen.

use super::{movable_state, sequence_state};
use crate::clock::AuthorIdx;
use crate::codec::bytes::write_uvarint;
use crate::codec::{DecodeError, Reader};
use crate::document::content::ContentPool;
use crate::document::handler::{Handler, State};
use crate::document::handlers::fugue::FugueState;
use crate::document::log::Log;
use crate::sequence::LazySequence;

const ORDER_SENSITIVE: u8 = 1;

/// How much of the history is beside the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// All that there ever was.
    Whole,
    /// What was not pruned.
    Some,
    None,
}

/// The state of a handler; None if it has no native form, or the history serves better. `floor`
/// has the largest element counter of each author in a Fugue sequence.
pub(super) fn write(
    handler: &Handler,
    log: &Log,
    floor: &[(AuthorIdx, u64)],
    history: History,
) -> Option<Vec<u8>> {
    match &handler.state {
        // A late change may need any of their operations, and all are in the history.
        State::PlainText(_) | State::PlainList(_) if history == History::Whole => None,
        State::Fugue(fugue) => Some(write_fugue(fugue, log, floor)),
        State::MovableList(list) => Some(movable_state::write(list)),
        state => state.bytes()?.native_state(history != History::None),
    }
}

fn write_fugue(fugue: &FugueState, log: &Log, floor: &[(AuthorIdx, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_uvarint(&mut out, floor.len() as u64);
    for (author, counter) in floor {
        write_uvarint(&mut out, u64::from(author.0));
        write_uvarint(&mut out, *counter);
    }
    out.push(match fugue.order_sensitive {
        true => ORDER_SENSITIVE,
        false => 0,
    });
    sequence_state::write(&fugue.sequence, fugue.elements, &log.content, &mut out);
    out
}

/// Brings a fresh handler to a state; `authors` has the document's numbers for those of the bytes,
/// `own` is the author of its edits.
pub(super) fn read(
    bytes: &[u8],
    handler: &mut Handler,
    authors: &[AuthorIdx],
    own: AuthorIdx,
    content: &mut ContentPool,
) -> Result<(), DecodeError> {
    let fugue = match &mut handler.state {
        State::Fugue(fugue) => fugue,
        State::MovableList(list) => {
            **list = movable_state::read(bytes, handler.codec)?;
            return Ok(());
        }
        state => {
            let state = state.bytes_mut().expect("all others are bytes");
            return state.join_native(bytes).map(|_| ());
        }
    };
    let mut reader = Reader::new(bytes);
    let floor = read_floor(&mut reader, authors.len())?;
    let flags = reader.byte("the flags of a sequence")?;
    let stored = sequence_state::read(&mut reader, fugue.elements, authors, content)?;
    reader.finish()?;
    fugue.sequence = LazySequence::from(stored);
    fugue.order_sensitive = flags & ORDER_SENSITIVE != 0;
    let used = floor
        .iter()
        .filter(|(author, _)| authors[*author] == own)
        .map(|(_, counter)| counter.saturating_add(1))
        .chain(fugue.sequence.end_of(own).map(u64::from))
        .max();
    fugue.next_counter = u32::try_from(used.unwrap_or(0)).unwrap_or(u32::MAX);
    Ok(())
}

/// The largest counters in a Fugue sequence, by number of the author.
pub(super) fn read_floor(
    reader: &mut Reader<'_>,
    authors: usize,
) -> Result<Vec<(usize, u64)>, DecodeError> {
    let mut floor = Vec::new();
    for _ in 0..reader.count(2)? {
        let author = reader.count_of((authors as u64).saturating_sub(1))?;
        floor.push((author, reader.uvarint()?));
    }
    match floor.is_empty() || authors > 0 {
        true => Ok(floor),
        false => Err(reader.error("an author is not known")),
    }
}
