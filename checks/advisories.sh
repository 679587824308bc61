#!/usr/bin/env bash
# Asks the advisory database about every crate in the lock files. The database is not part of the tree and cannot be
# had without a network, so this looks only where both the tool and the database are there, and says which it did.
set -euo pipefail
cd "$(dirname "$0")/.."
database=${CARGO_HOME:-$HOME/.cargo}/advisory-db
if ! command -v cargo-audit >/dev/null; then
    echo "advisories: NOT CHECKED: cargo-audit is not installed"
elif [ ! -d "$database/crates" ]; then
    echo "advisories: NOT CHECKED: there is no advisory database in $database"
else
    for lock in Cargo.lock examples/Cargo.lock fuzz/Cargo.lock tests/guests/Cargo.lock tests/releases/*/Cargo.lock; do
        [ ! -f "$lock" ] || cargo audit --no-fetch --deny warnings --file "$lock"
    done
fi
