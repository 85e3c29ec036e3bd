//! Trees of handlers: types, what was made, resolved values.

use super::super::common::{list, text, units};
use super::{Player, spec_of};
use serde_json::Value as Json;
use syncline::codec::{Value, Wtf8String};
use syncline::document::HandlerSpec;

/// Plays the step if it is one of these; false if not.
pub fn step(player: &mut Player, peer: usize, step: &Json) -> bool {
    let document = &mut player.documents[peer];
    if let Some(types) = step.get("factories") {
        match types {
            Json::String(_) => document.register_default_types(),
            _ => {
                let spec = HandlerSpec {
                    type_tag: text(&types[0]).to_owned(),
                    ..spec_of(text(&types[1]), text(&types[2]))
                };
                document.register_type(&spec).unwrap();
            }
        }
    } else if step.get("reconstruct").is_some() {
        document.reconstruct();
    } else if let Some(expected) = step.get("roots") {
        let roots = document.roots();
        let ids: Vec<&str> = roots
            .iter()
            .map(|root| document.handler_id(*root))
            .collect();
        assert_eq!(ids, list(expected).iter().map(text).collect::<Vec<_>>());
    } else if let Some(expected) = step.get("handlers") {
        let made: Vec<(&str, &str)> = document
            .handlers()
            .map(|handler| (document.handler_id(handler), document.handler_type(handler)))
            .collect();
        let expected: Vec<(&str, &str)> = list(expected)
            .iter()
            .map(|entry| (text(&entry[0]), text(&entry[1])))
            .collect();
        assert_eq!(made, expected);
    } else if let Some(expected) = step.get("resolved") {
        let handler = document.find_handler(text(&step["h"])).unwrap();
        let shown = document.resolved(handler).unwrap();
        assert_eq!(sorted(&shown), sorted(&tree(expected)), "{step}");
    } else {
        return false;
    }
    document.check();
    true
}

/// A resolved value of the vectors.
fn tree(json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::Array(items.iter().map(tree).collect()),
        Json::Object(members) if members.contains_key("u16") => {
            Value::String(Wtf8String::from_utf16(&units(json)))
        }
        Json::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(key, item)| (key.as_str().into(), tree(item)))
                    .collect(),
            )
        }
        leaf => super::value(leaf),
    }
}

/// The order of maps is not compared.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Vec<(Wtf8String, Value)> = members
                .iter()
                .map(|(key, item)| (key.clone(), sorted(item)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members)
        }
        leaf => leaf.clone(),
    }
}
