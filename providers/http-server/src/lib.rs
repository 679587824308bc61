//! An HTTP server that turns requests into calls.
