//! Values in the form of the header: trees of plain structs in one allocation.
//!
//! [`Block`] owns such a tree. What C hands in is checked and copied into a [`Node`] first, within
//! limits on depth and size, because a tree in foreign memory may be a circle.

use super::error::Error;
use super::guard::Caller;
use super::types::*;
use crate::codec::{HandlerRef, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Nesting limit of values, the same as of JSON text.
pub(crate) const VALUE_DEPTH_MAX: usize = crate::codec::json::DEPTH_MAX;
/// Limit on the number of values in one tree given by the application.
pub(crate) const VALUE_COUNT_MAX: usize = 1 << 20;

/// What a syncline_value is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_value_type {
    /// JavaScript's undefined (Yjs).
    SYNCLINE_VALUE_UNDEFINED = 0,
    /// null.
    SYNCLINE_VALUE_NULL = 1,
    /// true or false.
    SYNCLINE_VALUE_BOOL = 2,
    /// A signed 64-bit integer.
    SYNCLINE_VALUE_INT = 3,
    /// A double; stays different from an integer of the same value.
    SYNCLINE_VALUE_DOUBLE = 4,
    /// A big integer within 64 bits (Yjs).
    SYNCLINE_VALUE_BIGINT = 5,
    /// Text.
    SYNCLINE_VALUE_STRING = 6,
    /// Bytes.
    SYNCLINE_VALUE_BYTES = 7,
    /// A list of values.
    SYNCLINE_VALUE_ARRAY = 8,
    /// Keys with values; the order is kept, keys are unique.
    SYNCLINE_VALUE_OBJECT = 9,
    /// A reference to another handler: string = id, second string in ref_type.
    SYNCLINE_VALUE_REF = 10,
    /// Results only: a nested Yjs type.
    SYNCLINE_VALUE_SHARED = 11,
}

use syncline_value_type::*;

/// The items of an ARRAY.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct syncline_value_array {
    /// May be NULL when count is 0.
    pub items: *const syncline_value,
    /// How many.
    pub count: usize,
}

/// The entries of an OBJECT; insertion order is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct syncline_value_object {
    /// count keys; may be NULL when count is 0.
    pub keys: *const syncline_string,
    /// count values; may be NULL when count is 0.
    pub values: *const syncline_value,
    /// How many.
    pub count: usize,
}

/// The content of a value, by its type.
#[repr(C)]
#[derive(Clone, Copy)]
pub union syncline_value_data {
    /// BOOL.
    pub boolean: BoolArg,
    /// INT and BIGINT.
    pub integer: i64,
    /// DOUBLE.
    pub number: f64,
    /// STRING, REF (id), SHARED (type name).
    pub string: syncline_string,
    /// BYTES.
    pub bytes: syncline_bytes,
    /// ARRAY.
    pub array: syncline_value_array,
    /// OBJECT.
    pub object: syncline_value_object,
}

/// Any JSON-like value. Build one as a literal, without allocation; results are owned trees in one
/// allocation, freed with syncline_value_free.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct syncline_value {
    /// A syncline_value_type.
    pub r#type: u32,
    /// Zero.
    pub flags: u32,
    /// The content.
    pub data: syncline_value_data,
    /// REF only.
    pub ref_type: syncline_string,
}

/// A checked copy of a value that C gave.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Undefined,
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    BigInt(i64),
    String(String),
    Bytes(Vec<u8>),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
    Ref { id: String, type_name: String },
}

impl Node {
    /// Checks and copies a tree of the caller.
    pub(crate) fn read(caller: Caller<'_>, value: *const syncline_value) -> Result<Self, Error> {
        let value = caller.read(value, "value")?;
        NodeReader {
            caller,
            left: VALUE_COUNT_MAX,
        }
        .read(value, VALUE_DEPTH_MAX)
    }

    /// As [`read`](Self::read), for an array of values; the limit on their number counts for all
    /// together.
    pub(crate) fn read_all(
        caller: Caller<'_>,
        values: *const syncline_value,
        count: usize,
    ) -> Result<Vec<Self>, Error> {
        let values = caller.slice(values, count, "values")?;
        let mut reader = NodeReader {
            caller,
            left: VALUE_COUNT_MAX,
        };
        reader.count(values.len())?;
        let nodes = values
            .iter()
            .map(|value| reader.read(value, VALUE_DEPTH_MAX));
        nodes.collect()
    }

    /// The value a handler stores. UNSUPPORTED for what crdt_lf documents do not have.
    pub(crate) fn into_value(self) -> Result<Value, Error> {
        Ok(match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Int(value) => Value::Int(value),
            Node::Double(value) => Value::Double(value),
            Node::String(text) => Value::String(text.into()),
            Node::Bytes(bytes) => Value::Bytes(bytes),
            Node::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(Node::into_value)
                    .collect::<Result<_, _>>()?,
            ),
            Node::Object(entries) => {
                let convert = |(key, value): (String, Node)| Ok((key.into(), value.into_value()?));
                Value::Object(
                    entries
                        .into_iter()
                        .map(convert)
                        .collect::<Result<_, Error>>()?,
                )
            }
            Node::Undefined => return Err(Error::unsupported("undefined exists in Yjs only")),
            Node::BigInt(_) => return Err(Error::unsupported("big integers exist in Yjs only")),
            Node::Ref { id, type_name } => Value::Reference(HandlerRef {
                type_tag: type_name,
                id,
            }),
        })
    }

    /// Deep equality: integers and doubles differ, NaN equals itself, key order does not matter.
    pub(crate) fn equals(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Undefined, Node::Undefined) | (Node::Null, Node::Null) => true,
            (Node::Bool(a), Node::Bool(b)) => a == b,
            (Node::Int(a), Node::Int(b)) | (Node::BigInt(a), Node::BigInt(b)) => a == b,
            (Node::Double(a), Node::Double(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Node::String(a), Node::String(b)) => a == b,
            (Node::Bytes(a), Node::Bytes(b)) => a == b,
            (Node::Array(a), Node::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Node::Object(a), Node::Object(b)) => same_entries(a, b),
            (
                Node::Ref { id, type_name },
                Node::Ref {
                    id: id_b,
                    type_name: type_b,
                },
            ) => id == id_b && type_name == type_b,
            _ => false,
        }
    }
}

fn same_entries(a: &[(String, Node)], b: &[(String, Node)]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let b: std::collections::HashMap<&str, &Node> =
        b.iter().map(|(key, value)| (key.as_str(), value)).collect();
    a.iter()
        .all(|(key, value)| b.get(key.as_str()).is_some_and(|other| value.equals(other)))
}

struct NodeReader<'a> {
    caller: Caller<'a>,
    /// How many more values the tree may have.
    left: usize,
}

impl NodeReader<'_> {
    fn read(&mut self, value: &syncline_value, depth: usize) -> Result<Node, Error> {
        if depth == 0 {
            return Err(Error::new(
                SYNCLINE_ERROR_LIMIT,
                "a value is nested too deeply",
            ));
        }
        if value.flags != 0 {
            return Err(Error::argument("a value has flags that do not exist"));
        }
        let data = &value.data;
        // SAFETY: `type` says which field of the union was written; all of them are integers and
        // pointers, for which every bit pattern is a value.
        unsafe {
            Ok(match value.r#type {
                t if t == SYNCLINE_VALUE_UNDEFINED as u32 => Node::Undefined,
                t if t == SYNCLINE_VALUE_NULL as u32 => Node::Null,
                t if t == SYNCLINE_VALUE_BOOL as u32 => Node::Bool(data.boolean != 0),
                t if t == SYNCLINE_VALUE_INT as u32 => Node::Int(data.integer),
                t if t == SYNCLINE_VALUE_DOUBLE as u32 => Node::Double(data.number),
                t if t == SYNCLINE_VALUE_BIGINT as u32 => Node::BigInt(data.integer),
                t if t == SYNCLINE_VALUE_STRING as u32 => Node::String(self.text(data.string)?),
                t if t == SYNCLINE_VALUE_BYTES as u32 => {
                    Node::Bytes(self.caller.bytes(data.bytes, "value")?.to_vec())
                }
                t if t == SYNCLINE_VALUE_ARRAY as u32 => self.array(data.array, depth)?,
                t if t == SYNCLINE_VALUE_OBJECT as u32 => self.object(data.object, depth)?,
                t if t == SYNCLINE_VALUE_REF as u32 => Node::Ref {
                    id: self.text(data.string)?,
                    type_name: self.text(value.ref_type)?,
                },
                _ => return Err(Error::argument("a value has a type that does not exist")),
            })
        }
    }

    fn text(&self, text: syncline_string) -> Result<String, Error> {
        self.caller
            .text(text, "a string in the value")
            .map(str::to_owned)
    }

    fn count(&mut self, count: usize) -> Result<(), Error> {
        let left = self.left.checked_sub(count);
        self.left =
            left.ok_or_else(|| Error::new(SYNCLINE_ERROR_LIMIT, "a value has too many parts"))?;
        Ok(())
    }

    fn array(&mut self, array: syncline_value_array, depth: usize) -> Result<Node, Error> {
        self.count(array.count)?;
        let items = self
            .caller
            .slice(array.items, array.count, "items of a value")?;
        let nodes = items.iter().map(|item| self.read(item, depth - 1));
        Ok(Node::Array(nodes.collect::<Result<_, _>>()?))
    }

    fn object(&mut self, object: syncline_value_object, depth: usize) -> Result<Node, Error> {
        self.count(object.count)?;
        let keys = self
            .caller
            .slice(object.keys, object.count, "keys of a value")?;
        let values = self
            .caller
            .slice(object.values, object.count, "values of a value")?;
        let mut seen = HashSet::with_capacity(keys.len().min(1 << 16));
        let mut entries = Vec::new();
        for (key, value) in keys.iter().zip(values) {
            let key = self.caller.text(*key, "a key of the value")?;
            if !seen.insert(key) {
                return Err(Error::argument("an object has a key twice"));
            }
            entries.push((key.to_owned(), self.read(value, depth - 1)?));
        }
        Ok(Node::Object(entries))
    }
}

/// Whether a value is nested at most so many times. What comes from a codec is; what references
/// lead to may be as deep as there are handlers, and all that follows here recurses.
pub(crate) fn is_within_depth(value: &Value, depth_max: usize) -> bool {
    let Some(inner) = depth_max.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_within_depth(item, inner)),
        Value::Object(entries) => entries
            .iter()
            .all(|(_, value)| is_within_depth(value, inner)),
        _ => true,
    }
}

/// Memory of a value, estimated.
pub(crate) fn value_bytes(value: &Value) -> u64 {
    let inner: u64 = match value {
        Value::String(text) => text.as_bytes().len() as u64,
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::Reference(target) => (target.type_tag.len() + target.id.len()) as u64,
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| key.as_bytes().len() as u64 + value_bytes(value))
            .sum(),
        _ => 0,
    };
    size_of::<Value>() as u64 + inner
}

/// One node of a tree that a [`Block`] is made of.
enum View<'a, T> {
    Undefined,
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    BigInt(i64),
    String(Cow<'a, str>),
    Bytes(&'a [u8]),
    Array(&'a [T]),
    Object(Vec<(Cow<'a, str>, &'a T)>),
    Ref { id: &'a str, type_name: &'a str },
}

/// A tree that a [`Block`] can be made of.
trait Source: Sized {
    fn view(&self) -> View<'_, Self>;
}

impl Source for Node {
    fn view(&self) -> View<'_, Self> {
        match self {
            Node::Undefined => View::Undefined,
            Node::Null => View::Null,
            Node::Bool(value) => View::Bool(*value),
            Node::Int(value) => View::Int(*value),
            Node::Double(value) => View::Double(*value),
            Node::BigInt(value) => View::BigInt(*value),
            Node::String(text) => View::String(text.into()),
            Node::Bytes(bytes) => View::Bytes(bytes),
            Node::Array(items) => View::Array(items),
            Node::Object(entries) => View::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
            ),
            Node::Ref { id, type_name } => View::Ref { id, type_name },
        }
    }
}

impl Source for Value {
    fn view(&self) -> View<'_, Self> {
        match self {
            Value::Null => View::Null,
            Value::Bool(value) => View::Bool(*value),
            Value::Int(value) => View::Int(*value),
            Value::Double(value) => View::Double(*value),
            Value::String(text) => View::String(utf8(text)),
            Value::Bytes(bytes) => View::Bytes(bytes),
            Value::Reference(target) => View::Ref {
                id: &target.id,
                type_name: &target.type_tag,
            },
            Value::Array(items) => View::Array(items),
            Value::Object(entries) => View::Object(
                entries
                    .iter()
                    .map(|(key, value)| (utf8(key), value))
                    .collect(),
            ),
        }
    }
}

/// Lone surrogates become U+FFFD.
fn utf8(text: &crate::codec::Wtf8String) -> Cow<'_, str> {
    match text.as_str() {
        Some(text) => text.into(),
        None => text.to_string_lossy().into(),
    }
}

/// How much a tree needs.
#[derive(Default)]
struct Measure {
    values: usize,
    keys: usize,
    bytes: usize,
}

impl Measure {
    fn add<T: Source>(&mut self, source: &T) {
        self.values += 1;
        match source.view() {
            View::String(text) => self.bytes += text.len() + 1,
            View::Bytes(bytes) => self.bytes += bytes.len() + 1,
            View::Array(items) => items.iter().for_each(|item| self.add(item)),
            View::Object(entries) => {
                self.keys += entries.len();
                for (key, value) in entries {
                    self.bytes += key.len() + 1;
                    self.add(value);
                }
            }
            View::Ref { id, type_name } => self.bytes += id.len() + type_name.len() + 2,
            _ => {}
        }
    }

    fn words(&self) -> usize {
        let bytes = size_of::<Header>()
            + self.values * size_of::<syncline_value>()
            + self.keys * size_of::<syncline_string>()
            + self.bytes;
        bytes.div_ceil(size_of::<Word>())
    }
}

type Word = MaybeUninit<u64>;

/// Stands in front of the root.
#[repr(C)]
struct Header {
    magic: u64,
    words: u64,
}

const MAGIC: u64 = u64::from_be_bytes(*b"SyncValu");

/// A value tree in the form of the header, in one allocation: header, all values (the root first),
/// all keys, all bytes.
pub(crate) struct Block {
    header: NonNull<Header>,
}

// SAFETY: the block owns all it points to and is never written after it was made.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Copies a value.
    pub(crate) fn from_value(value: &Value) -> Self {
        Self::build(value)
    }

    /// Copies a checked value of the caller.
    pub(crate) fn from_node(node: &Node) -> Self {
        Self::build(node)
    }

    fn build<T: Source>(source: &T) -> Self {
        let mut measure = Measure::default();
        measure.add(source);
        let words = measure.words();
        let memory: Box<[Word]> = Box::new_uninit_slice(words);
        let memory = Box::leak(memory).as_mut_ptr();
        let header: *mut Header = memory.cast();
        // SAFETY: `words` covers the header and the three regions behind each other; every region
        // needs at most the alignment of a word, and its size is a multiple of that of the next.
        let mut writer = unsafe {
            header.write(Header {
                magic: MAGIC,
                words: words as u64,
            });
            let values: *mut syncline_value = header.add(1).cast();
            let keys: *mut syncline_string = values.add(measure.values).cast();
            let bytes: *mut u8 = keys.add(measure.keys).cast();
            Writer {
                values: values.add(1),
                keys,
                bytes,
            }
        };
        // SAFETY: the root lies right behind the header, and the writer's regions have the room
        // that `measure` counted for this same source.
        unsafe {
            let root: *mut syncline_value = header.add(1).cast();
            root.write(writer.value(source));
            Block {
                header: NonNull::new_unchecked(header),
            }
        }
    }

    /// The root; valid while the block lives.
    pub(crate) fn root(&self) -> *const syncline_value {
        // SAFETY: the root lies right behind the header.
        unsafe { self.header.as_ptr().add(1).cast() }
    }

    /// Gives the tree away.
    pub(crate) fn into_raw(self) -> *mut syncline_value {
        let root = self.root().cast_mut();
        std::mem::forget(self);
        root
    }

    /// Takes a tree back that [`into_raw`](Self::into_raw) gave away.
    ///
    /// # Safety
    /// `root` comes from `into_raw` and is not used again.
    pub(crate) unsafe fn from_raw(root: *mut syncline_value) -> Result<Self, Error> {
        if !root.cast::<Word>().is_aligned() {
            return Err(Error::argument("this is not a value made by Syncline"));
        }
        // SAFETY: promised by the caller: a header lies in front of the root.
        let header = unsafe { root.cast::<Header>().sub(1) };
        // SAFETY: as above.
        if unsafe { (*header).magic } != MAGIC {
            return Err(Error::argument("this is not a value made by Syncline"));
        }
        // SAFETY: not NULL, because the root is not.
        let header = unsafe { NonNull::new_unchecked(header) };
        Ok(Block { header })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the header is alive and says how long the allocation of `build` is.
        unsafe {
            let header = self.header.as_ptr();
            let words = (*header).words as usize;
            (*header).magic = 0;
            drop(Box::from_raw(ptr::slice_from_raw_parts_mut(
                header.cast::<Word>(),
                words,
            )));
        }
    }
}

/// Places of the next value, key and byte in a block.
struct Writer {
    values: *mut syncline_value,
    keys: *mut syncline_string,
    bytes: *mut u8,
}

impl Writer {
    /// Writes what `source` points to and gives the value itself.
    ///
    /// # Safety
    /// The regions have room for it.
    unsafe fn value<T: Source>(&mut self, source: &T) -> syncline_value {
        let mut kind = SYNCLINE_VALUE_NULL;
        let mut ref_type = syncline_string::EMPTY;
        // The largest field first, so that no byte stays unwritten.
        let empty = syncline_value_object {
            keys: ptr::null(),
            values: ptr::null(),
            count: 0,
        };
        let mut data = syncline_value_data { object: empty };
        let mut set = |k, d| (kind, data) = (k, d);
        // SAFETY: the caller's promise covers every part of `source`.
        unsafe {
            match source.view() {
                View::Null => {}
                View::Undefined => set(
                    SYNCLINE_VALUE_UNDEFINED,
                    syncline_value_data { object: empty },
                ),
                View::Bool(value) => {
                    let boolean = BoolArg::from(value);
                    set(SYNCLINE_VALUE_BOOL, syncline_value_data { boolean });
                }
                View::Int(integer) => {
                    set(SYNCLINE_VALUE_INT, syncline_value_data { integer });
                }
                View::BigInt(integer) => {
                    set(SYNCLINE_VALUE_BIGINT, syncline_value_data { integer });
                }
                View::Double(number) => {
                    set(SYNCLINE_VALUE_DOUBLE, syncline_value_data { number });
                }
                View::String(text) => {
                    let string = self.text(&text);
                    set(SYNCLINE_VALUE_STRING, syncline_value_data { string });
                }
                View::Bytes(content) => {
                    let bytes = syncline_bytes {
                        data: self.copy(content),
                        len: content.len(),
                    };
                    set(SYNCLINE_VALUE_BYTES, syncline_value_data { bytes });
                }
                View::Array(items) => {
                    let array = self.array(items);
                    set(SYNCLINE_VALUE_ARRAY, syncline_value_data { array });
                }
                View::Object(entries) => {
                    let object = self.object(&entries);
                    set(SYNCLINE_VALUE_OBJECT, syncline_value_data { object });
                }
                View::Ref { id, type_name } => {
                    let string = self.text(id);
                    ref_type = self.text(type_name);
                    set(SYNCLINE_VALUE_REF, syncline_value_data { string });
                }
            }
        }
        syncline_value {
            r#type: kind as u32,
            flags: 0,
            data,
            ref_type,
        }
    }

    unsafe fn array<T: Source>(&mut self, items: &[T]) -> syncline_value_array {
        let first = self.values;
        // SAFETY: the region has room for the items; their own items follow behind.
        unsafe {
            self.values = first.add(items.len());
            for (at, item) in items.iter().enumerate() {
                let value = self.value(item);
                first.add(at).write(value);
            }
        }
        syncline_value_array {
            items: first,
            count: items.len(),
        }
    }

    unsafe fn object<T: Source>(
        &mut self,
        entries: &[(Cow<'_, str>, &T)],
    ) -> syncline_value_object {
        let (first_key, first) = (self.keys, self.values);
        // SAFETY: the regions have room for the entries; what they contain follows behind.
        unsafe {
            self.keys = first_key.add(entries.len());
            self.values = first.add(entries.len());
            for (at, (key, value)) in entries.iter().enumerate() {
                let key = self.text(key);
                first_key.add(at).write(key);
                let value = self.value(*value);
                first.add(at).write(value);
            }
        }
        syncline_value_object {
            keys: first_key,
            values: first,
            count: entries.len(),
        }
    }

    unsafe fn text(&mut self, text: &str) -> syncline_string {
        // SAFETY: the caller's promise.
        let data = unsafe { self.copy(text.as_bytes()) };
        syncline_string {
            data: data.cast(),
            len: text.len(),
        }
    }

    /// Copies bytes and a NUL behind them, for the convenience of printf.
    unsafe fn copy(&mut self, bytes: &[u8]) -> *const u8 {
        let start = self.bytes;
        // SAFETY: the region has room for the bytes and the NUL.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
            start.add(bytes.len()).write(0);
            self.bytes = start.add(bytes.len() + 1);
        }
        start
    }
}
