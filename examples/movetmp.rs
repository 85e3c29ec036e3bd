use std::time::Instant;
use syncline::codec::Value;
use syncline::document::*;
use syncline::replica::Replica;
fn main() {
    for round in 0..5 {
        let mut d = Document::new(DocumentOptions {
            wall_clock: WallClock::System,
            ..Default::default()
        });
        let l = d
            .handler("l", &HandlerSpec::new(HandlerKind::MovableList))
            .unwrap();
        let n = 10_000u64;
        let t = Instant::now();
        for i in 0..n {
            d.list_push(l, &[Value::Int(i as i64)]).unwrap();
        }
        let push = t.elapsed();
        let mut x = 12345u64;
        let mut rnd = || {
            x = x
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (x >> 33) % n
        };
        let h0 = d.heap_bytes();
        let t = Instant::now();
        for _ in 0..n {
            d.list_move(l, rnd(), rnd()).unwrap();
        }
        let mv = t.elapsed();
        let h1 = d.heap_bytes();
        let t = Instant::now();
        for i in 0..n {
            d.list_update(l, rnd(), &Value::Int(i as i64)).unwrap();
        }
        let up = t.elapsed();
        let changes = d.all_changes();
        let mut e = Document::new(DocumentOptions::default());
        e.handler("l", &HandlerSpec::new(HandlerKind::MovableList))
            .unwrap();
        let t = Instant::now();
        e.import_changes(changes, &[], Origin::Remote).unwrap();
        let im = t.elapsed();
        assert_eq!(e.list_values(l), d.list_values(l));
        let t = Instant::now();
        d.begin(b"").unwrap();
        for _ in 0..n {
            d.list_move(l, rnd(), rnd()).unwrap();
        }
        d.commit().unwrap();
        let tx = t.elapsed();
        println!(
            "{round}: push {push:?} move {mv:?} update {up:?} import30k {im:?} moves in one tx {tx:?} heap {h0} {h1}"
        );
    }
}
