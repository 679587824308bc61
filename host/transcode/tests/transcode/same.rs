//! The same bytes and the same errors as through dynamic values.

use mesh_lattice::value::Type;
use proptest::prelude::*;

use crate::{
    case::Choices,
    check::check,
    oracle,
    world::{World, engine},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_any_type_is_moved_as_dynamic_values_move_it(
        data in prop::collection::vec(any::<u8>(), 1..400),
        concurrent: bool,
    ) {
        check(&data, concurrent);
    }
}

#[test]
fn every_simple_type_is_moved_at_its_edges() {
    let engine = &engine(false);
    let simple = [
        Type::Bool,
        Type::S8,
        Type::U8,
        Type::S16,
        Type::U16,
        Type::S32,
        Type::U32,
        Type::S64,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::Char,
        Type::String,
        Type::List(Box::new(Type::U8)),
    ];
    for ty in simple {
        let world = World::new(engine, &ty, "utf8");
        for seed in 0..24u8 {
            let data: Vec<u8> = (0..40u8).map(|at| seed.wrapping_mul(73) ^ at.wrapping_mul(29)).collect();
            let bytes = oracle::bytes(&ty, &Choices(&data).value(&ty));
            assert_eq!(world.through_bytes(&bytes), world.through_values(&bytes), "{ty:?} {bytes:02x?}");
        }
    }
}
