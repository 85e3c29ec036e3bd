//! How long text is in other units than UTF-16, so that sums of parts give the sum of the whole.

/// Lengths of a stretch of UTF-16 text. Halves of a character that stand alone count as U+FFFD,
/// three bytes; if they meet at the end of one stretch and the beginning of the next, they are
/// one character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSums {
    /// In UTF-16 units.
    pub utf16: u64,
    /// In bytes of UTF-8.
    pub utf8: u64,
    /// In Unicode code points.
    pub code_points: u64,
    /// It begins with the second half of a character.
    pub begins_low: bool,
    /// It ends with the first half of one.
    pub ends_high: bool,
}

impl TextSums {
    /// So many ASCII characters.
    pub fn ascii(count: u64) -> Self {
        TextSums {
            utf16: count,
            utf8: count,
            code_points: count,
            begins_low: false,
            ends_high: false,
        }
    }

    /// One unit.
    #[inline]
    pub fn of_unit(unit: u16) -> Self {
        TextSums {
            utf16: 1,
            utf8: match unit {
                0..=0x7f => 1,
                0x80..=0x7ff => 2,
                _ => 3,
            },
            code_points: 1,
            begins_low: is_low(unit),
            ends_high: is_high(unit),
        }
    }

    /// Of units that follow each other.
    pub fn of(units: &[u16]) -> Self {
        let sums = units.iter().map(|unit| TextSums::of_unit(*unit));
        sums.fold(TextSums::default(), TextSums::plus)
    }

    /// Of this stretch and the next one.
    #[inline]
    #[must_use]
    pub fn plus(self, next: TextSums) -> Self {
        // Two lone halves, six bytes, are a character of four.
        let joined = self.ends_high && next.begins_low;
        TextSums {
            utf16: self.utf16 + next.utf16,
            utf8: self.utf8 + next.utf8 - if joined { 2 } else { 0 },
            code_points: self.code_points + next.code_points - u64::from(joined),
            begins_low: match self.utf16 {
                0 => next.begins_low,
                _ => self.begins_low,
            },
            ends_high: match next.utf16 {
                0 => self.ends_high,
                _ => next.ends_high,
            },
        }
    }
}

/// Whether a unit is the first half of a character.
pub fn is_high(unit: u16) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

/// Whether a unit is the second half of a character.
pub fn is_low(unit: u16) -> bool {
    (0xdc00..0xe000).contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Oracle: the standard library, which reads lone halves as U+FFFD.
    #[test]
    fn parts_add_up_wherever_the_text_is_cut() {
        for seed in 0..2000 {
            let mut rng = Rng::new(seed);
            let units: Vec<u16> = (0..rng.below(12))
                .map(|_| [0x61, 0xe9, 0x20ac, 0xd83d, 0xde00, 0xd800][rng.below(6)])
                .collect();
            let text = String::from_utf16_lossy(&units);
            let whole = TextSums::of(&units);
            assert_eq!(whole.utf8, text.len() as u64, "seed {seed}");
            assert_eq!(whole.code_points, text.chars().count() as u64);
            let (a, b) = (rng.below(units.len() + 1), rng.below(units.len() + 1));
            let (first, rest) = units.split_at(a.min(b));
            let (second, third) = rest.split_at(a.max(b) - a.min(b));
            let parts = [first, second, third].map(TextSums::of);
            assert_eq!(parts[0].plus(parts[1]).plus(parts[2]), whole, "seed {seed}");
            assert_eq!(parts[0].plus(parts[1].plus(parts[2])), whole, "seed {seed}");
        }
        assert_eq!(TextSums::ascii(3), TextSums::of(&[0x61, 0x62, 0x63]));
    }
}
