//! The state of a Fugue sequence as native bytes: its live text in one piece, so that it can be
//! shown before anything else is looked at, then all runs with ids and origins, removed ones too.
//!
//! The ids come in their own order, so that no two runs can claim one element, and the order of
//! the sequence as a permutation of them.

use crate::clock::AuthorIdx;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, Reader, wtf8};
use crate::document::ValueCodec;
use crate::document::content::{ContentPool, Units};
use crate::document::handlers::fugue_body::Elements;
use crate::sequence::{Content, ElementKey, Place, Run, Sequence, Side, Stored, UNITS_MAX};

/// Bits of a run's head.
mod head {
    pub const DELETED: u8 = 1;
    pub const LEFT_CHILD: u8 = 1 << 1;
    /// A byte of the flags below follows.
    pub const MORE: u8 = 1 << 2;
    pub const LEFT: u8 = 0x18;
    /// The element before its first in its author's numbers.
    pub const LEFT_BEFORE: u8 = 0;
    /// The last element of the run before in the sequence.
    pub const LEFT_PREVIOUS: u8 = 1 << 3;
    pub const LEFT_NULL: u8 = 2 << 3;
    pub const LEFT_GIVEN: u8 = 3 << 3;
    pub const RIGHT: u8 = 0x60;
    /// As that of the run before.
    pub const RIGHT_SAME: u8 = 0;
    /// The first element of the run behind.
    pub const RIGHT_NEXT: u8 = 1 << 5;
    pub const RIGHT_NULL: u8 = 2 << 5;
    pub const RIGHT_GIVEN: u8 = 3 << 5;
    pub const WIDE: u8 = 1 << 7;
}

/// The flags that few runs have.
mod more {
    pub const ROOT_CHILD: u8 = 1;
    pub const LEFT_UNKNOWN: u8 = 1 << 1;
    pub const RIGHT_UNKNOWN: u8 = 1 << 2;
    /// One element of several units or none: their number follows.
    pub const UNITS: u8 = 1 << 3;
}

/// Appends a sequence.
pub(super) fn write(
    sequence: &Sequence,
    elements: Elements,
    content: &ContentPool,
    out: &mut Vec<u8>,
) {
    let runs: Vec<&Run> = sequence.runs().collect();
    match elements {
        Elements::Units => write_text(&runs, content, out),
        Elements::Values(_) => write_values(&runs, content, out),
    }
    write_runs(&runs, out);
}

/// Appends all runs: ids, order, heads and origins.
fn write_runs(runs: &[&Run], out: &mut Vec<u8>) {
    let mut by_id: Vec<u32> = (0..runs.len() as u32).collect();
    by_id.sort_unstable_by_key(|place| runs[*place as usize].id);
    write_uvarint(out, runs.len() as u64);
    write_prefixed(out, &ids(runs, &by_id));
    write_prefixed(out, &order(&by_id));
    let (mut heads, mut origins) = (Vec::with_capacity(runs.len()), Vec::new());
    for at in 0..runs.len() {
        write_run(runs, at, &mut heads, &mut origins);
    }
    write_prefixed(out, &heads);
    write_prefixed(out, &origins);
}

/// Appends a sequence whose content is somewhere else: its units are numbered from 0 as they come.
pub(super) fn write_slots(sequence: &Sequence, out: &mut Vec<u8>) {
    write_runs(&sequence.runs().collect::<Vec<&Run>>(), out);
}

/// Reads what [`write_slots`] wrote. The content of a unit is its number.
pub(super) fn read_slots(
    reader: &mut Reader<'_>,
    authors: &[AuthorIdx],
) -> Result<Sequence, DecodeError> {
    let ids = Ids::read(reader, authors)?;
    let numbers = Used::new([Content::new(0, false); 2]);
    let (runs, by_id, used) = ids.read_runs(reader, authors, numbers)?;
    match used.counts {
        [_, 0] => Ok(Sequence::from_runs(&runs, &by_id)),
        _ => Err(reader.error("slots have one kind of content")),
    }
}

/// The live text: ASCII, the rest as WTF-8, and how many units of either by turns.
fn write_text(runs: &[&Run], content: &ContentPool, out: &mut Vec<u8>) {
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    let mut turns = vec![0u64];
    for run in runs.iter().filter(|run| !run.is_deleted()) {
        match content.slice(run.content, run.units()) {
            Units::Narrow(bytes) => narrow.extend_from_slice(bytes),
            Units::Wide(units) => wide.extend_from_slice(units),
        }
        if run.content.is_wide() == (turns.len() % 2 == 1) {
            turns.push(0);
        }
        *turns.last_mut().expect("never empty") += u64::from(run.units());
    }
    write_prefixed(out, &narrow);
    let mut text = Vec::new();
    wtf8::encode_utf16(&wide, &mut text);
    write_prefixed(out, &text);
    write_uvarint(out, turns.len() as u64);
    turns.iter().for_each(|units| write_uvarint(out, *units));
}

/// The live values: how many, their lengths, their bytes.
fn write_values(runs: &[&Run], content: &ContentPool, out: &mut Vec<u8>) {
    let live = runs.iter().filter(|run| !run.is_deleted());
    let values: Vec<&[u8]> = live
        .flat_map(|run| content.values(run.content, run.units()))
        .collect();
    write_uvarint(out, values.len() as u64);
    values
        .iter()
        .for_each(|value| write_uvarint(out, value.len() as u64));
    values.iter().for_each(|value| out.extend_from_slice(value));
}

/// Per author: number, runs, and of each the gap before it and its length.
fn ids(runs: &[&Run], by_id: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    let run = |place: &u32| runs[*place as usize];
    for places in by_id.chunk_by(|a, b| run(a).id.author == run(b).id.author) {
        write_uvarint(&mut out, u64::from(run(&places[0]).id.author.0));
        write_uvarint(&mut out, places.len() as u64);
        let mut next = 0;
        for run in places.iter().map(run) {
            write_uvarint(&mut out, u64::from(run.id.counter - next));
            write_uvarint(&mut out, u64::from(run.len));
            next = run.id.counter + run.len;
        }
    }
    out
}

/// For each run of the sequence which of the ids it has: the distance to the one behind that of
/// the run before.
fn order(by_id: &[u32]) -> Vec<u8> {
    let mut ranks = vec![0u32; by_id.len()];
    for (rank, place) in by_id.iter().enumerate() {
        ranks[*place as usize] = rank as u32;
    }
    let mut out = Vec::with_capacity(2 * ranks.len());
    let mut expected = 0i64;
    for rank in ranks {
        let distance = i64::from(rank) - expected;
        write_uvarint(&mut out, (distance << 1 ^ distance >> 63) as u64);
        expected = i64::from(rank) + 1;
    }
    out
}

fn write_run(runs: &[&Run], at: usize, heads: &mut Vec<u8>, origins: &mut Vec<u8>) {
    let run = runs[at];
    let previous = at.checked_sub(1).map(|at| runs[at]);
    let flag = |on, flag| if on { flag } else { 0 };
    let more = flag(run.is_below_root(), more::ROOT_CHILD)
        | flag(!run.left_was_known(), more::LEFT_UNKNOWN)
        | flag(!run.right_was_known(), more::RIGHT_UNKNOWN)
        | flag(!run.is_dense(), more::UNITS);
    let left = match run.left {
        left if Some(left) == before(run.id) => head::LEFT_BEFORE,
        left if previous.is_some_and(|previous| previous.last() == left) => head::LEFT_PREVIOUS,
        ElementKey::NULL => head::LEFT_NULL,
        _ => head::LEFT_GIVEN,
    };
    let right = match run.right {
        right if previous.map_or(ElementKey::NULL, |previous| previous.right) == right => {
            head::RIGHT_SAME
        }
        right if runs.get(at + 1).is_some_and(|next| next.id == right) => head::RIGHT_NEXT,
        ElementKey::NULL => head::RIGHT_NULL,
        _ => head::RIGHT_GIVEN,
    };
    heads.push(
        flag(run.is_deleted(), head::DELETED)
            | flag(run.side() == Side::Left, head::LEFT_CHILD)
            | flag(more != 0, head::MORE)
            | left
            | right
            | flag(run.content.is_wide() && !run.is_deleted(), head::WIDE),
    );
    if more != 0 {
        origins.push(more);
    }
    if more & more::UNITS != 0 {
        write_uvarint(origins, u64::from(run.units()));
    }
    for (origin, is_given) in [
        (run.left, left == head::LEFT_GIVEN),
        (run.right, right == head::RIGHT_GIVEN),
    ] {
        if is_given {
            write_uvarint(origins, u64::from(origin.author.0));
            write_uvarint(origins, u64::from(origin.counter));
        }
    }
}

/// The element before in its author's numbers.
fn before(id: ElementKey) -> Option<ElementKey> {
    let counter = id.counter.checked_sub(1)?;
    Some(ElementKey { counter, ..id })
}

/// Reads what [`write()`] wrote; `authors` has the document's numbers for those of the bytes. The
/// content goes to the pool if all is well. The result is fit for [`Sequence::from_runs`].
pub(super) fn read(
    reader: &mut Reader<'_>,
    elements: Elements,
    authors: &[AuthorIdx],
    content: &mut ContentPool,
) -> Result<Stored, DecodeError> {
    match elements {
        Elements::Units => read_text(reader, authors, content),
        Elements::Values(codec) => read_values(reader, codec, authors, content),
    }
}

fn read_text(
    reader: &mut Reader<'_>,
    authors: &[AuthorIdx],
    content: &mut ContentPool,
) -> Result<Stored, DecodeError> {
    let narrow = reader.prefixed()?;
    let wide_bytes = reader.prefixed()?;
    if !narrow.is_ascii() {
        return Err(reader.error("narrow text is ASCII"));
    }
    let mut wide = Vec::new();
    wtf8::decode_to_utf16(wide_bytes, &mut wide)?;
    let turns: Result<Vec<u64>, _> = (0..reader.count(1)?).map(|_| reader.uvarint()).collect();
    let turns = turns?;
    if !content.has_room(narrow.len().max(wide.len())) {
        return Err(reader.error("a text has less than 2^30 units"));
    }
    let starts = content.ends();
    let ids = Ids::read(reader, authors)?;
    let (runs, by_id, used) = ids.read_runs(reader, authors, Used::new(starts))?;
    if used.counts != [narrow.len() as u64, wide.len() as u64] {
        return Err(reader.error("a text is as long as its live runs"));
    }
    let visible = stretches(&turns, Used::new(starts), used.counts)
        .ok_or_else(|| reader.error("a text is as long as its turns"))?;
    content.push_ascii(narrow);
    content.push_wide(&wide);
    Ok(Stored {
        runs,
        ends: ids.ends(authors),
        by_id,
        visible,
    })
}

fn read_values(
    reader: &mut Reader<'_>,
    codec: ValueCodec,
    authors: &[AuthorIdx],
    content: &mut ContentPool,
) -> Result<Stored, DecodeError> {
    let count = reader.count(1)?;
    let lens: Result<Vec<usize>, _> = (0..count).map(|_| reader.count(1)).collect();
    let mut values = Vec::with_capacity(count);
    for len in lens? {
        let value = reader.take(len, "a value is cut off")?;
        codec.decode(value)?;
        values.push(value);
    }
    if !content.has_room(values.iter().map(|value| value.len() + 1).sum()) {
        return Err(reader.error("a list has less than 2^30 values"));
    }
    let start = content.values_end();
    // Lists have one kind of content.
    let ids = Ids::read(reader, authors)?;
    let (runs, by_id, used) = ids.read_runs(reader, authors, Used::new([start, start]))?;
    if used.counts != [count as u64, 0] {
        return Err(reader.error("a list is as long as its live runs"));
    }
    content.push_values(values);
    let visible = match count {
        0 => Vec::new(),
        count => vec![(start, count as u32)],
    };
    Ok(Stored {
        runs,
        ends: ids.ends(authors),
        by_id,
        visible,
    })
}

/// Units taken from the two kinds of text, or values from the first.
#[derive(Clone, Copy, Debug)]
struct Used {
    starts: [Content; 2],
    counts: [u64; 2],
}

impl Used {
    fn new(starts: [Content; 2]) -> Self {
        Used {
            starts,
            counts: [0; 2],
        }
    }

    /// The place of the next units; None if it cannot be addressed.
    fn take(&mut self, units: u32, wide: bool) -> Option<Content> {
        let start = self.starts[usize::from(wide)];
        let count = &mut self.counts[usize::from(wide)];
        let before = *count;
        *count += u64::from(units);
        let end = u64::from(start.offset()) + *count;
        (end < u64::from(Content::OFFSET_LIMIT)).then(|| start.plus(before as u32))
    }
}

/// The turns of the two kinds of text, which must be all of it.
fn stretches(turns: &[u64], mut used: Used, all: [u64; 2]) -> Option<Vec<(Content, u32)>> {
    let mut out = Vec::new();
    for (nth, units) in turns.iter().enumerate() {
        let units = u32::try_from(*units).ok()?;
        let content = used.take(units, nth % 2 == 1)?;
        if units > 0 {
            out.push((content, units));
        }
    }
    (used.counts == all).then_some(out)
}

/// The ids of all runs in their own order.
struct Ids {
    /// Counter of the first element, and length.
    firsts: Vec<(u32, u32)>,
    /// By author of the bytes: what is there.
    authors: Vec<AuthorElements>,
    /// The authors of the bytes who have runs, ascending.
    present: Vec<u32>,
    /// By author of the document: its number in the bytes.
    numbers: Vec<u32>,
}

/// The elements of one author.
#[derive(Clone, Copy, Debug, Default)]
struct AuthorElements {
    /// Runs from and to, in the order of ids.
    from: u32,
    to: u32,
    first: u32,
    end: u32,
    /// There is no gap between the first and the last.
    is_whole: bool,
}

impl Ids {
    fn read(reader: &mut Reader<'_>, authors: &[AuthorIdx]) -> Result<Self, DecodeError> {
        // An id takes two bytes, a place in the order and a head one.
        let count = reader.count(4)?;
        let column = reader.prefixed()?;
        let mut ids = Reader::new(column);
        let mut result = Ids {
            firsts: Vec::with_capacity(count),
            authors: vec![AuthorElements::default(); authors.len()],
            present: Vec::new(),
            numbers: numbers_of(authors),
        };
        let mut last = None;
        while !ids.is_at_end() {
            let number = ids.uvarint()?;
            if last.is_some_and(|last| number <= last) || number >= authors.len() as u64 {
                return Err(reader.error("the authors of runs ascend"));
            }
            last = Some(number);
            let runs = ids.uvarint()?;
            result.read_author(&mut ids, number as usize, runs)?;
        }
        match result.firsts.len() == count {
            true => Ok(result),
            false => Err(reader.error("each run has an id")),
        }
    }

    /// One more than the largest counter of each author that has any.
    fn ends(&self, authors: &[AuthorIdx]) -> Vec<(AuthorIdx, u32)> {
        let known = authors.iter().zip(&self.authors);
        known
            .filter(|(_, elements)| elements.end > 0)
            .map(|(author, elements)| (*author, elements.end))
            .collect()
    }

    fn read_author(
        &mut self,
        ids: &mut Reader<'_>,
        number: usize,
        runs: u64,
    ) -> Result<(), DecodeError> {
        let mut next = 0u64;
        let mut elements = AuthorElements {
            from: self.firsts.len() as u32,
            is_whole: true,
            ..AuthorElements::default()
        };
        for nth in 0..runs {
            let (gap, len) = (ids.uvarint()?, ids.uvarint()?);
            let first = next.saturating_add(gap);
            next = first.saturating_add(len);
            if len == 0 || len > u64::from(UNITS_MAX) || next > u64::from(u32::MAX) {
                return Err(ids.error("the elements of a run are out of range"));
            }
            match nth {
                0 => elements.first = first as u32,
                _ => elements.is_whole &= gap == 0,
            }
            self.firsts.push((first as u32, len as u32));
        }
        (elements.to, elements.end) = (self.firsts.len() as u32, next as u32);
        self.authors[number] = elements;
        self.present.push(number as u32);
        Ok(())
    }

    /// Whose runs those around a place in the order of ids are, and what is there of them.
    fn author_at(&self, rank: usize, authors: &[AuthorIdx]) -> (AuthorIdx, AuthorElements) {
        let is_before = |number: &u32| self.authors[*number as usize].to as usize <= rank;
        let at = self.present[self.present.partition_point(is_before)] as usize;
        (authors[at], self.authors[at])
    }

    #[inline]
    fn contains(&self, key: ElementKey) -> bool {
        let number = self.numbers.get(key.author.0 as usize);
        let elements = number.and_then(|number| self.authors.get(*number as usize));
        let Some(elements) = elements else {
            return false;
        };
        let counter = key.counter;
        if counter < elements.first || counter >= elements.end {
            return false;
        }
        elements.is_whole || self.has_run_with(elements, counter)
    }

    #[inline(never)]
    fn has_run_with(&self, elements: &AuthorElements, counter: u32) -> bool {
        let runs = &self.firsts[elements.from as usize..elements.to as usize];
        let after = runs.partition_point(|(first, _)| *first <= counter);
        let (first, len) = runs[after - 1];
        counter - first < len
    }

    /// The runs in the order of the sequence, and their places in the order of ids: every id once,
    /// and whatever a run hangs below is there.
    fn read_runs(
        &self,
        reader: &mut Reader<'_>,
        authors: &[AuthorIdx],
        mut used: Used,
    ) -> Result<(Vec<Run>, Vec<u32>, Used), DecodeError> {
        let mut order = Order::new(reader.prefixed()?, self.firsts.len());
        let heads = reader.prefixed()?;
        let mut origins = Reader::new(reader.prefixed()?);
        if heads.len() != self.firsts.len() {
            return Err(reader.error("each run has a head"));
        }
        let mut whose = (AuthorIdx(u32::MAX), AuthorElements::default());
        let mut id_at = |rank: usize| {
            if rank >= whose.1.to as usize || rank < whose.1.from as usize {
                whose = self.author_at(rank, authors);
            }
            let (counter, len) = self.firsts[rank];
            let author = whose.0;
            (ElementKey { author, counter }, len)
        };
        let mut runs = Vec::with_capacity(heads.len());
        // Of the run before.
        let (mut last, mut right) = (None, ElementKey::NULL);
        let mut upcoming = match heads.is_empty() {
            true => None,
            false => Some(order.next(0)?),
        };
        for (at, head) in heads.iter().enumerate() {
            let rank = upcoming.expect("as many as heads");
            upcoming = match at + 1 < heads.len() {
                true => Some(order.next(at as u32 + 1)?),
                false => None,
            };
            let (id, len) = id_at(rank);
            let next = match head & head::RIGHT {
                head::RIGHT_NEXT => upcoming.map(|rank| id_at(rank).0),
                _ => None,
            };
            let around = Around { last, right, next };
            let run = RunParts::read(*head, (id, len), around, authors, &mut origins)?;
            let content = match run.is_deleted() {
                true => Content::new(0, false),
                false => {
                    let content = used.take(run.units, head & head::WIDE != 0);
                    content.ok_or_else(|| origins.error("a text has less than 2^31 units"))?
                }
            };
            if let Some(parent) = run.parent() {
                if !self.contains(parent) {
                    return Err(reader.error("a run hangs below an element that is not there"));
                }
            }
            runs.push(run.run(content));
            (last, right) = (Some(id.plus(len - 1)), run.right);
        }
        origins.finish()?;
        order.column.finish()?;
        Ok((runs, order.places, used))
    }
}

/// The inverse of a list without repetitions; as long as its largest element.
fn numbers_of(authors: &[AuthorIdx]) -> Vec<u32> {
    let len = authors.iter().map(|author| author.0 as usize + 1).max();
    let mut numbers = vec![u32::MAX; len.unwrap_or(0)];
    for (author, number) in authors.iter().zip(0..) {
        numbers[author.0 as usize] = number;
    }
    numbers
}

/// Which id each run of the sequence has.
struct Order<'a> {
    column: Reader<'a>,
    expected: i64,
    /// By id: where in the sequence it is, once it came.
    places: Vec<u32>,
}

impl<'a> Order<'a> {
    fn new(column: &'a [u8], count: usize) -> Self {
        Order {
            column: Reader::new(column),
            expected: 0,
            places: vec![u32::MAX; count],
        }
    }

    #[inline]
    fn next(&mut self, place: u32) -> Result<usize, DecodeError> {
        let distance = self.column.uvarint()?;
        let distance = (distance >> 1) as i64 ^ -((distance & 1) as i64);
        let rank = self.expected.checked_add(distance);
        let rank = rank.and_then(|rank| usize::try_from(rank).ok());
        let slot = rank.and_then(|rank| self.places.get_mut(rank));
        match (rank, slot) {
            (Some(rank), Some(slot @ &mut u32::MAX)) => {
                *slot = place;
                self.expected = rank as i64 + 1;
                Ok(rank)
            }
            _ => Err(self.column.error("each id is in the sequence once")),
        }
    }
}

/// What the head of a run may speak of: the last element and the right origin of the run before,
/// the first element of the run behind.
#[derive(Clone, Copy)]
struct Around {
    last: Option<ElementKey>,
    right: ElementKey,
    next: Option<ElementKey>,
}

/// A run as it was read, without its content. Those of the sequence are packed: they are written
/// and not looked at again, which would wait for the writing.
struct RunParts {
    id: ElementKey,
    len: u32,
    units: u32,
    left: ElementKey,
    right: ElementKey,
    head: u8,
    more: u8,
}

impl RunParts {
    #[inline(always)]
    fn read(
        head: u8,
        (id, len): (ElementKey, u32),
        around: Around,
        authors: &[AuthorIdx],
        origins: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let more = match head & head::MORE {
            0 => 0,
            _ => origins.byte("the flags of a run")?,
        };
        let units = match more & more::UNITS {
            0 => len,
            _ => origins.count_of(u64::from(UNITS_MAX))? as u32,
        };
        let left = match head & head::LEFT {
            head::LEFT_BEFORE => before(id),
            head::LEFT_PREVIOUS => around.last,
            head::LEFT_NULL => Some(ElementKey::NULL),
            _ => Some(read_origin(authors, origins)?),
        };
        let right = match head & head::RIGHT {
            head::RIGHT_SAME => Some(around.right),
            head::RIGHT_NEXT => around.next,
            head::RIGHT_NULL => Some(ElementKey::NULL),
            _ => Some(read_origin(authors, origins)?),
        };
        let (Some(left), Some(right)) = (left, right) else {
            return Err(origins.error("a run has no neighbour"));
        };
        if units != len && len != 1 {
            return Err(origins.error("only single elements have other numbers of units"));
        }
        Ok(RunParts {
            id,
            len,
            units,
            left,
            right,
            head,
            more,
        })
    }

    fn is_deleted(&self) -> bool {
        self.head & head::DELETED != 0
    }

    /// What it hangs below, if not the root.
    fn parent(&self) -> Option<ElementKey> {
        match self.head & head::LEFT_CHILD {
            _ if self.more & more::ROOT_CHILD != 0 => None,
            0 => Some(self.left),
            _ => Some(self.right),
        }
    }

    fn run(&self, content: Content) -> Run {
        let place = Place {
            side: match self.head & head::LEFT_CHILD {
                0 => Side::Right,
                _ => Side::Left,
            },
            below_root: self.more & more::ROOT_CHILD != 0,
            left_unknown: self.more & more::LEFT_UNKNOWN != 0,
            right_unknown: self.more & more::RIGHT_UNKNOWN != 0,
        };
        let origins = [self.left, self.right];
        let mut run = Run::new(self.id, self.len, self.units, content, origins, place);
        if self.is_deleted() {
            run.delete();
        }
        run
    }
}

#[inline]
fn read_origin(authors: &[AuthorIdx], origins: &mut Reader<'_>) -> Result<ElementKey, DecodeError> {
    let number = origins.uvarint()?;
    let counter = origins.count_of(u64::from(u32::MAX) - 1)? as u32;
    match authors.get(number as usize) {
        Some(author) => Ok(ElementKey {
            author: *author,
            counter,
        }),
        None => Err(origins.error("an author is not known")),
    }
}
