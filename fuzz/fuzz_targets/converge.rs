//! Random edits, transactions, exchanges and snapshots of three replicas with all handlers: they
//! converge, and every replica shows what a replay of its changes shows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syncline::codec::{HandlerRef, Value};
use syncline::document::{Document, DocumentOptions, HandlerIdx, HandlerKind, Origin};
use syncline::replica::Replica;
use syncline_fuzz::{PEERS, Script, document};

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let mut replicas: Vec<(Document, Vec<HandlerIdx>)> = (0..PEERS).map(document).collect();
    let mut steps = 0;
    while !script.is_at_end() && steps < 300 {
        steps += 1;
        let at = script.below(PEERS);
        match script.below(10) {
            0 => {
                let _ = replicas[at].0.begin(b"");
            }
            1 => {
                let _ = replicas[at].0.commit();
            }
            2 if script.below(4) == 0 => {
                let _ = replicas[at].0.rollback();
            }
            3 => {
                let from = script.below(PEERS);
                exchange(&mut replicas, from, at);
            }
            _ => {
                let (document, handlers) = &mut replicas[at];
                let handler = handlers[script.below(handlers.len())];
                // Positions past the end and the like are refused.
                let _ = edit(document, handler, &mut script);
            }
        }
        replicas[at].0.check();
    }
    for (document, _) in &mut replicas {
        while document.in_transaction() {
            document.commit().expect("open");
        }
    }
    for from in 0..PEERS {
        for to in 0..PEERS {
            exchange(&mut replicas, from, to);
        }
    }
    for from in 0..PEERS {
        exchange(&mut replicas, from, 0);
        exchange(&mut replicas, 0, from);
    }
    let (mut first, handlers) = replicas.swap_remove(0);
    reopen(&mut first);
    for (mut other, _) in replicas {
        assert_eq!(other.version_vector(), first.version_vector());
        for handler in &handlers {
            let kind = first.handler_kind(*handler);
            assert_eq!(
                other.handler_value(*handler),
                first.handler_value(*handler),
                "{kind:?}"
            );
            let shown = other.handler_value(*handler);
            other.replay(*handler);
            assert_eq!(other.handler_value(*handler), shown, "{kind:?} replayed");
        }
        other.check();
    }
});

/// A document that was stored and opened shows the same and has the same changes.
fn reopen(document: &mut Document) {
    let bytes = document.native_snapshot(true).expect("all kinds are known");
    let opened = Document::open_native(&bytes, DocumentOptions::default()).expect("written here");
    opened.check();
    assert_eq!(opened.export_list(), document.export_list());
    for handler in document.handlers() {
        let same = opened
            .find_handler(document.handler_id(handler))
            .expect("stored with it");
        assert_eq!(opened.handler_value(same), document.handler_value(handler));
    }
}

fn exchange(replicas: &mut [(Document, Vec<HandlerIdx>)], from: usize, to: usize) {
    if from == to {
        return;
    }
    let seen = replicas[to].0.version_vector();
    let done = match (from + to) % 2 {
        0 => {
            let changes = replicas[from].0.changes_newer_than(&seen);
            replicas[to]
                .0
                .import_changes(changes, b"", Origin::Remote)
                .expect("honest changes")
        }
        _ => {
            let bytes = replicas[from].0.export_native(&seen);
            replicas[to]
                .0
                .import_native(&bytes, b"", Origin::Remote)
                .expect("honest changes")
        }
    };
    assert_eq!(done.not_ready, 0);
}

fn edit(
    document: &mut Document,
    handler: HandlerIdx,
    script: &mut Script<'_>,
) -> Result<(), syncline::document::DocumentError> {
    const KEYS: [&str; 3] = ["a", "b", ""];
    let kind = document.handler_kind(handler);
    let (index, count) = (script.byte() as u64, 1 + script.below(4) as u64);
    let action = script.below(4);
    match kind {
        HandlerKind::Text | HandlerKind::FugueText => {
            let length = document.text_len_utf16(handler);
            let index = index % (length + 1);
            let text = ["a", "bcd", "\u{e9}", "\u{1f600}"][script.below(4)];
            let units: Vec<u16> = text.encode_utf16().collect();
            match action {
                1 => document.text_remove(handler, index, count),
                2 => document.text_update_utf16(handler, index, &units),
                3 if script.below(8) == 0 => document.text_set(handler, &units),
                _ => document.text_insert(handler, index, text),
            }
        }
        HandlerKind::Map | HandlerKind::MapRef | HandlerKind::OrMap => {
            let key = KEYS[script.below(3)];
            match action {
                1 => document.map_remove(handler, key),
                2 if kind != HandlerKind::OrMap => {
                    document.map_update(handler, key, &value(script, kind))
                }
                _ => document.map_set(handler, key, &value(script, kind)),
            }
        }
        HandlerKind::Register => document.register_set(handler, &value(script, kind)),
        HandlerKind::OrSet => match action {
            1 => document.set_remove(handler, &value(script, kind)),
            _ => document.set_add(handler, &value(script, kind)),
        },
        _ => {
            let length = document.list_len(handler);
            let index = index % (length + 1);
            let value = value(script, kind);
            match action {
                1 => document.list_remove(handler, index, count),
                2 => document.list_update(handler, index, &value),
                3 if matches!(kind, HandlerKind::MovableList | HandlerKind::MovableListRef) => {
                    document.list_move(handler, index, u64::from(script.byte()) % (length + 1))
                }
                _ => document.list_insert(handler, index, &[value]),
            }
        }
    }
}

fn value(script: &mut Script<'_>, kind: HandlerKind) -> Value {
    if kind.is_container() {
        return Value::Reference(HandlerRef {
            type_tag: "CRDTTextHandler".into(),
            id: ["x", "y"][script.below(2)].into(),
        });
    }
    match script.below(6) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::Double(1.0),
        3 => Value::from("x"),
        4 => Value::Array(vec![Value::Int(1)]),
        _ => Value::Int(1),
    }
}
