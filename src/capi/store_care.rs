//! Section 26: care of stores: checking, sleeping, copies of documents, small values.

use super::error::Error;
use super::guard::guard;
use super::map::give_or_not_found;
use super::store::{syncline_store, waited};
use super::tree::{Block, Node, syncline_value};
use super::types::*;
use crate::codec::{Value, json};
use crate::store::StoreError;
use std::time::Duration;

/// How long suspending may take to store the rest.
const SUSPEND_WAIT: Duration = Duration::from_secs(5);

/// Reads and decodes everything that is stored; what is damaged is told in the log, one line each.
///
/// @param repair        1: damaged documents are replaced by what can be read of them. Those that
///                      are open are only looked at, and so are logs of relays.
/// @param out_problems  how many things are damaged and lost; what the generation before still has,
///                      or a repair kept, is not lost
/// @return IO and others if the device does not work; READ_ONLY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_check(
    store: *mut syncline_store,
    repair: BoolArg,
    out_problems: *mut u64,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_problems, "out_problems")?;
        let core = caller.object(store)?;
        let report = match repair {
            0 => core.store().verify()?,
            _ => core.store().repair()?,
        };
        for problem in &report.problems {
            let document = problem.document.as_deref().unwrap_or("the file");
            let state = if problem.is_recovered {
                "recovered"
            } else {
                "lost"
            };
            log::warn!(target: "store", "{document:?}: {state}: {}", problem.detail);
        }
        let lost = report
            .problems
            .iter()
            .filter(|problem| !problem.is_recovered);
        out.give(lost.count() as u64)
    })
}

/// Stores what is not stored yet (for up to five seconds) and lets go of the file and its locks,
/// before the app sleeps. Nothing runs until syncline_store_resume. Documents can be edited
/// meanwhile; what is edited is stored afterwards. Calls that need the file give BUSY.
///
/// @return TIMEOUT: suspended, but not everything was stored; IO and others of the last write
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_suspend(store: *mut syncline_store) -> syncline_status {
    guard!(|caller| waited(caller.object(store)?.store().suspend(SUSPEND_WAIT)))
}

/// Takes the file up again, and takes in what other processes wrote to documents that are open
/// here. Harmless for a store that is not suspended.
///
/// @return BUSY: another program has it open without sharing it; it is still suspended. CLOSED: an
///         open document was restored or reset by somebody else; open it anew.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_resume(store: *mut syncline_store) -> syncline_status {
    guard!(|caller| {
        caller.object(store)?.store().resume()?;
        Ok(SYNCLINE_OK)
    })
}

/// A document as bytes of its own: its content with history, without undo steps.
///
/// @param out_bytes  free it with syncline_buffer_free
/// @return NOT_FOUND, with out_bytes unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_export(
    store: *mut syncline_store,
    name: syncline_string,
    out_bytes: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_bytes, "out_bytes")?;
        let core = caller.object(store)?;
        match core.store().export(caller.text(name, "name")?) {
            Ok(bytes) => out.give(syncline_buffer::from_vec(bytes)),
            Err(StoreError::NotFound) => Ok(SYNCLINE_NOT_FOUND),
            Err(error) => Err(error.into()),
        }
    })
}

/// Makes a document of what syncline_store_export gave, under its name.
///
/// @param out_name  free it with syncline_buffer_free
/// @return ALREADY_EXISTS: there is one of this name, which stays as it is; CORRUPT;
///         UNSUPPORTED_VERSION
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_import(
    store: *mut syncline_store,
    bytes: syncline_bytes,
    out_name: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_name, "out_name")?;
        let core = caller.object(store)?;
        match core.store().import(None, caller.bytes(bytes, "bytes")?) {
            Ok(name) => out.give(syncline_buffer::from_vec(name.into_bytes())),
            Err(error @ (StoreError::Conflict { .. } | StoreError::InUse { .. })) => {
                Err(Error::new(SYNCLINE_ERROR_ALREADY_EXISTS, error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    })
}

/// Begin of a stored value: JSON, or bytes as they are.
const JSON: u8 = 0;
const BYTES: u8 = 1;

/// Keeps something small beside the documents: a setting of the app. It is on the device when this
/// returns.
///
/// @param key    any text of at most 1,024 bytes
/// @param value  bytes, or anything that JSON has; NULL: forget it
/// @return UNSUPPORTED for bytes inside of other values, undefined, big integers and numbers that
///         are none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_set_value(
    store: *mut syncline_store,
    key: syncline_string,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(store)?;
        let key = caller.text(key, "key")?;
        let value = match value.is_null() {
            true => None,
            false => Some(encode(&Node::read(caller, value)?.into_value()?)?),
        };
        core.store().set_value(key, value.as_deref())?;
        Ok(SYNCLINE_OK)
    })
}

fn encode(value: &Value) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![JSON];
    match value {
        Value::Bytes(content) => {
            bytes[0] = BYTES;
            bytes.extend(content);
        }
        value => json::encode(value, &mut bytes)
            .map_err(|_| Error::unsupported("a value that JSON does not have"))?,
    }
    Ok(bytes)
}

/// What syncline_store_set_value kept.
///
/// @param out_value  free it with syncline_value_free
/// @return NOT_FOUND, with *out_value set to NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_get_value(
    store: *const syncline_store,
    key: syncline_string,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let core = caller.object(store)?;
        let key = caller.text(key, "key")?;
        let stored = core.store().value(key)?;
        let value = stored.map(|bytes| decode(key, &bytes)).transpose()?;
        give_or_not_found(out, value.map(|value| Block::from_value(&value)))
    })
}

fn decode(key: &str, bytes: &[u8]) -> Result<Value, StoreError> {
    let value = match bytes.split_first() {
        Some((&JSON, rest)) => json::decode(rest).ok(),
        Some((&BYTES, rest)) => Some(Value::Bytes(rest.to_vec())),
        _ => None,
    };
    value.ok_or_else(|| StoreError::corrupt_bytes(&format!("the value {key:?}")))
}
