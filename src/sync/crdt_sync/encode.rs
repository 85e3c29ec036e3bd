//! Messages to JSON text, byte for byte as Dart writes them: keys in the order of the
//! specification's table 2.3, no whitespace.

use super::constants::message_type;
use super::{Message, payload};
use crate::clock::VersionVector;
use crate::codec::{Change, Snapshot, Value, Wtf8String, json, version_vector};

/// Appends the JSON text of a message.
pub(super) fn encode(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::HandshakeRequest {
            document_id,
            author,
            version_vector,
        } => {
            let mut object = Object::begin(out, message_type::HANDSHAKE_REQUEST, document_id);
            object.text("author", &author.to_string());
            object.vector("versionVector", Some(version_vector));
            object.end();
        }
        Message::HandshakeResponse {
            document_id,
            snapshot,
            changes,
            session_id,
            version_vector,
        } => {
            let mut object = Object::begin(out, message_type::HANDSHAKE_RESPONSE, document_id);
            object.snapshot(snapshot.as_ref());
            object.changes(changes.as_deref());
            object.text("sessionId", session_id);
            object.vector("versionVector", Some(version_vector));
            object.end();
        }
        Message::Change {
            document_id,
            change,
        } => {
            let mut object = Object::begin(out, message_type::CHANGE, document_id);
            object.key("change");
            object.payload(&change.encode());
            object.end();
        }
        Message::DocumentStatus {
            document_id,
            snapshot,
            changes,
            version_vector,
        } => {
            let mut object = Object::begin(out, message_type::DOCUMENT_STATUS, document_id);
            object.snapshot(snapshot.as_ref());
            object.changes(changes.as_deref());
            object.vector("versionVector", Some(version_vector));
            object.end();
        }
        Message::DocumentStatusRequest {
            document_id,
            version_vector,
        } => {
            let mut object = Object::begin(out, message_type::DOCUMENT_STATUS_REQUEST, document_id);
            object.vector("versionVector", version_vector.as_ref());
            object.end();
        }
        Message::Ping {
            document_id,
            timestamp,
            version_vector,
        } => {
            let mut object = Object::begin(out, message_type::PING, document_id);
            object.integer("timestamp", *timestamp);
            // The one field that is left out instead of written as null.
            if version_vector.is_some() {
                object.vector("versionVector", version_vector.as_ref());
            }
            object.end();
        }
        Message::Pong {
            document_id,
            original_timestamp,
            response_timestamp,
        } => {
            let mut object = Object::begin(out, message_type::PONG, document_id);
            object.integer("originalTimestamp", *original_timestamp);
            object.integer("responseTimestamp", *response_timestamp);
            object.end();
        }
        Message::Error {
            document_id,
            code,
            message,
        } => {
            let mut object = Object::begin(out, message_type::ERROR, document_id);
            object.text("code", code);
            object.text("message", message);
            object.end();
        }
        Message::Changes {
            document_id,
            changes,
        } => {
            let mut object = Object::begin(out, message_type::CHANGES, document_id);
            object.changes(Some(changes));
            object.end();
        }
        Message::RelayHello {
            document_id,
            author,
        } => {
            let mut object = Object::begin(out, message_type::RELAY_HELLO, document_id);
            object.text("author", &author.to_string());
            object.end();
        }
        Message::RelayWelcome(welcome) => {
            let kind = message_type::RELAY_WELCOME;
            let mut object = Object::begin(out, kind, &welcome.document_id);
            object.text("sessionId", &welcome.session_id);
            object.opaque("snapshot", welcome.snapshot.as_ref());
            object.opaques("changes", &welcome.changes);
            object.integer("seq", welcome.seq);
            object.integer("logLength", welcome.log_length);
            object.boolean("compact", welcome.compact);
            object.end();
        }
        Message::RelayPush {
            document_id,
            changes,
        } => {
            let mut object = Object::begin(out, message_type::RELAY_PUSH, document_id);
            object.opaques("changes", changes);
            object.end();
        }
        Message::RelayAck {
            document_id,
            seq,
            count,
            log_length,
            compact,
        } => {
            let mut object = Object::begin(out, message_type::RELAY_ACK, document_id);
            object.integer("seq", *seq);
            object.integer("count", *count);
            object.integer("logLength", *log_length);
            object.boolean("compact", *compact);
            object.end();
        }
        Message::RelayChanges {
            document_id,
            changes,
            seq,
            from,
        } => {
            let mut object = Object::begin(out, message_type::RELAY_CHANGES, document_id);
            object.opaques("changes", changes);
            object.integer("seq", *seq);
            object.opaque("from", from.as_ref());
            object.end();
        }
        Message::RelaySnapshotUpload {
            document_id,
            snapshot,
            up_to_seq,
        } => {
            let mut object = Object::begin(out, message_type::RELAY_SNAPSHOT_UPLOAD, document_id);
            object.opaque("snapshot", Some(snapshot));
            object.integer("upToSeq", *up_to_seq);
            object.end();
        }
        Message::RelayStateRequest { document_id } => {
            Object::begin(out, message_type::RELAY_STATE_REQUEST, document_id).end();
        }
        Message::AwarenessUpdate {
            document_id,
            client_id,
            metadata,
        } => {
            let mut object = Object::begin(out, message_type::AWARENESS_UPDATE, document_id);
            object.key("state");
            object.presence(client_id, metadata);
            object.end();
        }
        Message::AwarenessQuery { document_id } => {
            Object::begin(out, message_type::AWARENESS_QUERY, document_id).end();
        }
        Message::AwarenessState {
            document_id,
            states,
        } => {
            let mut object = Object::begin(out, message_type::AWARENESS_STATE, document_id);
            object.key("awareness");
            object.presences(document_id, states);
            object.end();
        }
        Message::Unknown { body, .. } => {
            json::encode(body, out).expect("the body came out of JSON text");
        }
    }
}

/// A JSON object being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>, message_type: i64, document_id: &Wtf8String) -> Self {
        out.extend_from_slice(b"{\"type\":");
        let mut object = Object { out };
        object.digits(message_type);
        object.key("documentId");
        json::encode_string(document_id, object.out);
        object
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn digits(&mut self, value: i64) {
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        self.digits(value);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        json::encode_string(&Wtf8String::from(text), self.out);
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        payload::encode(bytes, self.out);
        self.out.push(b'"');
    }

    fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(text);
    }

    fn opaque(&mut self, key: &str, text: Option<&Wtf8String>) {
        self.key(key);
        match text {
            Some(text) => json::encode_string(text, self.out),
            None => self.null(),
        }
    }

    fn opaques(&mut self, key: &str, texts: &[Wtf8String]) {
        self.key(key);
        self.out.push(b'[');
        for (at, text) in texts.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            json::encode_string(text, self.out);
        }
        self.out.push(b']');
    }

    fn presence(&mut self, client_id: &Wtf8String, metadata: &Value) {
        self.out.extend_from_slice(b"{\"clientId\":");
        json::encode_string(client_id, self.out);
        self.key("metadata");
        json::encode(metadata, self.out).expect("checked when it came in");
        self.out.push(b'}');
    }

    fn presences(&mut self, document_id: &Wtf8String, states: &[(Wtf8String, Value)]) {
        self.out.extend_from_slice(b"{\"documentId\":");
        json::encode_string(document_id, self.out);
        self.out.extend_from_slice(b",\"states\":{");
        for (at, (client_id, metadata)) in states.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            json::encode_string(client_id, self.out);
            self.out.push(b':');
            self.presence(client_id, metadata);
        }
        self.out.extend_from_slice(b"}}");
    }

    fn vector(&mut self, key: &str, vector: Option<&VersionVector>) {
        self.key(key);
        match vector {
            Some(vector) => self.payload(&version_vector::encode(vector)),
            None => self.null(),
        }
    }

    fn snapshot(&mut self, snapshot: Option<&Snapshot>) {
        self.key("snapshot");
        match snapshot {
            Some(snapshot) => self.payload(&snapshot.encode()),
            None => self.null(),
        }
    }

    fn changes(&mut self, changes: Option<&[Change]>) {
        self.key("changes");
        let Some(changes) = changes else {
            self.null();
            return;
        };
        self.out.push(b'[');
        for (at, change) in changes.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.payload(&change.encode());
        }
        self.out.push(b']');
    }
}
