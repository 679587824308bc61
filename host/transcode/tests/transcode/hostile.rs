//! Guests that lie, and bytes that bomb: each has its own answer, and dynamic values refuse the same.

use bytes::Bytes;
use mesh_lattice::value::{DecodeError, EncodeError, MAX_ITEMS, Type};
use mesh_transcode::{Export, LiftError, Plan};
use wasmtime::{
    Store,
    component::{Component, Instance, Linker, Val, types::ComponentItem},
};

use crate::{
    oracle::block_on,
    world::{World, engine},
};

/// Functions that return whatever pointer, length, case or bits they are told to.
const LIAR: &str = r#"(component
  (core module $m
    (memory (export "memory") 32)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "pair") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "same") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func (export "text") (param "at" u32) (param "length" u32) (result string)
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
  (func (export "binary") (param "at" u32) (param "length" u32) (result (list u8))
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
  (func (export "numbers") (param "at" u32) (param "length" u32) (result (list u32))
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
  (func (export "bools") (param "at" u32) (param "length" u32) (result (list bool))
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
  (func (export "option") (param "case" u32) (param "rest" u32) (result (option u8))
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
  (func (export "result") (param "case" u32) (result (result))
    (canon lift (core func $i "same")))
  (func (export "char") (param "bits" u32) (result char) (canon lift (core func $i "same")))
  (func (export "tuple") (param "at" u32) (result (tuple u32 u32))
    (canon lift (core func $i "same") (memory (core memory $i "memory"))))
  (func (export "deep") (param "at" u32) (param "length" u32) (result DEEP)
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
  (func (export "fill") (param "at" u32) (param "byte" u32) (param "length" u32) (canon lift (core func $i "fill")))
)"#;

struct Liar {
    store: Store<()>,
    instance: Instance,
}

impl Liar {
    fn new() -> Self {
        let deep = format!("{}u8{}", "(list ".repeat(70), ")".repeat(70));
        let engine = engine(false);
        let component = Component::new(&engine, wat::parse_str(LIAR.replace("DEEP", &deep)).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = block_on(Linker::new(&engine).instantiate_async(&mut store, &component)).unwrap();
        Self { store, instance }
    }

    fn call(&mut self, name: &str, parameters: &[u32]) -> wasmtime::Result<Vec<u8>> {
        let func = self.instance.get_func(&mut self.store, name).unwrap();
        let export = Export::of(&func, &self.store)?;
        let mut bytes = vec![0x90 | parameters.len() as u8];
        for parameter in parameters {
            bytes.push(0xce);
            bytes.extend(parameter.to_be_bytes());
        }
        block_on(export.call(&mut self.store, bytes.into()))
    }

    fn by_value(&mut self, name: &str, parameters: &[u32]) -> wasmtime::Result<Val> {
        let func = self.instance.get_func(&mut self.store, name).unwrap();
        let parameters: Vec<Val> = parameters.iter().copied().map(Val::U32).collect();
        let mut results = [Val::Bool(false)];
        block_on(func.call_async(&mut self.store, &parameters, &mut results))?;
        let [result] = results;
        Ok(result)
    }
}

const MEMORY: u32 = 32 << 16;

/// What one call of a fresh liar is refused for; dynamic values have to refuse it too.
fn lie(name: &str, parameters: &[u32]) -> LiftError {
    let error = Liar::new().call(name, parameters).expect_err("a lie");
    assert!(Liar::new().by_value(name, parameters).is_err(), "{name} {parameters:?}");
    error.downcast_ref::<LiftError>().unwrap_or_else(|| panic!("{error:?}")).clone()
}

#[test]
fn what_a_guest_says_of_its_memory_is_not_believed() {
    for name in ["text", "binary", "numbers", "bools", "deep"] {
        assert_eq!(Liar::new().call(name, &[16, 0]).unwrap().len(), if name == "binary" { 2 } else { 1 }, "{name}");
        assert_eq!(lie(name, &[MEMORY - 8, 16]), LiftError::OutOfBounds, "{name}");
        assert_eq!(lie(name, &[u32::MAX - 7, 1 << 30]), LiftError::OutOfBounds, "{name}");
        assert_eq!(lie(name, &[0, u32::MAX]), LiftError::OutOfBounds, "{name}");
    }
    assert_eq!(lie("numbers", &[18, 1]), LiftError::Unaligned);
    assert_eq!(lie("tuple", &[MEMORY - 4]), LiftError::OutOfBounds);
    assert_eq!(lie("tuple", &[2]), LiftError::Unaligned);
    assert_eq!(Liar::new().call("tuple", &[4]).unwrap(), [0x92, 0, 0]);
}

#[test]
fn what_a_guest_says_its_values_are_is_checked() {
    assert_eq!(lie("char", &[0xd800]), LiftError::NotACharacter(0xd800));
    assert_eq!(lie("char", &[0x11_0000]), LiftError::NotACharacter(0x11_0000));
    assert_eq!(Liar::new().call("char", &[0x10_ffff]).unwrap(), [0xa4, 0xf4, 0x8f, 0xbf, 0xbf]);
    assert_eq!(lie("option", &[2, 0]), LiftError::NoCase(2));
    assert_eq!(lie("result", &[7]), LiftError::NoCase(7));
    assert_eq!(Liar::new().call("result", &[1]).unwrap(), b"\x81\xa3err\xc0");
    // Pointer and length themselves, as text: 16, 128 is no text.
    assert_eq!(lie("text", &[16, 0x80]), LiftError::NotText);
    assert_eq!(Liar::new().call("bools", &[16, 3]).unwrap(), [0x93, 0xc3, 0xc2, 0xc2]);
}

#[test]
fn a_value_is_as_deep_and_as_large_as_it_may_be() {
    // Each list is the one list that holds itself.
    let error = Liar::new().call("deep", &[16, 1]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LiftError::Unwritable(EncodeError::TooDeep)));
    let most = MAX_ITEMS as u32;
    assert_eq!(Liar::new().call("bools", &[0, most - 1]).unwrap().len(), MAX_ITEMS - 1 + 5);
    let error = Liar::new().call("bools", &[0, most]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LiftError::Unwritable(EncodeError::TooLarge)));

    let deep = (0..65).fold(Type::U8, |inner, _| Type::Option(Box::new(inner)));
    let world = World::new(&engine(false), &deep, "utf8");
    let mut nested = vec![0x91; 64];
    nested.push(1);
    assert_eq!(world.through_bytes(&nested.clone().into()), world.through_values(&nested.into()));
    let none = Bytes::from_static(&[0x91, 0xc0]);
    let outcomes = world.through_bytes(&none);
    assert!(outcomes.iter().all(|outcome| outcome.as_deref() == Ok(&none[..])), "{outcomes:?}");

    let many = World::new(&engine(false), &Type::List(Box::new(Type::Bool)), "utf8");
    let mut bytes = vec![0xdd];
    bytes.extend((MAX_ITEMS as u32).to_be_bytes());
    bytes.resize(5 + MAX_ITEMS, 0xc2);
    let outcomes = many.through_bytes(&bytes.into());
    assert!(outcomes.iter().all(|outcome| *outcome == Err(Some(DecodeError::TooMany))), "{outcomes:?}");
}

#[test]
fn a_length_that_is_not_there_asks_the_guest_for_nothing() {
    let types = [Type::String, Type::List(Box::new(Type::U8)), Type::List(Box::new(Type::U64))];
    for (ty, marker) in types.into_iter().zip([0xdb, 0xc6, 0xdd]) {
        let world = World::new(&engine(false), &ty, "utf8");
        let bomb = Bytes::from(vec![marker, 0xff, 0xff, 0xff, 0xff, 0]);
        let outcomes = world.through_bytes(&bomb);
        assert!(outcomes.iter().all(|outcome| *outcome == Err(Some(DecodeError::Malformed))), "{outcomes:?}");
    }
}

#[test]
fn hostcall_fuel_pays_for_what_a_guest_hands_over() {
    for (name, cheap, dear) in [("binary", 900, 1000), ("text", 900, 1000), ("numbers", 100, 120), ("bools", 100, 120)]
    {
        let mut liar = Liar::new();
        liar.store.set_hostcall_fuel(1000);
        assert!(liar.call(name, &[65536, cheap]).is_ok(), "{name}");
        let error = liar.call(name, &[65536, dear]).expect_err(name);
        assert!(error.to_string().contains("fuel allocated for hostcalls"), "{name}: {error}");
    }
}

#[test]
fn what_is_left_to_dynamic_values_has_no_plan_and_no_link() {
    let engine = engine(false);
    let text = r#"(component
      (type $r (resource (rep i32)))
      (export $r2 "r" (type $r))
      (core module $m (func (export "f") (param i32)))
      (core instance $i (instantiate $m))
      (func (export "own") (param "x" (own $r2)) (canon lift (core func $i "f")))
      (func (export "number") (param "x" u32) (canon lift (core func $i "f"))))"#;
    let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let plan = |name: &str| match component.component_type().get_export(&engine, name).unwrap().ty {
        ComponentItem::ComponentFunc(ty) => Plan::of(&ty),
        _ => panic!("{name} is no function"),
    };
    assert!(plan("number").is_some());
    assert_eq!(plan("own"), None);
    let mut store = Store::new(&engine, ());
    let instance = block_on(Linker::new(&engine).instantiate_async(&mut store, &component)).unwrap();
    let own = instance.get_func(&mut store, "own").unwrap();
    assert!(Export::of(&own, &store).is_err());
}

#[test]
fn a_plan_of_another_function_does_not_link() {
    let engine = engine(false);
    let [number, text] = [Type::U32, Type::String].map(|ty| World::new(&engine, &ty, "utf8"));
    let mut linker = Linker::<()>::new(&engine);
    let mut host = linker.instance(crate::guest::HOST).unwrap();
    for name in ["sink", "source"] {
        let plan = number.plan(name).unwrap();
        plan.define(&mut host, name, |_, _| Box::new(async { Ok(Bytes::from_static(&[7])) })).unwrap();
    }
    let instantiate =
        |world: &World| block_on(linker.instantiate_async(&mut Store::new(&engine, ()), &world.component));
    assert!(instantiate(&number).is_ok());
    assert!(instantiate(&text).is_err());
}
