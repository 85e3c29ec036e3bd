//! Section 5: values.

use super::error::Error;
use super::guard::{guard, question};
use super::tree::{Block, Node};
pub use super::tree::{
    syncline_value, syncline_value_array, syncline_value_data, syncline_value_object,
    syncline_value_type,
};
use super::types::*;
use super::version_vector::give_json;
use crate::codec::json;
use std::ptr;

/// Frees a value that Syncline returned, with all that is in it.
///
/// @param value  NULL is allowed; never a value of your own or a part of a tree
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_value_free(value: *mut syncline_value) {
    question!((), |_| {
        if !value.is_null() {
            // SAFETY: the caller got this value from the library and gives it up.
            let block = unsafe { Block::from_raw(value) };
            block.inspect_err(Error::note)?;
        }
        Ok(())
    })
}

/// Copies a value of any origin into one allocation.
///
/// @param value      any value
/// @param out_value  free it with syncline_value_free
/// @return LIMIT if it is nested more than 128 times
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_value_copy(
    value: *const syncline_value,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let node = Node::read(caller, value)?;
        out.give(Block::from_node(&node).into_raw())
    })
}

/// Deep equality. Integers and doubles differ, NaN equals itself, the order of keys does not
/// matter.
///
/// @return false if one of them is NULL or not valid
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_value_equals(
    a: *const syncline_value,
    b: *const syncline_value,
) -> bool {
    question!(false, |caller| Ok(
        Node::read(caller, a)?.equals(&Node::read(caller, b)?)
    ))
}

/// Looks a key up in an OBJECT.
///
/// @return borrowed from the object; NULL if there is no such key or it is no object
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_value_get(
    object: *const syncline_value,
    key: syncline_string,
) -> *const syncline_value {
    question!(ptr::null(), |caller| {
        let value = caller.read(object, "object")?;
        let wanted = caller.text(key, "key")?;
        if value.r#type != syncline_value_type::SYNCLINE_VALUE_OBJECT as u32 {
            return Ok(ptr::null());
        }
        // SAFETY: the type says that this field was written.
        let object = unsafe { value.data.object };
        let keys = caller.slice(object.keys, object.count, "keys")?;
        let values = caller.slice(object.values, object.count, "values")?;
        for (key, value) in keys.iter().zip(values) {
            if caller.text(*key, "key")? == wanted {
                return Ok(ptr::from_ref(value));
            }
        }
        Ok(ptr::null())
    })
}

/// Reads JSON text. Numbers without fraction and exponent are INT, others DOUBLE.
///
/// @param json       one JSON value
/// @param out_value  free it with syncline_value_free
/// @return MALFORMED with the byte offset
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_value_from_json(
    json: syncline_string,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let text = caller.text(json, "json")?;
        let value = json::decode(text.as_bytes())?;
        out.give(Block::from_value(&value).into_raw())
    })
}

/// Writes JSON text, exactly as Dart's json.encode does; a reference becomes {"type", "id"}.
///
/// @param value     any value
/// @param out_json  free it with syncline_buffer_free
/// @return INVALID_ARGUMENT for bytes, NaN and infinity; UNSUPPORTED for undefined and big
///         integers
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_value_to_json(
    value: *const syncline_value,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_json, "out_json")?;
        let value = Node::read(caller, value)?.into_value()?;
        give_json(out, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Value;

    fn sample() -> Value {
        Value::Object(vec![
            (
                "b".into(),
                Value::Array(vec![Value::Int(1), Value::Double(1.0), Value::Null]),
            ),
            (
                "a".into(),
                Value::Object(vec![("".into(), Value::Bytes(vec![0, 255]))]),
            ),
            ("text".into(), Value::String("h\u{0}\u{1f600}".into())),
            ("yes".into(), Value::Bool(true)),
            ("empty".into(), Value::Array(vec![])),
        ])
    }

    fn copy(value: *const syncline_value) -> (syncline_status, *mut syncline_value) {
        let mut out = ptr::null_mut();
        // SAFETY: `value` lives, `out` is writable.
        let status = unsafe { syncline_value_copy(value, &mut out) };
        (status, out)
    }

    #[test]
    fn a_tree_survives_the_way_out_and_in() {
        let block = Block::from_value(&sample());
        let (status, out) = copy(block.root());
        assert_eq!(status, SYNCLINE_OK);
        let read = guard_read(out);
        assert_eq!(read, sample());
        // SAFETY: both values live; `out` was made by the library.
        unsafe {
            assert!(syncline_value_equals(out, block.root()));
            let a = syncline_value_get(out, syncline_string::borrowed("yes"));
            assert_eq!((*a).r#type, 2);
            assert!(syncline_value_get(a, syncline_string::borrowed("yes")).is_null());
            syncline_value_free(out);
        }
    }

    fn guard_read(value: *const syncline_value) -> Value {
        let mut read = None;
        let status = guard!(|caller| {
            read = Some(Node::read(caller, value)?.into_value()?);
            Ok(SYNCLINE_OK)
        });
        assert_eq!(status, SYNCLINE_OK);
        read.unwrap()
    }

    #[test]
    fn a_circle_ends_at_the_depth_limit_and_a_bush_at_the_count_limit() {
        let null = syncline_value_object {
            keys: ptr::null(),
            values: ptr::null(),
            count: 0,
        };
        let data = syncline_value_data { object: null };
        let value = syncline_value {
            r#type: 8,
            flags: 0,
            data,
            ref_type: syncline_string::EMPTY,
        };
        let mut items = [value; 2];
        let start = items.as_ptr();
        for count in [1, 2] {
            for item in &mut items {
                item.data = syncline_value_data {
                    array: syncline_value_array {
                        items: start,
                        count,
                    },
                };
            }
            assert_eq!(copy(&items[0]).0, SYNCLINE_ERROR_LIMIT);
        }
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let block = Block::from_value(&Value::Object(vec![]));
        // SAFETY: the root lives; the copies below stay inside of the test.
        let good = unsafe { *block.root() };
        let text = syncline_string::borrowed("k");
        let keys = [text, text];
        let values = [good, good];
        let twice = syncline_value_object {
            keys: keys.as_ptr(),
            values: values.as_ptr(),
            count: 2,
        };
        let twice = syncline_value {
            data: syncline_value_data { object: twice },
            ..good
        };
        let unknown = syncline_value { r#type: 99, ..good };
        let flagged = syncline_value { flags: 1, ..good };
        let missing = syncline_value_array {
            items: ptr::null(),
            count: 3,
        };
        let missing = syncline_value {
            r#type: 8,
            data: syncline_value_data { array: missing },
            ..good
        };
        for bad in [twice, unknown, flagged, missing] {
            assert_eq!(copy(&bad).0, SYNCLINE_ERROR_INVALID_ARGUMENT);
        }
        assert_eq!(copy(ptr::null()).0, SYNCLINE_ERROR_INVALID_ARGUMENT);
    }
}
