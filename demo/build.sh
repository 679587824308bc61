#!/usr/bin/env bash
# Builds what the demo shows, in the profile that the tests use, so that a newcomer compiles once. Talks on standard
# error only, and little when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:?the Makefile sets it} guests=${MESH_GUESTS_TARGET_DIR:?the Makefile sets it}

if [ ! -x "$target/debug/meshd" ] || [ ! -x "$target/debug/meshctl" ]; then
    echo "demo: the first build takes some minutes" >&2
fi
cargo build --quiet --locked -p meshctl -p mesh-host --bins >&2
cargo build --quiet --locked --release --manifest-path examples/Cargo.toml --target wasm32-wasip2 \
    --target-dir "$guests" -p counter >&2
