//! From desired and observed state to assignments, without I/O.
