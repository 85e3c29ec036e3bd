//! Many changes in few messages that are not too large: any split is valid (trap 24).

use super::payload;
use crate::codec::Change;

/// Parts whose encoded changes stay below `bytes_max` each; a larger change is a part of its own.
pub(in crate::sync) fn split(changes: Vec<Change>, bytes_max: usize) -> Vec<Vec<Change>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for change in changes {
        let size = wire_len(&change);
        if bytes + size > bytes_max && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(change);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Bytes of a change in a list of a message: base64, quotes, comma.
pub(in crate::sync) fn wire_len(change: &Change) -> usize {
    payload::encoded_len(change.encoded_len()) + 3
}
