//! What bytes cost on their way into a guest and out of it: as dynamic values, as this crate moves them, and as the
//! engine's typed functions do, which write no MessagePack. `cargo bench -p mesh-transcode`; MILLIS=500 for each row.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, reason = "a program")]

#[path = "../tests/transcode/oracle.rs"]
mod oracle;

use std::time::{Duration, Instant};

use bytes::Bytes;
use mesh_lattice::value::{Type, Value};
use mesh_transcode::Export;
use wasmtime::{
    Engine, Store,
    component::{Component, Func, Instance, Linker, Val},
};

use oracle::block_on;

/// A guest that takes bytes where it took the last ones, and hands over as many of its memory as it is asked for.
const GUEST: &str = r#"(component
  (core module $m
    (memory (export "memory") 64)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "take") (param i32 i32))
    (func (export "give") (param i32) (result i32)
      (i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (local.get 0)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "x" (list u8))
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "give") (param "length" u32) (result (list u8))
    (canon lift (core func $i "give") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
)"#;

fn main() {
    let millis = std::env::var("MILLIS").ok().and_then(|millis| millis.parse().ok()).unwrap_or(500);
    let engine = Engine::default();
    let component = Component::new(&engine, wat::parse_str(GUEST).unwrap()).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = block_on(Linker::new(&engine).instantiate_async(&mut store, &component)).unwrap();
    store.set_hostcall_fuel(usize::MAX);
    let mut bench = Bench { store, instance, time: Duration::from_millis(millis) };
    println!("{:>10} {:>4} {:>14} {:>14} {:>14} {:>8}", "bytes", "way", "dynamic", "transcoded", "typed", "ratio");
    for size in [1 << 10, 64 << 10, 1 << 20] {
        let rows = [("in", bench.given_to_guest(size)), ("out", bench.taken_from_guest(size))];
        for (way, [dynamic, transcoded, typed]) in rows {
            println!(
                "{size:>10} {way:>4} {dynamic:>11.2} us {transcoded:>11.2} us {typed:>11.2} us {:>8.2}",
                transcoded / typed
            );
        }
    }
}

struct Bench {
    store: Store<()>,
    instance: Instance,
    time: Duration,
}

impl Bench {
    fn func(&mut self, name: &str) -> Func {
        self.instance.get_func(&mut self.store, name).unwrap()
    }

    /// Microseconds of a call, the best of five rounds: what else the machine does only makes them slower.
    fn measure(&mut self, mut call: impl FnMut(&mut Store<()>)) -> f64 {
        let rounds = (0..5).map(|_| {
            let (start, mut calls) = (Instant::now(), 0u32);
            while start.elapsed() < self.time / 5 {
                call(&mut self.store);
                calls += 1;
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        });
        rounds.fold(f64::INFINITY, f64::min)
    }

    /// As dynamic values, transcoded, typed.
    fn given_to_guest(&mut self, size: usize) -> [f64; 3] {
        let func = self.func("take");
        let ty = Type::Tuple(vec![Type::List(Box::new(Type::U8))]);
        let data = vec![7u8; size];
        let parameters = oracle::bytes(&ty, &Value::Tuple(vec![Value::Bytes(data.clone().into())]));
        let dynamic = self.measure(|store| {
            let Value::Tuple(values) = mesh_lattice::value::decode(&ty, &parameters).unwrap() else { return };
            let vals: Vec<Val> = values.iter().map(oracle::to_val).collect();
            block_on(func.call_async(store, &vals, &mut [])).unwrap();
        });
        let export = Export::of(&func, &self.store).unwrap();
        let transcoded = self.measure(|store| {
            block_on(export.call(store, parameters.clone())).unwrap();
        });
        let typed = func.typed::<(&[u8],), ()>(&self.store).unwrap();
        let typed = self.measure(|store| block_on(typed.call_async(store, (&data,))).unwrap());
        [dynamic, transcoded, typed]
    }

    /// The same, the other way.
    fn taken_from_guest(&mut self, size: usize) -> [f64; 3] {
        let func = self.func("give");
        let ty = Type::List(Box::new(Type::U8));
        let length = u32::try_from(size).unwrap();
        let dynamic = self.measure(|store| {
            let mut results = [Val::Bool(false)];
            block_on(func.call_async(store, &[Val::U32(length)], &mut results)).unwrap();
            assert!(oracle::bytes(&ty, &oracle::from_val(&ty, &results[0])).len() > size);
        });
        let export = Export::of(&func, &self.store).unwrap();
        let parameters: Bytes = oracle::bytes(&Type::Tuple(vec![Type::U32]), &Value::Tuple(vec![Value::U32(length)]));
        let transcoded = self.measure(|store| {
            assert!(block_on(export.call(store, parameters.clone())).unwrap().len() > size);
        });
        let typed = func.typed::<(u32,), (Vec<u8>,)>(&self.store).unwrap();
        let typed = self.measure(|store| {
            assert_eq!(block_on(typed.call_async(store, (length,))).unwrap().0.len(), size);
        });
        [dynamic, transcoded, typed]
    }
}
