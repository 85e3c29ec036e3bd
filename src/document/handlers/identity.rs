//! When two values are the same element (specification 9.7): as Dart's `==` has it.
//!
//! Every value gets an *identity*, bytes that equal values share, and a *form* that tells which of
//! the equal values it is. Only numbers have more than one form: `1`, `1.0`; `0`, `0.0`, `-0.0`.

use crate::codec::{DecodeError, Value};
use crate::document::ValueCodec;

/// A value with its identity.
#[derive(Clone, Debug)]
pub(crate) struct Identified {
    /// Bytes of the value's codec: the value itself, but for its form.
    pub identity: Box<[u8]>,
    /// Which of the values with this identity it is.
    pub form: Form,
    /// False for lists and objects, which equal nothing, not even themselves.
    pub comparable: bool,
}

/// Which of the values with one identity a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the identity has it.
    Plain,
    /// A double, where the identity is an integer.
    Double,
    /// -0.0, whose identity is 0.
    NegativeZero,
}

impl Identified {
    /// Reads a value of the wire.
    ///
    /// # Errors
    /// The codec cannot decode it.
    pub(crate) fn read(codec: ValueCodec, bytes: &[u8]) -> Result<Self, DecodeError> {
        let value = codec.decode(bytes)?;
        let comparable = !matches!(value, Value::Array(_) | Value::Object(_));
        let (identity, form) = match value {
            Value::Double(number) if is_int(number) => {
                // -0.0 casts to 0; within the bounds the cast is exact.
                let negative_zero = number == 0.0 && number.is_sign_negative();
                let form = if negative_zero {
                    Form::NegativeZero
                } else {
                    Form::Double
                };
                (Box::from((number as i64).to_string().as_bytes()), form)
            }
            // JSON has no infinity; these texts overflow to it.
            Value::Double(f64::INFINITY) => (Box::from(*b"1e999"), Form::Plain),
            Value::Double(f64::NEG_INFINITY) => (Box::from(*b"-1e999"), Form::Plain),
            _ => (codec.canonical(bytes)?, Form::Plain),
        };
        Ok(Identified {
            identity,
            form,
            comparable,
        })
    }
}

impl Form {
    /// The value with this identity and form.
    pub(crate) fn show(self, codec: ValueCodec, identity: &[u8]) -> Value {
        match (self, codec.stored(identity)) {
            (Form::Double, Value::Int(number)) => Value::Double(number as f64),
            (Form::NegativeZero, _) => Value::Double(-0.0),
            (_, value) => value,
        }
    }
}

/// Whether an integer of 64 bits equals the number.
fn is_int(number: f64) -> bool {
    // 2^63: the first integer that does not fit.
    const END: f64 = 9_223_372_036_854_775_808.0;
    number.fract() == 0.0 && (-END..END).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_identified_by_value_and_keep_their_form() {
        let read = |text: &str| Identified::read(ValueCodec::Json, text.as_bytes()).unwrap();
        for group in [
            &["0", "-0", "0.0", "-0.0", "1e-400"][..],
            &["12", "12.0", "1.2e1", " 12 "],
            &["-9223372036854775808", "-9223372036854775808.0"],
            &[
                "9223372036854775808",
                "9223372036854775808.0",
                "9223372036854775807.0",
            ],
            &["1e400", "1e999", "1e401"],
            &["0.5", "5e-1"],
        ] {
            for text in group {
                let value = read(text);
                assert_eq!(value.identity, read(group[0]).identity, "{text}");
                let shown = value.form.show(ValueCodec::Json, &value.identity);
                let decoded = ValueCodec::Json.decode(text.as_bytes()).unwrap();
                assert_eq!(format!("{shown:?}"), format!("{decoded:?}"));
            }
        }
        let different = [
            "0",
            "1",
            "\"1\"",
            "true",
            "9007199254740993",
            "9007199254740992",
            "1e999",
        ];
        for (at, text) in different.iter().enumerate() {
            for other in &different[at + 1..] {
                assert_ne!(read(text).identity, read(other).identity);
            }
        }
    }

    #[test]
    fn lists_and_objects_equal_nothing() {
        let comparable = |text: &[u8]| Identified::read(ValueCodec::Json, text).unwrap().comparable;
        assert!(!comparable(b"[]") && !comparable(b"{}"));
        assert!(comparable(b"null") && comparable(b"\"[]\""));
        assert!(
            Identified::read(ValueCodec::Bytes, b"[]")
                .unwrap()
                .comparable
        );
    }
}
