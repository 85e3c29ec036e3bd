//! Changes that no honest peer would make, in two orders of arrival: nothing panics, all structures
//! stay sound, and both replicas show what a replay of the same changes shows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syncline::codec::Change;
use syncline::codec::change::encode_list;
use syncline::document::Origin;
use syncline_fuzz::{Script, changes, document};

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let with_order = script.byte();
    let changes = changes(&mut script);
    let (mut first, handlers) = document(0);
    let (mut second, _) = document(1);
    for change in &changes {
        let _ = first.apply_change(change, b"");
        first.check();
    }
    // The second hears of them in parts, the youngest first: what is not ready is offered again.
    let parts: Vec<&[Change]> = changes.chunks(1 + usize::from(with_order % 16)).collect();
    for _ in 0..parts.len() {
        for part in parts.iter().rev() {
            let list = encode_list(part.iter());
            second
                .import_list(&list, b"", Origin::Remote)
                .expect("well-formed");
        }
        if second.change_count() == first.change_count() {
            break;
        }
    }
    second.check();
    let same = second.change_count() == first.change_count();
    for handler in handlers {
        let shown = first.handler_value(handler);
        if same {
            assert_eq!(
                second.handler_value(handler),
                shown,
                "{:?}",
                first.handler_kind(handler)
            );
        }
        first.replay(handler);
        assert_eq!(
            first.handler_value(handler),
            shown,
            "{:?}",
            first.handler_kind(handler)
        );
    }
    first.check();
});
