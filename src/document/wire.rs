//! Payload bytes of foreign changes into the log: what has a compact row gets one, if the bytes
//! come back the same; the rest is kept as it came.

use super::handlers::fugue_body::{DenseInsert, dense_insert, dense_remove};
use super::log::{ChangeKey, Log, NameIdx, Operation};
use super::types::HandlerKind;
use crate::codec::Envelope;

/// Stores a foreign change. The caller has checked id, dependencies and room.
pub(super) fn store_foreign(log: &mut Log, key: ChangeKey, deps: &[ChangeKey], payload: &[u8]) {
    let Some((name, kind, body)) = log.recent_name(payload) else {
        return store_named(log, key, deps, payload);
    };
    store_operation(log, key, deps, name, kind, body);
}

/// As above, for a payload that does not begin with the name given out last.
fn store_named(log: &mut Log, key: ChangeKey, deps: &[ChangeKey], payload: &[u8]) {
    let Ok(envelope) = Envelope::decode(payload) else {
        return log.push(key, deps, NameIdx::NONE, Operation::Opaque { payload });
    };
    let name = log.intern(envelope.handler_type, envelope.handler_id);
    let prefix = &log.name(name).prefix;
    let shortest =
        payload.len() == prefix.len() + 1 + envelope.body.len() && payload.starts_with(prefix);
    match shortest {
        true => store_operation(log, key, deps, name, envelope.kind, envelope.body),
        false => log.push(key, deps, name, Operation::Opaque { payload }),
    }
}

/// What the elements are of handlers whose changes are stored as rows of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowElements {
    Units,
    Values,
}

impl RowElements {
    /// None: changes for handlers of this kind are bytes.
    pub fn of(kind: Option<HandlerKind>) -> Option<Self> {
        match kind? {
            HandlerKind::FugueText => Some(RowElements::Units),
            HandlerKind::FugueList | HandlerKind::ListRef => Some(RowElements::Values),
            _ => None,
        }
    }
}

fn store_operation(
    log: &mut Log,
    key: ChangeKey,
    deps: &[ChangeKey],
    name: NameIdx,
    kind: u8,
    body: &[u8],
) {
    match (kind, RowElements::of(log.name(name).kind)) {
        (0, Some(elements)) => {
            let is_text = elements == RowElements::Units;
            let Log {
                authors, content, ..
            } = log;
            if let Some(DenseInsert {
                first,
                len,
                left,
                right,
                content,
            }) = dense_insert(body, is_text, key.author, authors, content)
            {
                return log.push(
                    key,
                    deps,
                    name,
                    Operation::Insert {
                        first,
                        len,
                        left,
                        right,
                        content,
                    },
                );
            }
        }
        (1, Some(_)) => {
            if let Some(spans) = dense_remove(body, key.author, &mut log.authors) {
                return log.push(
                    key,
                    deps,
                    name,
                    Operation::Remove {
                        spans: spans.as_slice(),
                    },
                );
            }
        }
        _ => (),
    }
    log.push(key, deps, name, Operation::Other { kind, body });
}
