//! The stacks of an undo manager as bytes, so that they outlive the program.
//!
//! `"SLU" ‖ version(u8) ‖ crc32(u32, little endian) of the rest ‖ rest`; the rest, with lists as
//! `uv(count)` and their items:
//! - `uv(next step)`, the document's version vector (prefixed), handlers (`id`, `type tag` as
//!   text, `kind` and `codec` as bytes) and peers (16 bytes each), which the steps name by number;
//! - the steps to undo, then those to redo, oldest first.
//!
//! Readers of a later version must read version 1; a new field means a new version.

use super::super::Document;
use super::super::types::{DocumentError, HandlerIdx, HandlerKind, ValueCodec};
use super::decode::Stored;
use super::elements::ElementsEffect;
use super::encode::Writer;
use super::manager::UndoManager;
use super::step::{Effect, Step};
use super::{UndoIdx, UndoMark};
use crate::clock::AuthorIdx;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::version_vector;
use crate::replica::Replica;
use crate::sequence::ElementKey;
use std::collections::VecDeque;

pub(super) const MAGIC: &[u8; 3] = b"SLU";
pub(super) const VERSION: u8 = 1;

impl Document {
    /// The steps of an undo manager, to be restored after the document was opened again. Scope,
    /// tags and options are the application's. None: no such manager.
    pub fn undo_encode(&self, index: UndoIdx) -> Option<Vec<u8>> {
        let manager = self.undo_manager(index)?;
        let mut writer = Writer::new(self);
        writer.steps(&manager.undo);
        writer.steps(&manager.redo);
        let Writer {
            out: steps,
            handlers,
            peers,
            ..
        } = writer;
        let mut rest = Vec::new();
        write_uvarint(&mut rest, manager.next_step);
        write_prefixed(&mut rest, &version_vector::encode(&self.version_vector()));
        write_uvarint(&mut rest, handlers.len() as u64);
        for number in handlers {
            write_prefixed(&mut rest, self.handler_id(number).as_bytes());
            write_prefixed(&mut rest, self.handler_type(number).as_bytes());
            rest.push(kind_byte(self.handler_kind(number)));
            rest.push(codec_byte(self.handler_codec(number)));
        }
        write_uvarint(&mut rest, peers.len() as u64);
        for author in peers {
            rest.extend_from_slice(self.log.authors.peer(author).bytes());
        }
        rest.extend_from_slice(&steps);
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&crc32fast::hash(&rest).to_le_bytes());
        out.extend_from_slice(&rest);
        Some(out)
    }

    /// Whether [`undo_encode`](Self::undo_encode) would say something else than at an earlier
    /// reading. None: no such manager.
    pub fn undo_mark(&self, index: UndoIdx) -> Option<UndoMark> {
        Some(self.undo_manager(index)?.mark(self.log_position()))
    }

    /// Replaces the steps of an undo manager by stored ones. Handlers that they name are
    /// registered if they are not yet. Steps on texts and lists by position are left out if the
    /// document changed since, as nobody followed their positions.
    ///
    /// # Errors
    /// `Decode` for bytes that are damaged, of a later version, or say what no manager can mean;
    /// `TypeMismatch` if a handler is registered with another type; `UnknownManager`; `Closed`:
    /// then nothing happened.
    pub fn undo_decode(&mut self, index: UndoIdx, bytes: &[u8]) -> Result<(), DocumentError> {
        self.ensure_open()?;
        if self.undo_manager(index).is_none() {
            return Err(DocumentError::UnknownManager);
        }
        let stored = Stored::decode(bytes)?;
        for handler in &stored.handlers {
            let tag = &handler.spec.type_tag;
            let known = self.find_handler(&handler.id);
            if known.is_some_and(|known| {
                self.handler_kind(known) != handler.spec.kind
                    || self.handler_codec(known) != handler.spec.codec
                    || self.handler_type(known) != tag
            }) {
                return Err(DocumentError::TypeMismatch);
            }
            if handler.id == crate::codec::manifest::KEY {
                return Err(DocumentError::ReservedId);
            }
        }
        let is_current = stored.version == version_vector::encode(&self.version_vector());
        let mut numbers = Vec::with_capacity(stored.handlers.len());
        for handler in &stored.handlers {
            numbers.push(self.handler(&handler.id, &handler.spec)?);
        }
        let authors: Vec<AuthorIdx> = stored
            .peers
            .iter()
            .map(|peer| self.log.authors.intern(*peer))
            .collect();
        let names = Names { numbers, authors };
        let steps = |steps: Vec<Step>| -> VecDeque<Step> {
            let named = steps.into_iter().map(|step| names.step(step, is_current));
            named.filter(|step| !step.effects.is_empty()).collect()
        };
        let (undo, redo) = (steps(stored.undo), steps(stored.redo));
        let manager = self.undo_manager_mut(index).expect("looked at above");
        manager.restore(stored.next_step, undo, redo);
        Ok(())
    }
}

fn kind_byte(kind: HandlerKind) -> u8 {
    let place = HandlerKind::ALL.iter().position(|known| *known == kind);
    place.map_or(u8::MAX, |place| place as u8)
}

fn codec_byte(codec: ValueCodec) -> u8 {
    match codec {
        ValueCodec::Json => 0,
        ValueCodec::Bytes => 1,
        ValueCodec::Reference => 2,
    }
}

/// The document's numbers for those of the bytes.
struct Names {
    numbers: Vec<HandlerIdx>,
    authors: Vec<AuthorIdx>,
}

impl Names {
    fn step(&self, step: Step, is_current: bool) -> Step {
        let handler = |number: HandlerIdx| self.numbers[number.0 as usize];
        let effects = step.effects.into_iter().filter_map(|(number, effect)| {
            let effect = match effect {
                Effect::Elements(effect) => Effect::Elements(self.elements(effect)),
                Effect::Positions(_) if !is_current => return None,
                effect => effect,
            };
            Some((handler(number), effect))
        });
        let effects = effects.collect();
        let since = step.since.into_iter().filter(|_| is_current);
        Step {
            number: step.number,
            meta: step.meta,
            effects,
            since: since
                .map(|(number, drift)| (handler(number), drift))
                .collect(),
        }
    }

    fn element(&self, key: ElementKey) -> ElementKey {
        match key.is_null() {
            true => key,
            false => ElementKey {
                author: self.authors[key.author.0 as usize],
                ..key
            },
        }
    }

    fn elements(&self, effect: ElementsEffect) -> ElementsEffect {
        let mut named = ElementsEffect::default();
        for (first, len) in effect.made.iter() {
            named.made.insert(self.element(first), len);
        }
        named.removed = effect.removed;
        for run in &mut named.removed {
            (run.id, run.left) = (self.element(run.id), self.element(run.left));
        }
        named
    }
}

impl UndoManager {
    fn restore(&mut self, next_step: u64, undo: VecDeque<Step>, redo: VecDeque<Step>) {
        self.clear();
        self.next_step = next_step.max(self.next_step);
        (self.undo, self.redo) = (undo, redo);
        self.trim();
    }
}
