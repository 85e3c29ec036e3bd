//! Section 11, first half: version vectors.

use super::clock::{syncline_hlc, syncline_peer_id};
use super::event::{number, object, spell_references};
use super::guard::{Answer, guard, question};
use super::handle::{self, handle};
use super::types::*;
use crate::clock::{Hlc, PeerId, VersionVector};
use crate::codec::{Value, json, version_vector};
use parking_lot::Mutex;

/// The latest clock of each peer: what a replica has seen.
pub struct syncline_version_vector(());

/// Changed in place by `_set` and its like, so it has a lock of its own. Never locked together
/// with another one.
pub(crate) type VectorCell = Mutex<VersionVector>;

handle!(syncline_version_vector, VectorCell, VersionVector);

/// Makes an empty vector.
///
/// @param out_vector  free it with syncline_version_vector_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_new(
    out_vector: *mut *mut syncline_version_vector,
) -> syncline_status {
    guard!(|caller| caller
        .out(out_vector, "out_vector")?
        .give_handle(VectorCell::default()))
}

/// Gives a handle back.
///
/// @param vector  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_free(vector: *mut syncline_version_vector) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(vector) }
}

/// Copies a vector.
///
/// @param out_vector  free it with syncline_version_vector_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_copy(
    vector: *const syncline_version_vector,
    out_vector: *mut *mut syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_vector, "out_vector")?;
        let copy = caller.object(vector)?.lock().clone();
        out.give_handle(Mutex::new(copy))
    })
}

/// Reads the bytes of the wire.
///
/// @param out_vector  free it with syncline_version_vector_free
/// @return MALFORMED with the byte offset
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_decode(
    bytes: syncline_bytes,
    out_vector: *mut *mut syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_vector, "out_vector")?;
        let vector = version_vector::decode(caller.bytes(bytes, "bytes")?)?;
        out.give_handle(Mutex::new(vector))
    })
}

/// Writes the bytes of the wire.
///
/// @param out_bytes  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_encode(
    vector: *const syncline_version_vector,
    out_bytes: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_bytes, "out_bytes")?;
        let bytes = version_vector::encode(&caller.object(vector)?.lock());
        out.give(syncline_buffer::from_vec(bytes))
    })
}

/// How many peers have an entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_length(
    vector: *const syncline_version_vector,
) -> u64 {
    question!(0, |caller| Ok(caller.object(vector)?.lock().len() as u64))
}

/// The clock of a peer.
///
/// @return NOT_FOUND, with out_clock unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_get(
    vector: *const syncline_version_vector,
    peer: *const syncline_peer_id,
    out_clock: *mut syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_clock, "out_clock")?;
        let peer = PeerId::from(*caller.read(peer, "peer")?);
        let clock = caller.object(vector)?.lock().get(&peer);
        clock.map_or(Ok(SYNCLINE_NOT_FOUND), |clock| out.give(clock.to_u64()))
    })
}

/// Sets the clock of a peer; keeps the later one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_set(
    vector: *mut syncline_version_vector,
    peer: *const syncline_peer_id,
    clock: syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let peer = PeerId::from(*caller.read(peer, "peer")?);
        caller
            .object(vector)?
            .lock()
            .update(peer, Hlc::from_u64(clock));
        Ok(SYNCLINE_OK)
    })
}

/// Drops the entry of a peer.
///
/// @return NOT_FOUND
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_remove(
    vector: *mut syncline_version_vector,
    peer: *const syncline_peer_id,
) -> syncline_status {
    guard!(|caller| {
        let peer = PeerId::from(*caller.read(peer, "peer")?);
        let removed = caller.object(vector)?.lock().remove(&peer);
        Ok(if removed {
            SYNCLINE_OK
        } else {
            SYNCLINE_NOT_FOUND
        })
    })
}

/// One entry, in order of first appearance.
///
/// @return OUT_OF_RANGE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_entry(
    vector: *const syncline_version_vector,
    index: u64,
    out_peer: *mut syncline_peer_id,
    out_clock: *mut syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let out_peer = caller.out(out_peer, "out_peer")?;
        let out_clock = caller.out(out_clock, "out_clock")?;
        let vector = caller.object(vector)?.lock();
        let at = usize::try_from(index).ok();
        let entry = at.and_then(|at| vector.iter().nth(at));
        let (peer, clock) =
            entry.ok_or_else(|| super::error::Error::out_of_range(index, vector.len() as u64))?;
        out_peer.put(peer.into());
        out_clock.give(clock.to_u64())
    })
}

/// Keeps the later clock of each peer.
///
/// @param vector  changed
/// @param other   not changed; may be the same
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_merge(
    vector: *mut syncline_version_vector,
    other: *const syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let vector = caller.object(vector)?;
        let other = caller.object(other)?.lock().clone();
        vector.lock().merge(&other);
        Ok(SYNCLINE_OK)
    })
}

/// The peers that all vectors have, with their earliest clocks.
///
/// @param vectors     count handles
/// @param count       0 gives an empty vector
/// @param out_vector  free it with syncline_version_vector_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_intersect(
    vectors: *const *const syncline_version_vector,
    count: usize,
    out_vector: *mut *mut syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_vector, "out_vector")?;
        let mut copies = Vec::new();
        for vector in caller.slice(vectors, count, "vectors")? {
            copies.push(caller.object(*vector)?.lock().clone());
        }
        out.give_handle(Mutex::new(VersionVector::intersection(&copies)))
    })
}

/// Compares copies, so that two locks are never held at once.
fn compare(
    a: *const syncline_version_vector,
    b: *const syncline_version_vector,
    question: fn(&VersionVector, &VersionVector) -> bool,
) -> bool {
    question!(false, |caller| {
        let a = caller.object(a)?.lock().clone();
        let b = caller.object(b)?.lock().clone();
        Ok(question(&a, &b))
    })
}

/// Whether the latest clock of `a` is later than that of `b`. An empty vector is never newer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_is_newer(
    a: *const syncline_version_vector,
    b: *const syncline_version_vector,
) -> bool {
    compare(a, b, VersionVector::is_newer_than)
}

/// Whether `a` has a later clock for every peer of `b`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_is_strictly_newer(
    a: *const syncline_version_vector,
    b: *const syncline_version_vector,
) -> bool {
    compare(a, b, VersionVector::is_strictly_newer_than)
}

/// Whether `a` has seen everything `b` has seen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_is_strictly_newer_or_equal(
    a: *const syncline_version_vector,
    b: *const syncline_version_vector,
) -> bool {
    compare(a, b, VersionVector::is_strictly_newer_or_equal_than)
}

/// Whether both have the same entries, in any order. False if one is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_equals(
    a: *const syncline_version_vector,
    b: *const syncline_version_vector,
) -> bool {
    compare(a, b, VersionVector::eq)
}

/// The vector as a JSON object: text form of the peer to {"time_ms", "counter"}.
///
/// @param out_json  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_version_vector_to_json(
    vector: *const syncline_version_vector,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_json, "out_json")?;
        let entries: Vec<_> = caller.object(vector)?.lock().iter().collect();
        let entry = |(peer, clock): (PeerId, Hlc)| (peer.to_string().into(), clock_value(clock));
        give_json(out, Value::Object(entries.into_iter().map(entry).collect()))
    })
}

/// A clock as JSON.
pub(crate) fn clock_value(clock: Hlc) -> Value {
    object([
        ("time_ms", Value::Int(clock.ms())),
        ("counter", number(clock.counter().into())),
    ])
}

/// Gives a value as JSON text; references as objects.
pub(crate) fn give_json(out: super::guard::Out<'_, syncline_buffer>, mut value: Value) -> Answer {
    spell_references(&mut value);
    let mut text = Vec::new();
    json::encode(&value, &mut text)?;
    out.give(syncline_buffer::from_vec(text))
}
