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
        let text = self
            .handlers
            .get(handler.0 as usize)
            .and_then(|handler| handler.text())
            .ok_or(DocumentError::UnknownHandler)?;
        let length = u64::from(text.sequence.len_units());
        if text.sequence.wide_units() == 0 {
            return if index > length {
                Err(DocumentError::OutOfRange { index, length })
            } else {
                Ok(index)
            };
        }
        if from == to && from == TextUnit::Utf16 {
            return if index > length {
                Err(DocumentError::OutOfRange { index, length })
            } else {
                Ok(index)
            };
        }
        // Everything before the first leaf with wide content counts the same in every unit.
        let skipped = text.sequence.measure_where(|_, wide| wide > 0).0;
        let mut reached = Reached::default();
        if u64::from(skipped) > index {
            return Ok(index);
        }
        reached.step_ascii(u64::from(skipped));
        let mut before_pair = reached;
        for (content, units) in text.sequence.visible_from(skipped) {
            match self.log.content.slice(content, units) {
                Units::Narrow(bytes) => {
                    let wanted = index - reached.of(from);
                    let step = wanted.min(bytes.len() as u64);
                    if step > 0 {
                        reached.step_ascii(step);
                    }
                    if step < bytes.len() as u64 {
                        return Ok(reached.of(to));
                    }
                }
                Units::Wide(units) => {
                    for unit in units {
                        let next = {
                            let mut next = reached;
                            next.step(*unit);
                            next
                        };
                        let completes = reached.inside_pair
                            && !next.inside_pair
                            && next.code_points == reached.code_points;
                        if completes && from == TextUnit::Utf16 && reached.utf16 == index {
                            return Ok(before_pair.of(to));
                        }
                        if !completes && reached.of(from) == index {
                            return Ok(reached.of(to));
                        }
                        if reached.of(from) > index {
                            return Err(DocumentError::NotOnBoundary { index });
                        }
                        if next.inside_pair {
                            before_pair = reached;
                        }
                        reached = next;
                    }
                }
            }
            if reached.of(from) > index {
                return Err(DocumentError::NotOnBoundary { index });
            }
        }
        match reached.of(from) {
            end if end == index => Ok(reached.of(to)),
            length => Err(DocumentError::OutOfRange { index, length }),
        }
    }
}
