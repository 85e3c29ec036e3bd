//! Dart's JSON text (specification 1.4), byte for byte.
//!
//! Own code, because general JSON libraries carry neither lone surrogates nor the difference
//! between `1` and `1.0`, and because the text that is written must equal Dart's for snapshots to
//! be equal. Reading is one pass of recursive descent over text that is known to be UTF-8.

use super::bytes::text as utf8;
use super::value_tree::{Position, Step};
use super::wtf8::{Wtf8String, decode_to_utf16};
use super::{DecodeError, Value};
use std::fmt;
use std::io::Write as _;

/// A value JSON cannot carry: NaN, infinity, bytes, or nested deeper than [`DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedValue;

impl fmt::Display for UnsupportedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON cannot carry this value")
    }
}

impl std::error::Error for UnsupportedValue {}

/// How deep lists and objects may be nested, when read and when written as the value of a handler:
/// reading recurses and needs a bound that any thread's stack can take.
pub const DEPTH_MAX: usize = 128;

/// Reads one value.
///
/// # Errors
/// Anything but strict JSON in UTF-8 (one leading byte order mark is dropped), or deeper nesting
/// than [`DEPTH_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let text = utf8(bytes)?;
    let mut parser = Parser { text, at: 0 };
    let base = bytes.len() - text.len();
    parser.document().map_err(|error| DecodeError {
        offset: base + error.offset,
        ..error
    })
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset; always at a character boundary when text is sliced.
    at: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, DecodeError> {
        let value = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(value),
            Some(_) => self.fail("the end of the JSON text"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError {
            offset: self.at,
            expected,
        })
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is next.
    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    /// `depth` is how many lists and objects are open around the value.
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.skip_space();
        match self.peek() {
            Some(b'[' | b'{') if depth == DEPTH_MAX => self.fail("JSON nested less deeply"),
            Some(b'[') => self.array(depth + 1),
            Some(b'{') => self.object(depth + 1),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            _ => self.fail("a JSON value"),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, DecodeError> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail("a JSON value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.eat(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            if self.eat(b']') {
                // Many small lists must not each keep room to grow.
                items.shrink_to_fit();
                return Ok(Value::Array(items));
            }
            if !self.eat(b',') {
                return self.fail("`,` or `]`");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fail("the key of an object");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return self.fail("`:`");
            }
            members.push((key, self.value(depth)?));
            self.skip_space();
            if self.eat(b'}') {
                let mut members = unique(members);
                members.shrink_to_fit();
                return Ok(Value::Object(members));
            }
            if !self.eat(b',') {
                return self.fail("`,` or `}`");
            }
        }
    }

    fn string(&mut self) -> Result<Wtf8String, DecodeError> {
        let mut string = Wtf8String::default();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let stop = rest
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(stop) = stop else {
                self.at = self.text.len();
                return self.fail("the end of a JSON string");
            };
            string.push_str(&rest[..stop]);
            self.at += stop;
            match rest.as_bytes()[stop] {
                b'"' => {
                    self.at += 1;
                    return Ok(string);
                }
                b'\\' => string.push_unit(self.escape()?),
                _ => return self.fail("control characters of a JSON string as escapes"),
            }
        }
    }

    fn escape(&mut self) -> Result<u16, DecodeError> {
        self.at += 1;
        let unit = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 0x0c,
            Some(b'r') => b'\r',
            Some(b'u') => return self.escape_unit(),
            _ => return self.fail("a JSON escape"),
        };
        self.at += 1;
        Ok(u16::from(unit))
    }

    fn escape_unit(&mut self) -> Result<u16, DecodeError> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| (byte as char).to_digit(16));
            let Some(digit) = digit else {
                return self.fail("four hexadecimal digits");
            };
            unit = unit << 4 | digit as u16;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Value, DecodeError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let mut integer = true;
        if self.eat(b'.') {
            integer = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if integer {
            if let Ok(number) = number.parse() {
                return Ok(Value::Int(number));
            }
        }
        let number = number.parse().expect("the grammar was checked");
        Ok(Value::Double(number))
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail("a digit");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }
}

/// A repeated key keeps its first place and takes the last value. By sorting, since keys come from
/// outside and may be many.
fn unique(mut members: Vec<(Wtf8String, Value)>) -> Vec<(Wtf8String, Value)> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    // Stable: equal keys stay in the order of the text.
    order.sort_by(|&a, &b| members[a].0.cmp(&members[b].0));
    if order
        .windows(2)
        .all(|pair| members[pair[0]].0 != members[pair[1]].0)
    {
        return members;
    }
    let mut keep = vec![false; members.len()];
    let mut first = order[0];
    for &at in &order {
        if members[at].0 != members[first].0 || at == first {
            first = at;
            keep[at] = true;
        } else {
            members[first].1 = std::mem::replace(&mut members[at].1, Value::Null);
        }
    }
    let kept = members.into_iter().zip(keep).filter(|(_, keep)| *keep);
    kept.map(|(member, _)| member).collect()
}

/// Appends the text Dart writes for the value.
///
/// # Errors
/// JSON cannot carry the value, or it is nested deeper than [`DEPTH_MAX`], so that it could not be
/// read again; nothing has been appended.
pub fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), UnsupportedValue> {
    encode_within(value, DEPTH_MAX, out)
}

/// As [`encode`], however deeply the value is nested: for resolved trees, which nobody reads back
/// into a handler.
///
/// # Errors
/// JSON cannot carry the value; nothing has been appended.
pub fn encode_tree(value: &Value, out: &mut Vec<u8>) -> Result<(), UnsupportedValue> {
    encode_within(value, usize::MAX, out)
}

fn encode_within(
    value: &Value,
    depth_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), UnsupportedValue> {
    let start = out.len();
    let result = value.walk(|step, at| write_step(step, at, depth_max, out));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write_step(
    step: Step<'_>,
    at: Position<'_>,
    depth_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), UnsupportedValue> {
    let value = match step {
        Step::Enter(value) => value,
        Step::Leave(value) => {
            out.push(if matches!(value, Value::Array(_)) {
                b']'
            } else {
                b'}'
            });
            return Ok(());
        }
    };
    if at.nth > 0 {
        out.push(b',');
    }
    if let Some(key) = at.key {
        encode_string(key, out);
        out.push(b':');
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_int(*number, out),
        Value::Double(number) => write_double(*number, out)?,
        Value::String(text) => encode_string(text, out),
        Value::Bytes(_) | Value::Reference(_) => return Err(UnsupportedValue),
        Value::Array(_) | Value::Object(_) if at.depth >= depth_max => {
            return Err(UnsupportedValue);
        }
        Value::Array(_) => out.push(b'['),
        Value::Object(_) => out.push(b'{'),
    }
    Ok(())
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Whether these bytes are what [`encode`] writes for the value that they are, and that can be told
/// at a glance: null, true, false, integers, strings without escapes. False may mean either.
pub fn is_plainly_canonical(bytes: &[u8]) -> bool {
    // One digit less than the largest integer has.
    const DIGITS_MAX: usize = 18;
    match bytes {
        b"null" | b"true" | b"false" | b"0" => true,
        [b'-', digits @ ..] | digits @ [b'1'..=b'9', ..] => {
            matches!(digits[..], [b'1'..=b'9', ..])
                && digits.len() <= DIGITS_MAX
                && digits.iter().all(u8::is_ascii_digit)
        }
        [b'"', text @ .., b'"'] => {
            let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
            text.iter().all(is_plain) && (text.is_ascii() || std::str::from_utf8(text).is_ok())
        }
        _ => false,
    }
}

/// Shortest digits that read back as the same number; plain decimal from 1e-6 up to below 1e21.
fn write_double(number: f64, out: &mut Vec<u8>) -> Result<(), UnsupportedValue> {
    if !number.is_finite() {
        return Err(UnsupportedValue);
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("written as an integer");
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let mut text = String::with_capacity(32);
    if (-6..21).contains(&exponent) {
        let digits = mantissa.replace('.', "");
        write_plain(&digits, exponent, &mut text);
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        text = format!("{mantissa}e{sign}{}", exponent.unsigned_abs());
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// `digits` with the point behind digit number `exponent`, and always a fraction.
fn write_plain(digits: &str, exponent: i32, text: &mut String) {
    let Ok(exponent) = usize::try_from(exponent) else {
        let zeros = exponent.unsigned_abs() as usize - 1;
        text.push_str("0.");
        text.extend(std::iter::repeat_n('0', zeros));
        return text.push_str(digits);
    };
    let whole = exponent + 1;
    if digits.len() > whole {
        text.push_str(&digits[..whole]);
        text.push('.');
        text.push_str(&digits[whole..]);
    } else {
        text.push_str(digits);
        text.extend(std::iter::repeat_n('0', whole - digits.len()));
        text.push_str(".0");
    }
}

/// Appends a JSON string literal for text.
pub fn encode_string(text: &Wtf8String, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        // Only a lone surrogate has this second byte after 0xed.
        let surrogate = bytes[at] == 0xed && bytes[at + 1] >= 0xa0;
        if !surrogate && !matches!(bytes[at], b'"' | b'\\' | 0..=0x1f) {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        let len = if surrogate { 3 } else { 1 };
        write_escape(&bytes[at..at + len], out);
        at += len;
        start = at;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

fn write_escape(form: &[u8], out: &mut Vec<u8>) {
    let short = match form[0] {
        byte @ (b'"' | b'\\') => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let mut units = Vec::with_capacity(1);
            decode_to_utf16(form, &mut units).expect("a whole character");
            return write!(out, "\\u{:04x}", units[0]).expect("writing to memory cannot fail");
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reencoded(text: &str) -> String {
        let mut out = Vec::new();
        encode(&decode(text.as_bytes()).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn repeated_keys_keep_the_first_place_and_the_last_value() {
        let text = r#"{"b":1,"a":2,"b":3,"c":4,"a":5,"b":6}"#;
        assert_eq!(reencoded(text), r#"{"b":6,"a":5,"c":4}"#);
    }

    #[test]
    fn depth_is_bounded_when_read_and_when_written() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(reencoded(&nested(DEPTH_MAX)), nested(DEPTH_MAX));
        assert!(decode(nested(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(decode("[".repeat(1 << 20).as_bytes()).is_err());
        let deeper = Value::Array(vec![decode(nested(DEPTH_MAX).as_bytes()).unwrap()]);
        let mut out = b"kept".to_vec();
        assert_eq!(encode(&deeper, &mut out), Err(UnsupportedValue));
        assert_eq!(out, b"kept");
    }

    #[test]
    fn doubles_change_form_exactly_at_the_limits() {
        for (number, text) in [
            (1e-6, "0.000001"),
            (9.999999999999997e-7, "9.999999999999997e-7"),
            (999999999999999900000.0, "999999999999999900000.0"),
            (1e21, "1e+21"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (120.0, "120.0"),
        ] {
            let mut out = Vec::new();
            encode(&Value::Double(number), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    /// What is told at a glance is so; and what is written for plain values can be told.
    #[test]
    fn plainly_canonical_text_is_canonical() {
        let mut plain = 0;
        let pieces = [
            "-", "0", "1", "9", "\"", "a", "\\", "\u{e9}", "\u{1}", "\u{7f}", " ", "null",
            "\u{feff}",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    let text = [a, b, c].concat();
                    if is_plainly_canonical(text.as_bytes()) {
                        assert_eq!(reencoded(&text), text);
                        plain += 1;
                    }
                }
            }
        }
        assert!(plain > 30, "{plain}");
        for number in [0, 7, -7, 10, 999_999_999_999_999_999, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            encode(&Value::Int(number), &mut out).unwrap();
            assert_eq!(String::from_utf8(out.clone()).unwrap(), number.to_string());
            assert_eq!(is_plainly_canonical(&out), out.len() < 19);
        }
        assert!(!is_plainly_canonical(b"\"\xff\""));
        assert!(!is_plainly_canonical(b"\xed\xa0\x80"));
    }

    #[test]
    fn offsets_of_faults_count_from_the_first_byte() {
        assert_eq!(decode(b"[1,x]").unwrap_err().offset, 3);
        assert_eq!(decode("\u{feff}[1,x]".as_bytes()).unwrap_err().offset, 6);
        assert_eq!(decode(b"\"\xff\"").unwrap_err().offset, 1);
    }
}
