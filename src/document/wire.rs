//! Payload bytes of foreign changes into the log: what has a compact row gets one, if the bytes
//! come back the same; the rest is kept as it came.

use super::handlers::text_body::{dense_insert, dense_remove};
use super::log::{ChangeKey, Log, NameIdx, Operation};
use super::types::HandlerKind;
use crate::codec::Envelope;

/// Stores a foreign change. The caller has checked id, dependencies and room.
pub(super) fn store_foreign(log: &mut Log, key: ChangeKey, deps: &[ChangeKey], payload: &[u8]) {
    let Ok(envelope) = Envelope::decode(payload) else {
        log.push(key, deps, NameIdx::NONE, Operation::Opaque { payload });
        return;
    };
    let name = log.intern(envelope.handler_type, envelope.handler_id);
    let prefix_len = log.name(name).prefix.len();
    let shortest = payload.len() == prefix_len + 1 + envelope.body.len() && payload.starts_with(&log.name(name).prefix);
    if !shortest {
        log.push(key, deps, name, Operation::Opaque { payload });
        return;
    }
    let Envelope { kind, body, .. } = envelope;
    if envelope.handler_type == HandlerKind::FugueText.base_tag() {
        if kind == 0 {
            let mut units = Vec::new();
            if let Some(insert) = dense_insert(body, key.author, &mut log.authors, &mut units) {
                let content = log.content.push_units(&units);
                let (first, len, left, right) = (insert.first, insert.len, insert.left, insert.right);
                log.push(key, deps, name, Operation::Insert { first, len, left, right, content });
                return;
            }
        } else if kind == 1 {
            if let Some(spans) = dense_remove(body, key.author, &mut log.authors) {
                log.push(key, deps, name, Operation::Remove { spans: &spans });
                return;
            }
        }
    }
    log.push(key, deps, name, Operation::Other { kind, body });
}
