//! Text positions in other units than UTF-16. Stretches of ASCII count the same in every unit; how
//! long others are, the tree knows by node and the content pool by block, so a position is found
//! in O(log n). Only around the position itself units are looked at one by one.

use super::Document;
use super::content::Units;
use super::types::{DocumentError, HandlerIdx, TextUnit};
use crate::tree::TextSums;

/// The search for a position that is given in one unit and asked for in another.
struct Walk {
    index: u64,
    from: TextUnit,
    to: TextUnit,
    reached: TextSums,
    /// Before the first half of a pair, if that was the last unit.
    before_pair: TextSums,
}

impl Walk {
    /// From a place on that is not behind the position.
    fn from(reached: TextSums, index: u64, from: TextUnit, to: TextUnit) -> Self {
        let mut walk = Walk {
            index,
            from,
            to,
            reached,
            before_pair: reached,
        };
        walk.jump(reached);
        walk
    }

    /// Goes on at a place that is not behind the position.
    fn jump(&mut self, reached: TextSums) {
        (self.reached, self.before_pair) = (reached, reached);
        if reached.ends_high {
            // It counts as a lone one.
            self.before_pair.utf16 -= 1;
            self.before_pair.utf8 -= 3;
            self.before_pair.code_points -= 1;
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
        let step = (self.index - self.from.of(&self.reached)).min(count);
        self.reached = self.reached.plus(TextSums::ascii(step));
        (step < count).then(|| Ok(self.to.of(&self.reached)))
    }

    fn pass_unit(&mut self, unit: u16) -> Option<Result<u64, DocumentError>> {
        let (index, reached) = (self.index, self.reached);
        let one = TextSums::of_unit(unit);
        let completes = reached.ends_high && one.begins_low;
        let is_here = self.from.of(&reached) == index;
        if completes && is_here && self.from == TextUnit::Utf16 {
            return Some(Ok(self.to.of(&self.before_pair)));
        }
        if !completes && is_here {
            return Some(Ok(self.to.of(&reached)));
        }
        if let Some(error) = self.check_boundary() {
            return Some(error);
        }
        if one.ends_high {
            self.before_pair = reached;
        }
        self.reached = reached.plus(one);
        None
    }

    fn check_boundary(&self) -> Option<Result<u64, DocumentError>> {
        let index = self.index;
        let is_past = self.from.of(&self.reached) > index;
        is_past.then_some(Err(DocumentError::NotOnBoundary { index }))
    }

    /// The answer at the end of the text.
    fn finish(&self) -> Result<u64, DocumentError> {
        let index = self.index;
        match self.from.of(&self.reached) {
            end if end == index => Ok(self.to.of(&self.reached)),
            length => Err(DocumentError::OutOfRange { index, length }),
        }
    }
}

impl Document {
    /// A position in another unit. O(log n) while the edits since the last call are few.
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
        let (length, has_wide) = match self.plain_text(handler) {
            Some(text) => (text.len(), text.rope().wide() > 0),
            None => {
                let sequence = &self.text_state(handler)?.sequence;
                (u64::from(sequence.len_units()), sequence.wide_units() > 0)
            }
        };
        if !has_wide || from == to && from == TextUnit::Utf16 {
            return match index > length {
                true => Err(DocumentError::OutOfRange { index, length }),
                false => Ok(index),
            };
        }
        match self.plain_text(handler) {
            Some(text) => {
                let is_behind = |text: &TextSums| from.of(text) > index;
                let (_, before) = text.rope().text_where(TextSums::of, is_behind);
                let mut walk = Walk::from(before, index, from, to);
                let mut slices = text.rope().slices(before.utf16 as u32..u32::MAX);
                slices
                    .find_map(|(units, may_be_wide)| match may_be_wide {
                        true => walk.pass(Units::Wide(units)),
                        false => walk.pass_ascii(units.len() as u64),
                    })
                    .unwrap_or_else(|| walk.finish())
            }
            None => self.convert_fugue_index(handler, index, from, to),
        }
    }

    fn convert_fugue_index(
        &self,
        handler: HandlerIdx,
        index: u64,
        from: TextUnit,
        to: TextUnit,
    ) -> Result<u64, DocumentError> {
        let sequence = &self.text_state(handler)?.sequence;
        let pool = &self.log.content;
        let (_, before) = sequence.text_where(
            |content, units| pool.sums(content, units),
            |text| from.of(text) > index,
        );
        let mut walk = Walk::from(before, index, from, to);
        let mut stretches = sequence.visible_from(before.utf16 as u32);
        stretches
            .find_map(|(content, units)| {
                let (skipped, reached) = pool.skip(content, units, walk.reached, index, from);
                if skipped > 0 {
                    walk.jump(reached);
                }
                walk.pass(pool.slice(content.plus(skipped), units - skipped))
            })
            .unwrap_or_else(|| walk.finish())
    }
}
