#!/usr/bin/env bash
# Runs what was built in a lattice of its own, asks it, and leaves nothing behind.
set -euo pipefail
built=$(realpath "$1")
unset MESH_SERVER MESH_CREDS MESH_KEY MESH_LATTICE MESH_CONTEXT MESH_ROOT
desk=$(mktemp -d)
trap 'cd "$desk"; meshctl down --purge >/dev/null; cd /; rm -rf "$desk"' EXIT
cp mesh.yaml "$desk"
cd "$desk"

# What a command has to print.
says() {
    local expected=$1 said
    shift
    said=$("$@")
    [ "$said" = "$expected" ] || { echo "$*: said \"$said\", not \"$expected\"" >&2; exit 1; }
    echo "$*: $said"
}

meshctl up --port 0 --detach
mkdir build
meshctl claims sign "$built"/my_provider.wasm --issuer .mesh/keys/issuer.nk --name my-provider --to build/my-provider.wasm
meshctl claims sign "$built"/my_provider_probe.wasm --issuer .mesh/keys/issuer.nk --name my-provider-probe --to build/my-provider-probe.wasm
meshctl apply -f mesh.yaml --wait
meshctl start actor build/my-provider-probe.wasm
meshctl link put my-provider-probe my-provider wasi:keyvalue --wait
says 'ok((1, ["a"]))' meshctl call my-provider-probe example:buckets/check.count '"orders"' '"a"'
says 'ok((1, ["b"]))' meshctl call my-provider-probe example:buckets/check.count '"users"' '"b"'
says 'ok((2, ["a"]))' meshctl call my-provider-probe example:buckets/check.count '"orders"' '"a"'
