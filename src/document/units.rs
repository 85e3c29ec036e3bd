//! Text positions in other units than UTF-16. Stretches of ASCII count the same in every unit, so
//! only wide content before a position is looked at: O(log n + wide units before it).

use super::Document;
use super::content::Units;
use super::types::{DocumentError, HandlerIdx, TextUnit};

/// How far a walk over the text has come, in every unit.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    utf16: u64,
    utf8: u64,
    code_points: u64,
    /// The last unit was the first half of a pair.
    inside_pair: bool,
}

impl Reached {
    fn of(&self, unit: TextUnit) -> u64 {
        match unit {
            TextUnit::Utf16 => self.utf16,
            TextUnit::Utf8 => self.utf8,
            TextUnit::CodePoint => self.code_points,
        }
    }

    fn step_ascii(&mut self, count: u64) {
        self.utf16 += count;
        self.utf8 += count;
        self.code_points += count;
        self.inside_pair = false;
    }

    fn step(&mut self, unit: u16) {
        self.utf16 += 1;
        if self.inside_pair && (0xdc00..0xe000).contains(&unit) {
            // The first half was counted as a lone one: 3 bytes, 1 code point.
            self.utf8 += 1;
            self.inside_pair = false;
            return;
        }
        self.inside_pair = (0xd800..0xdc00).contains(&unit);
        self.code_points += 1;
        self.utf8 += match unit {
            0..=0x7f => 1,
            0x80..=0x7ff => 2,
            _ => 3,
        };
    }
}

/// The search for a position that is given in one unit and asked for in another.
struct Walk {
    index: u64,
    from: TextUnit,
    to: TextUnit,
    reached: Reached,
    /// Before the first half of a pair, if that was the last unit.
    before_pair: Reached,
}

impl Walk {
    fn new(index: u64, from: TextUnit, to: TextUnit) -> Self {
        Walk {
            index,
            from,
            to,
            reached: Reached::default(),
            before_pair: Reached::default(),
        }
    }

    /// Passes a stretch; gives the answer if the position is before its end.
    fn pass(&mut self, units: Units<'_>) -> Option<Result<u64, DocumentError>> {
        match units {
            Units::Narrow(bytes) => return self.pass_ascii(bytes.len() as u64),
            Units::Wide(units) => {
                for unit in units {
                    if let Some(found) = self.pass_unit(*unit) {
                        return Some(found);
                    }
                }
            }
        }
        self.check_boundary()
    }

    fn pass_ascii(&mut self, count: u64) -> Option<Result<u64, DocumentError>> {
        let step = (self.index - self.reached.of(self.from)).min(count);
        if step > 0 {
            self.reached.step_ascii(step);
        }
        (step < count).then(|| Ok(self.reached.of(self.to)))
    }

    fn pass_unit(&mut self, unit: u16) -> Option<Result<u64, DocumentError>> {
        let (index, from, reached) = (self.index, self.from, self.reached);
        let mut next = reached;
        next.step(unit);
        let completes =
            reached.inside_pair && !next.inside_pair && next.code_points == reached.code_points;
        if completes && from == TextUnit::Utf16 && reached.utf16 == index {
            return Some(Ok(self.before_pair.of(self.to)));
        }
        if !completes && reached.of(from) == index {
            return Some(Ok(reached.of(self.to)));
        }
        if let Some(error) = self.check_boundary() {
            return Some(error);
        }
        if next.inside_pair {
            self.before_pair = reached;
        }
        self.reached = next;
        None
    }

    fn check_boundary(&self) -> Option<Result<u64, DocumentError>> {
        let index = self.index;
        let is_past = self.reached.of(self.from) > index;
        is_past.then_some(Err(DocumentError::NotOnBoundary { index }))
    }

    /// The answer at the end of the text.
    fn finish(&self) -> Result<u64, DocumentError> {
        let index = self.index;
        match self.reached.of(self.from) {
            end if end == index => Ok(self.reached.of(self.to)),
            length => Err(DocumentError::OutOfRange { index, length }),
        }
    }
}

impl Document {
    /// A position in another unit.
    ///
    /// # Errors
    /// `OutOfRange` past the end; `NotOnBoundary` inside of a character, except that UTF-16
    /// positions between the halves of a pair exist (both wire formats have them) and then
    /// convert to the position before the character.
    pub fn text_convert_index(
        &self,
        handler: HandlerIdx,
        index: u64,
        from: TextUnit,
        to: TextUnit,
    ) -> Result<u64, DocumentError> {
        // Everything before the first stretch with wide content counts the same in every unit.
        let (length, skipped) = match self.plain_text(handler) {
            Some(text) => (text.len(), text.rope().len_before_wide()),
            None => {
                let text = self.text_state(handler)?;
                let length = text.sequence.len_units();
                let skipped = match text.sequence.wide_units() {
                    0 => length,
                    _ => text.sequence.measure_where(|_, wide| wide > 0).0,
                };
                (u64::from(length), skipped)
            }
        };
        let is_the_same = u64::from(skipped) == length || from == to && from == TextUnit::Utf16;
        if is_the_same && index > length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        if is_the_same || u64::from(skipped) > index {
            return Ok(index);
        }
        let mut walk = Walk::new(index, from, to);
        walk.reached.step_ascii(u64::from(skipped));
        walk.before_pair = walk.reached;
        let found = match self.plain_text(handler) {
            Some(text) => text
                .rope()
                .slices(skipped..u32::MAX)
                .find_map(|(units, may_be_wide)| match may_be_wide {
                    true => walk.pass(Units::Wide(units)),
                    false => walk.pass_ascii(units.len() as u64),
                }),
            None => self
                .text_state(handler)?
                .sequence
                .visible_from(skipped)
                .find_map(|(content, units)| walk.pass(self.log.content.slice(content, units))),
        };
        found.unwrap_or_else(|| walk.finish())
    }
}
