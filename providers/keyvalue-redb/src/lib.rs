//! Key-value on the host's own disk.
