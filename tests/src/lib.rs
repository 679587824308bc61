//! End-to-end scenarios over real processes and a real nats-server, and the benchmarks.
