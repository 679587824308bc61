//! The provider trait, what every provider needs, and the suites that every provider of a kind passes.
