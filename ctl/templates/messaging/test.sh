#!/usr/bin/env bash
# Runs what was built in a lattice of its own, asks it, and leaves nothing behind.
set -euo pipefail
built=$(realpath "$1")
. ./lattice.sh

meshctl claims sign "$built"/my_actor.wasm --issuer .mesh/keys/issuer.nk --name my-actor --to build/my-actor.wasm
meshctl apply -f mesh.yaml --wait
says 'ok' meshctl call my-actor wasmcloud:messaging/handler.handle-message '{subject: "my-actor.ask", body: [104, 105]}'
