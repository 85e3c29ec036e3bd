//! The short ways of the two commonest edits: a key pressed where the last one was, and a
//! character removed. They do what the long ways in `fugue` do, without asking what cannot be the
//! case; whatever is unusual goes there. A third of the time of both.

use super::Document;
use super::handler::State;
use super::handlers::fugue_body::Elements;
use super::log::{Operation, Span};
use super::types::HandlerIdx;
use crate::sequence::{ElementKey, Sequence};

impl Document {
    /// Nobody wants to know of edits, and each is a change of its own.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.ensure_open().is_ok()
            && self.transaction.is_none()
            && !self.recording
            && self.tracker.is_none()
    }

    /// The sequence of a text.
    #[inline]
    fn quiet_sequence(&mut self, number: HandlerIdx) -> Option<(&mut Sequence, &mut u32)> {
        match &mut self.handlers.get_mut(number.0 as usize)?.state {
            State::Fugue(fugue) if matches!(fugue.elements, Elements::Units) => {
                Some((fugue.sequence.built_mut()?, &mut fugue.next_counter))
            }
            _ => None,
        }
    }

    /// Inserts an ASCII character where the last insertion ended, if it continues that one's run.
    /// False: nothing happened.
    #[inline]
    pub(super) fn type_on(&mut self, number: HandlerIdx, index: u64, byte: u8) -> bool {
        if !self.is_quiet() || self.ensure_editable(1).is_err() {
            return false;
        }
        let (author, content) = (self.own, self.log.content.next_narrow());
        let Some((sequence, next_counter)) = self.quiet_sequence(number) else {
            return false;
        };
        let id = ElementKey {
            author,
            counter: *next_counter,
        };
        let Some(right) = sequence.type_on(index, id, content) else {
            return false;
        };
        *next_counter += 1;
        self.log.content.push_byte(byte);
        let op = Operation::Insert {
            first: id.counter,
            len: 1,
            left: ElementKey {
                author,
                counter: id.counter - 1,
            },
            right,
            content,
        };
        self.commit_operation(number, op);
        true
    }

    /// Removes the character at a position, if it has one unit. False: nothing happened.
    #[inline]
    pub(super) fn remove_one(&mut self, number: HandlerIdx, index: u64) -> bool {
        if !self.is_quiet() || self.ensure_editable(0).is_err() {
            return false;
        }
        let removed = self
            .quiet_sequence(number)
            .and_then(|(sequence, _)| sequence.remove_one(index));
        let Some(id) = removed else {
            return false;
        };
        let spans = &[Span { id, len: 1 }];
        self.commit_operation(number, Operation::Remove { spans });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, DocumentOptions, HandlerKind, HandlerSpec, WallClock};
    use crate::clock::PeerId;
    use crate::testing::Rng;

    fn document() -> Document {
        let mut document = Document::new(DocumentOptions {
            peer_id: Some(PeerId::from_bytes([7; 16])),
            wall_clock: WallClock::Fixed(1),
            ..DocumentOptions::default()
        });
        for (id, kind) in [
            ("text", HandlerKind::FugueText),
            ("other", HandlerKind::FugueText),
        ] {
            document.handler(id, &HandlerSpec::new(kind)).unwrap();
        }
        document
    }

    /// Oracle: a document that goes the long ways because commits are recorded.
    #[test]
    fn both_ways_make_the_same_changes() {
        for seed in 0..400 {
            let mut rng = Rng::new(seed);
            let (mut short, mut long) = (document(), document());
            long.set_recording(true);
            let mut caret = 0;
            for _ in 0..80 {
                let handler = short
                    .handlers()
                    .nth(usize::from(rng.below(6) == 0))
                    .unwrap();
                let len = short.text_len_utf16(handler);
                if rng.below(8) == 0 || caret > len {
                    caret = rng.below(len as usize + 1) as u64;
                }
                let count = u64::from(rng.below(12) == 0) + 1;
                let erases = rng.below(3) == 0 && caret + count <= len;
                let typed = ["a", "b", "\u{e9}", "cd"][rng.below(20).min(3) * rng.below(2)];
                let in_transaction = rng.below(15) == 0;
                for document in [&mut short, &mut long] {
                    if in_transaction {
                        document.begin(&[]).unwrap();
                    }
                    match erases {
                        true => document.text_remove(handler, caret, count).unwrap(),
                        false => document.text_insert(handler, caret, typed).unwrap(),
                    }
                    if in_transaction {
                        document.commit().unwrap();
                    }
                    document.check();
                }
                caret = match erases {
                    true => caret.saturating_sub(rng.below(2) as u64),
                    false => caret + typed.encode_utf16().count() as u64,
                };
            }
            assert_eq!(short.export_list(), long.export_list(), "seed {seed}");
            for handler in short.handlers() {
                assert_eq!(short.text_string(handler), long.text_string(handler));
            }
            assert_eq!(short.clock(), long.clock(), "seed {seed}");
        }
    }

    #[test]
    fn what_is_refused_is_refused_on_both_ways() {
        let mut document = document();
        let text = document.handlers().next().unwrap();
        document.text_insert(text, 0, "a").unwrap();
        assert!(document.text_insert(text, 2, "b").is_err());
        assert!(document.text_insert(text, 1 << 32 | 1, "b").is_err());
        assert!(document.text_remove(text, 1, 1).is_err());
        assert!(document.text_remove(text, 1 << 32, 1).is_err());
        document.close();
        assert!(document.text_insert(text, 1, "b").is_err());
        assert!(document.text_remove(text, 0, 1).is_err());
        assert_eq!(document.text_string(text), "a");
    }
}
