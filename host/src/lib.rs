//! meshd: one host of a lattice.
