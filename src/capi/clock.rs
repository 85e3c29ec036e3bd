//! Section 10: clocks and ids of crdt_lf.

use super::guard::{guard, question};
use super::types::*;
use crate::clock::{Hlc, OperationId, PeerId};
use crate::codec::DecodeError;
use std::cmp::Ordering;
use std::ffi::c_int;

/// Packed hybrid logical clock: 48 bits milliseconds, 16 bits counter.
pub type syncline_hlc = u64;

/// Names a writer: one device, one app instance.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct syncline_peer_id {
    /// As on the wire.
    pub bytes: [u8; 16],
}

/// Names a change: 24 bytes, as on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct syncline_operation_id {
    /// Who.
    pub peer: syncline_peer_id,
    /// When, big endian; see syncline_operation_id_clock.
    pub clock: [u8; 8],
}

impl From<PeerId> for syncline_peer_id {
    fn from(peer: PeerId) -> Self {
        syncline_peer_id {
            bytes: *peer.bytes(),
        }
    }
}

impl From<syncline_peer_id> for PeerId {
    fn from(peer: syncline_peer_id) -> Self {
        PeerId::from_bytes(peer.bytes)
    }
}

impl From<OperationId> for syncline_operation_id {
    fn from(id: OperationId) -> Self {
        syncline_operation_id {
            peer: id.peer.into(),
            clock: id.hlc.to_bytes(),
        }
    }
}

impl From<syncline_operation_id> for OperationId {
    fn from(id: syncline_operation_id) -> Self {
        OperationId::new(id.peer.into(), Hlc::from_bytes(id.clock))
    }
}

fn sign(order: Ordering) -> c_int {
    order as c_int
}

/// Makes a random peer id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_peer_id_new(out_peer: *mut syncline_peer_id) -> syncline_status {
    guard!(|caller| caller
        .out(out_peer, "out_peer")?
        .give(PeerId::random().into()))
}

/// Reads the text form, a UUID version 4.
///
/// @return MALFORMED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_peer_id_parse(
    text: syncline_string,
    out_peer: *mut syncline_peer_id,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_peer, "out_peer")?;
        out.give(PeerId::parse(caller.text(text, "text")?)?.into())
    })
}

/// Writes the text form.
///
/// @param out_text  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_peer_id_format(
    peer: *const syncline_peer_id,
    out_text: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_text, "out_text")?;
        let peer = PeerId::from(*caller.read(peer, "peer")?);
        out.give(syncline_buffer::from_vec(peer.to_string().into_bytes()))
    })
}

/// Compares the bytes.
///
/// @return negative, 0 or positive; 0 if one is NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_peer_id_compare(
    a: *const syncline_peer_id,
    b: *const syncline_peer_id,
) -> c_int {
    question!(0, |caller| Ok(sign(
        caller.read(a, "a")?.bytes.cmp(&caller.read(b, "b")?.bytes)
    )))
}

/// The wall clock as a clock reading with counter 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_now() -> syncline_hlc {
    question!(0, |_| Ok(Hlc::new(super::delivery::now_ms(), 0).to_u64()))
}

/// Packs a reading. A time before 1970 or past 48 bits keeps its low 48 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_pack(time_ms: i64, counter: u16) -> syncline_hlc {
    question!(0, |_| Ok(Hlc::new(time_ms, counter.into()).to_u64()))
}

/// Milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_time_ms(clock: syncline_hlc) -> i64 {
    question!(0, |_| Ok(Hlc::from_u64(clock).ms()))
}

/// The counter within the millisecond.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_counter(clock: syncline_hlc) -> u16 {
    question!(0, |_| Ok(Hlc::from_u64(clock).counter()))
}

/// Compares two readings.
///
/// @return negative, 0 or positive
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_compare(a: syncline_hlc, b: syncline_hlc) -> c_int {
    question!(0, |_| Ok(sign(a.cmp(&b))))
}

/// The reading after a local event.
///
/// @param clock      the reading before
/// @param now_ms     the wall clock
/// @param out_clock  the reading after
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_local_event(
    clock: syncline_hlc,
    now_ms: i64,
    out_clock: *mut syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_clock, "out_clock")?;
        out.give(Hlc::from_u64(clock).local_event(now_ms).to_u64())
    })
}

/// The reading after an event of another peer.
///
/// @param clock         the reading before
/// @param now_ms        the wall clock
/// @param received      the reading of the event
/// @param drift_ms_max  how far `received` may be ahead of the wall clock; negative = no check
/// @param out_clock     the reading after
/// @return CLOCK_DRIFT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_receive_event(
    clock: syncline_hlc,
    now_ms: i64,
    received: syncline_hlc,
    drift_ms_max: i64,
    out_clock: *mut syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_clock, "out_clock")?;
        let (clock, received) = (Hlc::from_u64(clock), Hlc::from_u64(received));
        let after = if drift_ms_max < 0 {
            clock.receive_event(now_ms, received)
        } else {
            clock.receive_event_checked(now_ms, received, drift_ms_max)?
        };
        out.give(after.to_u64())
    })
}

/// Reads the text form, `<milliseconds>.<counter>`.
///
/// @return MALFORMED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_parse(
    text: syncline_string,
    out_clock: *mut syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_clock, "out_clock")?;
        out.give(Hlc::parse(caller.text(text, "text")?)?.to_u64())
    })
}

/// Writes the text form.
///
/// @param out_text  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_hlc_format(
    clock: syncline_hlc,
    out_text: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_text, "out_text")?;
        out.give(syncline_buffer::from_vec(
            Hlc::from_u64(clock).to_string().into_bytes(),
        ))
    })
}

/// Reads the 24 bytes of the wire.
///
/// @return MALFORMED for another length
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_operation_id_decode(
    bytes: syncline_bytes,
    out_id: *mut syncline_operation_id,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_id, "out_id")?;
        let bytes = caller.bytes(bytes, "bytes")?;
        let wrong = DecodeError {
            offset: bytes.len(),
            expected: "an operation id has 24 bytes",
        };
        let bytes: &[u8; OperationId::BYTES] = bytes.try_into().map_err(|_| wrong)?;
        out.give(OperationId::from_bytes(bytes).into())
    })
}

/// Reads the text form, `<peer>@<clock>`.
///
/// @return MALFORMED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_operation_id_parse(
    text: syncline_string,
    out_id: *mut syncline_operation_id,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_id, "out_id")?;
        out.give(OperationId::parse(caller.text(text, "text")?)?.into())
    })
}

/// Writes the text form.
///
/// @param out_text  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_operation_id_format(
    id: *const syncline_operation_id,
    out_text: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_text, "out_text")?;
        let id = OperationId::from(*caller.read(id, "id")?);
        out.give(syncline_buffer::from_vec(id.to_string().into_bytes()))
    })
}

/// The clock of an operation; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_operation_id_clock(
    id: *const syncline_operation_id,
) -> syncline_hlc {
    question!(0, |caller| Ok(OperationId::from(*caller.read(id, "id")?)
        .hlc
        .to_u64()))
}

/// Compares by clock, then by peer: the replay order.
///
/// @return negative, 0 or positive; 0 if one is NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_operation_id_compare(
    a: *const syncline_operation_id,
    b: *const syncline_operation_id,
) -> c_int {
    question!(0, |caller| {
        let (a, b) = (*caller.read(a, "a")?, *caller.read(b, "b")?);
        Ok(sign(OperationId::from(a).cmp(&OperationId::from(b))))
    })
}
