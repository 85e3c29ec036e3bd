//! Every decoder of the crdt_lf forms: no input may make it panic, and what it accepts is written
//! back in a form that it reads as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syncline::clock::{OperationId, PeerId, VersionVector};
use syncline::codec::change::{decode_list, decode_list_views, encode_list};
use syncline::codec::{
    Change, ElementId, Envelope, HandlerRef, Snapshot, json, version_vector, wtf8,
};

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which % 10 {
        0 => {
            if let Ok(change) = Change::decode(bytes) {
                assert_eq!(Change::decode(&change.encode()).as_ref(), Ok(&change));
                let _ = change.envelope();
            }
        }
        1 => {
            let changes = decode_list(bytes);
            let views = decode_list_views(bytes);
            assert_eq!(changes.is_ok(), views.is_ok());
            if let (Ok(changes), Ok(views)) = (changes, views) {
                let viewed: Vec<Change> = views.iter().map(|view| view.to_change()).collect();
                assert_eq!(changes, viewed);
                assert_eq!(decode_list(&encode_list(changes.iter())), Ok(changes));
            }
        }
        2 => {
            if let Ok(snapshot) = Snapshot::decode(bytes) {
                let again = Snapshot::decode(&snapshot.encode()).expect("written here");
                assert_eq!(again.entries(), snapshot.entries());
                assert_eq!(again.vector(), snapshot.vector());
            }
            let _ = Snapshot::decode_lenient(bytes);
        }
        3 => {
            if let Ok(vector) = version_vector::decode(bytes) {
                let again: VersionVector =
                    version_vector::decode(&version_vector::encode(&vector)).expect("written here");
                assert_eq!(again, vector);
            }
        }
        4 => {
            if let Ok(value) = json::decode(bytes) {
                let mut text = Vec::new();
                if json::encode(&value, &mut text).is_ok() {
                    assert_eq!(json::decode(&text), Ok(value));
                }
            }
        }
        5 => {
            let mut units = Vec::new();
            if wtf8::decode_to_utf16(bytes, &mut units).is_ok() {
                let (mut written, mut again) = (Vec::new(), Vec::new());
                wtf8::encode_utf16(&units, &mut written);
                wtf8::decode_to_utf16(&written, &mut again).expect("written here");
                assert_eq!(again, units);
            }
        }
        6 => {
            if let Ok(id) = ElementId::decode(bytes) {
                let mut written = Vec::new();
                ElementId::write(id, &mut written);
                assert_eq!(ElementId::decode(&written), Ok(id));
            }
        }
        7 => {
            if let Ok(envelope) = Envelope::decode(bytes) {
                let mut written = Vec::new();
                envelope.encode(&mut written);
                let again = Envelope::decode(&written).expect("written here");
                assert_eq!(again.body, envelope.body);
                assert_eq!(again.handler_id, envelope.handler_id);
            }
        }
        8 => {
            if let Ok(target) = HandlerRef::decode(bytes) {
                let mut written = Vec::new();
                target.encode(&mut written);
                // A byte order mark at the front of a name is read away, once per reading.
                let _ = HandlerRef::decode(&written);
            }
        }
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let _ = PeerId::parse(&text);
            let _ = OperationId::parse(&text);
            let _ = ElementId::parse(&text);
        }
    }
});
