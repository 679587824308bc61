#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer's instrumentation, on stable Rust, and runs each for FUZZ_SECONDS (60) from the
# corpus in fuzz/corpus. A finding stops it and is left in fuzz/findings: make it a regression test, then mend it.
#   fuzz/run.sh [target...]       MINIMISE=1 merges what was found into fuzz/corpus
set -euo pipefail
cd "$(dirname "$0")"

seconds=${FUZZ_SECONDS:-60}
base=${CARGO_TARGET_DIR:-$HOME/.cache/mesh/target}
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$base/fuzz
# The coverage that `cargo fuzz` asks a nightly compiler for, without the sanitizers that only that one has. It is for
# --target alone, so build scripts and macros run without it.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=4"
RUSTFLAGS=$(echo "$RUSTFLAGS" | tr -s ' \n' ' ')
cargo build --locked --release --target "$host"

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(frame value envelope stored claims lane transcode manifest)
for target in "${targets[@]}"; do
    program=$CARGO_TARGET_DIR/$host/release/$target
    work=$CARGO_TARGET_DIR/corpus/$target
    mkdir -p "$work" "corpus/$target" findings
    # An address of its own for what is new: the corpus in the repository changes only where somebody asks for that.
    "$program" -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="findings/$target-" "$work" "corpus/$target" >"$work.log" 2>&1 ||
        { tail -n 40 "$work.log"; echo "fuzz: $target found something; see fuzz/findings"; exit 1; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work.log")
    covered=$(grep -o 'cov: [0-9]*' "$work.log" | tail -n 1)
    echo "fuzz: $target: $runs runs in $seconds s, ${covered:-cov: 0}, no finding"
    if [ -n "${MINIMISE:-}" ]; then
        rm -rf "$work.small" && mkdir "$work.small"
        "$program" -merge=1 -max_len=1024 "$work.small" "$work" "corpus/$target" >>"$work.log" 2>&1
        rm -rf "corpus/$target" && cp -r "$work.small" "corpus/$target"
    fi
done
