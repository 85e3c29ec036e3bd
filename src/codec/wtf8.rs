//! WTF-8: text that may hold lone surrogates (specification 1.3). STUB, owned by the codec work.
/// Text as Dart has it: UTF-16 that may hold lone surrogates, kept as WTF-8 bytes (identical to UTF-8 where there are none).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wtf8String { bytes: Vec<u8> }
impl Wtf8String {
    pub fn from_utf16(_units: &[u16]) -> Self { todo!() }
    pub fn to_utf16(&self) -> Vec<u16> { todo!() }
    /// None when it holds lone surrogates.
    pub fn as_str(&self) -> Option<&str> { todo!() }
    /// Lone surrogates become U+FFFD.
    pub fn to_string_lossy(&self) -> String { todo!() }
    pub fn as_bytes(&self) -> &[u8] { &self.bytes }
}
impl From<&str> for Wtf8String { fn from(text: &str) -> Self { Wtf8String { bytes: text.as_bytes().to_vec() } } }
impl From<String> for Wtf8String { fn from(text: String) -> Self { Wtf8String { bytes: text.into_bytes() } } }
/// Lenient decoding exactly as the table of 1.3; appends UTF-16 units.
pub fn decode_to_utf16(_bytes: &[u8], _out: &mut Vec<u16>) -> Result<(), crate::codec::DecodeError> { todo!() }
/// Appends the WTF-8 form (pairs become 4 bytes).
pub fn encode_utf16(_units: &[u16], _out: &mut Vec<u8>) { todo!() }
