//! Each limit and the guest that runs into it: it ends with its code, soon, and the host hardly grows.

use std::{
    fs,
    time::{Duration, Instant},
};

use mesh_claims::{Component, Verified};
use mesh_lattice::{Code, Serve, application::Limits};
use mesh_runtime::{ActorConfig, ActorError, CompileError, Engine};

use crate::{
    ALONE,
    guests::{all, component, config, engine, eventually, get, guest},
    neighbour::Neighbour,
    peer::Peer,
};

const LIMITS: Limits = Limits { memory_bytes: 16 << 20, cpu_ms: 200, time_ms: 10_000 };
/// What is promised for each.
const WITHIN: Duration = Duration::from_secs(1);
/// What the host may grow by beside what the guest may have.
const HOST: u64 = 64 << 20;

/// A field of `/proc/self/status`, in bytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The peak is counted from here.
fn forget_the_peak() -> u64 {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    memory("VmRSS")
}

/// A handler whose core module imports what `with` makes.
fn handler(module: &str, before: &str, with: &str) -> String {
    format!(
        r#"(component $root
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $outparam))
            {before}
            (core module $module {module})
            (core instance $instance (instantiate $module {with}))
            (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
                (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

const IDLE: &str = r#"(func (export "handle") (param i32 i32))"#;

/// Grows a table until it may not.
fn grows_a_table() -> String {
    let module = r#"(table $table 1 funcref)
        (func (export "handle") (param i32 i32)
            (loop $again
                (br_if $again (i32.ne (i32.const -1) (table.grow $table (ref.null func) (i32.const 1000))))
                unreachable))"#;
    handler(module, "", "")
}

/// Makes resources of its own, which the host counts and never sees.
fn makes_resources() -> String {
    let module = r#"(import "own" "new" (func $new (param i32) (result i32)))
        (func (export "handle") (param i32 i32) (loop $again (drop (call $new (i32.const 1))) (br $again)))"#;
    let before = r#"(type $own (resource (rep i32)))
        (core func $new (canon resource.new $own))
        (core instance $imports (export "new" (func $new)))"#;
    handler(module, before, r#"(with "own" (instance $imports))"#)
}

/// A component of components, each of which has the one before twice: 2 to the power of `levels` instances.
fn doubles(levels: usize) -> String {
    let mut before = String::from("(component $c0 (core module $m) (core instance (instantiate $m)))");
    for level in 1..=levels {
        before += &format!(
            "(component $c{level} (alias outer $root $c{} (component $x)) (instance (instantiate $x)) (instance \
             (instantiate $x)))",
            level - 1
        );
    }
    before += &format!("(instance (instantiate $c{levels}))");
    handler(IDLE, &before, "")
}

/// Says what the guest did wrong, and how that ended.
async fn bursts(engine: &Engine, what: &str, code: Code, verified: &Verified<Component>, path: &str) {
    let config = ActorConfig { limits: LIMITS, ..config("hostile") };
    let actor = engine.actor(verified, config, Peer::nobody()).await.unwrap();
    let before = forget_the_peak();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let start = Instant::now();
        let error = match actor.serve(get(path)).await {
            Ok(reply) => all(reply.body).await.expect_err("a cut body that looks whole"),
            Err(error) => error,
        };
        slowest = slowest.max(start.elapsed());
        assert_eq!(error.code, code, "{what}: {error}");
    }
    let grown = memory("VmHWM").saturating_sub(before);
    println!("{what}: {code} after at most {slowest:?}, the host grew by {} KiB", grown >> 10);
    assert!(slowest < WITHIN * 3, "{what}: {slowest:?}");
    assert!(grown < LIMITS.memory_bytes + HOST, "{what}: {grown} bytes");
    eventually("the failures count", || actor.stats().errors == 3 && actor.stats().instances == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_ends_its_guest_soon_and_costs_its_neighbour_nothing() {
    let _alone = ALONE.lock().await;
    for pooling in [true, false] {
        println!("pooling {pooling}:");
        let engine = engine(pooling);
        let neighbour = Neighbour::start(&engine).await;
        for (what, name, path, code) in [
            ("memory without end", "hog", "/", Code::MemoryLimit),
            ("recursion without end", "recurse", "/", Code::Trap),
            ("resources of the host without end", "handles", "/", Code::MemoryLimit),
            ("a header of 20 MiB", "flood", "/header", Code::MemoryLimit),
            ("a list of 500,000 pairs", "flood", "/list", Code::MemoryLimit),
            ("a body of 20 MiB at once", "flood", "/body", Code::MemoryLimit),
            ("headers without end", "fields", "/", Code::MemoryLimit),
            ("10,000 headers at once", "fields", "/list", Code::MemoryLimit),
            ("4 GiB of random bytes", "flood", "/random", Code::MemoryLimit),
            ("4 GiB of cheap random bytes", "flood", "/insecure", Code::MemoryLimit),
            ("output without end", "print", "/flood", Code::CpuLimit),
            ("a loop without end", "spin", "/", Code::CpuLimit),
            ("a loop without end behind its head", "spin", "/behind-its-head", Code::CpuLimit),
        ] {
            bursts(&engine, what, code, &guest(name), path).await;
        }
        for (what, text, code) in [
            ("a table that grows", grows_a_table(), Code::MemoryLimit),
            ("resources of its own without end", makes_resources(), Code::MemoryLimit),
            ("128 instances within each other", doubles(7), Code::MemoryLimit),
            ("a memory of 25 MiB", handler(&format!("(memory 400) {IDLE}"), "", ""), Code::MemoryLimit),
            ("nothing wrong, and no answer", handler(IDLE, "", ""), Code::NoAnswer),
        ] {
            bursts(&engine, what, code, &component(&text), "/").await;
        }
        let (calls, slowest) = neighbour.stop().await;
        println!("the neighbour was called {calls} times without an error, the slowest call took {slowest:?}");
        assert!(calls > 50);
        eventually("the memory is back", || engine.memory_in_use() == 0).await;
    }
}

/// Forty levels would be two to the power of forty instances: it is refused before anybody lays them out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_countless_instances_is_not_compiled() {
    let _alone = ALONE.lock().await;
    for pooling in [true, false] {
        let engine = engine(pooling);
        let before = forget_the_peak();
        let start = Instant::now();
        let made = engine.actor(&component(&doubles(40)), config("doubles"), Peer::nobody()).await;
        let (took, grown) = (start.elapsed(), memory("VmHWM").saturating_sub(before));
        let Err(ActorError::Compile(CompileError::TooManyInstances { instances })) = made else { panic!("it starts") };
        println!("{instances} instances: refused after {took:?}, the host grew by {} KiB", grown >> 10);
        assert!(took < WITHIN * 3 && grown < HOST, "{took:?}, {grown} bytes");
        assert_eq!(engine.compilations(), 0);
    }
}
