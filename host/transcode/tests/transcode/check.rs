//! One case of all: a type, a value of it, bytes that may be none, through a guest both ways.

use bytes::Bytes;

use crate::{
    case::{Choices, spoil},
    oracle,
    world::{World, engine},
};

const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

/// Checks one case, chosen by `data`: a type, a value of it, and what becomes of its bytes when they are spoiled.
pub(crate) fn check(data: &[u8], concurrent: bool) {
    let mut choices = Choices(data);
    let encoding = ENCODINGS[usize::from(choices.byte()) % 3];
    let ty = choices.ty(0);
    let world = World::new(&engine(concurrent), &ty, encoding);
    let bytes = oracle::bytes(&ty, &choices.value(&ty));
    let kept = world.through_bytes(&bytes);
    assert_eq!(kept, world.through_values(&bytes), "{ty:?} {bytes:02x?}");
    for (way, outcome) in kept.iter().enumerate() {
        assert_eq!(outcome.as_deref(), Ok(&bytes[..]), "way {way} of {ty:?}");
    }
    let mut spoiled = bytes.to_vec();
    spoil(&mut spoiled, &mut choices);
    same(&world, &spoiled.into());
}

/// What is refused is refused for the same reason. Where the parameter is followed by another, the reason may be found
/// there: bytes behind a value are the next one.
fn same(world: &World, bytes: &Bytes) {
    let [echo, sunk, pulled] = world.through_bytes(bytes);
    let [_, sunk_by_value, pulled_by_value] = world.through_values(bytes);
    assert_eq!(sunk, sunk_by_value, "{:?} {bytes:02x?}", world.ty);
    assert_eq!(pulled, pulled_by_value, "{:?} {bytes:02x?}", world.ty);
    assert!(echo.is_err() || echo == sunk, "{:?} {bytes:02x?}", world.ty);
}
