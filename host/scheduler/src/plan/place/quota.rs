//! How many replicas go to which share of the hosts: by weight, with the largest remainders rounded up.

use std::collections::BTreeSet;

use mesh_lattice::application::{Replicas, Spread};

use super::Slot;
use crate::world::World;

/// One slot for each spread, those that fewest hosts fit first, so that a spread that fits all does not take the only
/// hosts of another.
pub(super) fn slots<'a>(world: &'a World, replicas: Replicas, placement: &'a [Spread]) -> Vec<Slot<'a>> {
    let count = match replicas {
        Replicas::Everywhere => return vec![Slot { spreads: placement, quota: None, taken: BTreeSet::new() }],
        Replicas::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    if placement.is_empty() {
        return vec![Slot { spreads: placement, quota: Some(count), taken: BTreeSet::new() }];
    }
    let weights: Vec<_> = placement.iter().map(|spread| spread.weight).collect();
    let mut slots: Vec<_> = placement
        .chunks(1)
        .zip(apportion(count, &weights))
        .map(|(spreads, quota)| Slot { spreads, quota: Some(quota), taken: BTreeSet::new() })
        .collect();
    slots.sort_by_key(|slot| world.hosts.values().filter(|host| host.fits(slot.spreads)).count());
    slots
}

/// Splits `count` by these weights; what is left over after rounding down goes to the largest remainders, and among
/// equals to the first. Without any weight nothing goes anywhere.
fn apportion(count: usize, weights: &[u32]) -> Vec<usize> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u32| (count as u128) * u128::from(weight);
    let mut shares: Vec<_> =
        weights.iter().map(|weight| usize::try_from(exact(*weight) / total).unwrap_or(usize::MAX)).collect();
    let rest = count.saturating_sub(shares.iter().sum());
    let mut order: Vec<_> = weights.iter().zip(&mut shares).collect();
    order.sort_by_key(|(weight, _)| std::cmp::Reverse(exact(**weight) % total));
    for (_, share) in order.into_iter().take(rest) {
        *share += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_remainders_are_rounded_up() {
        let table: [(usize, &[u32], &[usize]); 7] = [
            (10, &[30, 70], &[3, 7]),
            (4, &[30, 70], &[1, 3]),
            (2, &[50, 50], &[1, 1]),
            (1, &[50, 50], &[1, 0]),
            (5, &[1, 1, 1], &[2, 2, 1]),
            (3, &[0, 1], &[0, 3]),
            (3, &[0, 0], &[0, 0]),
        ];
        for (count, weights, shares) in table {
            assert_eq!(apportion(count, weights), shares, "{count} by {weights:?}");
        }
    }
}
