//! JSON text to messages, accepting and refusing what Dart's decoder does (specification 2.1), with
//! limits that Dart has not.

use super::constants::message_type;
use super::{Limits, Message, MessageError, RelayWelcome, payload};
use crate::clock::{PeerId, VersionVector};
use crate::codec::{Change, DecodeError, Snapshot, Value, Wtf8String, json, version_vector};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Decodes the JSON text of one message.
pub(super) fn decode(text: &[u8], limits: &Limits) -> Result<Message, MessageError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    check_shape(text, limits)?;
    let body = json::decode(text).map_err(MessageError::Json)?;
    let Value::Object(entries) = &body else {
        return Err(MessageError::NotAMessage);
    };
    let Some(Value::Int(kind)) = last(entries, "type") else {
        return Err(MessageError::NotAMessage);
    };
    let fields = Fields {
        entries,
        message_type: *kind,
        limits,
    };
    match fields.message_type {
        message_type::HANDSHAKE_REQUEST => Ok(Message::HandshakeRequest {
            document_id: fields.document_id()?,
            author: fields.author()?,
            version_vector: fields.vector("versionVector")?,
        }),
        message_type::HANDSHAKE_RESPONSE => Ok(Message::HandshakeResponse {
            document_id: fields.document_id()?,
            snapshot: fields.snapshot()?,
            changes: fields.changes_or_null()?,
            session_id: fields.text("sessionId")?,
            version_vector: fields.vector("versionVector")?,
        }),
        message_type::CHANGE => Ok(Message::Change {
            document_id: fields.document_id()?,
            change: fields.change()?,
        }),
        message_type::DOCUMENT_STATUS => Ok(Message::DocumentStatus {
            document_id: fields.document_id()?,
            snapshot: fields.snapshot()?,
            changes: fields.changes_or_null()?,
            version_vector: fields.vector("versionVector")?,
        }),
        message_type::DOCUMENT_STATUS_REQUEST => Ok(Message::DocumentStatusRequest {
            document_id: fields.document_id()?,
            version_vector: fields.vector_or_null("versionVector")?,
        }),
        message_type::PING => Ok(Message::Ping {
            document_id: fields.document_id()?,
            timestamp: fields.integer("timestamp")?,
            version_vector: fields.vector_or_null("versionVector")?,
        }),
        message_type::PONG => Ok(Message::Pong {
            document_id: fields.document_id()?,
            original_timestamp: fields.integer("originalTimestamp")?,
            response_timestamp: fields.integer("responseTimestamp")?,
        }),
        message_type::ERROR => Ok(Message::Error {
            document_id: fields.document_id()?,
            code: fields.text("code")?,
            message: fields.text("message")?,
        }),
        message_type::CHANGES => Ok(Message::Changes {
            document_id: fields.document_id()?,
            changes: fields.changes_or_null()?.ok_or(fields.invalid("changes"))?,
        }),
        message_type::RELAY_HELLO => Ok(Message::RelayHello {
            document_id: fields.document_id()?,
            author: fields.author()?,
        }),
        message_type::RELAY_WELCOME => Ok(Message::RelayWelcome(Box::new(RelayWelcome {
            document_id: fields.document_id()?,
            session_id: fields.text("sessionId")?,
            snapshot: fields.string_or_null("snapshot")?,
            changes: fields.strings("changes")?,
            seq: fields.integer("seq")?,
            log_length: fields.integer("logLength")?,
            compact: fields.boolean("compact")?,
        }))),
        message_type::RELAY_PUSH => Ok(Message::RelayPush {
            document_id: fields.document_id()?,
            changes: fields.strings("changes")?,
        }),
        message_type::RELAY_ACK => Ok(Message::RelayAck {
            document_id: fields.document_id()?,
            seq: fields.integer("seq")?,
            count: fields.integer("count")?,
            log_length: fields.integer("logLength")?,
            compact: fields.boolean("compact")?,
        }),
        message_type::RELAY_CHANGES => Ok(Message::RelayChanges {
            document_id: fields.document_id()?,
            changes: fields.strings("changes")?,
            seq: fields.integer("seq")?,
            from: fields.string_or_null("from")?,
        }),
        message_type::RELAY_SNAPSHOT_UPLOAD => Ok(Message::RelaySnapshotUpload {
            document_id: fields.document_id()?,
            snapshot: fields.string("snapshot")?.clone(),
            up_to_seq: fields.integer("upToSeq")?,
        }),
        message_type::RELAY_STATE_REQUEST => Ok(Message::RelayStateRequest {
            document_id: fields.document_id()?,
        }),
        message_type::AWARENESS_UPDATE => {
            let (client_id, metadata) = fields.presence("state", fields.value("state"))?;
            Ok(Message::AwarenessUpdate {
                document_id: fields.document_id()?,
                client_id,
                metadata,
            })
        }
        message_type::AWARENESS_QUERY => Ok(Message::AwarenessQuery {
            document_id: fields.document_id()?,
        }),
        message_type::AWARENESS_STATE => Ok(Message::AwarenessState {
            document_id: fields.document_id()?,
            states: fields.presences()?,
        }),
        message_type => {
            let document_id = match last(entries, "documentId") {
                Some(Value::String(text)) => Some(text.clone()),
                _ => None,
            };
            Ok(Message::Unknown {
                message_type,
                document_id,
                body,
            })
        }
    }
}

/// Nesting and number of values, before anything is allocated for them: two bytes of text can
/// otherwise become dozens of memory.
fn check_shape(text: &[u8], limits: &Limits) -> Result<(), MessageError> {
    let mut depth = 0usize;
    let mut values = 0usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                if depth > limits.depth_max {
                    return Err(MessageError::Limit("depth_max"));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if values > limits.values_max {
            return Err(MessageError::Limit("values_max"));
        }
    }
    Ok(())
}

/// Up to and including the closing quote.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// The last entry of a key wins, as in Dart.
fn last<'v>(entries: &'v [(Wtf8String, Value)], key: &str) -> Option<&'v Value> {
    let found = entries
        .iter()
        .rev()
        .find(|(name, _)| name.as_bytes() == key.as_bytes());
    found.map(|(_, value)| value)
}

/// The fields of one message.
struct Fields<'v> {
    entries: &'v [(Wtf8String, Value)],
    message_type: i64,
    limits: &'v Limits,
}

impl<'v> Fields<'v> {
    fn invalid(&self, field: &'static str) -> MessageError {
        MessageError::Field {
            message_type: self.message_type,
            field,
        }
    }

    fn damaged(&self, field: &'static str, error: DecodeError) -> MessageError {
        MessageError::Payload {
            message_type: self.message_type,
            field,
            error,
        }
    }

    /// The value of a field; absent is null.
    fn value(&self, field: &str) -> Option<&'v Value> {
        last(self.entries, field).filter(|value| !matches!(value, Value::Null))
    }

    fn string(&self, field: &'static str) -> Result<&'v Wtf8String, MessageError> {
        match self.value(field) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(self.invalid(field)),
        }
    }

    fn string_or_null(&self, field: &'static str) -> Result<Option<Wtf8String>, MessageError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.invalid(field)),
        }
    }

    /// Dart's decoder lets other elements pass; its servers then fail on the first use of one.
    fn strings(&self, field: &'static str) -> Result<Vec<Wtf8String>, MessageError> {
        let Some(Value::Array(values)) = self.value(field) else {
            return Err(self.invalid(field));
        };
        if values.len() > self.limits.changes_max {
            return Err(MessageError::Limit("changes_max"));
        }
        let texts = values.iter().map(|value| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.invalid(field)),
        });
        texts.collect()
    }

    fn boolean(&self, field: &'static str) -> Result<bool, MessageError> {
        match self.value(field) {
            Some(Value::Bool(value)) => Ok(*value),
            _ => Err(self.invalid(field)),
        }
    }

    /// The client and the metadata of an entry.
    fn presence(
        &self,
        field: &'static str,
        entry: Option<&Value>,
    ) -> Result<(Wtf8String, Value), MessageError> {
        let Some(Value::Object(entries)) = entry else {
            return Err(self.invalid(field));
        };
        match (last(entries, "clientId"), last(entries, "metadata")) {
            (Some(Value::String(client)), Some(metadata @ Value::Object(_))) => {
                Ok((client.clone(), metadata.clone()))
            }
            _ => Err(self.invalid(field)),
        }
    }

    fn presences(&self) -> Result<Vec<(Wtf8String, Value)>, MessageError> {
        const FIELD: &str = "awareness";
        let Some(Value::Object(awareness)) = self.value(FIELD) else {
            return Err(self.invalid(FIELD));
        };
        match (last(awareness, "documentId"), last(awareness, "states")) {
            (Some(Value::String(_)), Some(Value::Object(states))) => states
                .iter()
                .map(|(_, entry)| self.presence(FIELD, Some(entry)))
                .collect(),
            _ => Err(self.invalid(FIELD)),
        }
    }

    fn document_id(&self) -> Result<Wtf8String, MessageError> {
        let id = self.string("documentId")?;
        if id.as_bytes().len() > self.limits.document_id_bytes_max {
            return Err(MessageError::Limit("document_id_bytes_max"));
        }
        Ok(id.clone())
    }

    fn text(&self, field: &'static str) -> Result<String, MessageError> {
        self.string(field).map(Wtf8String::to_string_lossy)
    }

    fn integer(&self, field: &'static str) -> Result<i64, MessageError> {
        match self.value(field) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(self.invalid(field)),
        }
    }

    fn author(&self) -> Result<PeerId, MessageError> {
        let text = self
            .string("author")?
            .as_str()
            .ok_or(self.invalid("author"))?;
        PeerId::parse(text).map_err(|_| self.invalid("author"))
    }

    fn payload(&self, field: &'static str, value: &Value) -> Result<Vec<u8>, MessageError> {
        let Value::String(text) = value else {
            return Err(self.invalid(field));
        };
        payload::decode(text.as_bytes()).map_err(|error| self.damaged(field, error))
    }

    fn vector(&self, field: &'static str) -> Result<VersionVector, MessageError> {
        self.vector_or_null(field)?.ok_or(self.invalid(field))
    }

    fn vector_or_null(&self, field: &'static str) -> Result<Option<VersionVector>, MessageError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        let bytes = self.payload(field, value)?;
        version_vector::decode(&bytes)
            .map(Some)
            .map_err(|error| self.damaged(field, error))
    }

    /// Dart ignores trailing bytes of a snapshot, and of a snapshot only.
    fn snapshot(&self) -> Result<Option<Snapshot>, MessageError> {
        const FIELD: &str = "snapshot";
        let Some(value) = self.value(FIELD) else {
            return Ok(None);
        };
        let bytes = self.payload(FIELD, value)?;
        Snapshot::decode_lenient(&bytes)
            .map(Some)
            .map_err(|error| self.damaged(FIELD, error))
    }

    fn change(&self) -> Result<Change, MessageError> {
        let value = self.value("change").ok_or(self.invalid("change"))?;
        self.decoded_change("change", value)
    }

    fn decoded_change(&self, field: &'static str, value: &Value) -> Result<Change, MessageError> {
        let bytes = self.payload(field, value)?;
        Change::decode(&bytes).map_err(|error| self.damaged(field, error))
    }

    fn changes_or_null(&self) -> Result<Option<Vec<Change>>, MessageError> {
        const FIELD: &str = "changes";
        let values = match self.value(FIELD) {
            None => return Ok(None),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(self.invalid(FIELD)),
        };
        if values.len() > self.limits.changes_max {
            return Err(MessageError::Limit("changes_max"));
        }
        let changes = values.iter().map(|value| self.decoded_change(FIELD, value));
        changes.collect::<Result<_, _>>().map(Some)
    }
}
