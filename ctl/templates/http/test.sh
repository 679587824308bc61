#!/usr/bin/env bash
# Runs what was built in a lattice of its own, asks it, and leaves nothing behind.
set -euo pipefail
built=$(realpath "$1")
unset MESH_SERVER MESH_CREDS MESH_KEY MESH_LATTICE MESH_CONTEXT MESH_ROOT
desk=$(mktemp -d)
trap 'cd "$desk"; meshctl down --purge >/dev/null; cd /; rm -rf "$desk"' EXIT
# A port that nobody listens on.
port=$((10240 + RANDOM % 20000))
while (: </dev/tcp/127.0.0.1/$port) 2>/dev/null; do port=$((10240 + RANDOM % 20000)); done
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
meshctl claims sign "$built"/my_actor.wasm --issuer .mesh/keys/issuer.nk --name my-actor --to build/my-actor.wasm
meshctl apply -f mesh.yaml --set listen=127.0.0.1:$port --wait
says 'Hello, Ada.' meshctl call my-actor http GET /Ada
says 'Hello.' meshctl call my-actor http GET /
