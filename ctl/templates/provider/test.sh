#!/usr/bin/env bash
# Runs what was built in a lattice of its own, asks it, and leaves nothing behind.
set -euo pipefail
built=$(realpath "$1")
. ./lattice.sh

meshctl claims sign "$built"/my_provider.wasm --issuer .mesh/keys/issuer.nk --name my-provider --to build/my-provider.wasm
meshctl claims sign "$built"/my_provider_probe.wasm --issuer .mesh/keys/issuer.nk --name my-provider-probe --to build/my-provider-probe.wasm
meshctl apply -f mesh.yaml --wait
meshctl start actor build/my-provider-probe.wasm
meshctl link put my-provider-probe my-provider wasi:keyvalue --wait
says 'ok((1, ["a"]))' meshctl call my-provider-probe example:buckets/check.count '"orders"' '"a"'
says 'ok((1, ["b"]))' meshctl call my-provider-probe example:buckets/check.count '"users"' '"b"'
says 'ok((2, ["a"]))' meshctl call my-provider-probe example:buckets/check.count '"orders"' '"a"'
