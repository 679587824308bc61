//! Key-value in a JetStream bucket.
