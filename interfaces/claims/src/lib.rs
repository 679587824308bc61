//! Keys, signed artifacts and signed statements: made, read and verified.
